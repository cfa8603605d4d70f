//! J1, J12, N8: what thousands of connections cost in memory, measured on a process of its own.
//!
//! The tests of this file take turns, so that each sees only its own growth.

#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use switchboard::codec::LengthPrefixed;
use switchboard::{CloseKind, Config, Context, Handle, Handler, Reactor, Stats, Stop, each};

const PATIENCE: Duration = Duration::from_secs(60);

static TURN: Mutex<()> = Mutex::new(());

fn my_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many connections to this process itself its descriptors allow, up to 5,000.
fn many() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("raised");
    let descriptors = limit.maximum.map_or(20_000, |most| usize::try_from(most).expect("64 bits"));
    (descriptors.saturating_sub(200) * 7 / 16).min(5000)
}

/// Memory of this process that is resident, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

/// A server of length-prefixed frames that echoes them, on a thread of its own.
struct Server<H> {
    addr: SocketAddr,
    handle: Handle<H>,
    thread: JoinHandle<Stats>,
}

fn start(config: Config) -> Server<impl Handler> {
    start_with(config, || {
        each(LengthPrefixed::new, |cx, frame| {
            LengthPrefixed::new().encode(frame, &mut cx.out())?;
            Ok(())
        })
    })
}

fn start_with<H: Handler + 'static>(config: Config, make: impl FnOnce() -> H + Send + 'static) -> Server<H> {
    let (started, start) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut reactor = Reactor::new(make(), config).expect("made");
        let listener = reactor.listen("127.0.0.1:0").expect("a free port");
        let addr = reactor.local_addr(listener).expect("bound").socket_addr().expect("IP");
        started.send((addr, reactor.handle())).expect("awaited");
        reactor.run().expect("in good order");
        reactor.stats().clone()
    });
    let (addr, handle) = start.recv_timeout(PATIENCE).expect("the server starts");
    Server { addr, handle, thread }
}

impl<H: Handler + 'static> Server<H> {
    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.addr).expect("accepted");
        client.set_read_timeout(Some(PATIENCE)).expect("set");
        client
    }

    fn with<T: Send + 'static>(&self, f: impl FnOnce(&mut Context) -> T + Send + 'static) -> T {
        let (answer, result) = mpsc::channel();
        let post = self.handle.post(move |_, cx| answer.send(f(cx)).expect("awaited"));
        assert!(post.is_ok(), "the queue is empty");
        result.recv_timeout(PATIENCE).expect("run")
    }

    fn wait_until(&self, condition: impl Fn(&Context) -> bool + Clone + Send + 'static) {
        let begin = Instant::now();
        loop {
            let condition = condition.clone();
            if self.with(move |cx| condition(cx)) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "the condition does not come true");
            std::thread::yield_now();
        }
    }

    fn stop(self) -> Stats {
        self.handle.stop(Stop::Drain);
        drop(self.handle);
        self.thread.join().expect("no panic")
    }
}

/// Answers pings while thousands of others say nothing, so that there is something to disturb.
fn ping(client: &mut TcpStream) {
    client.write_all(b"\0\0\0\x04ping").expect("written");
    let mut answer = [0; 8];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"\0\0\0\x04ping");
}

// N8: connections that say nothing cost a slot each, and are gone after the idle timeout.
#[test]
fn n8_thousands_of_silent_connections_cost_little_and_are_closed_when_their_time_is_over() {
    let _turn = my_turn();
    let many = many();
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_secs(2));
    let server = start(config);
    let mut active = server.connect();
    ping(&mut active);
    let before = resident();
    let silent: Vec<_> = (0..many).map(|_| server.connect()).collect();
    let begin = Instant::now();
    while server.with(|cx| cx.stats().accepted) <= many as u64 {
        ping(&mut active);
        assert!(begin.elapsed() < PATIENCE, "not all are accepted");
    }
    let grown = resident().saturating_sub(before);
    // About 150 bytes each; arrays that double may have twice that, and the clients' side is in here too.
    assert!(grown < many * 600 + (1 << 20), "{grown} bytes for {many} silent connections");
    while server.with(|cx| cx.stats().closed(CloseKind::TimedOut)) < many as u64 {
        ping(&mut active);
        assert!(begin.elapsed() < PATIENCE, "not all are closed");
    }
    assert_eq!(server.with(|cx| cx.stats().open), 1, "only the one that says something");
    drop((silent, active));
    server.stop();
}

// J1: every one of them announces the largest frame there may be, or one far beyond it.
#[test]
fn j1_thousands_of_giant_lengths_reserve_nothing() {
    let _turn = my_turn();
    let many = many();
    let server = start(Config::default());
    let mut active = server.connect();
    ping(&mut active);
    let before = resident();
    let mut clients: Vec<_> = (0..many).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let length = if n % 10 == 0 { u32::MAX } else { 1 << 20 };
        client.write_all(&length.to_be_bytes()).expect("written");
    }
    server.wait_until(move |cx| cx.stats().received >= 4 * many as u64);
    ping(&mut active);
    let grown = resident().saturating_sub(before);
    assert!(grown < many * 1024 + (1 << 20), "{grown} bytes for {many} promises of a mebibyte");
    drop((clients, active));
    server.wait_until(|cx| cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::Frame), many.div_ceil(10) as u64);
}

// J12: each was in the middle of a frame once.
#[test]
fn j12_thousands_of_idle_connections_hold_no_buffers() {
    let _turn = my_turn();
    let many = many();
    let server = start(Config::default());
    let mut clients: Vec<_> = (0..many).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(b"\0\0\0\x04pi").expect("written");
    }
    server.wait_until(move |cx| cx.stats().received == 6 * many as u64);
    let held = server.with(|cx| cx.held_bytes());
    assert!((6 * many..100 * many).contains(&held), "{held} bytes for {many} halves of a frame");
    for client in &mut clients {
        client.write_all(b"ng").expect("written");
        client.read_exact(&mut [0; 8]).expect("an answer");
    }
    assert_eq!(server.with(|cx| cx.held_bytes()), 0);
    drop(clients);
    server.wait_until(|cx| cx.stats().open == 0);
    assert_eq!(server.stop().closed(CloseKind::Ended), many as u64);
}
