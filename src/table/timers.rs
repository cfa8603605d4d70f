//! The timers programs set: for one connection, or for the reactor as a whole.
//!
//! It knows whose a timer is, its key and its deadline; it does not know handlers, nor any clock.
//!
//! ```text
//! set ──▶ waiting ──collect──▶ due ──pop──▶ handed out, its id stale
//!            └───────cancel─────┴─────────▶ gone, its id stale
//! ```
//!
//! Collecting and popping are two steps so that a turn is finite: what a callback sets while timers are
//! popped waits for the next collection, even with no delay at all. What a turn's budget left over stays
//! at the front.
//!
//! Invariants: the front of `due` is a live timer, if there is any. The timers of one connection are a
//! list that starts in `firsts`, and all have the same owner, since a connection cancels its timers
//! before its slot is used again.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use slab::Slab;

use crate::id::{ConnId, TimerId};
use crate::instant::Instant;
use crate::table::wheel::{self, Wheel};

/// Ends a list of timers.
const NO_TIMER: u32 = u32::MAX;

/// Storage for this many timers, about a mebibyte, is kept when the last one is gone; more is given back.
const KEPT: usize = 16 << 10;

/// All timers of a reactor: 56 bytes each, and four for each connection slot up to the last with a timer.
///
/// Setting, cancelling and popping take constant time, and allocate nothing once the storage has grown.
pub(crate) struct Timers {
    slots: Slab<Timer>,
    /// Those that wait, by their slot.
    wheel: Wheel,
    /// By connection slot: the timer its owner set last, or `NO_TIMER`. It stands here and not in the
    /// connection, so that only programs that use timers pay for it and nobody can forget to update it.
    firsts: Vec<u32>,
    /// Collected and not yet popped. A cancelled one stays as a stale id until it comes to the front.
    due: VecDeque<TimerId>,
    /// Empty between calls; kept so that collecting does not allocate.
    expired: Vec<u32>,
    /// What the next timer gets.
    sequence: NonZeroU64,
    count_max: usize,
}

struct Timer {
    owner: ConnId,
    key: u64,
    deadline: Instant,
    /// Counts all timers ever set, from one. Orders ties; its low half is the generation in the id.
    sequence: NonZeroU64,
    /// Its neighbours among the timers of its owner; unused if that is the reactor.
    prev: u32,
    next: u32,
}

/// A timer whose deadline has come; its id is stale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    pub(crate) id: TimerId,
    pub(crate) owner: ConnId,
    pub(crate) key: u64,
    pub(crate) deadline: Instant,
}

/// As many timers are set as there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

impl Timers {
    /// No timers, and never more than `timers_max`.
    pub(crate) fn new(timers_max: usize) -> Timers {
        Timers {
            slots: Slab::new(),
            wheel: Wheel::new(),
            firsts: Vec::new(),
            due: VecDeque::new(),
            expired: Vec::new(),
            sequence: NonZeroU64::MIN,
            count_max: timers_max.min(wheel::NODES_MAX),
        }
    }

    /// Sets a timer for `owner`, which must be open, or for the reactor if it is [`ConnId::NONE`].
    ///
    /// It is due at the first [`collect`](Timers::collect) with the millisecond of `deadline` over, or at
    /// the very next one if `now` has reached `deadline` already. A deadline of [`Instant::NEVER`] only
    /// waits to be cancelled.
    ///
    /// A stale id comes to name another timer only if that one has its slot and was set exactly 2^32
    /// timers later, or a multiple of it.
    pub(crate) fn set(
        &mut self,
        owner: ConnId,
        key: u64,
        now: Instant,
        deadline: Instant,
    ) -> Result<TimerId, Full> {
        if self.slots.len() >= self.count_max {
            return Err(Full);
        }
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        let timer = Timer { owner, key, deadline, sequence, prev: NO_TIMER, next: NO_TIMER };
        let slot = u32::try_from(self.slots.insert(timer)).expect("timers_max is less than 2^32");
        self.wheel.insert(slot, now, deadline);
        self.join_siblings(slot, owner);
        Ok(TimerId { slot, generation: generation_of(sequence) })
    }

    /// Moves the deadline of a timer that was set and not collected since; others are left alone.
    pub(crate) fn postpone(&mut self, id: TimerId, now: Instant, deadline: Instant) {
        if self.is_live(id) && self.wheel.remove(id.slot) {
            self.slots[id.slot as usize].deadline = deadline;
            self.wheel.insert(id.slot, now, deadline);
        }
    }

    /// Cancels a timer; answers whether it was set and not yet popped.
    ///
    /// It does not fire any more, even if it has been collected.
    pub(crate) fn cancel(&mut self, id: TimerId) -> bool {
        if !self.is_live(id) {
            return false;
        }
        if wrong!(CancelledTimerFires) && !self.wheel.is_linked(id.slot) {
            return true;
        }
        let timer = self.take(id.slot);
        self.leave_siblings(&timer);
        self.tidy();
        true
    }

