//! Sending: to the connection being served, to others, to many.
//!
//! It knows limits and marks and keeps the order of what is sent to one connection. It calls no system.

use bytes::Bytes;

use super::Context;
use super::out::Out;
use crate::conn::send_queue::SHARE_MIN;
use crate::conn::state::State;
use crate::error::CloseReason;
use crate::id::ConnId;
use crate::table::slot::Odd;

/// Whether a message was taken for sending. It may be ignored: every outcome is dealt with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Sent {
    /// Queued.
    Accepted,
    /// Queued, and more than `Config::queued_bytes_high` is waiting now: a good moment to stop producing
    /// until `writable` is called. The connection itself is not read until then.
    OverHigh,
    /// Nothing of it was queued, because it does not fit below `Config::queued_bytes_max`. The connection
    /// closes after the callback as a slow consumer: a hole in a stream is worse than its end. Of a datagram: it does not
    /// fit below `Config::datagram_bytes_max` and is dropped, and nothing closes.
    Full,
    /// Nothing of it was queued, because the connection is gone, closing, or our side of it has ended.
    Closed,
}

impl Sent {
    /// Whether the message was queued.
    pub fn is_queued(self) -> bool {
        matches!(self, Sent::Accepted | Sent::OverHigh)
    }
}

/// What a broadcast does about slow receivers: those above their high mark of which the kernel takes no more,
/// or that are not connected yet. What was queued in this turn, and not offered to the kernel, makes nobody slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OnSlow {
    /// Queue for them too, up to the hard limit, at which they close.
    Queue,
    /// Leave this message out for them.
    Skip,
    /// Close them as slow consumers.
    Close,
}

/// What became of a broadcast, by receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Broadcast {
    /// It was queued for so many.
    pub queued: usize,
    /// So many were left out as slow, or were gone.
    pub skipped: usize,
    /// So many were closed as slow consumers.
    pub closed: usize,
}

