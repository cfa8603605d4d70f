//! Marks, pauses and what waits meanwhile.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;

use bytes::Bytes;
use switchboard::codec::{Lines, Put, Raw};
use switchboard::{Close, CloseKind, Config, Context, OnSlow, Sent, each};

use crate::peer::{self, pattern, read_all, reset};
use crate::script::{Log, Script, lines, narrow_lines, only};
use crate::server::{PATIENCE, Server};

#[test]
fn thirty_two_megabytes_come_back_from_a_client_that_writes_all_before_it_reads() {
    let server = Server::start(Config::default(), || {
        each(Raw::new, |cx, bytes| {
            cx.send(bytes);
            Ok(())
        })
    });
    let mut client = server.connect();
    let sent = pattern(32 << 20);
    let mut writer = client.try_clone().expect("cloned");
    let bytes = sent.clone();
    let (tell, blocked) = mpsc::channel();
    let writing = std::thread::spawn(move || {
        let (first, rest) = bytes.split_at(1 << 20);
        writer.write_all(first).expect("written");
        tell.send(()).expect("the test waits for this");
        writer.write_all(rest).expect("written");
        writer.shutdown(Shutdown::Write).expect("ended");
    });
    blocked.recv_timeout(PATIENCE).expect("the beginning is written");
    // Nothing is read before the server has stopped reading.
    server.wait_until(|_, cx| cx.connections().any(|conn| conn.paused));
    let (received, result) = read_all(&mut client);
    assert!(result.is_ok(), "{result:?}");
    writing.join().expect("the writer writes");
    assert!(received == sent, "{} of {} bytes, or others", received.len(), sent.len());
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::Ended), 1);
    assert!(stats.over_high > 0);
}

// E11: a few bytes ask for a lot, many times, before any answer is read. Decoding stops above the high mark,
// so an honest client gets every answer and what waits stays below the mark plus one answer.
#[test]
fn e11_pipelined_requests_for_large_replies_stop_at_the_high_mark() {
    type Way = fn(&mut Context, &Bytes);
    const REPLY: usize = 100_000;
    const REQUESTS: usize = 300;
    let ways: [(&str, Way); 5] = [
        ("send", |cx, reply| assert!(cx.send(reply).is_queued())),
        ("send_bytes", |cx, reply| assert!(cx.send_bytes(reply.clone()).is_queued())),
        ("out", |cx, reply| cx.out().put_slice(reply)),
        ("broadcast", |cx, reply| {
            assert_eq!(cx.broadcast([cx.id()], reply, OnSlow::Queue).queued, 1);
        }),
        ("try_send", |cx, reply| assert!(cx.try_send(cx.id(), reply.clone()).is_ok())),
    ];
    for (name, way) in ways {
        let log = Log::default();
        let (tell, most) = mpsc::channel();
        let server = narrow_lines(Config::default(), &log, move |script| {
            let reply: Bytes = pattern(REPLY).into();
            script.received(move |cx, _| {
                way(cx, &reply);
                tell.send(cx.queued(cx.id())).expect("the test waits for this");
                Ok(())
            })
        });
        let mut client = peer::narrow(server.addr);
        client.write_all(&b"more\n".repeat(REQUESTS)).expect("written");
        client.shutdown(Shutdown::Write).expect("ended");
        let (received, result) = read_all(&mut client);
        assert!(result.is_ok(), "{name}: {result:?}, {:?}", log.texts().last());
        assert_eq!(received.len(), REPLY * REQUESTS, "{name}");
        assert!(received.chunks(REPLY).all(|reply| *reply == pattern(REPLY)), "{name}");
        server.wait_until(|_, cx| cx.stats().open == 0);
        server.stop();
        let most = most.iter().max().expect("requests came");
        assert!(most <= Config::default().queued_bytes_high + REPLY, "{name}: {most} bytes waited");
        log.check();
    }
}

/// Marks far apart from each other and from what small sockets take.
fn marks() -> Config {
    let mut config = Config::default();
    config.queued_bytes_low = 20_000;
    config.queued_bytes_high = 100_000;
    config
}

