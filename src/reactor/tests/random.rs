//! Random steps of peers and program, on a network with edges and nothing but edges.
//!
//! The peers send numbered lines, take output as they please, and end. The program does anything that is legal
//! in any callback. After each step the loop must have come to wait, and then hold: what can be received from a
//! connection that is not held back was received; what is queued waits for an event that will come; every
//! stream arrived in order. In the end all are told closed, once each.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::{Bench, Sock, Told};
use crate::config::Config;
use crate::conn::state::State;
use crate::context::{Context, OnSlow, Sent, Stop};
use crate::error::{Close, Result};
use crate::id::ConnId;
use crate::readiness::Readiness;
use crate::table::slot::Odd;

/// How many runs; one with SEED set.
const SEEDS: u64 = 100;

const READABLE: Readiness = Readiness::READABLE;
const WRITABLE: Readiness = Readiness::WRITABLE;

/// What the program knows and does.
struct Program {
    rng: fastrand::Rng,
    /// How many bytes were sent to each so far: each stream is the numbers from zero, modulo 251.
    sent: BTreeMap<ConnId, usize>,
    /// The last line of each.
    lines: BTreeMap<ConnId, u64>,
    open: BTreeSet<ConnId>,
    ended: BTreeSet<ConnId>,
    quiet: bool,
}

impl Program {
    fn new(rng: fastrand::Rng) -> Program {
        Program {
            rng,
            sent: BTreeMap::new(),
            lines: BTreeMap::new(),
            open: BTreeSet::new(),
            ended: BTreeSet::new(),
            quiet: false,
        }
    }

    fn told(&mut self, cx: &mut Context, id: ConnId, told: &Told) -> Result {
        match told {
            Told::Opened => assert!(self.open.insert(id), "{id} opened twice"),
            Told::Closed(_) => {
                assert!(self.open.remove(&id), "{id} closed twice, or never opened");
                assert!(self.ended.insert(id));
            }
            Told::Line(line) => {
                let line: u64 = String::from_utf8_lossy(line).parse().expect("a number");
                let last = self.lines.entry(id).or_insert(0);
                assert_eq!(line, *last + 1, "{id} lost or repeated a line");
                *last = line;
            }
            _ => {}
        }
        if !matches!(told, Told::Opened | Told::Closed(_) | Told::Alarm(_) | Told::ConnectFailed(_)) {
            assert!(self.open.contains(&id), "{told:?} for {id}, which is not open");
        }
        if self.quiet {
            return Ok(());
        }
        for _ in 0..self.rng.usize(..3) {
            self.act(cx);
        }
        if cx.config().isolate_panics && self.rng.u8(..80) == 0 {
            self.over(id, told);
            // Without the words that a panic is announced with.
            std::panic::resume_unwind(Box::new("as the test wants it"));
        }
        let answer = match self.rng.u8(..60) {
            0 => Err(Close::msg("enough")),
            1 => Err(Close::Linger),
            _ => Ok(()),
        };
        if answer.is_err() {
            self.over(id, told);
        }
        answer
    }

    /// A connection that is not wanted when it opens is turned away: nothing more is heard of it.
    fn over(&mut self, id: ConnId, told: &Told) {
        if *told == Told::Opened {
            self.open.remove(&id);
            self.ended.insert(id);
        }
    }

    fn any(&mut self, cx: &Context) -> ConnId {
        let all: Vec<_> = cx.connections().map(|info| info.id).collect();
        match self.rng.usize(..all.len() + 2) {
            0 => cx.id(),
            1 => self.ended.first().copied().unwrap_or(ConnId::NONE),
            n => all[n - 2],
        }
    }

    /// The next `n` bytes of the stream to `id`.
    fn next(&self, id: ConnId, n: usize) -> Vec<u8> {
        let from = self.sent.get(&id).copied().unwrap_or(0);
        (from..from + n).map(|n| u8::try_from(n % 251).expect("less than 251")).collect()
    }

    fn note(&mut self, id: ConnId, sent: Sent, n: usize) {
        if sent.is_queued() {
            assert!(!self.ended.contains(&id) && id != ConnId::NONE, "sent to {id}, which is gone");
            *self.sent.entry(id).or_insert(0) += n;
        }
    }

