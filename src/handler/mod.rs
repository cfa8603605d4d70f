//! What users write: one value with callbacks that serves all connections.
//!
//! It knows what a callback is given and may answer; it does not know when it is called. Callbacks never
//! nest, a close takes effect after the callback, and `closed` comes exactly once for each `opened`.

mod both;
mod datagrams;
mod each;
mod ready;

pub use both::{Both, Side};
pub use datagrams::{Datagrams, datagrams};
pub use each::{Each, each};
pub use ready::Ready;

use std::fmt;
use std::io;

use crate::addr::Addr;
use crate::codec::Decoder;
use crate::context::Context;
use crate::error::{Close, CloseReason, Result};
use crate::id::{ConnId, DatagramId, ListenerId, SourceId};
use crate::options::Options;
use crate::socket::{Credentials, Socket};

/// The frames of a handler's codec. Where they are byte slices, as most codecs' are, a program may as well write
/// `&[u8]` in its `received`.
pub type Frame<'a, H> = <<H as Handler>::Codec as Decoder>::Frame<'a>;

/// One connection, lent to a callback.
///
/// A view of its parts, so that handlers can be composed: one may lend parts of its own to another.
pub struct Conn<'c, H: Handler + ?Sized> {
    /// Its name.
    pub id: ConnId,
    /// Its codec. Assigned anew in `received`, the new one cuts the very next byte; in another callback, it is
    /// asked about the bytes that the old one had left over.
    pub codec: &'c mut H::Codec,
    /// What the program keeps for it.
    pub session: &'c mut H::Session,
}

impl<H: Handler + ?Sized> fmt::Debug for Conn<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Who is at the other end of a new connection, and how it came in.
///
/// It also lends the socket to be asked, which nothing else does: in `opened` is the place to look at it, and not before
/// it is of use, as each question is a system call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Peer<'s> {
    /// Its address, in canonical form.
    pub addr: Addr,
    /// How the connection came to be.
    pub origin: Origin,
    /// The number given with [`Listen::key`](crate::Listen::key), when connecting, or when adopting.
    pub key: u64,
    socket: &'s dyn Socket,
}

/// One datagram, lent to a callback.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Datagram<'a> {
    /// The socket that received it.
    pub socket: DatagramId,
    /// The number given with [`Bind::key`](crate::Bind::key).
    pub key: u64,
    /// Who sent it, in canonical form. Anyone can write anybody's address there.
    pub from: &'a Addr,
    /// What is in it. A datagram may be empty, which is no end of anything.
    pub bytes: &'a [u8],
    /// Whether it had more bytes than `Config::recv_buffer_bytes`; they are lost. From 65,535 on, none over IP has.
    pub truncated: bool,
}

impl<'a> Datagram<'a> {
    pub(crate) fn new(
        socket: DatagramId,
        key: u64,
        from: &'a Addr,
        bytes: &'a [u8],
        truncated: bool,
    ) -> Datagram<'a> {
        Datagram { socket, key, from, bytes, truncated }
    }
}

/// How a connection came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Origin {
    /// A listener accepted it.
    Accepted(ListenerId),
    /// This program connected.
    Connected,
    /// Someone else had opened it, and the reactor took it over.
    Adopted,
}

