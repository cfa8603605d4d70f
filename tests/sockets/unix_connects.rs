//! Connecting to Unix sockets, whose outcome is known at once, or when there is room.

use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use switchboard::{Addr, Config, Connect, Reactor, Stop};

use crate::turns::{Scribe, settle, turn_until_told};
use crate::unix::{Place, connect, echo, hear, say};

fn client(config: Config) -> Reactor<Scribe> {
    Reactor::new(Scribe::echo(), config).expect("a reactor can be made")
}

/// A listener that has room for one, and whom it is.
fn full(place: &Place) -> (Socket, Socket) {
    let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    let at = SockAddr::unix(place.path("socket")).expect("short");
    let (listener, filler) = (socket(), socket());
    listener.bind(&at).expect("free");
    listener.listen(0).expect("bound");
    filler.connect(&at).expect("there is room for one");
    (listener, filler)
}

#[test]
fn a_connection_to_a_unix_socket_is_like_any_other() {
    let place = Place::new("client");
    let mut server = echo(place.addr("socket"));
    let mut reactor = client(Config::default());
    let id = reactor.with(|_, cx| cx.connect(Connect::to(place.addr("socket")), 7)).expect("room");
    reactor.with(|_, cx| assert!(cx.send_to(id, b"before it was connected\n").is_queued()));
    turn_until_told(&mut reactor, 1);
    assert_eq!(reactor.handler().log, ["opened 7"]);
    turn_until_told(&mut server, 2);
    turn_until_told(&mut reactor, 2);
    assert_eq!(reactor.handler().log[1], "received before it was connected");
    assert_eq!(reactor.connections().next().expect("one is open").peer, place.addr("socket").into());
}

// D3: the kernel says at once that it fails; the handler is told by the loop, and not within the call.
#[test]
fn d3_a_connect_that_fails_at_once_is_told_by_the_loop() {
    let place = Place::new("fails");
    drop(std::os::unix::net::UnixListener::bind(place.path("left over")).expect("free"));
    let mut reactor = client(Config::default());
    for (told, name) in [(0, "missing"), (1, "left over")] {
        reactor.with(|handler, cx| {
            cx.connect(place.addr(name), 9).expect("room");
            assert_eq!(handler.log.len(), told);
        });
        assert_eq!(reactor.handler().log.len(), told);
        turn_until_told(&mut reactor, told + 1);
    }
    let log = &reactor.handler().log;
    assert!(log[0].starts_with("connect 9 failed: "), "{log:?}");
    assert!(log[0].contains("/missing: No such file or directory"), "{log:?}");
    assert!(log[1].contains("/left over: Connection refused"), "{log:?}");
}

// D9: the backlog is full, and no event will say when it is not.
#[test]
fn d9_a_connect_to_a_full_backlog_is_tried_again_until_there_is_room() {
    let place = Place::new("backlog");
    let (listener, _filler) = full(&place);
    let mut reactor = client(Config::default());
    let id = reactor.with(|_, cx| cx.connect(place.addr("socket"), 1)).expect("room");
    reactor.with(|_, cx| assert!(cx.send_to(id, b"patience\n").is_queued()));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(50) {
        reactor.turn(Some(Duration::from_millis(50))).expect("a turn");
    }
    assert!(reactor.handler().log.is_empty());
    // It waits between two tries, ever longer.
    assert!(reactor.stats().turns < 40, "{:?}", reactor.stats());
    listener.accept().expect("the one that filled it");
    turn_until_told(&mut reactor, 1);
    assert_eq!(reactor.handler().log, ["opened 1"]);
    let (stream, _) = listener.accept().expect("the one that waited");
    settle(&mut reactor);
    let mut heard = [std::mem::MaybeUninit::uninit(); 9];
    assert_eq!(stream.recv(&mut heard).expect("what was queued"), 9);
}

