//! A server that stops while it is busy, and one that is called from elsewhere.
//!
//! It knows numbered lines: whoever gets an end has all that was owed.

use std::collections::BTreeSet;

use switchboard::codec::Lines;
use switchboard::sim::{End, Next, Peer as Client, Received, Sim};
use switchboard::{CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Peer, Result, Stop};

use super::draw::{Draw, millis};

/// Answers each line after a moment.
#[derive(Default)]
struct Slow {
    draining: u32,
    owed: usize,
}

impl Handler for Slow {
    type Codec = Lines;
    /// How many answers it owes, and how many it gave.
    type Session = (usize, usize);

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, (usize, usize))> {
        Some((Lines::new(), (0, 0)))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        let after = String::from_utf8_lossy(line).parse()?;
        conn.session.0 += 1;
        cx.set_timer(conn.id, millis(after), 0)?;
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: u64) -> Result {
        conn.session.0 -= 1;
        conn.session.1 += 1;
        let n = conn.session.1;
        writeln!(cx.out(), "{n}");
        if conn.session.0 == 0
            && cx.info(conn.id).is_some_and(|info| info.state == switchboard::State::HalfClosed)
        {
            cx.close(conn.id, switchboard::Close::Flush);
        }
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        if conn.session.0 == 0 {
            cx.close(conn.id, switchboard::Close::Flush);
        }
        Ok(())
    }

    fn draining(&mut self, _: &mut Context) {
        self.draining += 1;
    }

    fn drained(&mut self, _: &mut Context, conn: Conn<'_, Self>) -> bool {
        assert_eq!(self.draining, 1, "asked only during a drain");
        conn.session.0 == 0
    }

    fn closed(&mut self, _: &mut Context, (owed, _): (usize, usize), why: &CloseReason) {
        if why.is_orderly() {
            self.owed += owed;
        }
    }
}

/// Sends a request at a time or a few, and reads until the end.
fn requester(draw: Draw) -> impl FnMut(&mut Client<'_>) -> Next {
    let mut left = 1 + draw.below(30);
    let mut unsent = Vec::new();
    let mut shut = false;
    move |peer| {
        if peer.refused().is_some() {
            peer.no_trouble();
            return Next::Done;
        }
        peer.trouble("waits for the end");
        if !peer.is_connected() {
            return Next::Wait;
        }
        loop {
            match peer.recv(usize::MAX) {
                Received::Bytes(_) => {}
                Received::Nothing => break,
                Received::End | Received::Failed(_) => {
                    peer.no_trouble();
                    return Next::Done;
                }
            }
        }
        if unsent.is_empty() && left > 0 {
            left -= 1;
            unsent = format!("{}\n", draw.one_of(&[1, 0, 20, 200])).into_bytes();
        }
        let n = peer.send(&unsent);
        unsent.drain(..n);
        if unsent.is_empty() && left == 0 {
            if !shut {
                shut = true;
                peer.shutdown();
            }
            return Next::Wait;
        }
        Next::WaitFor(millis(draw.one_of(&[5, 0, 50])))
    }
}

/// Whoever is told of an end during a drain has the answers to all that was taken in.
pub(super) fn under_traffic(sim: Sim) {
    let draw = Draw::new(&sim);
    let faults = draw.faults();
    let mut config = Config::default();
    config.recv_buffer_bytes = 4096;
    config.drain_timeout = millis(draw.one_of(&[30_000, 100, 0]));
    config.idle_timeout = Some(millis(100_000));
    let at = millis(draw.below(600) as u64);
    let how = draw.one_of(&[Stop::Drain, Stop::Drain, Stop::Now]);
    let mut scenario =
        sim.server(Slow::default()).config(config).faults(faults).at(at, move |_, cx| cx.stop(how));
    for _ in 0..=draw.below(4) {
        scenario = scenario.client_fn(requester(draw.clone()));
    }
    let report = scenario.run();
    assert_eq!(report.handler.owed, 0, "closed in order with answers owed");
    for (number, client) in report.clients.iter().enumerate() {
        let lines: Vec<_> = client.received.split(|&byte| byte == b'\n').collect();
        let (rest, lines) = lines.split_last().expect("a split has a last part");
        assert!(rest.is_empty() || client.end != End::Ended, "client {number} was told half an answer");
        for (n, line) in lines.iter().enumerate() {
            assert_eq!(String::from_utf8_lossy(line), (n + 1).to_string(), "client {number}");
        }
    }
}

/// Tells everyone what it is told to.
#[derive(Default)]
struct News {
    readers: BTreeSet<ConnId>,
    told: usize,
}

impl News {
    fn tell(&mut self, cx: &mut Context) {
        self.told += 1;
        let line = format!("{}\n", self.told);
        cx.broadcast(self.readers.iter().copied(), &line.into(), switchboard::OnSlow::Queue);
    }
}

impl Handler for News {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        self.readers.insert(cx.id());
        Some((Lines::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), _: &CloseReason) {
        self.readers.remove(&cx.id());
    }
}

/// What calls from elsewhere tell everyone arrives without a gap, up to the last.
pub(super) fn calls(sim: Sim) {
    let draw = Draw::new(&sim);
    let mut config = Config::default();
    config.recv_buffer_bytes = 4096;
    let mut scenario = sim.server(News::default()).config(config).faults(draw.faults());
    for _ in 0..draw.below(30) {
        scenario = scenario.at(millis(draw.below(3000) as u64), News::tell);
    }
    scenario = scenario.at(millis(200_000), |news, cx| {
        news.tell(cx);
        for &reader in &news.readers {
            cx.finish(reader);
        }
    });
    for _ in 0..=draw.below(4) {
        scenario = scenario.client_fn(move |peer| {
            if peer.refused().is_some() {
                return Next::Done;
            }
            peer.trouble("waits for the end");
            match peer.recv(usize::MAX) {
                Received::Bytes(_) => Next::WaitFor(millis(0)),
                Received::Nothing => Next::Wait,
                Received::End | Received::Failed(_) => {
                    peer.no_trouble();
                    Next::Done
                }
            }
        });
    }
    let report = scenario.run();
    let told = report.handler.told.to_string();
    for (number, client) in report.clients.iter().enumerate() {
        let text = String::from_utf8_lossy(&client.received);
        let mut lines: Vec<_> = text.split('\n').collect();
        let rest = lines.pop().unwrap_or_default();
        assert!(rest.is_empty() || client.cut, "client {number} was told half a line");
        let all = client.end == End::Ended;
        assert!(!all || lines.last() == Some(&told.as_str()), "client {number} missed the last of {told}");
        let numbers: Vec<usize> = lines.iter().map(|line| line.parse().expect("a number")).collect();
        assert!(
            numbers.windows(2).all(|two| two[0] + 1 == two[1]),
            "client {number} has a gap in {numbers:?}"
        );
    }
}
