//! The operating system's network, on mio: one `Poll`, one registration per socket, one monotonic clock.
//!
//! It knows system calls and nothing about connections: what a result means is the reactor's to decide.

#[cfg(not(unix))]
compile_error!("switchboard runs on Unix so far: `net::os` has no implementation for this system yet");

mod options;
mod resolver;
#[cfg(feature = "signals")]
mod signals;
mod source;
mod tcp;
mod udp;
mod unix;

#[cfg(feature = "signals")]
pub(crate) use signal_hook::consts as signal_numbers;
#[cfg(feature = "signals")]
pub(crate) use signals::Caught;
pub use source::OsSource;
pub use tcp::{OsListener, OsStream};
pub use udp::OsDatagram;

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::Poll;
use mio::unix::SourceFd;
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, Timespec, clock_gettime};

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::Trigger;
use super::{Answer, Event, Interest, Network, Token, Trouble, Wake, sealed};
use crate::addr::Addr;
use crate::bind::Bind;
use crate::config::Listen;
use crate::connect::Connect;
use crate::id::{ConnId, DatagramId, ListenerId, SourceId};
use crate::instant::Instant;
use crate::readiness::Readiness;
use crate::source::Source;
use resolver::Resolver;

/// A clock that costs less to read than the monotonic one and is never ahead of it: on Linux it stands at the last
/// timer interrupt.
#[cfg(target_os = "linux")]
const COARSE: ClockId = ClockId::MonotonicCoarse;
#[cfg(not(target_os = "linux"))]
const COARSE: ClockId = ClockId::Monotonic;

/// The operating system's sockets, readiness and clock.
pub struct Os {
    poll: Poll,
    /// The start of time, on the coarse clock: neither of the two is ever before it.
    start: u64,
    waker: Option<Arc<dyn Wake>>,
    /// Once a name was to be looked up.
    resolver: Option<Resolver>,
}

impl Os {
    /// Opens the poll. Fails when the process has no descriptor left.
    pub fn new() -> io::Result<Os> {
        let start = nanos(clock_gettime(COARSE));
        Ok(Os { poll: Poll::new()?, start, waker: None, resolver: None })
    }

    fn register_fd(&self, fd: &impl AsRawFd, token: Token, interest: mio::Interest) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), number(token)?, interest)
    }

    /// Takes over a UDP socket that someone else opened.
    pub(crate) fn adopt_datagram(&mut self, socket: OwnedFd, id: DatagramId) -> io::Result<OsDatagram> {
        let socket = OsDatagram::adopt(socket)?;
        self.register_fd(&socket, Token::datagram(id), mio::Interest::READABLE)?;
        Ok(socket)
    }

    /// Takes over a listener that someone else opened.
    pub(crate) fn adopt_listener(&mut self, listener: OwnedFd, id: ListenerId) -> io::Result<OsListener> {
        let listener = OsListener::adopt(listener)?;
        self.register_fd(&listener, Token::listener(id), mio::Interest::READABLE)?;
        Ok(listener)
    }
}

impl fmt::Debug for Os {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Os").field("poll", &self.poll.as_raw_fd()).finish_non_exhaustive()
    }
}

impl sealed::Sealed for Os {}

impl Network for Os {
    type Stream = OsStream;
    type Listener = OsListener;
    type Datagram = OsDatagram;
    type Source = OsSource;
    type Events = mio::Events;

    #[inline]
    fn now(&self) -> Instant {
        Instant::from_nanos(nanos(clock_gettime(ClockId::Monotonic)) - self.start)
    }

    #[inline]
    fn coarse_now(&self) -> Instant {
        Instant::from_nanos(nanos(clock_gettime(COARSE)) - self.start)
    }

    fn events(&self, capacity: usize) -> mio::Events {
        mio::Events::with_capacity(capacity)
    }

