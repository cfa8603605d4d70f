//! The peer ends its side and still reads: answers, finishes, both orders.

use std::io::{Read, Write};
use std::net::Shutdown;

use switchboard::codec::{Raw, ToEnd};
use switchboard::{Close, CloseKind, Config, ConnId, Sent, State, each};

use crate::peer::{self, pattern, read_all, reset};
use crate::script::{Log, lines, narrow_lines, only};
use crate::server::{PATIENCE, Server};

// F5: `printf request | nc -N`: the whole answer arrives, then the end.
#[test]
fn f5_a_request_that_ends_with_the_peers_side_is_answered_whole() {
    for reply in [10, 100_000, 3 << 20] {
        let log = Log::default();
        let server = narrow_lines(Config::default(), &log, move |script| {
            script.received(move |cx, _| {
                cx.send(&pattern(reply));
                Ok(())
            })
        });
        let mut client = peer::narrow(server.addr);
        client.write_all(b"request\n").expect("written");
        client.shutdown(Shutdown::Write).expect("ended");
        let (received, result) = read_all(&mut client);
        assert!(result.is_ok(), "{result:?}");
        assert!(received == pattern(reply), "{} of {reply} bytes", received.len());
        server.wait_until(|_, cx| cx.stats().open == 0);
        assert_eq!(log.texts().last().map(String::as_str), Some("closed: ended by the peer"));
        server.stop();
        log.check();
    }
}

#[test]
fn f5_a_message_that_is_the_whole_stream_is_answered() {
    let server = Server::start(Config::default(), || {
        each(ToEnd::new, |cx, message| {
            cx.send(&message.to_ascii_uppercase());
            Ok(())
        })
    });
    let mut client = server.connect();
    client.write_all(b"a stream ").expect("written");
    client.write_all(b"that ends").expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    let (received, result) = read_all(&mut client);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(received, b"A STREAM THAT ENDS");
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::Ended), 1);
}

// A handler that keeps a half-closed connection sends for as long as it likes.
#[test]
fn f5_a_half_closed_connection_stays_open_until_the_program_ends_it() {
    for (how, reason) in [(0, "ended by the peer"), (1, "ended by the peer"), (2, "ended by the peer")] {
        let log = Log::default();
        let server = lines(Config::default(), &log, |script| script.half_closed(|_| Ok(())));
        let mut client = server.connect();
        client.write_all(b"one\n").expect("written");
        client.shutdown(Shutdown::Write).expect("ended");
        let half_closed = |log: &Log| log.count("half closed") == 1;
        let seen = log.clone();
        server.wait_until(move |_, _| half_closed(&seen));
        let id = server.with(|script, _| script.open[0]);
        for n in 0..3_u8 {
            let (state, sent) =
                server.with(move |_, cx| (cx.info(id).map(|info| info.state), cx.send_to(id, &[n])));
            assert_eq!((state, sent), (Some(State::HalfClosed), Sent::Accepted));
            let mut byte = [9];
            client.read_exact(&mut byte).expect("still sending");
            assert_eq!(byte, [n]);
        }
        server.with(move |_, cx| match how {
            0 => cx.finish(id),
            1 => cx.close(id, Close::Flush),
            _ => cx.close(id, Close::Linger),
        });
        assert!(read_all(&mut client).1.is_ok());
        server.wait_until(|_, cx| cx.stats().open == 0);
        let told = log.of(id);
        assert_eq!(told, ["opened", "received one", "half closed", &format!("closed: {reason}")]);
        server.stop();
    }
}

#[test]
fn a_half_closed_connection_notices_a_reset() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| script.half_closed(|_| Ok(())));
    let client = server.connect();
    client.shutdown(Shutdown::Write).expect("ended");
    let seen = log.clone();
    server.wait_until(move |_, _| seen.count("half closed") == 1);
    reset(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(log.texts(), ["opened", "half closed", "closed: reset by the peer"]);
    server.stop();
}

