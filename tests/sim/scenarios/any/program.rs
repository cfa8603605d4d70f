//! The program that does anything legal in any callback, and knows what must come of it.
//!
//! It knows its connections, timers and what it asked for. Until it calms down it does something in most callbacks;
//! then it lets everything come to its end.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use switchboard::codec::{Either, LengthPrefixed, Lines, Put, Raw};
use switchboard::sim::SERVER;
use switchboard::{
    Bytes, Close, CloseKind, CloseReason, Conn, ConnId, Context, Frame, Handler, ListenerId, OnSlow, Origin,
    Peer, Result, Sent, State, Stats, Stop, TimerError, TimerId, Wait,
};

use super::super::draw::{Draw, millis};
use super::model::{Place, Shared};
use super::{NO_WAY, NOBODY, NOWHERE, OTHER, client_of};

/// How many things it does at most, so that a run ends.
const ACTIONS_MAX: u32 = 300;

/// How many bytes it sends at most: buffers may hold one at a time.
const BYTES_MAX: usize = 30_000;

/// The key of the alarm at which it calms down.
const CALM: u64 = u64::MAX;

type Codec = Either<Lines, Either<LengthPrefixed, Raw>>;

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Client(usize),
    /// A program, which this one connected to, or which connected to this one.
    Out,
    In,
}

/// What was asked for a connection, which its reason must fit to.
#[derive(Default, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "several may have been asked for")]
struct Asked {
    close: bool,
    abort: bool,
    fail: bool,
    panic: bool,
    slow: bool,
}

#[derive(Debug)]
struct Known {
    kind: Kind,
    open: bool,
    opened_at: u64,
    accepted: usize,
    asked: Asked,
}

/// What it keeps with a connection.
pub(super) struct Session {
    frames: usize,
    header: Vec<u8>,
    numbers: usize,
    urgents: usize,
    prefixed: bool,
}

#[derive(Debug)]
struct Timing {
    id: TimerId,
    owner: ConnId,
    due: u64,
}

/// The program.
pub(super) struct Program {
    who: usize,
    draw: Draw,
    model: Shared,
    conns: BTreeMap<ConnId, Known>,
    dead: VecDeque<ConnId>,
    timers: BTreeMap<u64, Timing>,
    next_key: u64,
    listeners: Vec<ListenerId>,
    next_port: u16,
    actions: u32,
    bytes: usize,
    calm: bool,
    stopping: bool,
    panics: u64,
    /// Connects of ours whose `opened` panicked: they are told as failed.
    panicked: Vec<ConnId>,
    closed: u64,
}

impl Program {
    pub(super) fn new(who: usize, draw: Draw, model: Shared) -> Program {
        Program {
            who,
            draw,
            model,
            conns: BTreeMap::new(),
            dead: VecDeque::new(),
            timers: BTreeMap::new(),
            next_key: 0,
            listeners: Vec::new(),
            next_port: 9100,
            actions: 0,
            bytes: 0,
            calm: false,
            stopping: false,
            panics: 0,
            panicked: Vec::new(),
            closed: 0,
        }
    }

    /// What the other reactor does first.
    pub(super) fn begin(&mut self, cx: &mut Context) {
        cx.listen(OTHER);
        self.model
            .borrow_mut()
            .expect(cx.set_alarm(millis(4000), CALM).is_ok(), || "there is no alarm".into());
        self.act(cx);
    }

    /// A call from elsewhere.
    pub(super) fn called(&mut self, cx: &mut Context) {
        self.act(cx);
        self.act(cx);
    }

    /// From now on everything comes to its end.
    pub(super) fn calm_down(&mut self, cx: &mut Context) {
        self.calm = true;
        for listener in self.listeners.drain(..) {
            cx.close_listener(listener);
        }
        let all: Vec<_> = cx.connections().map(|info| (info.id, info.state)).collect();
        for (id, state) in all {
            cx.resume(id);
            let is_client = self.conns.get(&id).is_some_and(|known| matches!(known.kind, Kind::Client(_)));
            if !is_client || state == State::HalfClosed {
                self.close(cx, id, Close::Flush);
            }
        }
    }