    #[inline]
    fn poll(&mut self, events: &mut mio::Events, timeout: Option<Duration>) -> io::Result<()> {
        // mio rounds up to whole milliseconds. The system's counter of them has 31 bits: a longer wait is cut
        // short, which the reactor takes for any other early wake-up.
        const LONGEST: Duration = Duration::from_secs(i32::MAX as u64 / 1000);
        let timeout =
            timeout.map(|timeout| if timeout.as_secs() < LONGEST.as_secs() { timeout } else { LONGEST });
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    fn poll_awake(
        &mut self,
        events: &mut mio::Events,
        timeout: Option<Duration>,
        spin: Duration,
    ) -> io::Result<u64> {
        let began = self.now();
        let spin = timeout.map_or(spin, |timeout| timeout.min(spin));
        let mut polls = 0;
        let mut passed = Duration::ZERO;
        while passed < spin {
            self.poll(events, Some(Duration::ZERO))?;
            if !events.is_empty() {
                return Ok(polls);
            }
            polls += 1;
            passed = self.now().since(began);
        }
        self.poll(events, timeout.map(|timeout| timeout.saturating_sub(passed)))?;
        Ok(polls)
    }

    #[inline]
    fn iter(events: &mio::Events) -> impl Iterator<Item = Event> {
        events.iter().map(|event| Event { token: Token(event.token().0 as u64), readiness: readiness(event) })
    }

    fn listen(&mut self, listen: &Listen, id: ListenerId) -> io::Result<OsListener> {
        let listener = OsListener::open(listen)?;
        self.register_fd(&listener, Token::listener(id), mio::Interest::READABLE)?;
        Ok(listener)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn set_trigger(&mut self, listener: &OsListener, id: ListenerId, trigger: Trigger) -> Trigger {
        // mio knows edges only. It lends its descriptor, and an event of ours looks like one of its own.
        let (flags, before) = match trigger {
            Trigger::Edge => (EventFlags::IN.union(EventFlags::ET), Trigger::Level),
            Trigger::Level => (EventFlags::IN, Trigger::Edge),
        };
        let token = EventData::new_u64(Token::listener(id).0);
        match epoll::modify(self.poll.registry(), listener, token, flags) {
            Ok(()) => trigger,
            Err(error) => {
                log::error!("polls tell of {id:?} as before: {error}");
                before
            }
        }
    }

    fn bind(&mut self, bind: &Bind, id: DatagramId) -> io::Result<OsDatagram> {
        let socket = OsDatagram::open(bind)?;
        self.register_fd(&socket, Token::datagram(id), mio::Interest::READABLE)?;
        Ok(socket)
    }

    fn watch_room(&mut self, socket: &OsDatagram, id: DatagramId, on: bool) -> io::Result<()> {
        const INPUT: mio::Interest = mio::Interest::READABLE;
        let (source, token) = (socket.as_raw_fd(), number(Token::datagram(id))?);
        let interest = if on { INPUT.add(mio::Interest::WRITABLE) } else { INPUT };
        self.poll.registry().reregister(&mut SourceFd(&source), token, interest)
    }

    fn open_source(&mut self, source: Source) -> io::Result<OsSource> {
        OsSource::open(source)
    }

    fn watch_source(
        &mut self,
        source: &OsSource,
        id: SourceId,
        before: Readiness,
        now: Readiness,
    ) -> io::Result<()> {
        let (fd, registry) = (source.as_raw_fd(), self.poll.registry());
        let (mut fd, token) = (SourceFd(&fd), number(Token::source(id))?);
        // Nothing to be told of is no registration: one for nothing is still told of an end, over and over.
        match (before.is_empty(), source::mio_interest(now)) {
            (true, None) => Ok(()),
            (true, Some(interest)) => registry.register(&mut fd, token, interest).map_err(source::explain),
            (false, None) => registry.deregister(&mut fd),
            (false, Some(interest)) => registry.reregister(&mut fd, token, interest),
        }
    }

    fn close_source<'a>(
        &mut self,
        source: OsSource,
        others: impl Iterator<Item = &'a mut OsSource>,
    ) -> Option<OwnedFd> {
        source.close(others)
    }

    fn connect(&mut self, addr: &Addr, how: &Connect) -> io::Result<OsStream> {
        OsStream::connect(addr, how)
    }

    #[inline]
    fn register(&mut self, stream: &OsStream, id: ConnId, interest: Interest) -> io::Result<()> {
        self.register_fd(stream, Token::conn(id), mio_interest(interest))
    }

    fn watch_output(&mut self, stream: &OsStream, id: ConnId) -> io::Result<()> {
        let (source, token) = (stream.as_raw_fd(), number(Token::conn(id))?);
        let interest = mio_interest(Interest::InputAndOutput);
        self.poll.registry().reregister(&mut SourceFd(&source), token, interest)
    }

    fn deregister(&mut self, stream: &OsStream) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&stream.as_raw_fd()))
    }

    fn unlisten(&mut self, listener: OsListener) {
        if let Err(error) = self.poll.registry().deregister(&mut SourceFd(&listener.as_raw_fd())) {
            log::debug!("a listener could not be taken out of the poll: {error}");
        }
    }

    fn unbind(&mut self, socket: OsDatagram) {
        if wrong!(UnboundStaysInPoll) {
            return;
        }
        if let Err(error) = self.poll.registry().deregister(&mut SourceFd(&socket.as_raw_fd())) {
            log::debug!("a socket for datagrams could not be taken out of the poll: {error}");
        }
    }

    fn waker(&mut self) -> io::Result<Arc<dyn Wake>> {
        if let Some(waker) = &self.waker {
            return Ok(Arc::clone(waker));
        }
        let token = usize::try_from(Token::WAKER.0).unwrap_or(usize::MAX);
        let waker: Arc<dyn Wake> =
            Arc::new(OsWaker(mio::Waker::new(self.poll.registry(), mio::Token(token))?));
        self.waker = Some(Arc::clone(&waker));
        Ok(waker)
    }

    fn look_up(&mut self, host: &str, port: u16, id: ConnId) -> io::Result<()> {
        if self.resolver.is_none() {
            let waker = self.waker()?;
            let resolver = Resolver::start(Arc::downgrade(&waker));
            // Not as `WouldBlock`, which is what the system says.
            self.resolver = Some(resolver.map_err(|error| {
                io::Error::other(format!("there is no thread to look {host} up: {error}"))
            })?);
        }
        if let Some(resolver) = &self.resolver {
            resolver.ask(host, port, id);
        }
        Ok(())
    }

    fn answer(&mut self) -> Option<Answer> {
        self.resolver.as_ref().and_then(Resolver::answer)
    }

    fn take_back(&mut self, id: ConnId) {
        if let Some(resolver) = &self.resolver {
            resolver.take_back(id);
        }
    }

    fn descriptors_max(&self) -> Option<usize> {
        getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }

    fn trouble(error: &io::Error) -> Trouble {
        match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Trouble::Exhausted,
            // accept(2): pending network errors of the connection that was being accepted, and what a
            // firewall answers.
            Some(
                Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::NETRESET
                | Errno::NOTCONN
                | Errno::TIMEDOUT
                | Errno::PERM
                | Errno::PIPE,
            ) => Trouble::Connection,
            Some(_) | None => Trouble::Socket,
        }
    }
}

