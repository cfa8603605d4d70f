//! The core scenarios with several connections: a proxy, a client that tries again, a chat.
//!
//! What one of them does must not harm another, unless it is the other end of the same conversation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use switchboard::codec::{Lines, Raw};
use switchboard::sim::{Faults, Sim};
use switchboard::{
    Bytes, Close, CloseReason, Config, Conn, ConnId, Context, Handler, Listen, OnSlow, Origin, Peer, Result,
    Stop, each,
};

use super::clients::{Then, talks};
use super::core::all_closed;

/// Where the other reactor of a scenario listens.
const OTHER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 9000);

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Connects each client to another reactor, which echoes.
pub(crate) fn proxy(sim: Sim, faults: Faults) {
    let echo = each(Raw::new, |cx, bytes| {
        cx.send(bytes);
        Ok(())
    });
    // A peer that is gone without a word is noticed by nothing else.
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_secs(60));
    let report = sim
        .server(Proxy::default())
        .config(config.clone())
        .reactor(echo, config, |_, cx| {
            cx.listen(Listen::new(OTHER));
        })
        .client_fn(talks(b"there and back", Then::Ends))
        .faults(faults)
        .run();
    all_closed(&report);
    let client = &report.clients[0];
    assert!(b"there and back".starts_with(&client.received[..]), "{client:?}");
    let Proxy { waiting, ends, .. } = &report.handler;
    assert!(waiting.is_empty(), "a connect was never answered: {waiting:?}");
    // Where no connection failed, on either side, nothing is missing.
    let orderly = report.stats.accepted == 1 && ends.iter().all(|&orderly| orderly);
    let harmed = client.cut || report.time >= Duration::from_secs(60);
    assert!(!orderly || harmed || client.received == b"there and back", "{client:?}, {:?}", report.stats);
}

#[derive(Default)]
struct Proxy {
    waiting: BTreeMap<ConnId, ConnId>,
    /// Whether each connection ended in order.
    ends: Vec<bool>,
}

impl Handler for Proxy {
    type Codec = Raw;
    type Session = ConnId;

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ConnId)> {
        let id = cx.id();
        if peer.origin == Origin::Connected {
            return self.waiting.remove(&id).map(|client| (Raw::new(), client));
        }
        let upstream = cx.connect(OTHER, 0).ok()?;
        self.waiting.insert(upstream, id);
        Some((Raw::new(), upstream))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, bytes: &[u8]) -> Result {
        cx.send_to(*conn.session, bytes);
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        cx.finish(*conn.session);
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, other: ConnId, why: &CloseReason) {
        self.ends.push(why.is_orderly());
        cx.close(other, if why.is_orderly() { Close::Flush } else { Close::Abort });
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, _: &CloseReason) {
        self.ends.push(false);
        let client = self.waiting.remove(&cx.id()).expect("each connect fails once at most");
        cx.close(client, Close::Abort);
    }
}

/// Connects to a server that is not there yet, until it is.
pub(crate) fn retry(sim: Sim, faults: Faults) {
    let late = Late;
    let report = sim
        .server(Retry::default())
        .reactor(late, Config::default(), |_, cx| {
            cx.set_alarm(milliseconds(250), 0).expect("the first timer");
        })
        .at(Duration::ZERO, Retry::attempt)
        .faults(faults)
        .run();
    all_closed(&report);
    let Retry { attempts, failed, answered, closed } = report.handler;
    let connected = report.stats.connected;
    assert_eq!((u64::from(failed), connected), (report.stats.connects_failed, u64::from(attempts - failed)));
    assert_eq!(u64::from(closed), connected, "each connection is told closed once");
    assert!(answered <= closed, "{answered} answers on {closed} connections");
}

const ATTEMPTS_MAX: u32 = 6;

#[derive(Default)]
struct Retry {
    attempts: u32,
    failed: u32,
    answered: u32,
    closed: u32,
}

impl Retry {
    fn attempt(&mut self, cx: &mut Context) {
        if cx.connect(OTHER, 0).is_ok() {
            self.attempts += 1;
        }
    }

    fn later(&mut self, cx: &mut Context) {
        if self.attempts < ATTEMPTS_MAX && self.answered == 0 {
            cx.set_alarm(milliseconds(100), 0).expect("one timer at a time");
        }
    }
}

impl Handler for Retry {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        cx.send(b"hello\n");
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: &[u8]) -> Result {
        assert_eq!(line, b"hello");
        self.answered += 1;
        cx.close(conn.id, Close::Flush);
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, _: u64) {
        self.attempt(cx);
    }

    fn closed(&mut self, cx: &mut Context, (): (), _: &CloseReason) {
        self.closed += 1;
        self.later(cx);
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, _: &CloseReason) {
        self.failed += 1;
        self.later(cx);
    }
}

/// A server that begins to listen when its alarm rings.
struct Late;

impl Handler for Late {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: &[u8]) -> Result {
        cx.send(bytes);
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, _: u64) {
        cx.listen(Listen::new(OTHER));
    }
}

/// Three who hear what each of them says, until the server drains.
pub(crate) fn chat(sim: Sim, faults: Faults) {
    let says = |text: &'static [u8]| talks(text, Then::Stays);
    let report = sim
        .server(Chat::default())
        .client_fn(says(b"a1\na2\n"))
        .client_fn(says(b"b1\n"))
        .client_fn(says(b""))
        .at(Duration::from_secs(100), |_, cx| cx.stop(Stop::Drain))
        .faults(faults)
        .run();
    all_closed(&report);
    let Chat { room, said } = &report.handler;
    assert!(room.is_empty(), "still in the room: {room:?}");
    let unharmed = !report.clients.iter().any(|client| client.cut);
    assert!(!unharmed || said.len() == 3, "{said:?}");
    for client in &report.clients {
        // Lines that were said, in that order, each once.
        let mut rest = said.iter();
        for line in client.received.split_inclusive(|&byte| byte == b'\n') {
            let heard = line.strip_suffix(b"\n");
            let known = rest.any(|said| heard.map_or_else(|| said.starts_with(line), |heard| heard == said));
            assert!(known && (heard.is_some() || client.cut), "{client:?} of {said:?}");
        }
    }
}

#[derive(Default)]
struct Chat {
    room: BTreeSet<ConnId>,
    said: Vec<Vec<u8>>,
}

impl Handler for Chat {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        self.room.insert(cx.id());
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: &[u8]) -> Result {
        self.said.push(line.to_vec());
        let others = self.room.iter().copied().filter(|&id| id != conn.id);
        cx.broadcast(others, &Bytes::from([line, b"\n"].concat()), OnSlow::Queue);
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), _: &CloseReason) {
        assert!(self.room.remove(&cx.id()), "closed twice");
    }
}
