//! The seam: everything impure that the reactor does goes through the traits of this module.
//!
//! It knows what the reactor asks of a network: sockets, readiness, names, the clock, a way to wake it from outside.
//! It does not know which network answers; [`os`] is the operating system's, on mio. Sealed: the rules of
//! these traits are the reactor's own and change with it.

pub mod os;

pub use crate::source::Io;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::addr::Addr;
use crate::bind::{Bind, Membership};
use crate::config::Listen;
use crate::connect::Connect;
use crate::id::{ConnId, DatagramId, ListenerId, SourceId};
use crate::instant::Instant;
use crate::readiness::Readiness;
use crate::socket::Socket;
use crate::source::Source;

/// Who a readiness event is for: one number, as a poll carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token(u64);

/// The bit that no connection's id has.
const OTHER: u64 = 1 << 63;

/// The bit that tells a socket for datagrams from a listener.
const DATAGRAM: u64 = 1 << 32;

/// The bit that tells any other descriptor from a listener.
const SOURCE: u64 = 1 << 33;

impl Token {
    /// The waker's.
    pub(crate) const WAKER: Token = Token(u64::MAX);

    pub(crate) fn conn(id: ConnId) -> Token {
        Token(id.to_bits())
    }

    pub(crate) fn listener(id: ListenerId) -> Token {
        Token(OTHER | u64::from(id.0))
    }

    pub(crate) fn datagram(id: DatagramId) -> Token {
        Token(OTHER | DATAGRAM | u64::from(id.0))
    }

    pub(crate) fn source(id: SourceId) -> Token {
        Token(OTHER | SOURCE | u64::from(id.0))
    }

    /// The connection it names, unless it is another source's.
    #[inline]
    pub(crate) fn as_conn(self) -> Option<ConnId> {
        if self.0 & OTHER == 0 { Some(ConnId::from_bits(self.0)) } else { None }
    }

    /// The listener it names; the waker's token is none.
    pub(crate) fn as_listener(self) -> Option<ListenerId> {
        u32::try_from(self.0 ^ OTHER).ok().map(ListenerId)
    }

    /// The socket for datagrams it names.
    pub(crate) fn as_datagram(self) -> Option<DatagramId> {
        u32::try_from(self.0 ^ OTHER ^ DATAGRAM).ok().map(DatagramId)
    }

    /// The registered descriptor it names.
    pub(crate) fn as_source(self) -> Option<SourceId> {
        u32::try_from(self.0 ^ OTHER ^ SOURCE).ok().map(SourceId)
    }
}

/// One event of a poll.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub(crate) token: Token,
    pub(crate) readiness: Readiness,
}

/// Wakes a polling reactor from another thread.
pub trait Wake: Send + Sync + fmt::Debug {
    /// Makes the poll under way, or the next one, return. Several calls before it does count as one.
    fn wake(&self) -> io::Result<()>;
}

/// A network: what opens sockets, reports readiness and tells the time.
///
/// Readiness is edge-triggered: an event says that something changed. Events may be spurious, merged and in any
/// order; none is lost. Of listeners a poll may be made to tell as long as connections wait, where it can.
pub trait Network: sealed::Sealed + fmt::Debug {
    /// A connected byte stream.
    type Stream: Stream;
    /// A socket that accepts streams.
    type Listener: Listener<Stream = Self::Stream>;
    /// A socket for datagrams.
    type Datagram: Datagram;
    /// Any other descriptor.
    type Source: Io;
    /// Room for the events of one poll.
    type Events: fmt::Debug;

    /// The time on a monotonic clock.
    fn now(&self) -> Instant;

    /// The time on the same clock, never ahead of it, cheaper and up to a few milliseconds behind.
    fn coarse_now(&self) -> Instant;

    /// Room for `capacity` events.
    fn events(&self, capacity: usize) -> Self::Events;

    /// Waits until there are events, `timeout` has passed (never less) or a waker was used. Interruption by
    /// a signal is a return without events.
    fn poll(&mut self, events: &mut Self::Events, timeout: Option<Duration>) -> io::Result<()>;

    /// Polls without waiting for as long as `spin`, until there are events, and only then as [`poll`](Network::poll)
    /// does, for what is left of `timeout`. Answers how many polls came before the last one.
    ///
    /// It is for processors, which take their time to fall asleep and to be woken. Where there are none, as in
    /// virtual time, which does not pass while a loop spins, it is one poll.
    fn poll_awake(
        &mut self,
        events: &mut Self::Events,
        timeout: Option<Duration>,
        spin: Duration,
    ) -> io::Result<u64> {
        let _ = spin;
        self.poll(events, timeout).map(|()| 0)
    }