#[derive(Debug)]
struct OsWaker(mio::Waker);

impl Wake for OsWaker {
    fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}

#[inline]
#[expect(clippy::cast_sign_loss, reason = "a monotonic clock counts up from the start of the machine")]
fn nanos(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[inline]
fn number(token: Token) -> io::Result<mio::Token> {
    Ok(mio::Token(usize::try_from(token.0).map_err(|_| io::ErrorKind::Unsupported)?))
}

/// Priority is of interest also when nobody wants urgent bytes: without it the kernel reports no mark, and the bytes
/// behind one would wait for the next segment.
#[inline]
fn mio_interest(interest: Interest) -> mio::Interest {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const INPUT: mio::Interest = mio::Interest::READABLE.add(mio::Interest::PRIORITY);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const INPUT: mio::Interest = mio::Interest::READABLE;
    let input = if wrong!(MarkUnreported) { mio::Interest::READABLE } else { INPUT };
    match interest {
        Interest::Input => input,
        Interest::InputAndOutput => input.add(mio::Interest::WRITABLE),
    }
}

/// What an event says. Nearly all say only that there is something to read: that is known without putting a set
/// together, and whoever looks for it in the set need not look again.
#[inline]
fn readiness(event: &mio::event::Event) -> Readiness {
    let ended = event.is_error() || event.is_read_closed() || event.is_write_closed();
    if !event.is_readable() || event.is_writable() || event.is_priority() || ended {
        return odd_readiness(event);
    }
    Readiness::READABLE
}

fn odd_readiness(event: &mio::event::Event) -> Readiness {
    let only = |is: bool, readiness: Readiness| if is { readiness } else { Readiness::EMPTY };
    only(event.is_readable(), Readiness::READABLE)
        | only(event.is_writable(), Readiness::WRITABLE)
        | only(event.is_priority(), Readiness::EXCEPTIONAL)
        | only(event.is_read_closed(), Readiness::READ_CLOSED)
        | only(event.is_write_closed(), Readiness::WRITE_CLOSED)
        | only(event.is_error(), Readiness::ERROR)
}