    fn act(&mut self, cx: &mut Context) {
        let id = self.any(cx);
        let n = [1, 30, 500, 3000, 9000][self.rng.usize(..5)];
        let bytes = self.next(id, n);
        match self.rng.u8(..40) {
            0..8 => {
                let sent = cx.send_to(id, &bytes);
                self.note(id, sent, n);
            }
            8..12 => {
                let (id, bytes) = (cx.id(), self.next(cx.id(), n));
                let sent = cx.send(&bytes);
                self.note(id, sent, n);
            }
            12..16 => {
                let sent = cx.send_bytes_to(id, Bytes::from(bytes));
                self.note(id, sent, n);
            }
            16..18 => {
                let before = cx.queued(id);
                let result = cx.broadcast([id], &Bytes::from(bytes), OnSlow::Skip);
                if result.queued == 1 {
                    assert!(cx.queued(id) > before);
                    self.note(id, Sent::Accepted, n);
                }
            }
            18..20 => {
                if let Ok(sent) = cx.try_send(id, Bytes::from(bytes)) {
                    self.note(id, sent, n);
                }
            }
            20..24 => cx.pause(id),
            24..30 => cx.resume(id),
            30 => cx.finish(id),
            31 => cx.close(id, Close::Flush),
            32 => cx.close(id, Close::Linger),
            33 => cx.close(id, Close::Abort),
            34..37 => {
                let after = Duration::from_millis(self.rng.u64(..50));
                cx.set_timer(id, after, 1).ok();
            }
            37 => {
                cx.set_alarm(Duration::from_millis(self.rng.u64(..50)), 1).ok();
            }
            _ => {
                if let Some(info) = cx.info(id) {
                    assert_eq!(info.id, id);
                }
            }
        }
    }
}

struct Peer {
    id: ConnId,
    sock: Sock,
    lines: u64,
    unsent: Vec<u8>,
    ended: bool,
}

fn any_config(rng: &mut fastrand::Rng) -> Config {
    Config {
        recv_buffer_bytes: [512, 600, 4096][rng.usize(..3)],
        recv_bytes_max: 4096,
        queued_bytes_low: 1000,
        queued_bytes_high: 4000,
        queued_bytes_max: 20_000,
        memory_bytes_max: [40_000, 1 << 20][rng.usize(..2)],
        bytes_per_turn: [100, 5000][rng.usize(..2)],
        frames_per_turn: [1, 3, 100][rng.usize(..3)],
        linger_bytes_max: [0, 100, 10_000][rng.usize(..3)],
        idle_timeout: rng.bool().then_some(Duration::from_secs(1)),
        frame_timeout: rng.bool().then_some(Duration::from_secs(1)),
        half_close: rng.bool(),
        isolate_panics: rng.bool(),
        ..Config::default()
    }
}

fn run(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let config = any_config(&mut rng);
    let program = Rc::new(RefCell::new(Program::new(rng.fork())));
    let hook = Rc::clone(&program);
    let mut bench = Bench::new(config, move |cx, id, told| hook.borrow_mut().told(cx, id, told));
    let mut peers: Vec<Peer> = Vec::new();
    for _ in 0..rng.usize(..400) {
        let which = rng.usize(..=peers.len());
        if which == peers.len() {
            if peers.len() > 6 {
                continue;
            }
            let (id, sock) = if rng.bool() { bench.accept() } else { bench.connect() };
            sock.0.borrow_mut().room = Some(rng.usize(..5000));
            bench.settle();
            peers.push(Peer { id, sock, lines: 0, unsent: Vec::new(), ended: false });
            check(&mut bench, &program, &peers);
            continue;
        }
        let peer = &mut peers[which];
        let extra = if rng.bool() { WRITABLE } else { Readiness::EMPTY };
        match rng.u8(..14) {
            0..6 if !peer.ended => {
                for _ in 0..rng.usize(1..30) {
                    peer.lines += 1;
                    peer.unsent.extend_from_slice(format!("{}\n", peer.lines).as_bytes());
                }
                let n = rng.usize(1..=peer.unsent.len());
                let mut some: Vec<u8> = peer.unsent.drain(..n).collect();
                // The kernel hands out all it has, but for marks, where the event says so.
                if rng.u8(..5) == 0 {
                    let rest = some.split_off(rng.usize(1..=n).min(some.len()));
                    peer.sock.receives(&some);
                    if !rest.is_empty() {
                        peer.sock.receives(&rest);
                    }
                    bench.event(peer.id, READABLE.or(Readiness::EXCEPTIONAL).or(extra));
                } else {
                    let mut script = peer.sock.0.borrow_mut();
                    match script.recv.back_mut() {
                        Some(Ok(last)) => last.extend_from_slice(&some),
                        _ => script.recv.push_back(Ok(some)),
                    }
                    drop(script);
                    bench.event(peer.id, READABLE.or(extra));
                }
            }
            6 => {
                let error = [ErrorKind::Interrupted, ErrorKind::OutOfMemory][rng.usize(..2)];
                peer.sock.sends(Err(error));
            }
            7..10 => {
                let mut script = peer.sock.0.borrow_mut();
                script.room = script.room.map(|room| room + rng.usize(1..4000));
                let wants = std::mem::take(&mut script.wants);
                drop(script);
                if wants {
                    bench.event(peer.id, WRITABLE);
                }
            }
            10 if !peer.ended && rng.u8(..4) == 0 => {
                peer.ended = true;
                peer.sock.receives(b"");
                bench.event(peer.id, READABLE.or(Readiness::READ_CLOSED).or(extra));
            }
            11 if !peer.ended && rng.u8(..8) == 0 => {
                peer.ended = true;
                peer.sock.fails_to_receive(ErrorKind::ConnectionReset);
                peer.sock.sends(Err(ErrorKind::ConnectionReset));
                bench.event(peer.id, READABLE.or(Readiness::ERROR).or(Readiness::READ_CLOSED));
            }
            12 => {
                bench.pass(Duration::from_millis(rng.u64(..100)));
            }
            13 => {
                let program = Rc::clone(&program);
                bench.reactor.with(|_, cx| program.borrow_mut().act(cx));
                // The memory limit is looked at in turns only, and this may not cause one.
                bench.event(ConnId::NONE, WRITABLE);
            }
            // Spurious.
            _ => {
                bench.event(peer.id, [READABLE, WRITABLE, Readiness::ERROR][rng.usize(..3)]);
            }
        }
        check(&mut bench, &program, &peers);
    }
    program.borrow_mut().quiet = true;
    match rng.u8(..6) {
        0 => stop(&mut bench, Stop::Now),
        1 => stop(&mut bench, Stop::Drain),
        _ => finish(&mut bench, &program, &mut peers),
    }
    let program = program.borrow();
    assert!(program.open.is_empty(), "{:?} were not told closed", program.open);
    assert!(peers.iter().all(|peer| peer.sock.0.borrow().closed), "a socket is left over");
    assert_eq!((bench.reactor.stats().open, bench.reactor.cx.table.held()), (0, 0));
}

