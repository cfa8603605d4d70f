//! Sockets for datagrams: receiving within a budget, sending what waits, opening and closing.
//!
//! It knows datagrams, each for itself; it does not know connections. An error concerns one datagram and never the
//! socket.

use std::io::{self, ErrorKind};
use std::mem;

use super::{Reactor, Run};
use crate::addr::Addr;
use crate::bind::{Bind, IntoBind};
use crate::context::Outbox;
use crate::handler::{Datagram, Handler};
use crate::id::{ConnId, DatagramId};
use crate::instant::Instant;
use crate::net::{Datagram as _, Network};
use crate::readiness::Readiness;
use crate::socket::Socket as _;

/// Room for datagrams that a socket keeps while none waits.
const KEEP_MAX: usize = 64 << 10;

/// One socket.
pub(super) struct Bound<N: Network> {
    id: DatagramId,
    pub(super) socket: N::Datagram,
    key: u64,
    /// There may be something to receive: no further event will say so.
    ready: bool,
    /// Polls are to tell when the kernel takes more of what is to be sent.
    watches_room: bool,
}

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Opens a socket for datagrams at an address, or as a [`Bind`] with options says.
    pub fn bind(&mut self, bind: impl IntoBind) -> io::Result<DatagramId> {
        self.check_running()?;
        let bind = bind.into_bind()?;
        let id = self.cx.datagrams.next_id();
        self.open_datagram(id, &bind)?;
        Ok(id)
    }

    /// The address a socket for datagrams is bound to: says which port 0 became.
    pub fn datagram_addr(&self, socket: DatagramId) -> io::Result<Addr> {
        match self.bound_at(socket) {
            Some(at) => self.datagrams[at].socket.local_addr(),
            None => Err(io::Error::new(ErrorKind::NotFound, "the socket is closed")),
        }
    }

    fn open_datagram(&mut self, id: DatagramId, bind: &Bind) -> io::Result<()> {
        let socket = self.net.bind(bind, id)?;
        self.add_datagram(id, socket, bind.key);
        Ok(())
    }

    /// Takes a socket in.
    pub(super) fn add_datagram(&mut self, id: DatagramId, socket: N::Datagram, key: u64) {
        let addr = socket.local_addr().ok();
        // In the order of their ids, which is not always that in which they open.
        let at = self.datagrams.partition_point(|bound| bound.id < id);
        self.datagrams.insert(at, Bound { id, socket, key, ready: false, watches_room: false });
        self.cx.datagrams.sockets.entry(id).or_default().addr = addr;
        self.cx.datagrams.unblock(id);
    }

    pub(super) fn bound_at(&self, id: DatagramId) -> Option<usize> {
        self.datagrams.binary_search_by_key(&id, |bound| bound.id).ok()
    }

    /// An event of a socket.
    pub(super) fn datagram_ready(&mut self, id: DatagramId, readiness: Readiness) {
        let Some(at) = self.bound_at(id) else {
            self.cx.stats.stale_events += 1;
            return;
        };
        let bound = &mut self.datagrams[at];
        // An error is told by the next receive.
        if readiness.without(Readiness::WRITABLE) != Readiness::EMPTY {
            bound.ready = true;
            self.datagrams_ready = true;
        }
        if readiness.intersects(Readiness::WRITABLE) && mem::take(&mut bound.watches_room) {
            self.cx.datagrams.unblock(id);
            self.cx.stats.calls.register += 1;
            if let Err(error) = self.net.watch_room(&bound.socket, id, false) {
                log::debug!("{id:?} will be told of room that it does not need: {error}");
            }
        }
    }

    /// Receives from every socket that may have something, each up to its budget; what is left waits for the next turn.
    #[cold]
    pub(super) fn serve_datagrams(&mut self) {
        self.datagrams_ready = false;
        for at in 0..self.datagrams.len() {
            if mem::take(&mut self.datagrams[at].ready) && self.serve_datagrams_of(at) {
                self.cx.stats.budget_stops += 1;
                self.datagrams[at].ready = true;
                self.datagrams_ready = true;
            }
        }
    }

    /// Receives from one socket until it has no more; whether its budget was used up before.
    fn serve_datagrams_of(&mut self, at: usize) -> bool {
        for _ in 0..self.cx.config.datagrams_per_turn {
            let Bound { id, key, .. } = self.datagrams[at];
            // A callback may close it.
            if !self.cx.datagrams.is_open(id) {
                return false;
            }
            self.cx.stats.calls.recv_datagram += 1;
            let mut buf = mem::take(&mut self.recv_buf);
            let result = self.datagrams[at].socket.recv(&mut buf);
            if let Ok(arrival) = &result {
                self.cx.stats.datagrams_received += 1;
                let bytes = &buf[..arrival.len];
                let datagram = Datagram::new(id, key, &arrival.from, bytes, arrival.truncated);
                self.guard(|reactor| reactor.handler.datagram(&mut reactor.cx, datagram));
            }
            self.recv_buf = buf;
            match result {
                Ok(_) => self.start_timers(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Of a datagram sent before: there may still be some to receive.
                Err(error) => self.datagram_error(id, &error),
            }
            self.after_visit(ConnId::NONE);
        }
        true
    }

    /// Opens, sends from and closes sockets as callbacks asked for.
    #[cold]
    pub(super) fn grant_datagrams(&mut self) {
        self.cx.datagrams.pending = false;
        for (id, bind) in mem::take(&mut self.cx.datagrams.binds) {
            let opened = match self.run {
                Run::Running | Run::Draining(_) => self.open_datagram(id, &bind),
                Run::Stopped => Err(io::Error::other("the reactor stops")),
            };
            if let Err(error) = opened {
                self.drop_outbox(id);
                self.guard(|reactor| reactor.handler.bind_failed(&mut reactor.cx, id, &error));
                self.start_timers();
            }
        }
        self.grant_datagram_options();
        self.flush_datagrams();
        for id in mem::take(&mut self.cx.datagrams.closes) {
            self.send_aside_again_of(id);
            self.flush_datagrams_of(id);
            if let Some(at) = self.bound_at(id) {
                let closed = self.datagrams.remove(at);
                self.net.unbind(closed.socket);
                self.cx.stats.calls.close += 1;
                // Its descriptor is free.
                self.accepting.pause.cut_short();
            }
            self.drop_outbox(id);
        }
    }

    /// Sends what waits, at all sockets where something was added. What callbacks add meanwhile waits for the next time.
    pub(super) fn flush_datagrams(&mut self) {
        for id in mem::take(&mut self.cx.datagrams.list) {
            if let Some(outbox) = self.cx.datagrams.sockets.get_mut(&id) {
                outbox.listed = false;
                self.flush_datagrams_of(id);
            }
        }
    }

    /// Sends what waits at one socket, until the kernel takes no more.
    fn flush_datagrams_of(&mut self, id: DatagramId) {
        let Some(at) = self.bound_at(id) else { return };
        let mut left = self.cx.datagrams.sockets.get(&id).map_or(0, Outbox::len);
        // Of a send that may not even have looked at its datagram, because it told of one that was sent before.
        let mut doubtful: Option<io::Error> = None;
        while left > 0 {
            let Some(outbox) = self.cx.datagrams.sockets.get_mut(&id) else { return };
            let Some((to, bytes)) = outbox.front() else { break };
            if outbox.aside_len() > 0 && outbox.is_aside(to) {
                self.put_aside(id);
                left -= 1;
                continue;
            }
            self.cx.stats.calls.send_datagram += 1;
            let bound = &mut self.datagrams[at];
            let refused = match bound.socket.send(bytes, to) {
                Ok(()) => {
                    self.cx.stats.datagrams_sent += 1;
                    None
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // It is the receiver that has no room, and an event would come at once and say nothing of it.
                Err(error) if error.kind() == ErrorKind::WouldBlock && matches!(to, Addr::Unix(_)) => {
                    self.put_aside(id);
                    left -= 1;
                    if let Some(before) = doubtful.take() {
                        self.datagram_error(id, &before);
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.cx.stats.calls.register += 1;
                    match self.net.watch_room(&bound.socket, id, true) {
                        Ok(()) => {
                            (outbox.blocked, bound.watches_room) = (true, true);
                            if let Some(before) = doubtful {
                                self.datagram_error(id, &before);
                            }
                            return;
                        }
                        Err(error) => Some(error),
                    }
                }
                Err(error) if doubtful.is_none() => {
                    doubtful = Some(error);
                    continue;
                }
                Err(error) => Some(error),
            };
            outbox.pop();
            left -= 1;
            self.cx.stats.datagrams_dropped += u64::from(refused.is_some());
            // The same error twice is about this one.
            let same = |before: &io::Error| refused.as_ref().is_some_and(|now| now.kind() == before.kind());
            let before = doubtful.take().filter(|before| !same(before));
            for error in before.iter().chain(&refused) {
                self.datagram_error(id, error);
            }
        }
        if let Some(outbox) = self.cx.datagrams.sockets.get_mut(&id) {
            outbox.shrink_to(KEEP_MAX);
        }
    }

    // What the callback sends does not leave here, however much it is: a flush may be under way.
    pub(super) fn datagram_error(&mut self, id: DatagramId, error: &io::Error) {
        self.cx.stats.datagram_errors += 1;
        self.guard(|reactor| reactor.handler.datagram_failed(&mut reactor.cx, id, error));
        self.start_timers();
        self.watch(ConnId::NONE);
    }

    fn drop_outbox(&mut self, id: DatagramId) {
        if let Some(outbox) = self.cx.datagrams.sockets.remove(&id) {
            self.cx.stats.datagrams_dropped += outbox.left() as u64;
        }
    }

    /// Whether nothing waits to be sent.
    pub(super) fn datagrams_flushed(&self) -> bool {
        self.cx.datagrams.sockets.values().all(|outbox| outbox.left() == 0)
    }

    /// Closes all sockets, after what waits was offered once more.
    pub(super) fn close_datagrams(&mut self) {
        // The last first: those in front of it need not move up.
        self.cx.datagrams.closes.extend(self.datagrams.iter().rev().map(|bound| bound.id));
        self.grant_datagrams();
        // What the last callbacks asked for: who asks again each time that it fails would never come to an end.
        for (id, _) in mem::take(&mut self.cx.datagrams.binds) {
            self.drop_outbox(id);
        }
        self.cx.datagrams.pending = false;
    }
}

/// What must hold between two turns; only a simulated network asks.
impl<H: Handler, N: Network> Reactor<H, N> {
    /// Says what does not hold. `waits` says that the next poll will wait; `forgotten`, whether a socket has something to
    /// receive that no edge to come will announce.
    pub(crate) fn audit_datagrams(
        &self,
        waits: bool,
        forgotten: impl Fn(&N::Datagram) -> bool,
    ) -> Result<(), String> {
        if waits && (self.datagrams_ready || self.cx.datagrams.pending) {
            return Err("the poll is to wait while datagrams are pending".into());
        }
        for bound in &self.datagrams {
            let id = bound.id;
            if !bound.ready && forgotten(&bound.socket) {
                return Err(format!("{id:?} has datagrams that nobody will receive"));
            }
            if bound.ready && !self.datagrams_ready {
                return Err(format!("{id:?} has datagrams pending, and the poll would wait"));
            }
            let Some(outbox) = self.cx.datagrams.sockets.get(&id) else {
                return Err(format!("{id:?} has no place for what it sends"));
            };
            if outbox.len() > 0 && !outbox.blocked && !(outbox.listed && self.cx.datagrams.pending) {
                return Err(format!("{id:?} has datagrams that nobody will send"));
            }
            if outbox.aside_len() > 0 && self.cx.datagrams.again == Instant::NEVER {
                return Err(format!("{id:?} has put datagrams aside that nobody will send"));
            }
        }
        Ok(())
    }
}
