//! Listeners: taking new connections in, within budgets and caps, and through times without descriptors.
//!
//! It knows which listeners may have connections waiting and when accepting must pause. What is done with a
//! connection once it is in is not its business.

use std::io;

use super::listening::Listening;
use super::{Link, Reactor, Run};
use crate::addr::Addr;
use crate::config::OnCap;
use crate::conn::state::State;
use crate::error::CloseReason;
use crate::handler::{Handler, Origin, Peer};
use crate::id::{ConnId, ListenerId};
use crate::instant::Instant;
use crate::net::{Interest, Listener as _, Network, Trigger, Trouble};
use crate::table::chores::Chores;
use crate::table::slot::Odd;

/// What one look at a listener came to.
enum Accepted {
    /// One connection was taken in, or one could not be: there may be more.
    One,
    /// Nothing is waiting.
    Nothing,
    /// Accepting has to wait: for a close, or for time.
    Later,
}

impl<H: Handler, N: Network> Reactor<H, N> {
    /// An event of a listener.
    pub(super) fn listener_ready(&mut self, id: ListenerId) {
        let Some(at) = self.listeners.iter().position(|listening| listening.id == id) else {
            self.cx.stats.stale_events += 1;
            return;
        };
        self.listeners[at].ready = true;
        self.cx.table.chores.set(Chores::ACCEPT);
        if !self.listeners[at].can_accept() || !self.has_room() {
            self.tell_once(at);
        }
    }

    /// How many descriptors connections have: addresses that are tried side by side have one each.
    pub(super) fn taken(&self) -> usize {
        self.cx.table.open + self.beside
    }

    /// Whether connections could be taken in, if any wait.
    fn has_room(&self) -> bool {
        self.accepting.pause.until.is_none()
            && (self.cx.config.on_cap == OnCap::Refuse || self.taken() < self.cx.connections_max)
    }

    /// Whether accepting would get on at once.
    #[inline]
    pub(super) fn can_accept(&self) -> bool {
        self.cx.table.chores.any(Chores::ACCEPT)
            && self.has_room()
            && self.listeners.iter().any(Listening::can_accept)
    }

    /// When to try again, while accepting pauses.
    #[inline]
    pub(super) fn accept_retry(&self) -> Option<Instant> {
        if !self.cx.table.chores.any(Chores::ACCEPT) {
            return None;
        }
        let own = self.listeners.iter().filter_map(|listening| listening.pause.until).min();
        [self.accepting.pause.until, own].into_iter().flatten().min()
    }

    /// Has polls tell of a listener only when one more connection comes.
    fn tell_once(&mut self, at: usize) {
        let Listening { id, ref listener, trigger, .. } = self.listeners[at];
        if trigger == Trigger::Level && !wrong!(ToldThoughFull) {
            self.listeners[at].trigger = self.net.set_trigger(listener, id, Trigger::Edge);
        }
    }

    /// Has polls tell of a listener as long as connections wait.
    fn tell_again(&mut self, at: usize) {
        let Listening { id, ref listener, trigger, closing, .. } = self.listeners[at];
        if trigger == Trigger::Edge && !closing {
            self.listeners[at].trigger = self.net.set_trigger(listener, id, Trigger::Level);
        }
    }

    /// Accepts from every listener that has connections waiting, each within the budget.
    pub(super) fn accept_all(&mut self) {
        self.accepting.pause.end_if_due(self.cx.now);
        // Each begins in turn: at the cap, what becomes free would always go to the first one's clients.
        if self.listeners.len() > 1 && self.has_room() {
            self.listeners.rotate_left(1);
        }
        let (mut at, mut any_ready) = (0, false);
        while at < self.listeners.len() {
            self.listeners[at].pause.end_if_due(self.cx.now);
            if self.listeners[at].can_accept() && self.has_room() {
                self.accept_from(at);
            }
            let listening = &self.listeners[at];
            if listening.closing && !listening.ready {
                let closed = self.listeners.swap_remove(at);
                self.net.unlisten(closed.listener);
            } else {
                any_ready |= listening.ready;
                at += 1;
            }
        }
        self.cx.table.chores.put(Chores::ACCEPT, any_ready);
    }

