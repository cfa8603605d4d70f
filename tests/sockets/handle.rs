//! I: the way in from other threads. Nothing is lost, nothing blocks, and a wake-up serves many.

use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use switchboard::codec::Raw;
use switchboard::{
    CloseKind, Config, Conn, Context, Frame, Handle, Handler, Peer, PostError, Reactor, Result, Stop,
};

use crate::server::{PATIENCE, Server, let_pass};

/// Echoes, and keeps what posted closures put here.
#[derive(Default)]
struct Posted {
    next: Vec<u64>,
    runs: u64,
}

impl Handler for Posted {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        cx.send(bytes);
        Ok(())
    }
}

fn server(config: Config) -> Server<Posted> {
    Server::start(config, Posted::default)
}

/// Posts `f`, as often as it takes.
fn post(handle: &Handle<Posted>, f: impl FnOnce(&mut Posted, &mut Context) + Send + 'static) {
    let begin = Instant::now();
    let mut f = f;
    loop {
        f = match handle.post(f) {
            Ok(()) => return,
            Err(PostError::Full(f)) => f,
            Err(error) => panic!("{error}"),
        };
        assert!(begin.elapsed() < PATIENCE, "the queue stays full");
        std::thread::yield_now();
    }
}

// I1, I3: the queue is full most of the time, and each closure that did not fit comes back.
#[test]
fn i1_no_closure_is_lost_and_those_of_one_thread_keep_their_order() {
    const THREADS: usize = 8;
    const EACH: u64 = if cfg!(debug_assertions) { 25_000 } else { 125_000 };
    let server = server(Config::default());
    server.with(|handler, _| handler.next = vec![0; THREADS]);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let handle = server.handle.clone();
            std::thread::spawn(move || {
                for n in 0..EACH {
                    post(&handle, move |handler, _| {
                        assert_eq!(handler.next[thread], n, "out of order");
                        handler.next[thread] += 1;
                    });
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a poster posts");
    }
    server.wait_until(|handler, _| handler.next == [EACH; THREADS]);
    let stats = server.stop();
    assert!(stats.posts_run >= EACH * THREADS as u64);
    assert!(stats.calls.poll <= stats.posts_run + 10, "{} polls", stats.calls.poll);
}

// I1: each post is awaited before the next one, so each needs a wake-up of its own and none may get lost.
#[test]
fn i1_every_post_to_a_sleeping_loop_wakes_it() {
    let server = server(Config::default());
    for _ in 0..2000 {
        server.with(|handler, _| handler.runs += 1);
    }
    assert_eq!(server.with(|handler, _| handler.runs), 2000);
    server.stop();
}

// I2: a thousand posts before the loop looks are one wake-up and as many turns as the budget says.
#[test]
fn i2_posts_made_while_the_loop_is_busy_share_a_wake_up() {
    let server = server(Config::default());
    let stop = server.stand_still();
    for _ in 0..1000 {
        server.handle.post(|handler, _| handler.runs += 1).expect("room for 1024");
    }
    let (tell, polls) = mpsc::channel();
    server
        .handle
        .post(move |_, cx| tell.send(cx.stats().calls.poll).expect("awaited"))
        .expect("room for 1024");
    stop.end();
    // The two that began and stopped the loop, and four for 1,001 closures at 256 a turn.
    let polls = polls.recv_timeout(PATIENCE).expect("the last closure runs");
    assert!((4..=7).contains(&polls), "{polls} polls");
    assert_eq!(server.with(|handler, _| handler.runs), 1000);
    server.stop();
}

// I3: the limit is exact, and the closure comes back whole.
#[test]
fn i3_a_full_queue_gives_the_closure_back() {
    let mut config = Config::default();
    config.posts_max = 10;
    let server = server(config);
    let stop = server.stand_still();
    for n in 0..10 {
        server.handle.post(|handler, _| handler.runs += 1).unwrap_or_else(|error| panic!("{n}: {error}"));
    }
    let precious = String::from("precious");
    let Err(PostError::Full(back)) = server.handle.post(move |_, _| drop(precious)) else {
        panic!("an eleventh closure was taken")
    };
    stop.end();
    server.wait_until(|handler, _| handler.runs == 10);
    server.handle.post(back).expect("there is room again");
    server.stop();
}

#[test]
fn a_stop_gets_through_a_full_queue_and_the_closures_left_over_are_dropped() {
    let mut config = Config::default();
    (config.posts_max, config.posts_per_turn) = (100, 1);
    let server = server(config);
    let owned = Arc::new(());
    let stop = server.stand_still();
    for _ in 0..100 {
        let owned = Arc::clone(&owned);
        server.handle.post(move |handler, _| handler.runs += Arc::strong_count(&owned) as u64).expect("room");
    }
    server.handle.stop(Stop::Now);
    stop.end();
    let stats = server.join();
    stats.result.expect("in good order");
    assert!(stats.stats.posts_run <= 3, "{} run", stats.stats.posts_run);
    assert_eq!(Arc::strong_count(&owned), 1, "closures that never ran are still there");
}

// I5: after a stop, after the reactor is gone, and after its handler was taken out of it.
#[test]
fn i5_a_post_after_the_end_gives_the_closure_back() {
    let server = server(Config::default());
    let handle = server.handle.clone();
    server.stop();
    assert_closed(&handle);
    handle.stop(Stop::Now);

    let reactor = Reactor::new(Posted::default(), Config::default()).expect("made");
    let handle = reactor.handle();
    handle.post(|_, _| {}).expect("there is a reactor");
    drop(reactor);
    assert_closed(&handle);

    let reactor = Reactor::new(Posted::default(), Config::default()).expect("made");
    let handle = reactor.handle();
    reactor.into_handler();
    assert_closed(&handle);
}

fn assert_closed(handle: &Handle<Posted>) {
    match handle.post(|_, _| {}) {
        Err(error @ PostError::Closed(_)) => assert_eq!(error.to_string(), "the reactor has stopped"),
        other => panic!("{other:?}"),
    }
}

// I5: a closure that was not run may own a handle of the reactor that will never run it.
#[test]
fn i5_what_a_closure_owns_is_dropped_with_the_reactor() {
    let owned = Arc::new(());
    let reactor = Reactor::new(Posted::default(), Config::default()).expect("made");
    let (handle, held) = (reactor.handle(), (reactor.handle(), Arc::clone(&owned)));
    handle.post(move |_, _| drop(held)).expect("there is a reactor");
    drop(reactor);
    assert_eq!(Arc::strong_count(&owned), 1);
}

// I6: on the loop itself there is nobody to wait for.
#[test]
fn i6_a_callback_may_post_and_is_told_when_the_queue_is_full() {
    let mut config = Config::default();
    config.posts_max = 5;
    let server = server(config);
    let handle = server.handle.clone();
    let (taken, turns) = server.with(move |_, cx| {
        let taken = (0..20).filter(|_| handle.post(|handler, _| handler.runs += 1).is_ok()).count();
        (taken, cx.stats().turns)
    });
    assert_eq!(taken, 5);
    server.wait_until(|handler, _| handler.runs == 5);
    assert!(server.with(|_, cx| cx.stats().turns) > turns, "in a later turn");
    server.stop();
}

/// A closure whose type does not contain itself.
type Again = Box<dyn FnOnce(&mut Posted, &mut Context) + Send>;

/// Posts itself again and again.
fn again(handle: Handle<Posted>) -> impl FnOnce(&mut Posted, &mut Context) + Send + 'static {
    move |handler, cx| {
        handler.runs += 1;
        if cx.stats().received < 80 {
            let next: Again = Box::new(again(handle.clone()));
            handle.post(next).expect("room for one");
        }
    }
}

// I4: closures without end, one a turn and sixteen waiting, and a client is served all the same.
#[test]
fn i4_closures_that_post_themselves_leave_room_for_connections() {
    let server = server(Config::default());
    for _ in 0..16 {
        post(&server.handle, again(server.handle.clone()));
    }
    let mut client = server.connect();
    for _ in 0..20 {
        client.write_all(b"ping").expect("written");
        client.read_exact(&mut [0; 4]).expect("an answer");
    }
    assert!(server.with(|handler, _| handler.runs) > 20);
    drop(client);
    server.stop();
}

// I10: contained, when that is asked for: neither connections nor other closures are concerned.
#[test]
fn i10_a_closure_that_panics_takes_nobody_along() {
    let mut config = Config::default();
    config.isolate_panics = true;
    let server = server(config);
    let mut client = server.connect();
    client.write_all(b"ping").expect("written");
    client.read_exact(&mut [0; 4]).expect("an answer");
    let stop = server.stand_still();
    for n in 0..20_u64 {
        post(&server.handle, move |handler, _| {
            assert!(n % 2 == 0, "as it was told");
            handler.runs += 1;
        });
    }
    stop.end();
    server.wait_until(|handler, _| handler.runs == 10);
    client.write_all(b"ping").expect("written");
    client.read_exact(&mut [0; 4]).expect("an answer");
    drop(client);
    let stats = server.stop();
    assert_eq!((stats.panics, stats.closed(CloseKind::Panicked)), (10, 0));
}

// I10: by default it leaves `run`. Nothing is left open, and whoever posts next is told.
#[test]
fn i10_a_panic_that_leaves_the_loop_closes_every_socket() {
    let mut reactor = Reactor::new(Posted::default(), Config::default()).expect("made");
    let listener = reactor.listen("127.0.0.1:0").expect("a free port");
    let addr = reactor.local_addr(listener).expect("bound").socket_addr().expect("IP");
    let mut client = std::net::TcpStream::connect(addr).expect("connected");
    while reactor.stats().open == 0 {
        reactor.turn(None).expect("a turn");
    }
    let handle = reactor.handle();
    handle.post(|_, _| panic!("as it was told")).expect("posted");
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reactor.run()));
    assert!(caught.is_err());
    assert_closed(&handle);
    match client.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("still open: {other:?}"),
    }
    assert_eq!(reactor.run().expect_err("for good").to_string(), "the reactor has stopped");
}