    /// The events of the last poll.
    fn iter(events: &Self::Events) -> impl Iterator<Item = Event>;

    /// Opens and registers a listener, edge-triggered.
    fn listen(&mut self, listen: &Listen, id: ListenerId) -> io::Result<Self::Listener>;

    /// Sets how polls tell of a listener, and answers how they do from now on: a network need not have both.
    /// The next poll tells of it in any case if connections wait.
    fn set_trigger(&mut self, listener: &Self::Listener, id: ListenerId, trigger: Trigger) -> Trigger {
        let _ = (listener, id, trigger);
        Trigger::Edge
    }

    /// Opens and registers a socket for datagrams, to be told when there is something to receive.
    fn bind(&mut self, bind: &Bind, id: DatagramId) -> io::Result<Self::Datagram>;

    /// Says whether polls are to tell that a socket for datagrams can be sent from; else each datagram that leaves the
    /// kernel would wake one. If it can be sent from already, the next poll tells.
    fn watch_room(&mut self, socket: &Self::Datagram, id: DatagramId, on: bool) -> io::Result<()>;

    /// Takes over a descriptor of any kind, which no poll tells of yet.
    fn open_source(&mut self, source: Source) -> io::Result<Self::Source>;

    /// Has polls tell when a source is ready for `now`, where they told of `before`; of nothing: it is in no poll, and
    /// not even its end is told. What it is ready for already is an event of the next poll, also if nothing changes.
    fn watch_source(
        &mut self,
        source: &Self::Source,
        id: SourceId,
        before: Readiness,
        now: Readiness,
    ) -> io::Result<()>;

    /// Gives up a source that is in no poll any more: its descriptor as it was, if it has one. Those of the `others` that
    /// are duplicates of it stay as they are to be.
    fn close_source<'a>(
        &mut self,
        source: Self::Source,
        others: impl Iterator<Item = &'a mut Self::Source>,
    ) -> Option<OwnedFd>
    where
        Self::Source: 'a;

    /// Begins to connect to `addr`, with the options of `how`. The stream is connected once an event says so and it has
    /// no error.
    fn connect(&mut self, addr: &Addr, how: &Connect) -> io::Result<Self::Stream>;

    /// Has a name looked up for a connection, without waiting. The answer, if there will be one, uses the waker; it
    /// comes unless it is [taken back](Network::take_back).
    fn look_up(&mut self, host: &str, port: u16, id: ConnId) -> io::Result<()> {
        let _ = (port, id);
        let message = format!("{host}: this network looks no names up");
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }

    /// The next answer that is there.
    fn answer(&mut self) -> Option<Answer> {
        None
    }

    /// No answer is wanted any more.
    fn take_back(&mut self, id: ConnId) {
        let _ = id;
    }

    /// Registers a stream under its connection's id. What it is ready for already is an event.
    fn register(&mut self, stream: &Self::Stream, id: ConnId, interest: Interest) -> io::Result<()>;

    /// Has polls tell also when a registered stream takes output. What it is ready for already is an event.
    fn watch_output(&mut self, stream: &Self::Stream, id: ConnId) -> io::Result<()>;

    /// Takes a stream out of the poll before it is closed, because someone else may hold a copy of it. The
    /// close of a socket's only holder needs no such help, which is what this does by default: nothing.
    fn deregister(&mut self, stream: &Self::Stream) -> io::Result<()> {
        let _ = stream;
        Ok(())
    }

    /// Closes a listener, out of the poll also if someone else holds a copy of it.
    fn unlisten(&mut self, listener: Self::Listener) {
        drop(listener);
    }

    /// Closes a socket for datagrams, out of the poll also if someone else holds a copy of it.
    fn unbind(&mut self, socket: Self::Datagram) {
        drop(socket);
    }

    /// What wakes this network's poll. One for its lifetime.
    fn waker(&mut self) -> io::Result<Arc<dyn Wake>>;

    /// How many descriptors the process may have open, where there is such a limit.
    fn descriptors_max(&self) -> Option<usize>;

    /// What an error of `accept` or `send` is about.
    fn trouble(error: &io::Error) -> Trouble;
}

/// What a poll tells of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Input, urgent bytes, ends and errors.
    Input,
    /// That, and when it takes output.
    InputAndOutput,
}

