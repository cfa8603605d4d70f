//! One thing done in one callback: every kind of thing, in every callback of a run.
//!
//! It knows a program in which every callback happens, and what must not follow from what it did: no callback for a
//! connection that it has closed, no timer that it cancelled, no frame while it pauses. The rest the simulation checks.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use switchboard::codec::Lines;
use switchboard::sim::{Report, Script, Sim};
use switchboard::{
    Close, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Listen, Origin, Peer, Result, Stop,
    TimerId,
};

use super::clients::{Then, talks};

/// What is done in one callback.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    Flush(Whom),
    Linger(Whom),
    Abort(Whom),
    Fail(Whom),
    AnswerError,
    Panic,
    SetTimer,
    SetAndCancel,
    CancelAll,
    Pause(Whom),
    Resume,
    Finish(Whom),
    Send(Whom),
    SendMuch(Whom),
    Connect,
    ConnectAndClose,
    Listen,
    Unlisten,
    StopNow,
    Drain,
}

impl Act {
    /// Whether frames may be missing because of it.
    fn ends_something(self) -> bool {
        match self {
            Act::Flush(_)
            | Act::Linger(_)
            | Act::Abort(_)
            | Act::Fail(_)
            | Act::AnswerError
            | Act::Panic
            | Act::StopNow
            | Act::Drain => true,
            Act::SetTimer
            | Act::SetAndCancel
            | Act::CancelAll
            | Act::Pause(_)
            | Act::Resume
            | Act::Finish(_)
            | Act::Send(_)
            | Act::SendMuch(_)
            | Act::Connect
            | Act::ConnectAndClose
            | Act::Listen
            | Act::Unlisten => false,
        }
    }
}

/// To which connection it is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whom {
    Itself,
    Another,
    Everyone,
}

/// Everything that may be done.
pub(crate) fn acts() -> Vec<Act> {
    let mut acts = Vec::new();
    for whom in [Whom::Itself, Whom::Another, Whom::Everyone] {
        acts.extend([Act::Flush(whom), Act::Linger(whom), Act::Abort(whom), Act::Fail(whom)]);
        acts.extend([Act::Pause(whom), Act::Finish(whom), Act::Send(whom), Act::SendMuch(whom)]);
    }
    acts.extend([Act::AnswerError, Act::Panic, Act::SetTimer, Act::SetAndCancel, Act::CancelAll]);
    acts.extend([Act::Resume, Act::Connect, Act::ConnectAndClose, Act::Listen, Act::Unlisten]);
    acts.extend([Act::StopNow, Act::Drain]);
    acts
}

const NOBODY_THERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9)), 9);
const RESUMES: u64 = 1;
const NEVER: u64 = 2;
/// The key of the first timer of the program itself; each has its own.
const OWN: u64 = 100;

/// The message of the panic.
pub(crate) const PANIC: &str = "a callback panics";

/// How many sessions there are.
#[derive(Clone, Default)]
pub(crate) struct Live(Rc<Cell<usize>>);

impl Live {
    fn session(&self) -> Session {
        self.0.set(self.0.get() + 1);
        Session(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }
}

pub(crate) struct Session(Live);

impl Drop for Session {
    fn drop(&mut self) {
        let Live(count) = &self.0;
        count.set(count.get() - 1);
    }
}

/// Does `act` in the callback of the number `at`.
pub(crate) struct Acting {
    act: Act,
    at: usize,
    /// How many callbacks there were.
    pub(crate) callbacks: usize,
    live: Live,
    conns: BTreeSet<ConnId>,
    /// Closed by the program: nothing but `closed` may follow.
    over: BTreeSet<ConnId>,
    paused: BTreeSet<ConnId>,
    timers: BTreeMap<TimerId, u64>,
    /// The keys of timers that were cancelled.
    cancelled: BTreeSet<u64>,
    /// What must not have happened. A panic here might be held up by the reactor.
    wrong: Vec<String>,
    frames: BTreeSet<Vec<u8>>,
    connects: u64,
    pub(crate) connects_failed: u64,
}

impl Acting {
    fn new(act: Act, at: usize, live: Live) -> Acting {
        Acting {
            act,
            at,
            callbacks: 0,
            live,
            conns: BTreeSet::new(),
            over: BTreeSet::new(),
            paused: BTreeSet::new(),
            timers: BTreeMap::new(),
            cancelled: BTreeSet::from([NEVER]),
            wrong: Vec::new(),
            frames: BTreeSet::new(),
            connects: 0,
            connects_failed: 0,
        }
    }

