//! Callbacks: closing oneself and others in each of them, stale ids, many at once.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use switchboard::codec::Lines;
use switchboard::{Close, CloseKind, Config, ConnId, Context, Result, Sent, Stop, TimerError};

use crate::peer::{self, pattern, read_all};
use crate::script::{Log, Script, lines, narrow_lines};
use crate::server::PATIENCE;

const WAYS: [fn() -> Close; 4] =
    [|| Close::Flush, || Close::Linger, || Close::Abort, || Close::msg("as told")];

const CALLBACKS: [&str; 7] = ["opened", "received", "writable", "half closed", "timer", "alarm", "closed"];

/// A script whose callback `which` runs `act`; all of them come, in the order of [`CALLBACKS`].
fn acting_in(
    script: Script<Lines>,
    which: &'static str,
    act: impl Fn(&mut Context) -> Result + Clone + 'static,
) -> Script<Lines> {
    let at = move |name: &'static str| {
        let act = act.clone();
        move |cx: &mut Context| if name == which { act(cx) } else { Ok(()) }
    };
    let (opened, received, closed) = (at("opened"), at("received"), at("closed"));
    let (half_closed, alarm) = (at("half closed"), at("alarm"));
    script
        .opened(move |cx, _| {
            opened(cx).ok();
        })
        .received(move |cx, _| {
            if cx.id().generation() == 1 {
                cx.set_timer(cx.id(), Duration::ZERO, 0)?;
                cx.set_alarm(Duration::ZERO, 0)?;
            }
            received(cx)?;
            cx.send_bytes(pattern(200_000).into());
            Ok(())
        })
        .writable(at("writable"))
        .timer(at("timer"))
        .alarm(move |cx| {
            alarm(cx).ok();
        })
        .half_closed(move |cx| {
            half_closed(cx)?;
            cx.close(cx.id(), Close::Flush);
            Ok(())
        })
        .closed(move |cx, _| {
            closed(cx).ok();
        })
}

// G1, G5, G6: a close in any callback is the last but for `closed`, which comes once.
#[test]
fn g1_a_connection_that_closes_itself_in_any_callback_hears_nothing_more() {
    for which in CALLBACKS {
        for (n, way) in WAYS.into_iter().enumerate() {
            let log = Log::default();
            let server = narrow_lines(Config::default(), &log, move |script| {
                acting_in(script, which, move |cx| {
                    let id = cx.id();
                    cx.close(id, way());
                    assert_eq!(cx.send(b"too late"), Sent::Closed);
                    cx.close(id, Close::Flush);
                    cx.finish(id);
                    cx.pause(id);
                    cx.resume(id);
                    Ok(())
                })
            });
            let mut client = server.connect();
            // The connection may be gone at any point of this.
            client.write_all(b"one\ntwo\nthree\n").ok();
            client.shutdown(Shutdown::Write).ok();
            read_all(&mut client).1.ok();
            drop(client);
            server.wait_until(|_, cx| cx.stats().accepted == 1 && cx.stats().open == 0);
            server.stop();
            log.check();
            let mut told = log.texts();
            told.retain(|text| text != "alarm");
            if !["alarm", "closed"].contains(&which) {
                let at = told.iter().position(|text| text.starts_with(which)).expect("the callback came");
                assert_eq!(told.len(), at + 2, "{which} {n}: {told:?}");
            }
        }
    }
}

// G1: an `Err` from any callback that can answer one closes with that error.
#[test]
fn g1_an_error_from_any_callback_closes_and_is_told() {
    for which in ["received", "writable", "half closed", "timer"] {
        let log = Log::default();
        let server = narrow_lines(Config::default(), &log, move |script| {
            acting_in(script, which, |_| Err(Close::msg("as told")))
        });
        let mut client = server.connect();
        client.write_all(b"one\n").expect("written");
        if which == "half closed" {
            client.shutdown(Shutdown::Write).expect("ended");
        }
        read_all(&mut client).1.ok();
        drop(client);
        server.wait_until(|_, cx| cx.stats().accepted == 1 && cx.stats().open == 0);
        assert_eq!(log.count("closed: failed: as told"), 1, "{which}: {:?}", log.texts());
        server.stop();
        log.check();
    }
}

