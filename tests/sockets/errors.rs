//! Failure modes of errors (B), as far as the kernel can be made to show them; the rest is injected.

use std::io::{Read, Write};
use std::net::Shutdown;

use switchboard::{Close, CloseKind, Config, Context, Sent};

use crate::turns::{Scribe, connect, hear, listening, reset, say, settle, turn_until, turn_until_told};

const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

// B1, B3: what came before a reset is delivered, and the reset is the reason, once.
#[test]
fn b3_data_before_a_reset_is_delivered() {
    let (mut reactor, addr) = listening(Scribe::new(), Config::default(), LOCAL);
    let client = connect(addr);
    turn_until_told(&mut reactor, 1);
    say(&client, "one");
    say(&client, "two");
    reset(client);
    turn_until_told(&mut reactor, 4);
    settle(&mut reactor);
    let told = ["opened 0", "received one", "received two", "closed: reset by the peer"];
    assert_eq!(reactor.handler().log, told);
}

// B2: a failed write takes the socket's error with it, and the next receive sees an end in its place:
// the reason is the reset all the same, and data that came before it is not lost.
#[test]
fn b2_a_reset_found_by_a_write_is_the_reason_and_costs_no_data() {
    let (mut reactor, addr) = listening(Scribe::new(), Config::default(), LOCAL);
    let client = connect(addr);
    turn_until_told(&mut reactor, 1);
    let id = reactor.handler().ids[0];
    reactor.with(|_, cx| cx.pause(id));
    settle(&mut reactor);
    say(&client, "before");
    reset(client);
    reactor.with(|_, cx| assert!(cx.send_to(id, b"into the void").is_queued()));
    settle(&mut reactor);
    assert_eq!(reactor.handler().log, ["opened 0"], "it is paused");
    reactor.with(|_, cx| cx.resume(id));
    turn_until_told(&mut reactor, 3);
    assert_eq!(reactor.handler().log, ["opened 0", "received before", "closed: reset by the peer"]);
}

// B8: a frame as large as the input may be, through the smallest receive buffer: no receive into nothing,
// which would look like the peer's end.
#[test]
fn b8_a_frame_that_fills_every_buffer_is_no_end() {
    let mut config = Config::default();
    config.recv_buffer_bytes = 512;
    config.recv_bytes_max = 4096;
    let (mut reactor, addr) = listening(Scribe::echo(), config, LOCAL);
    let client = connect(addr);
    for length in [511, 512, 513, 4094, 4095] {
        let line = "x".repeat(length);
        say(&client, &line);
        let frames = reactor.stats().frames;
        turn_until(&mut reactor, |reactor| reactor.stats().frames > frames);
        hear(&client, &(line + "\n"));
    }
    assert_eq!(reactor.stats().closed_total(), 0);
}

// B9: nothing to send is not sent: no call, no end, no spin.
#[test]
fn b9_an_empty_message_costs_nothing() {
    let act = |cx: &mut Context, _: &str| {
        assert_eq!(cx.send(b""), Sent::Accepted);
        assert_eq!(cx.send_bytes(bytes::Bytes::new()), Sent::Accepted);
        assert_eq!(cx.send_to(cx.id(), b""), Sent::Accepted);
        Ok(())
    };
    let (mut reactor, addr) = listening(Scribe::doing(act), Config::default(), LOCAL);
    let client = connect(addr);
    say(&client, "hello");
    turn_until_told(&mut reactor, 2);
    let id = reactor.handler().ids[0];
    reactor.with(|_, cx| assert_eq!(cx.send_to(id, b""), Sent::Accepted));
    settle(&mut reactor);
    assert_eq!(reactor.stats().calls.send, 0);
    assert_eq!(reactor.stats().open, 1);
}

