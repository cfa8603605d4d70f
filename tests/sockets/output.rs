//! Sending: order, partial writes, limits, broadcasts, the writer.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::sync::mpsc;

use bytes::Bytes;
use switchboard::codec::{LengthPrefixed, Lines, Put, Raw};
use switchboard::{CloseKind, Config, ConnId, Context, OnSlow, Sent, each};

use crate::peer::{self, is_reset, pattern, read_all};
use crate::script::{Log, Script, lines, narrow, narrow_lines, only};
use crate::server::Server;

/// Small numbers, so that a test is at a limit with a few thousand bytes.
pub(crate) fn tight() -> Config {
    let mut config = Config::default();
    config.recv_bytes_max = 8 << 10;
    config.queued_bytes_low = 256;
    config.queued_bytes_high = 1024;
    config.queued_bytes_max = 10_000;
    config
}

// E5: buffers of a few kilobytes on both sides make sends and receives stop anywhere.
#[test]
fn e5_frames_survive_sends_and_receives_that_stop_at_any_byte() {
    for seed in 0..4 {
        let server = Server::start_on(narrow(), Config::default(), || {
            each(LengthPrefixed::new, |cx, frame| {
                LengthPrefixed::new().encode(frame, &mut cx.out())?;
                Ok(())
            })
        });
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut stream = Vec::new();
        while stream.len() < 200_000 {
            let most = *rng.choice([1, 10, 1000, 20_000].iter()).expect("not empty");
            LengthPrefixed::new().encode(&pattern(rng.usize(..=most)), &mut stream).expect("not too long");
        }
        let mut reader = peer::narrow(server.addr);
        let mut writer = reader.try_clone().expect("cloned");
        let sent = stream.clone();
        let mut pieces = fastrand::Rng::with_seed(seed + 100);
        let writing = std::thread::spawn(move || {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(pieces.usize(1..=3000).min(rest.len()));
                writer.write_all(piece).expect("written");
                rest = more;
            }
            writer.shutdown(std::net::Shutdown::Write).expect("ended");
        });
        let mut received = Vec::new();
        let mut buf = [0; 3000];
        loop {
            let most = rng.usize(1..=buf.len());
            let n = reader.read(&mut buf[..most]).expect("read");
            received.extend_from_slice(&buf[..n]);
            if n == 0 {
                break;
            }
        }
        writing.join().expect("all is written");
        assert!(received == stream, "seed {seed}: {} of {} bytes", received.len(), stream.len());
        server.wait_until(|_, cx| cx.stats().open == 0);
        server.stop();
    }
}

/// Sends in every way there is to one's own connection; what the peer must read.
fn send_in_every_way(cx: &mut Context, round: u8) -> Vec<u8> {
    let id = cx.id();
    let large: Bytes = vec![round; 5000].into();
    let small = Bytes::from(format!("broadcast {round}\n"));
    assert!(cx.send(b"first\n").is_queued());
    assert!(cx.send_bytes(large.clone()).is_queued());
    assert!(cx.send(b"second\n").is_queued());
    assert!(cx.send_to(id, b"third\n").is_queued());
    assert_eq!(cx.broadcast([id, id], &small, OnSlow::Queue).queued, 2);
    assert!(cx.send_bytes_to(id, Bytes::from_static(b"fourth\n")).is_queued());
    assert_eq!(cx.broadcast([id], &large, OnSlow::Queue).queued, 1);
    cx.out().put_u32(0x6162_630a);
    assert!(cx.try_send(id, large.clone()).expect("there is room").is_queued());
    cx.out_to(id).put_slice(b"last\n");
    let small = &small[..];
    [
        b"first\n",
        &large[..],
        b"second\nthird\n",
        small,
        small,
        b"fourth\n",
        &large,
        b"abc\n",
        &large,
        b"last\n",
    ]
    .concat()
}

