//! TCP sockets of the operating system, non-blocking and close-on-exec from the first moment.
//!
//! It knows the system calls and their flags. It does not know when to make them.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketFlags};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::options::{self, Kind};
use crate::addr::Addr;
use crate::config::Listen;
use crate::connect::Connect;
use crate::net::{Listener, Stream};
use crate::options::{Options, Transport};
use crate::socket;

/// A sent byte to a dead peer is an error to read, not a signal that ends the process.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::empty();

/// A TCP connection of the operating system.
#[derive(Debug)]
pub struct OsStream(OwnedFd);

impl OsStream {
    /// Takes over a stream that someone else opened.
    pub(crate) fn adopt(stream: OwnedFd) -> io::Result<OsStream> {
        rustix::io::ioctl_fionbio(&stream, true)?;
        #[cfg(target_vendor = "apple")]
        SockRef::from(&stream).set_nosigpipe(true)?;
        Ok(OsStream(stream))
    }

    /// Begins to connect.
    pub(crate) fn connect(addr: &Addr, how: &Connect) -> io::Result<OsStream> {
        let Some(addr) = addr.socket_addr() else {
            let message = format!("{addr} is no address that can be connected to");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(how.options.nodelay.unwrap_or(true))?;
        options::set(&socket, kind(addr), &how.options)?;
        #[cfg(target_vendor = "apple")]
        socket.set_nosigpipe(true)?;
        if let Some(local) = how.local {
            socket.set_reuse_address(local.port() != 0)?;
            socket.bind(&local.into())?;
        }
        match rustix::net::connect(&socket, &addr) {
            // Interrupted, the attempt goes on all the same.
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(OsStream(socket.into())),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for OsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for OsStream {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl socket::Socket for OsStream {
    fn local_addr(&self) -> io::Result<Addr> {
        SockRef::from(&self.0).local_addr().map(|addr| name(&addr))
    }

    fn options(&self) -> io::Result<Options> {
        options::get(&self.0, Kind::of(&self.0)?)
    }

    fn set_options(&self, options: &Options) -> io::Result<()> {
        options::set(&self.0, Kind::of(&self.0)?, options)
    }
}

impl Stream for OsStream {
    #[inline]
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        // An empty buffer would make every stream look ended.
        debug_assert!(!buf.is_empty());
        match rustix::net::recv(&self.0, buf, RecvFlags::empty()) {
            Ok((received, _)) => Ok(received),
            Err(error) => failed(error),
        }
    }

    fn recv_urgent(&self) -> io::Result<u8> {
        let mut byte = [0];
        match rustix::net::recv(&self.0, &mut byte[..], RecvFlags::OOB)?.0 {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(byte[0]),
        }
    }

    #[inline]
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        rustix::net::send(&self.0, bytes, SEND).or_else(failed)
    }

    fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // Not writev: it cannot be told to leave SIGPIPE alone.
        Ok(rustix::net::sendmsg(&self.0, slices, &mut SendAncillaryBuffer::default(), SEND)?)
    }

    fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write)?)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO))
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        SockRef::from(&self.0).take_error()
    }

    fn peer_addr(&self) -> io::Result<Addr> {
        SockRef::from(&self.0).peer_addr().map(|addr| name(&addr))
    }
}

/// Out of the way: a call that succeeds should not have made an error of its result first.
#[cold]
fn failed(error: Errno) -> io::Result<usize> {
    Err(error.into())
}

/// A listening TCP socket of the operating system.
#[derive(Debug)]
pub struct OsListener(OwnedFd);

impl OsListener {
    /// Opens, binds and listens.
    pub(crate) fn open(listen: &Listen) -> io::Result<OsListener> {
        let socket = Socket::new(Domain::for_address(listen.addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(listen.reuse_address)?;
        if listen.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let (Some(on), SocketAddr::V6(_)) = (listen.only_v6, listen.addr) {
            socket.set_only_v6(on)?;
        }
        socket.set_tcp_nodelay(listen.options.nodelay.unwrap_or(true))?;
        options::set(&socket, kind(listen.addr), &listen.options)?;
        socket.bind(&listen.addr.into())?;
        socket.listen(i32::try_from(listen.backlog).unwrap_or(i32::MAX))?;
        Ok(OsListener(socket.into()))
    }

    /// Takes over a listener that someone else opened. What is no listening TCP socket is refused here: as a
    /// listener, every accept of it would fail.
    pub(crate) fn adopt(listener: OwnedFd) -> io::Result<OsListener> {
        if SockRef::from(&listener).local_addr()?.as_socket().is_none() || !listens(&listener)? {
            let message = "the descriptor is no listening TCP socket";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        rustix::io::ioctl_fionbio(&listener, true)?;
        Ok(OsListener(listener))
    }
}

impl AsFd for OsListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for OsListener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Listener for OsListener {
    type Stream = OsStream;

    #[inline]
    fn accept(&self) -> io::Result<(OsStream, Addr)> {
        let (stream, addr) = accept(&self.0)?;
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
        Ok((OsStream(stream), addr))
    }

    fn local_addr(&self) -> io::Result<Addr> {
        SockRef::from(&self.0).local_addr().map(|addr| name(&addr))
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

fn kind(addr: SocketAddr) -> Kind {
    Kind { transport: Transport::Tcp, is_v6: addr.is_ipv6() }
}

fn name(addr: &socket2::SockAddr) -> Addr {
    addr.as_socket().map_or(Addr::Unnamed, Addr::from)
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
