//! Connecting: attempts under way, their outcome, and turning them into connections.
//!
//! It knows when an attempt has succeeded, failed or taken too long. The outcome is always reported by the
//! loop, never from within the call that asked for it, also when the system knows it at once.

use std::fmt;
use std::io::{self, ErrorKind};
use std::mem;
use std::time::Duration;

use super::attempts::{Race, Stand};
use super::causes;
use super::connect_again::Again;
use super::{Link, Reactor, Run};
use crate::addr::Addr;
use crate::conn::state::{State, Step};
use crate::connect::{Connect, Target, in_turn};
use crate::context::{ConnectError, ConnectWish};
use crate::error::{CloseReason, Wait};
use crate::handler::{Handler, Origin};
use crate::id::ConnId;
use crate::instant::Instant;
use crate::net::{Answer, Interest, Network};
use crate::options::Options;
use crate::socket::Socket as _;
use crate::stats::Calls;
use crate::table::slot::Odd;

/// A connect under way.
pub(super) struct Attempt<N: Network> {
    key: u64,
    /// When it is given up.
    deadline: Instant,
    stage: Stage<N>,
}

/// How far a connect is.
enum Stage<N: Network> {
    /// It failed at once or was closed before it began: only the report is owed.
    Over,
    /// It is to begin later.
    Later(Box<Connect>),
    /// The name is being looked up.
    Lookup(Box<Connect>),
    /// It could not begin, and is tried again.
    Again(Box<Again>),
    /// One address is tried.
    One(N::Stream),
    /// Several are.
    Race(Box<Race<N>>),
}

impl<N: Network> fmt::Debug for Attempt<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<N: Network> Attempt<N> {
    /// Its socket, or that of the address that is tried first.
    pub(super) fn stream(&self) -> Option<&N::Stream> {
        match &self.stage {
            Stage::Over | Stage::Later(_) | Stage::Lookup(_) | Stage::Again(_) => None,
            Stage::One(stream) => Some(stream),
            Stage::Race(race) => race.first(),
        }
    }

    /// Sets options of all sockets there are, and has those that come have them from the beginning.
    pub(super) fn set_options(&mut self, options: &Options) -> Option<io::Result<()>> {
        // Before they are kept for sockets to come, none of which could be opened with them.
        if let Err(error) = options.validate() {
            return if matches!(self.stage, Stage::Over) { None } else { Some(Err(error)) };
        }
        match &mut self.stage {
            Stage::Over => None,
            Stage::One(stream) => Some(stream.set_options(options)),
            Stage::Race(race) => Some(race.set_options(options)),
            Stage::Later(connect) | Stage::Lookup(connect) => {
                connect.options = options.clone().or(mem::take(&mut connect.options));
                Some(Ok(()))
            }
            Stage::Again(again) => {
                let connect = &mut again.connect;
                connect.options = options.clone().or(mem::take(&mut connect.options));
                Some(Ok(()))
            }
        }
    }
}

