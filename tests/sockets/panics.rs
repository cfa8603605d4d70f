//! Panics: in each callback, in a codec, in a session's `Drop`; leaving the loop or kept to one connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchboard::codec::{Decoder, FrameError, Lines, Raw, Step};
use switchboard::{
    Close, CloseKind, CloseReason, Config, Conn, Context, Frame, Handler, Peer, PostError, Reactor, Result,
    Sent,
};

use crate::peer::{is_reset, read_all};
use crate::server::Server;

const CALLBACKS: [&str; 8] =
    ["opened", "received", "writable", "half closed", "timer", "alarm", "closed", "decode"];

/// Panics where it is told to, for connections that said so.
struct Fragile {
    at: &'static str,
    /// Whether the next connection is one that panics.
    armed: bool,
    dropped: Arc<AtomicUsize>,
}

/// Counts how often it is dropped.
struct Session {
    panics: bool,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lines, of which one panics.
struct FragileLines(Lines, bool);

impl Decoder for FragileLines {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, FrameError> {
        assert!(!(self.1 && input.starts_with(b"go")), "decode");
        self.0.decode(input)
    }
}

impl Fragile {
    fn maybe(&self, at: &'static str, session: &Session) {
        if self.at == at && session.panics {
            // A literal, so that the test can tell the panics apart.
            std::panic::panic_any(at);
        }
    }
}

impl Handler for Fragile {
    type Codec = FragileLines;
    type Session = Session;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(FragileLines, Session)> {
        let panics = std::mem::take(&mut self.armed);
        let session = Session { panics, dropped: Arc::clone(&self.dropped) };
        self.maybe("opened", &session);
        Some((FragileLines(Lines::new(), panics && self.at == "decode"), session))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        cx.send(b"before");
        self.maybe("received", conn.session);
        if conn.session.panics {
            cx.send_bytes(vec![b'x'; 100_000].into());
            match self.at {
                "timer" => drop(cx.set_timer(conn.id, Duration::ZERO, 0)?),
                "alarm" => drop(cx.set_alarm(Duration::ZERO, 0)?),
                "closed" => return Err(Close::Flush),
                _ => {}
            }
        } else {
            cx.send(line);
        }
        Ok(())
    }

    fn writable(&mut self, _: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.maybe("writable", conn.session);
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.maybe("half closed", conn.session);
        cx.close(conn.id, Close::Flush);
        Ok(())
    }

    fn timer(&mut self, _: &mut Context, conn: Conn<'_, Self>, _: u64) -> Result {
        self.maybe("timer", conn.session);
        Ok(())
    }

    fn alarm(&mut self, _: &mut Context, _: u64) {
        std::panic::panic_any("alarm");
    }

    fn closed(&mut self, _: &mut Context, session: Session, _: &CloseReason) {
        self.maybe("closed", &session);
    }
}

fn fragile(config: Config, at: &'static str) -> (Server<Fragile>, Arc<AtomicUsize>) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    (Server::start(config, move || Fragile { at, armed: false, dropped: count }), dropped)
}

/// Has the callback panic for a new connection, and returns that.
fn provoke(server: &Server<Fragile>) -> TcpStream {
    let ends = server.with(|fragile, _| {
        fragile.armed = true;
        ["half closed", "alarm"].contains(&fragile.at)
    });
    let mut client = server.connect();
    // It may be gone at any point of this.
    client.write_all(b"go\n").ok();
    if ends {
        client.shutdown(Shutdown::Write).ok();
    }
    client
}

/// That the server answers this connection.
fn is_served(client: &mut TcpStream) {
    client.write_all(b"ping\n").expect("written");
    let mut answer = [0; 10];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"beforeping");
}

// G7: without isolation, a panic leaves the loop, and every peer sees the end of its connection at once.
#[test]
fn g7_a_panic_in_any_callback_leaves_the_loop_with_every_socket_closed() {
    for at in CALLBACKS {
        let (server, dropped) = fragile(Config::default(), at);
        let mut other = server.connect();
        is_served(&mut other);
        let handle = server.handle.clone();
        let mut client = provoke(&server);
        let (received, result) = read_all(&mut other);
        assert!(received.is_empty() && (result.is_ok() || is_reset(&result)), "{at}: {result:?}");
        read_all(&mut client).1.ok();
        let message = server.join_panicked();
        assert!(message == at || at == "decode", "{at}: {message}");
        assert!(matches!(handle.post(|_, _| ()), Err(PostError::Closed(_))), "{at}");
        assert_eq!(dropped.load(Ordering::Relaxed), 2, "{at}: every session is dropped");
    }
}

#[test]
fn g7_a_panic_in_a_posted_closure_leaves_the_loop() {
    let (server, _) = fragile(Config::default(), "post");
    let mut other = server.connect();
    is_served(&mut other);
    let handle = server.handle.clone();
    server.handle.post(|_, _| std::panic::panic_any("post")).expect("posted");
    assert_eq!(read_all(&mut other).0, b"");
    assert_eq!(server.join_panicked(), "post");
    assert!(matches!(handle.post(|_, _| ()), Err(PostError::Closed(_))));
}

