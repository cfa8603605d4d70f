//! Frames larger than the receive buffer: whole, in order, and accounted for, however they come in.

use std::collections::BTreeSet;
use std::time::Duration;

use super::rig::Rig;
use crate::codec::{ByteDecoder, LengthPrefixed, Lines};
use crate::config::Config;
use crate::context::Context;
use crate::error::{Close, CloseReason, Result};
use crate::handler::{Conn, Frame, Handler, Peer};
use crate::id::ConnId;
use crate::readiness::Readiness;

/// What was received from each connection, and how it ended.
#[derive(Default)]
struct Seen {
    frames: Vec<(ConnId, Vec<u8>)>,
    closed: Vec<(ConnId, String)>,
}

/// Notes frames, and now and then pauses or closes where it gets one.
struct Notes {
    codec: fn() -> Box<dyn ByteDecoder>,
    seen: Seen,
    paused: BTreeSet<ConnId>,
    rng: fastrand::Rng,
    moody: bool,
}

impl Handler for Notes {
    type Codec = Box<dyn ByteDecoder>;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Self::Codec, ())> {
        Some(((self.codec)(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        assert!(!self.paused.contains(&conn.id), "a frame of a connection that is paused");
        self.seen.frames.push((conn.id, frame.to_vec()));
        match self.rng.u8(..) {
            0..30 if self.moody => {
                self.paused.insert(conn.id);
                cx.pause(conn.id);
            }
            30 if self.moody => return Err(Close::Abort),
            _ => {}
        }
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        self.seen.closed.push((cx.id(), why.to_string()));
    }
}

impl Rig<Notes> {
    fn notes(config: Config) -> Rig<Notes> {
        Rig::moody(config, length_prefixed, fastrand::Rng::with_seed(0), false)
    }

    fn moody(
        config: Config,
        codec: fn() -> Box<dyn ByteDecoder>,
        rng: fastrand::Rng,
        moody: bool,
    ) -> Rig<Notes> {
        Rig::new(config, Notes { codec, seen: Seen::default(), paused: BTreeSet::new(), rng, moody })
    }

    fn resume(&mut self, id: ConnId) {
        self.reactor.with(|notes, cx| {
            notes.paused.remove(&id);
            cx.resume(id);
        });
        self.settle();
    }

    fn seen(&self) -> &Seen {
        &self.reactor.handler().seen
    }

    /// The frames of one connection so far.
    fn frames(&self, id: ConnId) -> Vec<Vec<u8>> {
        self.seen().frames.iter().filter(|(of, _)| *of == id).map(|(_, frame)| frame.clone()).collect()
    }
}

fn length_prefixed() -> Box<dyn ByteDecoder> {
    Box::new(LengthPrefixed::new())
}

/// Which does not say how much it misses, unlike the other.
fn lines() -> Box<dyn ByteDecoder> {
    Box::new(Lines::new().frame_bytes_max(1 << 20))
}

fn message(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    LengthPrefixed::new().encode(body, &mut out).expect("not too long");
    out
}

fn run(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let config = Config {
        recv_buffer_bytes: [512, 600, 4096][rng.usize(..3)],
        bytes_per_turn: [100, 1000, 100_000][rng.usize(..3)],
        frames_per_turn: [1, 3, 100][rng.usize(..3)],
        ..Config::default()
    };
    let moody = rng.bool();
    let by_lines = rng.bool();
    let mut rig = Rig::moody(config, if by_lines { lines } else { length_prefixed }, rng.fork(), moody);
    let mut peers: Vec<_> = (0..3).map(|_| (rig.accept(), Vec::new(), Vec::new())).collect();
    for _ in 0..60 {
        let ((id, sock), bodies, unsent) = &mut peers[rng.usize(..3)];
        for _ in 0..rng.usize(..3) {
            let length = [rng.usize(..40), rng.usize(..3000), rng.usize(..20_000)][rng.usize(..3)];
            let body: Vec<u8> = (0..length).map(|_| rng.u8(b' '..)).collect();
            unsent.extend(if by_lines { [&body[..], b"\n"].concat() } else { message(&body) });
            bodies.push(body);
        }
        let n = rng.usize(..=unsent.len());
        if n > 0 {
            // All that is there is handed out at once, as the kernel does.
            let some: Vec<u8> = unsent.drain(..n).collect();
            let mut script = sock.0.borrow_mut();
            match script.recv.back_mut() {
                Some(Ok(last)) => last.extend(some),
                Some(Err(_)) | None => script.recv.push_back(Ok(some)),
            }
            drop(script);
            rig.event(*id, Readiness::READABLE);
        }
        if rng.bool() {
            let id = *id;
            rig.resume(id);
        }
        // What has come and twice that, or what the codec waits for; blocks that were put by may be larger.
        assert!(rig.reactor.cx.table.held() <= 3 * 40_004 + (4 << 20));
    }
    for ((id, sock), bodies, unsent) in &mut peers {
        if !unsent.is_empty() {
            let mut script = sock.0.borrow_mut();
            match script.recv.back_mut() {
                Some(Ok(last)) => last.append(unsent),
                Some(Err(_)) | None => script.recv.push_back(Ok(std::mem::take(unsent))),
            }
            drop(script);
            rig.event(*id, Readiness::READABLE);
        }
        let id = *id;
        for _ in 0..1000 {
            rig.resume(id);
        }
        let frames = rig.frames(id);
        if rig.seen().closed.iter().any(|(closed, _)| *closed == id) {
            assert!(moody && bodies.starts_with(&frames), "a beginning of what was sent");
        } else {
            assert!(frames == *bodies, "what was sent");
        }
    }
    assert_eq!(rig.reactor.cx.table.held(), 0, "nothing is left over");
}

#[test]
fn large_frames_arrive_whole_and_in_order_in_any_pieces() {
    for seed in 0..100 {
        let run = std::panic::catch_unwind(|| run(seed));
        assert!(run.is_ok(), "seed {seed}");
    }
}

// Its beginning is copied, the rest is received where it stays, and what follows it is cut where it is.
#[test]
fn a_large_frame_is_received_behind_its_beginning_and_no_further() {
    let config = Config { recv_buffer_bytes: 1024, ..Config::default() };
    let mut rig = Rig::notes(config);
    let (id, sock) = rig.accept();
    let [large, small] = [vec![7; 3000], vec![8; 500]];
    sock.receives(&[message(&large), message(&small), message(&small)].concat());
    rig.event(id, Readiness::READABLE);
    assert_eq!(rig.frames(id), [large, small.clone(), small]);
    // 1,024 at first and 1,024 behind them. What is missing then, 956, is received apart, as it is much: the
    // 1,008 that follow come in one piece, which is a short receive.
    assert_eq!(rig.reactor.stats().calls.recv, 4);
    assert_eq!(rig.reactor.cx.table.held(), 0);
}

#[test]
fn the_end_of_a_large_frame_is_received_with_what_follows() {
    let config = Config { recv_buffer_bytes: 1024, ..Config::default() };
    let mut rig = Rig::notes(config);
    let (id, sock) = rig.accept();
    let [large, small] = [vec![7; 1100], vec![8; 400]];
    sock.receives(&[message(&large), message(&small), message(&small)].concat());
    rig.event(id, Readiness::READABLE);
    assert_eq!(rig.frames(id), [large, small.clone(), small]);
    assert_eq!(rig.reactor.stats().calls.recv, 2);
}

// Of a large frame that was promised, no more is held than twice of what has come of it.
#[test]
fn j1_a_large_frame_holds_what_has_come_of_it() {
    let config = Config { recv_buffer_bytes: 1024, ..Config::default() };
    let mut rig = Rig::notes(config);
    let (id, sock) = rig.accept();
    let message = message(&vec![7; 1 << 20]);
    let mut come = 0;
    for piece in message.chunks(700) {
        sock.receives(piece);
        rig.event(id, Readiness::READABLE);
        come += piece.len();
        let held = rig.reactor.cx.table.held();
        assert!(held <= 2 * come && held <= message.len(), "{held} bytes for {come} that came");
    }
    assert_eq!((rig.frames(id).len(), rig.reactor.cx.table.held()), (1, 0));
}

// A connection that ends in the middle of a large frame gives back what it held.
#[test]
fn a_peer_that_ends_within_a_large_frame_leaves_nothing_behind() {
    let config =
        Config { recv_buffer_bytes: 1024, idle_timeout: Some(Duration::from_secs(1)), ..Config::default() };
    let mut rig = Rig::notes(config);
    let message = message(&[7; 5000]);
    for (end, why) in [
        (Some(Ok(Vec::new())), "ended 3000 bytes into a frame"),
        (Some(Err(std::io::ErrorKind::ConnectionReset)), "reset by the peer"),
        (None, "timed out waiting for any byte"),
    ] {
        let (id, sock) = rig.accept();
        rig.receive(&(id, sock.clone()), &message[..3000]);
        assert!(rig.reactor.cx.table.held() >= 3000);
        if let Some(end) = end {
            sock.0.borrow_mut().recv.push_back(end);
            rig.event(id, Readiness::READABLE);
        } else {
            rig.pass(Duration::from_secs(2));
        }
        assert_eq!(rig.seen().closed.last().map(|(_, why)| why.clone()), Some(why.to_string()));
        assert_eq!(rig.reactor.cx.table.held(), 0);
    }
}
