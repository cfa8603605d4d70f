//! A handler made of closures that writes down what it is told.
//!
//! Most tests of callbacks differ in one or two of them: a [`Script`] takes those as closures and has plain
//! defaults for the rest. The connection that a closure is about is `cx.id()`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use switchboard::codec::{Decoder, Lines};
use switchboard::{Close, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Listen, Peer, Result};

use crate::server::Server;

/// What callbacks of which connection came, in order. Clones share it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Log(Arc<Mutex<Vec<(ConnId, String)>>>);

impl Log {
    pub(crate) fn push(&self, id: ConnId, text: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((id, text.into()));
    }

    fn entries(&self) -> Vec<(ConnId, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it, in order.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.entries().into_iter().map(|(_, text)| text).collect()
    }

    /// What concerns one connection, in order.
    pub(crate) fn of(&self, id: ConnId) -> Vec<String> {
        self.entries().into_iter().filter(|(of, _)| *of == id).map(|(_, text)| text).collect()
    }

    /// How many entries begin with `start`.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.entries().iter().filter(|(_, text)| text.starts_with(start)).count()
    }

    /// Checks that each connection that opened closed once, and that nothing of it came before or after.
    pub(crate) fn check(&self) {
        let entries = self.entries();
        for (id, _) in entries.iter().filter(|(_, text)| text == "opened") {
            let of = self.of(*id);
            assert_eq!(of.first().map(String::as_str), Some("opened"), "{id}: {of:?}");
            assert!(of.last().is_some_and(|text| text.starts_with("closed")), "{id}: {of:?}");
            assert_eq!(of.iter().filter(|text| text.starts_with("closed")).count(), 1, "{id}: {of:?}");
        }
    }
}

type OnOpened = Box<dyn FnMut(&mut Context, &Peer<'_>)>;
type OnFrame = Box<dyn FnMut(&mut Context, &[u8]) -> Result>;
type OnConn = Box<dyn FnMut(&mut Context) -> Result>;
type OnClosed = Box<dyn FnMut(&mut Context, &CloseReason)>;

/// A handler made of closures.
pub(crate) struct Script<D> {
    log: Log,
    codec: Box<dyn FnMut() -> D>,
    opened: OnOpened,
    received: OnFrame,
    writable: OnConn,
    half_closed: OnConn,
    timer: OnConn,
    alarm: Box<dyn FnMut(&mut Context)>,
    closed: OnClosed,
    /// The connections that are open, oldest first.
    pub(crate) open: Vec<ConnId>,
}

impl<D> fmt::Debug for Script<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("open", &self.open).finish_non_exhaustive()
    }
}

impl<D> Script<D> {
    /// A handler that does nothing but to write to `log`, and that closes when the peer ends its side.
    pub(crate) fn new(log: &Log, codec: impl FnMut() -> D + 'static) -> Script<D> {
        Script {
            log: log.clone(),
            codec: Box::new(codec),
            opened: Box::new(|_, _| ()),
            received: Box::new(|_, _| Ok(())),
            writable: Box::new(|_| Ok(())),
            half_closed: Box::new(|cx| {
                cx.close(cx.id(), Close::Flush);
                Ok(())
            }),
            timer: Box::new(|_| Ok(())),
            alarm: Box::new(|_| ()),
            closed: Box::new(|_, _| ()),
            open: Vec::new(),
        }
    }

    pub(crate) fn opened(mut self, f: impl FnMut(&mut Context, &Peer<'_>) + 'static) -> Script<D> {
        self.opened = Box::new(f);
        self
    }

    pub(crate) fn received(mut self, f: impl FnMut(&mut Context, &[u8]) -> Result + 'static) -> Script<D> {
        self.received = Box::new(f);
        self
    }

    pub(crate) fn writable(mut self, f: impl FnMut(&mut Context) -> Result + 'static) -> Script<D> {
        self.writable = Box::new(f);
        self
    }

    pub(crate) fn half_closed(mut self, f: impl FnMut(&mut Context) -> Result + 'static) -> Script<D> {
        self.half_closed = Box::new(f);
        self
    }

    pub(crate) fn timer(mut self, f: impl FnMut(&mut Context) -> Result + 'static) -> Script<D> {
        self.timer = Box::new(f);
        self
    }

    pub(crate) fn alarm(mut self, f: impl FnMut(&mut Context) + 'static) -> Script<D> {
        self.alarm = Box::new(f);
        self
    }

    pub(crate) fn closed(mut self, f: impl FnMut(&mut Context, &CloseReason) + 'static) -> Script<D> {
        self.closed = Box::new(f);
        self
    }
}

impl<D> Handler for Script<D>
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8]>,
{
    type Codec = D;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(D, ())> {
        self.log.push(cx.id(), "opened");
        self.open.push(cx.id());
        (self.opened)(cx, peer);
        Some(((self.codec)(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        let shown = if frame.len() > 40 { format!("{} bytes", frame.len()) } else { lossy(frame) };
        self.log.push(conn.id, format!("received {shown}"));
        (self.received)(cx, frame)
    }

    fn writable(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.log.push(conn.id, "writable");
        (self.writable)(cx)
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.log.push(conn.id, "half closed");
        (self.half_closed)(cx)
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: u64) -> Result {
        self.log.push(conn.id, "timer");
        (self.timer)(cx)
    }

    fn alarm(&mut self, cx: &mut Context, _: u64) {
        self.log.push(ConnId::NONE, "alarm");
        (self.alarm)(cx);
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        self.log.push(cx.id(), format!("closed: {why}"));
        let id = cx.id();
        self.open.retain(|open| *open != id);
        (self.closed)(cx, why);
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, why: &CloseReason) {
        self.log.push(cx.id(), format!("connect failed: {why}"));
    }
}

fn lossy(frame: &[u8]) -> String {
    String::from_utf8_lossy(frame).into_owned()
}

/// Serves lines with a script.
pub(crate) fn lines(
    config: Config,
    log: &Log,
    write: impl FnOnce(Script<Lines>) -> Script<Lines> + Send + 'static,
) -> Server<Script<Lines>> {
    let log = log.clone();
    Server::start(config, move || write(Script::new(&log, Lines::new)))
}

/// Serves lines with a script, on sockets whose buffers are as small as the system allows.
pub(crate) fn narrow_lines(
    config: Config,
    log: &Log,
    write: impl FnOnce(Script<Lines>) -> Script<Lines> + Send + 'static,
) -> Server<Script<Lines>> {
    let log = log.clone();
    Server::start_on(narrow(), config, move || write(Script::new(&log, Lines::new)))
}

/// The id of the only connection, once it is open.
pub(crate) fn only(server: &Server<Script<Lines>>) -> ConnId {
    server.wait_until(|script, _| script.open.len() == 1);
    server.with(|script, _| script.open[0])
}

/// Where to listen for connections with small buffers.
pub(crate) fn narrow() -> Listen {
    Listen::new(([127, 0, 0, 1], 0).into()).recv_buffer_size(2048).send_buffer_size(2048)
}
