//! A network that does what a test tells it: every call answers from a script, and time stands still.
//!
//! It knows scripts; it has no rules of its own. What is not scripted is the quiet case: nothing to receive or
//! accept, every send taken whole, every registration and connect in order. So a test writes down only what is
//! unusual, and reaches at once what real sockets show once in a month.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::addr::Addr;
use crate::bind::Bind;
use crate::config::Listen;
use crate::connect::Connect;
use crate::id::{ConnId, DatagramId, ListenerId, SourceId};
use crate::instant::Instant;
use crate::net::{
    Arrival, Datagram, Event, Interest, Listener, Network, Stream, Token, Trouble, Wake, sealed,
};
use crate::readiness::Readiness;
use crate::socket::Socket;
use crate::source::{Io, Source};

/// What a socket was told to do and what it was made to do.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that happened or did not")]
pub(super) struct Script {
    /// What `recv` answers, in order: bytes (none of them: the end), or an error. After that `WouldBlock`.
    pub(super) recv: VecDeque<Result<Vec<u8>, ErrorKind>>,
    /// How many bytes each `send` takes, or its error. After that everything.
    pub(super) send: VecDeque<Result<usize, ErrorKind>>,
    /// What `take_error` answers. After that nothing is wrong.
    pub(super) errors: VecDeque<Option<ErrorKind>>,
    /// What `peer_addr` fails with. After that there is a peer.
    pub(super) peer: VecDeque<ErrorKind>,
    /// The peer is the socket itself.
    pub(super) alone: bool,
    /// How many bytes sends take together before they take no more; `None`: no end of them.
    pub(super) room: Option<usize>,
    /// A send was not taken whole: an event is due once there is room.
    pub(super) wants: bool,
    /// All that was sent.
    pub(super) sent: Vec<u8>,
    /// How often `send` was called.
    pub(super) sends: usize,
    /// Our side was ended.
    pub(super) ended: bool,
    /// The close was to be a reset.
    pub(super) reset: bool,
    pub(super) closed: bool,
}

/// A socket, as the test holds it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sock(pub(super) Rc<RefCell<Script>>);

impl Sock {
    pub(super) fn receives(&self, bytes: &[u8]) {
        self.0.borrow_mut().recv.push_back(Ok(bytes.to_vec()));
    }

    pub(super) fn fails_to_receive(&self, error: ErrorKind) {
        self.0.borrow_mut().recv.push_back(Err(error));
    }

    pub(super) fn sends(&self, answer: Result<usize, ErrorKind>) {
        self.0.borrow_mut().send.push_back(answer);
    }

    pub(super) fn sent(&self) -> Vec<u8> {
        self.0.borrow().sent.clone()
    }

    fn take(&self, bytes: &[&[u8]]) -> io::Result<usize> {
        let mut script = self.0.borrow_mut();
        assert!(!script.ended, "a send after our end");
        script.sends += 1;
        let bytes = bytes.concat();
        let room = script.room.unwrap_or(usize::MAX);
        let n = script.send.pop_front().unwrap_or(Ok(usize::MAX))?.min(bytes.len()).min(room);
        script.room = script.room.map(|room| room - n);
        script.wants = n < bytes.len();
        script.sent.extend_from_slice(&bytes[..n]);
        if n == 0 && room == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(n) }
    }
}

/// A socket, as the reactor holds it.
#[derive(Debug)]
pub(super) struct FakeStream(Sock);

impl Drop for FakeStream {
    fn drop(&mut self) {
        self.0.0.borrow_mut().closed = true;
    }
}

impl Socket for FakeStream {
    fn local_addr(&self) -> io::Result<Addr> {
        Ok(Addr::from(SocketAddr::from(([127, 0, 0, 1], 1))))
    }
}

impl Stream for FakeStream {
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        assert!(!buf.is_empty(), "an empty buffer makes every stream look ended");
        let mut script = self.0.0.borrow_mut();
        let mut bytes = script.recv.pop_front().unwrap_or(Err(ErrorKind::WouldBlock))?;
        let n = bytes.len().min(buf.len());
        buf[..n].copy_from_slice(&bytes[..n]);
        if n < bytes.len() {
            bytes.drain(..n);
            script.recv.push_front(Ok(bytes));
        }
        Ok(n)
    }

    fn recv_urgent(&self) -> io::Result<u8> {
        Err(ErrorKind::InvalidInput.into())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.take(&[bytes])
    }

    fn send_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.take(&slices.iter().map(|slice| &**slice).collect::<Vec<_>>())
    }

    fn shutdown(&self) -> io::Result<()> {
        self.0.0.borrow_mut().ended = true;
        Ok(())
    }

    fn reset_on_close(&self) -> io::Result<()> {
        self.0.0.borrow_mut().reset = true;
        Ok(())
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.0.0.borrow_mut().errors.pop_front().flatten().map(io::Error::from))
    }

    fn peer_addr(&self) -> io::Result<Addr> {
        let failure = self.0.0.borrow_mut().peer.pop_front();
        match failure {
            Some(error) => Err(error.into()),
            None if self.0.0.borrow().alone => self.local_addr(),
            None => Ok(Addr::from(SocketAddr::from(([127, 0, 0, 1], 2)))),
        }
    }
}

