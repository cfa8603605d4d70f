//! Sending datagrams: remembered in order, and sent by the loop afterwards.
//!
//! It knows what waits for which socket, and that it has a limit. It knows no socket.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::Duration;

use super::{Context, Sent};
use crate::addr::Addr;
use crate::bind::{Bind, Membership};
use crate::id::DatagramId;
use crate::instant::Instant;
use crate::options::Options;

/// What waits to be sent from one socket. The bytes of all of it stand behind one another.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<(Addr, usize)>,
    bytes: Vec<u8>,
    /// How many of the bytes are sent already.
    gone: usize,
    /// Put aside, in order: their receivers take no more for now, and no event will say when they do.
    aside: VecDeque<Aside>,
    aside_bytes: usize,
    /// How many of them are for whom.
    receivers: BTreeMap<Addr, usize>,
    /// The kernel takes no more for now; an event will say when it does.
    pub(crate) blocked: bool,
    /// It is on the list of what is sent at the end of the turn.
    pub(crate) listed: bool,
    /// Where its socket is bound, once it is open.
    pub(crate) addr: Option<Addr>,
    /// The socket is to be closed: nothing is received or taken for it any more.
    pub(crate) closing: bool,
}

/// A datagram that was put aside.
#[derive(Debug)]
pub(crate) struct Aside {
    pub(crate) to: Addr,
    pub(crate) bytes: Box<[u8]>,
    pub(crate) since: Instant,
}

impl Outbox {
    /// Whether something for that receiver was put aside, behind which more of it must wait.
    pub(crate) fn is_aside(&self, to: &Addr) -> bool {
        self.receivers.contains_key(to)
    }

    /// Puts the first that waits aside, unless that would be more than `max` bytes: then it is dropped, as the answer
    /// says.
    pub(crate) fn put_aside(&mut self, max: usize, now: Instant) -> bool {
        let Some((to, bytes)) = self.front() else { return true };
        let takes = bytes.len() + OVERHEAD;
        let fits = self.aside_bytes + takes <= max;
        if fits {
            let aside = Aside { to: to.clone(), bytes: bytes.into(), since: now };
            self.keep_aside(aside);
        }
        self.pop();
        fits
    }

    /// Takes the first that was put aside.
    pub(crate) fn take_aside(&mut self) -> Option<Aside> {
        let aside = self.aside.pop_front()?;
        self.aside_bytes -= aside.bytes.len() + OVERHEAD;
        if let Some(count) = self.receivers.get_mut(&aside.to) {
            *count -= 1;
            if *count == 0 {
                self.receivers.remove(&aside.to);
            }
        }
        Some(aside)
    }

    /// Puts one aside, behind all others.
    pub(crate) fn keep_aside(&mut self, aside: Aside) {
        self.aside_bytes += aside.bytes.len() + OVERHEAD;
        *self.receivers.entry(aside.to.clone()).or_default() += 1;
        self.aside.push_back(aside);
    }

    /// How many are put aside.
    pub(crate) fn aside_len(&self) -> usize {
        self.aside.len()
    }

    /// The first that waits.
    pub(crate) fn front(&self) -> Option<(&Addr, &[u8])> {
        let (to, len) = self.waiting.front()?;
        Some((to, &self.bytes[self.gone..self.gone + *len]))
    }

    /// Drops the first that waits: it was sent, or never will be.
    pub(crate) fn pop(&mut self) {
        if let Some((_, len)) = self.waiting.pop_front() {
            self.gone += len;
        }
        if self.waiting.is_empty() {
            self.bytes.clear();
            self.gone = 0;
        } else if self.gone > self.bytes.len() / 2 {
            // Moved at most as often as it was written.
            self.bytes.drain(..self.gone);
            self.gone = 0;
        }
    }

    /// How many wait, but for those put aside.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many wait in all.
    pub(crate) fn left(&self) -> usize {
        self.waiting.len() + self.aside.len()
    }

    /// Gives back room that nothing needs.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if self.waiting.is_empty() {
            self.bytes.shrink_to(bytes);
            self.waiting.shrink_to(bytes / OVERHEAD);
        }
    }

    fn held(&self) -> usize {
        self.bytes.len() - self.gone + self.aside_bytes
    }
}

/// What waits to be sent from all sockets, and what is to be done with them.
#[derive(Debug)]
pub(crate) struct Outboxes {
    pub(crate) sockets: BTreeMap<DatagramId, Outbox>,
    /// Those that have something to send, and that nothing was said of yet.
    pub(crate) list: Vec<DatagramId>,
    pub(crate) binds: Vec<(DatagramId, Bind)>,
    pub(crate) options: Vec<(DatagramId, Options)>,
    pub(crate) memberships: Vec<(DatagramId, Membership)>,
    pub(crate) closes: Vec<DatagramId>,
    pub(crate) count: u32,
    /// Whether there is anything to do that no event will announce, for these or for registered descriptors.
    pub(crate) pending: bool,
    /// When what was put aside is tried again, and how long after that the next time would be.
    pub(crate) again: Instant,
    pub(crate) pause: Duration,
}

impl Default for Outboxes {
    fn default() -> Outboxes {
        Outboxes {
            sockets: BTreeMap::new(),
            list: Vec::new(),
            binds: Vec::new(),
            closes: Vec::new(),
            count: 0,
            options: Vec::new(),
            memberships: Vec::new(),
            pending: false,
            again: Instant::NEVER,
            pause: Duration::ZERO,
        }
    }
}

