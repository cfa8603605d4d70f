//! G9, N5: what a program can see of its reactor: turns, snapshots, counters, warnings, refused configurations.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use switchboard::codec::Lines;
use switchboard::{
    Addr, Close, CloseKind, CloseReason, Config, Conn, Context, Frame, Handler, OnCap, Peer, Reactor, Result,
    State, Stop,
};

use crate::logs;
use crate::server::{PATIENCE, Server, let_pass};

const MS: Duration = Duration::from_millis(1);

/// Slow where it is told to be.
#[derive(Default)]
struct Slow {
    opened: Duration,
    received: Duration,
    closed: Duration,
}

impl Handler for Slow {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        take(self.opened);
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        take(self.received);
        match line {
            b"fail" => return Err(Close::msg("as it was told")),
            b"flood" => cx.send(&vec![b'x'; 1 << 20]),
            line => cx.send(line),
        };
        cx.send(b"\n");
        Ok(())
    }

    fn alarm(&mut self, _: &mut Context, key: u64) {
        take(Duration::from_millis(key));
    }

    fn closed(&mut self, _: &mut Context, (): (), _: &CloseReason) {
        take(self.closed);
    }
}

/// Few callbacks take longer than this on a loaded machine that are not meant to.
fn patient() -> Config {
    let mut config = Config::default();
    config.slow_callback = Some(300 * MS);
    config
}

