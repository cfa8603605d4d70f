//! Failure modes of readiness and edges (A), as far as the kernel can be made to show them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::net::{SendFlags, send};
use switchboard::codec::Raw;
use switchboard::{
    Close, CloseKind, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Listen, Peer, Reactor,
    Result, Sent,
};

use crate::turns::{Scribe, connect, hear, listening, say, settle, turn_until, turn_until_told};

const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// Keeps all bytes that come, and the most that came from one connection in one turn.
#[derive(Default)]
struct Keeper {
    ids: Vec<ConnId>,
    bytes: Vec<u8>,
    turn: Option<(u64, ConnId)>,
    in_turn: usize,
    in_turn_most: usize,
    ended: usize,
    urgent: Vec<u8>,
    closed: Vec<String>,
}

impl Handler for Keeper {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.ids.push(cx.id());
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        let turn = Some((cx.stats().turns, conn.id));
        if self.turn != turn {
            self.turn = turn;
            self.in_turn = 0;
        }
        self.in_turn += bytes.len();
        self.in_turn_most = self.in_turn_most.max(self.in_turn);
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn urgent(&mut self, _: &mut Context, _: Conn<'_, Self>, byte: u8) -> Result {
        self.urgent.push(byte);
        Ok(())
    }

    fn half_closed(&mut self, _: &mut Context, _: Conn<'_, Self>) -> Result {
        self.ended += 1;
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        self.closed.push(why.to_string());
    }
}

fn keeper(change: impl FnOnce(&mut Config)) -> (Reactor<Keeper>, TcpStream) {
    let mut config = Config::default();
    change(&mut config);
    let (mut reactor, addr) = listening(Keeper::default(), config, LOCAL);
    let client = connect(addr);
    turn_until(&mut reactor, |reactor| reactor.stats().open == 1);
    (reactor, client)
}

// A1, L2: a receive stops short at an urgent mark; what is behind it comes without a further edge.
#[test]
fn a1_bytes_behind_an_urgent_mark_arrive_at_once() {
    for urgent in [false, true] {
        let (mut reactor, mut client) = keeper(|config| config.urgent = urgent);
        client.write_all(b"abc").expect("written");
        assert_eq!(send(&client, b"X", SendFlags::OOB), Ok(1));
        client.write_all(b"def").expect("written");
        turn_until(&mut reactor, |reactor| reactor.handler().bytes.len() >= 6);
        settle(&mut reactor);
        assert_eq!(reactor.handler().bytes, b"abcdef");
        assert_eq!(reactor.handler().urgent, if urgent { &b"X"[..] } else { b"" });
    }
}

// A2: data and the end in one edge: the end is not forgotten after the short receive.
#[test]
fn a2_an_end_that_comes_with_data_is_noticed() {
    let (mut reactor, mut client) = keeper(|_| ());
    client.write_all(b"last words").expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    turn_until(&mut reactor, |reactor| reactor.handler().ended == 1);
    assert_eq!(reactor.handler().bytes, b"last words");
}

// A3: a connection stopped by its budget gets no new edge; it goes on all the same, and the loop does not sleep.
#[test]
fn a3_what_a_budget_left_over_is_served_without_a_new_edge() {
    let (mut reactor, mut client) = keeper(|config| {
        config.recv_buffer_bytes = 4 << 10;
        config.bytes_per_turn = 16 << 10;
    });
    let sent: Vec<u8> = (0..250_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let bytes = sent.clone();
    let writer = std::thread::spawn(move || client.write_all(&bytes).map(|()| client));
    turn_until(&mut reactor, |reactor| reactor.handler().bytes.len() == sent.len());
    let _client = writer.join().expect("the writer writes").expect("all of it");
    assert!(reactor.handler().bytes == sent, "the bytes are others");
    assert!(reactor.stats().budget_stops > 0);
    // A4: nobody gets more from one turn than the budget and what was received with its last byte.
    assert!(reactor.handler().in_turn_most <= 20 << 10, "{} bytes", reactor.handler().in_turn_most);
}

// A4: one that sends at full speed does not starve a hundred that ping.
#[test]
fn a4_a_hot_connection_starves_nobody() {
    let (mut reactor, addr) = listening(Scribe::echo(), Config::default(), LOCAL);
    let pingers: Vec<_> = (0..100).map(|_| connect(addr)).collect();
    let hot = connect(addr);
    turn_until_told(&mut reactor, 101);
    let mut flood = hot.try_clone().expect("cloned");
    let lines = format!("{}\n", "x".repeat(1023)).repeat(64).into_bytes();
    let flooding = std::thread::spawn(move || while flood.write_all(&lines).is_ok() {});
    let mut draining = hot.try_clone().expect("cloned");
    let drain = std::thread::spawn(move || while draining.read(&mut [0; 16384]).is_ok_and(|n| n > 0) {});
    for _ in 0..5 {
        for pinger in &pingers {
            say(pinger, "ping");
        }
        let before = reactor.stats().turns;
        for pinger in &pingers {
            pinger.set_nonblocking(true).expect("set");
            turn_until(&mut reactor, |_| pinger.peek(&mut [0]).is_ok());
            pinger.set_nonblocking(false).expect("set");
            hear(pinger, "ping\n");
        }
        // Each was ready before the first of these turns: all are served in it or the next.
        let turns = reactor.stats().turns - before;
        assert!(turns < 20, "{turns} turns for a round of pings");
    }
    hot.shutdown(Shutdown::Both).expect("ended");
    turn_until(&mut reactor, |reactor| reactor.stats().open == 100);
    flooding.join().expect("the flood ends");
    drain.join().expect("the drain ends");
}

// A8: more are ready than one poll takes.
#[test]
fn a8_a_poll_that_takes_one_event_loses_nobody() {
    let mut config = Config::default();
    config.events_per_poll = 1;
    let (mut reactor, addr) = listening(Scribe::echo(), config, LOCAL);
    let clients: Vec<_> = (0..200).map(|_| connect(addr)).collect();
    for round in 1..=3 {
        for client in &clients {
            say(client, "hello");
        }
        turn_until(&mut reactor, |reactor| reactor.stats().frames == round * 200);
        for client in &clients {
            hear(client, "hello\n");
        }
    }
}

// A9: writable rides on every event; nobody is told who was not blocked, and nothing is sent for it.
#[test]
fn a9_writable_is_told_only_to_who_was_above_the_high_mark() {
    let (mut reactor, addr) = listening(Scribe::echo(), Config::default(), LOCAL);
    let client = connect(addr);
    for _ in 0..50 {
        say(&client, "hello");
        let frames = reactor.stats().frames;
        turn_until(&mut reactor, |reactor| reactor.stats().frames > frames);
        hear(&client, "hello\n");
    }
    assert!(!reactor.handler().log.iter().any(|line| line == "writable"));
    assert_eq!(reactor.stats().calls.send, 50);
}

/// Closes everybody else as soon as one says anything.
struct Rivals(Vec<ConnId>, u32);

impl Handler for Rivals {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.0.push(cx.id());
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        self.1 += 1;
        for &id in self.0.iter().filter(|&&id| id != conn.id) {
            cx.close(id, Close::Abort);
            assert_eq!(cx.send_to(id, b"anything"), Sent::Closed);
        }
        Ok(())
    }
}

