//! Input of a frame larger than is received at once: where its bytes go so that few are copied.
//!
//! It knows how much of a frame is there and how much the codec misses. It does not know frames that fit into the
//! receive buffer.
//!
//! ```text
//!  tail: [ the beginning, copied there ][ received right there, up to the end of the frame ]
//!  or, if only the end is missing:      [ copied ] from [ end │ what follows, cut where it is ]
//! ```

use super::input::Fed;
use crate::handler::Handler;
use crate::net::{Network, Stream as _};
use crate::reactor::Reactor;
use crate::table::slot::Odd;

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Receives what a large frame misses right behind what there is of it, at most as much as that.
    pub(super) fn recv_behind(&mut self, index: usize, budget: usize) -> usize {
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        let tail = link.tail.as_mut().expect("much is left over");
        // No more at once than ever, and no more room than for as much as has come.
        let most = budget.min(self.recv_buf.len());
        let offered = tail.missing().min(most).min(tail.room().len().max(tail.len()));
        let before = tail.capacity();
        self.spare_tails.reserve(tail, offered);
        self.cx.table.tails_held += tail.capacity();
        self.cx.table.tails_held -= before;
        self.cx.stats.calls.recv += 1;
        let result = link.stream.recv(&mut tail.room()[..offered]);
        if let Ok(n) = result {
            tail.extend(n);
        }
        let is_whole = tail.missing() == 0;
        let Some(n) = self.received(index, result, offered) else { return 0 };
        if is_whole {
            self.feed_tail(index);
        }
        n
    }

    /// Appends `bytes` to what is left over and delivers what that makes whole.
    pub(super) fn feed_behind(&mut self, index: usize, bytes: &[u8]) {
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        let tail = link.tail.as_mut().expect("something is left over");
        // Little is taken over whole, so that each byte is moved once however slowly they drip. Of much only what
        // ends the frame: what follows is cut where it is.
        let little = self.cx.config.recv_buffer_bytes / 4;
        let n = if tail.len() > little { bytes.len().min(tail.missing()) } else { bytes.len() };
        let before = tail.capacity();
        self.spare_tails.append(tail, &bytes[..n]);
        self.cx.table.tails_held += tail.capacity();
        self.cx.table.tails_held -= before;
        if tail.missing() == 0 {
            self.feed_tail(index);
        }
        if n < bytes.len() {
            self.feed_rest(index, &bytes[n..]);
        }
    }

    /// Delivers what was received behind the end of a large frame, or keeps it if that was not the end or
    /// delivering has stopped there.
    fn feed_rest(&mut self, index: usize, bytes: &[u8]) {
        let slot = &mut self.cx.table.slots[index];
        let link = self.links[index].as_mut().expect("a slot in use has its link");
        match link.tail.as_mut() {
            Some(tail) => {
                let before = tail.capacity();
                self.spare_tails.append(tail, bytes);
                self.cx.table.tails_held += tail.capacity();
                self.cx.table.tails_held -= before;
                if tail.missing() == 0 {
                    slot.odd.set(Odd::DECODABLE);
                }
            }
            None if slot.delivers_now() => self.feed_and_keep(index, bytes),
            None => self.keep(index, bytes, &Fed { used: 0, need: None }),
        }
    }
}
