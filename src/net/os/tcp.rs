//! Streams of the operating system, TCP's and Unix's, non-blocking and close-on-exec from the first moment.
//!
//! It knows the system calls and their flags, which are the same for both once a stream is connected. It does not know
//! when to make them, nor what is particular about Unix sockets: that is `unix`.

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags,
    SocketAddrAny, SocketFlags,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{options, unix};
use crate::addr::{Addr, UnixAddr};
use crate::config::Listen;
use crate::connect::Connect;
use crate::net::{Listener, Stream};
use crate::options::{Options, Transport};
use crate::socket::{self, Credentials};

/// A sent byte to a dead peer is an error to read, not a signal that ends the process.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::empty();

/// A TCP or Unix connection of the operating system.
#[derive(Debug)]
pub struct OsStream {
    fd: OwnedFd,
    kind: Cell<Kind>,
}

/// What a receive has to look out for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Tcp,
    Unix,
    /// The last receive stopped where the peer sent something besides bytes, and there may be more behind.
    UnixCut,
}

impl OsStream {
    fn new(fd: OwnedFd, kind: Kind) -> OsStream {
        OsStream { fd, kind: Cell::new(kind) }
    }

    /// Takes over a stream that someone else opened.
    pub(crate) fn adopt(stream: OwnedFd) -> io::Result<OsStream> {
        if SockRef::from(&stream).r#type()? != Type::STREAM {
            let message = "the descriptor is no socket of a stream";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        rustix::io::ioctl_fionbio(&stream, true)?;
        #[cfg(target_vendor = "apple")]
        SockRef::from(&stream).set_nosigpipe(true)?;
        let is_unix = SockRef::from(&stream).local_addr()?.is_unix();
        Ok(OsStream::new(stream, if is_unix { Kind::Unix } else { Kind::Tcp }))
    }

    /// Begins to connect.
    pub(crate) fn connect(addr: &Addr, how: &Connect) -> io::Result<OsStream> {
        let addr = match addr {
            Addr::Ip(addr) => *addr,
            Addr::Unix(addr) => return Ok(OsStream::new(unix::connect(addr, &how.options)?, Kind::Unix)),
            Addr::Unnamed => {
                let message = format!("{addr} is no address that can be connected to");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(how.options.nodelay.unwrap_or(true))?;
        options::set(&socket, options_of(addr), &how.options)?;
        #[cfg(target_vendor = "apple")]
        socket.set_nosigpipe(true)?;
        if let Some(local) = how.local {
            socket.set_reuse_address(local.port() != 0)?;
            socket.bind(&local.into())?;
        }
        match rustix::net::connect(&socket, &addr) {
            // Interrupted, the attempt goes on all the same.
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(OsStream::new(socket.into(), Kind::Tcp)),
            Err(error) => Err(error.into()),
        }
    }
}

impl OsStream {
    /// A receive stops where descriptors lie between the bytes, although there are more, and no event will tell of those.
    /// Nobody asked for descriptors: without room for them the kernel closes them, and says that it did.
    #[inline(never)]
    fn recv_unix(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut nothing = RecvAncillaryBuffer::default();
        let message =
            rustix::net::recvmsg(&self.fd, &mut [IoSliceMut::new(buf)], &mut nothing, RecvFlags::empty())?;
        let is_cut = message.flags.contains(ReturnFlags::CTRUNC);
        self.kind.set(if is_cut { Kind::UnixCut } else { Kind::Unix });
        Ok(message.bytes)
    }
}

impl AsFd for OsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for OsStream {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl socket::Socket for OsStream {
    fn local_addr(&self) -> io::Result<Addr> {
        SockRef::from(&self.fd).local_addr().map(|addr| name(&addr))
    }

    fn credentials(&self) -> io::Result<Credentials> {
        unix::credentials(&self.fd)
    }

    fn options(&self) -> io::Result<Options> {
        options::get(&self.fd, options::Kind::of(&self.fd)?)
    }

    fn set_options(&self, options: &Options) -> io::Result<()> {
        options::set(&self.fd, options::Kind::of(&self.fd)?, options)
    }
}

impl Stream for OsStream {
    #[inline]
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        // An empty buffer would make every stream look ended.
        debug_assert!(!buf.is_empty());
        if self.kind.get() != Kind::Tcp {
            return self.recv_unix(buf);
        }
        match rustix::net::recv(&self.fd, buf, RecvFlags::empty()) {
            Ok((received, _)) => Ok(received),
            Err(error) => failed(error),
        }
    }

    #[inline]
    fn was_cut_short(&self) -> bool {
        self.kind.get() == Kind::UnixCut && !wrong!(UnixShortTrusted)
    }

    fn recv_urgent(&self) -> io::Result<u8> {
        let mut byte = [0];
        match rustix::net::recv(&self.fd, &mut byte[..], RecvFlags::OOB)?.0 {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(byte[0]),
        }
    }

    #[inline]
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        rustix::net::send(&self.fd, bytes, SEND).or_else(failed)
    }

    fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // Not writev: it cannot be told to leave SIGPIPE alone.
        Ok(rustix::net::sendmsg(&self.fd, slices, &mut SendAncillaryBuffer::default(), SEND)?)
    }

    fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Write)?)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        SockRef::from(&self.fd).set_linger(Some(Duration::ZERO))
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        SockRef::from(&self.fd).take_error()
    }

    fn peer_addr(&self) -> io::Result<Addr> {
        SockRef::from(&self.fd).peer_addr().map(|addr| name(&addr))
    }
}

/// Out of the way: a call that succeeds should not have made an error of its result first.
#[cold]
fn failed(error: Errno) -> io::Result<usize> {
    Err(error.into())
}

/// A listening TCP or Unix socket of the operating system.
#[derive(Debug)]
pub struct OsListener {
    /// The path it was bound to, if it is one. Above the descriptor, so that it is gone first: as long as the socket
    /// is open, nobody takes the path for left over and removes it, too.
    _name: Option<unix::Name>,
    fd: OwnedFd,
    kind: Kind,
    /// What is accepted by a Unix listener does not inherit it.
    send_buffer_size: Option<usize>,
}

impl OsListener {
    /// Opens, binds and listens.
    pub(crate) fn open(listen: &Listen) -> io::Result<OsListener> {
        match &listen.addr {
            Addr::Ip(addr) => OsListener::open_tcp(*addr, listen),
            Addr::Unix(addr) => OsListener::open_unix(addr, listen),
            Addr::Unnamed => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "nobody could connect to a listener without a name",
            )),
        }
    }

    fn open_unix(addr: &UnixAddr, listen: &Listen) -> io::Result<OsListener> {
        let socket = unix::open(Type::STREAM)?;
        options::set(&socket, unix::OPTIONS, &listen.options)?;
        let name = unix::bind(&socket, addr, listen.mode)?;
        socket.listen(i32::try_from(listen.backlog).unwrap_or(i32::MAX))?;
        Ok(OsListener {
            _name: name,
            fd: socket.into(),
            kind: Kind::Unix,
            send_buffer_size: listen.options.send_buffer_size,
        })
    }

    fn open_tcp(addr: SocketAddr, listen: &Listen) -> io::Result<OsListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(listen.reuse_address)?;
        if listen.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let (Some(on), SocketAddr::V6(_)) = (listen.only_v6, addr) {
            socket.set_only_v6(on)?;
        }
        socket.set_tcp_nodelay(listen.options.nodelay.unwrap_or(true))?;
        options::set(&socket, options_of(addr), &listen.options)?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(listen.backlog).unwrap_or(i32::MAX))?;
        Ok(OsListener { _name: None, fd: socket.into(), kind: Kind::Tcp, send_buffer_size: None })
    }

    /// Takes over a listener that someone else opened. What is no listening TCP or Unix socket is refused here: as a
    /// listener, every accept of it would fail. A path stays: who bound it may listen there again.
    pub(crate) fn adopt(listener: OwnedFd) -> io::Result<OsListener> {
        let socket = SockRef::from(&listener);
        let addr = socket.local_addr()?;
        let family = addr.as_socket().is_some() || addr.is_unix();
        if !family || socket.r#type()? != Type::STREAM || !listens(&listener)? {
            let message = "the descriptor is no listening TCP or Unix socket";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        rustix::io::ioctl_fionbio(&listener, true)?;
        let kind = if addr.is_unix() { Kind::Unix } else { Kind::Tcp };
        Ok(OsListener { _name: None, fd: listener, kind, send_buffer_size: None })
    }
}

impl OsListener {
    /// Out of line, as an address has room for the longest path and would be moved with that.
    #[inline(never)]
    fn accept_unix(&self) -> io::Result<(OsStream, Addr)> {
        let (stream, addr) = accept(&self.fd)?;
        if let Some(bytes) = self.send_buffer_size {
            SockRef::from(&stream).set_send_buffer_size(bytes)?;
        }
        let addr = addr.map_or(Addr::Unnamed, unix::from_system);
        Ok((OsStream::new(stream, Kind::Unix), addr))
    }
}

