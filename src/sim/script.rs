//! Scripts: clients made of steps, each done before the next begins, as a blocking client does them.
//!
//! It knows steps and how far they are. Wherever it sends or waits in pieces is the network's choice.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::client::{Next, Peer};
use super::network::Received;
use super::trace::Shown;

/// The longest wait, all waits of a script together: a hundred years. The simulated clock ends after nearly six hundred.
const WAIT_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A client that does one thing after the other.
///
/// It connects first, and closes at its end. What it expects and does not get, and what it gets and does not
/// expect, is a failure of the run, unless a fault cut the connection.
///
/// ```
/// use std::time::Duration;
/// use switchboard::sim::Script;
///
/// let client = Script::new()
///     .send(b"hello\n")
///     .expect(b"HELLO\n")
///     .wait(Duration::from_secs(60))
///     .shutdown()
///     .expect_end();
/// assert_eq!(client.len(), 5);
/// ```
#[derive(Clone, Default)]
pub struct Script {
    steps: VecDeque<Step>,
    /// How many steps are done, and how much of the one under way.
    done: usize,
    progress: usize,
    asleep: Option<u64>,
}

#[derive(Clone, PartialEq, Eq)]
enum Step {
    Send(Vec<u8>),
    SendUrgent(u8),
    Expect(Vec<u8>),
    Recv(usize),
    RecvToEnd,
    ExpectEnd,
    ExpectReset,
    Wait(Duration),
    Shutdown,
    Close,
    Reset,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Send(bytes) => write!(f, "send {}", Shown(bytes)),
            Step::SendUrgent(byte) => write!(f, "send urgent {}", Shown(&[*byte])),
            Step::Expect(bytes) => write!(f, "expect {}", Shown(bytes)),
            Step::Recv(bytes) => write!(f, "receive {bytes} bytes"),
            Step::RecvToEnd => f.write_str("receive to the end"),
            Step::ExpectEnd => f.write_str("expect the end"),
            Step::ExpectReset => f.write_str("expect a reset"),
            Step::Wait(time) => write!(f, "wait {time:?}"),
            Step::Shutdown => f.write_str("shutdown"),
            Step::Close => f.write_str("close"),
            Step::Reset => f.write_str("reset"),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(ToString::to_string)).finish()
    }
}

impl Script {
    /// A client that connects and closes.
    pub fn new() -> Script {
        Script::default()
    }

    fn then(mut self, step: Step) -> Script {
        self.steps.push_back(step);
        self
    }

