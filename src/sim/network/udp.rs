//! Simulated sockets for datagrams: what they hold, what travels between them, and the calls on them.
//!
//! It knows the rules of UDP as Linux keeps them: each datagram for itself, lost without a word when there is no
//! room, refused by ICMP where nobody listens. Without faults one has arrived when the send returns, as on loopback.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::SimNet;
use super::calls::Result;
use super::options::{as_answered, defaults};
use super::socket::SockId;
use super::unix_datagrams::Names;
use super::world::{Event, MILLI, Route, What, World};
use crate::addr::Addr;
use crate::bind::{Bind, Membership};
use crate::net::{Arrival, Datagram, Token};
use crate::options::{Options, Transport};
use crate::readiness::Readiness;
use crate::sim::errno::Errno;
use crate::sim::faults::Fault;
use crate::sim::trace::Shown;
use crate::socket::Socket;

/// The bit that tells these sockets from those of connections on the ready list of a host.
pub(super) const PORT: SockId = 1 << 30;

/// What a socket keeps that nobody has received, as Linux does by default.
const RECV_BUFFER: usize = 212_992;

/// What Linux answers for a send buffer that was left alone.
const SEND_BUFFER: usize = 212_992;

/// What Linux counts for a datagram besides its bytes.
const OVERHEAD: usize = 768;

/// The most bytes of a datagram over IPv4.
const DATAGRAM_MAX: usize = 65_507;

/// One socket.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(super) struct Port {
    pub(super) host: usize,
    local: SocketAddr,
    peer: Option<SocketAddr>,
    /// It is a Unix socket, and the addresses above say nothing.
    pub(super) names: Option<Names>,
    token: Token,
    pub(super) held: bool,
    /// On the ready list of its host.
    pending: bool,
    pub(super) rx: VecDeque<(Addr, Vec<u8>)>,
    rx_bytes: usize,
    rx_max: usize,
    error: Option<Errno>,
    /// Sends take nothing for a while.
    pub(super) squeezed: bool,
    /// Polls tell when they take something.
    pub(super) watches_room: bool,
    /// The multicast groups that it is in.
    groups: Vec<IpAddr>,
    /// `SO_BROADCAST`.
    broadcast: bool,
    /// What was set.
    options: Options,
}

impl Port {
    pub(super) fn new(host: usize, local: SocketAddr, token: Token, options: Options) -> Port {
        Port {
            host,
            local,
            peer: None,
            names: None,
            token,
            held: true,
            pending: false,
            rx: VecDeque::new(),
            rx_bytes: 0,
            rx_max: options.recv_buffer_size.unwrap_or(RECV_BUFFER),
            error: None,
            squeezed: false,
            watches_room: false,
            groups: Vec::new(),
            broadcast: false,
            options,
        }
    }

    pub(super) fn push(&mut self, from: Addr, bytes: Vec<u8>) {
        self.rx_bytes += bytes.len() + OVERHEAD;
        self.rx.push_back((from, bytes));
    }

    fn transport(&self) -> Transport {
        if self.names.is_some() { Transport::Unix } else { Transport::Udp }
    }
}

/// A datagram on its way.
#[derive(Debug)]
pub(super) struct Packet {
    from: u32,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// All of them, and what is on its way.
#[derive(Debug, Default)]
pub(super) struct Ports {
    pub(super) list: Vec<Port>,
    packets: Vec<Option<Packet>>,
}

impl World {
    fn port_at(&self, addr: SocketAddr) -> Option<usize> {
        self.ports.list.iter().position(|port| port.held && port.local == addr)
    }

    /// An address as it is written from inside a host, as everyone else writes it.
    fn seen_outside(&self, host: usize, addr: SocketAddr) -> SocketAddr {
        let inside = addr.ip().is_loopback() || addr.ip().is_unspecified();
        if inside { SocketAddr::new(self.hosts[host].addr, addr.port()) } else { addr }
    }

