//! What the loop allocates in steady state: nothing, and where it is something, how much.
//!
//! The reactor runs on the test's own thread, on loopback sockets. Only its turns are counted, and only on this
//! thread, so it makes no difference what clients and other tests allocate.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use switchboard::codec::{LengthPrefixed, Lines, Raw};
use switchboard::{
    Bytes, Close, CloseKind, Config, Conn, ConnId, Context, Frame, Handler, Listen, OnSlow, Peer, Reactor,
    Result, Sent, TimerId, each,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A reactor whose turns are counted.
struct Rig<H: Handler> {
    reactor: Reactor<H>,
    addr: SocketAddr,
    allocations: u64,
}

impl<H: Handler> Rig<H> {
    fn new(handler: H) -> Rig<H> {
        Rig::with(Config::default(), Listen::new(([127, 0, 0, 1], 0).into()), handler)
    }

    fn with(config: Config, listen: Listen, handler: H) -> Rig<H> {
        let mut reactor = Reactor::new(handler, config).expect("a reactor can be made");
        let listener = reactor.listen(listen).expect("a free port");
        let addr = reactor.local_addr(listener).expect("bound").socket_addr().expect("IP");
        Rig { reactor, addr, allocations: 0 }
    }

    /// Runs one turn and counts what it allocates.
    fn turn(&mut self, timeout: Duration) {
        let counted = allocation_counter::measure(|| {
            self.reactor.turn(Some(timeout)).expect("a turn in good order");
        });
        self.allocations += counted.count_total;
    }

    /// Runs turns until `done`.
    fn until(&mut self, done: impl Fn(&Reactor<H>) -> bool) {
        let began = Instant::now();
        while !done(&self.reactor) {
            assert!(began.elapsed() < PATIENCE, "it does not come true: {:?}", self.reactor.stats());
            self.turn(PATIENCE);
        }
    }

    /// Connections that are open on both sides.
    fn connect(&mut self, count: usize) -> Vec<TcpStream> {
        let open = self.reactor.stats().open + count;
        // The backlog is 1,024.
        let mut clients = Vec::new();
        while clients.len() < count {
            let more = (count - clients.len()).min(500);
            clients.extend((0..more).map(|_| connect(self.addr)));
            let now = open - count + clients.len();
            self.until(|reactor| reactor.stats().open == now);
        }
        clients
    }

    /// Does `round` until everything has its size, and then `rounds` times; what those allocate.
    fn steadily(&mut self, rounds: usize, mut round: impl FnMut(&mut Rig<H>)) -> u64 {
        for _ in 0..5 {
            round(self);
        }
        self.allocations = 0;
        for _ in 0..rounds {
            round(self);
        }
        self.allocations
    }

    /// Each client sends the `pieces`, each of which is received before the next is sent; then all read the echo.
    fn echo(&mut self, clients: &mut [TcpStream], pieces: &[&[u8]]) {
        let message = pieces.concat();
        let sent = self.reactor.stats().sent + (message.len() * clients.len()) as u64;
        for piece in pieces {
            let received = self.reactor.stats().received + (piece.len() * clients.len()) as u64;
            for client in &mut *clients {
                client.write_all(piece).expect("taken");
            }
            self.until(|reactor| reactor.stats().received == received);
        }
        self.until(|reactor| reactor.stats().sent == sent);
        for client in clients {
            expect(client, &message);
        }
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(addr).expect("accepted");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    client.set_nodelay(true).expect("set");
    client
}

fn expect(client: &mut TcpStream, message: &[u8]) {
    let mut answer = vec![0; message.len()];
    client.read_exact(&mut answer).expect("an answer");
    assert!(answer == message, "other bytes came back");
}

fn raw() -> impl Handler {
    each(Raw::new, |cx, bytes| {
        cx.send(bytes);
        Ok(())
    })
}

fn lines() -> impl Handler {
    each(Lines::new, |cx, line| {
        cx.send(line);
        cx.send(b"\n");
        Ok(())
    })
}

fn lengths() -> impl Handler {
    each(LengthPrefixed::new, |cx, body| {
        LengthPrefixed::new().encode(body, &mut cx.out())?;
        Ok(())
    })
}

// Without this a counter that is not there would make every other test pass.
#[test]
fn what_a_handler_allocates_is_counted() {
    let mut rig = Rig::new(each(Lines::new, |cx, line| {
        cx.send(&line.to_ascii_lowercase());
        cx.send(b"\n");
        Ok(())
    }));
    let mut clients = rig.connect(4);
    assert_eq!(rig.steadily(10, |rig| rig.echo(&mut clients, &[b"hello\nworld\n"])), 4 * 10 * 2);
}

#[test]
fn a_request_allocates_nothing() {
    fn check<H: Handler>(mut rig: Rig<H>, message: &[u8]) {
        let mut clients = rig.connect(20);
        assert_eq!(rig.steadily(100, |rig| rig.echo(&mut clients, &[message])), 0);
    }
    check(Rig::new(raw()), b"hello");
    check(Rig::new(lines()), b"hello\n");
    check(Rig::new(lengths()), b"\0\0\0\x05hello");
}

#[test]
fn pipelined_requests_allocate_nothing() {
    fn check<H: Handler>(mut rig: Rig<H>, message: &[u8]) {
        let mut clients = rig.connect(20);
        assert_eq!(rig.steadily(50, |rig| rig.echo(&mut clients, &[&message.repeat(64)])), 0);
    }
    check(Rig::new(lines()), b"hello\n");
    check(Rig::new(lengths()), b"\0\0\0\x05hello");
}

#[test]
fn frames_that_come_in_pieces_allocate_nothing() {
    fn check<H: Handler>(mut rig: Rig<H>, clients: usize, pieces: &[&[u8]]) {
        let mut clients = rig.connect(clients);
        assert_eq!(rig.steadily(20, |rig| rig.echo(&mut clients, pieces)), 0);
    }
    for clients in [1, 200] {
        check(Rig::new(lines()), clients, &[b"he", b"llo\nwor", b"ld\n"]);
        check(Rig::new(lengths()), clients, &[b"\0\0", b"\0\x05", b"hel", b"lo"]);
    }
}

#[test]
fn a_connection_allocates_nothing() {
    fn round<H: Handler>(rig: &mut Rig<H>, at_once: usize) {
        let mut clients = rig.connect(at_once);
        rig.echo(&mut clients, &[b"hello\n"]);
        drop(clients);
        rig.until(|reactor| reactor.stats().open == 0);
    }
    for at_once in [1, 32] {
        let mut rig = Rig::new(lines());
        assert_eq!(rig.steadily(50, |rig| round(rig, at_once)), 0);
        let mut config = Config::default();
        config.idle_timeout = Some(Duration::from_secs(60));
        let mut rig = Rig::with(config, Listen::new(([127, 0, 0, 1], 0).into()), lines());
        assert_eq!(rig.steadily(50, |rig| round(rig, at_once)), 0);
    }
}

#[test]
fn a_connection_that_the_program_closes_allocates_nothing() {
    for how in [|| Close::Flush, || Close::Linger, || Close::Abort] {
        let mut rig = Rig::new(each(Lines::new, move |cx, line| {
            cx.send(line);
            Err(how())
        }));
        let counted = rig.steadily(50, |rig| {
            let mut clients = rig.connect(8);
            for client in &mut clients {
                client.write_all(b"hello\n").expect("taken");
            }
            let received = rig.reactor.stats().received;
            rig.until(|reactor| reactor.stats().received == received + 48);
            drop(clients);
            rig.until(|reactor| reactor.stats().open == 0);
        });
        assert_eq!(counted, 0);
    }
}

#[test]
fn a_connection_that_is_reset_allocates_nothing() {
    let mut rig = Rig::new(lines());
    let counted = rig.steadily(50, |rig| {
        let clients = rig.connect(8);
        for client in clients {
            // Closed with no time to linger at all, it is reset.
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("set");
        }
        rig.until(|reactor| reactor.stats().open == 0);
    });
    assert_eq!(rig.reactor.stats().closed(CloseKind::Reset), 55 * 8);
    assert_eq!(counted, 0);
}

/// Sends to everyone whatever a function of a [`Fan`] says.
struct Fan {
    members: Vec<ConnId>,
}

impl Handler for Fan {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.members.push(cx.id());
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }
}

impl Rig<Fan> {
    fn fan() -> Rig<Fan> {
        Rig::new(Fan { members: Vec::new() })
    }

    /// Sends to everyone, counted, and has everyone read `message`.
    fn tell(&mut self, clients: &mut [TcpStream], message: &[u8], tell: impl Fn(&Fan, &mut Context)) {
        let sent = self.reactor.stats().sent + (message.len() * clients.len()) as u64;
        self.allocations +=
            allocation_counter::measure(|| self.reactor.with(|fan, cx| tell(fan, cx))).count_total;
        self.until(|reactor| reactor.stats().sent == sent);
        for client in clients {
            expect(client, message);
        }
    }
}

/// As many connections to this process itself as its descriptors allow, up to `count`.
fn many(count: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("raised");
    let descriptors = limit.maximum.map_or(20_000, |most| usize::try_from(most).expect("64 bits"));
    (descriptors.saturating_sub(500) * 7 / 16).min(count)
}

#[test]
fn a_broadcast_allocates_nothing_for_its_receivers() {
    // The bytes, once, and once what counts the references to them.
    const ONCE: u64 = 2;
    let mut rig = Rig::fan();
    let mut clients = Vec::new();
    for receivers in [10, many(2000)] {
        clients.extend(rig.connect(receivers - clients.len()));
        let counted = rig.steadily(10, |rig| {
            rig.tell(&mut clients, b"hello", |fan, cx| {
                let told =
                    cx.broadcast(fan.members.iter().copied(), &"hello".to_owned().into(), OnSlow::Skip);
                assert_eq!(told.queued, fan.members.len());
            });
        });
        assert_eq!(counted, 10 * ONCE, "{receivers} receivers");
    }
}

#[test]
fn sending_to_others_allocates_nothing() {
    let mut rig = Rig::fan();
    let mut clients = rig.connect(300);
    let counted = rig.steadily(10, |rig| {
        rig.tell(&mut clients, b"hello", |fan, cx| {
            for &member in &fan.members {
                cx.send_to(member, b"hel");
                cx.send_to(member, b"lo");
            }
        });
    });
    assert_eq!(counted, 0);
}

#[test]
fn bytes_sent_by_reference_allocate_nothing() {
    let page = Bytes::from(vec![b'x'; 64 << 10]);
    let mut rig = Rig::fan();
    let mut clients = rig.connect(10);
    let counted = rig.steadily(10, |rig| {
        rig.tell(&mut clients, &page, |fan, cx| {
            for &member in &fan.members {
                cx.send_bytes_to(member, page.clone());
            }
        });
    });
    assert_eq!(counted, 0);
}

/// Answers each byte with much, for a peer that does not read it for a while: but not with more at once than the
/// 512 KiB for which the output buffer of the reactor keeps its room.
struct Flood;

static MUCH: [u8; 32 << 10] = [b'x'; 32 << 10];

impl Handler for Flood {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        for _ in bytes {
            assert_ne!(cx.send(&MUCH), Sent::Full);
        }
        Ok(())
    }
}

