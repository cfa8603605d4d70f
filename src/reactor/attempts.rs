//! Several addresses for one connection: tried in turn, side by side when one takes its time (RFC 8305).
//!
//! It knows which addresses were tried, with what result, and when the next one is. It does not know events: who calls
//! says when to look, and is told who has won or that all is lost.
//!
//! ```text
//!  waiting [ d c b ] ──next──▶ runners [ a ──────?─────── ]     after the stagger, or when one has failed
//!                                      [ b ──connected ]──▶ the winner; the other runners are closed
//!                      failure ◀──refused── [ c ]               the one that says most is kept
//! ```

use std::fmt;
use std::io::{self, ErrorKind};
use std::mem;

use super::causes::{all_failed, says_little};
use super::connect::{Outcome, open, outcome};
use super::connect_again::Pause;
use crate::addr::Addr;
use crate::connect::Connect;
use crate::id::ConnId;
use crate::instant::Instant;
use crate::net::Network;
use crate::options::Options;
use crate::socket::Socket as _;
use crate::stats::Calls;

/// The attempts of one connect to several addresses.
pub(super) struct Race<N: Network> {
    connect: Connect,
    /// Not tried yet, or with a full backlog when they were; the next one last.
    waiting: Vec<Addr>,
    runners: Vec<(Addr, N::Stream)>,
    tried: usize,
    /// The failure so far that says most.
    failure: Option<(Addr, io::Error)>,
    /// When the next one is tried, should nothing happen before.
    pub(super) next_at: Instant,
    /// How long nothing is tried when all that is left are full backlogs.
    pause: Pause,
}

/// How a race stands.
pub(super) enum Stand<N: Network> {
    Open,
    Won(Addr, N::Stream),
    Lost(io::Error),
}

impl<N: Network> Race<N> {
    pub(super) fn new(connect: Connect, mut addrs: Vec<Addr>) -> Race<N> {
        addrs.reverse();
        let next_at = Instant::NEVER;
        let pause = Pause::new();
        Race { connect, waiting: addrs, runners: Vec::new(), tried: 0, failure: None, next_at, pause }
    }

    /// The socket that was opened first, of those there are.
    pub(super) fn first(&self) -> Option<&N::Stream> {
        self.runners.first().map(|(_, stream)| stream)
    }

    /// Sets options of all sockets there are and of those to come. Of several errors the first is told.
    pub(super) fn set_options(&mut self, options: &Options) -> io::Result<()> {
        self.connect.options = options.clone().or(mem::take(&mut self.connect.options));
        let results = self.runners.iter().map(|(_, stream)| stream.set_options(options));
        results.fold(Ok(()), io::Result::and)
    }

    /// How many descriptors it has.
    pub(super) fn descriptors(&self) -> usize {
        self.runners.len()
    }

    /// Tries the next address; those that fail at once are passed over. A Unix listener whose backlog is full has not
    /// failed: it is tried again, behind all others.
    pub(super) fn go_on(&mut self, net: &mut N, calls: &mut Calls, id: ConnId, now: Instant) -> Stand<N> {
        let mut full = Vec::new();
        while let Some(addr) = self.waiting.pop() {
            match open(net, calls, &addr, &self.connect, id) {
                Ok(stream) => {
                    self.tried += 1;
                    self.runners.push((addr, stream));
                    break;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => full.push(addr),
                Err(error) => {
                    self.tried += 1;
                    self.failed(addr, error);
                }
            }
        }
        self.waiting.splice(0..0, full.into_iter().rev());
        self.put_off(now);
        if self.runners.is_empty() && !self.waiting.is_empty() {
            self.next_at = self.pause.put_off(now);
            Stand::Open
        } else if self.runners.is_empty() {
            Stand::Lost(all_failed(&self.connect.to, self.tried, self.failure.take()))
        } else {
            Stand::Open
        }
    }

    /// Has the next address wait for its turn, from now.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.next_at = if self.waiting.is_empty() || wrong!(StaggerForgotten) {
            Instant::NEVER
        } else {
            now + self.connect.stagger
        };
    }

    /// Asks every runner how it stands: an event does not say which of them it is of.
    pub(super) fn look(&mut self, net: &mut N, calls: &mut Calls, id: ConnId, now: Instant) -> Stand<N> {
        let mut failed = false;
        let mut at = 0;
        while at < self.runners.len() {
            match outcome(&self.runners[at].1) {
                Outcome::Pending => at += 1,
                Outcome::Connected => {
                    let (addr, stream) = self.runners.remove(at);
                    return Stand::Won(addr, stream);
                }
                Outcome::Failed(error) => {
                    let (addr, stream) = self.runners.remove(at);
                    calls.close += 1;
                    drop(stream);
                    self.failed(addr, error);
                    failed = true;
                }
            }
        }
        if failed && !wrong!(FailureWaits) { self.go_on(net, calls, id, now) } else { Stand::Open }
    }

    /// Notes a failure: the one that says most, of equals the last.
    fn failed(&mut self, addr: Addr, error: io::Error) {
        log::trace!("{addr}: {error}, {} more to try", self.waiting.len());
        if self.failure.as_ref().is_none_or(|(_, before)| says_little(before) || !says_little(&error)) {
            self.failure = Some((addr, error));
        }
    }
}

impl<N: Network> fmt::Debug for Race<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Race")
            .field("waiting", &self.waiting)
            .field("runners", &self.runners.len())
            .field("tried", &self.tried)
            .finish_non_exhaustive()
    }
}
