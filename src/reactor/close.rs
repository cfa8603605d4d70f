//! How connections end: the list of those that are over, draining, stopping.
//!
//! It knows the order of an end: socket, `closed`, slot. Why a connection ends was decided before.

use std::io;

use super::accept::reset;
use super::{Link, Reactor, Run};
use crate::conn::state::State;
use crate::context::Stop;
use crate::error::{Close, CloseReason};
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Network;
use crate::table::chores::Chores;
use crate::table::slot::Odd;

/// How many connections are closed in one turn at most: the rest follow in the next, after I/O.
const CLOSES_PER_TURN: usize = 1024;

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Closes what is on the list, oldest first, up to `budget`. What callbacks put on it waits for the next turn.
    fn close_some(&mut self, budget: usize) {
        let count = self.cx.table.closing.len().min(budget);
        for at in 0..count {
            self.close_one(self.cx.table.closing[at]);
        }
        self.cx.table.closing.drain(..count);
        let any_left = !self.cx.table.closing.is_empty();
        self.cx.table.chores.put(Chores::CLOSE, any_left);
    }

    /// Closes what is on the list, within the budget of a turn.
    pub(super) fn close_due(&mut self) {
        self.close_some(CLOSES_PER_TURN);
    }

    fn close_one(&mut self, id: ConnId) {
        let index = id.slot();
        // Turned away while it was being opened: gone already.
        let Some(slot) = self.cx.table.get(id) else { return };
        // What is still queued will never be sent: the peer must not take the end for an orderly one.
        let is_cut = slot.odd.any(Odd::RESET) || !slot.queue.is_none();
        let reason = self.cx.table.take_reason(index);
        let reason: &CloseReason = &reason;
        let Some(link) = self.links.get_mut(index).and_then(Option::take) else {
            return self.attempt_over(id, reason);
        };
        let Link { stream, codec, session, tail } = link;
        self.put_by(tail);
        if is_cut {
            reset(&stream);
        }
        if !self.adopted.is_empty() && self.adopted.remove(&id) {
            if let Err(error) = self.net.deregister(&stream) {
                log::debug!("connection {id} could not be taken out of the poll: {error}");
            }
        }
        // The descriptor is free before anyone is told.
        drop(stream);
        self.cx.stats.calls.close += 1;
        self.cx.stats.count_close(reason);
        log::trace!("connection {id}: {reason}");
        self.cx.begin_closed(id);
        self.guard(|reactor| {
            reactor.handler.closed(&mut reactor.cx, session, reason);
            drop(codec);
        });
        self.cx.leave();
        self.cx.out.clear();
        self.start_timers();
        self.after_visit(id);
        self.cx.table.remove(id);
        self.cx.stats.open = self.cx.table.open;
        self.accepting.pause.cut_short();
    }

    /// Carries out a stop that was asked for.
    pub(super) fn stop_if_asked(&mut self) {
        if let Some(stop) = self.cx.wishes.stop.take() {
            match (stop, self.run) {
                (Stop::Now, _) => self.stop_now(),
                (Stop::Drain, Run::Running) => {
                    self.guard(|reactor| reactor.handler.draining(&mut reactor.cx));
                    self.start_timers();
                    self.begin_drain();
                }
                (Stop::Drain, Run::Draining(_) | Run::Stopped) => {}
            }
        }
    }

    /// Ends a drain that is over. After the closes of a turn, or the last of them would go unnoticed until the
    /// deadline.
    pub(super) fn end_drain(&mut self) {
        if let Run::Draining(deadline) = self.run {
            if self.cx.table.open == 0 && self.listeners.is_empty() && self.datagrams_flushed() {
                self.run = Run::Stopped;
                self.posts.close();
                self.close_datagrams();
                self.close_sources();
            } else if self.cx.now >= deadline && !wrong!(DrainDeadlineIgnored) {
                log::warn!("drain: {} connections are reset at the deadline", self.cx.table.open);
                self.stop_now();
            }
        }
    }

    /// Resets every connection and tells the handler of each.
    fn stop_now(&mut self) {
        self.run = Run::Stopped;
        self.cx.table.chores.set(Chores::DRAIN);
        self.posts.close();
        self.listeners.clear();
        self.grant_connects();
        // Who reconnects in `closed` is refused: no turn follows that would carry it out.
        self.cx.connections_max = 0;
        for index in 0..self.cx.table.slots.len() {
            if self.cx.table.slots[index].state != State::Closed {
                self.cx.table.end_with_reset(index, CloseReason::Stopped);
            }
        }
        while !self.cx.table.closing.is_empty() {
            self.close_some(usize::MAX);
        }
        self.close_datagrams();
        self.close_sources();
    }

    fn begin_drain(&mut self) {
        self.run = Run::Draining(self.cx.now + self.cx.config.drain_timeout);
        self.cx.table.chores.set(Chores::DRAIN);
        self.close_listeners();
        for index in 0..self.cx.table.slots.len() {
            if self.links.get(index).is_some_and(Option::is_some) {
                self.drain_later(index);
            }
        }
    }

    /// Has connection `index` closed as soon as nothing is pending for it. What has arrived is still served:
    /// it is read once more first.
    pub(super) fn drain_later(&mut self, index: usize) {
        let slot = &mut self.cx.table.slots[index];
        slot.odd.set(Odd::DRAIN);
        if slot.state.delivers() {
            slot.odd.set(Odd::UNREAD);
            self.cx.table.ready_later(index);
        }
    }

    /// Closes connection `index`, while the reactor drains, if nothing is pending for it here or in the handler.
    pub(super) fn close_if_drained(&mut self, index: usize) {
        let slot = &self.cx.table.slots[index];
        let busy = Odd::HELD_BACK.or(Odd::PENDING_INPUT).or(Odd::TAIL).or(Odd::QUEUED);
        if !slot.delivers() || slot.odd.any(busy) && !wrong!(DrainIgnoresPending) {
            return;
        }
        let id = slot.id;
        self.cx.begin(id);
        let mut drained = false;
        self.call(index, |handler, cx, conn| {
            drained = handler.drained(cx, conn);
            Ok(())
        });
        if drained {
            self.cx.close(id, Close::Linger);
        }
    }

    /// Ends everything because the poll failed for good; `closed` is called for each connection.
    pub(super) fn fail(&mut self, error: &io::Error) {
        log::error!("the poll failed, every connection is closed: {error}");
        self.stop_now();
    }

    /// Keeps what all connections hold together below the limit: from three quarters of it on, reading pauses
    /// on the one with the most output; at the limit the largest is closed.
    // A pause must end by itself. Output goes away, sent or given up after the write timeout, and its connection
    // is read again when it has none. Half a frame does not: only reading on makes room again, so whoever
    // holds no output is never paused, and is closed if that does not help.
    #[cold]
    pub(super) fn limit_memory(&mut self) {
        if wrong!(MemoryLimitIgnored) {
            return;
        }
        let limit = self.cx.config.memory_bytes_max;
        while self.cx.table.held() > limit {
            let Some((index, bytes)) = self.largest_holder() else { break };
            self.cx.stats.memory_stops += 1;
            self.cx.table.end_with_reset(index, CloseReason::MemoryLimit { bytes, limit });
            self.cx.table.drop_queue(index);
            // One that is still connecting has no link, and there may not even be room for one.
            let link = self.links.get_mut(index).and_then(Option::as_mut);
            let tail = link.and_then(|link| link.tail.take());
            self.put_by(tail);
        }
        if self.cx.table.held() > self.cx.memory_high() {
            if let Some(index) = self.cx.table.largest(|_| 0, Odd::CLOSING.or(Odd::OVER_MEMORY)) {
                self.cx.stats.memory_stops += 1;
                self.cx.table.slots[index].odd.set(Odd::OVER_MEMORY);
            }
        }
    }

    /// The connection that holds most, and how much.
    fn largest_holder(&self) -> Option<(usize, usize)> {
        let tail_held = |index: usize| {
            let link = self.links.get(index).and_then(Option::as_ref);
            link.and_then(|link| link.tail.as_ref()).map_or(0, |tail| tail.capacity())
        };
        let index = self.cx.table.largest(tail_held, Odd::CLOSING)?;
        Some((index, self.cx.table.queues.held(self.cx.table.slots[index].queue) + tail_held(index)))
    }
}