    /// Whoever is still here has no more to say.
    pub(super) fn clear(&mut self, cx: &mut Context) {
        let all: Vec<_> = cx.connections().map(|info| info.id).collect();
        for id in all {
            self.close(cx, id, Close::Abort);
        }
    }

    /// Compares counts when it is all over.
    pub(super) fn compare(&self, stats: &Stats) {
        assert_eq!(stats.closed_total(), self.closed, "closed callbacks");
        assert_eq!(stats.panics, self.panics, "isolated panics");
        assert!(self.panicked.is_empty(), "nobody was told of {:?}", self.panicked);
        assert!(self.conns.is_empty(), "{:?} were told neither closed nor failed", self.conns);
    }

    fn wrong(&self, what: impl Into<String>) {
        self.model.borrow_mut().wrong(what);
    }

    fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        self.model.borrow_mut().expect(holds, what);
    }

    fn place(&self, id: ConnId) -> Place {
        Place { who: self.who, id }
    }

    // ---- What it is told ----

    /// What follows on a callback of `id`: anything, a panic, an error.
    fn answer(&mut self, cx: &mut Context, id: ConnId) -> Result {
        for _ in 0..self.draw.below(3) {
            self.act(cx);
        }
        if self.calm {
            return Ok(());
        }
        if cx.config().isolate_panics && self.draw.once_in(60) {
            self.panics += 1;
            if let Some(known) = self.conns.get_mut(&id) {
                known.asked.panic = true;
            }
            // Without the words that a panic is announced with.
            std::panic::resume_unwind(Box::new("as the program wants it"));
        }
        let how = match self.draw.below(80) {
            79 => Close::msg("enough"),
            78 => Close::Linger,
            77 => Close::Abort,
            _ => return Ok(()),
        };
        if let Some(known) = self.conns.get_mut(&id) {
            known.asked.note(&how);
        }
        Err(how)
    }

    /// It is gone: every call with its id must say so.
    fn bury(&mut self, id: ConnId) -> Option<Known> {
        let known = self.conns.remove(&id);
        if self.dead.len() == 8 {
            self.dead.pop_front();
        }
        self.dead.push_back(id);
        self.timers.retain(|_, timing| timing.owner != id);
        known
    }

    fn numbers_came(&mut self, id: ConnId, session: &mut Session, mut bytes: &[u8]) {
        if self.conns[&id].kind == Kind::In && session.header.len() < 9 {
            let rest = (9 - session.header.len()).min(bytes.len());
            session.header.extend_from_slice(&bytes[..rest]);
            bytes = &bytes[rest..];
            if let Ok(header) = <[u8; 9]>::try_from(&session.header[..]) {
                let bits = u64::from_be_bytes(header[1..].try_into().expect("eight of nine"));
                let other = Place { who: header[0].into(), id: ConnId::from_bits(bits) };
                let here = self.place(id);
                let mut model = self.model.borrow_mut();
                model.pairs.insert(here, other);
                model.pairs.insert(other, here);
            }
        }
        let fits = bytes.iter().zip(session.numbers..).all(|(&byte, n)| usize::from(byte) == n % 251);
        self.expect(fits, || format!("{id} got other bytes after {}", session.numbers));
        session.numbers += bytes.len();
    }

    fn ended(&self, id: ConnId, session: &Session) {
        match self.conns[&id].kind {
            Kind::Client(client) => self.model.borrow_mut().end_came(client, session.frames),
            Kind::Out | Kind::In => self.model.borrow_mut().other_ended(self.place(id), session.numbers),
        }
    }

    /// Whether a reason fits to what is known.
    fn judge(&self, cx: &Context, known: &Known, why: &CloseReason) {
        let config = cx.config();
        let asked = &known.asked;
        let lived = Duration::from_nanos(cx.now().as_nanos().saturating_sub(known.opened_at));
        let fits = match why {
            CloseReason::Ended | CloseReason::Reset | CloseReason::Io(_) | CloseReason::Stopped => true,
            CloseReason::Closed => asked.close || self.stopping || self.calm,
            CloseReason::Aborted => asked.abort,
            CloseReason::Failed(_) => asked.fail,
            CloseReason::Truncated { bytes } => *bytes > 0 && matches!(known.kind, Kind::Client(_)),
            CloseReason::RecvLimit { bytes, limit } => bytes > limit && *limit == config.recv_bytes_max,
            CloseReason::TimedOut(wait) => {
                let timeout = match wait {
                    Wait::Connect => Some(config.connect_timeout),
                    Wait::FirstFrame => config.first_frame_timeout,
                    Wait::Idle => config.idle_timeout,
                    Wait::Frame => config.frame_timeout,
                    Wait::Write => Some(config.write_timeout),
                    _ => None,
                };
                timeout.is_some_and(|timeout| lived >= timeout)
            }
            CloseReason::SlowConsumer { .. } => asked.slow,
            CloseReason::MemoryLimit { limit, .. } => *limit == config.memory_bytes_max,
            CloseReason::Panicked => asked.panic,
            _ => false,
        };
        self.expect(fits, || format!("closed because of {why:?}, and only this is known: {known:?}"));
    }

    // ---- What it does ----

    /// Any connection, gone ones and none among them.
    fn any(&self, cx: &Context) -> ConnId {
        let open = self.conns.len();
        match self.draw.below(open + 3) {
            0 => cx.id(),
            1 => self.dead.back().copied().unwrap_or(ConnId::NONE),
            2 => ConnId::NONE,
            n => *self.conns.keys().nth(n - 3).unwrap_or(&ConnId::NONE),
        }
    }

    /// The next `n` numbers for `id`.
    fn next(&self, id: ConnId, n: usize) -> Vec<u8> {
        let from = self.conns.get(&id).map_or(0, |known| known.accepted);
        (from..from + n).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect()
    }

    fn note(&mut self, id: ConnId, sent: Sent, n: usize) {
        let place = self.place(id);
        let Some(known) = self.conns.get_mut(&id) else {
            return self.expect(!sent.is_queued(), || format!("{id} is gone and was sent to"));
        };
        known.asked.slow |= sent == Sent::Full;
        if sent.is_queued() {
            known.accepted += n;
            let mut model = self.model.borrow_mut();
            match known.kind {
                Kind::Client(client) => model.clients[client].accepted = known.accepted,
                Kind::Out | Kind::In => {
                    model.accepted.insert(place, known.accepted);
                }
            }
        }
    }

    fn close(&mut self, cx: &mut Context, id: ConnId, how: Close) {
        if let Some(known) = self.conns.get_mut(&id) {
            known.asked.note(&how);
        }
        cx.close(id, how);
    }

    fn act(&mut self, cx: &mut Context) {
        if self.calm || self.actions >= ACTIONS_MAX {
            return;
        }
        self.actions += 1;
        let id = self.any(cx);
        match self.draw.below(64) {
            0..24 => self.send(cx, id),
            24..28 => cx.pause(id),
            28..34 => cx.resume(id),
            34 => cx.finish(id),
            35 => self.close(cx, id, Close::Flush),
            36 => self.close(cx, id, Close::Linger),
            37 => self.close(cx, id, Close::Abort),
            38 => self.close(cx, id, Close::msg("it is to be")),
            39..46 => self.set_timer(cx, id),
            46..49 => self.cancel(cx),
            49..53 => self.connect(cx),
            53..55 => self.listen(cx),
            55..60 => self.call_the_dead(cx),
            63 if self.draw.once_in(10) => {
                self.stopping = true;
                cx.stop(self.draw.one_of(&[Stop::Drain, Stop::Now]));
            }
            _ => self.look(cx, id),
        }
    }

    fn send(&mut self, cx: &mut Context, id: ConnId) {
        let n = self.draw.one_of(&[30, 1, 0, 500, 3000, 9000]).min(BYTES_MAX - self.bytes);
        self.bytes += n;
        let bytes = self.next(id, n);
        match self.draw.below(9) {
            0 => {
                let sent = cx.send_to(id, &bytes);
                self.note(id, sent, n);
            }
            1 => {
                let (id, bytes) = (cx.id(), self.next(cx.id(), n));
                let sent = cx.send(&bytes);
                self.note(id, sent, n);
            }
            2 => {
                let sent = cx.send_bytes_to(id, bytes.into());
                self.note(id, sent, n);
            }
            3 => {
                let (id, bytes) = (cx.id(), self.next(cx.id(), n));
                let sent = cx.send_bytes(bytes.into());
                self.note(id, sent, n);
            }
            4 => {
                let before = cx.queued(id);
                let room = cx.config().queued_bytes_max.saturating_sub(before);
                match cx.try_send(id, bytes.into()) {
                    Ok(sent) => {
                        self.expect(sent.is_queued() && n <= room, || {
                            format!("{id}: {sent:?} of {n}, room for {room}")
                        });
                        self.note(id, sent, n);
                    }
                    Err(bytes) => self.expect(bytes.len() == n, || "other bytes were given back".into()),
                }
            }
            5 => {
                let before = cx.queued(id);
                cx.out_to(id).put_slice(&bytes);
                self.sent_somehow(cx, id, before, n);
            }
            6 => {
                let id = cx.id();
                let bytes = self.next(id, n);
                let before = cx.queued(id);
                cx.out().put_slice(&bytes);
                self.sent_somehow(cx, id, before, n);
            }
            way => {
                // Each receiver has its own numbers, so a broadcast to many is of nothing.
                let before = cx.queued(id);
                let on_slow =
                    if way == 7 { OnSlow::Skip } else { self.draw.one_of(&[OnSlow::Queue, OnSlow::Close]) };
                let dead = self.dead.back().copied().unwrap_or(ConnId::NONE);
                let told = cx.broadcast([dead, id], &Bytes::from(bytes), on_slow);
                self.expect(told.queued + told.skipped + told.closed == 2, || format!("{told:?} of two"));
                if told.queued == 1 {
                    self.expect(cx.queued(id) == before + n, || {
                        format!("{id}: broadcast of {n} behind {before}")
                    });
                    self.note(id, Sent::Accepted, n);
                } else if told.closed == 1 {
                    self.note(id, Sent::Full, n);
                }
            }
        }
    }

    /// It was sent in a way that does not say what came of it.
    fn sent_somehow(&mut self, cx: &Context, id: ConnId, before: usize, n: usize) {
        if n == 0 {
            return;
        }
        let sent = if cx.queued(id) == before + n {
            Sent::Accepted
        } else if self.conns.contains_key(&id) {
            Sent::Full
        } else {
            Sent::Closed
        };
        self.note(id, sent, n);
    }

    fn set_timer(&mut self, cx: &mut Context, id: ConnId) {
        let after = self.draw.one_of(&[
            millis(5),
            Duration::ZERO,
            Duration::from_nanos(1),
            millis(60),
            millis(700),
            Duration::MAX,
        ]);
        let key = self.next_key;
        let owner = if self.draw.once_in(3) { ConnId::NONE } else { id };
        let set =
            if owner == ConnId::NONE { cx.set_alarm(after, key) } else { cx.set_timer(owner, after, key) };
        match set {
            Ok(id) => {
                self.next_key += 1;
                let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
                let due = cx.now().as_nanos().saturating_add(after);
                let gone = owner != ConnId::NONE && cx.info(owner).is_none();
                self.expect(!gone, || format!("a timer was set for {owner}, which is gone"));
                self.timers.insert(key, Timing { id, owner, due });
            }
            Err(TimerError::Full { limit }) => {
                self.expect(limit == cx.config().timers_max, || format!("no timer beyond {limit}"));
            }
            Err(error) => {
                let open = cx.info(owner).is_some_and(|info| {
                    matches!(info.state, State::Open | State::HalfClosed | State::Finishing | State::Finished)
                });
                self.expect(!open, || format!("{error} for {owner}, which is open"));
            }
        }
    }

    fn cancel(&mut self, cx: &mut Context) {
        let count = self.timers.len();
        let Some(&key) = self.timers.keys().nth(self.draw.below(count)) else { return };
        let Some(timing) = self.timers.remove(&key) else { return };
        let closing = timing.owner != ConnId::NONE
            && cx
                .info(timing.owner)
                .is_none_or(|info| !matches!(info.state, State::Open | State::HalfClosed));
        let cancelled = cx.cancel(timing.id);
        self.expect(cancelled || closing, || format!("{timing:?} was set and could not be cancelled"));
        self.expect(!cx.cancel(timing.id), || format!("{timing:?} was cancelled twice"));
    }

    fn fired(&mut self, cx: &Context, owner: ConnId, key: u64) {
        let now = cx.now().as_nanos();
        match self.timers.remove(&key) {
            Some(timing) => self.expect(timing.owner == owner && now >= timing.due, || {
                format!("at {now} for {owner}: {timing:?}")
            }),
            None => self.wrong(format!("timer {key} of {owner} is not set, and fired")),
        }
    }

    fn connect(&mut self, cx: &mut Context) {
        let to: SocketAddr = self.draw.one_of(&[OTHER, SERVER, NOBODY, NOWHERE, NO_WAY]);
        let Ok(id) = cx.connect(to, self.next_key) else { return };
        let opened_at = cx.now().as_nanos();
        let known = Known { kind: Kind::Out, open: false, opened_at, accepted: 0, asked: Asked::default() };
        self.conns.insert(id, known);
        let mut header = vec![u8::try_from(self.who).unwrap_or(0)];
        header.extend_from_slice(&id.to_bits().to_be_bytes());
        if !cx.send_to(id, &header).is_queued() {
            self.close(cx, id, Close::Abort);
        }
    }

    fn listen(&mut self, cx: &mut Context) {
        if self.listeners.len() < 3 && self.draw.yes() {
            let ip = if self.who == 0 { SERVER.ip() } else { OTHER.ip() };
            // Some addresses are taken, and that is told.
            let port = self.next_port + self.draw.one_of(&[0, 0, 1]);
            self.next_port += 1;
            self.listeners.push(cx.listen(SocketAddr::new(ip, port)));
        } else if let Some(listener) = self.listeners.pop() {
            cx.close_listener(listener);
        }
    }

    /// Every call with the id of a connection that is gone says so, and changes nothing.
    fn call_the_dead(&mut self, cx: &mut Context) {
        let Some(&id) = self.dead.get(self.draw.below(self.dead.len())) else { return };
        // `closed` may be running for it.
        if id == cx.id() {
            return;
        }
        let listed = cx.connections().any(|info| info.id == id);
        let answers = [
            cx.send_to(id, b"x") == Sent::Closed,
            cx.send_bytes_to(id, Bytes::from_static(&[0; 4096])) == Sent::Closed,
            cx.try_send(id, Bytes::from_static(b"x")) == Err(Bytes::from_static(b"x")),
            cx.broadcast([id], &Bytes::from_static(b"x"), OnSlow::Close).skipped == 1,
            write!(cx.out_to(id), "x") == Sent::Closed,
            cx.queued(id) == 0,
            cx.info(id).is_none(),
            !listed,
            cx.set_timer(id, Duration::ZERO, 0) == Err(TimerError::Closed),
        ];
        self.expect(answers == [true; 9], || {
            format!("{id} is gone, and of the calls with it {answers:?} say so")
        });
        let open = cx.stats().open;
        cx.pause(id);
        cx.resume(id);
        cx.finish(id);
        cx.close(id, Close::Abort);
        self.expect(cx.stats().open == open && cx.info(id).is_none(), || format!("{id} is back"));
    }

    fn look(&mut self, cx: &Context, id: ConnId) {
        if let Some(info) = cx.info(id) {
            self.expect(info.id == id && info.queued == cx.queued(id), || format!("{id}: {info:?}"));
            let known = self.conns.contains_key(&id);
            self.expect(known || id == cx.id(), || format!("{id} is open, and was never told"));
        }
    }
}

