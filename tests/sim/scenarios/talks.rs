//! Talks between a client and a server: with timers, pipelined, one side after the other, at the second attempt.
//!
//! It knows protocols of a few lines each and what both sides must have in the end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use switchboard::codec::{LengthPrefixed, Lines, Raw};
use switchboard::sim::Sim;
use switchboard::{
    Close, CloseReason, Config, Conn, Context, Frame, Handler, Instant, Peer, Result, TimerId, each,
};

use super::draw::{Draw, millis};
use super::peers::{Talk, bytes, compare};

fn config(draw: &Draw) -> Config {
    let mut config = Config::default();
    config.recv_buffer_bytes = draw.one_of(&[4096, 512]);
    config.bytes_per_turn = draw.one_of(&[4096, 100, 1]);
    config.frames_per_turn = draw.one_of(&[100, 1]);
    config
}

/// Answers each number after so many milliseconds; `-` takes the last number back.
struct Later {
    late: bool,
}

#[derive(Default)]
struct Owed {
    timers: Vec<(u64, TimerId, Instant)>,
    next: u64,
    ended: bool,
}

impl Handler for Later {
    type Codec = Lines;
    type Session = Owed;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, Owed)> {
        Some((Lines::new(), Owed::default()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        if line == b"-" {
            if let Some((_, timer, _)) = conn.session.timers.pop() {
                assert!(cx.cancel(timer), "it was set");
            }
            return Ok(());
        }
        let after = millis(String::from_utf8_lossy(line).parse()?);
        let key = conn.session.next;
        conn.session.next += 1;
        let timer = cx.set_timer(conn.id, after, key)?;
        conn.session.timers.push((key, timer, cx.now() + after));
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, key: u64) -> Result {
        let at = conn.session.timers.iter().position(|&(one, _, _)| one == key);
        let (_, _, due) =
            conn.session.timers.remove(at.expect("it was set, has not fired and was not cancelled"));
        assert!(cx.now() >= due, "a timer for {due:?} fires at {:?}", cx.now());
        writeln!(cx.out(), "x");
        if conn.session.ended && conn.session.timers.is_empty() {
            cx.close(conn.id, Close::Flush);
        }
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        conn.session.ended = true;
        self.late |= !conn.session.timers.is_empty();
        if conn.session.timers.is_empty() {
            cx.close(conn.id, Close::Flush);
        }
        Ok(())
    }
}

/// Each request is answered once, after its time, and no request that was taken back.
pub(super) fn timers(sim: Sim) {
    let draw = Draw::new(&sim);
    let mut config = config(&draw);
    config.timers_per_turn = draw.one_of(&[1024, 1]);
    let mut scenario = sim.server(Later { late: false }).config(config).faults(draw.faults());
    let mut wants = Vec::new();
    for _ in 0..=draw.below(3) {
        let mut say = Vec::new();
        let (mut owed, mut last) = (0, false);
        for _ in 0..draw.below(30) {
            // What is taken back comes in the same breath, and has time.
            if last && draw.once_in(6) {
                say.extend_from_slice(b"-\n");
                owed -= 1;
                last = false;
            } else {
                let after = draw.one_of(&[1, 0, 5, 63, 64, 65, 900, 4100]);
                last = false;
                say.extend_from_slice(format!("{after}\n").as_bytes());
                if draw.once_in(6) {
                    say.extend_from_slice(b"600000\n");
                    owed += 1;
                    last = true;
                }
                owed += 1;
            }
        }
        if last {
            say.extend_from_slice(b"-\n");
            owed -= 1;
        }
        let mut talk = Talk::new(&draw, &say, 2 * owed);
        scenario = scenario.client_fn(move |peer| talk.act(peer));
        wants.push(b"x\n".repeat(owed));
    }
    let report = scenario.run();
    for (number, (client, want)) in report.clients.iter().zip(&wants).enumerate() {
        compare(number, client, want);
    }
}

/// Frames come back as they were, however small the buffers are.
pub(super) fn pipelining(sim: Sim) {
    let draw = Draw::new(&sim);
    let mut config = config(&draw);
    config.recv_bytes_max = 4100;
    config.queued_bytes_high = draw.one_of(&[4000, 10, 1]);
    config.queued_bytes_low = draw.one_of(&[0, 1000]).min(config.queued_bytes_high);
    config.queued_bytes_max = config.recv_bytes_max + config.queued_bytes_high;
    config.memory_bytes_max = 1 << 20;
    let echo = each(LengthPrefixed::new, |cx, frame| {
        LengthPrefixed::new().encode(frame, &mut cx.out())?;
        Ok(())
    });
    let buffers = [256 << 10, 1000, 16, 3, 1];
    let mut scenario = sim
        .server(echo)
        .config(config)
        .faults(draw.faults())
        .buffers(draw.one_of(&buffers), draw.one_of(&buffers));
    let mut says = Vec::new();
    for number in 0..=draw.below(2) {
        let mut say = Vec::new();
        for n in 0..draw.below(20) {
            let body = bytes(draw.one_of(&[3, 0, 1, 60, 700, 4000]), number + n);
            LengthPrefixed::new().encode(&body, &mut say).expect("it is short");
        }
        let mut talk = Talk::new(&draw, &say, say.len());
        scenario = scenario.client_fn(move |peer| talk.act(peer));
        says.push(say);
    }
    let report = scenario.run();
    for (number, (client, say)) in report.clients.iter().zip(&says).enumerate() {
        compare(number, client, say);
    }
}

/// Collects everything, and says it three times once that has ended.
struct Thrice {
    way: usize,
}

impl Handler for Thrice {
    type Codec = Raw;
    type Session = Vec<u8>;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, Vec<u8>)> {
        Some((Raw::new(), Vec::new()))
    }

    fn received(&mut self, _: &mut Context, conn: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        conn.session.extend_from_slice(bytes);
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        if self.way == 0 {
            for _ in 0..3 {
                cx.send(conn.session);
            }
            cx.finish(conn.id);
            return Ok(());
        }
        cx.send(conn.session);
        cx.set_timer(conn.id, millis(30), 2)?;
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, left: u64) -> Result {
        cx.send(conn.session);
        if left > 1 {
            cx.set_timer(conn.id, millis(30), left - 1)?;
        } else if self.way == 1 {
            cx.close(conn.id, Close::Linger);
        } else {
            cx.finish(conn.id);
        }
        Ok(())
    }
}

