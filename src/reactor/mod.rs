//! The loop: a handler, its connections, and the network between them.
//!
//! It owns the sockets and knows the order of a turn; it does not know bytes on the wire (codecs do) nor what
//! is queued for whom (the table does). Two arrays share one index: the table's slots, and the [`Link`]s here
//! with what is generic, so that a handler can reach every queue while one session is lent to it.
//!
//! ```text
//!            ┌──────────────── Reactor ─────────────────┐
//!  network ──┤ listeners     links[i]      Context      ├── handler
//!  (poll)    │               stream        slots[i]     │   opened, received,
//!            │               codec, tail   queues       │   …, closed
//!            │               session       timers       │
//!            └──────────────────────────────────────────┘
//! ```

mod accept;
mod attempts;
mod audit;
mod causes;
mod close;
mod connect;
mod connect_again;
mod datagram;
mod datagram_again;
mod driver;
mod handle;
mod listening;
mod log_limit;
mod options;
mod source;
mod turn;

pub(crate) use audit::Socket;
pub use handle::{Handle, PostError};

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use crate::addr::Addr;
use crate::config::Config;
use crate::conn::tail::{SpareTails, Tail};
use crate::context::{ConnInfo, Context};
use crate::error::CloseReason;
use crate::handler::{Handler, Origin};
use crate::id::{ConnId, DatagramId, ListenerId};
use crate::instant::Instant;
use crate::listen::IntoListen;
use crate::net::os::{Os, OsStream};
use crate::net::{Listener as _, Network};
use crate::stats::Stats;
use crate::table::Table;
use handle::{Inbox, Post};
use listening::{Accepting, Listening};
use log_limit::LogLimit;

/// What belongs to a connection besides its slot: all that is generic.
struct Link<H: Handler, N: Network> {
    stream: N::Stream,
    codec: H::Codec,
    session: H::Session,
    tail: Option<Box<Tail>>,
}

/// A single-threaded event loop that serves the connections of one [`Handler`].
///
/// ```no_run
/// use switchboard::{Config, Reactor, codec::Lines, each};
///
/// fn main() -> std::io::Result<()> {
///     let shout = each(Lines::new, |cx, line| {
///         cx.send(&line.to_ascii_uppercase());
///         cx.send(b"\n");
///         Ok(())
///     });
///     let mut reactor = Reactor::new(shout, Config::default())?;
///     let listener = reactor.listen("127.0.0.1:0")?;
///     println!("listening on {}", reactor.local_addr(listener)?);
///     reactor.run()
/// }
/// ```
///
/// Dropping it closes every socket without further callbacks. It must not be used across `fork`.
pub struct Reactor<H: Handler, N: Network = Os> {
    handler: H,
    cx: Context,
    links: Vec<Option<Link<H, N>>>,
    recv_buf: Vec<u8>,
    spare_tails: SpareTails,
    listeners: Vec<Listening<N>>,
    accepting: Accepting,
    datagrams: Vec<datagram::Bound<N>>,
    /// Whether any of them may have something to receive.
    datagrams_ready: bool,
    sources: Vec<source::Held<N>>,
    /// Connects under way.
    attempts: BTreeMap<ConnId, connect::Attempt<N>>,
    /// How many descriptors attempts have beyond one each, because several addresses are tried side by side.
    beside: usize,
    /// How many names are being looked up for attempts.
    lookups: usize,
    /// Connections whose descriptor may have a copy elsewhere: the poll must be told before they close.
    adopted: BTreeSet<ConnId>,
    /// Slots whose wait is due, while they are looked at.
    due: Vec<u32>,
    posts: Inbox<H>,
    /// Closures taken from there, while they are run.
    taken: VecDeque<Post<H>>,
    /// When the callbacks being measured began, on the coarse clock.
    visit_began: Instant,
    slow_log: LogLimit,
    panic_log: LogLimit,
    run: Run,
    events: Option<N::Events>,
    net: N,
}

/// Whether the loop runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Run {
    Running,
    /// Until nothing is open any more, or this time.
    Draining(Instant),
    Stopped,
}