impl<'s> Peer<'s> {
    pub(crate) fn new(addr: Addr, origin: Origin, key: u64, socket: &'s dyn Socket) -> Peer<'s> {
        Peer { addr, origin, key, socket }
    }

    /// Our own address of this connection: which of the machine's addresses the peer chose, and the port. One system
    /// call.
    pub fn local_addr(&self) -> io::Result<Addr> {
        self.socket.local_addr()
    }

    /// The options of this connection's socket, as the system has them: a dozen system calls.
    pub fn options(&self) -> io::Result<Options> {
        self.socket.options()
    }

    /// Sets options of this connection's socket, one system call each. Those that all connections of a listener are to
    /// have are better set there ([`Listen::options`](crate::Listen::options)): what it accepts has them already.
    pub fn set(&self, options: &Options) -> io::Result<()> {
        self.socket.set_options(options)
    }

    /// Who is at the other end of a Unix stream, by what the system knows: the user to decide by, where permissions of
    /// the path do not say enough, or there are none.
    ///
    /// Fails with [`io::ErrorKind::Unsupported`] for anything but a Unix stream, for a peer whose process is not visible
    /// from here, as one in another container, and on systems other than Linux and Android so far.
    pub fn credentials(&self) -> io::Result<Credentials> {
        self.socket.credentials()
    }
}

/// What a program does with its connections. One value serves them all.
///
/// The callbacks of one connection come in this order, and none of them after `closed`:
///
/// ```text
/// opened ──▶ received ──▶ received ──▶ … ──▶ half_closed ──▶ closed
///        └── writable, urgent, timer: anywhere between ──┘
///        └── refused: a last word before a close that the peer brought about
///        └── drained: while the reactor drains, may it be closed?
/// ```
///
/// A connection that is reset or runs out of time is closed without `half_closed`. Once the program closes one, by
/// [`Context::close`] or an `Err`, `closed` is the only callback left for it, and may come some turns later. Between
/// two callbacks of one connection come those of others. Only `opened` and `received` must be written.
///
/// ```
/// use switchboard::codec::Lines;
/// use switchboard::{Conn, Context, Handler, Peer, Result};
///
/// struct Upper;
///
/// impl Handler for Upper {
///     type Codec = Lines;
///     type Session = ();
///
///     fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
///         Some((Lines::new(), ()))
///     }
///
///     fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: &[u8]) -> Result {
///         cx.send(&line.to_ascii_uppercase());
///         cx.send(b"\n");
///         Ok(())
///     }
/// }
/// ```
pub trait Handler {
    /// Cuts one connection's bytes into frames.
    type Codec: Decoder;
    /// What the program keeps for one connection. Private to it; what others need lives in the handler.
    type Session;

    /// A connection was accepted, connected or adopted; `cx.id()` names it, and a greeting may be sent at once.
    /// `None` turns it away: it is reset, and nothing more is heard of it.
    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Self::Codec, Self::Session)>;

    /// One whole frame arrived. An `Err` closes this connection.
    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result;

    /// The send queue had passed its high mark and fell to its low mark again: time to produce more.
    fn writable(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        let _ = (cx, conn);
        Ok(())
    }

    /// Exceptional: the peer sent an urgent (out-of-band) byte. Only with `Config::urgent`. At most the
    /// latest is kept by the system, and its place in the stream is not told.
    ///
    /// When a second urgent byte arrives before the bytes in front of the first were received, Linux makes the first
    /// an ordinary byte of the stream, even if it was told here already: it then comes once more, in a frame. A
    /// protocol that must not see it twice sends the next urgent byte only when the last was answered.
    fn urgent(&mut self, cx: &mut Context, conn: Conn<'_, Self>, byte: u8) -> Result {
        let _ = (cx, conn, byte);
        Ok(())
    }