#[test]
fn a_queue_that_backs_up_and_drains_allocates_nothing() {
    let listen = Listen::new(([127, 0, 0, 1], 0).into()).send_buffer_size(16 << 10);
    let mut rig = Rig::with(Config::default(), listen, Flood);
    let mut client = rig.connect(1).pop().expect("one");
    socket2::SockRef::from(&client).set_recv_buffer_size(16 << 10).expect("set");
    let mut buffer = vec![0; 64 << 10];
    let counted = rig.steadily(20, |rig| {
        let stats = rig.reactor.stats();
        let (over_high, turns) = (stats.over_high, stats.turns);
        client.write_all(b"123456789012").expect("taken");
        // What is queued is above the high mark, and the kernel takes no more.
        rig.until(|reactor| reactor.stats().over_high > over_high);
        let mut left = 12 * MUCH.len();
        client.set_nonblocking(true).expect("set");
        while left > 0 {
            match client.read(&mut buffer) {
                Ok(n) => left -= n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => rig.turn(PATIENCE),
                Err(error) => panic!("{error}"),
            }
        }
        client.set_nonblocking(false).expect("set");
        rig.until(|reactor| reactor.connections().all(|conn| conn.queued == 0));
        assert!(rig.reactor.stats().turns > turns + 5, "it did not back up");
    });
    assert_eq!(counted, 0);
}