    // One in a turn, as long as they come one at a time. When there was one behind it, as many as there are: or as
    // many turns as connections would pass until all are in.
    fn accept_from(&mut self, at: usize) {
        let turn = self.cx.stats.turns;
        let listening = &self.listeners[at];
        let alone = listening.is_told_again() && listening.trusted_in + 1 != turn;
        if alone {
            // The poll before this one did not tell of it.
            self.relax(at);
        }
        let budget = if alone { 1 } else { self.cx.config.accepts_per_turn };
        for _ in 0..budget {
            match self.accept_one(at) {
                Accepted::One if wrong!(AcceptsOnce) => {
                    self.listeners[at].ready = false;
                    return;
                }
                Accepted::One => {}
                Accepted::Nothing => {
                    self.relax(at);
                    self.listeners[at].ready = false;
                    return self.tell_again(at);
                }
                Accepted::Later => return self.tell_once(at),
            }
        }
        let listening = &mut self.listeners[at];
        if listening.is_told_again() {
            listening.trusted_in = turn;
            listening.ready = false;
        }
        if wrong!(AcceptBudgetMissing) {
            self.accept_from(at);
        }
    }

    /// Nobody waits at a listener: whatever kept them waiting may be over.
    fn relax(&mut self, at: usize) {
        let (now, max) = (self.cx.now, self.cx.config.accept_retry_max);
        self.accepting.pause.relax(now, max);
        self.listeners[at].pause.relax(now, max);
    }