/// What is known of an attempt after an event.
pub(super) enum Outcome {
    Connected,
    Pending,
    Failed(io::Error),
}

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Connects to an address, or as a [`Connect`] says: [`Context::connect`](crate::Context::connect) from outside of
    /// callbacks.
    pub fn connect(&mut self, to: impl Into<Connect>, key: u64) -> Result<ConnId, ConnectError> {
        if self.run == Run::Stopped {
            return Err(ConnectError::STOPS);
        }
        self.with(|_, cx| cx.connect(to, key))
    }

    /// Begins the connects that callbacks asked for.
    pub(super) fn grant_connects(&mut self) {
        let mut wishes = mem::take(&mut self.cx.wishes.connect);
        for wish in wishes.drain(..) {
            let ConnectWish { id, connect, key } = wish;
            let index = id.slot();
            let mut attempt = Attempt { key, deadline: self.cx.table.slots[index].since, stage: Stage::Over };
            // Unless it was closed again before it began.
            if self.cx.table.slots[index].state == State::Connecting {
                if connect.after > Duration::ZERO {
                    self.cx.table.slots[index].since = self.cx.now + connect.after;
                    attempt.stage = Stage::Later(Box::new(connect));
                } else {
                    attempt.stage = self.begin_connect(connect, id);
                }
            }
            self.begun(id, attempt);
        }
        // No callback ran meanwhile that could have asked for more.
        self.cx.wishes.connect = wishes;
    }

    /// Begins a connect whose time has come.
    #[cold]
    fn begin_later(&mut self, id: ConnId) {
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        let Stage::Later(connect) = mem::replace(&mut attempt.stage, Stage::Over) else { return };
        attempt.deadline = self.cx.now + connect.timeout.unwrap_or(self.cx.config.connect_timeout);
        self.cx.table.slots[id.slot()].since = attempt.deadline;
        attempt.stage = self.begin_connect(*connect, id);
        self.begun(id, attempt);
    }

    /// Keeps an attempt that has begun, or is over already.
    fn begun(&mut self, id: ConnId, attempt: Attempt<N>) {
        let is_race = matches!(attempt.stage, Stage::Race(_));
        self.attempts.insert(id, attempt);
        if is_race {
            self.go_on(id);
        }
        self.cx.table.rearm(id.slot(), &self.cx.config, self.cx.now);
    }

    fn begin_connect(&mut self, connect: Connect, id: ConnId) -> Stage<N> {
        self.first_stage(connect, id).unwrap_or_else(|error| {
            self.cx.table.end(id.slot(), CloseReason::Io(error));
            Stage::Over
        })
    }

    fn first_stage(&mut self, connect: Connect, id: ConnId) -> io::Result<Stage<N>> {
        match &connect.to {
            Target::One(addr) => match open(&mut self.net, &mut self.cx.stats.calls, addr, &connect, id) {
                Ok(stream) => Ok(Stage::One(stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut again = Again::new(connect);
                    self.put_off(id, &mut again);
                    Ok(Stage::Again(Box::new(again)))
                }
                Err(error) => Err(error),
            },
            Target::Any(addrs) => {
                let addrs = addrs.clone();
                Ok(Stage::Race(Box::new(Race::new(connect, addrs))))
            }
            Target::Name(name) => {
                let limit = self.cx.config.lookups_max;
                if self.lookups >= limit {
                    return Err(causes::too_many(name, limit));
                }
                self.net.look_up(&name.host, name.port, id)?;
                self.lookups += 1;
                Ok(Stage::Lookup(Box::new(connect)))
            }
        }
    }

    /// Names may have been looked up.
    pub(super) fn take_answers(&mut self) {
        while self.lookups > 0 {
            let Some(answer) = self.net.answer() else { return };
            self.looked_up(answer);
        }
    }

    fn looked_up(&mut self, answer: Answer) {
        let Answer { id, addrs } = answer;
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let connect = match mem::replace(&mut attempt.stage, Stage::Over) {
            Stage::Lookup(connect) => connect,
            other @ (Stage::Over | Stage::Later(_) | Stage::Again(_) | Stage::One(_) | Stage::Race(_)) => {
                attempt.stage = other;
                return;
            }
        };
        self.lookups -= 1;
        match addrs {
            Ok(addrs) => {
                let mut addrs = in_turn(addrs);
                addrs.truncate(Connect::ADDRS_MAX);
                attempt.stage = Stage::Race(Box::new(Race::new(*connect, addrs)));
                // Otherwise it is closed, and this is not wanted any more.
                if self.cx.table.slots[id.slot()].state == State::Connecting {
                    self.go_on(id);
                    self.cx.table.rearm(id.slot(), &self.cx.config, self.cx.now);
                }
            }
            Err(error) => {
                let error = match connect.to {
                    Target::Name(name) => causes::unknown(&name, error),
                    Target::One(_) | Target::Any(_) => error,
                };
                self.cx.table.end(id.slot(), CloseReason::Io(error));
            }
        }
    }

    /// An event of a connection that is connecting.
    pub(super) fn visit_connecting(&mut self, id: ConnId) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        match &attempt.stage {
            Stage::One(stream) => match outcome(stream) {
                Outcome::Pending => {}
                Outcome::Failed(error) => self.cx.table.end(id.slot(), CloseReason::Io(error)),
                Outcome::Connected => self.connected(id),
            },
            Stage::Race(_) => {
                self.with_race(id, Race::look);
                self.cx.table.rearm(id.slot(), &self.cx.config, self.cx.now);
            }
            Stage::Over | Stage::Later(_) | Stage::Lookup(_) | Stage::Again(_) => {}
        }
    }

    /// Has a connect tried again after its pause, unless its own time is over before.
    fn put_off(&mut self, id: ConnId, again: &mut Again) {
        let slot = &mut self.cx.table.slots[id.slot()];
        slot.since = again.pause.put_off(self.cx.now).min(slot.since);
    }

    /// Tries a connect again whose pause is over.
    #[cold]
    fn try_again(&mut self, id: ConnId) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let Stage::Again(mut again) = mem::replace(&mut attempt.stage, Stage::Over) else { return };
        let Target::One(addr) = &again.connect.to else { return };
        self.cx.table.slots[id.slot()].since = attempt.deadline;
        match open(&mut self.net, &mut self.cx.stats.calls, addr, &again.connect, id) {
            Ok(stream) => attempt.stage = Stage::One(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.put_off(id, &mut again);
                if let Some(attempt) = self.attempts.get_mut(&id) {
                    attempt.stage = Stage::Again(again);
                }
            }
            Err(error) => self.cx.table.end(id.slot(), CloseReason::Io(error)),
        }
    }

    /// The time of a connect is over, or that of the address it tries.
    pub(super) fn connect_due(&mut self, index: usize) {
        let id = self.cx.table.slots[index].id;
        let wait = match self.attempts.get(&id) {
            Some(Attempt { deadline, stage: Stage::Race(_), .. }) if *deadline > self.cx.now => {
                self.go_on(id);
                return self.cx.table.rearm(index, &self.cx.config, self.cx.now);
            }
            Some(Attempt { stage: Stage::Later(_), .. }) => return self.begin_later(id),
            Some(Attempt { deadline, stage: Stage::Again(_), .. }) if *deadline > self.cx.now => {
                self.try_again(id);
                return self.cx.table.rearm(index, &self.cx.config, self.cx.now);
            }
            Some(Attempt { stage: Stage::Lookup(_), .. }) => Wait::Lookup,
            Some(_) | None => Wait::Connect,
        };
        self.cx.table.end(index, CloseReason::TimedOut(wait));
    }

    /// Tries the next address.
    fn go_on(&mut self, id: ConnId) {
        // The first descriptor of each is counted as that of its connection.
        let full = self.taken() >= self.cx.connections_max;
        self.with_race(id, |race, net, calls, id, now| {
            if full && race.descriptors() > 0 {
                race.put_off(now);
                return Stand::Open;
            }
            race.go_on(net, calls, id, now)
        });
    }

    /// Has a race do something, and does what comes of it.
    fn with_race(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Race<N>, &mut N, &mut Calls, ConnId, Instant) -> Stand<N>,
    ) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let deadline = attempt.deadline;
        let Stage::Race(race) = &mut attempt.stage else { return };
        self.beside -= race.descriptors().saturating_sub(1);
        let stand = act(race, &mut self.net, &mut self.cx.stats.calls, id, self.cx.now);
        match stand {
            Stand::Open => {
                self.beside += race.descriptors().saturating_sub(1);
                self.cx.table.slots[id.slot()].since = race.next_at.min(deadline);
            }
            Stand::Won(addr, stream) => {
                // The others are closed before anyone is told: what polls still tell of them means nothing then.
                self.cx.stats.calls.close += race.descriptors() as u64;
                attempt.stage = Stage::One(stream);
                self.cx.table.slots[id.slot()].peer = addr;
                self.connected(id);
            }
            Stand::Lost(error) => {
                attempt.stage = Stage::Over;
                self.accepting.pause.cut_short();
                self.cx.table.end(id.slot(), CloseReason::Io(error));
            }
        }
    }

    fn connected(&mut self, id: ConnId) {
        let index = id.slot();
        let Some(Attempt { stage: Stage::One(stream), key, .. }) = self.attempts.remove(&id) else { return };
        self.cx.table.step(index, Step::Connected);
        let now = self.cx.now;
        let slot = &mut self.cx.table.slots[index];
        let peer = slot.peer.clone();
        (slot.opened_at, slot.last_activity, slot.since) = (now, now, now);
        self.cx.stats.connected += 1;
        self.cx.begin(id);
        let panics = self.cx.stats.panics;
        let Some((codec, session)) = self.introduce(&stream, peer, Origin::Connected, key) else {
            if self.cx.stats.panics > panics {
                // Whoever asked for it waits for one of the two.
                self.tell_connect_failed(id, key, &CloseReason::Panicked);
            }
            return self.send_off(id, stream);
        };
        self.link(index, Link { stream, codec, session, tail: None });
        let slot = &mut self.cx.table.slots[index];
        // The event that told of the connect may also have told of data, and of an end behind it.
        slot.odd.set(Odd::UNREAD.or(Odd::READ_AGAIN));
        if wrong!(ConnectEdgeLost) {
            slot.odd.clear(Odd::UNREAD);
        }
        if slot.odd.take(Odd::FINISH) {
            self.cx.finish(id);
        }
        self.cx.table.ready_later(index);
        if self.run != Run::Running {
            self.drain_later(index);
        }
        self.settle(index);
    }

    /// Ends an attempt that is over without a connection.
    pub(super) fn attempt_over(&mut self, id: ConnId, reason: &CloseReason) {
        let attempt = self.attempts.remove(&id).expect("a connection without a link is connecting");
        let descriptors = match &attempt.stage {
            Stage::Over | Stage::Later(_) | Stage::Again(_) => 0,
            Stage::Lookup(_) => {
                self.lookups -= 1;
                self.net.take_back(id);
                0
            }
            Stage::One(_) => 1,
            Stage::Race(race) => {
                self.beside -= race.descriptors().saturating_sub(1);
                race.descriptors()
            }
        };
        drop(attempt.stage);
        if descriptors > 0 {
            self.cx.stats.calls.close += descriptors as u64;
            self.accepting.pause.cut_short();
        }
        self.tell_connect_failed(id, attempt.key, reason);
        self.cx.leave();
        self.start_timers();
        self.cx.table.remove(id);
        self.cx.stats.open = self.cx.table.open;
    }

    fn tell_connect_failed(&mut self, id: ConnId, key: u64, reason: &CloseReason) {
        self.cx.stats.connects_failed += 1;
        self.cx.begin(id);
        self.guard(|reactor| reactor.handler.connect_failed(&mut reactor.cx, key, reason));
        if wrong!(ConnectFailedTwice) {
            self.guard(|reactor| reactor.handler.connect_failed(&mut reactor.cx, key, reason));
        }
    }
}

