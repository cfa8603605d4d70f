//! What was sent, received, set and told, and what follows from it.
//!
//! Every stream has a source: a client, or a connection of a program. Its first byte names the source, so that
//! whoever receives it knows what must come, wherever the connection was made. What is checked:
//!
//! * Who receives a stream receives its beginning, byte by byte, and each stream has one receiver.
//! * Who is told its orderly end has received all of it.
//! * A connection that was told closed, or that the program has closed, is told nothing more but `closed`; nothing
//!   can be sent to it.
//! * What the program is told as the reason of a close is something that has happened.
//! * A timer that fires was set, and not cancelled, and is not early; it fires for its own connection, once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use switchboard::{CloseReason, Config, ConnId, Instant, TimerId, Wait};

/// The most streams in a run: their first byte is their name.
const SOURCES_MAX: usize = 256;

/// A connection, by the program that it is of.
pub type Name = (usize, ConnId);

/// All that is known in a run.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What does not hold. A panic alone would say it, but a reactor may be told to survive panics.
    wrong: RefCell<Option<String>>,
    /// Programs that drain.
    draining: BTreeSet<usize>,
    sources: Vec<Source>,
    conns: BTreeMap<Name, Conn>,
    /// By the key that is given with them. Keys are never used again.
    timers: BTreeMap<u64, Timer>,
    keys: u64,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Source {
    sent: usize,
    received: bool,
}

/// One connection of a program.
#[derive(Debug, Default)]
struct Conn {
    source: Option<usize>,
    from: Option<usize>,
    received: usize,
    opened: bool,
    paused: bool,
    done: Done,
    gone: bool,
}

/// What a program has done to a connection.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each may or may not have happened")]
struct Done {
    closed: bool,
    aborted: bool,
    failed: bool,
    panicked: bool,
    cut: bool,
}

/// What a program does to a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// It closes it.
    Close,
    /// It resets it.
    Abort,
    /// It answers with an error.
    Fail,
    /// It panics.
    Panic,
    /// It lets its stream be cut in an impolite way.
    Cut,
}

/// A timer or an alarm.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    /// Its name.
    pub id: TimerId,
    /// Whose it is, with no connection for an alarm.
    pub owner: Name,
    /// When it fires, at the earliest.
    pub due: Instant,
}

/// The byte at `at` of the stream of `source`.
fn byte(source: usize, at: usize) -> u8 {
    let name = u8::try_from(source).expect("there are no more");
    if at == 0 { name } else { u8::try_from(at % 251).expect("less").wrapping_add(name.wrapping_mul(57)) }
}

