//! Sockets and readiness as the load generator uses them: every call on rustix, none of it blocks.
//!
//! It knows addresses, descriptors and edges. It does not know messages.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, bind, connect, ipproto, recv,
    send, shutdown, socket_with, sockopt,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Source addresses that connections are spread over: each has ports of its own.
const SOURCES: u64 = 254;

/// Descriptors besides those of connections, with room to spare.
const DESCRIPTORS_SPARE: u64 = 32;

/// Where connections go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target(pub(super) SocketAddr);

impl Target {
    /// Starts to connect; to a loopback address from the one that is the turn of `serial`.
    ///
    /// On the loopback device the handshake is mostly over when this returns.
    pub(super) fn connect(self, serial: u64) -> Result<OwnedFd, Errno> {
        let family = if self.0.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        if let Some(source) = self.source(serial) {
            // The port is found when it is known where the connection goes, so that one may be used again for
            // every server: without this the search takes longer the more of them are taken.
            setsockopt(&socket, IpBindAddressNoPort, &true)
                .map_err(|errno| Errno::from_raw_os_error(errno as i32))?;
            bind(&socket, &source)?;
        }
        match connect(&socket, &self.0) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(errno) => Err(errno),
        }
    }

    fn source(self, serial: u64) -> Option<SocketAddrV4> {
        match self.0.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => {
                let last = u8::try_from(1 + serial % SOURCES).expect("it is below 255");
                Some(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }
}

/// Sends small messages at once, whatever is on its way already.
pub(super) fn set_nodelay(socket: &OwnedFd) -> Result<(), Errno> {
    sockopt::set_tcp_nodelay(socket, true)
}

/// What a receive found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// The server has ended its side.
    End,
    /// Nothing yet: there will be an event.
    Later,
}

#[inline]
pub(super) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<Received, Errno> {
    match recv(socket, buffer, RecvFlags::empty()) {
        Ok((0, _)) => Ok(Received::End),
        Ok((count, _)) => Ok(Received::Bytes(count)),
        Err(Errno::AGAIN) => Ok(Received::Later),
        Err(errno) => Err(errno),
    }
}

/// Sends what the kernel takes of `bytes`: none while the connection is not there or its buffer is full.
#[inline]
pub(super) fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match send(socket, bytes, SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN) => Ok(0),
        sent => sent,
    }
}

/// Ends our side.
pub(super) fn end(socket: &OwnedFd) -> Result<(), Errno> {
    shutdown(socket, Shutdown::Write)
}

/// Readiness, by edge: an event says that something has become of a socket since the last one.
#[derive(Clone, Debug)]
pub(super) struct Poll(Rc<OwnedFd>);

impl Poll {
    pub(super) fn new() -> io::Result<Poll> {
        Ok(Poll(Rc::new(epoll::create(CreateFlags::CLOEXEC)?)))
    }

    /// Asks once and for all about `interest` and the end of the other side.
    pub(super) fn add(&self, source: impl AsFd, token: u64, interest: EventFlags) -> Result<(), Errno> {
        let flags = interest | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&*self.0, source, EventData::new_u64(token), flags)
    }

    /// Has an event come now for what is ready now.
    pub(super) fn again(&self, source: impl AsFd, token: u64, interest: EventFlags) -> Result<(), Errno> {
        let flags = interest | EventFlags::RDHUP | EventFlags::ET;
        epoll::modify(&*self.0, source, EventData::new_u64(token), flags)
    }

    /// Waits for events, at most for `timeout`, which is rounded up to milliseconds.
    pub(super) fn wait(&self, events: &mut Vec<Event>, timeout: &Timespec) -> Result<(), Errno> {
        events.clear();
        match epoll::wait(&*self.0, spare_capacity(events), Some(timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// Sees that this process may have descriptors for so many connections.
pub(super) fn raise_limit(connections: usize) -> io::Result<()> {
    let needed = connections as u64 + DESCRIPTORS_SPARE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(hard) = limit.maximum.filter(|&hard| hard < needed) {
        return Err(io::Error::other(format!(
            "{connections} connections need {needed} descriptors, the hard limit is {hard}: \
             raise it (ulimit -Hn) or ask for fewer connections"
        )));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum }).map_err(|error| {
        io::Error::other(format!(
            "the limit of descriptors cannot be raised to {needed} (ulimit -n): {error}"
        ))
    })
}
