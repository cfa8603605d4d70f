//! All connections without their sockets: slots, ids, send queues, waits, and who needs attention when.
//!
//! It knows which connection is in which state and what is queued for it. It does not know sockets, sessions
//! or codecs (those stand beside it in the reactor, under the same index), and it reads no clock.
//!
//! Invariants: a slot's id is live or the next one it will give out, never one that was freed; a connection is
//! on each list at most once, and its [`Odd`] says on which; `held` is what all queues and tails occupy.

pub(crate) mod chores;
pub(crate) mod reasons;
pub(crate) mod slot;
pub(crate) mod timers;
pub(crate) mod wheel;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use bytes::Bytes;

use crate::addr::Addr;
use crate::config::Config;
use crate::conn::send_queue::{QueueId, SendQueues};
use crate::conn::state::{State, Step};
use crate::error::{CloseReason, Wait};
use crate::id::{ConnId, GENERATION_MAX, SLOTS_MAX};
use crate::instant::Instant;
use chores::Chores;
use reasons::{Reason, ReasonId, Reasons};
use slot::{Odd, Slot};
use timers::Timers;
use wheel::Wheel;

/// All connections of a reactor.
pub(crate) struct Table {
    pub(crate) slots: Vec<Slot>,
    free: Vec<u32>,
    pub(crate) open: usize,
    /// Which of the lists below, and what else, a turn has to look at.
    pub(crate) chores: Chores,
    pub(crate) queues: SendQueues,
    /// Bytes that all tails occupy.
    pub(crate) tails_held: usize,
    /// Connections with input to decode or receive that no event will announce.
    pub(crate) ready: VecDeque<ConnId>,
    /// Connections with output to send or a flush to complete at the end of the turn.
    pub(crate) flush: Vec<ConnId>,
    /// Connections whose `closed` is due at the end of the turn.
    pub(crate) closing: Vec<ConnId>,
    reasons: Reasons,
    /// The earliest wait of each connection, under the index of its slot.
    pub(crate) waits: Wheel,
    pub(crate) timers: Timers,
    per_address: BTreeMap<IpAddr, u32>,
}