#[test]
fn writable_comes_once_when_a_blocked_queue_falls_to_the_low_mark() {
    let log = Log::default();
    let (tell, queued) = mpsc::channel();
    let server = narrow_lines(marks(), &log, |script| {
        script
            .received(|cx, _| {
                assert_eq!(cx.send_bytes(pattern(600_000).into()), Sent::OverHigh);
                Ok(())
            })
            .writable(move |cx| {
                tell.send(cx.queued(cx.id())).expect("the test waits for this");
                Ok(())
            })
    });
    let mut client = peer::narrow(server.addr);
    client.write_all(b"go\n").expect("written");
    server.wait_until(|_, cx| cx.stats().frames == 1);
    let id = only(&server);
    // Between the marks nothing is told.
    let mut received = vec![0; 600_000];
    client.read_exact(&mut received[..500_000]).expect("read");
    server.wait_until(move |_, cx| cx.queued(id) <= 100_000);
    assert!(server.with(move |_, cx| cx.queued(id)) > 20_000);
    assert_eq!(log.count("writable"), 0);
    assert!(server.with(move |_, cx| cx.info(id).is_some_and(|info| info.paused)), "still not read");
    client.read_exact(&mut received[500_000..]).expect("read");
    let queued_then = queued.recv_timeout(PATIENCE).expect("writable");
    assert!(queued_then <= 20_000, "{queued_then} bytes queued");
    assert!(received == pattern(600_000));
    client.write_all(b"go\n").expect("written");
    client.read_exact(&mut received).expect("read");
    queued.recv_timeout(PATIENCE).expect("writable again");
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
    assert_eq!(log.count("writable"), 2, "{:?}", log.texts());
}

// Whoever is told OverHigh waits for `writable`: it must come also when the kernel takes everything at once.
#[test]
fn writable_comes_once_after_over_high_when_the_kernel_takes_all_at_once() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| {
        script.received(|cx, line| {
            let sent = match line {
                b"send" => cx.send(&pattern(70_000)),
                b"bytes" => cx.send_bytes(pattern(70_000).into()),
                b"both" => {
                    assert_eq!(cx.send(&pattern(40_000)), Sent::Accepted);
                    cx.send(&pattern(30_000))
                }
                _ => panic!("a script"),
            };
            assert_eq!(sent, Sent::OverHigh);
            Ok(())
        })
    });
    let mut client = server.connect();
    let id = only(&server);
    let mut received = vec![0; 70_000];
    for (n, line) in (1..).zip(["send\n", "bytes\n", "both\n"]) {
        client.write_all(line.as_bytes()).expect("written");
        client.read_exact(&mut received).expect("read");
        let log = log.clone();
        server.wait_until(move |_, _| log.count("writable") == n);
    }
    // The same from someone else's callback, which the end of the turn flushes.
    server.with(move |_, cx| assert_eq!(cx.send_to(id, &pattern(70_000)), Sent::OverHigh));
    client.read_exact(&mut received).expect("read");
    let again = log.clone();
    server.wait_until(move |_, _| again.count("writable") == 4);
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
    assert_eq!(log.count("writable"), 4, "{:?}", log.texts());
}

// A9: writability rides on every event; the callback does not.
#[test]
fn a9_writable_is_not_called_when_output_never_passed_the_high_mark() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| {
        script.received(|cx, _| {
            assert_eq!(cx.send(&pattern(65_536)), Sent::Accepted, "exactly the mark");
            Ok(())
        })
    });
    let mut client = server.connect();
    for _ in 0..20 {
        client.write_all(b"go\n").expect("written");
        client.read_exact(&mut vec![0; 65_536]).expect("read");
    }
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
    assert_eq!(log.count("writable"), 0);
}

