//! Faults of the system below: interrupted, spurious, refused, partial, late, failing for good.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::{Bench, Sock, Told, closed, event, line, listener_event};
use crate::config::Config;
use crate::error::Close;
use crate::readiness::Readiness;

const READABLE: Readiness = Readiness::READABLE;
const WRITABLE: Readiness = Readiness::WRITABLE;
const MS: Duration = Duration::from_millis(1);

/// Answers each line with itself in capitals.
fn echo() -> Bench {
    Bench::new(Config::default(), |cx, _, told| {
        if let Told::Line(text) = told {
            cx.send(&text.to_ascii_uppercase());
            cx.send(b"\n");
        }
        Ok(())
    })
}

// A6: events that mean nothing, of everything there can be events of.
#[test]
fn a6_spurious_events_call_nobody_and_close_nothing() {
    let mut bench = echo();
    let client = bench.accept();
    let (connecting, attempt) = bench.connect();
    bench.settle();
    for readiness in [
        READABLE,
        WRITABLE,
        READABLE.or(WRITABLE),
        Readiness::EXCEPTIONAL,
        Readiness::READ_CLOSED,
        Readiness::WRITE_CLOSED,
        Readiness::ERROR,
        Readiness::EMPTY,
    ] {
        attempt.0.borrow_mut().peer.push_back(ErrorKind::NotConnected);
        bench.events(&[event(client.0, readiness), event(connecting, readiness), listener_event()]);
    }
    assert_eq!(bench.told(), []);
    bench.receive(&client, b"still\n");
    assert_eq!(client.1.sent(), b"STILL\n");
}

// A7: both halves in one event, in two, and in either order.
#[test]
fn a7_read_and_write_readiness_come_together_or_apart_with_the_same_result() {
    for batches in [
        vec![vec![READABLE.or(WRITABLE)]],
        vec![vec![READABLE, WRITABLE]],
        vec![vec![WRITABLE, READABLE]],
        vec![vec![READABLE], vec![WRITABLE]],
        vec![vec![WRITABLE], vec![READABLE]],
    ] {
        let mut bench = echo();
        let client = bench.accept();
        client.1.sends(Ok(3));
        bench.receive(&client, b"first\n");
        assert_eq!(client.1.sent(), b"FIR");
        client.1.receives(b"second\n");
        for batch in &batches {
            let events: Vec<_> = batch.iter().map(|&readiness| event(client.0, readiness)).collect();
            bench.events(&events);
        }
        assert_eq!(client.1.sent(), b"FIRST\nSECOND\n", "{batches:?}");
        assert_eq!(bench.told(), [line("first"), line("second")], "{batches:?}");
    }
}

// A10, A21: events that come after the end of what they are about, or about nothing.
#[test]
fn a21_late_and_unknown_events_are_counted_and_dropped() {
    let mut bench = echo();
    let (id, _) = bench.accept();
    bench.reactor.with(|_, cx| cx.close(id, Close::Abort));
    bench.settle();
    let (next, _) = bench.accept();
    assert_eq!(next.slot(), id.slot(), "the slot is used again");
    bench.told();
    bench.events(&[event(id, READABLE.or(Readiness::ERROR)), event(crate::id::ConnId::new(99, 1), READABLE)]);
    assert_eq!(bench.told(), []);
    assert_eq!(bench.reactor.stats().stale_events, 2);
}

// A14: no place in the poll: the connection ends, told once, its socket closed.
#[test]
fn a14_a_connection_that_cannot_be_registered_ends_with_the_reason() {
    let mut bench = echo();
    bench.net.0.borrow_mut().registers.push_back(Some(ErrorKind::StorageFull));
    let (_, sock) = bench.accept();
    assert_eq!(bench.told(), [closed("socket error: no storage space")]);
    assert!(sock.0.borrow().closed);
    bench.net.0.borrow_mut().registers.push_back(Some(ErrorKind::StorageFull));
    let (_, sock) = bench.connect();
    bench.settle();
    assert_eq!(bench.told(), [Told::ConnectFailed("socket error: no storage space".into())]);
    assert!(sock.0.borrow().closed);
    assert_eq!(bench.reactor.stats().open, 0);
}

// A14: the same for a connection that is blocked, and that polls cannot be made to watch.
#[test]
fn a14_a_connection_that_cannot_be_watched_ends_with_the_reason_and_a_reset() {
    let mut bench = echo();
    let conn = bench.accept();
    bench.net.0.borrow_mut().registers.push_back(Some(ErrorKind::StorageFull));
    conn.1.sends(Ok(2));
    bench.receive(&conn, b"hello\n");
    assert_eq!(bench.told(), [line("hello"), closed("socket error: no storage space")]);
    assert!(conn.1.0.borrow().closed && conn.1.0.borrow().reset);
    assert_eq!((bench.reactor.stats().open, bench.reactor.cx.held_bytes()), (0, 0));
}