    fn targets(&self, whom: Whom, me: ConnId) -> Vec<ConnId> {
        let all = self.conns.iter().copied();
        match whom {
            Whom::Itself => vec![me],
            Whom::Another => all.filter(|&id| id != me).take(1).collect(),
            Whom::Everyone => all.collect(),
        }
    }

    fn close(&mut self, cx: &mut Context, whom: Whom, how: fn() -> Close) {
        for id in self.targets(whom, cx.id()) {
            cx.close(id, how());
            self.over.insert(id);
        }
    }

    /// A callback of no connection, or the first or last of one.
    fn step(&mut self, cx: &mut Context) -> Result {
        self.callbacks += 1;
        if self.callbacks - 1 != self.at {
            return Ok(());
        }
        let me = cx.id();
        match self.act {
            Act::Flush(whom) => self.close(cx, whom, || Close::Flush),
            Act::Linger(whom) => self.close(cx, whom, || Close::Linger),
            Act::Abort(whom) => self.close(cx, whom, || Close::Abort),
            Act::Fail(whom) => self.close(cx, whom, || Close::msg("told to")),
            Act::AnswerError => {
                self.over.insert(me);
                return Err(Close::msg("answered"));
            }
            Act::Panic => panic!("{PANIC}"),
            Act::SetTimer => {
                cx.set_timer(me, Duration::ZERO, 0).ok();
                cx.set_alarm(Duration::ZERO, 0).expect("there is room");
            }
            Act::SetAndCancel => {
                let alarm = cx.set_alarm(Duration::ZERO, NEVER).expect("there is room");
                let timer = cx.set_timer(me, Duration::ZERO, NEVER).ok();
                for timer in [Some(alarm), timer].into_iter().flatten() {
                    let cancelled = (cx.cancel(timer), cx.cancel(timer));
                    self.expect(cancelled == (true, false), || format!("{timer:?}: {cancelled:?}"));
                }
            }
            Act::CancelAll => {
                for (&timer, &key) in &self.timers {
                    if cx.cancel(timer) {
                        self.cancelled.insert(key);
                    }
                }
            }
            Act::Pause(whom) => {
                for id in self.targets(whom, me) {
                    cx.pause(id);
                    self.paused.insert(id);
                }
                cx.set_alarm(Duration::from_millis(7), RESUMES).expect("there is room");
            }
            Act::Resume => {
                self.paused.clear();
                self.conns.iter().for_each(|&id| cx.resume(id));
            }
            Act::Finish(whom) => self.targets(whom, me).into_iter().for_each(|id| cx.finish(id)),
            Act::Send(whom) => {
                for id in self.targets(whom, me) {
                    cx.send_to(id, b"more\n");
                }
            }
            Act::SendMuch(whom) => {
                for id in self.targets(whom, me) {
                    cx.send_to(id, &[b'm'; 100]);
                }
            }
            Act::Connect => self.connect(cx),
            Act::ConnectAndClose => {
                if let Ok(id) = cx.connect(NOBODY_THERE, 0) {
                    self.connects += 1;
                    cx.close(id, Close::Abort);
                }
            }
            Act::Listen => {
                cx.listen(Listen::new("10.0.0.1:7001".parse().expect("an address")));
            }
            Act::Unlisten => {
                let listener = cx.listen(Listen::new("10.0.0.1:7002".parse().expect("an address")));
                cx.close_listener(listener);
            }
            Act::StopNow => cx.stop(Stop::Now),
            Act::Drain => cx.stop(Stop::Drain),
        }
        Ok(())
    }

    /// A callback of a connection that is open.
    fn of(&mut self, cx: &mut Context) -> Result {
        let id = cx.id();
        self.expect(!self.over.contains(&id), || format!("a callback of {id}, which is closed"));
        self.expect(self.conns.contains(&id), || format!("a callback of {id}, which is not open"));
        self.step(cx)
    }

    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    /// A timer is due.
    fn due(&mut self, key: u64) {
        self.expect(!self.cancelled.contains(&key), || format!("timer {key} was cancelled"));
    }