// D9, D5: there is never room.
#[test]
fn d9_a_backlog_that_stays_full_fails_in_time() {
    let place = Place::new("stays-full");
    let (_listener, _filler) = full(&place);
    let mut config = Config::default();
    config.connect_timeout = Duration::from_millis(100);
    let mut reactor = client(config);
    reactor.with(|_, cx| cx.connect(place.addr("socket"), 1)).expect("room");
    let begin = Instant::now();
    reactor.run().expect("returns when nothing is left");
    assert!(begin.elapsed() >= Duration::from_millis(100), "early");
    assert_eq!(reactor.handler().log, ["connect 1 failed: timed out waiting for the connect"]);
    assert_eq!((reactor.stats().connects_failed, reactor.stats().open), (1, 0));
}

// D9, D11: closed, or stopped, while it waits for its next try.
#[test]
fn d9_a_connect_that_waits_can_be_given_up() {
    let place = Place::new("given-up");
    let (_listener, _filler) = full(&place);
    let mut reactor = client(Config::default());
    let id = reactor.with(|_, cx| cx.connect(place.addr("socket"), 1)).expect("room");
    reactor.with(|_, cx| cx.connect(place.addr("socket"), 2)).expect("room");
    reactor.turn(Some(Duration::ZERO)).expect("the first try");
    reactor.with(|_, cx| cx.close(id, switchboard::Close::Flush));
    turn_until_told(&mut reactor, 1);
    assert!(reactor.handler().log[0].starts_with("connect 1 failed: "));
    reactor.with(|_, cx| cx.stop(Stop::Now));
    reactor.run().expect("stopped");
    assert!(reactor.handler().log[1].starts_with("connect 2 failed: "));
}

// D9: one of several whose backlog is full has not failed; it is tried again, behind those that were not tried yet.
#[test]
fn d9_a_full_backlog_among_several_addresses_is_tried_again() {
    let place = Place::new("among-several");
    let (listener, _filler) = full(&place);
    let full: Addr = place.addr("socket").into();
    let refused: Addr = place.addr("missing").into();
    let mut reactor = client(Config::default());
    let mut accepted = Vec::new();
    for addrs in [vec![full.clone()], vec![full, refused]] {
        let connect = Connect::to_any(addrs).expect("a few");
        reactor.with(|_, cx| cx.connect(connect, 1)).expect("room");
        let (begin, turns) = (Instant::now(), reactor.stats().turns);
        while begin.elapsed() < Duration::from_millis(50) {
            reactor.turn(Some(Duration::from_millis(50))).expect("a turn");
        }
        assert!(reactor.handler().log.is_empty(), "{:?}", reactor.handler().log);
        assert!(reactor.stats().turns - turns < 40, "{:?}", reactor.stats());
        accepted.push(listener.accept().expect("the one that filled it"));
        turn_until_told(&mut reactor, 1);
        assert_eq!(reactor.with(|handler, _| handler.log.pop()).as_deref(), Some("opened 1"));
    }
}

// D9, D5: all of them stay full.
#[test]
fn d9_several_backlogs_that_stay_full_fail_in_time() {
    let place = Place::new("all-full");
    let (_listener, _filler) = full(&place);
    let mut reactor = client(Config::default());
    let connect = Connect::to_any([place.addr("socket")]).expect("one");
    reactor.with(|_, cx| cx.connect(connect.timeout(Duration::from_millis(100)), 1)).expect("room");
    reactor.run().expect("returns when nothing is left");
    assert_eq!(reactor.handler().log, ["connect 1 failed: timed out waiting for the connect"]);
    assert_eq!((reactor.stats().connects_failed, reactor.stats().open), (1, 0));
}

#[test]
fn two_that_have_no_name_are_not_one_connected_to_itself() {
    let (one, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let mut reactor = client(Config::default());
    reactor.adopt(one, 0).expect("adopted");
    say(&other, "hello\n");
    turn_until_told(&mut reactor, 2);
    hear(&other, "hello\n");
    let place = Place::new("no-name");
    let mut server = echo(place.addr("socket"));
    connect(&place.path("socket"));
    turn_until_told(&mut server, 1);
}
