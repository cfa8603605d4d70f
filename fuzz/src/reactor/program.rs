//! A program that does anything that is legal, in any callback, to any connection.
//!
//! What it does is on the tape; when that says nothing more, it does nothing. It keeps the ledger.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use switchboard::sim::{Choices, SERVER};
use switchboard::{
    Bytes, Close, CloseReason, Conn, ConnId, Context, Handler, ListenerId, OnSlow, Peer, Result, Sent, Wait,
};

use super::cutter::Cutter;
use super::ledger::{Deed, Ledger, Name};
use super::{BLACK_HOLE, NOBODY, OTHER};

/// How many connections it opens at most.
const CONNECTS_MAX: usize = 12;

/// One of the programs of a run.
#[derive(Debug)]
pub struct Program {
    number: usize,
    choices: Choices,
    ledger: Rc<RefCell<Ledger>>,
    connects: usize,
    listeners: Vec<ListenerId>,
}

impl Program {
    /// Program `number`.
    pub fn new(number: usize, choices: &Choices, ledger: &Rc<RefCell<Ledger>>) -> Program {
        let (choices, ledger) = (choices.clone(), Rc::clone(ledger));
        Program { number, choices, ledger, connects: 0, listeners: Vec::new() }
    }

    fn choose(&self, ways: usize) -> usize {
        self.choices.choose("what a program does", ways)
    }

    fn name(&self, id: ConnId) -> Name {
        (self.number, id)
    }

    fn ensure(&self, holds: bool, what: impl FnOnce() -> String) {
        self.ledger.borrow().ensure(holds, what);
    }

    /// Does up to three things.
    pub fn act_some(&mut self, cx: &mut Context) {
        for _ in 0..3 {
            let what = self.choose(32);
            if what == 0 {
                return;
            }
            self.act(cx, what);
        }
    }

    /// Any connection, the one being served and one that is gone among them.
    fn any(&self, cx: &Context) -> ConnId {
        let all: Vec<_> = cx.connections().map(|info| info.id).collect();
        match self.choose(all.len() + 2) {
            0 => cx.id(),
            1 => self.ledger.borrow().any_gone(self.number).unwrap_or(ConnId::NONE),
            n => all[n - 2],
        }
    }

    fn act(&mut self, cx: &mut Context, what: usize) {
        match what {
            1..11 => self.send(cx, what),
            11 | 12 => {
                let id = self.any(cx);
                cx.pause(id);
                self.ledger.borrow_mut().pause(self.name(id), true);
            }
            13..16 => {
                let id = self.any(cx);
                cx.resume(id);
                self.ledger.borrow_mut().pause(self.name(id), false);
            }
            16 => cx.finish(self.any(cx)),
            17..20 => {
                let id = self.any(cx);
                let (how, deed) = match what {
                    17 => (Close::Flush, Deed::Close),
                    18 => (Close::Linger, Deed::Close),
                    _ => (Close::Abort, Deed::Abort),
                };
                self.close(cx, id, how, deed);
            }
            20..24 => self.set_timer(cx),
            24 | 25 => self.cancel(cx),
            26 | 27 => {
                let to = [SERVER, OTHER, NOBODY, BLACK_HOLE][self.choose(4)];
                self.connect(cx, to);
            }
            28 => {
                let listener = cx.listen(SocketAddr::from(([0, 0, 0, 0], 7002)));
                self.listeners.push(listener);
            }
            29 => {
                if let Some(listener) = self.listeners.pop() {
                    cx.close_listener(listener);
                }
            }
            _ => {
                let id = self.any(cx);
                if let Some(info) = cx.info(id) {
                    let same = info.id == id && info.queued == cx.queued(id);
                    self.ensure(same, || format!("{id}, and {} are queued: {info:?}", cx.queued(id)));
                }
            }
        }
    }

    fn close(&mut self, cx: &mut Context, id: ConnId, how: Close, deed: Deed) {
        if cx.info(id).is_some() {
            self.ledger.borrow_mut().did(self.name(id), deed);
        }
        cx.close(id, how);
        let refused = cx.send_to(id, b"x");
        self.ensure(refused == Sent::Closed, || format!("{id} was closed, and can be sent to"));
    }

