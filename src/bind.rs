//! Where a socket for datagrams is, and how.
//!
//! It knows options and their defaults; it opens nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::addr::{Addr, UnixAddr};
use crate::listen::OWNER_ONLY;
use crate::options::Options;

/// Where to receive and send datagrams, and how: an address is enough, the rest has defaults. What it says of UDP only
/// (broadcast, multicast, IPv6, addresses and ports that are shared) is not looked at for Unix sockets.
///
/// ```
/// use switchboard::Bind;
///
/// let addr: std::net::SocketAddr = "0.0.0.0:0".parse()?;
/// let bind = Bind::new(addr).broadcast(true).key(7);
/// # let _ = bind;
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bind {
    pub(crate) addr: Addr,
    pub(crate) peer: Option<Addr>,
    pub(crate) key: u64,
    pub(crate) mode: u32,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) only_v6: Option<bool>,
    pub(crate) broadcast: bool,
    pub(crate) groups: Vec<Group>,
    pub(crate) multicast_loop: Option<bool>,
    pub(crate) multicast_hops: Option<u32>,
    pub(crate) multicast_from_v4: Option<Ipv4Addr>,
    pub(crate) multicast_from_v6: Option<u32>,
    pub(crate) options: Options,
}

/// A multicast group, and through which interface it is joined.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub(crate) addr: IpAddr,
    /// IPv4: the interface's address; unspecified, the system's choice.
    pub(crate) interface_v4: Ipv4Addr,
    /// IPv6: the interface's number; zero, the system's choice.
    pub(crate) interface_v6: u32,
}

/// A change of the groups that a socket is in.
#[derive(Clone, Copy, Debug)]
pub enum Membership {
    /// It is to be in this one.
    Join(Group),
    /// It is to be no longer.
    Leave(Group),
}

impl Group {
    pub(crate) fn v4(addr: Ipv4Addr, interface: Ipv4Addr) -> Group {
        Group { addr: addr.into(), interface_v4: interface, interface_v6: 0 }
    }

    pub(crate) fn v6(addr: Ipv6Addr, interface: u32) -> Group {
        Group { addr: addr.into(), interface_v4: Ipv4Addr::UNSPECIFIED, interface_v6: interface }
    }
}

impl Bind {
    /// Binds to `addr`; the unspecified address is all of the machine's, and to which of them a datagram came is not
    /// told (`IP_PKTINFO`): bind one socket to each where that matters. Port 0 lets the system choose, and [`Reactor::datagram_addr`](crate::Reactor::datagram_addr)
    /// says which it was.
    pub fn new(addr: SocketAddr) -> Bind {
        Bind::at(addr.into())
    }

    /// Binds a Unix socket for datagrams to a path or, on Linux, an abstract name. A path is bound and removed as
    /// [`Listen::unix`](crate::Listen::unix) says.
    ///
    /// Here nothing is lost on the way: a receiver whose queue is full (Linux: `net.unix.max_dgram_qlen` datagrams) makes
    /// the sender wait. Who else is sent to from the same socket does not wait for it. What it has not taken after
    /// `Config::write_timeout`, and what would be more than half of `Config::datagram_bytes_max`, is dropped and told
    /// with `Handler::datagram_failed`.
    pub fn unix(addr: UnixAddr) -> Bind {
        Bind::at(addr.into())
    }

    /// A Unix socket for datagrams that has no name: it can send, and nobody can answer.
    pub fn unix_unnamed() -> Bind {
        Bind::at(Addr::Unnamed)
    }

    fn at(addr: Addr) -> Bind {
        Bind {
            addr,
            peer: None,
            key: 0,
            mode: OWNER_ONLY,
            reuse_address: false,
            reuse_port: false,
            only_v6: None,
            broadcast: false,
            groups: Vec::new(),
            multicast_loop: None,
            multicast_hops: None,
            multicast_from_v4: None,
            multicast_from_v6: None,
            options: Options::new(),
        }
    }

    /// A socket connected to `peer`, at any free port: it receives from nobody else, what is sent to
    /// [`Addr::Unnamed`] goes there, and that nobody listens there is told with `Handler::datagram_failed`. To a Unix
    /// socket it has no name, so that `peer` cannot answer: [`Bind::unix`] and [`Bind::connect`] give it one.
    pub fn to(peer: impl Into<Addr>) -> Bind {
        let peer = peer.into().canonical();
        let any = match &peer {
            Addr::Ip(SocketAddr::V4(_)) => Addr::Ip((Ipv4Addr::UNSPECIFIED, 0).into()),
            Addr::Ip(SocketAddr::V6(_)) => Addr::Ip((Ipv6Addr::UNSPECIFIED, 0).into()),
            Addr::Unix(_) | Addr::Unnamed => Addr::Unnamed,
        };
        Bind::at(any).connect(peer)
    }

    /// Connects the socket to `peer`, see [`Bind::to`]. From an IPv4 address there is no way to an IPv6 one.
    #[must_use]
    pub fn connect(mut self, peer: impl Into<Addr>) -> Bind {
        self.peer = Some(peer.into().canonical());
        self
    }