    /// Cancels the timers of a connection that closes, in time proportional to their number.
    pub(crate) fn cancel_all(&mut self, owner: ConnId) {
        if owner == ConnId::NONE {
            return;
        }
        let Some(first) = self.firsts.get_mut(owner.slot()) else {
            return;
        };
        let mut slot = std::mem::replace(first, NO_TIMER);
        if slot == NO_TIMER {
            return;
        }
        while slot != NO_TIMER {
            let timer = self.take(slot);
            debug_assert_eq!(timer.owner, owner, "a connection keeps no timers beyond its end");
            slot = timer.next;
        }
        self.tidy();
    }

    /// Gathers all that are due at `now`, by deadline and then in the order they were set, behind those
    /// gathered before.
    pub(crate) fn collect(&mut self, now: Instant) {
        self.wheel.expire(now, &mut self.expired);
        let slots = &self.slots;
        self.expired.sort_unstable_by_key(|&slot| {
            let timer = &slots[slot as usize];
            (timer.deadline, timer.sequence)
        });
        self.due.extend(self.expired.drain(..).map(|slot| {
            let generation = generation_of(slots[slot as usize].sequence);
            TimerId { slot, generation }
        }));
    }

    /// Hands out the first timer that was collected and not cancelled since.
    pub(crate) fn pop(&mut self) -> Option<Due> {
        let id = self.due.pop_front()?;
        let timer = self.take(id.slot);
        self.leave_siblings(&timer);
        self.tidy();
        let Timer { owner, key, deadline, .. } = timer;
        Some(Due { id, owner, key, deadline })
    }

    /// Answers whether [`pop`](Timers::pop) has something to hand out.
    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether [`collect`](Timers::collect) or [`pop`](Timers::pop) could have something to do at `now`.
    #[inline]
    pub(crate) fn may_expire(&self, now: Instant) -> bool {
        self.has_due() || self.wheel.may_expire(now)
    }

    /// When [`collect`](Timers::collect) has something to do, leaving aside what it gathered already; see
    /// [`Wheel::next_wakeup`].
    pub(crate) fn next_wakeup(&mut self) -> Option<Instant> {
        self.wheel.next_wakeup()
    }

    /// How many timers are set and not yet popped.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many of them belong to connections.
    pub(crate) fn owned(&self) -> usize {
        self.slots.iter().filter(|(_, timer)| timer.owner != ConnId::NONE).count()
    }

    fn is_live(&self, id: TimerId) -> bool {
        let timer = self.slots.get(id.slot as usize);
        timer.is_some_and(|timer| generation_of(timer.sequence) == id.generation)
    }

    /// Frees a live timer; its siblings still name it.
    fn take(&mut self, slot: u32) -> Timer {
        self.wheel.remove(slot);
        self.slots.remove(slot as usize)
    }

    /// Puts the timer in `slot` in front of the others of `owner`.
    fn join_siblings(&mut self, slot: u32, owner: ConnId) {
        if owner == ConnId::NONE {
            return;
        }
        if owner.slot() >= self.firsts.len() {
            self.firsts.resize(owner.slot() + 1, NO_TIMER);
        }
        let next = std::mem::replace(&mut self.firsts[owner.slot()], slot);
        if next == NO_TIMER {
            return;
        }
        self.slots[slot as usize].next = next;
        let sibling = &mut self.slots[next as usize];
        debug_assert_eq!(sibling.owner, owner, "a connection keeps no timers beyond its end");
        sibling.prev = slot;
    }

    /// Joins the siblings on both sides of a timer that was taken.
    fn leave_siblings(&mut self, timer: &Timer) {
        if timer.owner == ConnId::NONE {
            return;
        }
        if timer.prev == NO_TIMER {
            self.firsts[timer.owner.slot()] = timer.next;
        } else {
            self.slots[timer.prev as usize].next = timer.next;
        }
        if timer.next != NO_TIMER {
            self.slots[timer.next as usize].prev = timer.prev;
        }
    }

    /// Restores what holds between calls after timers were taken: a live front, and no storage of a burst
    /// once it is over.
    fn tidy(&mut self) {
        while self.due.front().is_some_and(|&id| !self.is_live(id)) {
            self.due.pop_front();
        }
        // Sequence numbers go on, so ids from before stay stale.
        if self.slots.is_empty() && self.slots.capacity() > KEPT {
            *self = Timers { sequence: self.sequence, ..Timers::new(self.count_max) };
        }
    }
}

fn generation_of(sequence: NonZeroU64) -> u32 {
    (sequence.get() & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests;
