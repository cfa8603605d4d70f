//! Names in the simulated network: who is asked, and when the answer comes.
//!
//! It knows a table of names and questions under way. It does not know what a name looks like.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::{Event, What, World};
use crate::id::ConnId;
use crate::net::Answer;
use crate::sim::faults::Fault;

/// How much longer a lookup takes when something is wrong.
const SLOW: Duration = Duration::from_secs(5);

/// What is known of names.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<String, Known>,
    /// All there ever were; those that were answered or taken back are empty.
    questions: Vec<Option<Question>>,
    /// By host.
    answers: BTreeMap<usize, VecDeque<Answer>>,
}

#[derive(Debug)]
struct Known {
    addrs: Vec<IpAddr>,
    after: Duration,
}

#[derive(Debug)]
struct Question {
    host: usize,
    id: ConnId,
    name: String,
    port: u16,
    /// Whatever is known of the name.
    fails: bool,
}

impl World {
    /// From now on `name` stands for `addrs`, and whoever asks hears of it so much later; `Duration::MAX`: never.
    pub(crate) fn know(&mut self, name: &str, addrs: Vec<IpAddr>, after: Duration) {
        self.names.known.insert(name.to_ascii_lowercase(), Known { addrs, after });
    }

    pub(super) fn ask(&mut self, host: usize, name: &str, port: u16, id: ConnId) {
        let number = u32::try_from(self.names.questions.len()).expect("there is no room for so many");
        let name = name.to_ascii_lowercase();
        let after = self.names.known.get(&name).map_or(Duration::ZERO, |known| known.after);
        let way = self.faults.take(&mut self.tape, Fault::Unresolved, 4);
        let after = [after, after, after.saturating_add(SLOW), Duration::MAX][way];
        self.trace.note(self.now, What::Connect as u8, u32::MAX, id.to_bits());
        self.trace.say(self.now, || format!("{id} asks who {name} is"));
        self.names.questions.push(Some(Question { host, id, name, port, fails: way == 1 }));
        if after < Duration::MAX {
            let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX).saturating_add(self.latency());
            self.later(after, Event::Answer(number));
        }
    }

    pub(super) fn answer_arrives(&mut self, question: u32) {
        let Some(Question { host, id, name, port, fails }) = self.names.questions[question as usize].take()
        else {
            return;
        };
        let addrs = match self.names.known.get(&name) {
            _ if fails => Err(io::Error::new(ErrorKind::NotFound, "the servers do not know")),
            Some(known) if !known.addrs.is_empty() => {
                Ok(known.addrs.iter().map(|&ip| SocketAddr::new(ip, port)).collect())
            }
            Some(_) => Err(io::Error::new(ErrorKind::NotFound, "it has no address")),
            None => Err(io::Error::new(ErrorKind::NotFound, "no such name")),
        };
        self.trace.note(self.now, What::Arrives as u8, u32::MAX, id.to_bits());
        self.trace.say(self.now, || format!("{id} hears who {name} is: {addrs:?}"));
        self.names.answers.entry(host).or_default().push_back(Answer { id, addrs });
        self.hosts[host].waker.0.store(true, Ordering::Release);
        self.note_wakes(host);
        if let Some(actor) = self.hosts[host].actor {
            self.act_in(actor, 0);
        }
    }

    pub(super) fn next_answer(&mut self, host: usize) -> Option<Answer> {
        self.names.answers.get_mut(&host).and_then(VecDeque::pop_front)
    }

    /// `id` does not want to know any more.
    pub(super) fn unask(&mut self, host: usize, id: ConnId) {
        for question in &mut self.names.questions {
            if question.as_ref().is_some_and(|question| (question.host, question.id) == (host, id)) {
                *question = None;
            }
        }
        if let Some(answers) = self.names.answers.get_mut(&host) {
            answers.retain(|answer| answer.id != id);
        }
    }
}