    pub(super) fn bind(&mut self, host: usize, bind: &Bind, token: Token, options: Options) -> Result<u32> {
        let here = &self.hosts[host];
        if here.descriptors >= here.descriptors_max {
            return Err(Errno::EMFILE);
        }
        let Some(addr) = bind.addr.socket_addr() else {
            return self.bind_unix(host, bind, token, options);
        };
        let mut local = self.seen_outside(host, addr);
        if local.ip() != here.addr {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if local.port() == 0 {
            let ports = here.ports_min..=here.ports_max;
            let free =
                ports.map(|port| SocketAddr::new(local.ip(), port)).find(|&at| self.port_at(at).is_none());
            local = free.ok_or(Errno::EADDRINUSE)?;
        } else if self.port_at(local).is_some() {
            return Err(Errno::EADDRINUSE);
        }
        let way = self.faults.take(&mut self.tape, Fault::Unregistered, 3);
        if way > 0 {
            return Err(if way == 1 { Errno::ENOSPC } else { Errno::ENOMEM });
        }
        let peer = bind.peer.as_ref().and_then(Addr::socket_addr);
        let peer = peer.map(|peer| self.seen_outside(host, peer));
        let number = u32::try_from(self.ports.list.len()).unwrap_or(u32::MAX);
        let mut port = Port::new(host, local, token, options);
        port.peer = peer;
        port.groups = bind.groups.iter().map(|group| group.addr).collect();
        port.broadcast = bind.broadcast;
        self.ports.list.push(port);
        self.hosts[host].descriptors += 1;
        self.note(What::Connect, PORT | number, 2, |_| format!("datagrams #{number} at {local}"));
        Ok(number)
    }

    pub(super) fn wake_port(&mut self, number: u32) {
        let port = &mut self.ports.list[number as usize];
        if !port.held || std::mem::replace(&mut port.pending, true) {
            return;
        }
        let host = port.host;
        self.note_wakes(host);
        self.hosts[host].ready.push_back(PORT | number);
        if let Some(actor) = self.hosts[host].actor {
            self.act_in(actor, 0);
        }
    }

    /// What a poll says of a socket on the ready list, which it leaves.
    pub(super) fn port_readiness(&mut self, id: SockId) -> Option<(Token, Readiness)> {
        let number = id & !PORT;
        let has_room = self.has_room_unix(&self.ports.list[number as usize]);
        let port = &mut self.ports.list[number as usize];
        port.pending = false;
        if !port.held {
            return None;
        }
        let writable = port.watches_room && !port.squeezed && has_room;
        let mut set = if writable { Readiness::WRITABLE } else { Readiness::EMPTY };
        if !port.rx.is_empty() {
            set |= Readiness::READABLE;
        }
        if port.error.is_some() {
            // As mio reads an error that comes alone, or with room.
            if writable || set.is_empty() {
                set |= Readiness::WRITE_CLOSED;
            }
            set |= Readiness::ERROR;
        }
        let token = port.token;
        self.note(What::Poll, id, u64::from(set.bits()), |_| format!("datagrams #{number}: {set:?}"));
        if set.is_empty() { None } else { Some((token, set)) }
    }

    fn recv_datagram(&mut self, number: u32, buf: &mut [u8]) -> Result<Arrival> {
        let result = self.received_datagram(number, buf);
        if let Ok(arrival) = &result {
            self.trace.note_bytes(&buf[..arrival.len]);
        }
        let value = match &result {
            Ok(arrival) => arrival.len as u64,
            Err(error) => 1 << 40 | *error as u64,
        };
        self.note(What::Recv, PORT | number, value, |_| match &result {
            Ok(Arrival { len, from, .. }) => {
                format!("datagrams #{number}: {len} bytes from {from} {}", Shown(&buf[..*len]))
            }
            Err(error) => format!("datagrams #{number}, receiving: {error}"),
        });
        result
    }

    fn received_datagram(&mut self, number: u32, buf: &mut [u8]) -> Result<Arrival> {
        if self.faults.take(&mut self.tape, Fault::Interrupt, 2) == 1 {
            return Err(Errno::EINTR);
        }
        let port = &mut self.ports.list[number as usize];
        if let Some(error) = port.error.take() {
            return Err(error);
        }
        let Some((from, bytes)) = port.rx.pop_front() else { return Err(Errno::EAGAIN) };
        port.rx_bytes -= bytes.len() + OVERHEAD;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        if port.names.is_some() {
            self.made_room_unix(number);
        }
        Ok(Arrival { len, from, truncated: len < bytes.len() })
    }

    fn send_datagram(&mut self, number: u32, bytes: &[u8], to: &Addr) -> Result<()> {
        let result = self.sent_datagram(number, bytes, to);
        if result.is_ok() {
            self.trace.note_bytes(bytes);
        }
        let value = result.map_or_else(|error| 1 << 40 | error as u64, |()| bytes.len() as u64);
        self.note(What::Send, PORT | number, value, |_| {
            let outcome = result.map_or_else(|error| format!(": {error}"), |()| format!(" {}", Shown(bytes)));
            format!("datagrams #{number}: {} bytes to {to}{outcome}", bytes.len())
        });
        result
    }

    fn sent_datagram(&mut self, number: u32, bytes: &[u8], to: &Addr) -> Result<()> {
        if self.faults.take(&mut self.tape, Fault::Interrupt, 2) == 1 {
            return Err(Errno::EINTR);
        }
        let port = &mut self.ports.list[number as usize];
        let host = port.host;
        if let Some(error) = port.error.take() {
            return Err(error);
        }
        if port.names.is_some() {
            return self.sent_unix(number, bytes, to);
        }
        let to = match to {
            Addr::Ip(to) => *to,
            Addr::Unix(_) => return Err(Errno::EINVAL),
            Addr::Unnamed => port.peer.ok_or(Errno::EDESTADDRREQ)?,
        };
        if bytes.len() > DATAGRAM_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let to_all = to.ip() == IpAddr::V4(Ipv4Addr::BROADCAST);
        if to_all && !port.broadcast {
            return Err(Errno::EACCES);
        }
        self.take_room(number)?;
        let to = self.seen_outside(host, to);
        match self.routes.get(&to) {
            Some(Route::Unreachable) => return Err(Errno::ENETUNREACH),
            Some(Route::BlackHole) => return Ok(()),
            None => {}
        }
        let copies = match self.faults.take(&mut self.tape, Fault::Lost, 2) {
            0 => 1 + self.faults.take(&mut self.tape, Fault::Twice, 2),
            _ => 0,
        };
        for _ in 0..copies {
            let packet = Packet { from: number, to, bytes: bytes.to_vec() };
            // Each for itself, so that one may overtake another.
            match self.latency() {
                0 => self.hand_over(packet),
                after => {
                    let at = self.ports.packets.len();
                    self.ports.packets.push(Some(packet));
                    self.later(after, Event::Datagram(u32::try_from(at).unwrap_or(u32::MAX)));
                }
            }
        }
        Ok(())
    }

    /// Whether the kernel has room for one more datagram of a socket.
    pub(super) fn take_room(&mut self, number: u32) -> Result<()> {
        if self.ports.list[number as usize].squeezed {
            return Err(Errno::EAGAIN);
        }
        if self.faults.take(&mut self.tape, Fault::NoBuffers, 2) > 0 {
            return Err(Errno::ENOBUFS);
        }
        let squeeze = self.faults.take(&mut self.tape, Fault::Squeeze, 4);
        if squeeze > 0 {
            self.ports.list[number as usize].squeezed = true;
            self.later([1, MILLI / 2, 30 * MILLI][squeeze - 1], Event::Room(number));
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// A datagram arrives that took its time.
    pub(super) fn datagram_arrives(&mut self, packet: u32) {
        let packet = self.ports.packets[packet as usize].take();
        // Nothing is on its way any more: their numbers are free.
        if self.ports.packets.iter().all(Option::is_none) {
            self.ports.packets.clear();
        }
        if let Some(packet) = packet {
            self.hand_over(packet);
        }
    }

    fn hand_over(&mut self, packet: Packet) {
        let Packet { from, to, bytes } = packet;
        let to_all = to.ip() == IpAddr::V4(Ipv4Addr::BROADCAST);
        if to_all || to.ip().is_multicast() {
            let wanted = |port: &Port| to_all || port.groups.contains(&to.ip());
            let here = |port: &&Port| {
                port.held && port.names.is_none() && port.local.port() == to.port() && wanted(port)
            };
            let all: Vec<_> = self.ports.list.iter().filter(here).map(|port| port.local).collect();
            for to in all {
                self.hand_over(Packet { from, to, bytes: bytes.clone() });
            }
            return;
        }
        let sender = &self.ports.list[from as usize];
        let (source, asks) = (sender.local, sender.peer == Some(to));
        let Some(at) = self.port_at(to) else {
            let there = self.hosts.iter().any(|host| host.addr == to.ip());
            if there && asks {
                self.ports.list[from as usize].error = Some(Errno::ECONNREFUSED);
                self.wake_port(from);
            }
            return;
        };
        let port = &mut self.ports.list[at];
        let wanted = port.peer.is_none_or(|peer| peer == source);
        if wanted && port.rx_bytes + bytes.len() + OVERHEAD <= port.rx_max {
            port.push(source.into(), bytes);
            self.wake_port(u32::try_from(at).unwrap_or(u32::MAX));
        }
    }

    /// A socket takes datagrams again.
    pub(super) fn room(&mut self, number: u32) {
        let port = &mut self.ports.list[number as usize];
        port.squeezed = false;
        if port.watches_room {
            self.wake_port(number);
        }
    }

    /// As `epoll_ctl` does, it tells anew of all that there is.
    fn watch_room(&mut self, number: u32, on: bool) {
        let port = &mut self.ports.list[number as usize];
        port.watches_room = on;
        if on && !port.squeezed || !port.rx.is_empty() || port.error.is_some() {
            self.wake_port(number);
        }
    }

    fn set_port_options(&mut self, number: u32, options: &Options) -> io::Result<()> {
        let port = &mut self.ports.list[number as usize];
        let answered = as_answered(options, port.transport())?;
        port.rx_max = answered.recv_buffer_size.unwrap_or(port.rx_max);
        port.options = answered.or(std::mem::take(&mut port.options));
        Ok(())
    }

    fn change_groups(&mut self, number: u32, membership: &Membership) -> Result<()> {
        let groups = &mut self.ports.list[number as usize].groups;
        match membership {
            Membership::Join(group) if groups.contains(&group.addr) => return Err(Errno::EADDRINUSE),
            Membership::Join(group) => groups.push(group.addr),
            Membership::Leave(group) => {
                let at = groups.iter().position(|&addr| addr == group.addr);
                groups.swap_remove(at.ok_or(Errno::EADDRNOTAVAIL)?);
            }
        }
        Ok(())
    }

    fn port_options(&self, number: u32) -> Options {
        let port = &self.ports.list[number as usize];
        port.options.clone().or(defaults(port.transport(), port.rx_max, SEND_BUFFER))
    }

    fn close_port(&mut self, number: u32) {
        self.note(What::Close, PORT | number, 0, |_| format!("datagrams #{number} closed"));
        let port = &mut self.ports.list[number as usize];
        port.held = false;
        port.rx.clear();
        let host = port.host;
        if std::mem::take(&mut port.pending) {
            self.hosts[host].ready.retain(|&ready| ready != PORT | number);
        }
        self.hosts[host].descriptors -= 1;
        if self.ports.list[number as usize].names.is_some() {
            self.unbind_unix(number);
            self.made_room_unix(number);
        }
    }
}

/// A socket for datagrams of the simulated network.
pub struct SimDatagram {
    net: SimNet,
    number: u32,
}

impl SimDatagram {
    pub(super) fn new(net: &SimNet, number: u32) -> SimDatagram {
        SimDatagram { net: net.clone(), number }
    }

    pub(super) fn watch_room(&self, on: bool) {
        self.net.world.borrow_mut().watch_room(self.number, on);
    }

    /// Whether there is something to receive that no edge to come will announce.
    pub(crate) fn is_forgotten(&self) -> bool {
        let world = self.net.world.borrow();
        let port = &world.ports.list[self.number as usize];
        (!port.rx.is_empty() || port.error.is_some()) && !port.pending
    }
}

impl Drop for SimDatagram {
    fn drop(&mut self) {
        // It is borrowed only while something in it has panicked, and unwinds.
        if let Ok(mut world) = self.net.world.try_borrow_mut() {
            world.close_port(self.number);
        }
    }
}

impl fmt::Debug for SimDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDatagram(#{})", self.number)
    }
}

impl Socket for SimDatagram {
    fn local_addr(&self) -> io::Result<Addr> {
        let world = self.net.world.borrow();
        let port = &world.ports.list[self.number as usize];
        Ok(port.names.as_ref().map_or_else(|| port.local.into(), Names::local))
    }

    fn options(&self) -> io::Result<Options> {
        Ok(self.net.world.borrow().port_options(self.number))
    }

    fn set_options(&self, options: &Options) -> io::Result<()> {
        self.net.world.borrow_mut().set_port_options(self.number, options)
    }
}

impl Datagram for SimDatagram {
    fn recv(&self, buf: &mut [u8]) -> io::Result<Arrival> {
        self.net.preempt();
        Ok(self.net.world.borrow_mut().recv_datagram(self.number, buf)?)
    }

    fn send(&self, bytes: &[u8], to: &Addr) -> io::Result<()> {
        self.net.preempt();
        Ok(self.net.world.borrow_mut().send_datagram(self.number, bytes, to)?)
    }

    fn change(&self, membership: &Membership) -> io::Result<()> {
        Ok(self.net.world.borrow_mut().change_groups(self.number, membership)?)
    }
}
