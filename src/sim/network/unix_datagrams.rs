//! Unix sockets for datagrams of the simulated network.
//!
//! It knows what Linux does: nothing is lost, doubled or late; a receiver whose queue is full makes the sender wait, of
//! which only one that is connected to it is told. The calls around it, and what is kept, are those of `udp`.

use std::net::{Ipv4Addr, SocketAddr};

use super::calls::Result;
use super::udp::{PORT, Port};
use super::unix::Name;
use super::world::{What, World};
use crate::addr::{Addr, UnixAddr};
use crate::bind::Bind;
use crate::net::Token;
use crate::options::Options;
use crate::sim::errno::Errno;
use crate::sim::faults::Fault;

/// How many datagrams a socket keeps, but for one (`net.unix.max_dgram_qlen`).
const QUEUE: usize = 10;

/// The most bytes of a datagram: what the send buffer has room for.
const DATAGRAM_MAX: usize = 212_960;

/// What makes a socket a Unix socket.
#[derive(Debug)]
pub(super) struct Names {
    local: Addr,
    /// To whom it is connected.
    peer: Option<u32>,
}

impl Names {
    pub(super) fn local(&self) -> Addr {
        self.local.clone()
    }
}

impl World {
    pub(super) fn bind_unix(
        &mut self,
        host: usize,
        bind: &Bind,
        token: Token,
        options: Options,
    ) -> Result<u32> {
        let here = &self.hosts[host];
        if here.descriptors >= here.descriptors_max {
            return Err(Errno::EMFILE);
        }
        let machine = here.machine;
        let key = bind.addr.unix().map(|at| (machine, at.clone()));
        if let Some(Name::Bound(_) | Name::File) = key.as_ref().and_then(|key| self.unix_names.get(key)) {
            return Err(Errno::EADDRINUSE);
        }
        let peer = match &bind.peer {
            Some(Addr::Unix(to)) => Some(self.datagrams_at(machine, to)?),
            Some(Addr::Ip(_) | Addr::Unnamed) => return Err(Errno::EINVAL),
            None => None,
        };
        let way = self.faults.take(&mut self.tape, Fault::Unregistered, 3);
        if way > 0 {
            return Err(if way == 1 { Errno::ENOSPC } else { Errno::ENOMEM });
        }
        let number = u32::try_from(self.ports.list.len()).unwrap_or(u32::MAX);
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut port = Port::new(host, nowhere, token, options);
        port.names = Some(Names { local: bind.addr.clone(), peer });
        self.ports.list.push(port);
        if let Some(key) = key {
            self.unix_names.insert(key, Name::Bound(PORT | number));
        }
        self.hosts[host].descriptors += 1;
        self.note(What::Connect, PORT | number, 2, |_| format!("datagrams #{number} at {}", bind.addr));
        Ok(number)
    }

    /// Who receives datagrams at a name.
    fn datagrams_at(&self, machine: usize, to: &UnixAddr) -> Result<u32> {
        match self.unix_names.get(&(machine, to.clone())) {
            Some(&Name::Bound(id)) if id & PORT != 0 => Ok(id & !PORT),
            Some(Name::Bound(_)) => Err(Errno::EPROTOTYPE),
            None if to.as_path().is_some() => Err(Errno::ENOENT),
            Some(Name::LeftOver | Name::File) | None => Err(Errno::ECONNREFUSED),
        }
    }

    pub(super) fn sent_unix(&mut self, number: u32, bytes: &[u8], to: &Addr) -> Result<()> {
        let port = &mut self.ports.list[number as usize];
        let machine = self.hosts[port.host].machine;
        let Some(names) = &mut port.names else { return Err(Errno::EINVAL) };
        let (local, connected) = (names.local(), names.peer);
        let target = match to {
            Addr::Ip(_) => return Err(Errno::EINVAL),
            Addr::Unix(to) => self.datagrams_at(machine, to)?,
            Addr::Unnamed => connected.ok_or(Errno::ENOTCONN)?,
        };
        if !self.ports.list[target as usize].held {
            if let Some(names) = &mut self.ports.list[number as usize].names {
                names.peer = None;
            }
            return Err(Errno::ECONNREFUSED);
        }
        if bytes.len() > DATAGRAM_MAX {
            return Err(Errno::EMSGSIZE);
        }
        self.take_room(number)?;
        let receiver = &mut self.ports.list[target as usize];
        // Who is connected takes from nobody else.
        let its_peer = receiver.names.as_ref().and_then(|names| names.peer);
        if its_peer.is_some_and(|peer| peer != number) {
            return Err(Errno::EPERM);
        }
        if receiver.rx.len() > QUEUE {
            return Err(Errno::EAGAIN);
        }
        receiver.push(local, bytes.to_vec());
        self.wake_port(target);
        Ok(())
    }

    /// Whether a datagram to whom a Unix socket is connected would be taken.
    pub(super) fn has_room_unix(&self, port: &Port) -> bool {
        let peer = port.names.as_ref().and_then(|names| names.peer);
        peer.is_none_or(|peer| self.ports.list[peer as usize].rx.len() <= QUEUE)
    }

    /// Something was received at a Unix socket: who is connected to it may wait for that.
    pub(super) fn made_room_unix(&mut self, number: u32) {
        for sender in 0..u32::try_from(self.ports.list.len()).unwrap_or(u32::MAX) {
            let port = &self.ports.list[sender as usize];
            if port.watches_room && port.names.as_ref().is_some_and(|names| names.peer == Some(number)) {
                self.wake_port(sender);
            }
        }
    }

    /// The name of a Unix socket goes with it.
    pub(super) fn unbind_unix(&mut self, number: u32) {
        let port = &self.ports.list[number as usize];
        if let Some(at) = port.names.as_ref().and_then(|names| names.local.unix()) {
            let machine = self.hosts[port.host].machine;
            self.unix_names.remove(&(machine, at.clone()));
        }
    }
}
