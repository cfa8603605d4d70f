//! Closing as callbacks ask for it: remembered at once, carried out after the callback.
//!
//! It knows the ways to close; it closes no socket.

use super::Context;
use crate::conn::state::{State, Step};
use crate::error::{Close, CloseReason};
use crate::id::ConnId;
use crate::table::reasons::ReasonId;
use crate::table::slot::Odd;

impl Context {
    /// Closes a connection, itself or another, after the callback. See [`Close`] for the ways.
    ///
    /// From now on it gets no more frames, and its id answers [`Sent::Closed`](crate::Sent::Closed). `closed` is called once it is
    /// over, which for [`Close::Flush`] and [`Close::Linger`] may be some turns later. Nothing happens if the
    /// connection is gone; if it is closing already, only [`Close::Abort`] makes a difference.
    pub fn close(&mut self, target: ConnId, how: Close) {
        let Some(slot) = self.table.get(target) else { return };
        if slot.odd.any(Odd::CLOSING) {
            return;
        }
        let (index, closing) = (target.slot(), slot.state.is_closing());
        let peer_ended = slot.odd.any(Odd::ENDED);
        let orderly = if peer_ended { ReasonId::ENDED } else { ReasonId::CLOSED };
        match how {
            Close::Abort => {
                self.table.end_with_reset(index, CloseReason::Aborted);
                self.stop_if_current(target);
            }
            Close::Flush | Close::Linger | Close::Failed(_) if closing => {}
            Close::Flush if wrong!(CloseWithoutDrain) => {
                self.table.slots[index].reason.decide(orderly);
                self.table.step(index, Step::Over);
                self.stop_if_current(target);
            }
            Close::Flush | Close::Linger => {
                self.table.slots[index].reason.decide(orderly);
                let step = if matches!(how, Close::Flush) { Step::CloseFlush } else { Step::CloseLinger };
                self.begin_close(index, step);
            }
            Close::Failed(failure) => {
                self.table.decide(index, CloseReason::Failed(failure.into_error()));
                self.begin_close(index, Step::CloseLinger);
            }
        }
    }

    /// Starts closing connection `index` with `step`, once the reason is decided.
    #[inline]
    pub(crate) fn begin_close(&mut self, index: usize, step: Step) {
        let slot = &mut self.table.slots[index];
        slot.drop_until = slot.received.saturating_add(self.config.linger_bytes_max as u64);
        slot.since = self.now;
        let is_current = slot.id == self.current;
        let is_held_up = slot.odd.any(Odd::HELD_BACK.or(Odd::PENDING_INPUT).or(Odd::TAIL));
        self.table.step(index, step);
        if is_held_up {
            // What was waiting to be decoded is not wanted any more, and nothing holds a close back. What is
            // unread is read and dropped from now on: the peer may have to get rid of it before it reads.
            self.table.let_go(index, Odd::HELD_BACK);
        }
        if is_current {
            self.stop_current();
        } else {
            self.table.flush_later(index);
        }
    }

    /// Ends our side of a connection once what is queued has been sent (`shutdown`): the peer reads an end,
    /// and its frames still arrive. When both sides have ended, the reactor closes.
    ///
    /// Nothing bounds how long the peer may take to end its side but `Config::idle_timeout`, or a timer that
    /// closes. Sends to the connection answer [`Sent::Closed`](crate::Sent::Closed) from now on.
    pub fn finish(&mut self, target: ConnId) {
        let Some(slot) = self.table.get_mut(target) else { return };
        let index = target.slot();
        if slot.state == State::Connecting {
            slot.odd.set(Odd::FINISH);
            return;
        }
        if slot.odd.any(Odd::CLOSING) || slot.state.is_closing() {
            return;
        }
        if slot.state == State::HalfClosed {
            self.table.decide(index, CloseReason::Ended);
        }
        self.table.step(index, Step::Finish);
        if target == self.current {
            self.out_room = 0;
        } else {
            self.table.flush_later(index);
        }
    }
}
