//! Datagrams whose receiver takes no more for now: a Unix socket's queue is full, and no event tells when it is not.
//!
//! It knows that they are tried again, in order for each receiver, and for how long. Everyone else who is sent to from
//! the same socket does not wait for them.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::Reactor;
use crate::addr::Addr;
use crate::context::{Aside, Outbox};
use crate::handler::Handler;
use crate::id::DatagramId;
use crate::instant::Instant;
use crate::net::{Datagram as _, Network};
use crate::table::chores::Chores;

/// The first pause, and the longest: each is twice the one before, until a receiver has taken something.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(64);

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Puts the first datagram that waits at a socket aside.
    pub(super) fn put_aside(&mut self, id: DatagramId) {
        let (now, max) = (self.cx.now, self.cx.config.datagram_bytes_max / 2);
        let datagrams = &mut self.cx.datagrams;
        let Some(outbox) = datagrams.sockets.get_mut(&id) else { return };
        let to = outbox.front().map_or(Addr::Unnamed, |(to, _)| to.clone());
        let fits = outbox.put_aside(max, now);
        if datagrams.again == Instant::NEVER && !wrong!(UnixDatagramNotRetried) {
            datagrams.pause = PAUSE_MIN;
            datagrams.again = now + PAUSE_MIN;
            self.cx.table.chores.set(Chores::ASIDE);
        }
        if !fits {
            self.not_taken(id, &to, ErrorKind::ResourceBusy);
        }
    }

    /// Tries what was put aside again.
    #[cold]
    pub(super) fn send_aside_again(&mut self) {
        let ids: Vec<_> = self.cx.datagrams.sockets.keys().copied().collect();
        let mut taken = false;
        for id in ids {
            taken |= self.send_aside_again_of(id);
        }
        let any_left = self.cx.datagrams.any_aside();
        self.cx.table.chores.put(Chores::ASIDE, any_left);
        let datagrams = &mut self.cx.datagrams;
        datagrams.pause = if taken { PAUSE_MIN } else { datagrams.pause.saturating_mul(2).min(PAUSE_MAX) };
        datagrams.again = if any_left { self.cx.now + datagrams.pause } else { Instant::NEVER };
    }

    /// Tries what one socket has put aside, each once; whether anything was taken. What stays goes to the back, so that
    /// the order is as it was.
    pub(super) fn send_aside_again_of(&mut self, id: DatagramId) -> bool {
        let mut taken = false;
        // Whose first was not taken gets nothing of what is behind it.
        let mut full = BTreeSet::new();
        let count = self.cx.datagrams.sockets.get(&id).map_or(0, Outbox::aside_len);
        for _ in 0..count {
            let Some(bound) = self.bound_at(id) else { break };
            let Some(outbox) = self.cx.datagrams.sockets.get_mut(&id) else { break };
            let Some(aside) = outbox.take_aside() else { break };
            let mut result = Err(ErrorKind::WouldBlock.into());
            if !full.contains(&aside.to) {
                result = self.send_again(bound, &aside);
            }
            match result {
                Ok(()) => {
                    self.cx.stats.datagrams_sent += 1;
                    taken = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.cx.now.since(aside.since) >= self.cx.config.write_timeout {
                        self.not_taken(id, &aside.to, ErrorKind::TimedOut);
                    } else if let Some(outbox) = self.cx.datagrams.sockets.get_mut(&id) {
                        full.insert(aside.to.clone());
                        outbox.keep_aside(aside);
                    }
                }
                Err(error) => {
                    self.cx.stats.datagrams_dropped += 1;
                    self.datagram_error(id, &error);
                }
            }
        }
        taken
    }

    fn send_again(&mut self, bound: usize, aside: &Aside) -> io::Result<()> {
        loop {
            self.cx.stats.calls.send_datagram += 1;
            match self.datagrams[bound].socket.send(&aside.bytes, &aside.to) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Tells of a datagram that is dropped.
    fn not_taken(&mut self, id: DatagramId, to: &Addr, kind: ErrorKind) {
        self.cx.stats.datagrams_dropped += 1;
        self.datagram_error(id, &io::Error::new(kind, format!("{to}: its queue is full, and stays so")));
    }
}
