//! Output of one connection: from the batch of callbacks and the send queue to the kernel.
//!
//! It knows how much the kernel took and what to do with the rest. It does not know who sent what.

use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

use crate::conn::send_queue::SLICES_MAX;
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::net::{Network, Stream as _, Trouble};
use crate::reactor::Reactor;
use crate::table::node;
use crate::table::slot::Odd;

/// How long a send waits that the system had no memory for.
const SEND_RETRY: Duration = Duration::from_millis(10);

/// Room that the output buffer keeps when it is empty.
const OUT_KEEP_MAX: usize = 512 << 10;

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Sends what the callbacks of this batch have sent, behind what was queued before.
    pub(super) fn flush_out(&mut self, index: usize) {
        if !self.cx.out.is_empty() {
            let slot = &self.cx.table.slots[index];
            if slot.odd.any(Odd::CLOSING.or(Odd::SEND_DEAD)) {
                self.cx.out.clear();
            } else if slot.odd.any(Odd::QUEUED.or(Odd::BLOCKED).or(Odd::RETRY_SEND)) {
                self.cx.table.queue_copy(index, &self.cx.out, self.cx.now);
                self.cx.out.clear();
            } else {
                self.cx.stats.calls.send += 1;
                let link = self.links[index].as_mut().expect("a slot in use has its link");
                let result = link.stream.send(&self.cx.out);
                self.note_sent(index, result);
            }
        }
        self.flush_queue(index);
        self.hold_back_if_over_high(index);
    }

    /// Deals with the outcome of sending `out`: what was not taken is queued.
    pub(super) fn note_sent(&mut self, index: usize, result: io::Result<usize>) {
        let sent = match result {
            Ok(sent) => sent,
            Err(error) => {
                if !self.send_stopped(index, error) {
                    return self.cx.out.clear();
                }
                0
            }
        };
        let slot = &mut self.cx.table.slots[index];
        slot.sent += sent as u64;
        self.cx.stats.sent += sent as u64;
        if sent > 0 && !wrong!(IdleIgnoresOutput) {
            slot.last_activity = self.cx.now;
        }
        if sent < self.cx.out.len() {
            if sent > 0 {
                self.blocked(index);
            }
            if wrong!(BlockedSendDropped) && sent == 0 {
                return self.cx.out.clear();
            }
            if wrong!(PartialSendDropped) && sent > 0 {
                return self.cx.out.clear();
            }
            let sent = if wrong!(PartialSendRepeated) { 0 } else { sent };
            self.cx.table.queue_copy(index, &self.cx.out[sent..], self.cx.now);
        }
        self.cx.out.clear();
        self.cx.out.shrink_to(OUT_KEEP_MAX);
    }

    /// Sends the queue, unless the kernel said that it takes no more for now.
    pub(in crate::reactor) fn flush_queue(&mut self, index: usize) {
        loop {
            let slot = &self.cx.table.slots[index];
            if !slot.odd.any(Odd::QUEUED) || slot.odd.any(Odd::BLOCKED.or(Odd::RETRY_SEND).or(Odd::CLOSING)) {
                return;
            }
            let queues = &self.cx.table.queues;
            let link = self.links[index].as_mut().expect("a slot in use has its link");
            self.cx.stats.calls.send += 1;
            let (front, more) = queues.front(slot.queue);
            let (offered, result) = if more {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = queues.slices(slot.queue, &mut slices);
                let offered = slices[..count].iter().map(|slice| slice.len()).sum();
                (offered, link.stream.send_vectored(&slices[..count]))
            } else {
                (front.len(), link.stream.send(front))
            };
            match result {
                Ok(sent) => {
                    self.cx.stats.sent += sent as u64;
                    self.cx.table.sent(index, sent, self.cx.now);
                    if sent < offered {
                        self.blocked(index);
                    }
                }
                Err(error) => {
                    if !self.send_stopped(index, error) {
                        return;
                    }
                }
            }
        }
    }

    /// The kernel takes no more for now. An event will say when it does.
    fn blocked(&mut self, index: usize) {
        let slot = &mut self.cx.table.slots[index];
        slot.odd.set(Odd::BLOCKED);
        if slot.watched || wrong!(OutputUnwatched) {
            return;
        }
        slot.watched = true;
        self.cx.stats.calls.register += 1;
        let link = self.links[index].as_ref().expect("a slot in use has its link");
        if let Err(error) = self.net.watch_output(&link.stream, slot.id) {
            self.cx.table.end_with_reset(index, CloseReason::Io(error));
        }
    }

    /// A send took nothing; whether the connection lives on.
    fn send_stopped(&mut self, index: usize, error: io::Error) -> bool {
        let slot = &mut self.cx.table.slots[index];
        match error.kind() {
            ErrorKind::WouldBlock if wrong!(BlockedNotRemembered) => {}
            ErrorKind::WouldBlock => self.blocked(index),
            ErrorKind::Interrupted => {}
            _ if N::trouble(&error) == Trouble::Exhausted => {
                slot.odd.set(Odd::RETRY_SEND);
                if wrong!(ExhaustedSendStalls) {
                    return true;
                }
                let (node, now) = (node(index), self.cx.now);
                self.cx.table.waits.remove(node);
                self.cx.table.waits.insert(node, now, now + SEND_RETRY);
            }
            _ => {
                self.send_failed(index, error);
                return false;
            }
        }
        true
    }

    /// Sending failed for good. What the peer sent before may still be in the kernel: it is delivered first.
    fn send_failed(&mut self, index: usize, error: io::Error) {
        self.cx.table.drop_queue(index);
        let reason = CloseReason::from_io(error);
        let slot = &mut self.cx.table.slots[index];
        if !slot.state.delivers() || wrong!(SendErrorEndsInput) {
            return self.cx.table.end(index, reason);
        }
        slot.odd.set(Odd::SEND_DEAD.or(Odd::UNREAD).or(Odd::READ_AGAIN));
        slot.odd.clear(Odd::BLOCKED);
        self.cx.out_room = 0;
        self.cx.table.decide(index, reason);
        self.cx.table.let_go(index, Odd::OVER_HIGH);
    }

    /// Stops reading while more is queued than the high mark.
    pub(super) fn hold_back_if_over_high(&mut self, index: usize) {
        if wrong!(HighMarkIgnored) {
            return;
        }
        let slot = &mut self.cx.table.slots[index];
        if self.cx.table.queues.queued(slot.queue) > self.cx.config.queued_bytes_high
            && !slot.odd.any(Odd::OVER_HIGH)
            && !slot.read_when_over_high
            && !slot.state.is_closing()
        {
            slot.odd.set(Odd::OVER_HIGH);
            self.cx.stats.over_high += 1;
        }
    }
}