/// After a client's end it still gets its whole answer, and the end behind it.
pub(super) fn half_close(sim: Sim) {
    let draw = Draw::new(&sim);
    let way = draw.below(3);
    let buffers = [256 << 10, 1000, 16];
    let mut scenario = sim
        .server(Thrice { way })
        .config(config(&draw))
        .faults(draw.faults())
        .buffers(draw.one_of(&buffers), draw.one_of(&buffers));
    let mut wants = Vec::new();
    for number in 0..=draw.below(2) {
        let say = bytes(draw.one_of(&[100, 0, 1, 2500]), number);
        let mut talk = Talk::new(&draw, &say, 3 * say.len());
        scenario = scenario.client_fn(move |peer| talk.act(peer));
        wants.push(say.repeat(3));
    }
    let report = scenario.run();
    for (number, (client, want)) in report.clients.iter().zip(&wants).enumerate() {
        compare(number, client, want);
    }
}

const LATE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 9000);

/// Connects until it works, waiting twice as long each time, and says hello.
struct Retry {
    wait: Duration,
    since: Instant,
    attempts: u32,
    heard: Vec<u8>,
}

impl Retry {
    fn connect(&mut self, cx: &mut Context) {
        assert!(cx.now().since(self.since) >= self.wait || self.attempts == 0, "an attempt too early");
        self.attempts += 1;
        if cx.connect(LATE, u64::from(self.attempts)).is_err() {
            self.again(cx);
        }
    }

    fn again(&mut self, cx: &mut Context) {
        if self.attempts < 30 && self.heard.is_empty() {
            self.wait = (self.wait * 2).clamp(millis(10), millis(1000));
            self.since = cx.now();
            cx.set_alarm(self.wait, 0).expect("one timer at a time");
        }
    }
}

impl Handler for Retry {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Lines, ())> {
        assert_eq!(peer.key, u64::from(self.attempts), "one attempt at a time");
        cx.send(b"hello\n");
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        self.heard.extend_from_slice(line);
        cx.close(conn.id, Close::Flush);
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, _: u64) {
        self.connect(cx);
    }

    fn closed(&mut self, cx: &mut Context, (): (), _: &CloseReason) {
        self.again(cx);
    }

    fn connect_failed(&mut self, cx: &mut Context, key: u64, _: &CloseReason) {
        assert_eq!(key, u64::from(self.attempts), "each attempt fails once");
        self.again(cx);
    }
}

/// Echoes lines, from a time on.
struct LateEcho;

impl Handler for LateEcho {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        cx.send(line);
        cx.send(b"\n");
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, _: u64) {
        cx.listen(LATE);
    }
}

/// A client whose server comes late reaches it all the same, and not by asking all the time.
pub(super) fn retry(sim: Sim) {
    let draw = Draw::new(&sim);
    let faults = draw.faults();
    let after = millis(draw.one_of(&[0, 15, 300, 5000]));
    let mut config = config(&draw);
    config.idle_timeout = Some(millis(10_000));
    let (wait, since) = (Duration::ZERO, Instant::START);
    let report = sim
        .server(Retry { wait, since, attempts: 0, heard: Vec::new() })
        .config(config.clone())
        .faults(faults.clone())
        .reactor(LateEcho, config, move |_, cx| {
            cx.set_alarm(after, 0).expect("one timer");
        })
        .at(Duration::ZERO, Retry::connect)
        // Nobody waits for timers of a server that has nobody else.
        .at(millis(100_000), |_, _| {})
        .run();
    let heard = report.handler.heard == b"hello";
    assert!(heard || faults.may_harm(), "{} attempts came to nothing", report.handler.attempts);
}