/// Has a timer for each connection, set anew by every frame, and one that fires after each.
struct Timed;

impl Handler for Timed {
    type Codec = Lines;
    type Session = Option<TimerId>;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, Option<TimerId>)> {
        Some((Lines::new(), None))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        if let Some(timer) = conn.session.take() {
            assert!(cx.cancel(timer));
        }
        *conn.session = Some(cx.set_timer(conn.id, Duration::from_secs(60), 0)?);
        cx.set_timer(conn.id, Duration::ZERO, 1)?;
        cx.set_alarm(Duration::from_millis(1), 2)?;
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, _: Conn<'_, Self>, _: u64) -> Result {
        cx.send(b"late\n");
        Ok(())
    }
}

#[test]
fn timers_are_set_and_cancelled_and_fire_without_an_allocation_for_each() {
    let mut rig = Rig::new(Timed);
    let mut clients = rig.connect(100);
    let counted = rig.steadily(50, |rig| {
        let fired = rig.reactor.stats().timers_fired + 200;
        for client in &mut clients {
            client.write_all(b"hello\n").expect("taken");
        }
        rig.until(|reactor| reactor.stats().timers_fired == fired);
        for client in &mut clients {
            expect(client, b"late\n");
        }
    });
    // Lists of what is due grow to the most that were ever due at once, which is for the clock to say: a few times in the
    // 15,000 timers of these rounds, and never for each.
    assert!(counted < 10, "{counted} allocations");
}