// A16: the poll fails for good.
#[test]
fn a16_a_poll_that_fails_closes_all_and_ends_the_loop() {
    let mut bench = echo();
    let (_, sock) = bench.accept();
    bench.connect();
    bench.net.0.borrow_mut().polls.push_back(Err(ErrorKind::InvalidInput.into()));
    assert_eq!(bench.reactor.run().expect_err("the poll's error").kind(), ErrorKind::InvalidInput);
    let stopped = "the reactor stopped";
    assert_eq!(bench.told(), [closed(stopped), Told::ConnectFailed(stopped.into())]);
    assert!(sock.0.borrow().closed);
    assert!(bench.reactor.run().is_err() && bench.reactor.turn(None).is_err());
}

// B3: what came before a reset is delivered, however the event was marked.
#[test]
fn b3_bytes_before_a_reset_are_delivered_before_it() {
    for readiness in [READABLE, READABLE.or(Readiness::ERROR).or(Readiness::READ_CLOSED)] {
        let mut bench = echo();
        let (id, sock) = bench.accept();
        sock.receives(b"one\n");
        sock.receives(b"two\n");
        sock.fails_to_receive(ErrorKind::ConnectionReset);
        bench.event(id, readiness);
        bench.event(id, Readiness::ERROR);
        assert_eq!(bench.told(), [line("one"), line("two"), closed("reset by the peer")]);
    }
}

// B2, B3: the send hears of the reset first; what came before it is delivered all the same.
#[test]
fn b2_a_reset_that_a_send_finds_does_not_swallow_input() {
    let mut bench = echo();
    let client = bench.accept();
    client.1.sends(Err(ErrorKind::ConnectionReset));
    client.1.receives(b"one\n");
    client.1.receives(b"two\n");
    client.1.receives(b"three\n");
    bench.event(client.0, READABLE);
    assert_eq!(bench.told(), [line("one"), line("two"), line("three"), closed("reset by the peer")]);
    assert_eq!(client.1.0.borrow().sends, 1, "no second try on a dead socket");
}

// B5: a signal in every call.
#[test]
fn b5_an_interrupted_call_is_made_again() {
    let mut bench = echo();
    bench.net.0.borrow_mut().accepts.push_back(Err(ErrorKind::Interrupted));
    let client = bench.accept();
    for _ in 0..2 {
        client.1.fails_to_receive(ErrorKind::Interrupted);
        client.1.sends(Err(ErrorKind::Interrupted));
    }
    bench.receive(&client, b"hello\n");
    assert_eq!(client.1.sent(), b"HELLO\n");
    // Once more, with everything on the queue's way.
    client.1.sends(Ok(1));
    client.1.sends(Err(ErrorKind::Interrupted));
    bench.receive(&client, b"again\n");
    bench.event(client.0, WRITABLE);
    assert_eq!(client.1.sent(), b"HELLO\nAGAIN\n");
    assert_eq!(bench.told(), [line("hello"), line("again")]);
}

// B6: no memory for a send, and no event that says when there is.
#[test]
fn b6_a_send_without_memory_is_tried_again_and_not_for_ever() {
    let mut bench = echo();
    let client = bench.accept();
    for _ in 0..3 {
        client.1.sends(Err(ErrorKind::OutOfMemory));
    }
    bench.receive(&client, b"hello\n");
    let mut tries = 0;
    while client.1.sent().is_empty() {
        let wait = bench.settle().expect("a retry is due");
        assert!(wait > Duration::ZERO && wait <= 10 * MS, "{wait:?}");
        bench.pass(wait);
        tries += 1;
    }
    assert_eq!((tries, client.1.sent()), (3, b"HELLO\n".to_vec()));
    assert_eq!(bench.settle(), None, "nothing is left to wait for");
    // Now for good.
    for _ in 0..10_000 {
        client.1.sends(Err(ErrorKind::OutOfMemory));
    }
    bench.receive(&client, b"again\n");
    let mut waited = Duration::ZERO;
    while bench.told().iter().all(|told| !matches!(told, Told::Closed(_))) {
        let wait = bench.settle().expect("a retry is due");
        bench.pass(wait);
        waited += wait;
    }
    assert!(waited >= 30_000 * MS && waited <= 30_010 * MS, "write_timeout, not {waited:?}");
}

// B9: a send that takes nothing and does not say why.
#[test]
fn b9_a_send_of_no_bytes_neither_spins_nor_ends_anything() {
    let mut bench = echo();
    let client = bench.accept();
    client.1.sends(Ok(0));
    client.1.sends(Ok(0));
    bench.receive(&client, b"hello\n");
    assert!(client.1.0.borrow().sends <= 2, "it waits for the socket");
    bench.event(client.0, WRITABLE);
    assert_eq!(client.1.sent(), b"HELLO\n");
    assert_eq!(bench.told(), [line("hello")]);
}

// D2: writable and no error, and yet not connected.
#[test]
fn d2_a_connect_that_is_still_pending_after_an_event_waits_on() {
    let mut bench = echo();
    let (id, sock) = bench.connect();
    bench.settle();
    for _ in 0..3 {
        sock.0.borrow_mut().peer.push_back(ErrorKind::NotConnected);
        bench.event(id, WRITABLE);
    }
    assert_eq!((bench.told(), bench.reactor.stats().connected), (vec![], 0));
    bench.event(id, WRITABLE);
    assert_eq!(bench.reactor.stats().connected, 1);
}