/// Begins to connect to one address.
pub(super) fn open<N: Network>(
    net: &mut N,
    calls: &mut Calls,
    addr: &Addr,
    connect: &Connect,
    id: ConnId,
) -> io::Result<N::Stream> {
    if let (Some(local), Some(to)) = (connect.local, addr.socket_addr()) {
        if local.is_ipv4() != to.is_ipv4() {
            return Err(causes::other_family(addr, local));
        }
    }
    let stream = net.connect(addr, connect).map_err(|error| causes::not_begun(error, connect.local))?;
    calls.register += 1;
    net.register(&stream, id, Interest::InputAndOutput)?;
    Ok(stream)
}

/// Whether a connect has come to something. Readiness alone does not say: it may be spurious, and no error
/// pending does not mean connected.
pub(super) fn outcome<S: crate::net::Stream>(stream: &S) -> Outcome {
    match stream.take_error() {
        Ok(None) => {}
        Ok(Some(_)) if wrong!(ConnectErrorIgnored) => {}
        Ok(Some(error)) | Err(error) => return Outcome::Failed(error),
    }
    if wrong!(SpuriousConnect) {
        return Outcome::Connected;
    }
    match stream.peer_addr() {
        Ok(peer) => match stream.local_addr() {
            // On loopback, a port of the ephemeral range that nobody listens on can meet itself.
            Ok(local) if local == peer && local != Addr::Unnamed && !wrong!(SelfConnectAccepted) => {
                Outcome::Failed(io::Error::new(ErrorKind::ConnectionRefused, "connected to itself"))
            }
            Ok(_) | Err(_) => Outcome::Connected,
        },
        Err(error) if error.kind() == ErrorKind::NotConnected => Outcome::Pending,
        Err(error) => Outcome::Failed(error),
    }
}
