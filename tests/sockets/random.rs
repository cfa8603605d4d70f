//! Everything at once: a handler that does random things and peers that do random things, by seed.
//!
//! Both sides send the same endless pattern, so what is received must be its beginning, whatever happens.
//! A failure names its seed; `SEED=17 cargo test --test sockets random` runs that one alone.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use switchboard::codec::{Put, Raw};
use switchboard::{
    Close, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Listen, OnSlow, Peer, Result, Sent,
};

use crate::peer::{pattern, reset};
use crate::server::{PATIENCE, Server};

/// How much of the pattern there is; nobody gets so far.
const LENGTH: usize = 32 << 20;

/// What the handler knows of a connection that is open.
#[derive(Default)]
struct Known {
    received: usize,
    sent: usize,
    /// It was closed or aborted: nothing but `closed` may follow.
    closing: bool,
    finished: bool,
    paused: bool,
}

/// Does random things in every callback, and checks that it is called in order.
struct Chaos {
    seed: u64,
    rng: Rng,
    pattern: Arc<Bytes>,
    known: HashMap<ConnId, Known>,
}

impl Chaos {
    fn known(&mut self, id: ConnId, callback: &str) -> &mut Known {
        let seed = self.seed;
        let known = self.known.get_mut(&id);
        let known = known.unwrap_or_else(|| panic!("seed {seed}: {callback} of {id}, which is not open"));
        assert!(!known.closing, "seed {seed}: {callback} of {id} after its close");
        known
    }

    /// Sends some of the pattern to `id`, in a random way.
    fn send(&mut self, cx: &mut Context, id: ConnId) {
        let Some(known) = self.known.get_mut(&id) else { return };
        let most = *self.rng.choice([1, 100, 5000, 100_000].iter()).expect("not empty");
        let end = LENGTH.min(known.sent + self.rng.usize(..=most));
        let bytes = self.pattern.slice(known.sent..end);
        let n = bytes.len();
        let sent = match self.rng.u8(..6) {
            0 => cx.send_bytes_to(id, bytes).is_queued(),
            1 => cx.try_send(id, bytes).is_ok_and(Sent::is_queued),
            2 => cx.broadcast([id], &bytes, OnSlow::Skip).queued == 1,
            3 if cx.queued(id) < 1 << 20 => {
                let before = cx.queued(id);
                cx.out_to(id).put_slice(&bytes);
                n > 0 && cx.queued(id) == before + n
            }
            _ => cx.send_to(id, &bytes).is_queued(),
        };
        if sent {
            assert!(!known.closing && !known.finished, "seed {}: taken for {id} after its end", self.seed);
            known.sent = end;
        } else if cx.info(id).is_some_and(|info| info.queued > 1 << 20) {
            known.closing |= matches!(cx.send_to(id, b""), Sent::Closed | Sent::Full);
        }
    }

    fn act(&mut self, cx: &mut Context, id: ConnId) -> Result {
        for _ in 0..self.rng.usize(..4) {
            let other = if self.rng.bool() { id } else { self.any() };
            match self.rng.u8(..40) {
                0 => self.close(cx, other, Close::Flush),
                1 => self.close(cx, other, Close::Linger),
                2 => self.close(cx, other, Close::Abort),
                3 => {
                    if let Some(known) = self.known.get_mut(&other) {
                        known.finished = true;
                    }
                    cx.finish(other);
                }
                4..8 => self.pause(cx, other),
                8..10 => {
                    cx.pause(other);
                    cx.resume(other);
                    if let Some(known) = self.known.get_mut(&other) {
                        known.paused = false;
                    }
                }
                10 => drop(cx.set_timer(other, Duration::ZERO, 0)),
                11 => {
                    // Not if something before has closed it: then this says nothing new.
                    if let Some(known) = self.known.get_mut(&id) {
                        known.closing = true;
                    }
                    return Err(Close::msg("random"));
                }
                _ => self.send(cx, other),
            }
        }
        Ok(())
    }

    fn any(&mut self) -> ConnId {
        let mut ids: Vec<_> = self.known.keys().copied().collect();
        ids.sort();
        self.rng.choice(ids).unwrap_or(ConnId::NONE)
    }

    fn close(&mut self, cx: &mut Context, id: ConnId, how: Close) {
        if let Some(known) = self.known.get_mut(&id) {
            known.closing = true;
        }
        cx.close(id, how);
    }

    /// Pauses, and has a timer undo it.
    fn pause(&mut self, cx: &mut Context, id: ConnId) {
        if cx.set_timer(id, Duration::from_micros(self.rng.u64(..3000)), 1).is_ok() {
            cx.pause(id);
            if let Some(known) = self.known.get_mut(&id) {
                known.paused = true;
            }
        }
    }
}