// D13: what Linux says of a socket that was never connected: hung up, and no error. It decides nothing.
#[test]
fn d13_a_hang_up_without_an_error_does_not_end_a_connect() {
    let mut bench = echo();
    let (id, sock) = bench.connect();
    bench.settle();
    sock.0.borrow_mut().peer.extend([ErrorKind::NotConnected; 2]);
    bench.event(id, WRITABLE.or(Readiness::READ_CLOSED).or(Readiness::WRITE_CLOSED));
    assert_eq!((bench.told(), bench.reactor.stats().connected), (vec![], 0));
    bench.pass(Config::default().connect_timeout);
    assert_eq!(bench.told(), [Told::ConnectFailed("timed out waiting for the connect".into())]);
}

// D8: a port of the ephemeral range that nobody listens on, and the system gave the socket the same.
#[test]
fn d8_a_connect_that_met_itself_is_refused() {
    let mut bench = echo();
    let (id, sock) = bench.connect();
    sock.0.borrow_mut().alone = true;
    bench.settle();
    bench.event(id, WRITABLE);
    assert_eq!(bench.told(), [Told::ConnectFailed("socket error: connected to itself".into())]);
    assert!(sock.0.borrow().closed);
}

// E5: the kernel takes any number of bytes of the batch, then of the queue.
#[test]
fn e5_a_send_cut_at_every_pair_of_bytes_goes_on_at_the_next_one() {
    let whole = b"FIRST\nSECOND\nTHIRD\n";
    for first in 0..whole.len() {
        for second in 0..whole.len() - first {
            let mut bench = echo();
            let client = bench.accept();
            for n in [first, second] {
                client.1.sends(if n == 0 { Err(ErrorKind::WouldBlock) } else { Ok(n) });
            }
            bench.receive(&client, b"first\nsecond\n");
            // More is sent while the queue waits, as likely as not with an event in between.
            bench.event(client.0, WRITABLE);
            bench.receive(&client, b"third\n");
            bench.event(client.0, WRITABLE);
            assert_eq!(client.1.sent(), whole, "cut after {first} and {second} more");
        }
    }
}

// C1, C4: descriptors run out, connections vanish before they are taken.
#[test]
fn c1_accepting_pauses_without_descriptors_and_goes_on_by_itself() {
    let mut bench = echo();
    bench.net.0.borrow_mut().accepts.extend([
        Err(ErrorKind::ConnectionAborted),
        Ok(Sock::default()),
        Err(ErrorKind::OutOfMemory),
        Err(ErrorKind::OutOfMemory),
        Ok(Sock::default()),
    ]);
    assert_eq!(bench.events(&[listener_event()]), Some(5 * MS));
    assert_eq!(bench.reactor.stats().accepted, 1);
    assert_eq!(bench.pass(5 * MS), Some(10 * MS), "twice as long");
    assert_eq!(bench.pass(10 * MS), None, "no event was needed");
    assert_eq!((bench.reactor.stats().accepted, bench.reactor.stats().accept_pauses), (2, 2));
}

// A3: what a budget stopped goes on by itself, and others are served in between.
#[test]
fn a3_what_a_budget_stopped_needs_no_event_to_go_on() -> io::Result<()> {
    let config = Config { bytes_per_turn: 1000, frames_per_turn: 10, ..Config::default() };
    let mut bench = Bench::quiet(config);
    let (busy, other) = (bench.accept(), bench.accept());
    for _ in 0..10 {
        busy.1.receives(&b"xxxx\n".repeat(100));
    }
    bench.told();
    // The mark stands for an end that was seen with the first bytes: read on.
    let end = event(busy.0, READABLE.or(Readiness::READ_CLOSED));
    bench.net.0.borrow_mut().polls.push_back(Ok(vec![end]));
    bench.reactor.turn(None)?;
    assert_eq!(bench.told().len(), 10);
    other.1.receives(b"hello\n");
    bench.net.0.borrow_mut().polls.push_back(Ok(vec![event(other.0, READABLE)]));
    bench.reactor.turn(None)?;
    assert_eq!(bench.told().iter().filter(|told| **told == line("hello")).count(), 1);
    busy.1.receives(b"");
    bench.settle();
    let told = bench.told();
    assert_eq!(told.len(), 980 + 2, "lines, half-closed, closed");
    assert_eq!(told.last(), Some(&closed("ended by the peer")));
    Ok(())
}

// D12, A2: connected, greeted and left in one edge: no other will tell of the end.
#[test]
fn d12_a_peer_that_greets_and_leaves_before_the_connect_is_seen_is_heard_out() {
    let mut bench = echo();
    let (id, sock) = bench.connect();
    bench.settle();
    sock.receives(b"hello\n");
    sock.receives(b"");
    bench.event(id, READABLE.or(WRITABLE).or(Readiness::READ_CLOSED));
    assert_eq!(bench.told(), [line("hello"), Told::HalfClosed, closed("ended by the peer")]);
}
