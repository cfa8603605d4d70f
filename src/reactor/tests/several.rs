//! Several addresses for one connection: events that do not say which socket they are of.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Bench, Sock, Told, closed, event, line};
use crate::config::Config;
use crate::connect::Connect;
use crate::error::Close;
use crate::id::ConnId;
use crate::readiness::Readiness;

const READABLE: Readiness = Readiness::READABLE;
const WRITABLE: Readiness = Readiness::WRITABLE;
const STAGGER: Duration = Duration::from_millis(250);

/// How often at most a socket of these tests is asked while it is pending.
const OFTEN: usize = 1000;

fn addrs(count: u16) -> Connect {
    Connect::to_any((1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port)))).expect("some")
}

/// Has the program connect to several addresses whose sockets are pending.
fn connect(bench: &mut Bench, count: u16) -> (ConnId, Vec<Sock>) {
    let socks: Vec<_> = (0..count).map(|_| Sock::default()).collect();
    for sock in &socks {
        sock.0.borrow_mut().peer.extend([ErrorKind::NotConnected; OFTEN]);
        bench.net.0.borrow_mut().connects.push_back(Ok(sock.clone()));
    }
    let id = bench.reactor.connect(addrs(count), 0).expect("there is room");
    bench.settle();
    (id, socks)
}

fn is_closed(sock: &Sock) -> bool {
    sock.0.borrow().closed
}

// D5: the next one is tried when the stagger is over and not before; then nothing wakes the loop but the end.
#[test]
fn d5_the_wheel_wakes_for_each_address_and_then_for_the_end() {
    let mut bench = Bench::quiet(Config::default());
    let (_, socks) = connect(&mut bench, 3);
    let begun = |bench: &Bench| 3 - bench.net.0.borrow().connects.len();
    assert_eq!((begun(&bench), bench.settle()), (1, Some(STAGGER)));
    bench.pass(STAGGER.saturating_sub(Duration::from_millis(1)));
    assert_eq!(begun(&bench), 1);
    bench.pass(Duration::from_millis(1));
    assert_eq!((begun(&bench), bench.settle()), (2, Some(STAGGER)));
    let left = bench.pass(STAGGER).expect("the end of its time");
    assert_eq!(begun(&bench), 3);
    assert_eq!(left + 2 * STAGGER, Config::default().connect_timeout);
    bench.pass(left);
    assert_eq!(bench.told(), [Told::ConnectFailed("timed out waiting for the connect".into())]);
    assert!(socks.iter().all(is_closed));
}