    /// Sends all of `bytes`.
    #[must_use]
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Script {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Sends one urgent byte.
    #[must_use]
    pub fn send_urgent(self, byte: u8) -> Script {
        self.then(Step::SendUrgent(byte))
    }

    /// Receives exactly `bytes`. Anything else is a failure.
    #[must_use]
    pub fn expect(self, bytes: impl AsRef<[u8]>) -> Script {
        self.then(Step::Expect(bytes.as_ref().to_vec()))
    }

    /// Receives so many bytes, whatever they are. [`ClientReport`](super::ClientReport) has them.
    #[must_use]
    pub fn recv(self, bytes: usize) -> Script {
        self.then(Step::Recv(bytes))
    }

    /// Receives whatever comes until the connection ends, orderly or not.
    #[must_use]
    pub fn recv_to_end(self) -> Script {
        self.then(Step::RecvToEnd)
    }

    /// Waits for the server to end its side, without another byte and without a reset.
    #[must_use]
    pub fn expect_end(self) -> Script {
        self.then(Step::ExpectEnd)
    }

    /// Waits for the server to reset the connection. Bytes that come before do not matter.
    #[must_use]
    pub fn expect_reset(self) -> Script {
        self.then(Step::ExpectReset)
    }

    /// Does nothing for a time; what the server sends meanwhile waits in the buffers. It takes no real time, and may
    /// be longer than [`Scenario::time_max`](super::Scenario::time_max) is by default.
    #[must_use]
    pub fn wait(self, time: Duration) -> Script {
        self.then(Step::Wait(time))
    }

    /// Ends the client's side.
    #[must_use]
    pub fn shutdown(self) -> Script {
        self.then(Step::Shutdown)
    }

    /// Closes the connection. With bytes unread that makes it a reset, as Linux does.
    #[must_use]
    pub fn close(self) -> Script {
        self.then(Step::Close)
    }

    /// Resets the connection.
    #[must_use]
    pub fn reset(self) -> Script {
        self.then(Step::Reset)
    }

    /// How many steps it has.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it has no steps.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How long it waits of its own will.
    pub(super) fn waits(&self) -> Duration {
        let waits =
            self.steps.iter().map(|step| if let Step::Wait(time) = step { *time } else { Duration::ZERO });
        waits.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Why it cannot be played, if it cannot.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut ended: Option<&'static str> = None;
        let mut waits = Duration::ZERO;
        for (at, step) in self.steps.iter().enumerate() {
            if let Step::Wait(time) = step {
                waits = waits.saturating_add(*time);
            }
            if waits > WAIT_MAX {
                return Err(format!(
                    "step {} of the script is `{step}`, more than the clock can show",
                    at + 1
                ));
            }
            let sends = matches!(step, Step::Send(_) | Step::SendUrgent(_) | Step::Shutdown);
            match ended {
                Some(by) if by != "shutdown" && !matches!(step, Step::Wait(_)) => {
                    return Err(format!("step {} of the script is `{step}`, after `{by}`", at + 1));
                }
                Some(by) if sends => {
                    return Err(format!("step {} of the script is `{step}`, after `{by}`", at + 1));
                }
                _ => {}
            }
            ended = match step {
                Step::Shutdown => Some("shutdown"),
                Step::Close => Some("close"),
                Step::Reset => Some("reset"),
                _ => ended,
            };
        }
        Ok(())
    }

    /// Does what can be done now.
    pub(super) fn play(&mut self, peer: &mut Peer<'_>) -> Next {
        if peer.refused().is_none() && !peer.is_connected() && self.done == 0 && self.progress == 0 {
            peer.trouble(format!("waits for its connect to {}", peer.to()));
            return Next::Wait;
        }
        let anyhow = matches!(self.steps.front(), Some(Step::RecvToEnd | Step::ExpectReset));
        if let (Some(error), 0, 0, false) = (peer.refused(), self.done, self.progress, anyhow) {
            peer.trouble(format!("could not connect to {}: {error}", peer.to()));
            return Next::Done;
        }
        while let Some(step) = self.steps.front() {
            let outcome = Script::one(step, &mut self.progress, &mut self.asleep, peer);
            match outcome {
                Outcome::Done => {
                    self.steps.pop_front();
                    self.done += 1;
                    self.progress = 0;
                }
                Outcome::Wait(next) => {
                    peer.trouble(format!("waits in step {}: {step}", self.done + 1));
                    return next;
                }
                Outcome::Wrong(how) => {
                    peer.wrong(format!("failed in step {}: {step}: {how}", self.done + 1));
                    return Next::Done;
                }
                Outcome::Failed(how) => {
                    peer.trouble(format!("failed in step {}: {step}: {how}", self.done + 1));
                    return Next::Done;
                }
            }
        }
        peer.no_trouble();
        Next::Done
    }

    /// Receives up to `count` bytes, which must be `wanted` if that is said.
    fn recv_some(
        count: usize,
        wanted: Option<&Vec<u8>>,
        progress: &mut usize,
        peer: &mut Peer<'_>,
    ) -> Outcome {
        while *progress < count {
            let before = peer.received().len();
            match peer.recv(count - *progress) {
                Received::Bytes(n) => {
                    let got = &peer.received()[before..];
                    let wanted = wanted.map_or(got, |wanted| &wanted[*progress..*progress + n]);
                    if let Some(at) = got.iter().zip(wanted).position(|(got, wanted)| got != wanted) {
                        let (got, wanted, at) = (Shown(&got[at..]), Shown(&wanted[at..]), *progress + at);
                        return Outcome::Wrong(format!("from byte {at} on it is {got}, not {wanted}"));
                    }
                    *progress += n;
                }
                Received::Nothing => return Outcome::Wait(Next::Wait),
                Received::End => return Outcome::Failed(format!("the end came after {progress} bytes")),
                Received::Failed(error) => {
                    return Outcome::Failed(format!("after {progress} bytes: {error}"));
                }
            }
        }
        Outcome::Done
    }

    /// Nothing was sent: there is no room yet, or there will never be.
    fn cannot_send(peer: &Peer<'_>) -> Outcome {
        match peer.failed() {
            Some(error) => Outcome::Failed(error.to_string()),
            None => Outcome::Wait(Next::Wait),
        }
    }

    fn one(step: &Step, progress: &mut usize, asleep: &mut Option<u64>, peer: &mut Peer<'_>) -> Outcome {
        match step {
            Step::Send(bytes) => {
                while *progress < bytes.len() {
                    let n = peer.send(&bytes[*progress..]);
                    if n == 0 {
                        return Script::cannot_send(peer);
                    }
                    *progress += n;
                }
                Outcome::Done
            }
            Step::SendUrgent(byte) if peer.send_urgent(*byte) => Outcome::Done,
            Step::SendUrgent(_) => Script::cannot_send(peer),
            Step::Expect(bytes) => Script::recv_some(bytes.len(), Some(bytes), progress, peer),
            Step::Recv(bytes) => Script::recv_some(*bytes, None, progress, peer),
            Step::RecvToEnd => loop {
                match peer.recv(usize::MAX) {
                    Received::Bytes(_) => {}
                    Received::Nothing => return Outcome::Wait(Next::Wait),
                    Received::End | Received::Failed(_) => return Outcome::Done,
                }
            },
            Step::ExpectEnd => {
                let before = peer.received().len();
                match peer.recv(64) {
                    Received::Bytes(_) => {
                        Outcome::Failed(format!("{} came", Shown(&peer.received()[before..])))
                    }
                    Received::Nothing => Outcome::Wait(Next::Wait),
                    Received::End => Outcome::Done,
                    Received::Failed(error) => Outcome::Failed(error.to_string()),
                }
            }
            Step::ExpectReset => loop {
                match peer.recv(usize::MAX) {
                    Received::Bytes(_) => {}
                    Received::Nothing => return Outcome::Wait(Next::Wait),
                    Received::End => return Outcome::Failed("the end came in order".into()),
                    Received::Failed(_) => return Outcome::Done,
                }
            },
            Step::Wait(time) => {
                let now = peer.now().as_nanos();
                let until = *asleep.get_or_insert_with(|| {
                    now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
                });
                if now >= until {
                    *asleep = None;
                    return Outcome::Done;
                }
                Outcome::Wait(Next::WaitFor(Duration::from_nanos(until - now)))
            }
            Step::Shutdown => {
                peer.shutdown();
                Outcome::Done
            }
            Step::Close => {
                peer.close();
                Outcome::Done
            }
            Step::Reset => {
                peer.reset();
                Outcome::Done
            }
        }
    }
}

enum Outcome {
    Done,
    Wait(Next),
    Failed(String),
    /// What came is not what had to.
    Wrong(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_cannot_be_played_says_which_step_is_wrong() {
        let wrong = Script::new().send(b"a").shutdown().expect_end().send(b"b");
        assert_eq!(wrong.check(), Err("step 4 of the script is `send \"b\"`, after `shutdown`".into()));
        let wrong = Script::new().close().expect(b"x");
        assert_eq!(wrong.check(), Err("step 2 of the script is `expect \"x\"`, after `close`".into()));
        let wrong =
            Script::new().wait(Duration::from_secs(1)).wait(Duration::MAX).check().expect_err("for ever");
        assert!(wrong.starts_with("step 2 of the script is `wait "), "{wrong}");
        assert_eq!(Script::new().shutdown().recv_to_end().close().check(), Ok(()));
    }
}
