//! Input of one connection: from the kernel through the tail and the codec to the handler.
//!
//! It knows how received bytes are placed so that frames can be cut without copying, and what is kept when
//! they can't. It does not know what follows from a frame.
//!
//! ```text
//!  nothing left over       [ received ................ ]            frames are slices of the receive buffer
//!  little left over        [ tail ][ received ........ ]            the tail is put in front, the same
//!  little received         tail: [ ........ ][ received ]           it goes behind the tail
//!  much left over          tail: [ ........ ][ received ]           it is received there, all that the frame misses,
//!                                                                   or at its end as much of what was received
//! ```
//!
//! So every byte is moved at most twice, however it drips in, and of a large frame only its beginning. Bytes are
//! never received while whole frames may still be undecoded.

use std::io::{self, ErrorKind};
use std::mem;

use super::deliver::{Delivered, Pause, deliver};
use crate::conn::state::{State, Step};
use crate::conn::tail::Tail;
use crate::context::Fault;
use crate::error::CloseReason;
use crate::handler::{Conn, Handler};
use crate::net::{Network, Stream as _};
use crate::reactor::Reactor;
use crate::table::slot::Odd;

/// What is left of an input after delivering.
pub(super) struct Fed {
    pub(super) used: usize,
    /// How long the input must be before decoding goes on; `None` if it stopped for another reason.
    pub(super) need: Option<usize>,
}

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Decodes what is there and receives more, until the kernel has no more, a budget is used up or the
    /// connection is held back.
    pub(super) fn read(&mut self, index: usize) {
        self.cx.frames_left = self.cx.config.frames_per_turn;
        self.read_within(index, self.cx.config.bytes_per_turn);
    }

    /// The same within what is left of a budget: so many bytes, and `Context::frames_left`.
    pub(super) fn read_within(&mut self, index: usize, bytes: usize) {
        let mut bytes = bytes;
        loop {
            let slot = &mut self.cx.table.slots[index];
            if slot.odd.any(Odd::CLOSING) {
                return;
            }
            if slot.state.drops_input() {
                return self.drop_input(index);
            }
            if slot.state == State::HalfClosed && slot.odd.any(Odd::UNREAD) {
                return self.probe(index);
            }
            if !slot.delivers_now() {
                return;
            }
            if !slot.odd.any(Odd::PENDING_INPUT) {
                return;
            }
            if bytes == 0 || self.cx.frames_left == 0 {
                self.cx.stats.budget_stops += 1;
                if wrong!(NotRequeuedAfterBudget) {
                    return;
                }
                return self.cx.table.ready_later(index);
            }
            // What is decodable comes first: nothing is received while whole frames may be waiting.
            if self.cx.table.slots[index].odd.take(Odd::DECODABLE) {
                self.feed_tail(index);
            } else {
                bytes = bytes.saturating_sub(self.recv_once(index, bytes));
            }
        }
    }

    /// Receives once and delivers what came; the number of bytes.
    fn recv_once(&mut self, index: usize, budget: usize) -> usize {
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        let little = self.recv_buf.len() / 4;
        let left = link.tail.as_ref().map_or(0, |tail| tail.len());
        let behind = left > little && !wrong!(EmptySliceIsEnd);
        if behind && link.tail.as_ref().is_some_and(|tail| tail.missing() > little) {
            return self.recv_behind(index, budget);
        }
        // What is received goes behind room for the tail, so that the tail can be put in front of it, if
        // that is worth while once it is known how much came.
        let room = if left <= little { left } else { 0 };
        let room = if wrong!(EmptySliceIsEnd) { left.min(self.recv_buf.len()) } else { room };
        self.cx.stats.calls.recv += 1;
        let result = link.stream.recv(&mut self.recv_buf[room..]);
        let offered = self.recv_buf.len() - room;
        let Some(n) = self.received(index, result, offered) else { return 0 };
        let mut buf = mem::take(&mut self.recv_buf);
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        if left == 0 {
            self.feed_and_keep(index, &buf[..n]);
        } else if link.tail.as_ref().is_some_and(|tail| room > 0 && n >= left && n >= tail.missing()) {
            // More came than was left: with the tail in front of it, frames are cut in the buffer.
            let tail = link.tail.take();
            buf[..left].copy_from_slice(tail.as_ref().map_or(&[][..], |tail| tail.bytes()));
            self.put_by(tail);
            self.feed_and_keep(index, &buf[..left + n]);
        } else {
            self.feed_behind(index, &buf[room..room + n]);
        }
        self.recv_buf = buf;
        n
    }

    /// Notes what a receive that was offered so many bytes brought: how many, if any.
    pub(super) fn received(
        &mut self,
        index: usize,
        result: io::Result<usize>,
        offered: usize,
    ) -> Option<usize> {
        let n = match result {
            Ok(0) => {
                self.peer_ended(index);
                return None;
            }
            Ok(n) => n,
            Err(error) => {
                self.recv_stopped(index, error);
                return None;
            }
        };
        let slot = &mut self.cx.table.slots[index];
        slot.received += n as u64;
        slot.last_activity = self.cx.now;
        self.cx.stats.received += n as u64;
        if wrong!(ShortReceiveTrusted) && n < offered {
            slot.odd.clear(Odd::READ_AGAIN);
        }
        if wrong!(FullReceiveTrusted) {
            slot.odd.clear(Odd::UNREAD);
        }
        let link = self.links[index].as_ref().expect("a slot in use has its link");
        if n < offered && !slot.odd.any(Odd::READ_AGAIN) && !link.stream.was_cut_short() {
            slot.odd.clear(Odd::UNREAD);
        }
        Some(n)
    }

    fn recv_stopped(&mut self, index: usize, error: io::Error) {
        match error.kind() {
            ErrorKind::Interrupted if wrong!(InterruptedEnds) => self.failed(index, error),
            ErrorKind::Interrupted => {}
            ErrorKind::WouldBlock => {
                let slot = &mut self.cx.table.slots[index];
                slot.odd.clear(Odd::UNREAD.or(Odd::READ_AGAIN));
                if slot.odd.any(Odd::SEND_DEAD) {
                    // All that came before the failure is delivered.
                    self.cx.table.step(index, Step::Over);
                }
            }
            _ => self.failed(index, error),
        }
    }

    /// The socket failed: a reset, or worse. What came before is delivered by now.
    pub(super) fn failed(&mut self, index: usize, error: io::Error) {
        if wrong!(ResetToldAsEnded) {
            return self.cx.table.end(index, CloseReason::Ended);
        }
        self.cx.table.end(index, CloseReason::from_io(error));
    }

    /// Delivers `input` from its beginning and keeps what is left over.
    pub(super) fn feed_and_keep(&mut self, index: usize, input: &[u8]) {
        let fed = self.feed(index, input);
        self.keep(index, &input[fed.used..], &fed);
    }

    /// Delivers `input` from its beginning.
    fn feed(&mut self, index: usize, input: &[u8]) -> Fed {
        if self.cx.frames_left == 0 {
            return Fed { used: 0, need: None };
        }
        let done = self.deliver_to(index, input);
        self.feed_on(index, input, done)
    }

    #[inline(never)]
    fn deliver_to(&mut self, index: usize, input: &[u8]) -> Delivered {
        let id = self.cx.table.slots[index].id;
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        let mut conn = Conn { id, codec: &mut link.codec, session: &mut link.session };
        deliver(&mut self.handler, &mut self.cx, &mut conn, input)
    }

    /// Goes on delivering `input` where it stopped.
    pub(super) fn feed_on(&mut self, index: usize, input: &[u8], done: Delivered) -> Fed {
        let Delivered { mut left, mut pause } = done;
        loop {
            let used = input.len() - left;
            match pause {
                Pause::Whole => return Fed { used, need: Some(1) },
                Pause::NeedMore => return Fed { used, need: Some(self.cx.wanted.max(left + 1)) },
                Pause::Halt => {
                    self.flush_batch(index, input);
                    if !self.cx.table.slots[index].delivers_now() || self.cx.frames_left == 0 {
                        return Fed { used, need: None };
                    }
                    self.cx.begin(self.cx.current);
                    let more = self.deliver_to(index, &input[used..]);
                    (left, pause) = (more.left, more.pause);
                }
                Pause::Budget => return Fed { used, need: None },
                Pause::Fault => {
                    self.take_back(input);
                    match self.cx.fault.take() {
                        Some(Fault::Close(close)) => self.cx.close(self.cx.current, close),
                        Some(Fault::Frame(_)) if wrong!(FrameErrorIgnored) => {}
                        Some(Fault::Frame(error)) => {
                            self.refuse(index, Step::CloseLinger, CloseReason::Frame(error));
                        }
                        None => {}
                    }
                    return Fed { used, need: None };
                }
            }
        }
    }

    /// Delivers what is in the tail.
    pub(super) fn feed_tail(&mut self, index: usize) {
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        let Some(mut tail) = link.tail.take() else {
            // A codec that was just switched may owe a frame that needs no bytes.
            return self.feed_and_keep(index, &[]);
        };
        // Not counted while it is lent: a callback that panics takes it along.
        self.cx.table.tails_held -= tail.capacity();
        if wrong!(TailLeaksOnPanic) {
            self.cx.table.tails_held += tail.capacity();
        }
        let before = self.cx.lending.lie_in(tail.bytes());
        let fed = self.feed(index, tail.bytes());
        self.cx.lending.lie_again_in(before);
        if wrong!(TailLeaksOnPanic) {
            self.cx.table.tails_held -= tail.capacity();
        }
        tail.consume(fed.used);
        if tail.is_roomy() {
            // The rest of a large frame's buffer is not held for the beginning of the next one.
            self.keep(index, tail.bytes(), &fed);
            self.spare_tails.put(tail);
        } else if self.has_left_over(index, tail.len(), &fed) {
            tail.need = fed.need.unwrap_or(0);
            self.cx.table.tails_held += tail.capacity();
            let link = self.links[index].as_mut().expect("a slot in use has its link");
            link.tail = Some(tail);
        } else {
            self.spare_tails.put(tail);
        }
    }

    /// Keeps what is left of an input for later.
    pub(super) fn keep(&mut self, index: usize, rest: &[u8], fed: &Fed) {
        if !self.has_left_over(index, rest.len(), fed) || wrong!(TailLostOnPause) && fed.need.is_none() {
            return;
        }
        let mut tail = self.spare_tails.keep(rest);
        tail.need = fed.need.unwrap_or(0);
        self.cx.table.tails_held += tail.capacity();
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        debug_assert!(link.tail.is_none(), "the old tail was put in front of the input");
        link.tail = Some(tail);
    }

    /// Notes that `rest` bytes of input are left over and why, and says whether to keep them.
    fn has_left_over(&mut self, index: usize, rest: usize, fed: &Fed) -> bool {
        let slot = &mut self.cx.table.slots[index];
        if !slot.delivers() {
            slot.odd.clear(Odd::TAIL.or(Odd::DECODABLE));
            return false;
        }
        if fed.used > 0 {
            slot.odd.clear(Odd::FIRST);
        }
        // The first of these bytes came just now, unless they are what was left over before and more.
        if fed.used > 0 || !slot.odd.any(Odd::TAIL) || wrong!(FrameTimeoutResets) {
            slot.since = self.cx.now;
        }
        slot.odd.put(Odd::TAIL, rest > 0);
        slot.odd.put(Odd::DECODABLE, fed.need.is_none());
        let limit = self.cx.config.recv_bytes_max;
        let limit = if wrong!(RecvLimitIgnored) { usize::MAX } else { limit };
        if let Some(bytes) = fed.need.filter(|&bytes| rest > 0 && bytes > limit) {
            slot.odd.clear(Odd::TAIL);
            self.refuse(index, Step::CloseLinger, CloseReason::RecvLimit { bytes, limit });
            return false;
        }
        rest > 0
    }

    /// Reads an urgent byte before the data around it: a receive past its place would discard it.
    pub(super) fn take_urgent(&mut self, index: usize) {
        if !self.cx.table.slots[index].delivers_now() {
            return;
        }
        self.cx.stats.calls.recv_urgent += 1;
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        // Announced and not arrived, or none: both harmless, and another event follows in the first case.
        if let Ok(byte) = link.stream.recv_urgent() {
            self.call(index, |handler, cx, conn| handler.urgent(cx, conn, byte));
        }
    }

    /// Reads and drops what a peer still sends to a connection that is closing, up to the limit, and no more in
    /// one turn than is received from one that is open.
    pub(super) fn drop_input(&mut self, index: usize) {
        self.discard_tail(index);
        let mut bytes = self.cx.config.bytes_per_turn;
        loop {
            let slot = &mut self.cx.table.slots[index];
            if !slot.odd.any(Odd::UNREAD) || wrong!(LingerReadsNothing) {
                return;
            }
            let left = slot.drop_until.saturating_sub(slot.received);
            let left = if wrong!(LingerUnbounded) { u64::MAX } else { left };
            if left == 0 {
                slot.odd.clear(Odd::UNREAD);
                if slot.state == State::Lingering {
                    self.cx.table.step(index, Step::Over);
                }
                return;
            }
            if bytes == 0 {
                self.cx.stats.budget_stops += 1;
                return self.cx.table.ready_later(index);
            }
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(self.recv_buf.len());
            self.cx.stats.calls.recv += 1;
            let link = self.links[index].as_mut().expect("a slot in use has its link");
            match link.stream.recv(&mut self.recv_buf[..room]) {
                Ok(0) => {
                    slot.odd.clear(Odd::UNREAD);
                    slot.odd.set(Odd::ENDED);
                    self.cx.table.step(index, Step::PeerEnded);
                    return;
                }
                Ok(n) => {
                    bytes = bytes.saturating_sub(n);
                    slot.received += n as u64;
                    self.cx.stats.received += n as u64;
                    if n < room && !slot.odd.any(Odd::READ_AGAIN) && !link.stream.was_cut_short() {
                        slot.odd.clear(Odd::UNREAD);
                    }
                }
                Err(error) => {
                    self.recv_stopped(index, error);
                    if self.cx.table.slots[index].odd.any(Odd::CLOSING) {
                        return;
                    }
                }
            }
        }
    }

    fn discard_tail(&mut self, index: usize) {
        self.cx.table.slots[index].odd.clear(Odd::TAIL.or(Odd::DECODABLE));
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        let tail = link.tail.take();
        self.put_by(tail);
    }

    /// Puts a tail by that no connection holds any more.
    pub(in crate::reactor) fn put_by(&mut self, tail: Option<Box<Tail>>) {
        if let Some(tail) = tail {
            self.cx.table.tails_held -= tail.capacity();
            self.spare_tails.put(tail);
        }
    }
}