// A6, A21: events of all kinds that were meant for sockets that lost reach the one that won, and mean nothing to it.
#[test]
fn a21_events_of_losers_mean_nothing_to_the_winner() {
    let all = [
        READABLE,
        WRITABLE,
        READABLE.or(WRITABLE).or(Readiness::ERROR).or(Readiness::READ_CLOSED).or(Readiness::WRITE_CLOSED),
        Readiness::ERROR,
        Readiness::READ_CLOSED,
        Readiness::EXCEPTIONAL,
    ];
    for readiness in all {
        let mut bench = Bench::quiet(Config::default());
        let (id, socks) = connect(&mut bench, 3);
        bench.pass(STAGGER);
        bench.pass(STAGGER);
        socks[1].0.borrow_mut().peer.clear();
        // One poll tells of all three.
        bench.events(&[event(id, WRITABLE), event(id, readiness), event(id, readiness)]);
        assert_eq!(socks.iter().map(is_closed).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!((bench.told(), bench.reactor.stats().connected), (vec![], 1));
        bench.event(id, readiness);
        socks[1].receives(b"hello\n");
        bench.event(id, READABLE);
        socks[1].receives(b"");
        bench.event(id, READABLE.or(Readiness::READ_CLOSED));
        assert_eq!(
            bench.told(),
            [line("hello"), Told::HalfClosed, closed("ended by the peer")],
            "{readiness:?}"
        );
    }
}

// D2: an event of one that has failed, of one that has not, and of nobody: only the failure makes way for the next.
#[test]
fn d2_a_failure_makes_way_and_a_spurious_event_does_not() {
    let mut bench = Bench::quiet(Config::default());
    let (id, socks) = connect(&mut bench, 3);
    let begun = |bench: &Bench| 3 - bench.net.0.borrow().connects.len();
    bench.event(id, WRITABLE);
    assert_eq!(begun(&bench), 1);
    socks[0].0.borrow_mut().errors.push_back(Some(ErrorKind::ConnectionRefused));
    bench.event(id, READABLE.or(Readiness::ERROR));
    assert_eq!((begun(&bench), is_closed(&socks[0])), (2, true));
    // Its own time begins anew.
    assert_eq!(bench.settle(), Some(STAGGER));
    socks[1].0.borrow_mut().errors.push_back(Some(ErrorKind::ConnectionRefused));
    bench.event(id, Readiness::ERROR);
    socks[2].0.borrow_mut().errors.push_back(Some(ErrorKind::HostUnreachable));
    bench.event(id, Readiness::ERROR);
    let text = "socket error: 127.0.0.1:2: connection refused (3 addresses were tried)";
    assert_eq!(bench.told(), [Told::ConnectFailed(text.into())]);
    assert_eq!(bench.reactor.stats().calls.close, 3);
}

// D3: all fail at once: no callback comes from within the call, and one comes.
#[test]
fn d3_addresses_that_fail_at_once_are_told_by_the_loop() {
    let mut bench = Bench::quiet(Config::default());
    bench.net.0.borrow_mut().connects.extend((0..3).map(|_| Err(ErrorKind::NetworkUnreachable)));
    let id = bench.reactor.connect(addrs(3), 0).expect("there is room");
    assert_eq!(bench.told(), []);
    assert!(bench.reactor.with(|_, cx| cx.send_to(id, b"never")).is_queued());
    bench.settle();
    let text = "socket error: 127.0.0.1:3: network unreachable (3 addresses were tried)";
    assert_eq!(bench.told(), [Told::ConnectFailed(text.into())]);
    assert_eq!((bench.reactor.stats().open, bench.reactor.cx.held_bytes()), (0, 0));
}

// A14: a socket without a place in the poll is closed, and the next address tried.
#[test]
fn a14_an_address_whose_socket_cannot_be_registered_makes_way() {
    let mut bench = Bench::quiet(Config::default());
    bench.net.0.borrow_mut().registers.push_back(Some(ErrorKind::StorageFull));
    let (_, socks) = connect(&mut bench, 2);
    assert_eq!((is_closed(&socks[0]), is_closed(&socks[1])), (true, false));
    assert_eq!(bench.told(), []);
}

// D11: closed at each stage, in a callback of another or from outside: told once, everything closed.
#[test]
fn d11_a_race_closed_with_one_attempt_or_more_closes_them_all() {
    for tried in 1..=3 {
        let mut bench = Bench::quiet(Config::default());
        let (id, socks) = connect(&mut bench, 3);
        for _ in 1..tried {
            bench.pass(STAGGER);
        }
        bench.reactor.with(|_, cx| cx.close(id, Close::Abort));
        bench.settle();
        assert!(matches!(&bench.told()[..], [Told::ConnectFailed(_)]), "{tried} tried");
        assert_eq!(socks.iter().filter(|&sock| is_closed(sock)).count(), tried);
        bench.reactor.audit_empty().expect("nothing is left");
    }
}

fn put_off(bench: &mut Bench, after: Duration) -> ConnId {
    let sock = Sock::default();
    sock.0.borrow_mut().peer.extend([ErrorKind::NotConnected; OFTEN]);
    bench.net.0.borrow_mut().connects.push_back(Ok(sock));
    let to = Connect::from(([127, 0, 0, 1], 1)).after(after);
    bench.reactor.connect(to, 0).expect("there is room")
}

// D15: it begins when its time has come and not before, and only then its own time begins.
#[test]
fn d15_a_connect_that_is_put_off_wakes_the_loop_when_it_begins_and_not_before() {
    let mut bench = Bench::quiet(Config::default());
    let after = Duration::from_secs(20);
    put_off(&mut bench, after);
    let begun = |bench: &Bench| 1 - bench.net.0.borrow().connects.len();
    assert_eq!((begun(&bench), bench.settle()), (0, Some(after)));
    bench.pass(after.saturating_sub(Duration::from_millis(1)));
    assert_eq!(begun(&bench), 0);
    let left = bench.pass(Duration::from_millis(1)).expect("the end of its time");
    assert_eq!((begun(&bench), left), (1, Config::default().connect_timeout));
    bench.pass(left);
    assert_eq!(bench.told(), [Told::ConnectFailed("timed out waiting for the connect".into())]);
}

// D11: what is closed before it began never begins, and is told once.
#[test]
fn d11_a_connect_that_is_put_off_can_be_closed() {
    let mut bench = Bench::quiet(Config::default());
    let id = put_off(&mut bench, Duration::from_secs(20));
    bench.settle();
    bench.reactor.with(|_, cx| cx.close(id, Close::Flush));
    assert_eq!(bench.settle(), None);
    assert_eq!(bench.told().len(), 1);
    assert_eq!(bench.net.0.borrow().connects.len(), 1, "it was never begun");
}
