//! Output that is a part of the input: sent from where it is, in order, and queued like any other.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;

use super::fake::Sock;
use super::rig::Rig;
use crate::codec::Lines;
use crate::config::Config;
use crate::context::{Context, OnSlow, Sent};
use crate::error::{Close, Result};
use crate::handler::{Handler, each};
use crate::id::ConnId;
use crate::readiness::Readiness;

const WRITABLE: Readiness = Readiness::WRITABLE;

/// Up to this much is copied.
const HIGH: usize = 1000;

/// How long the lines are of which more than that is sent.
const LONG: usize = 5000;

fn config() -> Config {
    Config { queued_bytes_low: 100, queued_bytes_high: HIGH, ..Config::default() }
}

/// A line of bytes that differ, without its end.
fn long(length: usize) -> Vec<u8> {
    (0..length).map(|n| b'!' + (n % 89).to_le_bytes()[0]).collect()
}

/// A reactor that answers each line so, and a connection to it.
fn rig(
    config: Config,
    answer: impl FnMut(&mut Context, &[u8]) -> Result,
) -> (Rig<impl Handler>, (ConnId, Sock)) {
    let lines = || Lines::new().frame_bytes_max(1 << 20);
    let mut rig = Rig::new(config, each(lines, answer));
    let peer = rig.accept();
    (rig, peer)
}

#[test]
fn an_echo_of_much_copies_nothing() {
    let (mut rig, peer) = rig(config(), |cx, line| {
        assert_eq!(cx.send(line), Sent::OverHigh);
        assert_eq!((cx.queued(cx.id()), cx.out.len()), (LONG, 0));
        Ok(())
    });
    let line = long(LONG);
    rig.receive(&peer, &[&line, &b"\n"[..], &line, b"\n"].concat());
    assert_eq!(peer.1.sent(), [&line[..], &line].concat());
    assert_eq!(peer.1.0.borrow().sends, 2);
    assert_eq!(rig.reactor.cx.out.capacity(), 0);
    assert_eq!(rig.reactor.connections().map(|info| info.sent).sum::<u64>(), 2 * LONG as u64);
    assert_eq!(rig.reactor.stats().sent, 2 * LONG as u64);
}

#[test]
fn an_echo_of_a_frame_larger_than_a_receive_copies_nothing() {
    let config = Config { recv_buffer_bytes: 512, ..config() };
    let (mut rig, peer) = rig(config, |cx, line| {
        cx.send(line);
        assert_eq!(cx.out.len(), 0);
        Ok(())
    });
    let line = long(LONG);
    for _ in 0..3 {
        rig.receive(&peer, &[&line, &b"\n"[..]].concat());
    }
    assert_eq!(peer.1.sent(), line.repeat(3));
    assert_eq!(rig.reactor.cx.out.capacity(), 0);
}

#[test]
fn little_is_copied_and_leaves_with_the_rest_of_its_batch() {
    let (mut rig, peer) = rig(config(), |cx, line| {
        assert_eq!(cx.send(line), Sent::Accepted);
        Ok(())
    });
    rig.receive(&peer, &b"0123456789\n".repeat(HIGH / 10));
    assert_eq!(peer.1.sent(), b"0123456789".repeat(HIGH / 10));
    assert_eq!(peer.1.0.borrow().sends, 1);
}

/// Sends in all ways around what is lent.
fn send_around(cx: &mut Context, line: &[u8]) {
    let shared = Bytes::from(vec![b's'; 3000]);
    cx.send(b"before ");
    cx.send(line);
    cx.send(b" behind ");
    cx.send(&line[..2000]);
    cx.send_bytes(shared.clone());
    let told = cx.broadcast([cx.id()], &shared, OnSlow::Queue);
    assert_eq!(told.queued, 1);
    assert_eq!(cx.try_send(cx.id(), shared), Ok(Sent::OverHigh));
    cx.send_to(cx.id(), b" the end");
    assert_eq!(cx.queued(cx.id()), around(line).len());
}

/// What that is.
fn around(line: &[u8]) -> Vec<u8> {
    [b"before ", line, b" behind ", &line[..2000], &[b's'; 9000], b" the end"].concat()
}

#[test]
fn what_is_sent_before_and_behind_keeps_its_place() {
    let (mut rig, peer) = rig(config(), |cx, line| {
        send_around(cx, line);
        Ok(())
    });
    let line = long(LONG);
    rig.receive(&peer, &[&line, &b"\n"[..]].concat());
    assert_eq!(peer.1.sent(), around(&line));
    assert_eq!(peer.1.0.borrow().sends, 1, "in one call");
    assert_eq!(rig.reactor.cx.table.held(), 0);
}

// E5: the kernel may take any number of bytes, also in the middle of what is lent and at both of its ends.
#[test]
fn e5_a_partial_send_of_what_is_lent_continues_at_the_exact_byte() {
    let line = long(HIGH + 1);
    let all = [b"before ", &line[..], b" behind"].concat();
    for taken in 0..all.len() {
        let (mut rig, peer) = rig(config(), |cx, line| {
            cx.send(b"before ");
            cx.send(line);
            cx.send(b" behind");
            Ok(())
        });
        peer.1.sends(if taken == 0 { Err(ErrorKind::WouldBlock) } else { Ok(taken) });
        rig.receive(&peer, &[&line, &b"\n"[..]].concat());
        assert_eq!(peer.1.sent(), all[..taken]);
        let held = rig.reactor.cx.table.held();
        assert!(held >= all.len() - taken, "{held} bytes are held after {taken}");
        rig.event(peer.0, WRITABLE);
        assert_eq!(peer.1.sent(), all, "after {taken}");
        assert_eq!(rig.reactor.cx.table.held(), 0);
        assert_eq!(rig.reactor.stats().sent, all.len() as u64);
    }
}