/// All but the sockets.
#[derive(Default)]
pub(super) struct World {
    pub(super) now: Duration,
    /// What the next polls answer. After that no events.
    pub(super) polls: VecDeque<io::Result<Vec<Event>>>,
    /// How long the last poll was allowed to wait.
    pub(super) asked: Option<Duration>,
    /// Whether it would have waited: nothing was scripted for it.
    pub(super) waited: bool,
    pub(super) accepts: VecDeque<Result<Sock, ErrorKind>>,
    pub(super) connects: VecDeque<Result<Sock, ErrorKind>>,
    /// What registrations fail with, `None` for those in order.
    pub(super) registers: VecDeque<Option<ErrorKind>>,
    pub(super) listens: VecDeque<ErrorKind>,
}

/// The network; clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Rc<RefCell<World>>);

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

#[derive(Debug)]
pub(super) struct FakeListener(Fake);

impl Listener for FakeListener {
    type Stream = FakeStream;

    fn accept(&self) -> io::Result<(FakeStream, Addr)> {
        let accepted = self.0.0.borrow_mut().accepts.pop_front();
        let sock = accepted.unwrap_or(Err(ErrorKind::WouldBlock))?;
        Ok((FakeStream(sock), Addr::from(SocketAddr::from(([127, 0, 0, 1], 2)))))
    }

    fn local_addr(&self) -> io::Result<Addr> {
        Ok(Addr::Unnamed)
    }
}

#[derive(Debug)]
struct NoWaker;

impl Wake for NoWaker {
    fn wake(&self) -> io::Result<()> {
        Ok(())
    }
}

impl sealed::Sealed for Fake {}

/// This network has none.
#[derive(Debug)]
pub(super) enum NoDatagram {}

impl Socket for NoDatagram {
    fn local_addr(&self) -> io::Result<Addr> {
        match *self {}
    }
}

impl Datagram for NoDatagram {
    fn recv(&self, _: &mut [u8]) -> io::Result<Arrival> {
        match *self {}
    }

    fn send(&self, _: &[u8], _: &Addr) -> io::Result<()> {
        match *self {}
    }
}

/// Nor has it any of these.
#[derive(Debug)]
pub(super) enum NoSource {}

impl Io for NoSource {
    fn read(&self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    fn write(&self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match *self {}
    }
}

impl Network for Fake {
    type Stream = FakeStream;
    type Listener = FakeListener;
    type Datagram = NoDatagram;
    type Source = NoSource;
    type Events = Vec<Event>;

    fn now(&self) -> Instant {
        Instant::START + self.0.borrow().now
    }

    fn coarse_now(&self) -> Instant {
        self.now()
    }

    fn events(&self, _: usize) -> Vec<Event> {
        Vec::new()
    }

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.asked = timeout;
        world.waited = world.polls.is_empty() && timeout != Some(Duration::ZERO);
        *events = world.polls.pop_front().unwrap_or(Ok(Vec::new()))?;
        Ok(())
    }

    fn iter(events: &Vec<Event>) -> impl Iterator<Item = Event> {
        events.iter().copied()
    }

    fn listen(&mut self, _: &Listen, _: ListenerId) -> io::Result<FakeListener> {
        match self.0.borrow_mut().listens.pop_front() {
            Some(error) => Err(error.into()),
            None => Ok(FakeListener(self.clone())),
        }
    }

    fn bind(&mut self, _: &Bind, _: DatagramId) -> io::Result<NoDatagram> {
        Err(ErrorKind::Unsupported.into())
    }

    fn watch_room(&mut self, _: &NoDatagram, _: DatagramId, _: bool) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn open_source(&mut self, _: Source) -> io::Result<NoSource> {
        Err(ErrorKind::Unsupported.into())
    }

    fn watch_source(&mut self, _: &NoSource, _: SourceId, _: Readiness, _: Readiness) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn close_source<'a>(
        &mut self,
        source: NoSource,
        _: impl Iterator<Item = &'a mut NoSource>,
    ) -> Option<OwnedFd> {
        match source {}
    }

    fn connect(&mut self, _: &Addr, _: &Connect) -> io::Result<FakeStream> {
        let sock = self.0.borrow_mut().connects.pop_front().unwrap_or(Ok(Sock::default()))?;
        Ok(FakeStream(sock))
    }

    fn register(&mut self, _: &FakeStream, _: ConnId, _: Interest) -> io::Result<()> {
        match self.0.borrow_mut().registers.pop_front().flatten() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn watch_output(&mut self, stream: &FakeStream, id: ConnId) -> io::Result<()> {
        self.register(stream, id, Interest::InputAndOutput)
    }

    fn waker(&mut self) -> io::Result<Arc<dyn Wake>> {
        Ok(Arc::new(NoWaker))
    }

    fn descriptors_max(&self) -> Option<usize> {
        None
    }

    fn trouble(error: &io::Error) -> Trouble {
        match error.kind() {
            ErrorKind::OutOfMemory => Trouble::Exhausted,
            ErrorKind::ConnectionAborted => Trouble::Connection,
            _ => Trouble::Socket,
        }
    }
}

/// An event of a connection.
pub(super) fn event(id: ConnId, readiness: Readiness) -> Event {
    Event { token: Token::conn(id), readiness }
}

/// An event of the first listener.
pub(super) fn listener_event() -> Event {
    Event { token: Token::listener(ListenerId(0)), readiness: Readiness::READABLE }
}
