//! How connections end: lingering, resets, in every order.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use switchboard::{Close, CloseKind, Config, ConnId, Context, Sent, State};

use crate::peer::{self, is_reset, pattern, read_all, reset};
use crate::script::{Log, lines, narrow_lines, only};
use crate::server::PATIENCE;

// F1, F2: closing with unread input makes the kernel reset the connection, which destroys a reply under way.
// A lingering close reads what was pipelined first.
#[test]
fn f1_a_last_reply_arrives_although_pipelined_input_is_unread() {
    for reply in [20, 30_000, 1 << 20] {
        for pipelined in [1, 10_000, 60_000] {
            let log = Log::default();
            let server = lines(Config::default(), &log, move |script| {
                script.received(move |cx, _| {
                    cx.send(&pattern(reply));
                    Err(Close::msg("one is enough"))
                })
            });
            let mut client = server.connect();
            let mut text = b"request\n".to_vec();
            text.extend(b"more\n".repeat(pipelined / 5));
            client.write_all(&text).expect("written");
            let (received, result) = read_all(&mut client);
            assert!(result.is_ok(), "{reply} and {pipelined}: {result:?}");
            assert!(received == pattern(reply), "{reply} and {pipelined}: {} bytes", received.len());
            drop(client);
            server.wait_until(|_, cx| cx.stats().open == 0);
            assert_eq!(log.texts(), ["opened", "received request", "closed: failed: one is enough"]);
            server.stop();
        }
    }
}

// F2: the same when more arrives after the close, while the reply is still on its way.
#[test]
fn f2_input_after_the_close_is_dropped_and_the_reply_arrives() {
    let log = Log::default();
    let server = narrow_lines(Config::default(), &log, |script| {
        script.received(|cx, _| {
            cx.send(&pattern(300_000));
            cx.close(cx.id(), Close::Linger);
            Ok(())
        })
    });
    let mut client = peer::narrow(server.addr);
    client.write_all(b"request\n").expect("written");
    let id = only(&server);
    server.wait_until(move |_, cx| cx.info(id).is_some_and(|info| info.state == State::Draining));
    let mut received = Vec::new();
    let mut buf = [0; 3000];
    for _ in 0..100 {
        client.write_all(&[b'x'; 500]).expect("it is read and dropped");
        client.read_exact(&mut buf).expect("the reply");
        received.extend(buf);
    }
    let (rest, result) = read_all(&mut client);
    assert!(result.is_ok() && rest.is_empty(), "{result:?}");
    assert!(received == pattern(300_000));
    client.write_all(&[b'x'; 500]).expect("it lingers until we end");
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(log.of(id), ["opened", "received request", "closed: closed by this program"]);
    server.stop();
}

// F3: a peer that never ends its side is not waited for longer than the bound.
#[test]
fn f3_a_linger_ends_after_its_time() {
    let mut config = Config::default();
    config.linger_timeout = Duration::from_millis(50);
    let log = Log::default();
    let server = lines(config, &log, |script| script.received(|_, _| Err(Close::Linger)));
    let mut client = server.connect();
    let start = std::time::Instant::now();
    client.write_all(b"bye\n").expect("written");
    let (_, result) = read_all(&mut client);
    assert!(result.is_ok(), "our side ends in order: {result:?}");
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert!(start.elapsed() >= Duration::from_millis(50), "it lingered for {:?}", start.elapsed());
    assert_eq!(log.texts().last().map(String::as_str), Some("closed: closed by this program"));
    server.stop();
    drop(client);
}

#[test]
fn f3_a_linger_ends_after_its_bytes() {
    let mut config = Config::default();
    config.linger_bytes_max = 10_000;
    config.linger_timeout = PATIENCE * 10;
    let log = Log::default();
    let server = lines(config, &log, |script| script.received(|_, _| Err(Close::Linger)));
    let mut client = server.connect();
    client.write_all(b"bye\n").expect("written");
    server.wait_until(|_, cx| cx.stats().frames == 1);
    // It sends for as long as anybody listens.
    while client.write_all(&[b'x'; 3000]).is_ok() {}
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert!(stats.received <= 4 + 10_000, "{} bytes were read", stats.received);
    log.check();
}

// F3: the bounds also hold while the reply is stuck, because the peer sends and does not read.
#[test]
fn f3_a_peer_that_sends_and_does_not_read_is_not_drained_for_ever() {
    let mut config = Config::default();
    config.linger_bytes_max = 10_000;
    config.write_timeout = Duration::from_millis(100);
    let log = Log::default();
    let server = narrow_lines(config, &log, |script| {
        script.received(|cx, _| {
            cx.send(&pattern(500_000));
            Err(Close::Linger)
        })
    });
    let mut client = peer::narrow(server.addr);
    client.write_all(b"bye\n").expect("written");
    server.wait_until(|_, cx| cx.stats().frames == 1);
    while client.write_all(&[b'x'; 3000]).is_ok() {}
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert!(stats.received <= 4 + 10_000, "{} bytes were read", stats.received);
    assert_eq!(stats.closed(CloseKind::TimedOut), 1);
    log.check();
}