// E15: a program that always has more to send is called again and again, and never from within its own call.
#[test]
fn e15_a_producer_that_stops_above_the_mark_and_goes_on_in_writable_sends_all() {
    const TOTAL: usize = 16 << 20;
    for (narrow, shared) in [(false, false), (false, true), (true, false), (true, true)] {
        let log = Log::default();
        let total = if narrow { TOTAL / 16 } else { TOTAL };
        let write = move |script: Script<Lines>| {
            let file: Bytes = pattern(total).into();
            let produce = move |cx: &mut Context, at: &mut usize| {
                while *at < file.len() {
                    let end = file.len().min(*at + 10_007);
                    let part = file.slice(*at..end);
                    let sent = if shared { cx.send_bytes(part) } else { cx.send(&part) };
                    assert!(sent.is_queued());
                    *at = end;
                    if sent == Sent::OverHigh {
                        return;
                    }
                }
                cx.close(cx.id(), Close::Flush);
            };
            let at = std::rc::Rc::new(std::cell::Cell::new(0));
            let (goes_on, from) = (produce.clone(), at.clone());
            let step = move |cx: &mut Context, produce: &dyn Fn(&mut Context, &mut usize)| {
                let mut now = from.get();
                produce(cx, &mut now);
                from.set(now);
            };
            let again = step.clone();
            script
                .received(move |cx, _| {
                    step(cx, &produce);
                    Ok(())
                })
                .writable(move |cx| {
                    again(cx, &goes_on);
                    Ok(())
                })
        };
        let server = if narrow {
            narrow_lines(Config::default(), &log, write)
        } else {
            lines(Config::default(), &log, write)
        };
        let mut client = server.connect();
        client.write_all(b"go\n").expect("written");
        let (received, result) = read_all(&mut client);
        assert!(result.is_ok(), "{result:?}");
        assert!(received == pattern(total), "{} of {total} bytes", received.len());
        server.wait_until(|_, cx| cx.stats().open == 0);
        server.stop();
        log.check();
    }
}

/// Answers each line with itself; the line `pause` pauses its connection, after its answer.
fn pausing(script: Script<Lines>) -> Script<Lines> {
    script.received(|cx, line| {
        cx.send(line);
        cx.send(b"\n");
        if line == b"pause" {
            cx.pause(cx.id());
        }
        Ok(())
    })
}

#[test]
fn nothing_is_delivered_while_paused_and_nothing_is_lost() {
    let log = Log::default();
    let server = lines(Config::default(), &log, pausing);
    let mut client = server.connect();
    let id = only(&server);
    // Behind the pause there are bytes in the batch, a partial line, and bytes not even received.
    client.write_all(b"a\npause\nb\nc").expect("written");
    client.read_exact(&mut [0; 8]).expect("answers until the pause");
    client.write_all(b"c\nd\n").expect("written");
    for _ in 0..10 {
        server.with(|_, _| ());
    }
    assert_eq!(log.of(id), ["opened", "received a", "received pause"]);
    assert!(server.with(move |_, cx| cx.info(id).is_some_and(|info| info.paused)));
    // No edge follows: the resume alone must bring the rest.
    server.with(move |_, cx| cx.resume(id));
    client.read_exact(&mut [0; 7]).expect("the rest");
    assert_eq!(log.of(id)[3..], ["received b", "received cc", "received d"]);
    server.with(move |_, cx| cx.resume(id));
    drop(client);
    server.stop();
}

#[test]
fn a_pause_undone_in_the_same_callback_changes_nothing() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| {
        script.received(|cx, line| {
            cx.pause(cx.id());
            cx.send(line);
            cx.resume(cx.id());
            Ok(())
        })
    });
    let mut client = server.connect();
    client.write_all(b"a\nb\nc\n").expect("written");
    let mut answer = [0; 3];
    client.read_exact(&mut answer).expect("answers");
    assert_eq!(&answer, b"abc");
    drop(client);
    server.stop();
}

#[test]
fn a_connection_paused_when_it_opens_is_heard_after_its_resume() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| script.opened(|cx, _| cx.pause(cx.id())));
    let mut client = server.connect();
    client.write_all(b"early\n").expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    let id = only(&server);
    server.with(|_, _| ());
    assert_eq!(log.of(id), ["opened"]);
    server.with(move |_, cx| cx.resume(id));
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(log.of(id), ["opened", "received early", "half closed", "closed: ended by the peer"]);
    server.stop();
}

#[test]
fn an_end_while_paused_waits_for_the_resume() {
    let log = Log::default();
    let server = lines(Config::default(), &log, pausing);
    let mut client = server.connect();
    let id = only(&server);
    client.write_all(b"pause\nlast\npart").expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    client.read_exact(&mut [0; 6]).expect("the answer");
    for _ in 0..10 {
        server.with(|_, _| ());
    }
    assert_eq!(log.of(id), ["opened", "received pause"]);
    server.with(move |_, cx| cx.resume(id));
    let (rest, result) = read_all(&mut client);
    assert_eq!((rest, result.is_ok()), (b"last\n".to_vec(), true));
    server.wait_until(|_, cx| cx.stats().open == 0);
    let told = log.of(id);
    assert_eq!(told[2], "received last");
    assert_eq!(told.last().map(String::as_str), Some("closed: ended 4 bytes into a frame"));
    server.stop();
    log.check();
}

