//! H: the timers that programs set. Never early, in order, cancelled for good, and never in the way of I/O.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use switchboard::codec::{Lines, Raw};
use switchboard::{
    Close, CloseReason, Config, Conn, Context, Frame, Handler, ListenerId, Peer, Reactor, Result, Stop,
    TimerError, TimerId,
};

use crate::server::{PATIENCE, Server};

const MS: Duration = Duration::from_millis(1);

/// A handler for timers of the reactor: calls `alarm` for each, and echoes what connections send.
struct Alarms<F>(F);

impl<F: FnMut(&mut Context, u64)> Handler for Alarms<F> {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        cx.send(bytes);
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        (self.0)(cx, key);
    }
}

fn reactor<F: FnMut(&mut Context, u64)>(config: Config, alarm: F) -> Reactor<Alarms<F>> {
    Reactor::new(Alarms(alarm), config).expect("made")
}

fn set(cx: &mut Context, after: Duration, key: u64) -> TimerId {
    cx.set_alarm(after, key).expect("room for a timer")
}

// H1: fractions of a millisecond, bucket borders of the wheel, and nothing at all.
#[test]
fn h1_a_timer_is_never_early_and_the_loop_does_not_spin_until_it_is_due() {
    let afters = [0, 1, 900_000, 1_000_000, 1_000_001, 3_500_000, 63_000_000, 64_000_000, 65_999_999];
    let afters = afters.map(Duration::from_nanos);
    let mut fired = Vec::new();
    let mut reactor = reactor(Config::default(), |_, key| fired.push((key, Instant::now())));
    let begin = Instant::now();
    reactor.with(|_, cx| {
        for key in (0..afters.len()).rev() {
            set(cx, afters[key], key as u64);
        }
    });
    reactor.run().expect("returns when the last timer has fired");
    let stats = reactor.stats().clone();
    drop(reactor);
    assert_eq!(fired.iter().map(|&(key, _)| key).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    for ((_, at), after) in fired.into_iter().zip(afters) {
        assert!(at - begin >= after, "{after:?} after {:?}", at - begin);
    }
    assert_eq!(stats.timers_fired, 9);
    // One poll for each of the six milliseconds that differ, and one more where a bucket was split.
    assert!(stats.calls.poll <= 12, "{} polls", stats.calls.poll);
}

#[test]
fn timers_of_one_deadline_fire_in_the_order_they_were_set() {
    let mut fired = Vec::new();
    let mut reactor = reactor(Config::default(), |_, key| fired.push(key));
    reactor.with(|_, cx| {
        for key in 0..5000 {
            set(cx, 5 * MS, key);
        }
        set(cx, 4 * MS, 9999);
    });
    reactor.run().expect("returns when the last timer has fired");
    drop(reactor);
    assert_eq!(fired[0], 9999);
    assert!(fired[1..].iter().copied().eq(0..5000));
}

// H9: both are due in one turn, and the first one's callback cancels the second.
#[test]
fn h9_a_timer_cancelled_in_the_turn_in_which_it_is_due_does_not_fire() {
    let (tell, told) = mpsc::channel();
    let mut ids: Vec<TimerId> = Vec::new();
    let mut reactor = Reactor::new(Canceller { tell, cancel: Vec::new() }, Config::default()).expect("made");
    reactor.with(|handler, cx| {
        for key in 0..4 {
            ids.push(set(cx, 2 * MS, key));
        }
        handler.cancel = ids.clone();
    });
    reactor.run().expect("returns when no timer is left");
    drop(reactor);
    // The first is not set any more when it fires; of the others, each is cancelled once.
    let expected = [(0, vec![false, true, true, true]), (7, vec![false; 4])];
    assert_eq!(told.iter().collect::<Vec<_>>(), expected);
}

/// Cancels all it knows in each callback and says what came of it; the first sets one more.
struct Canceller {
    tell: mpsc::Sender<(u64, Vec<bool>)>,
    cancel: Vec<TimerId>,
}

impl Handler for Canceller {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        if key == 0 {
            // It takes the place of the one that just fired, whose name must not reach it.
            set(cx, MS, 7);
        }
        let cancelled = self.cancel.iter().map(|&id| cx.cancel(id)).collect();
        self.tell.send((key, cancelled)).ok();
    }
}