// B3: what came before a reset is delivered, then the reset is told, never an orderly end.
#[test]
fn b3_data_before_a_reset_is_delivered_and_then_the_reset() {
    for bytes in [0, 10, 5000, 1_000_000] {
        let log = Log::default();
        let server = lines(Config::default(), &log, |script| script);
        let mut client = server.connect();
        let id = only(&server);
        // The loop looks only when all of it is there.
        let (open_gate, gate) = mpsc::channel();
        server.handle.post(move |_, _| gate.recv().expect("opened")).expect("posted");
        let count = bytes / 10;
        let mut stream = b"012345678\n".repeat(count);
        stream.extend(b"part");
        let most = stream.len().min(100_000) / 10 * 10;
        client.write_all(&stream[stream.len() - most.max(4)..]).expect("written");
        reset(client);
        open_gate.send(()).expect("the loop waits");
        server.wait_until(|_, cx| cx.stats().open == 0);
        let told = log.of(id);
        assert_eq!(told.last().map(String::as_str), Some("closed: reset by the peer"), "{bytes}");
        assert_eq!(log.count("half closed"), 0);
        if bytes > 0 {
            assert!(log.count("received") + 1 >= most / 10, "{bytes}: {}", log.count("received"));
        }
        let stats = server.stop();
        assert_eq!(stats.closed(CloseKind::Reset), 1);
        log.check();
    }
}

// B2: a send that fails takes the error off the socket. The data before the reset is delivered all the same,
// and the end that a receive then reports is not taken for an orderly one.
#[test]
fn b2_a_send_that_fails_first_hides_neither_the_data_nor_the_reset() {
    for (paused, half_closed) in [(false, false), (false, true), (true, false), (true, true)] {
        let log = Log::default();
        let server = lines(Config::default(), &log, |script| {
            script.received(|cx, line| {
                if line == b"pause" {
                    cx.pause(cx.id());
                    cx.send(b"paused");
                }
                Ok(())
            })
        });
        let mut client = server.connect();
        let id = only(&server);
        client.write_all(b"pause\n").expect("written");
        client.read_exact(&mut [0; 6]).expect("an answer");
        client.write_all(b"last\nwords\npart").expect("written");
        // What is sent next fails, and what is received at last is an end, not an error.
        if half_closed {
            client.shutdown(Shutdown::Write).expect("ended");
        }
        reset(client);
        let sent = server.with(move |_, cx| {
            let sent = cx.send_to(id, b"into the void");
            if !paused {
                cx.resume(id);
            }
            sent
        });
        assert_eq!(sent, Sent::Accepted, "nobody knows yet");
        if paused {
            server.with(|_, _| ());
            assert_eq!(server.with(move |_, cx| cx.send_to(id, b"again")), Sent::Closed, "now it is known");
            assert_eq!(log.of(id), ["opened", "received pause"]);
            server.with(move |_, cx| cx.resume(id));
        }
        server.wait_until(|_, cx| cx.stats().open == 0);
        let expected =
            ["opened", "received pause", "received last", "received words", "closed: reset by the peer"];
        assert_eq!(log.of(id), expected, "paused: {paused}, half closed: {half_closed}");
        server.stop();
    }
}

type PeerEnds = fn(TcpStream);
type WeEnd = fn(&mut Context, ConnId);

/// What a peer does to end a connection.
const PEERS: [(&str, PeerEnds); 4] = [
    ("end", drop),
    ("half", |mut client| {
        // It fails if the other side was faster.
        client.shutdown(Shutdown::Write).ok();
        read_all(&mut client).1.ok();
    }),
    ("reset", reset),
    ("leave", |mut client| {
        read_all(&mut client).1.ok();
    }),
];

/// What a program does to end a connection.
const WAYS: [(&str, WeEnd); 10] = [
    ("flush", |cx, id| cx.close(id, Close::Flush)),
    ("linger", |cx, id| cx.close(id, Close::Linger)),
    ("abort", |cx, id| cx.close(id, Close::Abort)),
    ("fail", |cx, id| cx.close(id, Close::msg("as told"))),
    ("finish", |cx, id| cx.finish(id)),
    ("flush twice", |cx, id| {
        cx.close(id, Close::Flush);
        cx.close(id, Close::Linger);
    }),
    ("linger and abort", |cx, id| {
        cx.close(id, Close::Linger);
        cx.close(id, Close::Abort);
        cx.close(id, Close::Flush);
    }),
    ("finish and flush", |cx, id| {
        cx.finish(id);
        cx.finish(id);
        cx.close(id, Close::Flush);
    }),
    ("finish and linger", |cx, id| {
        cx.finish(id);
        cx.close(id, Close::Linger);
        cx.finish(id);
    }),
    ("slow", |cx, id| assert!(!cx.send_to(id, &vec![0; 5 << 20]).is_queued())),
];