impl Outboxes {
    /// The id of the next socket. Ids are never reused.
    pub(crate) fn next_id(&mut self) -> DatagramId {
        self.count += 1;
        DatagramId(self.count - 1)
    }

    /// There are no sockets any more.
    pub(crate) fn clear(&mut self) {
        let count = self.count;
        *self = Outboxes { count, ..Outboxes::default() };
    }

    /// Whether a socket is open, or will be.
    pub(crate) fn is_open(&self, id: DatagramId) -> bool {
        self.sockets.get(&id).is_some_and(|outbox| !outbox.closing)
    }

    /// Whether anything was put aside.
    pub(crate) fn any_aside(&self) -> bool {
        self.sockets.values().any(|outbox| outbox.aside_len() > 0)
    }

    /// The kernel may take more from a socket.
    pub(crate) fn unblock(&mut self, id: DatagramId) {
        let Some(outbox) = self.sockets.get_mut(&id) else { return };
        outbox.blocked = false;
        if outbox.len() > 0 && !outbox.listed {
            outbox.listed = true;
            self.list.push(id);
            self.pending = true;
        }
    }
}

/// What one datagram and its entry cost besides its bytes.
const OVERHEAD: usize = 64;

impl Context {
    /// Opens a socket for datagrams after the callback. Should that fail, `Handler::bind_failed` is called with the id.
    /// What is sent from it meanwhile waits. When the reactor stops, what `bind_failed` itself asks for is neither opened
    /// nor told.
    pub fn bind(&mut self, bind: impl Into<Bind>) -> DatagramId {
        let id = self.datagrams.next_id();
        self.datagrams.sockets.insert(id, Outbox { blocked: true, ..Outbox::default() });
        self.datagrams.binds.push((id, bind.into()));
        self.datagrams.pending = true;
        id
    }

    /// Sends one datagram from `socket` to `to`: a copy, whole or not at all, in the order of the calls. To
    /// [`Addr::Unnamed`] it goes to whom the socket is connected to.
    ///
    /// Never blocks and never calls the system. [`Sent::Full`] says that more than `Config::datagram_bytes_max` would
    /// wait, each datagram counted with 64 bytes more than it has: this one is dropped and nothing closes, as the
    /// network itself may drop any. [`Sent::Closed`] says that there is no such socket. What the kernel refuses is told
    /// with `Handler::datagram_failed`.
    ///
    /// One socket is one queue, here and in the kernel. A machine of the local network that does not answer holds up what
    /// goes to all others from the same socket, for up to three seconds: until the kernel gives up to ask for its hardware
    /// address, what is for it takes up the send buffer, up to all of it. Who must not wait for one another sends from
    /// several sockets.
    ///
    /// A reply should not be longer than what asked for it, unless the sender has shown
    /// that the address is its own: anyone can write anybody's address there.
    pub fn send_datagram(&mut self, socket: DatagramId, to: impl Into<Addr>, bytes: &[u8]) -> Sent {
        let outbox = self.datagrams.sockets.get_mut(&socket).filter(|outbox| !outbox.closing);
        let Some(outbox) = outbox else { return Sent::Closed };
        let held = outbox.held() + bytes.len() + (outbox.len() + 1) * OVERHEAD;
        if held > self.config.datagram_bytes_max {
            self.stats.datagrams_dropped += 1;
            return Sent::Full;
        }
        let to = if wrong!(MappedStaysIpv6) { to.into() } else { to.into().canonical() };
        outbox.waiting.push_back((to, bytes.len()));
        outbox.bytes.extend_from_slice(bytes);
        if !outbox.blocked {
            // What many callbacks send in a turn must not be too much before the kernel was offered any of it.
            self.pressing |= held > self.config.datagram_bytes_max / 2;
            if !outbox.listed {
                outbox.listed = true;
                self.datagrams.list.push(socket);
                self.datagrams.pending = true;
            }
        }
        Sent::Accepted
    }

    /// Closes a socket for datagrams after the callback. What waits there is offered to the kernel once, and dropped if
    /// it does not take it. From now on nothing more is received there, and sends answer [`Sent::Closed`].
    pub fn close_datagram(&mut self, socket: DatagramId) {
        let Some(outbox) = self.datagrams.sockets.get_mut(&socket) else { return };
        if !mem::replace(&mut outbox.closing, true) {
            self.datagrams.closes.push(socket);
            self.datagrams.pending = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(outbox: &mut Outbox, bytes: &[u8]) {
        outbox.waiting.push_back((Addr::Unnamed, bytes.len()));
        outbox.bytes.extend_from_slice(bytes);
    }

    #[test]
    fn datagrams_leave_whole_and_in_order_and_keep_no_room_for_those_that_left() {
        let mut outbox = Outbox::default();
        let mut expected = VecDeque::new();
        for n in 0..100_u8 {
            for datagram in [vec![n; usize::from(n % 7)], vec![n]] {
                push(&mut outbox, &datagram);
                expected.push_back(datagram);
            }
            let next = expected.pop_front().expect("as many as were pushed");
            assert_eq!(outbox.front(), Some((&Addr::Unnamed, &next[..])));
            outbox.pop();
            assert!(outbox.bytes.len() <= 2 * outbox.held() + 8, "{outbox:?}");
        }
        while outbox.front().is_some() {
            outbox.pop();
        }
        assert_eq!((outbox.len(), outbox.held(), outbox.bytes.len()), (0, 0, 0));
    }
}
