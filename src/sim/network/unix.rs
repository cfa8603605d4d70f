//! Unix streams of the simulated network: names, and where they are not like TCP.
//!
//! It knows what Linux does (`af_unix.c`): nothing travels, so that what was sent has arrived and what is closed is seen at
//! once; no resets but for input that was left unread. Bytes move as `tcp` says, without the network's faults.

use super::SimNet;
use super::calls::Result;
use super::options::capacity;
use super::socket::{NOBODY, Owner, Phase, SockId};
use super::udp::PORT;
use super::world::{What, World};
use crate::addr::{Addr, UnixAddr};
use crate::config::Listen;
use crate::sim::errno::Errno;
use crate::sim::faults::Fault;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    /// This socket is bound to it, of a stream or for datagrams.
    Bound(SockId),
    /// The socket of a process that is gone.
    LeftOver,
    /// A file that is no socket.
    File,
}

/// How a connect may fail, all of it at once: the first is tried again.
const REFUSALS: [Errno; 4] = [Errno::EAGAIN, Errno::ECONNREFUSED, Errno::ENOENT, Errno::EACCES];

impl World {
    /// Binds and listens. What is left over is replaced, as `net::os` does.
    pub(super) fn listen_unix(&mut self, host: usize, at: &UnixAddr, listen: &Listen) -> Result<SockId> {
        let here = &self.hosts[host];
        if here.descriptors >= here.descriptors_max {
            return Err(Errno::EMFILE);
        }
        let key = (here.machine, at.clone());
        match self.unix_names.get(&key) {
            Some(Name::Bound(_) | Name::File) => return Err(Errno::EADDRINUSE),
            Some(Name::LeftOver) | None => {}
        }
        let id = self.new_sock(host, Addr::Unix(at.clone()));
        let sock = &mut self.socks[id as usize];
        sock.phase = Phase::Listening;
        sock.held = true;
        sock.backlog_max = listen.backlog as usize;
        sock.tx_max = listen.options.send_buffer_size.map_or(usize::MAX, capacity);
        sock.rx_max = usize::MAX;
        self.unix_names.insert(key, Name::Bound(id));
        self.hosts[host].descriptors += 1;
        self.note(What::Connect, id, 0, |_| format!("#{id} listens on {at}"));
        Ok(id)
    }

    /// Connects: it is done when this returns, or not at all.
    pub(super) fn connect_unix(&mut self, host: usize, to: &UnixAddr) -> Result<SockId> {
        let result = self.connected_unix(host, to);
        let (id, value) = result.map_or_else(|error| (NOBODY, 3 << 8 | error as u64), |id| (id, 3));
        self.note(What::Connect, id, value, |_| match result {
            Ok(id) => format!("#{id} connects to {to}"),
            Err(error) => format!("connect to {to}: {error}"),
        });
        result
    }

    fn connected_unix(&mut self, host: usize, to: &UnixAddr) -> Result<SockId> {
        let here = &self.hosts[host];
        if here.descriptors >= here.descriptors_max {
            return Err(Errno::EMFILE);
        }
        let machine = here.machine;
        let way = self.faults.take(&mut self.tape, Fault::ConnectFails, 1 + REFUSALS.len());
        if let Some(way) = way.checked_sub(1) {
            return Err(REFUSALS[way]);
        }
        let listener = match self.unix_names.get(&(machine, to.clone())) {
            Some(&Name::Bound(id)) if id & PORT != 0 => return Err(Errno::EPROTOTYPE),
            Some(&Name::Bound(listener)) => listener,
            None if to.as_path().is_some() => return Err(Errno::ENOENT),
            Some(Name::LeftOver | Name::File) | None => return Err(Errno::ECONNREFUSED),
        };
        let listening = &self.socks[listener as usize];
        if listening.backlog.len() > listening.backlog_max {
            return Err(Errno::EAGAIN);
        }
        let there = listening.host;
        let id = self.new_sock(host, Addr::Unnamed);
        let child = self.new_sock(there, Addr::Unix(to.clone()));
        let tx_max = self.socks[listener as usize].tx_max;
        for (one, other, remote) in [(id, child, Addr::Unix(to.clone())), (child, id, Addr::Unnamed)] {
            let sock = &mut self.socks[one as usize];
            sock.phase = Phase::Connected;
            sock.established = true;
            sock.remote = Some(remote);
            sock.peer = other;
        }
        self.socks[id as usize].held = true;
        self.hosts[host].descriptors += 1;
        let accepted = &mut self.socks[child as usize];
        accepted.tx_max = accepted.tx_max.min(tx_max);
        accepted.queued = true;
        self.socks[listener as usize].backlog.push_back(child);
        self.wake(listener);
        Ok(id)
    }