// G11: a timer of no delay set in its own callback runs in the next turn, after I/O.
#[test]
fn g11_a_timer_of_zero_that_sets_itself_again_runs_once_a_turn() {
    let mut fired = 0;
    let mut reactor = reactor(Config::default(), |cx, key| {
        fired += 1;
        set(cx, Duration::ZERO, key);
    });
    reactor.with(|_, cx| set(cx, Duration::ZERO, 1));
    for _ in 0..50 {
        assert!(reactor.turn(None).expect("a turn"), "a timer is set");
    }
    drop(reactor);
    assert_eq!(fired, 50);
}

#[test]
fn g11_a_timer_of_zero_that_sets_itself_again_leaves_room_for_connections() {
    let server = Server::start(Config::default(), || {
        Alarms(|cx: &mut Context, key| {
            set(cx, Duration::ZERO, key);
        })
    });
    server.with(|_, cx| {
        set(cx, Duration::ZERO, 1);
    });
    let mut client = server.connect();
    let mut answer = [0; 4];
    for _ in 0..20 {
        client.write_all(b"ping").expect("written");
        client.read_exact(&mut answer).expect("an answer");
    }
    drop(client);
    server.stop();
}

#[test]
fn a_timer_set_again_in_its_callback_counts_from_there() {
    let mut fired = Vec::new();
    let mut reactor = reactor(Config::default(), |cx, key| {
        fired.push(Instant::now());
        if key < 5 {
            set(cx, 3 * MS, key + 1);
        }
    });
    reactor.with(|_, cx| set(cx, MS, 1));
    reactor.run().expect("returns when the last timer has fired");
    drop(reactor);
    assert_eq!(fired.len(), 5);
    assert!(fired.windows(2).all(|pair| pair[1] - pair[0] >= 3 * MS), "{fired:?}");
}

// H2: longer than any wait the system takes. H3: longer than there is time.
#[test]
fn h3_timers_of_a_month_and_of_for_ever_wait_without_a_wake_up_and_can_be_cancelled() {
    let month = Duration::from_secs(30 * 24 * 3600);
    for after in [month, Duration::MAX.saturating_sub(Duration::from_nanos(1)), Duration::MAX] {
        let mut reactor = reactor(Config::default(), |_, _| panic!("nobody lives that long"));
        let id = reactor.with(|_, cx| set(cx, after, 1));
        let begin = Instant::now();
        assert!(reactor.turn(Some(20 * MS)).expect("a turn"), "a timer is set");
        assert!(begin.elapsed() >= 20 * MS, "the turn returned early");
        // Posted while it waits without a limit of its own.
        let handle = reactor.handle();
        let poster = std::thread::spawn(move || handle.post(|_, _| {}).is_ok());
        while reactor.stats().posts_run == 0 {
            reactor.turn(None).expect("a turn");
        }
        assert!(poster.join().expect("no panic"));
        assert!(reactor.stats().calls.poll <= 4, "{} polls", reactor.stats().calls.poll);
        assert!(reactor.with(|_, cx| cx.cancel(id)));
        assert!(!reactor.turn(Some(Duration::ZERO)).expect("a turn"), "nothing is left to wait for");
    }
}

// H6: the clock that a turn began with is long out of date when a slow callback sets its timer.
#[test]
fn h6_a_timer_set_in_a_slow_callback_counts_from_its_end() {
    let mut ends = Vec::new();
    let mut reactor = reactor(Config::default(), |cx, key| {
        if key == 1 {
            set(cx, 30 * MS, 2);
            let begin = Instant::now();
            while begin.elapsed() < 120 * MS {
                std::hint::spin_loop();
            }
        }
        ends.push(Instant::now());
    });
    reactor.with(|_, cx| set(cx, MS, 1));
    reactor.run().expect("returns when the last timer has fired");
    drop(reactor);
    assert!(ends[1] - ends[0] >= 30 * MS, "only {:?} after the slow callback", ends[1] - ends[0]);
}

// H6: `with` before and between turns, when no turn has looked at the clock for long.
#[test]
fn h6_now_is_up_to_date_between_turns() {
    let mut reactor = reactor(Config::default(), |_, _| {});
    let before = reactor.with(|_, cx| cx.now());
    let begin = Instant::now();
    while begin.elapsed() < 20 * MS {
        std::hint::spin_loop();
    }
    let after = reactor.with(|_, cx| cx.now());
    assert!(after.since(before) >= 20 * MS, "only {:?}", after.since(before));
}

