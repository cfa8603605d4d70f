//! Bytes between one stream and one connection: receive, decode, deliver; queue, send.
//!
//! It knows the two byte stores of a connection and the order in which they move. It does not know which
//! connection is next (the turn does) nor what a frame means (the handler does).
//!
//! ```text
//!                  ┌─ tail (left over) ─┐
//!                  ▼                    │
//!  socket ─▶ receive buffer ─▶ codec ─▶ handler ─▶ out ─▶ socket
//!            (one for all)                          │      ▲
//!                                                   └▶ send queue
//! ```
//!
//! There are two ways through here. A connection about which nothing is odd takes the straight one:
//! [`Reactor::serve_plain`], one receive, its frames, one send. Everything else takes [`Reactor::visit`].

mod deliver;
mod ending;
mod input;
mod large;
mod output;

use std::io::{self, ErrorKind};
use std::mem;

use super::Reactor;
use crate::conn::state::{State, Step};
use crate::context::Context;
use crate::error::CloseReason;
use crate::handler::{Conn, Handler};
use crate::id::ConnId;
use crate::net::{Network, Stream as _};
use crate::readiness::Readiness;
use crate::table::slot::Odd;
use deliver::{Delivered, Pause, deliver};

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Serves a connection that is readable, if nothing is odd about it; whether it did.
    // Each array is looked up once before the callbacks. After them anything may have happened to the slot.
    #[inline]
    pub(in crate::reactor) fn serve_plain(&mut self, id: ConnId) -> bool {
        let Some(slot) = self.cx.table.get_mut(id).filter(|slot| slot.odd.is_none()) else { return false };
        let index = id.slot();
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        self.cx.stats.calls.recv += 1;
        let buf = &mut self.recv_buf[..];
        let n = match link.stream.recv(buf) {
            Ok(n) if n > 0 => n,
            result => {
                self.recv_oddly(id, result);
                return true;
            }
        };
        self.cx.stats.received += n as u64;
        slot.received += n as u64;
        slot.last_activity = self.cx.now;
        self.cx.begin_plain(id);
        let mut conn = Conn { id, codec: &mut link.codec, session: &mut link.session };
        let done = deliver(&mut self.handler, &mut self.cx, &mut conn, &buf[..n]);

        let all = n < buf.len() && !link.stream.was_cut_short();
        let whole = matches!(done.pause, Pause::Whole) && all;
        let slot = &mut self.cx.table.slots[index];
        if !whole || !slot.odd.is_none() || !self.cx.fresh.is_empty() {
            self.finish_visit(id, n, done);
            return true;
        }
        if !self.cx.out.is_empty() {
            self.cx.stats.calls.send += 1;
            match link.stream.send(&self.cx.out) {
                Ok(sent) if sent == self.cx.out.len() => {
                    slot.sent += sent as u64;
                    self.cx.stats.sent += sent as u64;
                    self.cx.out.clear();
                }
                result => {
                    self.sent_oddly(id, result);
                    return true;
                }
            }
        }
        self.cx.leave();
        true
    }

    /// The plain receive did not bring bytes: the end, an error, or nothing.
    #[cold]
    fn recv_oddly(&mut self, id: ConnId, result: io::Result<usize>) {
        let index = id.slot();
        self.cx.begin(id);
        match result {
            Ok(_) => self.peer_ended(index),
            Err(error) if wrong!(InterruptedEnds) && error.kind() == ErrorKind::Interrupted => {
                self.failed(index, error);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.cx.table.slots[index].odd.set(Odd::UNREAD);
                self.read(index);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.failed(index, error),
        }
        self.settle(index);
    }

    /// The plain send was not taken whole.
    #[cold]
    fn sent_oddly(&mut self, id: ConnId, result: io::Result<usize>) {
        let out = mem::take(&mut self.cx.out);
        self.note_sent(id.slot(), result, [&out, &[], &[]]);
        self.empty_out(out);
        self.settle(id.slot());
    }

    /// Ends a visit that began plainly and became odd: something was left over, sent, closed or stopped.
    #[cold]
    fn finish_visit(&mut self, id: ConnId, n: usize, done: Delivered) {
        let index = id.slot();
        let buf = mem::take(&mut self.recv_buf);
        let fed = self.feed_on(index, &buf[..n], done);
        self.keep(index, &buf[fed.used..n], &fed);
        let filled = n == buf.len() && !wrong!(FullReceiveTrusted);
        self.recv_buf = buf;
        let link = self.links[index].as_ref().expect("a slot in use has its link");
        let filled = filled || link.stream.was_cut_short();
        let slot = &mut self.cx.table.slots[index];
        if filled {
            slot.odd.set(Odd::UNREAD);
        }
        if slot.odd.any(Odd::PENDING_INPUT) && slot.delivers_now() && !wrong!(NotRequeuedAfterBudget) {
            self.cx.stats.budget_stops += 1;
            self.cx.table.ready_later(index);
        } else if slot.odd.any(Odd::UNREAD) && slot.state.drops_input() {
            self.cx.table.ready_later(index);
        }
        self.settle(index);
    }

    /// Serves a connection in whatever way it needs, after an event.
    pub(in crate::reactor) fn visit(&mut self, id: ConnId, readiness: Readiness) {
        const ANY_END: Readiness = Readiness::READ_CLOSED.or(Readiness::WRITE_CLOSED).or(Readiness::ERROR);
        let index = id.slot();
        let slot = &mut self.cx.table.slots[index];
        if slot.odd.any(Odd::CLOSING) {
            return;
        }
        if slot.state == State::Connecting {
            return self.visit_connecting(id);
        }
        if readiness.intersects(Readiness::WRITABLE.or(ANY_END)) && !wrong!(BlockedForever) {
            slot.odd.clear(Odd::BLOCKED);
        }
        if readiness.intersects(Readiness::EXCEPTIONAL.or(ANY_END)) {
            slot.odd.set(Odd::READ_AGAIN);
        }
        if readiness.intersects(Readiness::ERROR) {
            slot.odd.set(Odd::ERROR);
        }
        if slot.state == State::HalfClosed {
            // Its end was read. Only a reset can follow, and only an error announces it.
            if readiness.intersects(Readiness::ERROR) && !wrong!(HalfClosedIsDeaf) {
                slot.odd.set(Odd::UNREAD);
            }
        } else if readiness.intersects(Readiness::READABLE.or(ANY_END)) {
            slot.odd.set(Odd::UNREAD);
        }
        if wrong!(EdgeLostWhilePaused) && slot.odd.any(Odd::HELD_BACK) {
            slot.odd.clear(Odd::UNREAD);
        }
        self.cx.begin(id);
        if wrong!(ReadClosedIsHangUp) && readiness.intersects(Readiness::READ_CLOSED) {
            self.cx.table.end(index, CloseReason::Ended);
        }
        if wrong!(ResetBeforeData) && readiness.intersects(Readiness::ERROR) {
            self.failed(index, ErrorKind::ConnectionReset.into());
        }
        if wrong!(ErrorTakenBeforeData) && readiness.intersects(Readiness::ERROR) {
            drop(self.links[index].as_ref().map(|link| link.stream.take_error()));
        }
        if wrong!(UrgentAfterData) && self.cx.config.urgent {
            self.read(index);
        }
        if self.cx.config.urgent && readiness.intersects(Readiness::EXCEPTIONAL) {
            self.take_urgent(index);
        }
        self.flush_queue(index);
        if !self.cx.table.slots[index].odd.any(Odd::ON_READY) {
            self.read(index);
        }
        self.settle(index);
    }

    /// Serves a connection from the ready queue.
    pub(in crate::reactor) fn visit_ready(&mut self, id: ConnId) {
        self.cx.begin(id);
        self.read(id.slot());
        self.settle(id.slot());
    }

    // ---- After a visit ----

    /// Ends a visit: sends what was sent, completes what waited for that, and sets the wait.
    pub(in crate::reactor) fn settle(&mut self, index: usize) {
        self.flush_out(index);
        self.complete(index);
        if self.cx.table.slots[index].odd.any(Odd::DRAIN) {
            self.close_if_drained(index);
            self.flush_out(index);
            self.complete(index);
        }
        // Not only at the end of the turn: a thousand connections may grow in one.
        self.cx.pressing |= self.cx.table.held() > self.cx.config.memory_bytes_max;
        if !self.cx.table.slots[index].odd.any(Odd::RETRY_SEND) {
            self.cx.table.rearm(index, &self.cx.config, self.cx.now);
        }
        self.cx.leave();
        self.start_timers();
    }

    /// Completes what an emptied, or nearly emptied, queue completes.
    fn complete(&mut self, index: usize) {
        let low = self.cx.config.queued_bytes_low;
        if wrong!(HighMarkNeverResumes) {
            self.cx.table.slots[index].odd.clear(Odd::OWES_WRITABLE);
        }
        let slot = &self.cx.table.slots[index];
        if slot.odd.any(Odd::OWES_WRITABLE) && self.cx.table.queues.queued(slot.queue) <= low {
            let accepts = slot.accepts_output();
            self.cx.table.let_go(index, Odd::OVER_HIGH.or(Odd::OWES_WRITABLE));
            if accepts {
                let id = self.cx.table.slots[index].id;
                self.cx.begin(id);
                self.call(index, H::writable);
                // What it sent leaves at the end of this turn or in the next: not now, or a program that
                // always has more would keep the loop here.
                self.cx.spill(index);
                let odd = self.cx.table.slots[index].odd;
                if odd.any(Odd::QUEUED) && !odd.any(Odd::BLOCKED) {
                    self.cx.table.flush_later(index);
                }
                self.hold_back_if_over_high(index);
            }
        }
        let early = wrong!(FinishAtOnce) && self.cx.table.slots[index].state == State::Finishing;
        if self.cx.table.slots[index].odd.any(Odd::QUEUED.or(Odd::CLOSING)) && !early {
            return;
        }
        if self.cx.table.slots[index].odd.any(Odd::OVER_MEMORY) {
            self.cx.table.let_go(index, Odd::OVER_MEMORY);
        }
        let slot = &self.cx.table.slots[index];
        if !slot.state.waits_for_flush() {
            return;
        }
        if slot.state != State::Flushing {
            self.cx.stats.calls.shutdown += 1;
            let link = self.links[index].as_mut().expect("a slot in use has its link");
            // It fails only when the peer has reset the connection, which the next receive tells.
            if let Err(error) = link.stream.shutdown() {
                log::debug!("connection {}: {error} at shutdown", slot.id);
            }
        }
        if self.cx.table.step(index, Step::Flushed) == State::Lingering {
            self.cx.table.slots[index].since = self.cx.now;
            self.cx.table.slots[index].odd.set(Odd::UNREAD);
            self.drop_input(index);
        }
    }

    /// Closes a connection because of its peer, after the handler's last word.
    pub(in crate::reactor) fn refuse(&mut self, index: usize, step: Step, reason: CloseReason) {
        if self.cx.table.slots[index].accepts_output() {
            self.call(index, |handler, cx, conn| {
                handler.refused(cx, conn, &reason);
                Ok(())
            });
        }
        self.cx.table.decide(index, reason);
        self.cx.begin_close(index, step);
    }

    /// Calls the handler for a connection and closes it if the answer says so.
    pub(in crate::reactor) fn call(
        &mut self,
        index: usize,
        callback: impl FnOnce(&mut H, &mut Context, Conn<'_, H>) -> crate::error::Result,
    ) {
        let id = self.cx.table.slots[index].id;
        let Some(link) = self.links[index].as_mut() else { return };
        let conn = Conn { id, codec: &mut link.codec, session: &mut link.session };
        if let Err(close) = callback(&mut self.handler, &mut self.cx, conn) {
            self.cx.close(id, close);
        }
        // It may have switched the codec: the new one is asked about the bytes that the old one left.
        let slot = &mut self.cx.table.slots[index];
        if slot.odd.any(Odd::TAIL) && slot.delivers() {
            slot.odd.set(Odd::DECODABLE);
            if slot.delivers_now() {
                self.cx.table.ready_later(index);
            }
        }
    }

    /// Timers set in the callbacks that just ended count from now.
    #[inline]
    pub(in crate::reactor) fn start_timers(&mut self) {
        if !self.cx.fresh.is_empty() {
            self.start_fresh_timers();
        }
    }

    #[inline(never)]
    fn start_fresh_timers(&mut self) {
        if wrong!(TimerFromStaleNow) {
            return self.cx.fresh.clear();
        }
        let now = self.net.now();
        for (id, after) in self.cx.fresh.drain(..) {
            self.cx.table.timers.postpone(id, now, now + after);
        }
    }
}
