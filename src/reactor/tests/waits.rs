//! Waits: armed when begun, never early, over in time, and only for those they are for.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Bench, Told, closed, line};
use crate::config::{Config, Listen};
use crate::context::TimerError;
use crate::readiness::Readiness;

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_time_of_a_connect_counts_from_when_it_was_asked_for() {
    let mut bench = Bench::quiet(Config::default());
    // Nothing happens for longer than a connect may take; no turn refreshes the time.
    bench.net.0.borrow_mut().now += 60_000 * MS;
    let (_, sock) = bench.connect();
    sock.0.borrow_mut().peer.extend([ErrorKind::NotConnected; 2]);
    bench.settle();
    assert_eq!(bench.told(), []);
    bench.pass(9_999 * MS);
    assert_eq!(bench.told(), []);
    bench.pass(MS);
    assert_eq!(bench.told(), [Told::ConnectFailed("timed out waiting for the connect".into())]);
    assert!(sock.0.borrow().closed);
}

#[test]
fn the_time_to_take_output_counts_from_when_it_was_sent() {
    let mut bench = Bench::quiet(Config::default());
    let (id, sock) = bench.accept();
    bench.net.0.borrow_mut().now += 60_000 * MS;
    // Once when it is sent, and once more before the wait is held to be over.
    sock.sends(Err(ErrorKind::WouldBlock));
    sock.sends(Err(ErrorKind::WouldBlock));
    bench.reactor.with(|_, cx| cx.send_to(id, b"hello"));
    bench.settle();
    assert_eq!(bench.told(), []);
    bench.pass(30_000 * MS);
    assert_eq!(bench.told(), [closed("timed out waiting for the peer to take output")]);
}

// E2: what is sent while it connects waits for the connect first.
#[test]
fn e2_the_time_to_take_output_begins_with_the_connection() {
    let config = Config { write_timeout: 1_000 * MS, ..Config::default() };
    let mut bench = Bench::quiet(config);
    let (id, sock) = bench.connect();
    sock.0.borrow_mut().peer.push_back(ErrorKind::NotConnected);
    bench.reactor.with(|_, cx| cx.send_to(id, b"hello"));
    bench.settle();
    bench.event(id, Readiness::EMPTY);
    bench.pass(5_000 * MS);
    for _ in 0..3 {
        sock.sends(Err(ErrorKind::WouldBlock));
    }
    bench.event(id, Readiness::WRITABLE);
    bench.pass(999 * MS);
    assert_eq!(bench.told(), []);
    bench.pass(MS);
    assert_eq!(bench.told(), [closed("timed out waiting for the peer to take output")]);
}

#[test]
fn a_timer_set_when_a_listener_failed_counts_from_then() {
    let mut bench = Bench::new(Config::default(), |cx, _, told| {
        if *told == Told::ListenFailed {
            cx.set_alarm(100 * MS, 1).expect("there is room");
        }
        Ok(())
    });
    let client = bench.accept();
    bench.net.0.borrow_mut().listens.push_back(ErrorKind::AddrInUse);
    bench.reactor.with(|_, cx| cx.listen(Listen::new(SocketAddr::from(([127, 0, 0, 1], 1)))));
    bench.settle();
    bench.pass(50 * MS);
    bench.receive(&client, b"x\n");
    bench.pass(50 * MS);
    assert_eq!(bench.told(), [Told::ListenFailed, line("x"), Told::Alarm(1)]);
}

#[test]
fn a_timer_for_a_connection_that_is_still_connecting_is_refused() {
    let mut bench = Bench::quiet(Config::default());
    let (id, _) = bench.connect();
    bench.reactor.with(|_, cx| cx.send_to(id, b"early"));
    let set = bench.reactor.with(|_, cx| cx.set_timer(id, MS, 1));
    assert_eq!(set, Err(TimerError::NotOpen));
    bench.pass(MS);
    bench.event(id, Readiness::WRITABLE);
    assert!(bench.reactor.with(|_, cx| cx.set_timer(id, MS, 2)).is_ok());
    bench.pass(MS);
    assert_eq!(bench.told(), [Told::Timer(2)]);
}

#[test]
fn a_frame_that_the_program_does_not_let_in_is_not_late() {
    let config = Config { frame_timeout: Some(100 * MS), ..Config::default() };
    let mut bench = Bench::quiet(config);
    let client = bench.accept();
    bench.receive(&client, b"ha");
    bench.reactor.with(|_, cx| cx.pause(client.0));
    // The rest came in time, but nobody looks.
    bench.receive(&client, b"lf\n");
    bench.pass(500 * MS);
    assert_eq!(bench.told(), []);
    bench.reactor.with(|_, cx| cx.resume(client.0));
    bench.settle();
    assert_eq!(bench.told(), [line("half")]);
}

#[test]
fn a_connection_that_was_active_is_idle_from_then_on() {
    let config = Config { idle_timeout: Some(100 * MS), ..Config::default() };
    let mut bench = Bench::quiet(config);
    let client = bench.accept();
    bench.pass(60 * MS);
    bench.receive(&client, b"x\n");
    // The wait that began with the connection is over here and the one since the line is not.
    bench.pass(60 * MS);
    assert_eq!(bench.told(), [line("x")]);
    bench.pass(40 * MS);
    assert_eq!(bench.told(), [closed("timed out waiting for any byte")]);
}

#[test]
fn an_alarm_set_by_an_alarm_waits_for_the_next_turn() {
    let mut bench = Bench::new(Config::default(), |cx, _, told| {
        if matches!(told, Told::Alarm(_)) {
            cx.set_alarm(Duration::ZERO, 1).expect("there is room");
        }
        Ok(())
    });
    bench.reactor.with(|_, cx| cx.set_alarm(Duration::ZERO, 1)).expect("there is room");
    for _ in 0..5 {
        bench.reactor.turn(None).expect("a turn");
        assert_eq!(bench.told(), [Told::Alarm(1)]);
    }
}