#[test]
fn half_close_switched_off_closes_at_the_peers_end_without_asking() {
    let mut config = Config::default();
    config.half_close = false;
    let log = Log::default();
    let server = narrow_lines(config, &log, |script| {
        script
            .received(|cx, _| {
                cx.send(&pattern(200_000));
                Ok(())
            })
            .half_closed(|_| panic!("nobody asked for this"))
    });
    let mut client = peer::narrow(server.addr);
    client.write_all(b"request\n").expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    let (received, result) = read_all(&mut client);
    assert!(result.is_ok(), "{result:?}");
    assert!(received == pattern(200_000), "what was queued is flushed");
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(log.count("half closed"), 0);
    assert_eq!(log.texts().last().map(String::as_str), Some("closed: ended by the peer"));
    server.stop();
}

// Our end first, then theirs: frames arrive in between, and the second end closes.
#[test]
fn frames_arrive_after_our_end_until_theirs() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| {
        script.opened(|cx, _| {
            cx.send(b"hello");
            cx.finish(cx.id());
        })
    });
    let mut client = server.connect();
    let (received, result) = read_all(&mut client);
    assert_eq!((&received[..], result.is_ok()), (&b"hello"[..], true));
    for n in 1..=3_u64 {
        client.write_all(b"still here\n").expect("their side is open");
        server.wait_until(move |_, cx| cx.stats().frames == n);
    }
    let id: ConnId = server.with(|script, _| script.open[0]);
    assert_eq!(server.with(move |_, cx| cx.info(id).map(|info| info.state)), Some(State::Finished));
    client.shutdown(Shutdown::Write).expect("ended");
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(log.count("received still here"), 3);
    assert_eq!(log.count("half closed"), 0, "both sides have ended: there is nothing to ask");
    assert_eq!(log.texts().last().map(String::as_str), Some("closed: ended by the peer"));
    server.stop();
    log.check();
}

// A17, B10: after the peer's end nothing is read and nothing spins, even while our output is stuck.
#[test]
fn a17_a_half_closed_connection_with_stuck_output_does_not_spin() {
    let log = Log::default();
    let server = narrow_lines(Config::default(), &log, |script| {
        script
            .received(|cx, _| {
                cx.send(&pattern(1 << 20));
                Ok(())
            })
            .half_closed(|_| Ok(()))
    });
    let mut client = peer::narrow(server.addr);
    client.write_all(b"request\n").expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    server.wait_until(|_, cx| cx.stats().frames == 1);
    let before = server.with(|_, cx| cx.stats().turns);
    let after = server.with(|_, cx| cx.stats().turns);
    assert!(after - before < 10, "{} turns for nothing", after - before);
    let mut received = vec![0; 1 << 20];
    client.read_exact(&mut received).expect("the reply");
    assert!(received == pattern(1 << 20));
    drop(client);
    let id = server.with(|script, _| script.open[0]);
    server.with(move |_, cx| cx.close(id, Close::Flush));
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
    log.check();
}

#[test]
fn an_end_without_a_word_is_told_as_one() {
    let server = Server::start(Config::default(), || each(Raw::new, |_, _| Ok(())));
    for _ in 0..10 {
        let client = server.connect();
        drop(client);
    }
    server.wait_until(|_, cx| cx.stats().accepted == 10 && cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::Ended), 10);
}

// D12, A2: the event that tells of a connect may be the only one that tells of data and of the end behind it.
#[test]
fn d12_data_and_end_that_come_with_the_connect_are_both_noticed() {
    let onward = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = onward.local_addr().expect("its address");
    let log = Log::default();
    let (open_gate, gate) = std::sync::mpsc::channel();
    let server = lines(Config::default(), &log, move |script| {
        script.closed(move |_, why| {
            // The connect is under way by now, and the next poll comes after this.
            if matches!(why, switchboard::CloseReason::Aborted) {
                gate.recv().expect("opened");
            }
        })
    });
    let _victim = server.connect();
    let id = only(&server);
    let connecting = server.with(move |_, cx| {
        cx.close(id, Close::Abort);
        cx.connect(addr, 0).expect("room")
    });
    let mut stream = onward.accept().expect("a connection").0;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.write_all(b"hello\n").expect("written");
    stream.shutdown(Shutdown::Write).expect("ended");
    open_gate.send(()).expect("the loop waits");
    let (_, result) = read_all(&mut stream);
    assert!(result.is_ok(), "{result:?}");
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(log.of(connecting), ["opened", "received hello", "half closed", "closed: ended by the peer"]);
    server.stop();
}
