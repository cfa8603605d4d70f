//! Looking names up with the system's resolver, which blocks: so on a thread of its own.
//!
//! It knows a queue of names and who asked; how many may be in it, and what becomes of the addresses, the reactor knows.
//!
//! The thread starts with the first name and is never waited for: whoever drops the resolver while the system is
//! stuck in a lookup leaves it behind, and it ends when that does.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::ToSocketAddrs;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use crate::id::ConnId;
use crate::net::{Answer, Wake};

/// The reactor's end.
#[derive(Debug)]
pub(super) struct Resolver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
}

#[derive(Debug, Default)]
struct State {
    questions: VecDeque<Question>,
    /// Whose name is being looked up.
    at_work: Option<ConnId>,
    answers: VecDeque<Answer>,
    over: bool,
}

#[derive(Debug)]
struct Question {
    id: ConnId,
    host: Box<str>,
    port: u16,
}

impl Shared {
    /// Nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next question; none once the reactor is gone.
    fn next(&self) -> Option<Question> {
        let state = self.lock();
        let idle = |state: &mut State| state.questions.is_empty() && !state.over;
        let mut state = self.asked.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        if state.over {
            return None;
        }
        let question = state.questions.pop_front()?;
        state.at_work = Some(question.id);
        Some(question)
    }

    /// Whether the answer is still wanted. It is there before the waker is used.
    fn is_answered(&self, answer: Answer) -> bool {
        let mut state = self.lock();
        let wanted = state.at_work.take() == Some(answer.id) && !state.over;
        if wanted {
            state.answers.push_back(answer);
        }
        wanted
    }
}

impl Resolver {
    /// Starts the thread. It does not keep the waker: a lookup that is stuck would keep its descriptor.
    pub(super) fn start(waker: Weak<dyn Wake>) -> io::Result<Resolver> {
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        thread::Builder::new().name("resolver".into()).spawn(move || serve(&its, &waker))?;
        Ok(Resolver { shared })
    }

    pub(super) fn ask(&self, host: &str, port: u16, id: ConnId) {
        self.shared.lock().questions.push_back(Question { id, host: host.into(), port });
        self.shared.asked.notify_one();
    }

    pub(super) fn answer(&self) -> Option<Answer> {
        self.shared.lock().answers.pop_front()
    }

    pub(super) fn take_back(&self, id: ConnId) {
        let mut state = self.shared.lock();
        state.questions.retain(|question| question.id != id);
        state.answers.retain(|answer| answer.id != id);
        state.at_work = state.at_work.filter(|&at_work| at_work != id);
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.asked.notify_one();
    }
}

fn serve(shared: &Shared, waker: &Weak<dyn Wake>) {
    while let Some(Question { id, host, port }) = shared.next() {
        let addrs = look_up(&host, port);
        if shared.is_answered(Answer { id, addrs }) {
            let woken = waker.upgrade().map_or(Ok(()), |waker| waker.wake());
            if let Err(error) = woken {
                log::error!("the loop could not be woken: {error}");
            }
        }
    }
}

fn look_up(host: &str, port: u16) -> io::Result<Vec<std::net::SocketAddr>> {
    // `std` has no kind for the errors of the resolver, and so none that a program could match.
    let addrs: Vec<_> =
        (host, port).to_socket_addrs().map_err(|error| io::Error::new(ErrorKind::NotFound, error))?.collect();
    if addrs.is_empty() {
        return Err(io::Error::new(ErrorKind::NotFound, "it has no address"));
    }
    Ok(addrs)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[derive(Debug)]
    struct Bell(mpsc::Sender<()>);

    impl Wake for Bell {
        fn wake(&self) -> io::Result<()> {
            let _ = self.0.send(());
            Ok(())
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    // D14: whoever asks goes on at once, and is told when there is an answer.
    #[test]
    fn d14_a_name_is_looked_up_elsewhere_and_the_answer_rings() {
        let (ring, heard) = mpsc::channel();
        let bell: Arc<dyn Wake> = Arc::new(Bell(ring));
        let resolver = Resolver::start(Arc::downgrade(&bell)).expect("a thread");
        let (one, other) = (ConnId::new(1, 1), ConnId::new(2, 1));
        // The first of them is taken back before or while it is looked up: either way nobody hears of it.
        resolver.ask("localhost", 80, one);
        resolver.take_back(one);
        resolver.ask("localhost", 80, other);
        heard.recv_timeout(LONG).expect("an answer");
        let answer = resolver.answer().expect("it is there before the bell rings");
        assert_eq!(answer.id, other);
        let addrs = answer.addrs.expect("every machine knows itself");
        assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80), "{addrs:?}");
        assert!(resolver.answer().is_none());
        // The thread ends when the resolver does, and lets go of what it shares.
        let shared = Arc::downgrade(&resolver.shared);
        drop((resolver, bell));
        let begin = std::time::Instant::now();
        while shared.upgrade().is_some() {
            assert!(begin.elapsed() < LONG, "the thread is still there");
            thread::yield_now();
        }
    }
}