impl Asked {
    fn note(&mut self, how: &Close) {
        match how {
            Close::Flush | Close::Linger => self.close = true,
            Close::Abort => self.abort = true,
            _ => self.fail = true,
        }
    }
}

impl Handler for Program {
    type Codec = Codec;
    type Session = Session;

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Codec, Session)> {
        let id = cx.id();
        let client = peer.addr.ip().and_then(client_of);
        let kind = match (peer.origin, client) {
            (Origin::Accepted(_), Some(client)) => Kind::Client(client),
            (Origin::Accepted(_), None) => Kind::In,
            _ => Kind::Out,
        };
        if kind == Kind::Out {
            let known = self.conns.get(&id).is_some_and(|known| !known.open);
            self.expect(known, || format!("{id} is connected, and nobody asked for it"));
        } else {
            let known = Known { kind, open: true, opened_at: 0, accepted: 0, asked: Asked::default() };
            let before = self.conns.insert(id, known);
            self.expect(before.is_none(), || format!("{id} is opened twice"));
        }
        if let Some(known) = self.conns.get_mut(&id) {
            known.open = true;
            known.opened_at = cx.now().as_nanos();
        }
        // Who is turned away, by a panic too, is not heard of again, unless it is us who connected and then panicked.
        let mut turned_away = Guard { program: self, id, ours: kind == Kind::Out, keep: false };
        let program = &mut *turned_away.program;
        let answer = program.answer(cx, id);
        let wanted = answer.is_ok() && (program.calm || !program.draw.once_in(30));
        turned_away.keep = wanted;
        drop(turned_away);
        let codec =
            if let Kind::Client(_) = kind { Either::A(Lines::new()) } else { Either::B(Either::B(Raw)) };
        let session = Session { frames: 0, header: Vec::new(), numbers: 0, urgents: 0, prefixed: false };
        wanted.then_some((codec, session))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        let id = conn.id;
        let frame = match frame {
            Either::A(frame) | Either::B(Either::A(frame) | Either::B(frame)) => frame,
        };
        match self.conns[&id].kind {
            Kind::Client(client) => {
                self.model.borrow_mut().frame_came(client, conn.session.frames, frame);
                conn.session.frames += 1;
                if frame.ends_with(b" turn") {
                    conn.session.prefixed = !conn.session.prefixed;
                    *conn.codec = if conn.session.prefixed {
                        Either::B(Either::A(LengthPrefixed::new()))
                    } else {
                        Either::A(Lines::new())
                    };
                }
            }
            Kind::Out | Kind::In => self.numbers_came(id, conn.session, frame),
        }
        self.answer(cx, id)
    }

    fn writable(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        let low = cx.config().queued_bytes_low;
        self.expect(cx.queued(conn.id) <= low, || format!("{} is writable above the low mark", conn.id));
        self.answer(cx, conn.id)
    }

    fn urgent(&mut self, cx: &mut Context, conn: Conn<'_, Self>, byte: u8) -> Result {
        conn.session.urgents += 1;
        let Kind::Client(client) = self.conns[&conn.id].kind else {
            self.wrong("an urgent byte of a program");
            return Ok(());
        };
        let sent = self.model.borrow().clients[client].urgents;
        self.expect(byte == b'!' && conn.session.urgents <= sent, || {
            format!("urgent {byte}, {sent} were sent")
        });
        self.answer(cx, conn.id)
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.ended(conn.id, conn.session);
        if self.calm || self.draw.yes() {
            self.close(cx, conn.id, Close::Flush);
        }
        self.answer(cx, conn.id)
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, key: u64) -> Result {
        self.fired(cx, conn.id, key);
        self.answer(cx, conn.id)
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        if key == CALM {
            return self.calm_down(cx);
        }
        self.fired(cx, ConnId::NONE, key);
        self.answer(cx, ConnId::NONE).ok();
    }

    fn refused(&mut self, cx: &mut Context, conn: Conn<'_, Self>, why: &CloseReason) {
        let fits = matches!(
            why.kind(),
            CloseKind::Truncated | CloseKind::Frame | CloseKind::RecvLimit | CloseKind::TimedOut
        );
        self.expect(fits, || format!("refused because of {why:?}"));
        self.answer_nothing(cx, conn.id);
    }

    fn draining(&mut self, cx: &mut Context) {
        self.stopping = true;
        self.answer_nothing(cx, ConnId::NONE);
    }

    fn drained(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> bool {
        self.stopping = true;
        self.answer_nothing(cx, conn.id);
        self.calm || !self.draw.once_in(4)
    }

    fn closed(&mut self, cx: &mut Context, session: Session, why: &CloseReason) {
        let id = cx.id();
        self.closed += 1;
        if why.kind() == CloseKind::Ended {
            self.ended(id, &session);
        }
        let dead = cx.send(b"x") == Sent::Closed && cx.send_to(id, b"x") == Sent::Closed;
        self.expect(dead, || format!("{id} is closed and can be sent to"));
        match self.bury(id) {
            Some(known) => {
                self.expect(known.open, || format!("{id} is closed and was not open"));
                self.judge(cx, &known, why);
                if let Kind::Client(client) = known.kind {
                    self.model.borrow_mut().clients[client].reason = Some(why.kind());
                }
            }
            None => self.wrong(format!("{id} is closed and was never opened")),
        }
        self.answer_nothing(cx, ConnId::NONE);
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, why: &CloseReason) {
        let id = cx.id();
        if matches!(why, CloseReason::Panicked) {
            let panicked = self.panicked.iter().position(|&one| one == id);
            self.expect(panicked.is_some(), || format!("{id}: {why:?}, and `opened` did not panic"));
            self.panicked.retain(|&one| one != id);
            return self.answer_nothing(cx, ConnId::NONE);
        }
        let known = self.bury(id);
        self.expect(known.as_ref().is_some_and(|known| !known.open), || format!("{id}: {why:?}, {known:?}"));
        self.answer_nothing(cx, ConnId::NONE);
    }

    fn listen_failed(&mut self, cx: &mut Context, listener: ListenerId, _: &io::Error) {
        self.listeners.retain(|&one| one != listener);
        self.answer_nothing(cx, ConnId::NONE);
    }
}

impl Program {
    /// As [`answer`](Program::answer), where there is nothing to answer.
    fn answer_nothing(&mut self, cx: &mut Context, id: ConnId) {
        for _ in 0..self.draw.below(3) {
            self.act(cx);
        }
        if !self.calm && cx.config().isolate_panics && self.draw.once_in(60) {
            self.panics += 1;
            if let Some(known) = self.conns.get_mut(&id) {
                known.asked.panic = true;
            }
            std::panic::resume_unwind(Box::new("as the program wants it"));
        }
    }
}

/// Buries a connection that is not wanted, also when its callback panics.
struct Guard<'p> {
    program: &'p mut Program,
    id: ConnId,
    ours: bool,
    keep: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.keep {
            self.program.bury(self.id);
            if self.ours && std::thread::panicking() {
                self.program.panicked.push(self.id);
            }
        }
    }
}