#[test]
fn an_idle_timeout_allocates_nothing_when_it_is_put_off_or_over() {
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_millis(20));
    let mut rig = Rig::with(config, Listen::new(([127, 0, 0, 1], 0).into()), lines());
    let counted = rig.steadily(5, |rig| {
        let timed_out = rig.reactor.stats().closed(CloseKind::TimedOut) + 20;
        let mut clients = rig.connect(20);
        let began = Instant::now();
        // One is put off again and again; for the others it runs out.
        while rig.reactor.stats().closed(CloseKind::TimedOut) < timed_out - 1 {
            assert!(began.elapsed() < PATIENCE);
            // It may be over for this one too, on a machine that was slow.
            let _ = clients[0].write_all(b"hello\n");
            rig.turn(Duration::from_millis(5));
        }
        rig.until(|reactor| reactor.stats().closed(CloseKind::TimedOut) == timed_out);
    });
    assert_eq!(counted, 0);
}

#[test]
fn a_posted_closure_is_boxed_once_and_runs_without_allocating() {
    let mut rig = Rig::new(raw());
    let handle = rig.reactor.handle();
    // The queue of closures has its size after the first few.
    let mut posted = Vec::new();
    let counted = rig.steadily(100, |rig| {
        let run = rig.reactor.stats().posts_run + 10;
        for n in 0..10_u64 {
            let post = || handle.post(move |_, cx| assert!(cx.stats().turns > n / 10)).expect("room");
            posted.push(allocation_counter::measure(post).count_total);
        }
        rig.until(|reactor| reactor.stats().posts_run == run);
    });
    assert_eq!(counted, 0);
    assert!(posted[50..].iter().all(|&count| count == 1), "{posted:?}");
}

#[test]
fn a_connect_allocates_nothing() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = server.local_addr().expect("bound");
    let mut rig = Rig::new(raw());
    let counted = rig.steadily(50, |rig| {
        let connected = rig.reactor.stats().connected + 1;
        let asked = allocation_counter::measure(|| {
            rig.reactor.with(|_, cx| cx.connect(addr, 0)).expect("room");
        });
        rig.allocations += asked.count_total;
        rig.until(|reactor| reactor.stats().connected == connected);
        drop(server.accept().expect("connected"));
        rig.until(|reactor| reactor.stats().open == 0);
    });
    assert_eq!(counted, 0);
}