// G2, A10: a callback closes another connection whose input is in the same batch of events: none of it is
// delivered, whichever callback it is.
#[test]
fn g2_a_connection_closed_by_another_in_the_same_batch_hears_nothing_more() {
    for which in ["received", "half closed", "timer", "alarm", "closed", "opened"] {
        for (n, way) in WAYS.into_iter().enumerate() {
            let log = Log::default();
            let (target, targets) = mpsc::channel::<ConnId>();
            let server = lines(Config::default(), &log, move |script| {
                let targets = Rc::new(targets);
                acting_in(script, which, move |cx| {
                    // Only once: then there is no target any more.
                    if let Ok(id) = targets.try_recv() {
                        cx.close(id, way());
                        assert_eq!(cx.send_to(id, b"too late"), Sent::Closed);
                        assert!(
                            cx.set_timer(id, Duration::ZERO, 0).is_err() || !matches!(way(), Close::Abort)
                        );
                    }
                    Ok(())
                })
            });
            let mut victim = server.connect();
            server.wait_until(|script, _| script.open.len() == 1);
            let id = server.with(|script, _| script.open[0]);
            let actor = if which == "opened" { None } else { Some(server.connect()) };
            server.wait_until(move |script, _| script.open.len() == if which == "opened" { 1 } else { 2 });
            let (open_gate, gate) = mpsc::channel();
            server.handle.post(move |_, _| gate.recv().expect("opened")).expect("posted");
            target.send(id).expect("the script waits for this");
            // The actor is first in the batch. What comes after all input anyway has to be waited for.
            let mut actor = actor.unwrap_or_else(|| server.connect());
            actor.write_all(b"act\n").expect("written");
            if which != "timer" {
                actor.shutdown(Shutdown::Write).expect("ended");
            }
            let late = !["received", "half closed"].contains(&which);
            if !late {
                victim.write_all(b"never\nnever\n").expect("written");
            }
            open_gate.send(()).expect("the loop waits");
            if late {
                let (seen, least) = (log.clone(), if which == "opened" { 2 } else { 1 });
                server.wait_until(move |_, _| seen.count(which) >= least);
                victim.write_all(b"never\nnever\n").ok();
            }
            actor.shutdown(Shutdown::Write).ok();
            read_all(&mut actor).1.ok();
            victim.shutdown(Shutdown::Write).ok();
            read_all(&mut victim).1.ok();
            drop((victim, actor));
            server.wait_until(|_, cx| cx.stats().accepted == 2 && cx.stats().open == 0);
            server.stop();
            log.check();
            let told = log.of(id);
            assert!(!told.iter().any(|text| text == "received never"), "{which} {n}: {told:?}");
        }
    }
}

// A11, G3: the id of a connection that is gone reaches nobody, also when its slot is in use again.
#[test]
fn a11_a_stale_id_never_reaches_the_next_user_of_its_slot() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| script);
    let first = server.connect();
    server.wait_until(|script, _| script.open.len() == 1);
    let stale = server.with(|script, _| script.open[0]);
    drop(first);
    server.wait_until(|script, _| script.open.is_empty());
    let mut second = server.connect();
    server.wait_until(|script, _| script.open.len() == 1);
    let live = server.with(|script, _| script.open[0]);
    assert_eq!(live.slot(), stale.slot());
    assert_ne!(live, stale);
    server.with(move |_, cx| {
        assert_eq!(cx.send_to(stale, b"x"), Sent::Closed);
        assert_eq!(cx.send_bytes_to(stale, vec![0; 5000].into()), Sent::Closed);
        assert!(cx.try_send(stale, "x".into()).is_err());
        assert!(cx.set_timer(stale, Duration::ZERO, 0).is_err());
        assert!(cx.info(stale).is_none());
        assert_eq!(cx.queued(stale), 0);
        cx.pause(stale);
        cx.finish(stale);
        cx.close(stale, Close::Abort);
    });
    second.write_all(b"alive\n").expect("written");
    server.wait_until(|_, cx| cx.stats().frames == 1);
    server.with(move |_, cx| assert!(cx.send_to(live, b"!").is_queued()));
    second.read_exact(&mut [0]).expect("it lives");
    drop(second);
    server.stop();
    assert_eq!(log.of(live), ["opened", "received alive", "half closed", "closed: ended by the peer"]);
}