// B3, also while paused: what came before the reset is delivered, then the reset is told.
#[test]
fn b3_a_reset_while_paused_is_told_after_the_data_before_it() {
    let log = Log::default();
    let server = lines(Config::default(), &log, pausing);
    let mut client = server.connect();
    let id = only(&server);
    client.write_all(b"pause\n").expect("written");
    client.read_exact(&mut [0; 6]).expect("the answer");
    client.write_all(b"last\nwords\n").expect("written");
    reset(client);
    for _ in 0..10 {
        server.with(|_, _| ());
    }
    assert_eq!(log.of(id), ["opened", "received pause"]);
    server.with(move |_, cx| cx.resume(id));
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(
        log.of(id),
        ["opened", "received pause", "received last", "received words", "closed: reset by the peer"]
    );
    server.stop();
}

#[test]
fn one_connection_pauses_and_resumes_another() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| script);
    let mut first = server.connect();
    let one = only(&server);
    let mut second = server.connect();
    server.wait_until(|script, _| script.open.len() == 2);
    server.with(move |_, cx| cx.pause(one));
    first.write_all(b"held back\n").expect("written");
    second.write_all(b"not held back\n").expect("written");
    server.wait_until(|_, cx| cx.stats().frames == 1);
    assert_eq!(log.of(one), ["opened"]);
    server.with(move |_, cx| cx.resume(one));
    server.wait_until(|_, cx| cx.stats().frames == 2);
    assert_eq!(log.of(one), ["opened", "received held back"]);
    drop((first, second));
    server.stop();
    log.check();
}

#[test]
fn a_paused_connection_still_sends_and_can_be_closed() {
    let ways: [(fn() -> Close, bool); 3] =
        [(|| Close::Flush, true), (|| Close::Linger, true), (|| Close::Abort, false)];
    for (how, orderly) in ways {
        let log = Log::default();
        let server = lines(Config::default(), &log, pausing);
        let mut client = server.connect();
        let id = only(&server);
        client.write_all(b"pause\n").expect("written");
        client.read_exact(&mut [0; 6]).expect("the answer");
        server.with(move |_, cx| assert!(cx.send_to(id, b"still").is_queued()));
        client.read_exact(&mut [0; 5]).expect("output goes on");
        server.with(move |_, cx| cx.close(id, how()));
        assert_eq!(read_all(&mut client).1.is_ok(), orderly);
        drop(client);
        server.wait_until(|_, cx| cx.stats().open == 0);
        server.stop();
        log.check();
    }
}

// A relay's output comes from elsewhere: its peer is read although it takes nothing, until told otherwise.
#[test]
fn without_the_automatic_pause_a_connection_is_read_above_its_high_mark() {
    const MUCH: usize = 3 << 20;
    let log = Log::default();
    let server = narrow_lines(Config::default(), &log, |script| {
        script.opened(|cx, _| cx.auto_pause(cx.id(), false)).received(|cx, line| {
            match line {
                b"much" => assert_eq!(cx.send(&pattern(MUCH)), Sent::OverHigh),
                b"pause" => cx.auto_pause(cx.id(), true),
                _ => {}
            }
            Ok(())
        })
    });
    let mut client = server.connect();
    client.write_all(b"much\n").expect("written");
    let heard = log.clone();
    server.wait_until(move |_, cx| {
        heard.count("received") == 1 && cx.connections().all(|conn| conn.queued > MUCH / 2)
    });
    client.write_all(b"heard\npause\nunheard\n").expect("written");
    let heard = log.clone();
    server.wait_until(move |_, cx| heard.count("received") == 3 && cx.connections().all(|conn| conn.paused));
    let id = only(&server);
    server.with(move |_, cx| cx.auto_pause(id, false));
    let heard = log.clone();
    server.wait_until(move |_, cx| heard.count("received") == 4 && cx.connections().all(|conn| !conn.paused));
    client.read_exact(&mut vec![0; MUCH]).expect("read");
    drop(client);
    server.stop();
}