    /// The permissions of a Unix socket's path; who may write to it may send. Default `0o600`, for the reason that
    /// [`Listen::mode`](crate::Listen::mode) gives; more than `0o777` is refused. Linux has them there from the first moment, other systems a moment
    /// after the bind; there, a directory of its own keeps others out.
    #[must_use]
    pub fn mode(mut self, permissions: u32) -> Bind {
        self.mode = permissions;
        self
    }

    /// A number of the program's own that `Datagram::key` repeats for every datagram of this socket. Default 0.
    #[must_use]
    pub fn key(mut self, key: u64) -> Bind {
        self.key = key;
        self
    }

    /// `SO_REUSEADDR`: whether others may bind the same address too. Default off: with it on, Linux gives each datagram
    /// to one of them, the last, and says nothing to the others. Multicast receivers on one machine need it.
    #[must_use]
    pub fn reuse_address(mut self, on: bool) -> Bind {
        self.reuse_address = on;
        self
    }

    /// `SO_REUSEPORT`: several sockets of one user share the address, and each sender's datagrams go to one of them.
    /// Default off.
    #[must_use]
    pub fn reuse_port(mut self, on: bool) -> Bind {
        self.reuse_port = on;
        self
    }

    /// `IPV6_V6ONLY`: whether an IPv6 socket refuses IPv4. Default: the system's.
    #[must_use]
    pub fn only_v6(mut self, on: bool) -> Bind {
        self.only_v6 = Some(on);
        self
    }

    /// `SO_BROADCAST`: whether it may send to a broadcast address. Default off, as in the system, which then answers
    /// with `PermissionDenied`.
    #[must_use]
    pub fn broadcast(mut self, on: bool) -> Bind {
        self.broadcast = on;
        self
    }

    /// Joins an IPv4 multicast group through the interface that has the address `interface`; unspecified, one of the
    /// system's choice. The socket must be bound to the unspecified address or the group.
    #[must_use]
    pub fn join_v4(mut self, group: Ipv4Addr, interface: Ipv4Addr) -> Bind {
        self.groups.push(Group::v4(group, interface));
        self
    }

    /// Joins an IPv6 multicast group through the interface with this number; zero, one of the system's choice.
    #[must_use]
    pub fn join_v6(mut self, group: Ipv6Addr, interface: u32) -> Bind {
        self.groups.push(Group::v6(group, interface));
        self
    }

    /// Whether multicast that this socket sends also reaches receivers on this machine. Default: the system's, on.
    #[must_use]
    pub fn multicast_loop(mut self, on: bool) -> Bind {
        self.multicast_loop = Some(on);
        self
    }

    /// Over how many routers multicast that this socket sends may go (`IP_MULTICAST_TTL`, `IPV6_MULTICAST_HOPS`; 0 to
    /// 255). Default: the system's, 1, which stays in the local network.
    #[must_use]
    pub fn multicast_hops(mut self, hops: u32) -> Bind {
        self.multicast_hops = Some(hops);
        self
    }

    /// Through which interface IPv4 multicast leaves, by the interface's address (`IP_MULTICAST_IF`). Default: the
    /// system's choice, by its routes.
    #[must_use]
    pub fn multicast_from_v4(mut self, interface: Ipv4Addr) -> Bind {
        self.multicast_from_v4 = Some(interface);
        self
    }

    /// Through which interface IPv6 multicast leaves, by the interface's number (`IPV6_MULTICAST_IF`).
    #[must_use]
    pub fn multicast_from_v6(mut self, interface: u32) -> Bind {
        self.multicast_from_v6 = Some(interface);
        self
    }

    /// `SO_RCVBUF`, in bytes. Default: the system's. Linux doubles it, counts its own overhead in, and cuts it down to
    /// `net.core.rmem_max`. What arrives while it is full is lost, and nobody is told.
    #[must_use]
    pub fn recv_buffer_size(mut self, bytes: usize) -> Bind {
        self.options.recv_buffer_size = Some(bytes);
        self
    }

    /// `SO_SNDBUF`, in bytes. Default: the system's.
    #[must_use]
    pub fn send_buffer_size(mut self, bytes: usize) -> Bind {
        self.options.send_buffer_size = Some(bytes);
        self
    }

    /// Options of the socket, set before it is bound: those that are not of TCP alone. What they do not say stays as it
    /// was said before.
    #[must_use]
    pub fn options(mut self, options: Options) -> Bind {
        self.options = options.or(self.options);
        self
    }
}

impl From<SocketAddr> for Bind {
    fn from(addr: SocketAddr) -> Bind {
        Bind::new(addr)
    }
}

impl From<UnixAddr> for Bind {
    fn from(addr: UnixAddr) -> Bind {
        Bind::unix(addr)
    }
}

/// What a reactor can be told to bind a socket for datagrams by: a [`Bind`], an address, or one written as text.
///
/// Text is what [`Addr`] is written as, `127.0.0.1:7000` or `unix:/run/some.sock`, never a host's name: looking names up
/// would block.
pub trait IntoBind {
    /// Says where and how, or why the text is no address ([`io::ErrorKind::InvalidInput`]).
    fn into_bind(self) -> io::Result<Bind>;
}

impl<B: Into<Bind>> IntoBind for B {
    fn into_bind(self) -> io::Result<Bind> {
        Ok(self.into())
    }
}

impl IntoBind for &str {
    fn into_bind(self) -> io::Result<Bind> {
        self.parse::<Addr>().map(Bind::at)
    }
}