    /// The peer ended its side; all its frames were delivered. By default what is queued is sent and the
    /// connection closes. A handler that still has something to send answers `Ok(())` and closes later.
    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        let _ = (cx, conn);
        Err(Close::Flush)
    }

    /// A timer set with [`Context::set_timer`] is due.
    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, key: u64) -> Result {
        let _ = (cx, conn, key);
        Ok(())
    }

    /// A timer set with [`Context::set_alarm`] is due.
    fn alarm(&mut self, cx: &mut Context, key: u64) {
        let _ = (cx, key);
    }

    /// A last word: the connection is about to close because of what its peer did or did not do (a bad or
    /// truncated frame, [`CloseReason::RecvLimit`], a wait for input that is over) and can still be sent to.
    ///
    /// What is sent here, such as the error reply of the protocol, is flushed before the close, which lingers
    /// so that it arrives. Not called when there is nobody to hear it: after a reset, for a slow consumer.
    fn refused(&mut self, cx: &mut Context, conn: Conn<'_, Self>, why: &CloseReason) {
        let _ = (cx, conn, why);
    }

    /// The reactor begins to drain ([`Stop::Drain`](crate::Stop::Drain)): the time to say goodbye. What is sent
    /// here leaves before the connections close.
    fn draining(&mut self, cx: &mut Context) {
        let _ = cx;
    }

    /// During a drain: whether this connection may be closed now. Nothing of it is in the reactor's buffers.
    ///
    /// A handler that still owes it something, an answer that waits for a timer, another thread or another
    /// connection, answers `false`. It is asked again after each further callback of this connection and each
    /// time that something sent to it has left, until `Config::drain_timeout` is over.
    fn drained(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> bool {
        let _ = (cx, conn);
        true
    }

    /// The connection is over. Called exactly once for each `opened` that did not answer `None`; `cx.id()`
    /// still names it, sends to it answer `Closed`.
    fn closed(&mut self, cx: &mut Context, session: Self::Session, why: &CloseReason) {
        let _ = (cx, session, why);
    }

    /// A connect asked for with [`Context::connect`] did not come about; `cx.id()` still names it.
    ///
    /// [`CloseReason::Io`] has the system's error, or one of its kind that says what the system does not: which of several
    /// addresses it was, or which name, or what to do without a local port; the system's own is its
    /// [`source`](std::error::Error::source). An `opened` that panicked, isolated, is told as
    /// [`CloseReason::Panicked`]; one that answered `None` is not told, as the handler knows.
    /// [`Backoff`](crate::Backoff) says when to try again.
    fn connect_failed(&mut self, cx: &mut Context, key: u64, why: &CloseReason) {
        let _ = key;
        log::warn!("connect {} failed: {why}", cx.id());
    }

    /// Options asked for with [`Context::set_options`] could not be set, as the error says; those before the one it names
    /// are. The connection goes on.
    fn options_failed(&mut self, cx: &mut Context, target: ConnId, error: &io::Error) {
        let _ = cx;
        log::warn!("connection {target}: {error}");
    }

    /// A listener asked for with [`Context::listen`] could not be opened.
    fn listen_failed(&mut self, cx: &mut Context, listener: ListenerId, error: &io::Error) {
        let _ = cx;
        log::error!("listener {listener:?} was not opened: {error}");
    }

    /// A datagram arrived at a socket of [`Context::bind`] or [`Reactor::bind`](crate::Reactor::bind).
    fn datagram(&mut self, cx: &mut Context, datagram: Datagram<'_>) {
        let _ = (cx, datagram);
    }

    /// A datagram could not be sent, or the network says that one sent before did not arrive (an ICMP error, only told
    /// on a connected socket); or options or groups of the socket could not be changed. The socket goes on. Who sends again from here does so in every turn, without a pause, until it
    /// gets through: a timer is better.
    fn datagram_failed(&mut self, cx: &mut Context, socket: DatagramId, error: &io::Error) {
        let _ = cx;
        log::debug!("{socket:?}: {error}");
    }

    /// A socket asked for with [`Context::bind`] could not be opened.
    fn bind_failed(&mut self, cx: &mut Context, socket: DatagramId, error: &io::Error) {
        let _ = cx;
        log::error!("{socket:?} was not opened: {error}");
    }

    /// A descriptor of [`Context::register`] or [`Reactor::register`](crate::Reactor::register) is ready. The handler
    /// reads and writes it itself.
    ///
    /// As with a level-triggered poll it is called once in each turn as long as there is something: a handler that reads
    /// a little is called again, in the next turn, after everyone else had theirs. So it is called in every turn for what
    /// nobody reads, and for an end or an error that nobody answers with [`Context::deregister`] or
    /// [`Context::set_interest`], and the loop does not rest. It may also be called for nothing.
    ///
    /// Should it panic, with `Config::isolate_panics`, the descriptor is closed.
    fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
        let _ = cx;
        log::debug!("{source:?}: nobody reads it");
    }

    /// A descriptor could not be registered, or not again, and is closed.
    fn register_failed(&mut self, cx: &mut Context, source: SourceId, error: &io::Error) {
        let _ = cx;
        log::error!("{source:?} was not registered: {error}");
    }
}