    /// A listener is closed: its name goes, and who was not accepted is told.
    pub(super) fn unlisten_unix(&mut self, id: SockId) {
        if let Some(at) = self.socks[id as usize].local.unix() {
            let machine = self.hosts[self.socks[id as usize].host].machine;
            self.unix_names.remove(&(machine, at.clone()));
        }
        while let Some(waiting) = self.socks[id as usize].backlog.pop_front() {
            self.socks[waiting as usize].queued = false;
            self.end_unix(waiting, true);
            self.reap(waiting);
        }
        self.socks[id as usize].phase = Phase::Dead;
    }

    /// A program has let go of its end.
    pub(super) fn close_unix(&mut self, id: SockId) {
        let sock = &self.socks[id as usize];
        let on_its_way = sock.peer != NOBODY && !self.socks[sock.peer as usize].tx.is_empty();
        let unread = !sock.rx.is_empty() || on_its_way;
        self.end_unix(id, unread);
    }

    /// One end is gone: the other has what was sent to it, and is told of a reset if what it sent was left unread.
    fn end_unix(&mut self, id: SockId, unread: bool) {
        let sock = &self.socks[id as usize];
        let (peer, bytes) = (sock.peer, sock.tx.len());
        if peer != NOBODY {
            if bytes > 0 {
                self.deliver(id, bytes);
            }
            let other = &mut self.socks[peer as usize];
            let ended = std::mem::replace(&mut other.shut_recv, true);
            other.shut_send = true;
            other.fin_sent = true;
            other.tx.clear();
            other.peer = NOBODY;
            if unread {
                other.error = Some(Errno::ECONNRESET);
                if let (Owner::Poll(token), host, false) = (other.owner, other.host, ended) {
                    self.note_reset(host, token);
                }
            }
            self.note(What::Arrives, peer, u64::MAX - 2, |_| format!("the other end of #{peer} is closed"));
            self.wake(peer);
        }
        let sock = &mut self.socks[id as usize];
        sock.phase = Phase::Dead;
        sock.peer = NOBODY;
        sock.tx.clear();
        if peer != NOBODY {
            self.reap(peer);
        }
    }

    /// Room has come into the send buffer of the other end: Linux says so each time.
    pub(super) fn room_unix(&mut self, id: SockId) {
        let peer = self.socks[id as usize].peer;
        if peer != NOBODY {
            let other = &self.socks[peer as usize];
            if other.watched && other.is_writable() {
                self.wake(peer);
            }
        }
    }

    /// Puts something at a name that was there before everyone.
    pub(crate) fn put_name(&mut self, host: usize, at: UnixAddr, name: Name) {
        let machine = self.hosts[host].machine;
        self.unix_names.insert((machine, at), name);
    }

    /// How many names are bound to on the machine of a host.
    pub(super) fn names_bound(&self, host: usize) -> usize {
        let machine = self.hosts[host].machine;
        let bound =
            |(at, name): &(&(usize, UnixAddr), &Name)| at.0 == machine && matches!(name, Name::Bound(_));
        self.unix_names.iter().filter(bound).count()
    }
}

impl SimNet {
    /// A new host on the same machine as this one: it has the same names of Unix sockets.
    pub(crate) fn beside(&self) -> SimNet {
        let net = SimNet::new(&self.world, false);
        let mut world = self.world.borrow_mut();
        world.hosts[net.host].machine = world.hosts[self.host].machine;
        drop(world);
        net
    }

    /// How many names of Unix sockets are bound to on its machine.
    pub(crate) fn names(&self) -> usize {
        self.world.borrow().names_bound(self.host)
    }
}