// G7: isolated, it closes its own connection, is counted, and nobody else notices.
#[test]
fn g7_an_isolated_panic_closes_its_connection_only() {
    let mut config = Config::default();
    config.isolate_panics = true;
    for at in CALLBACKS {
        let (server, dropped) = fragile(config.clone(), at);
        let mut other = server.connect();
        is_served(&mut other);
        for n in 1..=3 {
            let mut client = provoke(&server);
            let (received, result) = read_all(&mut client);
            server.wait_until(move |_, cx| cx.stats().panics == n);
            server.wait_until(|_, cx| cx.stats().open == 1);
            if ["opened", "received", "decode"].contains(&at) {
                assert!(received.is_empty(), "{at}: the output of the broken batch is dropped");
                // A write that failed has taken the reset away.
                assert!(at == "opened" || is_reset(&result), "{at}: {result:?}");
            }
            drop(client);
            is_served(&mut other);
        }
        drop(other);
        let stats = server.stop();
        let panicked = if ["opened", "alarm", "closed"].contains(&at) { 0 } else { 3 };
        assert_eq!((stats.panics, stats.closed(CloseKind::Panicked)), (3, panicked), "{at}");
        assert_eq!(stats.turned_away, if at == "opened" { 3 } else { 0 });
        assert_eq!(dropped.load(Ordering::Relaxed), 4, "{at}: every session is dropped once");
    }
}

#[test]
fn g7_an_isolated_panic_in_a_posted_closure_closes_nothing() {
    let mut config = Config::default();
    config.isolate_panics = true;
    let (server, _) = fragile(config, "post");
    let mut other = server.connect();
    is_served(&mut other);
    for _ in 0..3 {
        server.handle.post(|_, _| std::panic::panic_any("post")).expect("posted");
    }
    server.wait_until(|_, cx| cx.stats().panics == 3);
    is_served(&mut other);
    drop(other);
    server.stop();
}

// What a panic interrupts must not stay in the account of memory: it would fill up with bytes that are gone.
#[test]
fn memory_of_frames_that_panic_is_given_back() {
    let mut config = Config::default();
    config.isolate_panics = true;
    config.recv_buffer_bytes = 4096;
    config.recv_bytes_max = 64 << 10;
    config.queued_bytes_low = 1000;
    config.queued_bytes_high = 1000;
    config.queued_bytes_max = 128 << 10;
    config.memory_bytes_max = 256 << 10;
    let server = Server::start(config, || LongLines);
    for n in 1..=20 {
        let mut client = server.connect();
        client.write_all(&b"x".repeat(30_000)).expect("written");
        server.wait_until(move |_, cx| cx.stats().received >= n * 30_001 - 1);
        client.write_all(b"\n").expect("written");
        assert!(is_reset(&read_all(&mut client).1));
        server.wait_until(move |_, cx| cx.stats().panics == n && cx.stats().open == 0);
    }
    let stats = server.stop();
    assert_eq!(stats.memory_stops, 0);
}

/// Panics at each line, however long.
struct LongLines;

impl Handler for LongLines {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        Some((Lines::new().frame_bytes_max(60_000), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        panic!("a line of {} bytes", line.len());
    }
}

/// Its sessions panic when they are dropped.
struct Bombs;

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any("drop");
    }
}

impl Handler for Bombs {
    type Codec = Lines;
    type Session = Bomb;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, Bomb)> {
        Some((Lines::new(), Bomb))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        if line == b"panic" {
            std::panic::panic_any("received");
        }
        cx.send(b"before");
        cx.send(line);
        Ok(())
    }
}

fn ping(client: &mut TcpStream) {
    client.write_all(b"ping\n").expect("written");
    client.read_exact(&mut [0; 10]).expect("an answer");
}

// G8: a session that panics when it is dropped is a panic of `closed`, whose argument it is.
#[test]
fn g8_a_panic_in_a_sessions_drop_is_isolated_too() {
    let mut config = Config::default();
    config.isolate_panics = true;
    let server = Server::start(config, || Bombs);
    let mut other = server.connect();
    ping(&mut other);
    for n in 1..=3 {
        let mut client = server.connect();
        ping(&mut client);
        drop(client);
        server.wait_until(move |_, cx| cx.stats().panics == n && cx.stats().open == 1);
        ping(&mut other);
    }
    drop(other);
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!((stats.panics, stats.closed(CloseKind::Ended)), (4, 4));
}

// G8: when a panic leaves the loop, the sessions are not dropped while it unwinds: a second panic would end
// the process. The first one is what the program sees.
#[test]
fn g8_sessions_that_panic_when_dropped_do_not_end_the_process_behind_a_panic() {
    let server = Server::start(Config::default(), || Bombs);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        ping(client);
    }
    clients[1].write_all(b"panic\n").expect("written");
    for client in &mut clients {
        read_all(client).1.ok();
    }
    assert_eq!(server.join_panicked(), "received");
}

// G7: whoever asked for a connect hears of it, also when `opened` panics.
#[test]
fn g7_a_connect_whose_opened_panicked_is_told_as_failed() {
    #[derive(Default)]
    struct Connecting(Vec<String>);

    impl Handler for Connecting {
        type Codec = Raw;
        type Session = ();

        fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
            panic!("opened");
        }

        fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
            Ok(())
        }

        fn connect_failed(&mut self, cx: &mut Context, key: u64, why: &CloseReason) {
            assert_eq!(cx.send_to(cx.id(), b"nobody"), Sent::Closed);
            self.0.push(format!("{key}: {why}"));
        }
    }

    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let mut config = Config::default();
    config.isolate_panics = true;
    let mut reactor = Reactor::new(Connecting::default(), config).expect("a reactor can be made");
    reactor.connect(addr, 7).expect("there is room");
    reactor.run().expect("nothing is left to do");
    assert_eq!(reactor.handler().0, [format!("7: {}", CloseReason::Panicked)]);
    assert_eq!((reactor.stats().open, reactor.stats().connects_failed), (0, 1));
}