#[test]
fn messages_keep_their_order_whichever_way_they_are_sent() {
    for blocked in [false, true] {
        let log = Log::default();
        let (tell, expected) = mpsc::channel();
        let write = move |script: Script<Lines>| {
            let mut round = 0;
            script.received(move |cx, _| {
                round += 1;
                tell.send(send_in_every_way(cx, round)).expect("the test waits for this");
                Ok(())
            })
        };
        let mut config = Config::default();
        // So that later rounds begin while the queue of earlier ones is stuck.
        config.queued_bytes_high = 1 << 20;
        let server = if blocked { narrow_lines(config, &log, write) } else { lines(config, &log, write) };
        let mut client = peer::narrow(server.addr);
        for round in 0..20 {
            client.write_all(b"go\n").expect("written");
            if round % 3 == 0 {
                server.wait_until(move |_, cx| cx.stats().frames > round);
            }
        }
        let mut received = Vec::new();
        for round in 0..20 {
            let expected = expected.recv_timeout(crate::server::PATIENCE).expect("a round");
            received.resize(expected.len(), 0);
            client.read_exact(&mut received).expect("all of the round");
            assert!(received == expected, "round {round}, blocked: {blocked}");
        }
        drop(client);
        server.stop();
        log.check();
    }
}

#[test]
fn messages_of_others_keep_their_order_too() {
    let log = Log::default();
    let server = narrow_lines(Config::default(), &log, |script| script);
    let mut client = peer::narrow(server.addr);
    let id = only(&server);
    let mut expected = Vec::new();
    for round in 0..30_u8 {
        let large: Bytes = vec![round; 3000].into();
        let shared = large.clone();
        server.with(move |_, cx| {
            assert!(cx.send_to(id, b"a\n").is_queued());
            assert!(cx.send_bytes_to(id, shared.clone()).is_queued());
            assert_eq!(cx.broadcast([id], &Bytes::from_static(b"b\n"), OnSlow::Queue).queued, 1);
            std::fmt::Write::write_fmt(&mut cx.out_to(id), format_args!("{round}\n")).expect("room");
            assert!(cx.try_send(id, shared.slice(..2500)).is_ok());
        });
        expected
            .extend([b"a\n", &large[..], b"b\n", format!("{round}\n").as_bytes(), &large[..2500]].concat());
    }
    let mut received = vec![0; expected.len()];
    client.read_exact(&mut received).expect("everything");
    assert!(received == expected);
    drop(client);
    server.stop();
}

// A batch that answers one connection must not carry what was sent outside of any.
#[test]
fn a_send_outside_of_any_connection_answers_closed_and_reaches_nobody() {
    let log = Log::default();
    let (tell, told) = mpsc::channel();
    let server = lines(Config::default(), &log, |script| {
        script
            .received(|cx, line| {
                let alarm = cx.set_alarm(std::time::Duration::ZERO, 0);
                assert!(alarm.is_ok());
                cx.send(line);
                Ok(())
            })
            .alarm(move |cx| tell.send((cx.id(), cx.send(b"stray"))).expect("the test waits for this"))
    });
    let mut client = server.connect();
    let mut answer = [0; 4];
    for _ in 0..3 {
        client.write_all(b"ping\n").expect("written");
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"ping");
        let sent = told.recv_timeout(crate::server::PATIENCE).expect("the alarm");
        assert_eq!(sent, (ConnId::NONE, Sent::Closed));
        let sent = server.with(|_, cx| (cx.send(b"stray"), cx.out().write(b"stray").is_err()));
        assert_eq!(sent, (Sent::Closed, true));
    }
    drop(client);
    server.stop();
}

#[test]
fn the_writer_takes_numbers_text_and_anything_that_writes() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| {
        script.received(|cx, line| {
            let mut out = cx.out();
            out.put_u16(0x3031);
            out.put_u16_le(0x3332);
            std::fmt::Write::write_fmt(&mut out, format_args!("{:>5}", line.len()))?;
            Write::write_all(&mut out, b" bytes\n")?;
            std::io::copy(&mut &b"copied\n"[..], &mut out)?;
            Ok(())
        })
    });
    let mut client = server.connect();
    client.write_all(b"four\n").expect("written");
    let expected = b"0123    4 bytes\ncopied\n";
    let mut answer = [0; 23];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, expected);
    drop(client);
    server.stop();
}