impl Table {
    pub(crate) fn new(config: &Config) -> Table {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            open: 0,
            chores: Chores::default(),
            queues: SendQueues::default(),
            tails_held: 0,
            ready: VecDeque::new(),
            flush: Vec::new(),
            closing: Vec::new(),
            reasons: Reasons::default(),
            waits: Wheel::new(),
            timers: Timers::new(config.timers_max),
            per_address: BTreeMap::new(),
        }
    }

    /// What all connections take from the memory budget.
    pub(crate) fn held(&self) -> usize {
        self.queues.held_total() + self.tails_held
    }

    /// The live connection of that name.
    #[inline]
    pub(crate) fn get(&self, id: ConnId) -> Option<&Slot> {
        self.slots.get(id.slot()).filter(|slot| slot.id == id || wrong!(NoGenerationCheck))
    }

    /// The live connection of that name, to change.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot()).filter(|slot| slot.id == id || wrong!(NoGenerationCheck))
    }

    /// Takes a slot for a connection in `state`; `None` when there is no slot left.
    #[inline]
    pub(crate) fn insert(&mut self, peer: Addr, state: State, now: Instant) -> Option<ConnId> {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None if self.slots.len() < SLOTS_MAX => {
                self.slots.push(Slot::vacant(ConnId::new(self.slots.len(), 1).vacant()));
                self.slots.len() - 1
            }
            None => return None,
        };
        let slot = &mut self.slots[index];
        slot.id = ConnId::from_bits(slot.id.to_bits());
        slot.odd = Odd::default();
        slot.odd.put(Odd::NOT_OPEN, state != State::Open);
        slot.state = state;
        slot.peer = peer;
        slot.counted = false;
        slot.read_when_over_high = false;
        // A connect is watched from the beginning.
        slot.watched = state == State::Connecting;
        slot.received = 0;
        slot.sent = 0;
        slot.last_activity = now;
        slot.opened_at = now;
        slot.since = now;
        self.open += 1;
        Some(slot.id)
    }

    /// Frees the slot of a connection whose socket and session are gone; its id is stale from here on.
    /// The slot's next user gets another generation, so this is the last thing that happens to a connection.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "every connection passes here, by one of three callers")]
    pub(crate) fn remove(&mut self, id: ConnId) {
        let index = id.slot();
        if self.timers.len() > 0 && !wrong!(TimersOutliveConnection) {
            self.timers.cancel_all(id);
        }
        if !self.waits.is_empty() {
            self.waits.remove(node(index));
        }
        let slot = &self.slots[index];
        debug_assert_eq!(slot.id, id, "freed twice");
        if !slot.queue.is_none() || slot.reason != ReasonId::NONE || slot.counted {
            self.let_go_of_all(index);
        }
        let slot = &mut self.slots[index];
        slot.odd = Odd::NOT_OPEN;
        slot.state = State::Closed;
        // A slot out of generations is retired: it gives out no more.
        let is_retired = id.generation() >= GENERATION_MAX;
        slot.id = if is_retired { id.vacant() } else { ConnId::new(index, id.generation() + 1).vacant() };
        if wrong!(GenerationStands) {
            slot.id = id.vacant();
        }
        self.open -= 1;
        if !is_retired {
            self.free.push(node(index));
        }
    }

    /// Drops what few connections still have when their slot is freed.
    #[cold]
    fn let_go_of_all(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        self.queues.clear(&mut slot.queue);
        self.reasons.forget(&mut slot.reason);
        if slot.counted {
            let peer = slot.peer.clone();
            self.dismiss(&peer);
        }
    }

    /// Takes one more connection from `peer` into account, unless it has `max` already.
    pub(crate) fn admit(&mut self, peer: &Addr, max: u32) -> bool {
        let Some(ip) = peer.ip() else { return true };
        let count = self.per_address.entry(ip).or_insert(0);
        if *count >= max {
            return false;
        }
        *count += 1;
        true
    }

    /// Takes one connection from `peer` out of the account again.
    pub(crate) fn dismiss(&mut self, peer: &Addr) {
        if wrong!(AddressNotDismissed) {
            return;
        }
        let Some(ip) = peer.ip() else { return };
        if let Some(count) = self.per_address.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&ip);
            }
        }
    }

    // ---- States ----

    /// Moves connection `index` on. `Closed` puts it on the list of what closes at the end of the turn.
    #[inline]
    pub(crate) fn step(&mut self, index: usize, step: Step) -> State {
        let slot = &mut self.slots[index];
        slot.state = slot.state.after(step);
        slot.odd.put(Odd::NOT_OPEN, slot.state != State::Open);
        if slot.state == State::Closed && !slot.odd.any(Odd::CLOSING) {
            slot.odd.set(Odd::CLOSING);
            self.closing.push(slot.id);
            if !wrong!(ChoreUntold) {
                self.chores.set(Chores::CLOSE);
            }
            if wrong!(SlotReusedAtOnce) {
                self.free.push(node(index));
            }
        }
        slot.state
    }

    /// Remembers why connection `index` closes. The first reason stays, unless it was an orderly one and
    /// this is not: then what was to be orderly has failed.
    pub(crate) fn decide(&mut self, index: usize, reason: CloseReason) {
        self.reasons.decide(&mut self.slots[index].reason, reason);
    }

    /// Takes the reason out, for `closed`.
    #[inline]
    pub(crate) fn take_reason(&mut self, index: usize) -> Reason {
        self.reasons.take(&mut self.slots[index].reason)
    }

    /// Ends connection `index` now: nothing more is delivered or sent. `closed` follows at the end of the turn.
    pub(crate) fn end(&mut self, index: usize, reason: CloseReason) {
        self.decide(index, reason);
        self.step(index, Step::Over);
    }

    /// Ends connection `index` now, and its peer is to see a reset: what was sent to it is incomplete.
    pub(crate) fn end_with_reset(&mut self, index: usize, reason: CloseReason) {
        self.slots[index].odd.set(Odd::RESET);
        self.end(index, reason);
    }

    // ---- Output ----

    /// Puts connection `index` on the flush list.
    pub(crate) fn flush_later(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if !slot.odd.any(Odd::ON_FLUSH) {
            slot.odd.set(Odd::ON_FLUSH);
            self.flush.push(slot.id);
            self.chores.set(Chores::FLUSH);
        }
    }

    /// Queues what `push` puts into connection `index`'s queue.
    pub(crate) fn queue(&mut self, index: usize, push: impl FnOnce(&mut SendQueues, &mut QueueId)) {
        let slot = &mut self.slots[index];
        push(&mut self.queues, &mut slot.queue);
        slot.odd.put(Odd::QUEUED, !slot.queue.is_none());
    }

    /// Queues a copy of `bytes`.
    pub(crate) fn queue_copy(&mut self, index: usize, bytes: &[u8], now: Instant) {
        self.queue(index, |queues, id| queues.push_copy(id, bytes, now));
    }

    /// Queues `bytes` by reference unless they are few.
    pub(crate) fn queue_bytes(&mut self, index: usize, bytes: Bytes, now: Instant) {
        self.queue(index, |queues, id| queues.push_bytes(id, bytes, now));
    }

    /// Takes `n` bytes off the queue: the kernel has them.
    pub(crate) fn sent(&mut self, index: usize, n: usize, now: Instant) {
        let slot = &mut self.slots[index];
        self.queues.advance(&mut slot.queue, n, now);
        slot.odd.put(Odd::QUEUED, !slot.queue.is_none());
        slot.sent += n as u64;
        if n > 0 && !wrong!(IdleIgnoresOutput) {
            slot.last_activity = now;
        }
    }

    /// Drops the queue: it can't be sent any more.
    pub(crate) fn drop_queue(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        self.queues.clear(&mut slot.queue);
        slot.odd.clear(Odd::QUEUED);
    }

    // ---- Input ----

    /// Puts connection `index` at the back of the ready queue, if there is something to do for it.
    pub(crate) fn ready_later(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if !slot.odd.any(Odd::ON_READY) {
            slot.odd.set(Odd::ON_READY);
            self.ready.push_back(slot.id);
            self.chores.set(Chores::READY);
        }
    }

    /// Lifts one of the reasons that hold a connection back, and has it visited if it has input pending, or
    /// a partial frame whose time goes on.
    pub(crate) fn let_go(&mut self, index: usize, held_back: Odd) {
        let slot = &mut self.slots[index];
        slot.odd.clear(held_back);
        if wrong!(ResumeReadsNothing) {
            return;
        }
        if slot.odd.any(Odd::PENDING_INPUT.or(Odd::TAIL)) && !slot.odd.any(Odd::HELD_BACK) {
            self.ready_later(index);
        }
    }

    // ---- Waits ----

    /// Time has passed from `began` to `now` while connection `id` was served: what happened to it then, happened now.
    pub(crate) fn catch_up(&mut self, id: ConnId, began: Instant, now: Instant) {
        // While it connects there is only a deadline.
        let Some(slot) = self.get_mut(id).filter(|slot| slot.state != State::Connecting) else { return };
        for at in [&mut slot.last_activity, &mut slot.since] {
            if *at >= began {
                *at = now;
            }
        }
    }

    /// The earliest of the waits that connection `index` is in, and what for.
    pub(crate) fn next_wait(&self, index: usize, config: &Config) -> Option<(Instant, Wait)> {
        let slot = &self.slots[index];
        if slot.state == State::Closed || wrong!(ConnectForever) && slot.state == State::Connecting {
            return None;
        }
        if slot.state == State::Connecting {
            return Some((slot.since, Wait::Connect));
        }
        let mut next: Option<(Instant, Wait)> = None;
        let mut at = |deadline: Instant, wait: Wait| {
            if next.is_none_or(|(earliest, _)| deadline < earliest) {
                next = Some((deadline, wait));
            }
        };
        if !slot.queue.is_none() {
            // What was sent while it connected could not be taken before.
            let since = self.queues.progress_at(slot.queue).max(slot.opened_at);
            at(since + config.write_timeout, Wait::Write);
        }
        if slot.state == State::Lingering && !wrong!(LingerForever) {
            at(slot.since + config.linger_timeout, Wait::Linger);
        }
        // Whom nobody reads cannot be held to be silent.
        let held_back = slot.odd.any(Odd::HELD_BACK) && !wrong!(PausedTimesOut);
        if slot.state.delivers() {
            let first = slot.odd.any(Odd::FIRST) && !held_back;
            if let Some(timeout) = config.first_frame_timeout.filter(|_| first) {
                at(slot.opened_at + timeout, Wait::FirstFrame);
            }
            // A frame that is whole waits for the program.
            let partial = slot.odd.any(Odd::TAIL) && !slot.odd.any(Odd::DECODABLE) && !held_back;
            if let Some(timeout) = config.frame_timeout.filter(|_| partial) {
                at(slot.since + timeout, Wait::Frame);
            }
        }
        if let Some(timeout) = config.idle_timeout.filter(|_| !slot.state.is_closing() && !held_back) {
            at(slot.last_activity + timeout, Wait::Idle);
            if wrong!(IdleIsLifetime) {
                at(slot.opened_at + timeout, Wait::Idle);
            }
        }
        next
    }

    /// Puts connection `index` into the wheel at its earliest wait, exactly.
    ///
    /// Called when a wait began or ended. Waits that only move back with activity (idle, write) are left
    /// where they are until they are due, and re-linked then.
    pub(crate) fn rearm(&mut self, index: usize, config: &Config, now: Instant) {
        let wait = self.next_wait(index, config);
        let node = node(index);
        let linked = self.waits.deadline(node);
        match wait {
            None => {
                self.waits.remove(node);
            }
            Some((deadline, _)) if linked != Some(deadline) => {
                self.waits.remove(node);
                self.waits.insert(node, now, deadline);
            }
            Some(_) => {}
        }
    }

    /// The connection whose queue and tail (of `tail_held(index)` bytes) occupy most.
    pub(crate) fn largest(&self, tail_held: impl Fn(usize) -> usize, but_for: Odd) -> Option<usize> {
        (0..self.slots.len())
            .filter(|&index| !self.slots[index].odd.any(but_for))
            .map(|index| (self.queues.held(self.slots[index].queue) + tail_held(index), index))
            .max()
            .filter(|&(held, _)| held > 0)
            .map(|(_, index)| index)
    }
}

/// A slot's index as the wheel and the side tables number it.
pub(crate) fn node(index: usize) -> u32 {
    u32::try_from(index).expect("at most 2^24 slots, and limits keep side tables below 2^32")
}

#[cfg(test)]
mod tests;