/// Stops, with time for all that a drain may take.
fn stop(bench: &mut Bench, how: Stop) {
    bench.reactor.with(|_, cx| cx.stop(how));
    for turn in 0.. {
        assert!(turn < 1000, "the loop spins");
        let goes_on = bench.reactor.turn(None).expect("the reactor runs");
        let mut world = bench.net.0.borrow_mut();
        if !goes_on {
            return;
        }
        if world.waited {
            let wait = world.asked.expect("a drain has a deadline");
            world.now += wait;
        }
    }
}

/// What holds whenever the loop waits.
fn check(bench: &mut Bench, program: &RefCell<Program>, peers: &[Peer]) {
    let program = program.borrow();
    for peer in peers {
        let script = peer.sock.0.borrow();
        let sent = program.sent.get(&peer.id).copied().unwrap_or(0);
        assert!(script.sent.len() <= sent);
        let in_order = script.sent.iter().enumerate().all(|(n, &byte)| usize::from(byte) == n % 251);
        assert!(in_order, "{} was sent something else", peer.id);
        let Some(info) = bench.reactor.with(|_, cx| cx.info(peer.id)) else {
            assert!(script.closed, "{} is gone and its socket is not", peer.id);
            continue;
        };
        let reads = matches!(info.state, State::Open | State::Finishing | State::Finished) && !info.paused;
        if reads || info.state == State::Lingering {
            assert!(script.recv.is_empty(), "{info:?} has input that nobody reads");
        }
        if info.queued > 0 && info.state != State::Connecting {
            let retries = bench.reactor.cx.table.slots[info.id.slot()].odd.any(Odd::RETRY_SEND);
            assert!(script.wants || retries, "{info:?} has output that nobody sends");
        }
        assert_eq!(script.sent.len() as u64, info.sent);
    }
    let open = bench.reactor.connections().count();
    assert_eq!(bench.reactor.stats().open, open);
    let tails: usize =
        bench.reactor.links.iter().flatten().flat_map(|link| &link.tail).map(|tail| tail.capacity()).sum();
    assert_eq!(bench.reactor.cx.table.tails_held, tails);
}

/// Lets everything come to its end.
fn finish(bench: &mut Bench, program: &RefCell<Program>, peers: &mut [Peer]) {
    for peer in &mut *peers {
        bench.event(peer.id, WRITABLE);
        bench.reactor.with(|_, cx| cx.resume(peer.id));
        peer.sock.0.borrow_mut().room = None;
        peer.sock.0.borrow_mut().send.clear();
        bench.event(peer.id, WRITABLE);
        check(bench, program, std::slice::from_ref(peer));
        if !peer.ended {
            peer.sock.receives(b"");
            bench.event(peer.id, READABLE.or(Readiness::READ_CLOSED));
        }
    }
    bench.pass(Duration::from_secs(3));
    for peer in peers {
        if let Some(info) = bench.reactor.with(|_, cx| cx.info(peer.id)) {
            panic!("{info:?} is left over");
        }
    }
}

#[test]
fn random_peers_and_programs_never_stall_spin_or_lose_a_byte() {
    let seeds = match std::env::var("SEED").ok().and_then(|seed| seed.parse::<u64>().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("again: SEED={seed} cargo test --lib random_peers");
            std::panic::resume_unwind(panic);
        }
    }
}