impl AsFd for OsListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for OsListener {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Listener for OsListener {
    type Stream = OsStream;

    #[inline]
    fn accept(&self) -> io::Result<(OsStream, Addr)> {
        if self.kind != Kind::Tcp {
            return self.accept_unix();
        }
        let (stream, addr) = accept(&self.fd)?;
        // Each kind by itself: put together at once they are put together byte by byte.
        let addr = match addr.as_ref().map(SocketAddrAny::address_family) {
            Some(AddressFamily::INET) => {
                let v4 = addr.and_then(|addr| SocketAddrV4::try_from(addr).ok());
                v4.map_or(Addr::Unnamed, |v4| Addr::Ip(SocketAddr::V4(v4)))
            }
            Some(AddressFamily::INET6) => {
                let v6 = addr.and_then(|addr| SocketAddrV6::try_from(addr).ok());
                v6.map_or(Addr::Unnamed, name_v6)
            }
            Some(_) | None => Addr::Unnamed,
        };
        Ok((OsStream::new(stream, Kind::Tcp), addr))
    }

    fn local_addr(&self) -> io::Result<Addr> {
        SockRef::from(&self.fd).local_addr().map(|addr| name(&addr))
    }
}

#[cfg(not(target_vendor = "apple"))]
#[inline]
fn accept(listener: &OwnedFd) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    Ok(rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC))?)
}

/// Apple's systems take no flags here.
#[cfg(target_vendor = "apple")]
fn accept(listener: &OwnedFd) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (stream, addr) = rustix::net::acceptfrom(listener)?;
    rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&stream, true)?;
    SockRef::from(&stream).set_nosigpipe(true)?;
    Ok((stream, addr))
}

#[cfg(not(target_vendor = "apple"))]
fn listens(socket: &OwnedFd) -> io::Result<bool> {
    Ok(rustix::net::sockopt::socket_acceptconn(socket)?)
}

/// Apple's systems do not say.
#[cfg(target_vendor = "apple")]
fn listens(_: &OwnedFd) -> io::Result<bool> {
    Ok(true)
}

#[inline(never)]
fn name_v6(addr: SocketAddrV6) -> Addr {
    Addr::from(SocketAddr::V6(addr))
}

/// What options a socket of that family has.
fn options_of(addr: SocketAddr) -> options::Kind {
    options::Kind { transport: Transport::Tcp, is_v6: addr.is_ipv6() }
}

fn name(addr: &socket2::SockAddr) -> Addr {
    addr.as_socket().map_or_else(|| unix::name(addr), Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a listener made with `listen` accepts. The caller keeps the client.
    fn accepted(listen: &Listen) -> (std::net::TcpStream, OsStream) {
        let listener = OsListener::open(listen).expect("a free port");
        let addr = listener.local_addr().expect("bound").socket_addr().expect("an IP address");
        let client = std::net::TcpStream::connect(addr).expect("connected");
        let (stream, peer) = listener.accept().expect("it waits");
        assert_eq!(peer.socket_addr(), client.local_addr().ok());
        (client, stream)
    }

    #[test]
    fn options_of_a_listener_are_those_of_what_it_accepts() {
        let listen = Listen::from(([127, 0, 0, 1], 0));
        for on in [true, false] {
            let (_client, stream) = accepted(&listen.clone().nodelay(on));
            assert_eq!(SockRef::from(&stream).tcp_nodelay().expect("an option"), on);
        }
        let (_client, stream) = accepted(&listen.recv_buffer_size(20_000).send_buffer_size(30_000));
        let stream = SockRef::from(&stream);
        assert!((20_000..=40_000).contains(&stream.recv_buffer_size().expect("an option")));
        assert!((30_000..=60_000).contains(&stream.send_buffer_size().expect("an option")));
    }

    // N1, B4: what is accepted or connected is not inherited by children and does not block.
    #[test]
    fn n1_every_socket_is_non_blocking_and_closed_on_exec() {
        let (client, stream) = accepted(&Listen::from(([127, 0, 0, 1], 0)));
        let ours = {
            let addr = Addr::from(client.local_addr().expect("bound"));
            OsStream::connect(&addr, &Connect::from(addr.clone()))
        };
        for stream in [Some(stream), ours.ok()].into_iter().flatten() {
            let flags = rustix::io::fcntl_getfd(&stream).expect("flags");
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            assert!(SockRef::from(&stream).nonblocking().expect("flags"));
        }
    }
}