    fn accept_one(&mut self, at: usize) -> Accepted {
        let capped = self.taken() >= self.cx.connections_max;
        let capped = capped && !(wrong!(CapOffByOne) && self.taken() == self.cx.connections_max);
        if capped && self.cx.config.on_cap == OnCap::Wait {
            self.cx.stats.cap_stops += 1;
            return Accepted::Later;
        }
        self.cx.stats.calls.accept += 1;
        let listening = &self.listeners[at];
        match listening.listener.accept() {
            Ok((stream, addr)) => {
                let (origin, key) = (Origin::Accepted(listening.id), listening.key);
                let max = self.cx.config.connections_per_address_max;
                if capped || max.is_some_and(|max| !self.cx.table.admit(&addr, max)) {
                    self.cx.stats.refused += 1;
                    self.turn_away(stream);
                } else {
                    self.cx.stats.accepted += 1;
                    let id = self.open(stream, addr, origin, key);
                    self.after_visit(id.unwrap_or(ConnId::NONE));
                }
                Accepted::One
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Nothing,
            Err(error) if wrong!(AcceptInterruptedEnds) && error.kind() == io::ErrorKind::Interrupted => {
                self.listeners[at].ready = false;
                Accepted::Later
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Accepted::One,
            Err(error) => match N::trouble(&error) {
                Trouble::Connection if wrong!(AbortedEndsListener) => {
                    self.listeners[at].closing = true;
                    Accepted::Nothing
                }
                Trouble::Connection => {
                    log::debug!("a connection was gone before it was accepted: {error}");
                    Accepted::One
                }
                Trouble::Exhausted if wrong!(AcceptNotRetried) => {
                    self.listeners[at].ready = false;
                    Accepted::Later
                }
                Trouble::Exhausted if wrong!(AcceptSpins) => Accepted::Later,
                Trouble::Exhausted => {
                    self.pause_accepting(&error);
                    Accepted::Later
                }
                Trouble::Socket => {
                    self.pause_listener(at, &error);
                    Accepted::Later
                }
            },
        }
    }

    fn pause_accepting(&mut self, error: &io::Error) {
        let (min, max) = (self.cx.config.accept_retry_min, self.cx.config.accept_retry_max);
        self.cx.stats.accept_pauses += 1;
        if self.accepting.pause.prolong(self.cx.now, min, max) {
            log::warn!(
                "accepting pauses with {} connections open and is tried again after {min:?}, doubling to {max:?}, \
                 and on any close: {error}",
                self.cx.table.open
            );
        }
    }

    /// The socket of one listener fails: someone else has shut it down, or worse.
    fn pause_listener(&mut self, at: usize, error: &io::Error) {
        let (min, max) = (self.cx.config.accept_retry_min, self.cx.config.accept_retry_max);
        let listening = &mut self.listeners[at];
        if listening.pause.prolong(self.cx.now, min, max) {
            log::error!(
                "{:?} does not accept and is tried again, at last each {max:?}: {error}",
                listening.id
            );
        }
        // Nothing to be had from it: it must not hold up its own close.
        listening.ready &= !listening.closing;
    }

    /// Resets a connection that is not wanted.
    fn turn_away(&mut self, stream: N::Stream) {
        reset(&stream);
        drop(stream);
        self.cx.stats.calls.close += 1;
    }

    /// Gives a stream a slot and a place in the poll.
    pub(super) fn open(&mut self, stream: N::Stream, peer: Addr, origin: Origin, key: u64) -> Option<ConnId> {
        let accepted = matches!(origin, Origin::Accepted(_));
        let counted = accepted && self.cx.config.connections_per_address_max.is_some();
        let Some(id) = self.cx.table.insert(peer.clone(), State::Open, self.cx.now) else {
            if counted {
                self.cx.table.dismiss(&peer);
            }
            self.cx.stats.refused += 1;
            self.turn_away(stream);
            return None;
        };
        let index = id.slot();
        self.cx.table.slots[index].counted = counted;
        self.cx.stats.open = self.cx.table.open;
        self.cx.begin_plain(id);
        let Some((codec, session)) = self.introduce(&stream, peer, origin, key) else {
            self.send_off(id, stream);
            return None;
        };
        self.cx.stats.calls.register += 1;
        // It takes output now, and most take all there ever is: to be told so is of no use.
        let registered = self.net.register(&stream, id, Interest::Input);
        self.link(index, Link { stream, codec, session, tail: None });
        if let Err(error) = registered {
            // Nothing of it was read: its peer must not take the end for an orderly one.
            self.cx.table.end_with_reset(index, CloseReason::Io(error));
        }
        if self.run != Run::Running {
            self.drain_later(index);
        }
        let has_wait = self.cx.config.idle_timeout.is_some();
        if has_wait || !self.cx.table.slots[index].odd.is_none() || !self.cx.out.is_empty() {
            // What `opened` sent may already be gone, and `writable` be called.
            self.guard(|reactor| reactor.settle(index));
        } else {
            self.cx.leave();
            self.start_timers();
        }
        Some(id)
    }

    /// Shows a new connection to the handler: what that makes for it, if it is wanted.
    #[inline]
    pub(super) fn introduce(
        &mut self,
        stream: &N::Stream,
        peer: Addr,
        origin: Origin,
        key: u64,
    ) -> Option<(H::Codec, H::Session)> {
        let mut made = None;
        let peer = Peer::new(peer, origin, key, stream);
        self.guard(|reactor| made = reactor.handler.opened(&mut reactor.cx, &peer));
        made
    }

    /// Resets a connection that the handler does not want, and frees its slot.
    #[cold]
    pub(super) fn send_off(&mut self, id: ConnId, stream: N::Stream) {
        self.cx.leave();
        self.cx.out.clear();
        self.start_timers();
        self.cx.table.remove(id);
        self.cx.stats.open = self.cx.table.open;
        self.cx.stats.turned_away += 1;
        self.turn_away(stream);
    }

    /// Puts what belongs to connection `index` beside its slot.
    #[inline]
    pub(super) fn link(&mut self, index: usize, link: Link<H, N>) {
        if self.links.len() <= index {
            self.make_room_for_links(index);
        }
        let place = &mut self.links[index];
        assert!(place.is_none(), "the last connection of a slot takes its link along");
        *place = Some(link);
        if self.cx.config.first_frame_timeout.is_some() {
            self.cx.table.slots[index].odd.set(Odd::FIRST);
        }
    }

    #[cold]
    fn make_room_for_links(&mut self, index: usize) {
        self.links.resize_with(index + 1, || None);
    }

    /// Takes a listener in. One that is opened during a drain closes with the others.
    pub(super) fn add_listener(&mut self, listening: Listening<N>) {
        self.listeners.push(listening);
        self.cx.table.chores.set(Chores::ACCEPT);
        if self.run != Run::Running {
            self.close_listeners();
        }
    }

    /// Opens and closes listeners as callbacks asked for.
    pub(super) fn grant_listeners(&mut self) {
        let wishes = std::mem::take(&mut self.cx.wishes.listen);
        for (id, listen) in wishes {
            // A listener more would keep a drain from its end.
            let listener = match self.run {
                Run::Running => self.net.listen(&listen, id),
                Run::Draining(_) | Run::Stopped => Err(io::Error::other("the reactor stops")),
            };
            match listener {
                Ok(listener) => self.add_listener(Listening::new(id, listener, listen.key)),
                Err(error) => {
                    self.guard(|reactor| reactor.handler.listen_failed(&mut reactor.cx, id, &error));
                    self.start_timers();
                }
            }
        }
        for id in std::mem::take(&mut self.cx.wishes.unlisten) {
            if let Some(listening) = self.listeners.iter_mut().find(|listening| listening.id == id) {
                listening.closing = true;
                listening.ready = !wrong!(BacklogDropped);
                self.cx.table.chores.set(Chores::ACCEPT);
            }
        }
    }

    /// Has every listener closed once its backlog is accepted.
    pub(super) fn close_listeners(&mut self) {
        for listening in &mut self.listeners {
            listening.closing = true;
            listening.ready = !wrong!(BacklogDropped);
            self.cx.table.chores.set(Chores::ACCEPT);
        }
    }
}

/// Makes the close that follows a reset. If that fails the connection is gone already.
pub(super) fn reset(stream: &impl crate::net::Stream) {
    if wrong!(AbortLooksOrderly) {
        return;
    }
    if let Err(error) = stream.reset_on_close() {
        log::debug!("a connection could not be reset: {error}");
    }
}