// E14: exactly the limit fits, one byte more does not, whichever way it is sent; nothing of a refused
// message leaves.
#[test]
fn e14_a_queue_takes_its_limit_and_not_a_byte_more() {
    type Way = fn(&mut Context, usize) -> bool;
    let ways: [(&str, Way); 6] = [
        ("send", |cx, n| cx.send(&vec![b'x'; n]).is_queued()),
        ("send_bytes", |cx, n| cx.send_bytes(vec![b'x'; n].into()).is_queued()),
        ("send_to", |cx, n| cx.send_to(cx.id(), &vec![b'x'; n]).is_queued()),
        ("broadcast", |cx, n| cx.broadcast([cx.id()], &vec![b'x'; n].into(), OnSlow::Queue).queued == 1),
        ("io::Write", |cx, n| cx.out().write_all(&vec![b'x'; n]).is_ok()),
        ("fmt::Write", |cx, n| cx.out().write_str(&"x".repeat(n)).is_ok()),
    ];
    for (name, way) in ways {
        for (first, then) in [(0, 10_000), (1, 9999), (5000, 5000), (9999, 1)] {
            let log = Log::default();
            let server = lines(tight(), &log, move |script| {
                script.received(move |cx, line| {
                    let extra = line.len();
                    let fits = way(cx, first) && way(cx, then + extra);
                    assert_eq!(fits, extra == 0, "{name}: {first} and {then} and {extra}");
                    if !fits {
                        assert_eq!(cx.send(b""), Sent::Closed);
                        assert_eq!(cx.send(b"after"), Sent::Closed);
                        assert_eq!(cx.try_send(cx.id(), Bytes::from_static(b"after")), Err("after".into()));
                    }
                    Ok(())
                })
            });
            let mut client = server.connect();
            client.write_all(b"\n").expect("written");
            let mut answer = vec![0; 10_000];
            client.read_exact(&mut answer).expect("the whole limit");
            client.write_all(b"1\n").expect("written");
            let (rest, result) = read_all(&mut client);
            assert!(is_reset(&result), "{name}: {result:?}");
            assert_eq!(rest.len(), 0, "{name}: nothing leaves after the refusal");
            server.wait_until(|_, cx| cx.stats().open == 0);
            let closed = format!("closed: slow consumer: {first} bytes queued, limit is 10000");
            assert_eq!(log.texts().last(), Some(&closed));
            let stats = server.stop();
            assert_eq!(stats.closed(CloseKind::SlowConsumer), 1);
        }
    }
}

// E1, E14: the limit counts what waits in the queue, and is found in someone else's callback.
#[test]
fn e1_a_peer_that_does_not_read_is_closed_at_the_limit_and_sees_a_reset() {
    let log = Log::default();
    let server = narrow_lines(tight(), &log, |script| script);
    let mut client = peer::narrow(server.addr);
    let id = only(&server);
    let sent = server.with(move |_, cx| {
        let mut sent = 0_usize;
        loop {
            match cx.send_to(id, &[b'x'; 100]) {
                Sent::Accepted => sent += 100,
                Sent::OverHigh => {
                    sent += 100;
                    assert!(cx.queued(id) > 1024);
                }
                Sent::Full => return sent,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(sent, 10_000, "nothing was flushed within the callback");
    let (received, result) = read_all(&mut client);
    assert!(is_reset(&result), "{result:?}");
    assert_eq!(received.len(), 0);
    server.wait_until(|_, cx| cx.stats().open == 0);
    let answers = server.with(move |_, cx| {
        (cx.send_to(id, b"x"), cx.try_send(id, "x".into()), cx.queued(id), cx.info(id).is_none())
    });
    assert_eq!(answers, (Sent::Closed, Err("x".into()), 0, true));
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::SlowConsumer), 1);
    log.check();
}

#[test]
fn try_send_gives_back_what_does_not_fit_and_closes_nothing() {
    let log = Log::default();
    let server = narrow_lines(tight(), &log, |script| script);
    let mut client = peer::narrow(server.addr);
    let id = only(&server);
    let fit = server.with(move |_, cx| {
        let block: Bytes = vec![b'x'; 3000].into();
        let mut fit = 0;
        while let Ok(sent) = cx.try_send(id, block.clone()) {
            assert!(sent.is_queued());
            fit += 1;
        }
        assert_eq!(cx.try_send(id, block.clone()), Err(block.clone()), "the very same bytes");
        assert_eq!(cx.try_send(id, block.slice(..1000)), Ok(Sent::OverHigh), "exactly what is left");
        assert_eq!(cx.try_send(id, "y".into()), Err("y".into()));
        fit
    });
    assert_eq!(fit, 3);
    let mut received = vec![0; 10_000];
    client.read_exact(&mut received).expect("everything that was taken");
    server.wait_until(move |_, cx| cx.queued(id) == 0);
    assert!(server.with(move |_, cx| cx.try_send(id, "again".into())).is_ok());
    client.read_exact(&mut received[..5]).expect("it lives on");
    assert_eq!(&received[..5], b"again");
    drop(client);
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::SlowConsumer), 0);
}

