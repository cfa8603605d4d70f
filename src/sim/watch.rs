//! The watch: a handler around the user's that sees every callback and checks their order.
//!
//! It knows what the reactor promises about callbacks: `opened` first, `closed` once and last, nothing for a
//! connection that is gone. It does not know what the user's handler does; it passes everything on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;

use super::faults::Fault;
use super::network::{MILLI, SimNet, World};
use crate::context::Context;
use crate::error::{CloseReason, Result};
use crate::handler::{Conn, Datagram, Frame, Handler, Peer, Ready};
use crate::id::{ConnId, DatagramId, ListenerId, SourceId};

/// How long a callback may take.
const SLOW: [u64; 5] = [0, MILLI, 30 * MILLI, 200 * MILLI, 1000 * MILLI];

/// What a connection has been told so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Opened,
    HalfClosed,
}

/// The user's handler, watched.
pub(super) struct Watched<H> {
    pub(super) inner: H,
    world: Rc<RefCell<World>>,
    /// The host it is on.
    host: SimNet,
    conns: BTreeMap<ConnId, Told>,
}

/// What a line of the trace is about: callbacks, behind the calls of the network.
#[derive(Clone, Copy)]
enum What {
    Opened = 32,
    TurnedAway,
    Received,
    Writable,
    Urgent,
    HalfClosed,
    Timer,
    Alarm,
    Refused,
    Draining,
    Drained,
    Closed,
    ConnectFailed,
    ListenFailed,
    Datagram,
    DatagramFailed,
    BindFailed,
    Ready,
    RegisterFailed,
    OptionsFailed,
}

impl<H: Handler> Watched<H> {
    pub(super) fn new(inner: H, host: &SimNet) -> Watched<H> {
        Watched { inner, world: Rc::clone(host.world()), host: host.clone(), conns: BTreeMap::new() }
    }

    /// Connections that were told opened and not closed.
    pub(super) fn open(&self) -> Vec<ConnId> {
        self.conns.keys().copied().collect()
    }

    fn note(&self, what: What, id: ConnId, value: u64, text: impl FnOnce() -> String) {
        let mut world = self.world.borrow_mut();
        let world = &mut *world;
        world.trace.note(world.now, what as u8, u32::try_from(id.slot()).unwrap_or(u32::MAX), value);
        world.trace.say(world.now, || format!("callback {id}: {}", text()));
    }

    /// Before a callback of a connection that must be open.
    fn expect_open(&self, what: What, id: ConnId, value: u64, name: &'static str) {
        self.note(what, id, value, || name.into());
        match self.conns.get(&id) {
            None => self.world.borrow_mut().violated(|| format!("`{name}` for {id}, which is not open")),
            Some(Told::HalfClosed) if matches!(what, What::Received | What::HalfClosed) => {
                self.world.borrow_mut().violated(|| format!("`{name}` for {id} after `half_closed`"));
            }
            Some(_) => {}
        }
    }

    /// After a callback: it may have taken its time, or it panics.
    fn pass(&self, cx: &Context) {
        self.pass_with(cx, |world| world.cut_conn(cx.id()));
    }

    fn pass_with(&self, cx: &Context, cut: impl FnOnce(&mut World)) {
        let mut world = self.world.borrow_mut();
        let one = &mut *world;
        // There is one clock: another reactor that took its time would make the server stand still.
        let slow = self.host.drives();
        let way = if slow { one.faults.take(&mut one.tape, Fault::Slow, SLOW.len()) } else { 0 };
        if way > 0 {
            drop(world);
            // Everybody else goes on meanwhile.
            self.host.elapse(SLOW[way]);
            world = self.world.borrow_mut();
        }
        let one = &mut *world;
        if cx.config().isolate_panics && one.faults.take(&mut one.tape, Fault::Panics, 2) == 1 {
            cut(one);
            one.trace.say(one.now, || "the callback panics".into());
            drop(world);
            // Without the words that a panic is announced with: it is not one that anybody has to look at.
            resume_unwind(Box::new("a fault of the simulation"));
        }
    }
}

