//! Output of one connection: from the batch of callbacks and the send queue to the kernel.
//!
//! It knows how much the kernel took and what to do with the rest. It does not know who sent what.

use std::io::{self, ErrorKind, IoSlice};
use std::mem;
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

/// Room that the output buffer keeps when it is empty: for the largest message that is sent by default, because page
/// faults in fresh memory cost several times what copying the message does.
const OUT_KEEP_MAX: usize = 4 << 20;

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Sends what callbacks have sent, behind what was queued before.
    pub(super) fn flush_out(&mut self, index: usize) {
        self.flush_batch(index, &[]);
    }

    /// Sends what the callbacks of this batch have sent, of which a part may be lent from its `input`.
    pub(super) fn flush_batch(&mut self, index: usize, input: &[u8]) {
        let lent = self.cx.lending.take();
        if !self.cx.out.is_empty() || lent.is_some() {
            let out = mem::take(&mut self.cx.out);
            let pieces = lent.map_or([&out[..], &[], &[]], |lent| lent.among(&out, input));
            self.send_out(index, pieces);
            self.empty_out(out);
        }
        self.flush_queue(index);
        self.hold_back_if_over_high(index);
    }

    fn send_out(&mut self, index: usize, pieces: [&[u8]; 3]) {
        let slot = &self.cx.table.slots[index];
        if slot.odd.any(Odd::CLOSING.or(Odd::SEND_DEAD)) {
            return;
        }
        if slot.odd.any(Odd::QUEUED.or(Odd::BLOCKED).or(Odd::RETRY_SEND)) {
            return self.queue_rest(index, pieces, 0);
        }
        self.cx.stats.calls.send += 1;
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        let result = match pieces {
            [out, [], []] => link.stream.send(out),
            [[], lent, []] => link.stream.send(lent),
            pieces => link.stream.send_vectored(&pieces.map(IoSlice::new)),
        };
        self.note_sent(index, result, pieces);
    }

    /// Deals with the outcome of sending `pieces`: what was not taken is queued.
    pub(super) fn note_sent(&mut self, index: usize, result: io::Result<usize>, pieces: [&[u8]; 3]) {
        let sent = match result {
            Ok(sent) => sent,
            Err(error) => {
                if !self.send_stopped(index, error) {
                    return;
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
        if sent < pieces.iter().map(|piece| piece.len()).sum() {
            if sent > 0 {
                self.blocked(index);
            }
            if wrong!(BlockedSendDropped) && sent == 0 {
                return;
            }
            if wrong!(PartialSendDropped) && sent > 0 {
                return;
            }
            let sent = if wrong!(PartialSendRepeated) { 0 } else { sent };
            self.queue_rest(index, pieces, sent);
        }
    }

    /// Queues a copy of `pieces` but for their first `sent` bytes.
    fn queue_rest(&mut self, index: usize, pieces: [&[u8]; 3], sent: usize) {
        let mut skip = sent;
        for piece in pieces {
            let n = skip.min(piece.len());
            skip -= n;
            self.cx.table.queue_copy(index, &piece[n..], self.cx.now);
        }
    }

    /// Gives the output buffer back, empty.
    pub(super) fn empty_out(&mut self, mut out: Vec<u8>) {
        out.clear();
        out.shrink_to(OUT_KEEP_MAX);
        self.cx.out = out;
    }

    /// Moves what is lent into the output buffer: the batch ends otherwise than by being sent.
    pub(super) fn take_back(&mut self, input: &[u8]) {
        if let Some(lent) = self.cx.lending.take() {
            if !wrong!(LentLostOnClose) {
                self.cx.out = lent.among(&self.cx.out, input).concat();
            }
        }
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
