//! A reactor that the test turns itself, between what its blocking peers do: nothing happens behind its back.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use switchboard::codec::Lines;
use switchboard::{
    CloseReason, Config, Conn, ConnId, Context, Frame, Handler, IntoListen, ListenerId, Peer, Reactor, Result,
};

use crate::server::PATIENCE;

/// What to do about a line.
type Act = dyn FnMut(&mut Context, &str) -> Result;

/// A handler that writes down what it is told, and does what `act` says about each line.
pub(crate) struct Scribe {
    /// What it was told, in order.
    pub(crate) log: Vec<String>,
    /// Who was opened, in order.
    pub(crate) ids: Vec<ConnId>,
    act: Box<Act>,
}

impl Scribe {
    /// Writes down only.
    pub(crate) fn new() -> Scribe {
        Scribe::doing(|_, _| Ok(()))
    }

    /// Calls `act` for each line.
    pub(crate) fn doing(act: impl FnMut(&mut Context, &str) -> Result + 'static) -> Scribe {
        Scribe { log: Vec::new(), ids: Vec::new(), act: Box::new(act) }
    }

    /// Sends each line back.
    pub(crate) fn echo() -> Scribe {
        Scribe::doing(|cx, line| {
            cx.send(line.as_bytes());
            cx.send(b"\n");
            Ok(())
        })
    }
}

impl Handler for Scribe {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Lines, ())> {
        self.log.push(format!("opened {}", peer.key));
        self.ids.push(cx.id());
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        let line = String::from_utf8_lossy(line).into_owned();
        self.log.push(format!("received {line}"));
        (self.act)(cx, &line)
    }

    fn writable(&mut self, _: &mut Context, _: Conn<'_, Self>) -> Result {
        self.log.push("writable".into());
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        self.log.push(format!("closed: {why}"));
    }

    fn connect_failed(&mut self, _: &mut Context, key: u64, why: &CloseReason) {
        self.log.push(format!("connect {key} failed: {why}"));
    }

    fn listen_failed(&mut self, _: &mut Context, _: ListenerId, error: &io::Error) {
        self.log.push(format!("listen failed: {error}"));
    }
}

/// A reactor that listens on `listen`, and where that is.
pub(crate) fn listening<H: Handler>(
    handler: H,
    config: Config,
    listen: impl IntoListen,
) -> (Reactor<H>, SocketAddr) {
    let mut reactor = Reactor::new(handler, config).expect("a reactor can be made");
    let listener = reactor.listen(listen).expect("a free port can be listened on");
    let addr = address(&reactor, listener);
    (reactor, addr)
}

/// Where a listener listens.
pub(crate) fn address<H: Handler>(reactor: &Reactor<H>, listener: ListenerId) -> SocketAddr {
    let addr = reactor.local_addr(listener).expect("the listener is open");
    addr.socket_addr().expect("an IP listener has an IP address")
}

/// Turns until `condition` holds.
pub(crate) fn turn_until<H: Handler>(
    reactor: &mut Reactor<H>,
    mut condition: impl FnMut(&Reactor<H>) -> bool,
) {
    let start = Instant::now();
    while !condition(reactor) {
        assert!(start.elapsed() < PATIENCE, "the condition does not come true: {:?}", reactor.stats());
        reactor.turn(Some(Duration::from_millis(10))).expect("a turn succeeds");
    }
}

/// Turns until the handler was told `count` things.
pub(crate) fn turn_until_told(reactor: &mut Reactor<Scribe>, count: usize) {
    turn_until(reactor, |reactor| reactor.handler().log.len() >= count);
}

/// Turns until nothing is left to do at once: two polls in a row bring nothing.
///
/// For "nothing more happens": on loopback what a peer has done is seen by the next poll.
pub(crate) fn settle<H: Handler>(reactor: &mut Reactor<H>) {
    for _ in 0..8 {
        reactor.turn(Some(Duration::ZERO)).expect("a turn succeeds");
    }
}

/// A blocking connection that gives up after [`PATIENCE`].
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("the kernel takes the connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// Writes one line.
pub(crate) fn say(mut stream: &TcpStream, line: &str) {
    stream.write_all(format!("{line}\n").as_bytes()).expect("written");
}

/// Reads as many bytes as `text` has and compares them.
pub(crate) fn hear(mut stream: &TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    stream.read_exact(&mut heard).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

/// Resets a connection instead of ending it.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("lingering can be set");
    drop(stream);
}