impl Ledger {
    /// Remembers that something does not hold, and panics with it.
    pub fn ensure(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let what = what();
            self.wrong.borrow_mut().get_or_insert_with(|| what.clone());
            panic!("{what}");
        }
    }

    /// A stream more. One too many is not looked at.
    pub fn add_source(&mut self) -> Option<usize> {
        (self.sources.len() < SOURCES_MAX).then(|| {
            self.sources.push(Source::default());
            self.sources.len() - 1
        })
    }

    /// The next `n` bytes of a stream.
    pub fn next(&self, source: usize, n: usize) -> Vec<u8> {
        let from = self.sources[source].sent;
        (from..from + n).map(|at| byte(source, at)).collect()
    }

    /// So many of them were sent.
    pub fn sent(&mut self, source: usize, n: usize) {
        self.sources[source].sent += n;
    }

    /// Checks `bytes`, which were received behind `before` bytes of the stream of `from`; says whose it is.
    fn check(&mut self, from: Option<usize>, before: usize, bytes: &[u8]) -> Option<usize> {
        let from = match (from, bytes.first()) {
            (Some(from), _) => from,
            (None, None) => return None,
            (None, Some(&name)) => {
                let known = self.sources.get(usize::from(name));
                self.ensure(known.is_some(), || format!("there is no stream {name}"));
                self.ensure(known.is_some_and(|one| !one.received), || format!("two receive stream {name}"));
                self.sources[usize::from(name)].received = true;
                name.into()
            }
        };
        for (at, &got) in (before..).zip(bytes) {
            let wanted = byte(from, at);
            self.ensure(got == wanted, || {
                format!(
                    "byte {at} of stream {from} is {got} and not {wanted}, in {} behind {before}",
                    bytes.len()
                )
            });
        }
        let (end, sent) = (before + bytes.len(), self.sources[from].sent);
        self.ensure(end <= sent, || format!("{end} bytes of stream {from} were received, and {sent} sent"));
        Some(from)
    }

    /// A client has received `bytes` in all, the first `before` of them earlier, from `from`.
    pub fn client_received(&mut self, from: Option<usize>, before: usize, bytes: &[u8]) -> Option<usize> {
        self.check(from, before, &bytes[before..])
    }

    /// Who has received so much of the stream of `from` is told that it has ended.
    pub fn ended(&self, from: Option<usize>, received: usize) {
        let sent = from.map_or(0, |from| self.sources[from].sent);
        self.ensure(received == sent, || {
            format!("stream {from:?} ended after {received} bytes, and {sent} were sent")
        });
    }

    /// The stream of a connection, from now on.
    pub fn source_of(&mut self, name: Name) -> Option<usize> {
        let known = self.conns.get(&name).and_then(|conn| conn.source);
        if known.is_some() {
            return known;
        }
        let source = self.add_source();
        self.conns.entry(name).or_default().source = source;
        source
    }

    /// `what` can be sent to the connection, so it is there.
    pub fn accepts(&self, name: Name) {
        let conn = &self.conns[&name];
        self.ensure(!conn.gone, || format!("{name:?} is gone, and can be sent to"));
        let done = conn.done;
        self.ensure(!done.closed && !done.aborted, || format!("{name:?} is closing, and can be sent to"));
    }

    /// The program does something to a connection.
    pub fn did(&mut self, name: Name, deed: Deed) {
        let done = &mut self.conns.entry(name).or_default().done;
        match deed {
            Deed::Close => done.closed = true,
            Deed::Abort => done.aborted = true,
            Deed::Fail => done.failed = true,
            Deed::Panic => done.panicked = true,
            Deed::Cut => done.cut = true,
        }
    }

    /// A connection is told `opened`, and wanted or not.
    pub fn opened(&mut self, name: Name) {
        let fresh = self.conns.get(&name).is_none_or(|conn| !conn.opened && !conn.gone);
        self.ensure(fresh, || format!("{name:?} opened again"));
        self.conns.entry(name).or_default().opened = true;
    }

    /// A connection was told `opened` and turned away: nothing is heard of it.
    pub fn turned_away(&mut self, name: Name) {
        self.gone(name);
    }

    /// A connection is told something between `opened` and `closed`.
    pub fn told(&self, name: Name, what: &str) {
        let conn = self.conns.get(&name);
        let open = conn.is_some_and(|conn| conn.opened && !conn.gone);
        self.ensure(open, || format!("{what} for {name:?}, which is not open"));
        let done = conn.map_or_else(Done::default, |conn| conn.done);
        let over = done.closed || done.aborted || done.failed || done.panicked;
        self.ensure(!over, || format!("{what} for {name:?}, after {done:?}"));
    }

    /// A connection is not to be read for now, or again.
    pub fn pause(&mut self, name: Name, paused: bool) {
        if let Some(conn) = self.conns.get_mut(&name) {
            conn.paused = paused;
        }
    }

    /// A frame is delivered.
    pub fn received(&mut self, name: Name, bytes: &[u8]) {
        let paused = self.conns.get(&name).is_some_and(|conn| conn.paused);
        self.ensure(!paused, || format!("{name:?} is paused, and receives {} bytes", bytes.len()));
        let (from, before) = self.progress(name);
        let from = self.check(from, before, bytes);
        let conn = self.conns.get_mut(&name).expect("it was told before");
        conn.from = from;
        conn.received += bytes.len();
    }

    /// From whom a connection has received, and how much.
    fn progress(&self, name: Name) -> (Option<usize>, usize) {
        self.conns.get(&name).map_or((None, 0), |conn| (conn.from, conn.received))
    }

    /// The peer of a connection has ended its side.
    pub fn half_closed(&self, name: Name) {
        let (from, received) = self.progress(name);
        if from.is_some() {
            self.ended(from, received);
        }
    }

    /// A connection is told `closed`.
    pub fn closed(&mut self, name: Name, why: &CloseReason, config: &Config) {
        let conn = self.conns.get(&name);
        let open = conn.is_some_and(|conn| conn.opened && !conn.gone);
        self.ensure(open, || format!("{name:?} closed, and was not open"));
        let done = conn.map_or_else(Done::default, |conn| conn.done);
        match why {
            CloseReason::Ended if !done.closed => self.half_closed(name),
            CloseReason::Closed => self
                .ensure(done.closed || self.draining.contains(&name.0), || format!("nobody closed {name:?}")),
            CloseReason::Aborted => self.ensure(done.aborted, || format!("nobody aborted {name:?}")),
            CloseReason::Failed(_) => self.ensure(done.failed, || format!("nothing failed for {name:?}")),
            CloseReason::Io(error) => {
                let own = matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock);
                self.ensure(!own, || format!("{name:?} closed, {why}"));
            }
            CloseReason::Panicked => {
                self.ensure(config.isolate_panics, || format!("{name:?} survived a panic"));
            }
            CloseReason::Frame(_) | CloseReason::RecvLimit { .. } => {
                self.ensure(done.cut, || format!("no frame of {name:?} was bad: {why}"));
            }
            CloseReason::Truncated { bytes } => {
                let (from, received) = self.progress(name);
                let sent = from.map(|from| self.sources[from].sent);
                self.ensure(sent.is_none_or(|sent| received + bytes <= sent), || {
                    format!("{why}, {received} of {sent:?}")
                });
            }
            CloseReason::TimedOut(wait) => {
                let set = match wait {
                    Wait::FirstFrame => config.first_frame_timeout.is_some(),
                    Wait::Idle => config.idle_timeout.is_some(),
                    Wait::Frame => config.frame_timeout.is_some(),
                    Wait::Write => true,
                    _ => false,
                };
                self.ensure(set, || format!("{why}, and there is no such timeout"));
            }
            _ => {}
        }
        self.gone(name);
    }

    /// A program is told that its reactor drains.
    pub fn draining(&mut self, program: usize) {
        self.draining.insert(program);
    }

    /// A connection did not come about.
    pub fn connect_failed(&mut self, name: Name) {
        let fresh = self.conns.get(&name).is_some_and(|conn| !conn.opened && !conn.gone);
        self.ensure(fresh, || format!("{name:?} was no connect under way, and failed"));
        self.gone(name);
    }

    fn gone(&mut self, name: Name) {
        self.conns.entry(name).or_default().gone = true;
        self.timers.retain(|_, timer| timer.owner != name);
    }

    /// Connections that are gone: any of them, to be used once more.
    pub fn any_gone(&self, program: usize) -> Option<ConnId> {
        self.conns.iter().find(|((of, _), conn)| *of == program && conn.gone).map(|((_, id), _)| *id)
    }

    /// A key for the next timer.
    pub fn next_key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }

    /// A timer was set.
    pub fn timer_set(&mut self, key: u64, id: TimerId, owner: Name, due: Instant) {
        self.timers.insert(key, Timer { id, owner, due });
    }

    /// A timer of a program that was neither fired nor cancelled nor outlived its connection.
    pub fn any_timer(&self, program: usize, nth: usize) -> Option<(u64, Timer)> {
        let mut own = self.timers.iter().filter(|(_, timer)| timer.owner.0 == program);
        own.nth(nth).map(|(&key, &timer)| (key, timer))
    }

    /// A timer is no more.
    pub fn timer_cancelled(&mut self, key: u64) {
        self.timers.remove(&key);
    }

    /// A timer fires.
    pub fn timer_fired(&mut self, key: u64, owner: Name, now: Instant) {
        let timer = self.timers.remove(&key);
        self.ensure(timer.is_some(), || format!("timer {key} of {owner:?} fires, and is not set"));
        let Some(timer) = timer else { return };
        self.ensure(timer.owner == owner, || format!("timer {key} of {:?} fires for {owner:?}", timer.owner));
        self.ensure(now >= timer.due, || format!("timer {key} fires at {now:?}, is due at {:?}", timer.due));
    }

    /// What must hold when the run is over: every connection of the first program that opened was told closed, but
    /// for those whose `opened` may have panicked behind our back.
    pub fn check_end(&self, isolates_panics: bool) {
        if let Some(wrong) = &*self.wrong.borrow() {
            panic!("{wrong}");
        }
        for (name, conn) in self.conns.iter().filter(|((program, _), _)| *program == 0) {
            self.ensure(conn.gone || !conn.opened || isolates_panics, || {
                format!("{name:?} was never told closed")
            });
        }
    }
}