// H8: a million timers on one millisecond, a thousand a turn, and a connection is served all the while.
#[test]
fn h8_a_million_timers_at_once_fire_in_order_over_many_turns() {
    const COUNT: u64 = 1_000_000;
    let (tell, told) = mpsc::channel();
    let server = Server::start(Config::default(), || {
        let mut next = 0;
        Alarms(move |_: &mut Context, key| {
            assert_eq!(key, next, "in the order they were set");
            next += 1;
            if next == COUNT {
                tell.send(Instant::now()).ok();
            }
        })
    });
    let mut client = server.connect();
    client.write_all(b"here").expect("written");
    let mut answer = [0; 4];
    client.read_exact(&mut answer).expect("an answer");
    let (turns, refused) = server.with(|_, cx| {
        for key in 0..COUNT {
            set(cx, MS, key);
        }
        (cx.stats().turns, cx.set_alarm(MS, COUNT))
    });
    assert_eq!(refused, Err(TimerError::Full { limit: 1_000_000 }));
    client.write_all(b"ping").expect("written");
    client.read_exact(&mut answer).expect("an answer");
    let answered = Instant::now();
    let all_fired = told.recv_timeout(PATIENCE).expect("all fire");
    assert!(answered < all_fired, "the connection waited for all timers");
    let turns = server.with(move |_, cx| cx.stats().turns - turns);
    assert!((977..1100).contains(&turns), "{turns} turns");
    drop(client);
    assert_eq!(server.stop().timers_fired, COUNT);
}

// H11: setting and cancelling leaves nothing behind, so the smallest limit is never reached.
#[test]
fn h11_a_timer_reset_over_and_over_takes_the_room_of_one() {
    let mut config = Config::default();
    config.timers_max = 2;
    let mut fired = Vec::new();
    let mut reactor = reactor(config, |_, key| fired.push(key));
    reactor.with(|_, cx| {
        let mut id = set(cx, 10_000 * MS, 0);
        for key in 1..100_000 {
            let again = set(cx, Duration::from_millis(key % 5000 + 60_000), key);
            assert!(cx.cancel(id));
            id = again;
        }
        assert!(cx.cancel(id));
        set(cx, MS, 7);
    });
    reactor.run().expect("returns when the last timer has fired");
    assert!(reactor.stats().calls.poll <= 4, "no wake-up for a timer that is cancelled");
    drop(reactor);
    assert_eq!(fired, [7]);
}

#[test]
fn the_limit_of_timers_is_exact_and_a_cancelled_or_fired_one_makes_room() {
    let mut config = Config::default();
    config.timers_max = 3;
    let mut outcomes = Vec::new();
    let mut reactor = reactor(config, |cx, key| {
        if key < 10 {
            outcomes.push((key, cx.set_alarm(MS, 10).is_ok(), cx.set_alarm(MS, 10).is_ok()));
        }
    });
    reactor.with(|_, cx| {
        let id = set(cx, MS, 1);
        set(cx, MS, 2);
        set(cx, MS, 3);
        let full = cx.set_alarm(MS, 4).expect_err("a fourth");
        assert_eq!(full, TimerError::Full { limit: 3 });
        assert_eq!(full.to_string(), "timer beyond the limit of 3 (timers_max)");
        assert!(cx.cancel(id));
        set(cx, MS, 5);
        assert!(cx.set_alarm(MS, 6).is_err());
    });
    reactor.run().expect("returns when the last timer has fired");
    drop(reactor);
    assert_eq!(outcomes, [(2, true, false), (3, true, false), (5, true, false)]);
}

/// Does what a line says, and tells what its timers do.
struct Timed(mpsc::Sender<String>);

impl Handler for Timed {
    type Codec = Lines;
    type Session = Option<TimerId>;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, Option<TimerId>)> {
        Some((Lines::new(), None))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        match line {
            b"soon" => *conn.session = Some(cx.set_timer(conn.id, 2 * MS, 1)?),
            b"later" => *conn.session = Some(cx.set_timer(conn.id, 100 * MS, 2)?),
            b"linger" => {
                cx.close(conn.id, Close::Linger);
                self.tell(format!("{:?}", cx.set_timer(conn.id, MS, 3)));
            }
            _ => self.tell(format!("cancelled: {}", conn.session.is_some_and(|id| cx.cancel(id)))),
        }
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, key: u64) -> Result {
        assert_eq!(cx.id(), conn.id);
        self.tell(format!("timer {key}"));
        cx.send(b"fired\n");
        if key == 1 { Ok(()) } else { Err(Close::msg("timer is due")) }
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        self.tell(format!("alarm {key}"));
        cx.stop(Stop::Now);
    }

    fn closed(&mut self, cx: &mut Context, session: Option<TimerId>, why: &CloseReason) {
        let cancelled = session.is_some_and(|id| cx.cancel(id));
        self.tell(format!("closed: {why}, {cancelled}, {:?}", cx.set_timer(cx.id(), MS, 4)));
    }

    fn listen_failed(&mut self, cx: &mut Context, _: ListenerId, _: &std::io::Error) {
        self.tell("not listening".into());
        set(cx, 30 * MS, 5);
    }
}

