//! Sockets for datagrams of the operating system, UDP's and Unix's, non-blocking and close-on-exec from the first moment.
//!
//! It knows the system calls and their flags. It does not know when to make them, nor what is particular about Unix
//! sockets: that is `unix`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::options::{self, Kind};
use super::unix;
use crate::addr::Addr;
use crate::bind::{Bind, Membership};
use crate::net::{Arrival, Datagram};
use crate::options::{Options, Transport};
use crate::socket;

/// A UDP or Unix socket for datagrams of the operating system.
#[derive(Debug)]
pub struct OsDatagram {
    /// The path it was bound to, if it is one: gone before the descriptor is.
    _name: Option<unix::Name>,
    fd: OwnedFd,
    /// Whether addresses must be written as IPv6 addresses.
    is_v6: bool,
}

impl OsDatagram {
    /// Opens, sets what is to be set before a bind, binds, and does the rest.
    pub(crate) fn open(bind: &Bind) -> io::Result<OsDatagram> {
        match (&bind.addr, &bind.peer) {
            (Addr::Ip(addr), None) => OsDatagram::open_udp(*addr, None, bind),
            (Addr::Ip(addr), Some(Addr::Ip(peer))) => OsDatagram::open_udp(*addr, Some(*peer), bind),
            (Addr::Unix(_) | Addr::Unnamed, None | Some(Addr::Unix(_))) => OsDatagram::open_unix(bind),
            (addr, Some(peer)) => {
                let message = format!("a socket at {addr} cannot be connected to {peer}");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }

    fn open_unix(bind: &Bind) -> io::Result<OsDatagram> {
        let socket = unix::open(Type::DGRAM)?;
        options::set(&socket, unix::OPTIONS, &bind.options)?;
        let name = match bind.addr.unix() {
            Some(addr) => unix::bind(&socket, addr, bind.mode)?,
            None => None,
        };
        if let Some(peer) = bind.peer.as_ref().and_then(Addr::unix) {
            rustix::net::connect(&socket, &unix::to_system(peer)?)
                .map_err(|error| unix::about(peer, error))?;
        }
        Ok(OsDatagram { _name: name, fd: socket.into(), is_v6: false })
    }

    fn open_udp(addr: SocketAddr, peer: Option<SocketAddr>, bind: &Bind) -> io::Result<OsDatagram> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(bind.reuse_address)?;
        if bind.reuse_port {
            socket.set_reuse_port(true)?;
        }
        let is_v6 = addr.is_ipv6();
        if let (Some(on), true) = (bind.only_v6, is_v6) {
            socket.set_only_v6(on)?;
        }
        options::set(&socket, Kind { transport: Transport::Udp, is_v6 }, &bind.options)?;
        socket.set_broadcast(bind.broadcast)?;
        if let Some(on) = bind.multicast_loop {
            if is_v6 {
                socket.set_multicast_loop_v6(on)?;
            } else {
                socket.set_multicast_loop_v4(on)?;
            }
        }
        if let Some(hops) = bind.multicast_hops {
            if is_v6 {
                socket.set_multicast_hops_v6(hops)?;
            } else {
                socket.set_multicast_ttl_v4(hops)?;
            }
        }
        if let Some(interface) = &bind.multicast_from_v4 {
            socket.set_multicast_if_v4(interface)?;
        }
        if let Some(interface) = bind.multicast_from_v6 {
            socket.set_multicast_if_v6(interface)?;
        }
        socket.bind(&addr.into())?;
        for &group in &bind.groups {
            change(&socket, &Membership::Join(group))?;
        }
        if let Some(peer) = peer {
            // It blocks for no time: nothing is sent.
            socket.connect(&written(peer, is_v6).into())?;
        }
        Ok(OsDatagram { _name: None, fd: socket.into(), is_v6 })
    }
}

impl OsDatagram {
    /// Takes over a socket that someone else opened. What is no UDP or Unix socket for datagrams is refused here. A path
    /// stays: who bound it may do so again.
    pub(crate) fn adopt(socket: OwnedFd) -> io::Result<OsDatagram> {
        let kind = Kind::of(&socket).ok().filter(|kind| kind.transport != Transport::Tcp);
        let Some(kind) = kind.filter(|kind| takes_datagrams(&socket, kind.transport)) else {
            let message = "the descriptor is no UDP or Unix socket for datagrams";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(OsDatagram { _name: None, fd: socket, is_v6: kind.is_v6 })
    }
}

/// Whether it is not a raw socket, nor one for ICMP.
fn takes_datagrams(socket: &OwnedFd, transport: Transport) -> bool {
    let socket = SockRef::from(socket);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if transport == Transport::Udp && !socket.protocol().is_ok_and(|protocol| protocol == Some(Protocol::UDP))
    {
        return false;
    }
    socket.r#type().is_ok_and(|kind| kind == Type::DGRAM)
}

impl AsRawFd for OsDatagram {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl socket::Socket for OsDatagram {
    fn local_addr(&self) -> io::Result<Addr> {
        let addr = SockRef::from(&self.fd).local_addr()?;
        Ok(addr.as_socket().map_or_else(|| unix::name(&addr), Addr::from))
    }

    fn options(&self) -> io::Result<Options> {
        options::get(&self.fd, Kind::of(&self.fd)?)
    }

    fn set_options(&self, options: &Options) -> io::Result<()> {
        options::set(&self.fd, Kind::of(&self.fd)?, options)
    }
}

impl Datagram for OsDatagram {
    fn recv(&self, buf: &mut [u8]) -> io::Result<Arrival> {
        // With this flag the answer is how long it really was.
        let (len, whole, from) = rustix::net::recvfrom(&self.fd, &mut *buf, RecvFlags::TRUNC)?;
        let from = match from {
            Some(from) if from.address_family() == AddressFamily::UNIX => unix::from_system(from),
            Some(from) => SocketAddr::try_from(from).map_or(Addr::Unnamed, Addr::from),
            None => Addr::Unnamed,
        };
        Ok(Arrival { len, from, truncated: whole > len })
    }

    fn send(&self, bytes: &[u8], to: &Addr) -> io::Result<()> {
        match to {
            Addr::Unnamed => rustix::net::send(&self.fd, bytes, SendFlags::empty())?,
            Addr::Ip(to) => {
                rustix::net::sendto(&self.fd, bytes, SendFlags::empty(), &written(*to, self.is_v6))?
            }
            Addr::Unix(to) => rustix::net::sendto(&self.fd, bytes, SendFlags::empty(), &unix::to_system(to)?)
                .map_err(|error| unix::about(to, error))?,
        };
        Ok(())
    }

    fn change(&self, membership: &Membership) -> io::Result<()> {
        change(&SockRef::from(&self.fd), membership)
    }
}

fn change(socket: &Socket, membership: &Membership) -> io::Result<()> {
    match membership {
        Membership::Join(group) => match group.addr {
            IpAddr::V4(addr) => socket.join_multicast_v4(&addr, &group.interface_v4),
            IpAddr::V6(addr) => socket.join_multicast_v6(&addr, group.interface_v6),
        },
        Membership::Leave(group) => match group.addr {
            IpAddr::V4(addr) => socket.leave_multicast_v4(&addr, &group.interface_v4),
            IpAddr::V6(addr) => socket.leave_multicast_v6(&addr, group.interface_v6),
        },
    }
}

/// An address, which is in its canonical form, as a socket of that family takes it.
fn written(addr: SocketAddr, is_v6: bool) -> SocketAddr {
    match (addr, is_v6) {
        (SocketAddr::V4(v4), true) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        (addr, _) => addr,
    }
}