    fn connect(&mut self, cx: &mut Context) {
        if cx.connect(NOBODY_THERE, 0).is_ok() {
            self.connects += 1;
        }
    }
}

impl Handler for Acting {
    type Codec = Lines;
    type Session = Session;

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Lines, Session)> {
        let id = cx.id();
        let known = self.conns.contains(&id) || peer.origin == Origin::Connected;
        self.expect(!known, || format!("{id} is opened, and was known"));
        let session = self.live.session();
        let answered = self.step(cx);
        self.conns.insert(id);
        let key = OWN + self.timers.len() as u64;
        let timer = cx.set_timer(id, Duration::from_millis(5), key);
        self.timers.extend(timer.map(|timer| (timer, key)));
        if self.conns.len() == 1 {
            let key = OWN + self.timers.len() as u64;
            let alarm = cx.set_alarm(Duration::from_millis(3), key).expect("there is room");
            self.timers.insert(alarm, key);
            self.connect(cx);
        }
        if answered.is_err() {
            self.over.remove(&id);
            self.conns.remove(&id);
            return None;
        }
        Some((Lines::new().frame_bytes_max(8), session))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        let id = conn.id;
        self.expect(!self.paused.contains(&id), || format!("a frame for {id}, which is paused"));
        self.of(cx)?;
        self.frames.insert(line.to_vec());
        // One is more than the high mark, so that `writable` comes.
        let dots: &[u8] = if line == b"c" { &[b'.'; 20] } else { b"" };
        cx.send(&[line, dots, b"\n"].concat());
        Ok(())
    }

    fn writable(&mut self, cx: &mut Context, _: Conn<'_, Self>) -> Result {
        self.of(cx)
    }

    fn urgent(&mut self, cx: &mut Context, _: Conn<'_, Self>, _: u8) -> Result {
        self.of(cx)
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.of(cx)?;
        cx.close(conn.id, Close::Flush);
        self.over.insert(conn.id);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, _: Conn<'_, Self>, key: u64) -> Result {
        self.due(key);
        self.of(cx)
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        self.due(key);
        self.step(cx).ok();
        if key == RESUMES {
            for id in std::mem::take(&mut self.paused) {
                cx.resume(id);
            }
        }
    }

    fn refused(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: &CloseReason) {
        let me = conn.id;
        self.of(cx).ok();
        cx.send(b"no\n");
        self.over.insert(me);
    }

    fn draining(&mut self, cx: &mut Context) {
        self.step(cx).ok();
    }

    fn drained(&mut self, cx: &mut Context, _: Conn<'_, Self>) -> bool {
        self.of(cx).is_ok()
    }

    fn closed(&mut self, cx: &mut Context, session: Session, _: &CloseReason) {
        drop(session);
        let id = cx.id();
        let open = self.conns.remove(&id);
        self.expect(open, || format!("{id} is closed and was not open"));
        self.paused.remove(&id);
        self.step(cx).ok();
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, _: &CloseReason) {
        self.connects_failed += 1;
        self.step(cx).ok();
    }
}

/// Runs the program with `act` in callback `at`. How many sessions are left is in `live` afterwards.
pub(crate) fn run(act: Act, at: usize, isolate_panics: bool, live: &Live) -> Report<Acting> {
    let mut config = Config::default();
    config.recv_buffer_bytes = 512;
    (config.queued_bytes_low, config.queued_bytes_high) = (4, 8);
    config.urgent = true;
    config.isolate_panics = isolate_panics;
    let urgent = Script::new().send(b"u\n").send_urgent(b'!').recv_to_end();
    let report = Sim::new(1)
        .server(Acting::new(act, at, live.clone()))
        .config(config)
        .client_fn(talks(b"a\nb\n", Then::Ends))
        .client_fn(talks(b"c\n", Then::Stays))
        .client_fn(talks(b"d\nmuch too long", Then::Stays))
        .client(urgent)
        .at(Duration::from_millis(20), |_, cx| cx.stop(Stop::Drain))
        .buffers(16, 16)
        .try_run();
    let report = report.unwrap_or_else(|failure| panic!("{act:?} in callback {at}: {failure}"));
    let handler = &report.handler;
    assert_eq!(handler.wrong, [""; 0], "{act:?} in callback {at}");
    let told = handler.connects_failed + u64::from(act == Act::Panic);
    assert!(told >= handler.connects, "a connect was never answered: {act:?} in callback {at}");
    let panicked = act == Act::Panic;
    assert!(handler.conns.is_empty() || panicked, "{act:?} in callback {at}: open are {:?}", handler.conns);
    let frames: Vec<&[u8]> = handler.frames.iter().map(Vec::as_slice).collect();
    let all: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"u"];
    assert!(act.ends_something() || frames == all, "{act:?} in callback {at}: only {frames:?}");
    // Nobody gets what is for another.
    let own: [&[u8]; 4] = [b"ab\n", b"c.\n", b"d\nno", b"u\n"];
    for (client, own) in report.clients.iter().zip(own) {
        let known = client.received.iter().all(|byte| own.contains(byte));
        assert!(
            known || matches!(act, Act::Send(_) | Act::SendMuch(_)),
            "{act:?} in callback {at}: {client:?}"
        );
    }
    assert_eq!((report.stats.open, live.count()), (0, 0), "{act:?} in callback {at}");
    report
}