fn take(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A reactor on this thread that listens, and a client that is connected to it.
fn reactor(handler: Slow) -> (Reactor<Slow>, TcpStream) {
    let mut reactor = Reactor::new(handler, patient()).expect("made");
    let listener = reactor.listen("127.0.0.1:0").expect("a free port");
    let addr = reactor.local_addr(listener).expect("bound").socket_addr().expect("IP");
    let client = TcpStream::connect(addr).expect("connected");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    (reactor, client)
}

fn turn_until(reactor: &mut Reactor<Slow>, condition: impl Fn(&Reactor<Slow>) -> bool) {
    let begin = Instant::now();
    while !condition(reactor) {
        assert!(begin.elapsed() < PATIENCE, "the condition does not come true");
        reactor.turn(Some(100 * MS)).expect("a turn");
    }
}

fn warnings() -> Vec<String> {
    logs::of_this_thread().into_iter().filter(|line| line.contains("in a row")).collect()
}

// G9: one warning for the one slow callback, with what it took, among others that are not.
#[test]
fn g9_a_slow_callback_is_logged_once_with_its_duration() {
    logs::keep();
    let mut reactor = Reactor::new(Slow::default(), patient()).expect("made");
    reactor.with(|_, cx| {
        for key in [0, 350, 0, 1, 0] {
            cx.set_alarm(MS, key).expect("room");
        }
    });
    reactor.run().expect("returns when the last timer has fired");
    let lines = warnings();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let took = reactor.stats().slowest_callback;
    // The clock that measures it is some milliseconds coarse.
    assert!(took >= 330 * MS, "{took:?}");
    let expected = format!("connection none: callbacks took {took:?} in a row");
    assert!(lines[0].starts_with(&expected), "{lines:?}, not {expected}");
    assert_eq!(reactor.stats().slow_callbacks, 1);
}

// G9: whichever it is.
#[test]
fn g9_every_callback_is_watched() {
    logs::keep();
    let slow = 330 * MS;
    let mut count = 0;
    for handler in [
        Slow { opened: slow, ..Slow::default() },
        Slow { received: slow, ..Slow::default() },
        Slow { closed: slow, ..Slow::default() },
    ] {
        let (mut reactor, mut client) = reactor(handler);
        client.write_all(b"ping\n").expect("written");
        turn_until(&mut reactor, |reactor| reactor.stats().frames == 1);
        drop(client);
        turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
        assert_eq!(reactor.stats().slow_callbacks, 1);
        count += 1;
        let lines = warnings();
        assert_eq!(lines.len(), count, "{lines:?}");
        assert!(lines[count - 1].starts_with("connection 0.1: "), "{lines:?}");
    }
}

#[test]
fn callbacks_are_not_measured_when_nobody_wants_to_know() {
    logs::keep();
    let mut config = Config::default();
    config.slow_callback = None;
    let mut reactor = Reactor::new(Slow::default(), config).expect("made");
    reactor.with(|_, cx| cx.set_alarm(MS, 150).expect("room"));
    reactor.run().expect("returns when the last timer has fired");
    assert_eq!((warnings().len(), reactor.stats().slow_callbacks), (0, 0));
}

// N5: every callback is slow. One line a second says how many were held back.
#[test]
fn n5_a_handler_that_is_always_slow_does_not_flood_the_log() {
    logs::keep();
    let mut config = Config::default();
    config.slow_callback = Some(15 * MS);
    let mut reactor = Reactor::new(Slow::default(), config).expect("made");
    reactor.with(|_, cx| {
        for _ in 0..50 {
            cx.set_alarm(MS, 25).expect("room");
        }
    });
    let begin = Instant::now();
    reactor.run().expect("returns when the last timer has fired");
    let lines = warnings();
    assert_eq!(reactor.stats().slow_callbacks, 50);
    assert!((2..=begin.elapsed().as_secs() + 1).contains(&(lines.len() as u64)), "{lines:#?}");
    assert!(lines[0].ends_with("(0 more were not logged)"), "{lines:#?}");
    assert!(!lines[1].ends_with("(0 more were not logged)"), "{lines:#?}");
}

// N5, G7: every frame panics.
#[test]
fn n5_a_handler_that_always_panics_does_not_flood_the_log() {
    logs::keep();
    let mut config = Config::default();
    config.isolate_panics = true;
    let mut reactor = Reactor::new(Slow::default(), config).expect("made");
    let handle = reactor.handle();
    for _ in 0..1000 {
        handle.post(|_, _| panic!("as it was told")).expect("room");
    }
    drop(handle);
    reactor.run().expect("returns when nothing is left");
    assert_eq!(reactor.stats().panics, 1000);
    let lines = logs::of_this_thread();
    assert!((1..=10).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines[0].starts_with("connection none: a callback panicked: as it was told"), "{lines:#?}");
}

#[test]
fn a_turn_without_patience_returns_at_once_and_one_with_some_waits() {
    let (mut reactor, client) = reactor(Slow::default());
    turn_until(&mut reactor, |reactor| reactor.stats().open == 1);
    let begin = Instant::now();
    for _ in 0..100 {
        assert!(reactor.turn(Some(Duration::ZERO)).expect("a turn"), "a connection is open");
    }
    assert!(begin.elapsed() < PATIENCE / 4);
    let begin = Instant::now();
    assert!(reactor.turn(Some(30 * MS)).expect("a turn"));
    assert!(begin.elapsed() >= 30 * MS, "early");
    drop(client);
}

#[test]
fn a_loop_of_ones_own_ends_when_a_turn_says_so() {
    let (mut reactor, mut client) = reactor(Slow::default());
    let peer = std::thread::spawn(move || {
        client.write_all(b"one\n").expect("written");
        client.read_exact(&mut [0; 4]).expect("an answer");
    });
    turn_until(&mut reactor, |reactor| reactor.stats().closed(CloseKind::Ended) == 1);
    peer.join().expect("served");
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    while reactor.turn(None).expect("a turn of the drain") {}
    assert_eq!(
        reactor.turn(None).expect_err("no turn after the last").to_string(),
        "the reactor has stopped"
    );
    assert_eq!(reactor.listen("127.0.0.1:0").expect_err("stopped").to_string(), "the reactor has stopped");
}

#[test]
fn a_turn_with_nothing_to_wait_for_says_so() {
    let mut reactor = Reactor::new(Slow::default(), Config::default()).expect("made");
    assert!(!reactor.turn(Some(Duration::ZERO)).expect("a turn"), "nothing could ever happen");
    let handle = reactor.handle();
    assert!(reactor.turn(Some(Duration::ZERO)).expect("a turn"), "somebody may post");
    drop(handle);
    assert!(!reactor.turn(None).expect("a turn"), "nobody may any more");
    reactor.with(|_, cx| cx.set_alarm(MS, 0).expect("room"));
    while reactor.turn(None).expect("a turn") {}
    assert_eq!(reactor.stats().timers_fired, 1);
}

#[test]
fn a_snapshot_says_what_is_known_of_a_connection() {
    let server = Server::start(Config::default(), Slow::default);
    let mut client = server.connect();
    client.write_all(b"hello\n").expect("written");
    client.read_exact(&mut [0; 6]).expect("an answer");
    let_pass(60 * MS);
    client.write_all(b"again\nand half").expect("written");
    client.read_exact(&mut [0; 6]).expect("an answer");
    server.wait_until(|_, cx| cx.connections().any(|conn| conn.received == 20));
    let_pass(40 * MS);
    let (all, same) = server.with(|_, cx| {
        let all: Vec<_> = cx.connections().collect();
        let same = cx.info(all[0].id);
        (all, same)
    });
    let [conn] = &all[..] else { panic!("{all:?}") };
    assert_eq!(same, Some(conn.clone()));
    assert_eq!(conn.peer, Addr::from(client.local_addr().expect("connected")));
    assert_eq!((conn.state, conn.paused, conn.queued), (State::Open, false, 0));
    assert_eq!((conn.received, conn.sent), (20, 12));
    assert!(conn.idle_for >= 40 * MS && conn.open_for >= conn.idle_for + 60 * MS, "{conn:?}");

    // A peer that does not read: what the kernel does not take is queued, and reading pauses.
    client.write_all(b"\nflood\nflood\nflood\nflood\nflood\nflood\nflood\nflood\nflood\n").expect("written");
    server.wait_until(|_, cx| cx.connections().any(|conn| conn.paused));
    let id = conn.id;
    let conn = server.with(move |_, cx| cx.info(id)).expect("open");
    assert!(conn.queued > 64 << 10, "{conn:?}");
    assert_eq!(conn.state, State::Open);

    // Closed orderly, it drains and then lingers.
    server.with(move |_, cx| cx.close(id, Close::Linger));
    let conn = server.with(move |_, cx| cx.info(id)).expect("not gone yet");
    assert_eq!((conn.state, conn.paused), (State::Draining, false));
    client.read_to_end(&mut Vec::new()).expect("all that was queued");
    server.wait_until(move |_, cx| cx.info(id).is_some_and(|conn| conn.state == State::Lingering));
    drop(client);
    server.wait_until(move |_, cx| cx.info(id).is_none() && cx.connections().next().is_none());
    server.stop();
}

#[test]
fn the_counters_add_up() {
    let mut config = Config::default();
    (config.connections_max, config.on_cap) = (Some(3), OnCap::Refuse);
    let server = Server::start(config, Slow::default);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    server.wait_until(|_, cx| cx.stats().open == 3);
    let mut refused = server.connect();
    let error = refused.read(&mut [0]).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    for client in &mut clients {
        client.write_all(b"one\ntwo\n").expect("written");
        client.read_exact(&mut [0; 8]).expect("an answer");
    }
    clients[0].write_all(b"fail\n").expect("written");
    clients[0].read_to_end(&mut Vec::new()).expect("the end");
    drop(clients);
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!((stats.accepted, stats.refused, stats.turned_away), (3, 1, 0));
    assert_eq!((stats.closed(CloseKind::Ended), stats.closed(CloseKind::Failed)), (2, 1));
    assert_eq!(stats.closed_total(), 3);
    assert_eq!((stats.frames, stats.received, stats.sent), (7, 29, 24));
    assert_eq!((stats.calls.register, stats.calls.close), (3, 4));
    assert!(stats.turns <= stats.calls.poll && stats.posts_run >= 2);
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused_with_the_reason() {
    let refused = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        let error = Reactor::new(Slow::default(), config).expect_err("a contradiction");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.to_string()
    };
    assert_eq!(
        refused(|config| config.queued_bytes_low = 100_000),
        "queued_bytes_low of 100000 is above queued_bytes_high of 65536"
    );
    assert_eq!(
        refused(|config| config.recv_bytes_max = 4 << 20),
        "queued_bytes_max of 4194304 is below recv_bytes_max + queued_bytes_high = 4259840: \
         the echo of one frame might not fit"
    );
    assert_eq!(
        refused(|config| config.memory_bytes_max = 1 << 20),
        "memory_bytes_max of 1048576 is below queued_bytes_max of 4194304: one connection could use it up"
    );
    assert_eq!(
        refused(|config| config.recv_buffer_bytes = 511),
        "recv_buffer_bytes of 511 is outside 512 to 1073741824"
    );
    assert_eq!(
        refused(|config| config.idle_timeout = Some(Duration::ZERO)),
        "idle_timeout is zero, nothing could ever meet it"
    );
    assert_eq!(
        refused(|config| config.frames_per_turn = 0),
        "frames_per_turn is zero, nothing could ever happen"
    );
    assert_eq!(
        refused(|config| config.timers_max = usize::MAX),
        "timers_max of 18446744073709551615 is above 2147483647"
    );
    assert_eq!(
        refused(|config| config.accept_retry_min = Duration::from_secs(2)),
        "accept_retry_min of 2s is above accept_retry_max of 1s"
    );
}