// A10: closed by a callback earlier in the same batch of events, a connection is not served any more.
#[test]
fn a10_an_event_of_a_connection_closed_earlier_in_its_batch_is_dropped() {
    let (mut reactor, addr) = listening(Rivals(Vec::new(), 0), Config::default(), LOCAL);
    let clients: Vec<_> = (0..20).map(|_| connect(addr)).collect();
    turn_until(&mut reactor, |reactor| reactor.stats().open == 20);
    for client in &clients {
        say(client, "me");
    }
    turn_until(&mut reactor, |reactor| reactor.stats().open == 1);
    settle(&mut reactor);
    assert_eq!(reactor.handler().1, 1, "one spoke");
    assert_eq!(reactor.stats().closed(CloseKind::Aborted), 19);
}

// A11, A12: an id kept past the close names nobody, although its slot and its descriptor have a new user.
#[test]
fn a12_a_stale_id_never_reaches_who_came_next() {
    let (mut reactor, addr) = listening(Scribe::echo(), Config::default(), LOCAL);
    drop(connect(addr));
    turn_until(&mut reactor, |reactor| reactor.stats().closed_total() == 1);
    let client = connect(addr);
    turn_until(&mut reactor, |reactor| reactor.stats().open == 1);
    let (old, new) = (reactor.handler().ids[0], reactor.handler().ids[1]);
    assert_eq!(old.slot(), new.slot());
    reactor.with(|_, cx| {
        assert_eq!(cx.send_to(old, b"for the first"), Sent::Closed);
        assert_eq!(cx.queued(old), 0);
        assert!(cx.info(old).is_none());
        assert!(cx.set_timer(old, Duration::ZERO, 0).is_err());
        cx.pause(old);
        cx.finish(old);
        cx.close(old, Close::Abort);
    });
    say(&client, "second");
    turn_until(&mut reactor, |reactor| reactor.stats().frames == 1);
    hear(&client, "second\n");
    assert_eq!(reactor.stats().open, 1);
}

// A17: the peer's end closes only the way in: a reply that its full buffer holds up is still sent whole.
#[test]
fn a17_an_ended_peer_with_a_full_buffer_gets_the_rest() {
    const REPLY: usize = 1 << 20;
    let act = |cx: &mut Context, _: &str| {
        cx.send(&vec![b'.'; REPLY]);
        Ok(())
    };
    let listen = Listen::from(LOCAL).send_buffer_size(4096);
    let (mut reactor, addr) = listening(Scribe::doing(act), Config::default(), listen);
    let mut client = connect(addr);
    say(&client, "much");
    client.shutdown(Shutdown::Write).expect("ended");
    turn_until_told(&mut reactor, 2);
    // A half-closed connection that waits for its peer to read does not keep the loop busy.
    settle(&mut reactor);
    let start = std::time::Instant::now();
    reactor.turn(Some(Duration::from_millis(30))).expect("a turn");
    assert!(start.elapsed() >= Duration::from_millis(30), "the poll returned early");
    let reading = std::thread::spawn(move || {
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).map(|_| reply.len())
    });
    turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
    assert_eq!(reading.join().expect("read").expect("to the end"), REPLY);
    assert_eq!(reactor.stats().closed(CloseKind::Ended), 1);
}

// A18: after our own end the peer writes and closes; all of it is read before the close.
#[test]
fn a18_what_a_peer_sends_before_it_hangs_up_is_read_to_the_end() {
    let (mut reactor, mut client) = keeper(|config| config.recv_buffer_bytes = 512);
    reactor.with(|handler, cx| cx.finish(handler.ids[0]));
    settle(&mut reactor);
    assert_eq!(client.read(&mut [0]).expect("our end"), 0);
    client.write_all(&vec![7; 50_000]).expect("written");
    drop(client);
    turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
    assert_eq!(reactor.handler().bytes.len(), 50_000);
    assert_eq!(reactor.handler().closed, ["ended by the peer"]);
}