// F6, F8: whoever ends it, however, and whoever is first, there is one `closed`, and it is the last word.
#[test]
fn f8_one_closed_for_each_opened_whoever_ends_it_and_however() {
    let log = Log::default();
    let mut config = Config::default();
    config.linger_timeout = Duration::from_millis(100);
    let server = lines(config, &log, |script| script);
    for (peer_name, peer) in PEERS {
        for (way_name, way) in WAYS {
            for gated in [false, true] {
                for queued in [0, 100_000] {
                    let client = server.connect();
                    let id = only(&server);
                    if gated {
                        // Both at once: the loop learns of the peer's end after the program's.
                        let (open_gate, gate) = mpsc::channel();
                        let told = server.handle.post(move |_, cx| {
                            cx.send_to(id, &vec![b'x'; queued]);
                            gate.recv().expect("opened");
                            way(cx, id);
                        });
                        assert!(told.is_ok());
                        let opener = std::thread::spawn(move || peer(client));
                        if peer_name == "end" || peer_name == "reset" {
                            opener.join().expect("it ends");
                            open_gate.send(()).expect("the loop waits");
                        } else {
                            open_gate.send(()).expect("the loop waits");
                            opener.join().expect("it ends");
                        }
                    } else {
                        server.with(move |_, cx| {
                            cx.send_to(id, &vec![b'x'; queued]);
                            way(cx, id);
                        });
                        peer(client);
                    }
                    server.wait_until(|_, cx| cx.stats().open == 0);
                    let of = log.of(id);
                    assert_eq!(
                        of.iter().filter(|text| text.starts_with("closed")).count(),
                        1,
                        "{peer_name}, {way_name}, gated: {gated}, queued: {queued}: {of:?}"
                    );
                }
            }
        }
    }
    server.stop();
    log.check();
}

// F6: both sides end at the same moment; the reactor closes by itself.
#[test]
fn f6_both_sides_end_at_once() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| script);
    for _ in 0..50 {
        let mut client = server.connect();
        let id = only(&server);
        server.handle.post(move |_, cx| cx.finish(id)).expect("posted");
        client.shutdown(Shutdown::Write).expect("ended");
        assert!(read_all(&mut client).1.is_ok());
        server.wait_until(|_, cx| cx.stats().open == 0);
        assert_eq!(log.of(id).last().map(String::as_str), Some("closed: ended by the peer"));
    }
    server.stop();
    log.check();
}

// F7: our end is announced behind what is queued, not before.
#[test]
fn f7_a_finish_waits_for_the_queue() {
    for finish in [true, false] {
        let log = Log::default();
        let server = narrow_lines(Config::default(), &log, move |script| {
            script.received(move |cx, _| {
                cx.send_bytes(pattern(300_000).into());
                if finish {
                    cx.finish(cx.id());
                } else {
                    cx.close(cx.id(), Close::Flush);
                }
                assert_eq!(cx.send(b"too late"), Sent::Closed);
                Ok(())
            })
        });
        let mut client = peer::narrow(server.addr);
        client.write_all(b"go\n").expect("written");
        let (received, result) = read_all(&mut client);
        assert!(result.is_ok(), "{result:?}");
        assert!(received == pattern(300_000));
        drop(client);
        server.wait_until(|_, cx| cx.stats().open == 0);
        server.stop();
        log.check();
    }
}

#[test]
fn an_abort_drops_what_is_queued_and_a_flush_sends_it() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| {
        script.received(|cx, line| {
            cx.send(b"reply");
            Err(if line == b"abort" { Close::Abort } else { Close::Flush })
        })
    });
    let mut client = server.connect();
    client.write_all(b"flush\n").expect("written");
    let (received, result) = read_all(&mut client);
    assert_eq!((&received[..], result.is_ok()), (&b"reply"[..], true));
    let mut client = server.connect();
    client.write_all(b"abort\n").expect("written");
    let (received, result) = read_all(&mut client);
    assert!(received.is_empty() && is_reset(&result), "{result:?}");
    server.stop();
    log.check();
}

#[test]
fn the_cause_of_an_error_reaches_closed() {
    let log = Log::default();
    let (tell, causes) = mpsc::channel();
    let server = lines(Config::default(), &log, move |script| {
        script
            .received(|_, line| {
                let n: u32 = std::str::from_utf8(line)?.parse()?;
                if n == 0 {
                    return Err(Close::from_boxed("boxed".into()));
                }
                Ok(())
            })
            .closed(move |_, why| {
                let switchboard::CloseReason::Failed(error) = why else { panic!("{why}") };
                tell.send((error.is::<std::num::ParseIntError>(), error.is::<std::str::Utf8Error>()))
                    .expect("the test waits for this");
            })
    });
    for (text, cause) in
        [(&b"1\n0\n"[..], (false, false)), (b"x\n", (true, false)), (b"\xff\n", (false, true))]
    {
        let mut client = server.connect();
        client.write_all(text).expect("written");
        assert!(read_all(&mut client).1.is_ok());
        drop(client);
        assert_eq!(causes.recv_timeout(PATIENCE).expect("closed"), cause);
    }
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::Failed), 3);
}