// B10: the peer's end is read once, however many events follow.
#[test]
fn b10_nothing_is_received_after_the_end() {
    struct Stays;
    impl switchboard::Handler for Stays {
        type Codec = switchboard::codec::Raw;
        type Session = ();
        fn opened(&mut self, _: &mut Context, _: &switchboard::Peer<'_>) -> Option<(Self::Codec, ())> {
            Some((Self::Codec::new(), ()))
        }
        fn received(
            &mut self,
            _: &mut Context,
            _: switchboard::Conn<'_, Self>,
            _: &[u8],
        ) -> switchboard::Result {
            Ok(())
        }
        fn half_closed(
            &mut self,
            cx: &mut Context,
            conn: switchboard::Conn<'_, Self>,
        ) -> switchboard::Result {
            // Far more than the peer's buffers take: each of its reads makes an event.
            cx.send(&vec![b'.'; 1 << 20]);
            cx.set_timer(conn.id, std::time::Duration::from_secs(3600), 0)?;
            Ok(())
        }
    }
    let listen = switchboard::Listen::from(LOCAL).send_buffer_size(4096);
    let (mut reactor, addr) = listening(Stays, Config::default(), listen);
    let mut client = connect(addr);
    client.shutdown(Shutdown::Write).expect("ended");
    turn_until(&mut reactor, |reactor| reactor.stats().sent > 0);
    let received = reactor.stats().calls.recv;
    let reading = std::thread::spawn(move || {
        let mut all = vec![0; 1 << 20];
        client.read_exact(&mut all).map(|()| client)
    });
    turn_until(&mut reactor, |reactor| reactor.stats().sent == 1 << 20);
    let _client = reading.join().expect("read").expect("all of it");
    settle(&mut reactor);
    assert_eq!(reactor.stats().calls.recv, received);
    assert_eq!(reactor.stats().open, 1, "the program has not closed it");
}

// B11: once our side has ended, nothing is sent, whatever the poll says.
#[test]
fn b11_nothing_is_sent_after_our_own_end() {
    let act = |cx: &mut Context, line: &str| {
        cx.send(line.as_bytes());
        cx.finish(cx.id());
        assert_eq!(cx.send(b"too late"), Sent::Closed);
        Ok(())
    };
    let (mut reactor, addr) = listening(Scribe::doing(act), Config::default(), LOCAL);
    let mut client = connect(addr);
    say(&client, "last");
    turn_until_told(&mut reactor, 2);
    settle(&mut reactor);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("the end");
    assert_eq!(answer, b"last");
    let sent = reactor.stats().calls.send;
    for _ in 0..3 {
        client.write_all(b"still talking\n").expect("their side is open");
        settle(&mut reactor);
    }
    assert_eq!(reactor.stats().calls.send, sent);
    drop(client);
    turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
    assert_eq!(reactor.stats().closed(CloseKind::Ended), 1);
}

// B12: a hundred connections that end in every way a peer can think of do not end the loop, nor anybody else.
#[test]
fn b12_no_peer_ends_the_loop() {
    let (mut reactor, addr) = listening(Scribe::echo(), Config::default(), LOCAL);
    let witness = connect(addr);
    for round in 0..20 {
        let (rude, deaf, late, mute, cut) =
            (connect(addr), connect(addr), connect(addr), connect(addr), connect(addr));
        say(&rude, "and gone");
        reset(rude);
        say(&deaf, "not read");
        deaf.shutdown(Shutdown::Read).expect("shut");
        late.shutdown(Shutdown::Both).expect("shut");
        drop(mute);
        (&cut).write_all(b"half a l").expect("written");
        settle(&mut reactor);
        reset(cut);
        say(&witness, "still here");
        turn_until(&mut reactor, |reactor| {
            reactor.handler().log.iter().filter(|line| *line == "received still here").count() == round + 1
        });
        hear(&witness, "still here\n");
        drop((deaf, late));
    }
    turn_until(&mut reactor, |reactor| reactor.stats().open == 1);
    assert_eq!(reactor.stats().closed_total(), 100);
    reactor.with(|handler, cx| cx.close(handler.ids[0], Close::Flush));
    turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
}
