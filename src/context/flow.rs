//! Who is read from, and who is not for now.
//!
//! It knows what holds a connection back; it reads nothing.

use super::Context;
use crate::conn::state::State;
use crate::id::ConnId;
use crate::table::slot::Odd;

impl Context {
    /// Stops receiving from a connection and delivering its frames, after the callback. The kernel's buffer
    /// then fills and the peer is slowed down. Its end and a reset are not noticed either until [`resume`](Context::resume).
    pub fn pause(&mut self, target: ConnId) {
        let Some(slot) = self.table.get_mut(target) else { return };
        if slot.state.is_closing() {
            return;
        }
        slot.odd.set(Odd::PAUSED);
        if target == self.current && !wrong!(PauseLate) {
            self.halt = true;
        }
    }

    /// Undoes [`pause`](Context::pause); what arrived meanwhile is delivered from the next turn on.
    pub fn resume(&mut self, target: ConnId) {
        if self.table.get(target).is_some_and(|slot| slot.odd.any(Odd::PAUSED)) {
            self.table.let_go(target.slot(), Odd::PAUSED);
            let timed = self.config.idle_timeout.is_some() || self.config.first_frame_timeout.is_some();
            if timed && self.table.slots[target.slot()].state != State::Connecting {
                // Its time goes on, which the end of a visit sees to.
                self.table.ready_later(target.slot());
            }
        }
    }

    /// Whether reading from a connection pauses by itself while output of its own is above the high mark, as it
    /// does unless told otherwise. It holds until the connection is told again, from its next callback or flush on;
    /// one that is still connecting may be told as well.
    ///
    /// The pause is right where output answers input: a peer that does not read is not served. It is wrong where
    /// output comes from elsewhere, as in a proxy. A proxy's upstream that echoes, and pauses likewise, would not read
    /// until the proxy does, which would not read until the upstream does, until the write timeout ends both. A proxy
    /// turns it off and pauses the side that *produces* the output, by [`Sent::OverHigh`](crate::Sent::OverHigh), `pause` and `writable`.
    /// The hard limit of the queue holds all the same.
    pub fn auto_pause(&mut self, target: ConnId, on: bool) {
        let queued = self.queued(target);
        let Some(slot) = self.table.get_mut(target) else { return };
        slot.read_when_over_high = !on;
        if !on && slot.odd.any(Odd::OVER_HIGH) {
            self.table.let_go(target.slot(), Odd::OVER_HIGH);
        } else if on && target == self.current && queued > self.config.queued_bytes_high {
            self.halt = true;
        }
    }
}