// I7: the loop sleeps without any deadline; the handle that goes away is the last thing that could wake it.
#[test]
fn i7_the_loop_returns_when_its_last_handle_is_dropped_whenever_that_is() {
    let (ended, end) = mpsc::channel();
    let rounds = std::thread::spawn(move || {
        for _ in 0..1000 {
            let mut reactor = Reactor::new(Posted::default(), Config::default()).expect("made");
            let handles = [reactor.handle(), reactor.handle()];
            let droppers = handles.map(|handle| std::thread::spawn(move || drop(handle)));
            reactor.run().expect("in good order");
            for dropper in droppers {
                dropper.join().expect("no panic");
            }
        }
        ended.send(()).ok();
    });
    end.recv_timeout(PATIENCE).expect("the loop sleeps for ever");
    rounds.join().expect("no panic");
}

#[test]
fn a_handle_keeps_the_loop_and_its_drop_ends_it() {
    let mut reactor = Reactor::new(Posted::default(), Config::default()).expect("made");
    let handle = reactor.handle();
    let second = handle.clone();
    drop(second);
    let thread = std::thread::spawn(move || {
        let_pass(Duration::from_millis(50));
        let before = Instant::now();
        drop(handle);
        before
    });
    reactor.run().expect("in good order");
    let returned = Instant::now();
    assert!(returned >= thread.join().expect("no panic"));
    assert!(reactor.stats().calls.poll <= 4, "{} polls", reactor.stats().calls.poll);
}

/// A handler that must stay on its thread.
#[expect(dead_code, reason = "it is there for what it is not: Send")]
struct Homebound(Rc<()>);

impl Handler for Homebound {
    type Codec = Raw;
    type Session = Rc<()>;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, Rc<()>)> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }
}

#[test]
fn the_handle_of_a_handler_that_may_not_leave_its_thread_may() {
    fn may_travel<T: Send + Sync + Clone + 'static>(value: T) -> T {
        value
    }
    let mut reactor = Reactor::new(Homebound(Rc::new(())), Config::default()).expect("made");
    let handle = may_travel(reactor.handle());
    std::thread::spawn(move || handle.post(|_, cx| cx.stop(Stop::Now)).is_ok());
    reactor.run().expect("stopped");
}