/// When a poll tells of a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// Once each time that a connection arrives.
    Edge,
    /// Each time, as long as a connection waits.
    Level,
}

/// What an error is about, and so what to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// This one connection; others are not concerned.
    Connection,
    /// The system has no descriptors or no memory left: try again later, no event will say when.
    Exhausted,
    /// The socket itself or its use.
    Socket,
}

/// A listening socket.
pub trait Listener: fmt::Debug {
    /// What it accepts.
    type Stream;

    /// Takes the next waiting connection. `WouldBlock` when there is none.
    fn accept(&self) -> io::Result<(Self::Stream, Addr)>;

    /// The address it is bound to.
    fn local_addr(&self) -> io::Result<Addr>;
}

/// A connected byte stream. Every call returns at once; dropping it closes it.
pub trait Stream: Socket {
    /// Receives into `buf`, which is not empty. `Ok(0)` is the peer's end.
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize>;

    /// Whether the last receive, although it did not fill its buffer, may have left something that no event will tell of.
    #[inline]
    fn was_cut_short(&self) -> bool {
        false
    }

    /// Receives the urgent byte, if it has arrived and was not read yet.
    fn recv_urgent(&self) -> io::Result<u8>;

    /// Sends the beginning of `bytes` and returns how many. Never raises `SIGPIPE`.
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Sends the beginning of the concatenated `slices` and returns how many bytes. Never raises `SIGPIPE`.
    fn send_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize>;

    /// Ends our side.
    fn shutdown(&self) -> io::Result<()>;

    /// Makes the close that follows a reset.
    fn reset_on_close(&self) -> io::Result<()>;

    /// The error that is pending on the socket, taken off it. Only for connects and once the peer's end was
    /// read: before, it would swallow a reset that comes before data still unread.
    fn take_error(&self) -> io::Result<Option<io::Error>>;

    /// The peer's address; fails once the connection is reset.
    fn peer_addr(&self) -> io::Result<Addr>;
}

/// A socket for datagrams. Every call returns at once; dropping it closes it.
pub trait Datagram: Socket {
    /// Receives one datagram into `buf`, whole or its beginning. An error of an earlier send may come instead.
    fn recv(&self, buf: &mut [u8]) -> io::Result<Arrival>;

    /// Sends one datagram, whole or not at all; to [`Addr::Unnamed`], to whom the socket is connected to. An error of
    /// an earlier send may come instead.
    fn send(&self, bytes: &[u8], to: &Addr) -> io::Result<()>;

    /// Joins a multicast group, or leaves it.
    fn change(&self, membership: &Membership) -> io::Result<()> {
        let _ = membership;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A datagram that was received.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// How many bytes of it are in the buffer.
    pub(crate) len: usize,
    /// Who sent it.
    pub(crate) from: Addr,
    /// Whether it had more bytes than there was room for; those are lost.
    pub(crate) truncated: bool,
}

/// What a name stands for.
#[derive(Debug)]
pub struct Answer {
    /// Which connection asked.
    pub(crate) id: ConnId,
    /// The best one first; at least one.
    pub(crate) addrs: io::Result<Vec<SocketAddr>>,
}

pub(crate) mod sealed {
    //! What keeps `Network` ours to implement.

    /// Only networks of this crate have it.
    pub trait Sealed {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_one_kind_of_source() {
        let id = ConnId::new(5, 9);
        assert_eq!(Token::conn(id).as_conn(), Some(id));
        assert_eq!(Token::conn(id).as_listener(), None);
        assert_eq!(Token::listener(ListenerId(3)).as_listener(), Some(ListenerId(3)));
        assert_eq!(Token::listener(ListenerId(3)).as_conn(), None);
        assert_eq!((Token::WAKER.as_conn(), Token::WAKER.as_listener()), (None, None));
        let socket = DatagramId(3);
        assert_eq!(Token::datagram(socket).as_datagram(), Some(socket));
        assert_eq!((Token::datagram(socket).as_conn(), Token::datagram(socket).as_listener()), (None, None));
        assert_eq!((Token::WAKER.as_datagram(), Token::listener(ListenerId(3)).as_datagram()), (None, None));
        let other = Token::source(SourceId(3));
        assert_eq!(other.as_source(), Some(SourceId(3)));
        assert_eq!((other.as_conn(), other.as_listener(), other.as_datagram()), (None, None, None));
        assert_eq!((Token::WAKER.as_source(), Token::datagram(socket).as_source()), (None, None));
        assert_eq!(Token::listener(ListenerId(3)).as_source(), None);
    }
}