impl Timed {
    fn tell(&self, text: String) {
        self.0.send(text).ok();
    }
}

#[test]
fn a_timer_of_a_connection_fires_for_it_and_may_send_and_close() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(Config::default(), || Timed(tell));
    let mut client = server.connect();
    client.write_all(b"soon\n").expect("written");
    let mut answer = [0; 6];
    client.read_exact(&mut answer).expect("what the timer sends");
    client.write_all(b"soon\ncancel\ncancel\nlater\n").expect("written");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("closed by the timer");
    assert_eq!((&answer, &rest[..]), (b"fired\n", &b"fired\n"[..]));
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
    let told: Vec<_> = told.iter().collect();
    assert_eq!(
        told,
        [
            "timer 1",
            "cancelled: true",
            "cancelled: false",
            "timer 2",
            "closed: failed: timer is due, false, Err(Closed)"
        ]
    );
}

// H9, A12: the timer is due long before the linger ends, and the connection is not the program's any more.
#[test]
fn h9_the_timers_of_a_closing_connection_never_fire() {
    let (tell, told) = mpsc::channel();
    let mut config = Config::default();
    config.linger_timeout = 60 * MS;
    let server = Server::start(config, || Timed(tell));
    let mut client = server.connect();
    client.write_all(b"soon\nlinger\n").expect("written");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("the end of their side");
    assert_eq!(rest, b"");
    // Still open on our side, so that it lingers for as long as it may.
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
    let told: Vec<_> = told.iter().collect();
    assert_eq!(told[0], "Err(Closed)");
    assert!(told[1].starts_with("closed: closed by this program"), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn the_timers_of_a_connection_that_is_gone_do_not_keep_the_loop() {
    let (tell, told) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let mut reactor = Reactor::new(Timed(tell), Config::default()).expect("made");
    let stream = std::net::TcpStream::connect(addr).expect("connected");
    let id = reactor.adopt(stream, 0).expect("adopted").expect("wanted");
    let hour = Duration::from_secs(3600);
    reactor.with(|_, cx| cx.set_timer(id, hour, 9).expect("open"));
    drop(listener.accept().expect("connected"));
    reactor.run().expect("returns when the connection is over");
    drop(reactor);
    assert_eq!(told.iter().collect::<Vec<_>>(), ["closed: ended by the peer, false, Err(Closed)"]);
}

#[test]
fn a_timer_for_a_connection_that_is_not_open_yet_is_refused() {
    let (tell, told) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let mut reactor = Reactor::new(Timed(tell), Config::default()).expect("made");
    let refused = reactor.with(|_, cx| {
        let id = cx.connect(addr, 0).expect("room");
        cx.send_to(id, b"hello\n");
        set(cx, 20 * MS, 1);
        cx.set_timer(id, Duration::ZERO, 9)
    });
    reactor.run().expect("stopped by the alarm");
    drop(reactor);
    assert_eq!(refused.expect_err("not open").to_string(), "timer for a connection that is not open yet");
    assert_eq!(told.iter().next().as_deref(), Some("alarm 1"));
}

// H6: the callback of a failed listener belongs to no visit; what comes later must not move its timer.
#[test]
fn h6_a_timer_set_when_a_listener_fails_counts_from_then() {
    let (tell, told) = mpsc::channel();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound");
    let mut reactor = Reactor::new(Timed(tell), Config::default()).expect("made");
    reactor.with(|_, cx| cx.listen(addr));
    assert!(reactor.turn(None).expect("a turn"), "the timer of 30 ms is set");
    assert_eq!(told.recv().as_deref(), Ok("not listening"));
    let begin = Instant::now();
    while begin.elapsed() < 10 * MS {
        std::hint::spin_loop();
    }
    reactor.with(|_, cx| set(cx, 25 * MS, 6));
    reactor.run().expect("stopped by an alarm");
    drop(reactor);
    // On a busy machine both may be due in the last turn.
    assert_eq!(told.iter().next().as_deref(), Some("alarm 5"), "the one that was set first");
}
