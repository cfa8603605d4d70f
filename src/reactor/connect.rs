//! Connecting: attempts under way, their outcome, and turning them into connections.
//!
//! It knows when an attempt has succeeded, failed or taken too long. The outcome is always reported by the
//! loop, never from within the call that asked for it, also when the system knows it at once.

use std::fmt;
use std::io::{self, ErrorKind};

use super::{Link, Reactor, Run};
use crate::addr::Addr;
use crate::conn::state::{State, Step};
use crate::connect::Connect;
use crate::context::ConnectWish;
use crate::error::CloseReason;
use crate::handler::{Handler, Origin};
use crate::id::ConnId;
use crate::net::{Interest, Network};
use crate::table::slot::Odd;

/// An attempt to connect.
pub(super) struct Attempt<N: Network> {
    /// None when it failed at once or was closed before it began: only the report is owed.
    pub(super) stream: Option<N::Stream>,
    key: u64,
}

impl<N: Network> fmt::Debug for Attempt<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What is known of an attempt after an event.
enum Outcome {
    Connected,
    Pending,
    Failed(io::Error),
}

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Begins the connects that callbacks asked for.
    pub(super) fn grant_connects(&mut self) {
        let mut wishes = std::mem::take(&mut self.cx.wishes.connect);
        for wish in wishes.drain(..) {
            let ConnectWish { id, connect, key } = wish;
            let index = id.slot();
            let mut attempt = Attempt { stream: None, key };
            // Unless it was closed again before it began.
            if self.cx.table.slots[index].state == State::Connecting {
                match self.begin_connect(&connect, id) {
                    Ok(stream) => {
                        attempt.stream = Some(stream);
                        self.cx.table.rearm(index, &self.cx.config, self.cx.now);
                    }
                    Err(error) => self.cx.table.end(index, CloseReason::Io(error)),
                }
            }
            self.attempts.insert(id, attempt);
        }
        // No callback ran meanwhile that could have asked for more.
        self.cx.wishes.connect = wishes;
    }

    fn begin_connect(&mut self, connect: &Connect, id: ConnId) -> io::Result<N::Stream> {
        let stream = self.net.connect(&connect.to, connect)?;
        self.cx.stats.calls.register += 1;
        self.net.register(&stream, id, Interest::InputAndOutput)?;
        Ok(stream)
    }

    /// An event of a connection that is connecting.
    pub(super) fn visit_connecting(&mut self, id: ConnId) {
        let Some(stream) = self.attempts.get(&id).and_then(|attempt| attempt.stream.as_ref()) else { return };
        match outcome(stream) {
            Outcome::Pending => {}
            Outcome::Failed(error) => self.cx.table.end(id.slot(), CloseReason::Io(error)),
            Outcome::Connected => self.connected(id),
        }
    }

    fn connected(&mut self, id: ConnId) {
        let index = id.slot();
        let Some(Attempt { stream: Some(stream), key }) = self.attempts.remove(&id) else { return };
        self.cx.table.step(index, Step::Connected);
        let now = self.cx.now;
        let slot = &mut self.cx.table.slots[index];
        let peer = slot.peer.clone();
        (slot.opened_at, slot.last_activity, slot.since) = (now, now, now);
        self.cx.stats.connected += 1;
        self.cx.begin(id);
        let Some((codec, session)) = self.introduce(&stream, peer, Origin::Connected, key) else {
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
        if attempt.stream.is_some() {
            self.cx.stats.calls.close += 1;
            self.accepting.pause.cut_short();
        }
        drop(attempt.stream);
        let key = attempt.key;
        self.cx.stats.connects_failed += 1;
        self.cx.begin(id);
        self.guard(|reactor| reactor.handler.connect_failed(&mut reactor.cx, key, reason));
        if wrong!(ConnectFailedTwice) {
            self.guard(|reactor| reactor.handler.connect_failed(&mut reactor.cx, key, reason));
        }
        self.cx.leave();
        self.start_timers();
        self.cx.table.remove(id);
        self.cx.stats.open = self.cx.table.open;
    }
}

/// Whether a connect has come to something. Readiness alone does not say: it may be spurious, and no error
/// pending does not mean connected.
fn outcome<S: crate::net::Stream>(stream: &S) -> Outcome {
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