// E7: nothing waits for an empty message.
#[test]
fn e7_empty_messages_neither_spin_nor_stall() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| {
        script.received(|cx, _| {
            let id = cx.id();
            for _ in 0..3 {
                assert!(cx.send(b"").is_queued());
                assert!(cx.send_bytes(Bytes::new()).is_queued());
                assert_eq!(cx.broadcast([id], &Bytes::new(), OnSlow::Queue).queued, 1);
                cx.out().put_slice(b"");
            }
            assert_eq!(cx.queued(id), 0);
            Ok(())
        })
    });
    let mut client = server.connect();
    let id = only(&server);
    client.write_all(b"one\n").expect("written");
    server.with(move |_, cx| assert!(cx.send_to(id, b"").is_queued()));
    server.wait_until(|_, cx| cx.stats().frames == 1);
    let before = server.with(|_, cx| cx.stats().turns);
    let after = server.with(|_, cx| cx.stats().turns);
    assert!(after - before < 10, "the loop spins: {} turns", after - before);
    server.with(move |_, cx| assert!(cx.send_to(id, b"x").is_queued()));
    client.read_exact(&mut [0]).expect("and the next message arrives");
    drop(client);
    server.stop();
}

// E6, E8: a million messages of one byte, queued in one callback, leave in few system calls.
#[test]
fn e8_a_million_tiny_messages_are_linear_in_time_and_calls() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| script);
    let mut client = server.connect();
    let id = only(&server);
    let calls = server.with(move |_, cx| {
        for n in 0..1_000_000_u32 {
            assert!(cx.send_to(id, &n.to_le_bytes()[..1]).is_queued());
        }
        cx.stats().calls.send
    });
    let mut received = vec![0; 1_000_000];
    client.read_exact(&mut received).expect("all of them");
    assert!((0..1_000_000_u32).zip(&received).all(|(n, byte)| n.to_le_bytes()[0] == *byte));
    let calls = server.with(|_, cx| cx.stats().calls.send) - calls;
    assert!(calls < 1000, "{calls} sends");
    drop(client);
    server.stop();
}

// E2: a peer that stopped reading holds what is queued for so long and not longer.
#[test]
fn e2_a_stopped_reader_is_reset_when_it_takes_no_byte_in_time() {
    let mut config = Config::default();
    config.write_timeout = std::time::Duration::from_millis(50);
    let log = Log::default();
    let server = narrow_lines(config, &log, |script| {
        script.received(|cx, _| {
            cx.send_bytes(pattern(1 << 20).into());
            Ok(())
        })
    });
    let mut client = peer::narrow(server.addr);
    client.write_all(b"go\n").expect("written");
    server.wait_until(|_, cx| cx.stats().accepted == 1 && cx.stats().open == 0);
    let (received, result) = read_all(&mut client);
    assert!(is_reset(&result), "{result:?}");
    assert!(pattern(1 << 20).starts_with(&received), "what came is the beginning");
    assert!(received.len() < 1 << 20);
    assert_eq!(
        log.texts(),
        ["opened", "received go", "closed: timed out waiting for the peer to take output"]
    );
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::TimedOut), 1);
}

// The wait begins anew with each byte the peer takes, and with each time the queue begins.
#[test]
fn a_slow_reader_that_goes_on_reading_is_not_timed_out() {
    let mut config = Config::default();
    config.write_timeout = std::time::Duration::from_secs(2);
    let server = Server::start_on(narrow(), config, || {
        each(Raw::new, |cx, bytes| {
            cx.send(bytes);
            Ok(())
        })
    });
    let mut client = peer::narrow(server.addr);
    let sent = pattern(100_000);
    let mut writer = client.try_clone().expect("cloned");
    let bytes = sent.clone();
    let writing = std::thread::spawn(move || writer.write_all(&bytes).expect("written"));
    let mut received = vec![0; sent.len()];
    for piece in received.chunks_mut(100) {
        client.read_exact(piece).expect("read");
    }
    assert!(received == sent);
    writing.join().expect("all is written");
    drop(client);
    server.stop();
}