// A11, G3: one callback closes a connection and opens another, while input of the first is in the same batch.
#[test]
fn g3_what_was_meant_for_a_closed_connection_does_not_reach_the_one_opened_after_it() {
    let onward = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = onward.local_addr().expect("its address");
    let log = Log::default();
    let (target, targets) = mpsc::channel::<ConnId>();
    let server = lines(Config::default(), &log, move |script| {
        script
            .received(move |cx, _| {
                if let Ok(id) = targets.try_recv() {
                    cx.close(id, Close::Abort);
                    cx.connect(addr, 1)?;
                }
                Ok(())
            })
            .closed(move |cx, why| {
                // And again where its slot is freed next.
                if matches!(why, switchboard::CloseReason::Aborted) {
                    cx.connect(addr, 2).expect("room");
                }
            })
    });
    let mut victim = server.connect();
    server.wait_until(|script, _| script.open.len() == 1);
    let id = server.with(|script, _| script.open[0]);
    let mut actor = server.connect();
    server.wait_until(|script, _| script.open.len() == 2);
    let (open_gate, gate) = mpsc::channel();
    server.handle.post(move |_, _| gate.recv().expect("opened")).expect("posted");
    target.send(id).expect("the script waits for this");
    actor.write_all(b"act\n").expect("written");
    victim.write_all(b"stray\n").expect("written");
    open_gate.send(()).expect("the loop waits");
    let mut accepted: Vec<_> = (0..2).map(|_| onward.accept().expect("a connection").0).collect();
    server.wait_until(|script, _| script.open.len() == 3);
    for stream in &mut accepted {
        stream.write_all(b"hello\n").expect("written");
    }
    server.wait_until(|_, cx| cx.stats().frames == 3);
    assert_eq!(log.count("received stray"), 0);
    assert_eq!(log.count("received hello"), 2);
    drop((victim, actor, accepted));
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
    log.check();
}

// G4: two connections that answer each other never nest: the depth of the stack is that of one callback.
#[test]
fn g4_connections_that_answer_each_other_do_not_recurse() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| {
        let mut others: HashMap<ConnId, ConnId> = HashMap::new();
        let mut last = None;
        let mut inside = false;
        script.received(move |cx, line| {
            assert!(!std::mem::replace(&mut inside, true), "callbacks nest");
            let id = cx.id();
            if line == b"join" {
                if let Some(other) = last.replace(id) {
                    others.insert(id, other);
                    others.insert(other, id);
                    cx.send_to(other, b"0\n");
                }
            } else {
                let n: u32 = std::str::from_utf8(line)?.parse()?;
                cx.send_to(others[&id], format!("{}\n", n + 1).as_bytes());
            }
            inside = false;
            Ok(())
        })
    });
    let echo = |mut client: std::net::TcpStream| {
        std::thread::spawn(move || {
            client.write_all(b"join\n").expect("written");
            let mut buf = [0; 100];
            loop {
                let n = client.read(&mut buf).expect("a number");
                if n == 0 || client.write_all(&buf[..n]).is_err() {
                    return;
                }
            }
        })
    };
    let peers = [echo(server.connect()), echo(server.connect())];
    server.wait_until(|_, cx| cx.stats().frames > 2000);
    server.handle.stop(Stop::Now);
    server.join();
    for peer in peers {
        peer.join().ok();
    }
    log.check();
}

// G13: many closes in one turn are carried out over several, and others are served in between.
#[test]
fn g13_two_thousand_connections_close_in_one_turn() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| {
        script.received(|cx, line| {
            cx.send(line);
            Ok(())
        })
    });
    let clients: Vec<_> = (0..2000).map(|_| server.connect()).collect();
    server.wait_until(|script, _| script.open.len() == 2000);
    let mut other = server.connect();
    server.wait_until(|script, _| script.open.len() == 2001);
    let turns = server.with(|script, cx| {
        for id in &script.open[..2000] {
            cx.close(*id, Close::Abort);
        }
        cx.stats().turns
    });
    other.write_all(b"ping\n").expect("written");
    other.read_exact(&mut [0; 4]).expect("an answer");
    server.wait_until(|_, cx| cx.stats().open == 1);
    assert!(server.with(|_, cx| cx.stats().turns) > turns + 1, "within a budget");
    drop((clients, other));
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::Aborted), 2000);
    log.check();
}