/// Lends a connection on.
#[expect(clippy::needless_pass_by_value, reason = "what is lent is taken apart")]
fn lend<H: Handler>(conn: Conn<'_, Watched<H>>) -> Conn<'_, H> {
    Conn { id: conn.id, codec: conn.codec, session: conn.session }
}

impl<H: Handler> Handler for Watched<H> {
    type Codec = H::Codec;
    type Session = H::Session;

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(H::Codec, H::Session)> {
        let id = cx.id();
        let made = self.inner.opened(cx, peer);
        let what = if made.is_some() { What::Opened } else { What::TurnedAway };
        self.note(what, id, 0, || {
            format!("opened, from {}{}", peer.addr, if made.is_some() { "" } else { ", not wanted" })
        });
        self.pass_with(cx, |world| world.cut_peer(&peer.addr));
        if made.is_some() && self.conns.insert(id, Told::Opened).is_some() {
            self.world.borrow_mut().violated(|| format!("`opened` twice for {id}"));
        }
        made
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        self.expect_open(What::Received, conn.id, 0, "received");
        let result = self.inner.received(cx, lend(conn), frame);
        self.pass(cx);
        result
    }

    fn writable(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.expect_open(What::Writable, conn.id, 0, "writable");
        let result = self.inner.writable(cx, lend(conn));
        self.pass(cx);
        result
    }

    fn urgent(&mut self, cx: &mut Context, conn: Conn<'_, Self>, byte: u8) -> Result {
        self.expect_open(What::Urgent, conn.id, u64::from(byte), "urgent");
        let result = self.inner.urgent(cx, lend(conn), byte);
        self.pass(cx);
        result
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.expect_open(What::HalfClosed, conn.id, 0, "half_closed");
        self.conns.insert(conn.id, Told::HalfClosed);
        let result = self.inner.half_closed(cx, lend(conn));
        self.pass(cx);
        result
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, key: u64) -> Result {
        self.expect_open(What::Timer, conn.id, key, "timer");
        let result = self.inner.timer(cx, lend(conn), key);
        self.pass(cx);
        result
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        self.note(What::Alarm, ConnId::NONE, key, || format!("alarm {key}"));
        self.inner.alarm(cx, key);
        self.pass(cx);
    }

    fn refused(&mut self, cx: &mut Context, conn: Conn<'_, Self>, why: &CloseReason) {
        self.expect_open(What::Refused, conn.id, why.kind() as u64, "refused");
        self.inner.refused(cx, lend(conn), why);
        self.pass(cx);
    }

    fn draining(&mut self, cx: &mut Context) {
        self.note(What::Draining, ConnId::NONE, 0, || "draining".into());
        self.inner.draining(cx);
        self.pass(cx);
    }

    fn drained(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> bool {
        self.expect_open(What::Drained, conn.id, 0, "drained");
        let drained = self.inner.drained(cx, lend(conn));
        self.pass(cx);
        drained
    }

    fn closed(&mut self, cx: &mut Context, session: H::Session, why: &CloseReason) {
        let id = cx.id();
        self.note(What::Closed, id, why.kind() as u64, || format!("closed, {why}"));
        if self.conns.remove(&id).is_none() {
            self.world.borrow_mut().violated(|| format!("`closed` for {id}, which is not open"));
        }
        let reset = self.world.borrow_mut().was_reset(self.host.number(), id);
        if reset && matches!(why, CloseReason::Ended) {
            self.world.borrow_mut().violated(|| format!("{id} was reset, and is told as an orderly end"));
        }
        self.inner.closed(cx, session, why);
        self.pass(cx);
    }

    fn connect_failed(&mut self, cx: &mut Context, key: u64, why: &CloseReason) {
        let id = cx.id();
        self.note(What::ConnectFailed, id, why.kind() as u64, || format!("connect failed, {why}"));
        if self.conns.contains_key(&id) {
            self.world.borrow_mut().violated(|| format!("`connect_failed` for {id}, which is open"));
        }
        self.inner.connect_failed(cx, key, why);
        self.pass(cx);
    }

    fn options_failed(&mut self, cx: &mut Context, target: ConnId, error: &io::Error) {
        self.note(What::OptionsFailed, target, 0, || format!("options were not set, {error}"));
        self.inner.options_failed(cx, target, error);
        self.pass(cx);
    }

    fn listen_failed(&mut self, cx: &mut Context, listener: ListenerId, error: &io::Error) {
        self.note(What::ListenFailed, ConnId::NONE, 0, || format!("listening failed, {error}"));
        self.inner.listen_failed(cx, listener, error);
        self.pass(cx);
    }

    fn datagram(&mut self, cx: &mut Context, datagram: Datagram<'_>) {
        self.note(What::Datagram, ConnId::NONE, datagram.bytes.len() as u64, || {
            format!("{:?} from {}, {} bytes", datagram.socket, datagram.from, datagram.bytes.len())
        });
        self.inner.datagram(cx, datagram);
        self.pass(cx);
    }

    fn datagram_failed(&mut self, cx: &mut Context, socket: DatagramId, error: &io::Error) {
        self.note(What::DatagramFailed, ConnId::NONE, 0, || format!("{socket:?}: {error}"));
        self.inner.datagram_failed(cx, socket, error);
        self.pass(cx);
    }

    fn bind_failed(&mut self, cx: &mut Context, socket: DatagramId, error: &io::Error) {
        self.note(What::BindFailed, ConnId::NONE, 0, || format!("{socket:?} was not opened, {error}"));
        self.inner.bind_failed(cx, socket, error);
        self.pass(cx);
    }

    fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
        self.note(What::Ready, ConnId::NONE, u64::from(source.readiness.bits()), || {
            format!("{:?} is {:?}", source.id, source.readiness)
        });
        self.inner.ready(cx, source);
        self.pass(cx);
    }

    fn register_failed(&mut self, cx: &mut Context, source: SourceId, error: &io::Error) {
        self.note(What::RegisterFailed, ConnId::NONE, 0, || {
            format!("{source:?} was not registered, {error}")
        });
        self.inner.register_failed(cx, source, error);
        self.pass(cx);
    }
}
