//! A proxy between clients and another reactor, which stops reading where it cannot pass on.
//!
//! It knows pairs of connections. Bytes go through whole and in order, ends are passed on as ends, failures as
//! resets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use switchboard::codec::Raw;
use switchboard::sim::Sim;
use switchboard::{
    Close, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Peer, Result, Sent, each,
};

use super::draw::{Draw, millis};
use super::peers::{Talk, bytes, compare};

const UPSTREAM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 9000);

/// Clients by the connection made for them.
#[derive(Default)]
struct Proxy {
    clients: BTreeMap<ConnId, ConnId>,
    queued_most: usize,
}

impl Handler for Proxy {
    type Codec = Raw;
    type Session = ConnId;

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ConnId)> {
        let id = cx.id();
        // The output of one side is the input of the other, and it is the other that pauses.
        cx.auto_pause(id, false);
        if let Some(client) = self.clients.remove(&id) {
            return Some((Raw::new(), client));
        }
        let upstream = cx.connect(UPSTREAM, 0).ok()?;
        self.clients.insert(upstream, id);
        Some((Raw::new(), upstream))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        let other = *conn.session;
        match cx.send_to(other, bytes) {
            Sent::OverHigh => cx.pause(conn.id),
            Sent::Accepted | Sent::Full | Sent::Closed => {}
            _ => unreachable!("there are no more answers"),
        }
        self.queued_most = self.queued_most.max(cx.queued(other));
        Ok(())
    }

    fn writable(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        cx.resume(*conn.session);
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        cx.finish(*conn.session);
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, other: ConnId, why: &CloseReason) {
        cx.resume(other);
        cx.close(other, if why.is_orderly() { Close::Flush } else { Close::Abort });
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, _: &CloseReason) {
        if let Some(client) = self.clients.remove(&cx.id()) {
            cx.close(client, Close::Abort);
        }
    }
}

pub(super) fn run(sim: Sim) {
    let draw = Draw::new(&sim);
    let mut config = Config::default();
    config.recv_buffer_bytes = draw.one_of(&[16 << 10, 512]);
    config.recv_bytes_max = 16 << 10;
    config.queued_bytes_high = draw.one_of(&[4000, 100, 1]);
    config.queued_bytes_low = draw.one_of(&[1000, 50, 0]).min(config.queued_bytes_high);
    config.queued_bytes_max = 64 << 10;
    config.bytes_per_turn = draw.one_of(&[16 << 10, 100]);
    // Clients that are cut off must not stay.
    config.idle_timeout = Some(millis(2_000_000));
    // Callbacks may take a second each, and everyone waits for those of the other reactor.
    config.write_timeout = millis(2_000_000);
    config.connect_timeout = millis(2_000_000);
    let high = config.queued_bytes_high;
    let echo = each(Raw::new, |cx, bytes| {
        cx.send(bytes);
        Ok(())
    });
    let faults = draw.faults();
    let small = [256 << 10, 4096, 64];
    let upstream = config.clone();
    let mut scenario = sim
        .server(Proxy::default())
        .config(config)
        .faults(faults.clone())
        .buffers(draw.one_of(&small), draw.one_of(&small))
        .reactor(echo, upstream, |_, cx| {
            cx.listen(UPSTREAM);
        });
    // A fault of the connection behind the proxy is not one of its client's.
    let harmed = faults.may_harm();
    let mut says = Vec::new();
    for number in 0..=draw.below(3) {
        let n = draw.one_of(&[100, 1, 0, 3000, 12_000]);
        let say = bytes(n, number);
        let mut talk = Talk::new(&draw, &say, n).lenient(harmed);
        scenario = scenario.client_fn(move |peer| talk.act(peer));
        says.push(say);
    }
    let report = scenario.run();
    for (number, (client, say)) in report.clients.iter().zip(&says).enumerate() {
        if harmed {
            assert!(say.starts_with(&client.received), "client {number} got something else");
        } else {
            compare(number, client, say);
        }
    }
    let most = report.handler.queued_most;
    assert!(most <= high + (16 << 10), "{most} bytes were queued, with a high mark of {high}");
}