    fn send(&mut self, cx: &mut Context, how: usize) {
        let id = match how {
            1..5 => cx.id(),
            _ => self.any(cx),
        };
        let Some(source) =
            (id != ConnId::NONE).then(|| self.ledger.borrow_mut().source_of(self.name(id))).flatten()
        else {
            let sent = cx.send_to(ConnId::NONE, b"x");
            return self.ensure(sent == Sent::Closed, || "nobody can be sent to".into());
        };
        let n = [1, 30, 500, 3000, 9000][self.choose(5)];
        let bytes = self.ledger.borrow().next(source, n);
        let queued = match how {
            1 | 2 => {
                let sent = cx.send(&bytes);
                // A hole in a stream is worse than its end.
                let again = sent == Sent::Full && cx.send(b"x") != Sent::Closed;
                self.ensure(!again, || format!("{id} had no room, and can be sent to"));
                sent.is_queued()
            }
            3 => cx.send_bytes(bytes.into()).is_queued(),
            5 | 6 => cx.send_to(id, &bytes).is_queued(),
            7 => cx.send_bytes_to(id, bytes.into()).is_queued(),
            8 => cx.try_send(id, bytes.into()).is_ok(),
            9 => {
                let on_slow = [OnSlow::Queue, OnSlow::Skip, OnSlow::Close][self.choose(3)];
                let told = cx.broadcast([id], &Bytes::from(bytes), on_slow);
                let one = told.queued + told.skipped + told.closed == 1;
                self.ensure(one, || format!("a broadcast to one: {told:?}"));
                told.queued == 1
            }
            _ => cx.out_to(id).write_all(&bytes).is_ok(),
        };
        let (waiting, max) = (cx.queued(id), cx.config().queued_bytes_max);
        self.ensure(waiting <= max, || format!("{waiting} bytes are queued for {id}, limit is {max}"));
        if queued {
            let mut ledger = self.ledger.borrow_mut();
            ledger.accepts(self.name(id));
            ledger.sent(source, n);
        }
    }

    /// Connects, if it has not done so too often.
    pub fn connect(&mut self, cx: &mut Context, to: SocketAddr) {
        if self.connects < CONNECTS_MAX {
            self.connects += 1;
            if let Ok(id) = cx.connect(to, 0) {
                self.ledger.borrow_mut().source_of(self.name(id));
            }
        }
    }

    fn set_timer(&mut self, cx: &mut Context) {
        let after = [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(50), Duration::MAX];
        let after = after[self.choose(4)];
        let id = if self.choose(4) == 0 { ConnId::NONE } else { self.any(cx) };
        let key = self.ledger.borrow_mut().next_key();
        let set = if id == ConnId::NONE { cx.set_alarm(after, key) } else { cx.set_timer(id, after, key) };
        if let Ok(timer) = set {
            self.ledger.borrow_mut().timer_set(key, timer, self.name(id), cx.now() + after);
        }
    }

    fn cancel(&mut self, cx: &mut Context) {
        let found = self.ledger.borrow().any_timer(self.number, self.choose(4));
        let Some((key, timer)) = found else { return };
        // Lost are those that came due while their connection was closing, and those of a connection whose `opened`
        // panicked behind our back.
        let of_conn = timer.owner.1 != ConnId::NONE;
        let lost = of_conn && (timer.due <= cx.now() || cx.config().isolate_panics);
        let cancelled = (cx.cancel(timer.id), cx.cancel(timer.id));
        self.ensure(cancelled == (true, false) || (lost && cancelled == (false, false)), || {
            format!("timer {key}: {cancelled:?}, {timer:?}")
        });
        self.ledger.borrow_mut().timer_cancelled(key);
    }

    fn cutter(&mut self, id: ConnId) -> Cutter {
        let cutter = match self.choose(16) {
            n @ 1..7 => Cutter::Pieces([1, 2, 7, 100, 1000, 4096][n - 1]),
            7 => Cutter::Pieces(5000),
            8 | 9 => Cutter::Empty { next: true },
            10 | 11 => Cutter::ToEnd,
            12 => Cutter::Refused,
            13 => Cutter::Endless,
            _ => Cutter::AsItComes,
        };
        let impolite = !matches!(cutter, Cutter::AsItComes | Cutter::Pieces(..=4096));
        if impolite {
            self.ledger.borrow_mut().did(self.name(id), Deed::Cut);
        }
        cutter
    }

    /// What every callback of an open connection may do, and how it ends.
    fn any_callback(&mut self, cx: &mut Context, conn: &mut Conn<'_, Program>) -> Result {
        self.act_some(cx);
        if self.choose(8) == 1 {
            *conn.codec = self.cutter(conn.id);
        }
        self.answer(cx, conn.id)
    }

    fn answer(&mut self, cx: &Context, id: ConnId) -> Result {
        match self.choose(32) {
            1 => {
                self.ledger.borrow_mut().did(self.name(id), Deed::Fail);
                Err(Close::msg("enough"))
            }
            2 => {
                self.ledger.borrow_mut().did(self.name(id), Deed::Close);
                Err(Close::Linger)
            }
            3 if cx.config().isolate_panics => self.panic(id),
            _ => Ok(()),
        }
    }

