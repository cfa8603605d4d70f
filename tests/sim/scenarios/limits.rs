//! A server at its limits: no descriptors left, too much memory held, too many from one address.
//!
//! It knows what the limit is and that all others are served all the same.

use std::collections::BTreeMap;
use std::net::IpAddr;

use switchboard::codec::Raw;
use switchboard::sim::{Next, Received, SERVER, Sim};
use switchboard::{
    CloseKind, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Peer, Result, each,
};

use super::draw::{Draw, millis};
use super::peers::{Talk, bytes, compare};

/// With fewer descriptors than clients everyone is served, one after the other.
pub(super) fn descriptors(sim: Sim) {
    let draw = Draw::new(&sim);
    let mut config = Config::default();
    config.recv_buffer_bytes = 4096;
    config.connections_max = draw.one_of(&[Some(100), None, Some(1)]);
    config.idle_timeout = Some(millis(100_000));
    config.accept_retry_max = millis(draw.one_of(&[1000, 5]));
    let echo = each(Raw::new, |cx, bytes| {
        cx.send(bytes);
        Ok(())
    });
    let mut scenario = sim.server(echo).config(config).faults(draw.faults()).descriptors(2 + draw.below(4));
    let mut says = Vec::new();
    for number in 0..2 + draw.below(7) {
        let say = bytes(draw.one_of(&[20, 0, 2000]), number);
        let mut talk = Talk::new(&draw, &say, say.len());
        scenario = scenario.client_fn(move |peer| talk.act(peer));
        says.push(say);
    }
    let report = scenario.run();
    for (number, (client, say)) in report.clients.iter().zip(&says).enumerate() {
        compare(number, client, say);
    }
}

/// Sends ten times what it gets.
struct Tenfold {
    over: Option<usize>,
}

impl Tenfold {
    fn look(&mut self, cx: &Context) {
        // One visit may pass the limit before it acts.
        let limit = cx.config().memory_bytes_max + 2 * cx.config().queued_bytes_max + 64 * 1024;
        if cx.held_bytes() > limit {
            self.over = Some(cx.held_bytes());
        }
    }
}

impl Handler for Tenfold {
    type Codec = Raw;
    type Session = usize;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, usize)> {
        Some((Raw::new(), 0))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        self.look(cx);
        *conn.session += bytes.len();
        for _ in 0..10 {
            cx.send(bytes);
        }
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, _: usize, _: &CloseReason) {
        self.look(cx);
    }
}

/// Who holds much is closed for it, nobody else, and no more is held than may be.
pub(super) fn memory(sim: Sim) {
    let draw = Draw::new(&sim);
    let mut config = Config::default();
    config.recv_buffer_bytes = 512;
    config.recv_bytes_max = 512;
    config.queued_bytes_low = 500;
    config.queued_bytes_high = 2000;
    config.queued_bytes_max = 12_000;
    config.memory_bytes_max = draw.one_of(&[30_000, 15_000]);
    config.write_timeout = millis(60_000);
    let memory_max = config.memory_bytes_max;
    let mut scenario =
        sim.server(Tenfold { over: None }).config(config).faults(draw.faults()).buffers(1000, 1000);
    // They send and do not read, for a while or at all.
    for _ in 0..=draw.below(5) {
        let mut left = 5000;
        let reads_at = draw.one_of(&[1_000_000_000, 0, u64::MAX]);
        scenario = scenario.client_fn(move |peer| {
            if peer.refused().is_some() {
                return Next::Done;
            }
            if !peer.is_connected() {
                return Next::Wait;
            }
            let now = peer.now().as_nanos();
            if now >= reads_at {
                loop {
                    match peer.recv(usize::MAX) {
                        Received::Bytes(_) => {}
                        Received::Nothing => break,
                        Received::End | Received::Failed(_) => return Next::Done,
                    }
                }
            } else if let Received::Failed(_) = peer.recv(0) {
                return Next::Done;
            }
            if now >= 20_000_000_000 {
                return Next::Done;
            }
            let n = if left > 0 { peer.send(&[b'm'; 100]) } else { 0 };
            left -= n.min(left);
            Next::WaitFor(millis(if n > 0 { 1 } else { 500 }))
        });
    }
    let report = scenario.run();
    if let Some(held) = report.handler.over {
        panic!("{held} bytes are held, limit is {memory_max}");
    }
    for (number, client) in report.clients.iter().enumerate() {
        assert!(client.received.iter().all(|&byte| byte == b'm'), "client {number}");
    }
}

/// Counts who is there.
#[derive(Default)]
struct Crowd {
    open: BTreeMap<IpAddr, u32>,
    most: u32,
}

impl Handler for Crowd {
    type Codec = Raw;
    type Session = IpAddr;

    fn opened(&mut self, _: &mut Context, peer: &Peer<'_>) -> Option<(Raw, IpAddr)> {
        let ip = peer.addr.ip()?;
        let open = self.open.entry(ip).or_insert(0);
        *open += 1;
        self.most = self.most.max(*open);
        Some((Raw::new(), ip))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        cx.send(bytes);
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, ip: IpAddr, _: &CloseReason) {
        *self.open.get_mut(&ip).expect("it was opened") -= 1;
    }
}

/// Connects all the time, says something, and leaves.
struct Caller {
    draw: Draw,
    calls: u32,
    talks: BTreeMap<ConnId, u32>,
}

impl Caller {
    fn call(&mut self, cx: &mut Context) {
        if self.calls == 0 {
            return;
        }
        self.calls -= 1;
        if let Ok(id) = cx.connect(SERVER, 0) {
            cx.send_to(id, b"hi");
        }
    }
}

impl Handler for Caller {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.talks.insert(cx.id(), 0);
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        if self.draw.yes() {
            cx.finish(conn.id);
        } else {
            cx.send(b"more");
        }
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, _: u64) {
        self.call(cx);
        if self.calls > 0 {
            cx.set_alarm(millis(self.draw.one_of(&[3, 0, 40])), 0).expect("one timer");
        }
    }

    fn closed(&mut self, cx: &mut Context, (): (), _: &CloseReason) {
        self.talks.remove(&cx.id());
    }
}

/// Never are more open from one address than may be, and others are served beside them.
pub(super) fn address_cap(sim: Sim) {
    let draw = Draw::new(&sim);
    let cap = draw.one_of(&[1, 2, 3]);
    let mut config = Config::default();
    config.recv_buffer_bytes = 512;
    config.connections_per_address_max = Some(cap);
    config.idle_timeout = Some(millis(5000));
    let caller = Caller { draw: draw.clone(), calls: 15, talks: BTreeMap::new() };
    let faults = draw.faults();
    let mut scenario = sim.server(Crowd::default()).config(config.clone()).faults(faults).reactor(
        caller,
        config,
        |caller, cx| caller.alarm(cx, 0),
    );
    let say = bytes(300, 1);
    for _ in 0..draw.below(3) {
        let mut talk = Talk::new(&draw, &say, say.len());
        scenario = scenario.client_fn(move |peer| talk.act(peer));
    }
    let report = scenario.run();
    assert!(report.handler.most <= cap, "{} from one address, {cap} may be", report.handler.most);
    let open: u32 = report.handler.open.values().sum();
    assert_eq!(open, 0, "{:?}", report.stats.closed(CloseKind::Stopped));
    for (number, client) in report.clients.iter().enumerate() {
        compare(number, client, &say);
    }
}