#[test]
fn what_is_lent_while_the_kernel_takes_nothing_is_queued_behind_what_waits() {
    let (mut rig, peer) = rig(Config { queued_bytes_high: 2 * LONG, ..config() }, |cx, line| {
        cx.send(line);
        Ok(())
    });
    let line = long(LONG);
    peer.1.0.borrow_mut().room = Some(10);
    // The first leaves in part, the second is queued behind it, the third is above the high mark and lent.
    for n in 1..=3 {
        rig.receive(&peer, &[&line, &b"\n"[..]].concat());
        assert_eq!(rig.reactor.connections().map(|info| info.queued).sum::<usize>(), n * LONG - 10);
    }
    assert_eq!(peer.1.0.borrow().sends, 1);
    peer.1.0.borrow_mut().room = None;
    rig.event(peer.0, WRITABLE);
    assert_eq!(peer.1.sent(), line.repeat(3));
    assert_eq!(rig.reactor.cx.table.held(), 0);
}

// E1: what is lent counts.
#[test]
fn e1_the_limit_of_the_queue_holds_for_what_is_lent() {
    let config = Config { recv_bytes_max: LONG, queued_bytes_max: 3 * LONG, ..config() };
    let (mut rig, peer) = rig(config, |cx, line| {
        for _ in 0..3 {
            assert_eq!(cx.send(line), Sent::OverHigh);
        }
        assert_eq!(cx.send(b"x"), Sent::Full);
        assert_eq!(cx.send(b"x"), Sent::Closed);
        Ok(())
    });
    rig.receive(&peer, &[&long(LONG), &b"\n"[..]].concat());
    assert!(peer.1.0.borrow().reset, "a slow consumer is reset");
    assert_eq!((peer.1.sent(), rig.reactor.cx.table.held()), (Vec::new(), 0));
}

// What was sent before a callback fails still arrives.
#[test]
fn what_is_lent_is_sent_although_the_answer_is_to_close() {
    for close in [|| Close::Flush, || Close::Linger, || Close::msg("enough")] {
        let (mut rig, peer) = rig(config(), move |cx, line| {
            send_around(cx, line);
            Err(close())
        });
        let line = long(LONG);
        rig.receive(&peer, &[&line, &b"\nnot heard\n"[..]].concat());
        assert_eq!(peer.1.sent(), around(&line));
        assert!(peer.1.0.borrow().ended || peer.1.0.borrow().closed);
        rig.pass(Duration::from_secs(10));
        assert!(peer.1.0.borrow().closed);
    }
}

#[test]
fn nothing_that_is_lent_is_sent_once_its_connection_is_aborted() {
    for says_so in [true, false] {
        let (mut rig, peer) = rig(config(), move |cx, line| {
            cx.send(line);
            if says_so {
                return Err(Close::Abort);
            }
            cx.close(cx.id(), Close::Abort);
            Ok(())
        });
        rig.receive(&peer, &[&long(LONG), &b"\n"[..]].concat());
        assert_eq!(peer.1.sent(), b"");
        assert!(peer.1.0.borrow().reset);
        assert_eq!(rig.reactor.cx.table.held(), 0);
    }
}

#[test]
fn what_is_lent_leaves_before_a_pause_or_a_close_that_follows_it() {
    for act in [Context::pause, |cx: &mut Context, id| cx.close(id, Close::Flush)] {
        let (mut rig, peer) = rig(config(), move |cx, line| {
            act(cx, cx.id());
            if cx.send(line) == Sent::Closed {
                return Ok(());
            }
            cx.send(b"\n");
            Ok(())
        });
        let line = [&long(LONG), &b"\n"[..]].concat();
        rig.receive(&peer, &line.repeat(2));
        let expected = if peer.1.0.borrow().closed { b"" } else { &line[..] };
        assert_eq!(peer.1.sent(), expected, "the second line is not delivered");
    }
}

// G7: a callback that panics sends nothing, least of all to the next connection.
#[test]
fn g7_what_a_panicking_callback_lent_is_forgotten() {
    let config = Config { isolate_panics: true, ..config() };
    let (mut rig, peer) = rig(config, |cx, line| {
        cx.send(line);
        if line.starts_with(b"!") {
            std::panic::resume_unwind(Box::new("as the test wants it"));
        }
        Ok(())
    });
    rig.receive(&peer, &[&long(LONG), &b"\n"[..]].concat());
    assert_eq!(peer.1.sent(), b"");
    let other = rig.accept();
    rig.receive(&other, b"little\n");
    assert_eq!(other.1.sent(), b"little");
    // The buffer is another one now, and is still known.
    let line = &long(LONG)[1..];
    rig.receive(&other, &[line, b"\n"].concat());
    assert_eq!(other.1.sent(), [b"little", line].concat());
    assert_eq!((rig.reactor.cx.table.held(), rig.reactor.stats().panics), (0, 1));
}

#[test]
fn a_failed_send_of_what_is_lent_is_retried_or_ends_the_connection() {
    for (error, arrives) in
        [(ErrorKind::Interrupted, true), (ErrorKind::OutOfMemory, true), (ErrorKind::BrokenPipe, false)]
    {
        let (mut rig, peer) = rig(config(), |cx, line| {
            send_around(cx, line);
            Ok(())
        });
        let line = long(LONG);
        peer.1.sends(Err(error));
        rig.receive(&peer, &[&line, &b"\n"[..]].concat());
        rig.pass(Duration::from_millis(10));
        assert_eq!(peer.1.sent(), if arrives { around(&line) } else { Vec::new() }, "{error}");
        assert_eq!(rig.reactor.cx.table.held(), 0);
    }
}