impl<H: Handler> Reactor<H> {
    /// Makes a reactor on the operating system's network.
    ///
    /// Fails when `config` contradicts itself ([`io::ErrorKind::InvalidInput`], saying what is wrong) or when
    /// the process has no descriptor left; it takes two.
    pub fn new(handler: H, config: Config) -> io::Result<Reactor<H>> {
        Reactor::with_network(handler, config, Os::new()?)
    }

    /// Takes over a connected TCP or Unix stream that someone else opened (`std`'s, `socket2`'s, …). It is made
    /// non-blocking; `key` is what `Peer::key` says. `Handler::opened` is called before this returns.
    ///
    /// `Ok(None)` if the handler turned it away.
    pub fn adopt(&mut self, stream: impl Into<OwnedFd>, key: u64) -> io::Result<Option<ConnId>> {
        self.adopt_stream(OsStream::adopt(stream.into())?, key)
    }

    /// Takes over a UDP or Unix socket for datagrams that someone else opened, bound or connected. It is made non-blocking; `key` is what
    /// `Datagram::key` says. Anything else is refused with [`io::ErrorKind::InvalidInput`].
    pub fn adopt_datagram(&mut self, socket: impl Into<OwnedFd>, key: u64) -> io::Result<DatagramId> {
        self.check_running()?;
        let id = self.cx.datagrams.next_id();
        let socket = self.net.adopt_datagram(socket.into(), id)?;
        self.add_datagram(id, socket, key);
        Ok(id)
    }