impl Handler for Chaos {
    type Codec = Raw;
    type Session = ConnId;

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ConnId)> {
        let id = cx.id();
        assert!(self.known.insert(id, Known::default()).is_none(), "seed {}: {id} opened twice", self.seed);
        self.send(cx, id);
        Some((Raw, id))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        let (seed, pattern) = (self.seed, Arc::clone(&self.pattern));
        assert_eq!(*conn.session, conn.id);
        let known = self.known(conn.id, "received");
        assert!(!known.paused, "seed {seed}: {} heard while paused", conn.id);
        let expected = &pattern[known.received..known.received + bytes.len()];
        assert!(bytes == expected, "seed {seed}: {} got other bytes at {}", conn.id, known.received);
        known.received += bytes.len();
        self.act(cx, conn.id)
    }

    fn writable(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.known(conn.id, "writable");
        self.act(cx, conn.id)
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, key: u64) -> Result {
        let known = self.known(conn.id, "timer");
        if key == 1 {
            known.paused = false;
            cx.resume(conn.id);
        }
        if key == 2 {
            self.close(cx, conn.id, Close::Flush);
            return Ok(());
        }
        self.act(cx, conn.id)
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        let known = self.known(conn.id, "half closed");
        assert!(!known.finished, "both sides have ended");
        if self.rng.bool() {
            cx.set_timer(conn.id, Duration::from_millis(2), 2)?;
            self.act(cx, conn.id)
        } else {
            self.close(cx, conn.id, Close::Flush);
            Ok(())
        }
    }

    fn closed(&mut self, cx: &mut Context, session: ConnId, _: &CloseReason) {
        let id = cx.id();
        assert_eq!(session, id, "seed {}", self.seed);
        assert!(self.known.remove(&id).is_some(), "seed {}: {id} closed twice", self.seed);
        assert_eq!(cx.send(b"x"), Sent::Closed);
        let other = self.any();
        if self.known.get(&other).is_some_and(|known| !known.closing) {
            self.send(cx, other);
        }
    }
}

/// A peer that writes, reads and ends at random; what it reads must be the beginning of the pattern.
fn peer(addr: SocketAddr, seed: u64, pattern: &[u8]) {
    let mut rng = Rng::with_seed(seed);
    let mut stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.set_nonblocking(true).expect("it can be set");
    let (mut sent, mut received) = (0, 0);
    let mut buf = vec![0; 20_000];
    for _ in 0..rng.usize(1..60) {
        if rng.bool() {
            let end = sent + rng.usize(..=*rng.clone().choice([1, 100, 20_000].iter()).expect("not empty"));
            sent += stream.write(&pattern[sent..end]).unwrap_or(0);
        } else {
            let most = rng.usize(1..=buf.len());
            let n = stream.read(&mut buf[..most]).unwrap_or(0);
            assert!(buf[..n] == pattern[received..received + n], "seed {seed}: other bytes at {received}");
            received += n;
        }
        std::thread::yield_now();
    }
    match rng.u8(..4) {
        0 => drop(stream),
        1 => reset(stream),
        _ => {
            stream.set_nonblocking(false).expect("it can be set");
            stream.shutdown(Shutdown::Write).ok();
            let mut rest = Vec::new();
            if let Err(error) = stream.read_to_end(&mut rest) {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "seed {seed}");
            }
            assert!(rest[..] == pattern[received..received + rest.len()], "seed {seed}: at {received}");
        }
    }
}

fn run(seed: u64, pattern: &Arc<Bytes>) {
    let mut config = Config::default();
    let mut rng = Rng::with_seed(seed);
    // Small numbers, so that every limit is met.
    config.recv_buffer_bytes = *rng.choice([512, 4096, 256 << 10].iter()).expect("not empty");
    config.queued_bytes_low = rng.usize(..1000);
    config.queued_bytes_high = rng.usize(1000..100_000);
    config.bytes_per_turn = rng.usize(1..100_000);
    config.frames_per_turn = rng.usize(1..10);
    config.events_per_poll = rng.usize(1..10);
    config.accepts_per_turn = rng.usize(1..4);
    config.linger_timeout = Duration::from_millis(20);
    config.linger_bytes_max = rng.usize(..100_000);
    config.isolate_panics = false;
    let bytes = Arc::clone(pattern);
    // Sends stop anywhere. Receives do as well, because both sides read pieces of random size.
    let listen = Listen::new(([127, 0, 0, 1], 0).into()).send_buffer_size(2048);
    let server =
        Server::start_on(listen, config, move || Chaos { seed, rng, pattern: bytes, known: HashMap::new() });
    let addr = server.addr;
    let peers: Vec<_> = (0..8)
        .map(|n| {
            let bytes = Arc::clone(pattern);
            std::thread::spawn(move || peer(addr, seed * 100 + n, &bytes))
        })
        .collect();
    for peer in peers {
        if peer.join().is_err() {
            let open = server.with(|_, cx| cx.connections().collect::<Vec<_>>());
            panic!("a peer failed, seed {seed}, with these connections open: {open:#?}");
        }
    }
    server.wait_until(|chaos, cx| cx.stats().accepted == 8 && cx.stats().open == 0 && chaos.known.is_empty());
    server.stop();
}

#[test]
fn random_programs_and_random_peers_keep_every_promise() {
    let pattern = Arc::new(Bytes::from(pattern(LENGTH)));
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run(seed, &pattern);
    }
    for seed in 0..60 {
        // Shown only if the test fails.
        println!("SEED={seed}");
        run(seed, &pattern);
    }
}