impl Context {
    /// Sends a copy of `bytes` to the connection being served.
    ///
    /// Never blocks and never calls the system: what a batch of frames sends leaves together after its last
    /// callback. Outside of a connection's callback it answers [`Sent::Closed`]. Much of the frame being delivered,
    /// or all of it, is sent from where it is: an echo of bulk data copies nothing.
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) -> Sent {
        if self.has_room(bytes.len()) {
            self.out.extend_from_slice(bytes);
            return Sent::Accepted;
        }
        self.send_closely(bytes)
    }

    /// Sends two pieces behind one another, looking for room once.
    #[inline]
    pub(super) fn send_both(&mut self, head: &[u8], body: &[u8]) {
        if self.has_room(head.len() + body.len()) {
            self.out.extend_from_slice(head);
            self.out.extend_from_slice(body);
        } else {
            self.send_closely(head);
            self.send_closely(body);
        }
    }

    /// Whether `n` more bytes need no closer look. What makes `out` grow is out of the way too, so that sending is small
    /// where it is used.
    #[inline]
    fn has_room(&self, n: usize) -> bool {
        n <= self.out.capacity() - self.out.len() && self.out.len() + n < self.out_room
    }

    #[cold]
    fn send_closely(&mut self, bytes: &[u8]) -> Sent {
        match self.reserve(self.current, bytes.len()) {
            Ok((index, sent)) => {
                debug_assert_eq!(index, self.current.slot());
                // Above the high mark the batch stops here, and is sent while the input is still there.
                if self.halt && self.lending.lend(bytes, self.out.len()) {
                    // What follows needs a closer look: `out` alone does not tell how much there is.
                    self.out_room = 0;
                } else {
                    self.out.extend_from_slice(bytes);
                }
                sent
            }
            Err(refusal) => refusal,
        }
    }

    /// Whether what is sent to connection `index` has to go behind something that is lent. That cannot be moved into
    /// the queue here, so it can't be followed there.
    fn follows_lent(&self, index: usize) -> bool {
        self.lending.is_any() && self.table.slots[index].id == self.current
    }

    /// Sends `bytes` to the connection being served, by reference unless they are few.
    pub fn send_bytes(&mut self, bytes: Bytes) -> Sent {
        self.send_bytes_to(self.current, bytes)
    }

    /// Sends a copy of `bytes` to any connection.
    ///
    /// Never blocks and never calls the system. Answers [`Sent::Closed`] for an id whose connection is gone.
    /// One send at the end of the turn carries everything that was queued for it by then.
    #[inline]
    pub fn send_to(&mut self, target: ConnId, bytes: &[u8]) -> Sent {
        if target == self.current { self.send(bytes) } else { self.send_to_other(target, bytes) }
    }

    fn send_to_other(&mut self, target: ConnId, bytes: &[u8]) -> Sent {
        match self.reserve(target, bytes.len()) {
            Ok((index, sent)) => {
                self.table.queue_copy(index, bytes, self.now);
                self.flush_unless_blocked(index);
                sent
            }
            Err(refusal) => refusal,
        }
    }

    /// Sends `bytes` to any connection, by reference unless they are few.
    pub fn send_bytes_to(&mut self, target: ConnId, bytes: Bytes) -> Sent {
        if bytes.len() < SHARE_MIN {
            return self.send_to(target, &bytes);
        }
        match self.reserve(target, bytes.len()) {
            Ok((index, sent)) if self.follows_lent(index) => {
                self.out.extend_from_slice(&bytes);
                sent
            }
            Ok((index, sent)) => {
                self.spill(index);
                self.table.queue_bytes(index, bytes, self.now);
                self.flush_unless_blocked(index);
                sent
            }
            Err(refusal) => refusal,
        }
    }

    /// Sends `bytes` to any connection if they fit, and gives them back if they do not; closes nothing.
    ///
    /// For programs that can wait or send something shorter. An id whose connection is gone gives them back too;
    /// [`info`](Context::info) tells the two apart.
    pub fn try_send(&mut self, target: ConnId, bytes: Bytes) -> Result<Sent, Bytes> {
        let room = match self.table.get(target) {
            Some(slot) if slot.accepts_output() => {
                self.config.queued_bytes_max.saturating_sub(self.queued(target))
            }
            Some(_) | None => return Err(bytes),
        };
        if bytes.len() > room { Err(bytes) } else { Ok(self.send_bytes_to(target, bytes)) }
    }

    /// Sends the same `bytes` to many connections: encoded once, then counted references.
    ///
    /// The ids may come from anywhere, also from a set of the program's own, and may be stale. What one receiver
    /// does, such as reading slowly, changes nothing for the others. No system call is made here; each receiver
    /// gets one at the end of the turn.
    ///
    /// ```
    /// use std::collections::BTreeSet;
    /// use switchboard::{ConnId, Context, OnSlow};
    ///
    /// /// Says `text` to everyone in the room but the one who said it.
    /// fn say(cx: &mut Context, room: &BTreeSet<ConnId>, text: &str) {
    ///     let speaker = cx.id();
    ///     let others = room.iter().copied().filter(|&id| id != speaker);
    ///     let told = cx.broadcast(others, &format!("{text}\n").into(), OnSlow::Skip);
    ///     if told.skipped > 0 {
    ///         // Those are behind, or gone: `closed` takes the latter out of the room.
    ///     }
    /// }
    /// ```
    pub fn broadcast(
        &mut self,
        targets: impl IntoIterator<Item = ConnId>,
        bytes: &Bytes,
        on_slow: OnSlow,
    ) -> Broadcast {
        let mut result = Broadcast::default();
        for target in targets {
            let slow = on_slow != OnSlow::Queue && self.is_slow(target);
            match on_slow {
                OnSlow::Skip if slow => {
                    result.skipped += 1;
                    continue;
                }
                OnSlow::Close if slow => {
                    if let Some(slot) = self.table.get(target).filter(|slot| slot.accepts_output()) {
                        let index = slot.id.slot();
                        self.end_slow(index, self.config.queued_bytes_high);
                        result.closed += 1;
                    } else {
                        result.skipped += 1;
                    }
                    continue;
                }
                OnSlow::Queue | OnSlow::Skip | OnSlow::Close => {}
            }
            match self.reserve(target, bytes.len()) {
                Ok((index, _)) if self.follows_lent(index) => {
                    self.out.extend_from_slice(bytes);
                    result.queued += 1;
                }
                Ok((index, _)) => {
                    self.spill(index);
                    let now = self.now;
                    self.table.queue(index, |queues, id| queues.push_broadcast(id, bytes, now));
                    if wrong!(BroadcastTwice) && result.queued == 0 {
                        self.table.queue(index, |queues, id| queues.push_broadcast(id, bytes, now));
                    }
                    self.flush_unless_blocked(index);
                    result.queued += 1;
                }
                Err(Sent::Closed) if wrong!(BroadcastEndsAtStale) => return result,
                Err(Sent::Full) => result.closed += 1,
                Err(Sent::Accepted | Sent::OverHigh | Sent::Closed) => result.skipped += 1,
            }
        }
        result
    }

    /// A writer that appends to the output of the connection being served.
    #[inline]
    pub fn out(&mut self) -> Out<'_> {
        Out::new(self, None)
    }

    /// A writer that appends to the output of any connection.
    #[inline]
    pub fn out_to(&mut self, target: ConnId) -> Out<'_> {
        Out::new(self, Some(target))
    }

    /// Bytes waiting to be sent to `target`; 0 if it is gone.
    pub fn queued(&self, target: ConnId) -> usize {
        let Some(slot) = self.table.get(target) else { return 0 };
        let out = if target == self.current { self.out.len() + self.lending.bytes() } else { 0 };
        self.table.queues.queued(slot.queue) + out
    }

    /// Checks that `n` more bytes may be queued for `target`; its index, and what to answer when they are.
    fn reserve(&mut self, target: ConnId, n: usize) -> Result<(usize, Sent), Sent> {
        let Some(slot) = self.table.get(target).filter(|slot| slot.accepts_output()) else {
            return Err(Sent::Closed);
        };
        let index = slot.id.slot();
        let queued = self.queued(target).saturating_add(n);
        let queued = if wrong!(LimitAfterAppend) { self.queued(target) } else { queued };
        if queued > self.config.queued_bytes_max {
            if wrong!(HoleInStream) {
                return Err(Sent::Full);
            }
            self.end_slow(index, self.config.queued_bytes_max);
            return Err(Sent::Full);
        }
        if queued <= self.config.queued_bytes_high {
            return Ok((index, Sent::Accepted));
        }
        self.table.slots[index].odd.set(Odd::OWES_WRITABLE);
        if target == self.current {
            // Its batch stops until the kernel has taken some of it, whichever way it was sent.
            self.halt = true;
        } else {
            // What many send to one in a turn must not make it slow before the kernel was offered any of it.
            self.pressing |= self.table.slots[index].odd.any(Odd::ON_FLUSH);
        }
        Ok((index, Sent::OverHigh))
    }

    /// Whether more than the high mark waits for `target` and the kernel takes no more of it for now.
    fn is_slow(&self, target: ConnId) -> bool {
        self.queued(target) > self.config.queued_bytes_high
            && self.table.get(target).is_some_and(|slot| {
                slot.state == State::Connecting || slot.odd.any(Odd::BLOCKED.or(Odd::RETRY_SEND))
            })
    }

    /// Ends a connection whose peer does not take its output, which reached `limit`.
    // It is detected inside someone else's callback: only marked here, and from now on its id answers `Closed`.
    fn end_slow(&mut self, index: usize, limit: usize) {
        let id = self.table.slots[index].id;
        let reason = CloseReason::SlowConsumer { queued: self.queued(id), limit };
        self.table.end_with_reset(index, reason);
        self.stop_if_current(id);
    }

    /// Moves what the connection being served has sent so far into its queue, so that more can follow in order.
    pub(crate) fn spill(&mut self, index: usize) {
        if wrong!(ReferenceOvertakes) {
            return;
        }
        debug_assert!(!self.lending.is_any(), "what is lent is sent before anything else happens");
        if self.table.slots[index].id == self.current && !self.out.is_empty() {
            self.table.queue_copy(index, &self.out, self.now);
            self.out.clear();
        }
    }

    fn flush_unless_blocked(&mut self, index: usize) {
        if wrong!(FlushForgotten) && self.table.slots[index].id != self.current {
            return;
        }
        let slot = &self.table.slots[index];
        if slot.id == self.current {
            // What follows must go behind the queue; the batch ends with a flush anyway.
            self.out_room = 0;
        } else if !slot.odd.any(Odd::BLOCKED) && slot.state != State::Connecting {
            self.table.flush_later(index);
        }
    }

    /// Makes the loop look closely at `target` if it is the connection being served.
    pub(super) fn stop_if_current(&mut self, target: ConnId) {
        if target == self.current {
            self.stop_current();
        }
    }

    /// Makes the loop look closely at the connection being served.
    #[inline]
    pub(super) fn stop_current(&mut self) {
        self.out_room = 0;
        self.halt = true;
    }
}