    fn panic(&mut self, id: ConnId) -> ! {
        self.ledger.borrow_mut().did(self.name(id), Deed::Panic);
        // Without the words that a panic is announced with, which end the engine, too.
        std::panic::resume_unwind(Box::new("as the tape says"))
    }
}

impl Handler for Program {
    type Codec = Cutter;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Cutter, ())> {
        let id = cx.id();
        self.ledger.borrow_mut().opened(self.name(id));
        let (open, max) = (cx.stats().open, cx.config().connections_max);
        self.ensure(max.is_none_or(|max| open <= max), || format!("{open} connections, {max:?} is the most"));
        self.act_some(cx);
        if self.choose(16) == 1 {
            self.ledger.borrow_mut().turned_away(self.name(id));
            return None;
        }
        Some((self.cutter(id), ()))
    }

    fn received(&mut self, cx: &mut Context, mut conn: Conn<'_, Program>, frame: &[u8]) -> Result {
        self.ledger.borrow().told(self.name(conn.id), "received");
        let (length, max) = (frame.len(), cx.config().recv_bytes_max.max(cx.config().recv_buffer_bytes));
        self.ensure(length <= max, || format!("a frame of {length} bytes, {max} is the most"));
        self.ledger.borrow_mut().received(self.name(conn.id), frame);
        self.any_callback(cx, &mut conn)
    }

    fn writable(&mut self, cx: &mut Context, mut conn: Conn<'_, Program>) -> Result {
        self.ledger.borrow().told(self.name(conn.id), "writable");
        let low = cx.queued(conn.id) <= cx.config().queued_bytes_low;
        self.ensure(low, || format!("writable, and {} are queued", cx.queued(conn.id)));
        self.any_callback(cx, &mut conn)
    }

    fn urgent(&mut self, cx: &mut Context, mut conn: Conn<'_, Program>, byte: u8) -> Result {
        self.ledger.borrow().told(self.name(conn.id), "urgent");
        self.ensure(cx.config().urgent && byte == b'!', || format!("an urgent {byte}"));
        self.any_callback(cx, &mut conn)
    }

    fn half_closed(&mut self, cx: &mut Context, mut conn: Conn<'_, Program>) -> Result {
        self.ledger.borrow().told(self.name(conn.id), "half_closed");
        self.ledger.borrow().half_closed(self.name(conn.id));
        self.any_callback(cx, &mut conn)?;
        if self.choose(4) == 0 && cx.info(conn.id).is_some() {
            self.ledger.borrow_mut().did(self.name(conn.id), Deed::Close);
            cx.close(conn.id, Close::Flush);
        }
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, mut conn: Conn<'_, Program>, key: u64) -> Result {
        self.ledger.borrow().told(self.name(conn.id), "timer");
        self.ledger.borrow_mut().timer_fired(key, self.name(conn.id), cx.now());
        self.any_callback(cx, &mut conn)
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        self.ledger.borrow_mut().timer_fired(key, self.name(ConnId::NONE), cx.now());
        self.act_some(cx);
    }

    fn refused(&mut self, cx: &mut Context, conn: Conn<'_, Program>, why: &CloseReason) {
        self.ledger.borrow().told(self.name(conn.id), "refused");
        if let (CloseReason::TimedOut(Wait::Idle), Some(info)) = (why, cx.info(conn.id)) {
            let idle = cx.config().idle_timeout.is_some_and(|timeout| info.idle_for >= timeout);
            self.ensure(idle, || format!("{why} after {:?}", info.idle_for));
        }
        self.act_some(cx);
    }

    fn draining(&mut self, cx: &mut Context) {
        self.ledger.borrow_mut().draining(self.number);
        self.act_some(cx);
    }

    fn drained(&mut self, _: &mut Context, conn: Conn<'_, Program>) -> bool {
        self.ledger.borrow().told(self.name(conn.id), "drained");
        self.choose(2) == 0
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        let id = cx.id();
        self.ledger.borrow_mut().closed(self.name(id), why, cx.config());
        let sent = cx.send(b"x");
        self.ensure(sent == Sent::Closed, || format!("{id} is closed, and can be sent to"));
        self.act_some(cx);
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, _: &CloseReason) {
        let id = cx.id();
        self.ledger.borrow_mut().connect_failed(self.name(id));
        self.act_some(cx);
    }

    fn listen_failed(&mut self, cx: &mut Context, _: ListenerId, _: &io::Error) {
        self.act_some(cx);
    }
}
