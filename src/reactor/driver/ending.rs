//! The end of a peer's side: what was left over, `half_closed`, and a reset that may come behind it.
//!
//! It knows what follows from an end that was read. It does not know how input gets here, nor how our side ends.

use std::io::ErrorKind;
use std::mem;

use crate::codec::Decoder;
use crate::conn::state::{State, Step};
use crate::error::{Close, CloseReason};
use crate::handler::{Conn, Frame, Handler};
use crate::id::ConnId;
use crate::net::{Network, Stream as _};
use crate::reactor::Reactor;
use crate::table::reasons::ReasonId;
use crate::table::slot::Odd;

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Serves a connection about which nothing is odd but that its peer has ended its side.
    // The straight way for the end, as `serve_plain` is for bytes. Nearly always the end is all there is, for who waits
    // for an answer ends its side behind it; and there is nothing left over, and nothing to be sent after it.
    pub(in crate::reactor) fn serve_ending(&mut self, id: ConnId) {
        let index = id.slot();
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        self.cx.stats.calls.recv += 1;
        match link.stream.recv(&mut self.recv_buf) {
            Ok(0) => {}
            Ok(n) => return self.serve_before_end(index, n),
            Err(error) => {
                if error.kind() == ErrorKind::Interrupted {
                    // The end is still to come, behind whatever the next receive brings.
                    self.cx.table.slots[index].odd.set(Odd::READ_AGAIN);
                }
                return self.recv_oddly(id, Err(error));
            }
        }
        self.cx.begin_plain(id);
        self.cx.table.slots[index].odd.set(Odd::ENDED);
        let end = link.codec.end(&[]);
        if !matches!(end, Ok(None)) || !self.cx.config.half_close || wrong!(HalfCloseEndsBoth) {
            self.deliver_end(index, end, 0);
            self.half_close(index);
            return self.settle(index);
        }
        self.cx.table.step(index, Step::PeerEnded);
        let conn = Conn { id, codec: &mut link.codec, session: &mut link.session };
        let answer = self.handler.half_closed(&mut self.cx, conn);
        let slot = &mut self.cx.table.slots[index];
        let has_no_more = slot.odd == Odd::ENDED.or(Odd::NOT_OPEN) && self.cx.out.is_empty();
        if has_no_more && slot.state == State::HalfClosed && matches!(answer, Err(Close::Flush)) {
            // There is nothing to flush.
            slot.reason.decide(ReasonId::ENDED);
            self.cx.table.step(index, Step::Over);
            self.cx.leave();
            return self.start_timers();
        }
        if let Err(close) = answer {
            self.cx.close(id, close);
        }
        self.settle(index);
    }

    /// Bytes came with the end: behind them it is read.
    #[inline(never)]
    fn serve_before_end(&mut self, index: usize, n: usize) {
        let slot = &mut self.cx.table.slots[index];
        slot.odd.set(Odd::UNREAD.or(Odd::READ_AGAIN));
        let id = slot.id;
        self.cx.begin_plain(id);
        self.received(index, Ok(n), self.recv_buf.len());
        let buf = mem::take(&mut self.recv_buf);
        self.feed_and_keep(index, &buf[..n]);
        self.recv_buf = buf;
        self.read_within(index, self.cx.config.bytes_per_turn.saturating_sub(n));
        self.settle(index);
    }

    /// The peer's end was read: the codec says what the bytes left over are, then the handler is told.
    pub(super) fn peer_ended(&mut self, index: usize) {
        let slot = &mut self.cx.table.slots[index];
        slot.odd.clear(Odd::UNREAD.or(Odd::READ_AGAIN).or(Odd::TAIL));
        slot.odd.set(Odd::ENDED);
        if slot.odd.any(Odd::SEND_DEAD) {
            self.cx.table.step(index, Step::Over);
            return;
        }
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        let tail = link.tail.take();
        // Not counted while it is lent: a callback that panics takes it along.
        self.cx.table.tails_held -= tail.as_ref().map_or(0, |tail| tail.capacity());
        let rest = tail.as_ref().map_or(&[][..], |tail| tail.bytes());
        let end = link.codec.end(rest);
        self.deliver_end(index, end, rest.len());
        if let Some(tail) = tail {
            self.spare_tails.put(tail);
        }
        self.half_close(index);
        if self.cx.table.slots[index].odd.any(Odd::ERROR) {
            // A reset came behind the end, in the same event. No other will tell of it.
            self.ask_for_error(index);
        }
    }

    /// Deals with what the codec makes of the `left` bytes that are left over at the end.
    fn deliver_end(
        &mut self,
        index: usize,
        end: Result<Option<Frame<'_, H>>, <H::Codec as Decoder>::Error>,
        left: usize,
    ) {
        match end {
            Ok(Some(_)) if wrong!(LastFrameDropped) => {}
            Ok(Some(frame)) => {
                self.cx.stats.frames += 1;
                let id = self.cx.current;
                let link = self.links[index].as_mut().expect("a slot in use has its link");
                let conn = Conn { id, codec: &mut link.codec, session: &mut link.session };
                if let Err(close) = self.handler.received(&mut self.cx, conn, frame) {
                    self.cx.close(id, close);
                }
            }
            Ok(None) if left == 0 || wrong!(TruncatedIsOrderly) => {}
            Ok(None) => self.refuse(index, Step::CloseFlush, CloseReason::Truncated { bytes: left }),
            Err(error) => self.refuse(index, Step::CloseFlush, CloseReason::Frame(Box::new(error))),
        }
    }

    /// Moves on after the peer's end.
    fn half_close(&mut self, index: usize) {
        let slot = &self.cx.table.slots[index];
        let (id, was) = (slot.id, slot.state);
        if slot.odd.any(Odd::CLOSING) {
            return;
        }
        if matches!(was, State::Finishing | State::Finished) {
            self.cx.table.decide(index, CloseReason::Ended);
        }
        if self.cx.table.step(index, Step::PeerEnded) != State::HalfClosed {
            return;
        }
        if !self.cx.config.half_close || wrong!(HalfCloseEndsBoth) {
            return self.cx.close(id, Close::Flush);
        }
        self.call(index, H::half_closed);
    }

    /// Looks whether a connection whose end was read has been reset since.
    pub(super) fn probe(&mut self, index: usize) {
        self.cx.table.slots[index].odd.clear(Odd::UNREAD.or(Odd::READ_AGAIN));
        self.cx.stats.calls.recv += 1;
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        let mut byte = [0];
        match link.stream.recv(&mut byte) {
            // Linux answers the end again also after a reset, so the error has to be asked for.
            Ok(_) => self.ask_for_error(index),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => self.failed(index, error),
        }
    }

    /// Ends a connection whose socket has an error pending. There must be no data left that it comes before.
    fn ask_for_error(&mut self, index: usize) {
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        match link.stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => self.failed(index, error),
        }
    }
}