    /// Takes over a listening TCP or Unix socket that someone else opened (systemd, a parent process). It is made
    /// non-blocking. Anything else is refused with [`io::ErrorKind::InvalidInput`]. The path of a Unix listener stays
    /// when it is closed: who bound it may listen there again.
    pub fn adopt_listener(&mut self, listener: impl Into<OwnedFd>, key: u64) -> io::Result<ListenerId> {
        self.check_running()?;
        let id = self.cx.wishes.next_listener();
        let listener = self.net.adopt_listener(listener.into(), id)?;
        self.add_listener(Listening::new(id, listener, key));
        Ok(id)
    }
}

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Makes a reactor on any network of this crate.
    pub fn with_network(handler: H, config: Config, mut net: N) -> io::Result<Reactor<H, N>> {
        config.validate().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connections_max = config.connections_max.unwrap_or_else(|| {
            let descriptors = net.descriptors_max().unwrap_or(usize::MAX);
            descriptors.saturating_sub((descriptors / 16).max(8)).max(1)
        });
        let events = net.events(config.events_per_poll);
        let posts = Inbox::new(net.waker()?, config.posts_max);
        let recv_buf = vec![0; config.recv_buffer_bytes];
        let mut cx = Context::new(config, net.now());
        cx.connections_max = connections_max;
        cx.lending.lie_in(&recv_buf);
        Ok(Reactor {
            handler,
            cx,
            links: Vec::new(),
            recv_buf,
            spare_tails: SpareTails::default(),
            listeners: Vec::new(),
            accepting: Accepting::default(),
            datagrams: Vec::new(),
            datagrams_ready: false,
            sources: Vec::new(),
            attempts: BTreeMap::new(),
            beside: 0,
            lookups: 0,
            adopted: BTreeSet::new(),
            due: Vec::new(),
            posts,
            taken: VecDeque::new(),
            visit_began: Instant::START,
            slow_log: LogLimit::default(),
            panic_log: LogLimit::default(),
            run: Run::Running,
            events: Some(events),
            net,
        })
    }

    /// Listens on an address, or as a [`Listen`](crate::Listen) with options says. From now on the kernel takes connections;
    /// they are served by [`run`](Reactor::run) or [`turn`](Reactor::turn).
    pub fn listen(&mut self, listen: impl IntoListen) -> io::Result<ListenerId> {
        self.check_running()?;
        let listen = listen.into_listen()?;
        let id = self.cx.wishes.next_listener();
        let listener = self.net.listen(&listen, id)?;
        self.add_listener(Listening::new(id, listener, listen.key));
        Ok(id)
    }

    /// The address a listener is bound to: says which port 0 became.
    pub fn local_addr(&self, listener: ListenerId) -> io::Result<Addr> {
        match self.listeners.iter().find(|listening| listening.id == listener) {
            Some(listening) => listening.listener.local_addr(),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "the listener is closed")),
        }
    }

    /// Runs until [`Context::stop`], or until nothing is left that could ever happen: no listener, no
    /// connection, no socket for datagrams, no registered descriptor, no timer and no [`Handle`].
    ///
    /// Fails only when the poll itself does; every connection is closed then. A panic of a callback leaves it
    /// too, with every socket closed, unless `Config::isolate_panics` is set.
    pub fn run(&mut self) -> io::Result<()> {
        self.check_running()?;
        self.or_abandon(|reactor| {
            while reactor.goes_on() {
                reactor.one_turn(None)?;
            }
            Ok(())
        })
    }

    /// One turn: waits for events, at most for `timeout` (`None`: as long as it takes), and deals with all of
    /// them. For programs that have a loop of their own; `true` as long as there is a reason to go on.
    ///
    /// It may return before the timeout with nothing done: a turn is one poll, and a poll may wake for something
    /// that only the reactor knows. With a timeout of zero it does what is there and does not wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard::{Config, Reactor, codec::Raw, each};
    ///
    /// let mut reactor = Reactor::new(each(Raw::new, |_, _| Ok(())), Config::default())?;
    /// reactor.listen("127.0.0.1:0")?;
    /// for _frame in 0..3 {
    ///     reactor.turn(Some(Duration::ZERO))?;
    ///     // draw, read the keyboard, ...
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        self.check_running()?;
        self.or_abandon(|reactor| reactor.one_turn(timeout))?;
        Ok(self.goes_on())
    }

    /// Runs `f` with the handler and the context, as a callback that belongs to no connection: for what a program
    /// does before it runs, such as connecting, and between turns.
    ///
    /// What it asks for (listening, connecting, closing, stopping) is done in the next turn, which does not wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard::{Config, Reactor, codec::Raw, each};
    ///
    /// let mut reactor = Reactor::new(each(Raw::new, |_, _| Ok(())), Config::default())?;
    /// reactor.with(|_, cx| cx.set_alarm(Duration::from_millis(1), 7)).expect("below the limit of timers");
    /// reactor.run()?; // returns after the alarm: nothing else could ever happen
    /// assert_eq!(reactor.stats().timers_fired, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with<T>(&mut self, f: impl FnOnce(&mut H, &mut Context) -> T) -> T {
        // The last turn may be long ago.
        self.cx.now = self.net.now();
        let result = f(&mut self.handler, &mut self.cx);
        self.start_timers();
        if self.cx.table.held() > self.cx.config.memory_bytes_max {
            self.relieve();
        }
        result
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Gives the handler back; every socket closes without further callbacks.
    pub fn into_handler(self) -> H {
        self.handler
    }

    /// All connections, those still draining or lingering included, in no particular order. Allocates nothing.
    pub fn connections(&self) -> impl Iterator<Item = ConnInfo> + '_ {
        self.cx.connections()
    }

    /// Counters since the reactor was made.
    pub fn stats(&self) -> &Stats {
        self.cx.stats()
    }

    /// A handle that other threads can post closures through, and stop the reactor.
    pub fn handle(&self) -> Handle<H> {
        self.posts.handle()
    }

    #[inline]
    fn check_running(&self) -> io::Result<()> {
        if self.run == Run::Stopped { Err(stopped()) } else { Ok(()) }
    }

    /// Whether there is a reason for another turn.
    #[inline]
    pub(crate) fn goes_on(&self) -> bool {
        self.run != Run::Stopped && !self.is_finished()
    }

    /// Whether nothing could ever happen any more.
    fn is_finished(&self) -> bool {
        self.cx.table.open == 0
            && self.listeners.is_empty()
            && self.datagrams.is_empty()
            && !self.has_sources()
            && !self.cx.datagrams.pending
            && !self.cx.wishes.any()
            && self.cx.table.timers.len() == 0
            && !self.posts.has_handles()
            && !self.posts.is_pending()
    }

    /// Runs a part of a turn that calls the handler. With `isolate_panics`, a panic ends the connection being
    /// served, and only that.
    #[inline]
    fn guard(&mut self, part: impl FnOnce(&mut Self)) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| part(self))) {
            self.panicked(payload);
        }
    }

    #[cold]
    fn panicked(&mut self, payload: Box<dyn Any + Send>) {
        if !self.cx.config.isolate_panics {
            resume_unwind(payload);
        }
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = message.unwrap_or("with no message");
        let id = self.cx.current;
        if let Some(more) = self.panic_log.admit(self.net.coarse_now()) {
            log::error!("connection {id}: a callback panicked: {message} ({more} more were not logged)");
        }
        self.cx.stats.panics += 1;
        // What the unwinding took along: the buffer lent to the codec, the output of the broken batch.
        self.recv_buf.resize(self.cx.config.recv_buffer_bytes, 0);
        self.cx.lending.lie_in(&self.recv_buf);
        self.cx.lending.take();
        if !wrong!(PanicLeavesOutput) {
            self.cx.out.clear();
        }
        self.cx.leave();
        self.start_timers();
        if self.cx.table.get(id).is_some() && !wrong!(PanicKeepsConnection) {
            self.cx.table.end_with_reset(id.slot(), CloseReason::Panicked);
        }
        self.watch(id);
    }

    /// Closes every socket without callbacks.
    fn abandon(&mut self) {
        self.run = Run::Stopped;
        self.posts.close();
        for link in mem::take(&mut self.links) {
            if catch_unwind(AssertUnwindSafe(|| drop(link))).is_err() {
                log::error!("a session panicked when it was dropped");
            }
        }
        self.attempts.clear();
        (self.beside, self.lookups) = (0, 0);
        self.listeners.clear();
        self.datagrams.clear();
        self.cx.datagrams.clear();
        self.sources.clear();
        self.cx.sources.clear();
        // Nobody is told of their end, but nobody is shown them as open either.
        self.cx.table = Table::new(&self.cx.config);
        self.cx.stats.open = 0;
    }

    /// Runs a part that calls the handler; an error or a panic that leaves it closes every socket.
    // The panic is held up until that is done: sessions are not dropped while it unwinds, where a second panic
    // would end the process.
    fn or_abandon<T>(&mut self, part: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        match catch_unwind(AssertUnwindSafe(|| part(self))) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                self.abandon();
                Err(error)
            }
            Err(payload) => {
                self.abandon();
                resume_unwind(payload)
            }
        }
    }

    /// Takes over a stream as if it had been accepted.
    fn adopt_stream(&mut self, stream: N::Stream, key: u64) -> io::Result<Option<ConnId>> {
        use crate::net::Stream as _;
        self.check_running()?;
        if self.cx.table.open >= self.cx.connections_max {
            return Err(io::Error::other(format!(
                "connection beyond the limit of {}",
                self.cx.connections_max
            )));
        }
        let addr = stream.peer_addr()?;
        self.cx.now = self.net.now();
        self.cx.stats.adopted += 1;
        let id = self.or_abandon(|reactor| Ok(reactor.open(stream, addr, Origin::Adopted, key)))?;
        self.adopted.extend(id);
        Ok(id)
    }
}

impl<H: Handler, N: Network> fmt::Debug for Reactor<H, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("run", &self.run)
            .field("open", &self.cx.table.open)
            .field("listeners", &self.listeners.len())
            .field("net", &self.net)
            .finish_non_exhaustive()
    }
}

#[cold]
fn stopped() -> io::Error {
    io::Error::other("the reactor has stopped")
}

/// Serves `addr` with `handler` until it stops, with the default configuration: the one-line start.
///
/// ```no_run
/// use switchboard::{codec::Raw, each, serve};
///
/// fn main() -> std::io::Result<()> {
///     serve("127.0.0.1:7000", each(Raw::new, |cx, bytes| { cx.send(bytes); Ok(()) }))
/// }
/// ```
pub fn serve<H: Handler>(addr: impl IntoListen, handler: H) -> io::Result<()> {
    let mut reactor = Reactor::new(handler, Config::default())?;
    reactor.listen(addr)?;
    reactor.run()
}

#[cfg(test)]
mod tests;