// G13, D11: ten thousand connects begun and closed in one callback are each told once.
#[test]
fn g13_ten_thousand_connects_are_closed_before_they_begin() {
    let onward = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = onward.local_addr().expect("its address");
    let log = Log::default();
    let mut config = Config::default();
    config.connections_max = Some(20_000);
    let server = lines(config, &log, |script| script);
    server.with(move |_, cx| {
        for n in 0..10_000 {
            let id = cx.connect(addr, n).expect("room");
            assert!(cx.send_to(id, b"never").is_queued());
            cx.close(id, if n % 2 == 0 { Close::Linger } else { Close::Abort });
        }
    });
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(log.count("connect failed"), 10_000);
    assert_eq!(log.texts().len(), 10_000);
    let stats = server.stop();
    assert_eq!((stats.connects_failed, stats.connected), (10_000, 0));
}

// D11: everything may be asked of a connection whose connect has no outcome yet; a timer of it is refused.
#[test]
fn d11_a_connection_that_is_connecting_can_be_sent_to_finished_and_closed() {
    // Its backlog is full, so that connects to it hang.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    full.listen(0).expect("listening");
    let addr = full.local_addr().expect("its address").as_socket().expect("an IP address");
    let _first = std::net::TcpStream::connect(addr).expect("it fills the backlog");
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| script);
    let id = server.with(move |_, cx| {
        let id = cx.connect(addr, 0).expect("room");
        assert!(cx.send_to(id, &pattern(100_000)).is_queued());
        assert_eq!(cx.set_timer(id, Duration::ZERO, 7), Err(TimerError::NotOpen));
        cx.pause(id);
        cx.resume(id);
        id
    });
    assert_eq!(server.with(move |_, cx| cx.queued(id)), 100_000);
    server.with(move |_, cx| cx.finish(id));
    assert_eq!(server.with(move |_, cx| cx.send_to(id, b"x")), Sent::Closed);
    server.with(move |_, cx| cx.close(id, Close::Linger));
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(log.count("connect failed"), 1);
    assert_eq!(log.of(id).len(), 1, "{:?}", log.of(id));
    server.stop();
}

// What is asked for in `opened` holds: greetings, closes, pauses, ends.
#[test]
fn a_connection_may_be_closed_while_it_opens() {
    for (n, way) in WAYS.into_iter().enumerate() {
        let log = Log::default();
        let server = lines(Config::default(), &log, move |script| {
            script.opened(move |cx, _| {
                assert!(cx.send(b"no room").is_queued());
                cx.close(cx.id(), way());
            })
        });
        for _ in 0..3 {
            let mut client = server.connect();
            let (received, result) = read_all(&mut client);
            if n == 2 {
                assert!(received.is_empty() && peer::is_reset(&result), "{result:?}");
            } else {
                assert_eq!((&received[..], result.is_ok()), (&b"no room"[..], true));
            }
        }
        server.wait_until(|_, cx| cx.stats().open == 0);
        server.stop();
        log.check();
    }
}

// A closure posted from outside may close anything, also what another closure of the same turn just used.
#[test]
fn posted_closures_close_what_others_use() {
    let log = Log::default();
    let server = lines(Config::default(), &log, |script| script);
    let mut client = server.connect();
    server.wait_until(|script, _| script.open.len() == 1);
    let id = server.with(|script, _| script.open[0]);
    let (tell, told) = mpsc::channel();
    let (open_gate, gate) = mpsc::channel();
    server.handle.post(move |_, _| gate.recv().expect("opened")).expect("posted");
    for n in 0..4 {
        let tell = tell.clone();
        server
            .handle
            .post(move |_, cx| {
                tell.send(cx.send_to(id, b"x")).expect("the test waits for this");
                if n == 1 {
                    cx.close(id, Close::Flush);
                }
            })
            .expect("posted");
    }
    open_gate.send(()).expect("the loop waits");
    let sent: Vec<_> = (0..4).map(|_| told.recv_timeout(PATIENCE).expect("run")).collect();
    assert_eq!(sent, [Sent::Accepted, Sent::Accepted, Sent::Closed, Sent::Closed]);
    let (received, result) = read_all(&mut client);
    assert_eq!((&received[..], result.is_ok()), (&b"xx"[..], true));
    server.stop();
    log.check();
}
