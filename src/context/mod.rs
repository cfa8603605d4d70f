//! What a callback may do: send, close, pause, set timers, listen, stop.
//!
//! It knows the table of all connections and the output of the one being served. It knows no socket, no
//! session and no codec, and nothing here calls the system or a handler: everything is remembered and done
//! by the loop afterwards. That is why a handler can hold its session and send to any connection in one
//! expression, and why callbacks never nest.
//!
//! ```text
//!  send ──▶ out (the connection being served) ──┐ one send after the batch
//!  send_to ──▶ send queue of the other ─────────┴─▶ socket
//! ```

mod close;
mod datagram;
mod flow;
mod info;
mod lending;
mod options;
mod out;
mod send;
mod source;

pub(crate) use datagram::{Aside, Outbox, Outboxes};
pub use info::ConnInfo;
pub(crate) use lending::Lending;
pub use out::Out;
pub use send::{Broadcast, OnSlow, Sent};
pub(crate) use source::Sources;

use std::fmt;
use std::time::Duration;

use crate::config::{Config, Listen};
use crate::conn::state::State;
use crate::connect::Connect;
use crate::error::{BoxError, Close};
use crate::id::{ConnId, ListenerId, TimerId};
use crate::instant::Instant;
use crate::options::Options;
use crate::stats::Stats;
use crate::table::Table;
use crate::table::chores::Chores;
use crate::table::slot::{Odd, Slot};

/// How the reactor stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Stop {
    /// At the end of this turn; every connection is reset.
    Now,
    /// Stop accepting, close connections as soon as nothing is pending for them, reset the rest after
    /// `Config::drain_timeout`. Pending is what is in the reactor's buffers: input that arrived and output that
    /// did not leave. What else a handler owes its peers it says in [`Handler::drained`](crate::Handler::drained).
    Drain,
}

/// Why a timer was not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TimerError {
    /// There are as many as `Config::timers_max` allows.
    Full {
        /// That limit.
        limit: usize,
    },
    /// The connection is gone, or closing: nothing is called for it any more.
    Closed,
    /// The connection is not open yet: set it in `Handler::opened`.
    NotOpen,
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimerError::Full { limit } => write!(f, "timer beyond the limit of {limit} (timers_max)"),
            TimerError::Closed => f.write_str("timer for a connection that is gone"),
            TimerError::NotOpen => f.write_str("timer for a connection that is not open yet"),
        }
    }
}

impl std::error::Error for TimerError {}

/// Why a connect was not even begun: there are as many connections as there may be, which are none any more
/// once the reactor stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectError {
    limit: usize,
}

impl ConnectError {
    pub(crate) const STOPS: ConnectError = ConnectError { limit: 0 };
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.limit == 0 {
            return f.write_str("no more connects: the reactor stops");
        }
        write!(f, "connection beyond the limit of {} (connections_max)", self.limit)
    }
}

impl std::error::Error for ConnectError {}

/// The reactor as callbacks see it.
///
/// One value, lent to every callback. Calls take effect after the callback has returned; none of them blocks
/// or fails for reasons of the network.
pub struct Context {
    pub(crate) table: Table,
    pub(crate) config: Config,
    pub(crate) stats: Stats,
    pub(crate) now: Instant,
    /// The connection being served.
    pub(crate) current: ConnId,
    /// What was sent to it in this batch.
    pub(crate) out: Vec<u8>,
    /// What was sent out of the input in this callback: the batch stops, and it is sent before the input changes.
    pub(crate) lending: Lending,
    /// Below this length `out` may grow without a closer look; zero, so that even an empty message gets one,
    /// when nothing may be sent.
    pub(crate) out_room: usize,
    /// Whether the batch of frames being delivered must stop after this callback.
    pub(crate) halt: bool,
    /// Timers set in this callback, whose time counts from its end.
    pub(crate) fresh: Vec<(TimerId, Duration)>,
    pub(crate) wishes: Wishes,
    pub(crate) datagrams: Outboxes,
    pub(crate) sources: Sources,
    /// Whether what waits on the flush list is so much that the end of the turn is too late for it.
    pub(crate) pressing: bool,
    /// How many more frames the connection being served gets in this turn.
    pub(crate) frames_left: usize,
    /// How many bytes of input the codec wants to see that ended the batch of frames being delivered.
    pub(crate) wanted: usize,
    /// What ended the batch of frames being delivered, if it was not its end.
    pub(crate) fault: Option<Fault>,
    /// The most connections, once the network was asked for its limit.
    pub(crate) connections_max: usize,
}

/// What the loop is to do with sockets on behalf of callbacks.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) listen: Vec<(ListenerId, Listen)>,
    pub(crate) unlisten: Vec<ListenerId>,
    pub(crate) connect: Vec<ConnectWish>,
    pub(crate) options: Vec<(ConnId, Options)>,
    pub(crate) stop: Option<Stop>,
    pub(crate) listeners: u32,
}

/// Why a connection is to be closed after a batch of frames.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The handler says so.
    Close(Close),
    /// The input is no frame.
    Frame(BoxError),
}

/// A connect to begin.
#[derive(Debug)]
pub(crate) struct ConnectWish {
    pub(crate) id: ConnId,
    pub(crate) connect: Connect,
    pub(crate) key: u64,
}

impl Wishes {
    pub(crate) fn any(&self) -> bool {
        self.stop.is_some()
            || !self.listen.is_empty()
            || !self.unlisten.is_empty()
            || !self.connect.is_empty()
            || !self.options.is_empty()
    }

    /// The id of the next listener. Ids are never reused.
    pub(crate) fn next_listener(&mut self) -> ListenerId {
        self.listeners += 1;
        ListenerId(self.listeners - 1)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.current)
            .field("now", &self.now)
            .field("open", &self.table.open)
            .finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new(config: Config, now: Instant) -> Context {
        Context {
            table: Table::new(&config),
            config,
            stats: Stats::default(),
            now,
            current: ConnId::NONE,
            out: Vec::new(),
            lending: Lending::default(),
            out_room: 0,
            halt: false,
            fresh: Vec::new(),
            wishes: Wishes::default(),
            datagrams: Outboxes::default(),
            sources: Sources::default(),
            pressing: false,
            frames_left: 0,
            wanted: 0,
            fault: None,
            connections_max: usize::MAX,
        }
    }

    /// Begins serving a connection that is open and has nothing odd about it.
    #[inline]
    pub(crate) fn begin_plain(&mut self, id: ConnId) {
        self.current = id;
        self.out_room = self.config.queued_bytes_high + 1;
        self.halt = false;
        self.frames_left = self.config.frames_per_turn;
    }

    /// Begins serving a connection of any kind.
    pub(crate) fn begin(&mut self, id: ConnId) {
        let slot = &self.table.slots[id.slot()];
        self.current = id;
        self.out_room =
            if slot.accepts_output() && slot.queue.is_none() { self.config.queued_bytes_high + 1 } else { 0 };
        self.halt = false;
    }

    /// Begins the last callback of a connection, whose socket is gone.
    #[inline]
    pub(crate) fn begin_closed(&mut self, id: ConnId) {
        self.current = id;
        self.out_room = 0;
        self.halt = false;
    }

    /// Ends serving a connection: from now on nothing is sent to the one being served, because there is none.
    #[inline]
    pub(crate) fn leave(&mut self) {
        self.current = ConnId::NONE;
        self.out_room = 0;
    }

    /// From here on, what all connections hold together pauses reading.
    #[inline]
    pub(crate) fn memory_high(&self) -> usize {
        self.config.memory_bytes_max - self.config.memory_bytes_max / 4
    }

    /// The connection whose callback is running; outside of one, [`ConnId::NONE`].
    #[inline]
    pub fn id(&self) -> ConnId {
        self.current
    }

    /// When this turn began: the time after the poll, or after the last callback that was slower than
    /// `Config::slow_callback`. It does not advance during a callback.
    #[inline]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Counters since the reactor was made.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many bytes all send queues and undecoded input occupy now, their spare room included: what
    /// `Config::memory_bytes_max` limits. Zero while every connection is idle between two frames.
    pub fn held_bytes(&self) -> usize {
        self.table.held()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    // ---- Timers ----

    /// Sets a timer of a connection: `Handler::timer` is called with `key` once `after` has passed, counted
    /// from the end of this callback. Never early; late by less than a millisecond plus the turn under way.
    /// Zero runs in the next turn, `Duration::MAX` never. It does not fire once the connection closes, and is
    /// cancelled when that is over.
    ///
    /// The key is the program's own: there may be several timers with one key, and one that repeats sets itself
    /// again when it is called. Here each connection is asked every ten seconds whether it is still there:
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard::codec::Lines;
    /// use switchboard::{Conn, Context, Frame, Handler, Peer, Result};
    ///
    /// const PING: u64 = 1;
    /// const EVERY: Duration = Duration::from_secs(10);
    ///
    /// struct Pinging;
    ///
    /// impl Handler for Pinging {
    ///     type Codec = Lines;
    ///     type Session = bool; // whether it has answered the last one
    ///
    ///     fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, bool)> {
    ///         cx.set_timer(cx.id(), EVERY, PING).ok()?; // no timer left: turned away
    ///         Some((Lines::new(), true))
    ///     }
    ///
    ///     fn received(&mut self, _: &mut Context, conn: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
    ///         *conn.session = true;
    ///         Ok(())
    ///     }
    ///
    ///     fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: u64) -> Result {
    ///         if !std::mem::take(conn.session) {
    ///             return Err(switchboard::Close::msg("no answer to a ping"));
    ///         }
    ///         cx.send(b"ping\n");
    ///         cx.set_timer(conn.id, EVERY, PING)?;
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn set_timer(&mut self, target: ConnId, after: Duration, key: u64) -> Result<TimerId, TimerError> {
        match self.table.get(target) {
            Some(slot) if slot.state == State::Connecting => Err(TimerError::NotOpen),
            Some(slot) if !slot.state.is_closing() => self.add_timer(target, after, key),
            Some(_) | None => Err(TimerError::Closed),
        }
    }

    /// Sets a timer of the reactor: `Handler::alarm` is called with `key` once `after` has passed.
    pub fn set_alarm(&mut self, after: Duration, key: u64) -> Result<TimerId, TimerError> {
        self.add_timer(ConnId::NONE, after, key)
    }

    fn add_timer(&mut self, owner: ConnId, after: Duration, key: u64) -> Result<TimerId, TimerError> {
        let id = self
            .table
            .timers
            .set(owner, key, self.now, self.now + after)
            .map_err(|_| TimerError::Full { limit: self.config.timers_max })?;
        if after < Duration::MAX {
            self.fresh.push((id, after));
        }
        Ok(id)
    }

    /// Cancels a timer; whether it was still set. A cancelled timer never fires, even if it was due already.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.table.timers.cancel(timer)
    }

    // ---- The reactor ----

    /// Opens a listener after the callback. Should that fail, `Handler::listen_failed` is called with the id.
    pub fn listen(&mut self, listen: impl Into<Listen>) -> ListenerId {
        let id = self.wishes.next_listener();
        self.wishes.listen.push((id, listen.into()));
        self.table.chores.set(Chores::WISHES);
        id
    }

    /// Connects to `to` after the callback: an address, or a [`Connect`] with options, several addresses or a name.
    ///
    /// The id is good at once: what is sent to it waits in its queue until it is connected. Then
    /// `Handler::opened` is called, with `key` in `Peer::key`. Should it fail, be closed before, or take
    /// longer than [`Connect::timeout`], `Handler::connect_failed` is called instead, exactly once, and
    /// what was queued is dropped. [`Backoff`](crate::Backoff) says when to try again, which is
    /// [`Connect::after`]. Fails at once only at the limit of connections, and in the last callbacks of a reactor that
    /// stops.
    ///
    /// A proxy is two connections that know each other's names. The id answered here is the one that `opened`
    /// finds in `cx.id()`:
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::net::SocketAddr;
    /// use switchboard::codec::Raw;
    /// use switchboard::{Conn, ConnId, Context, Frame, Handler, Peer, Result};
    ///
    /// struct Proxy {
    ///     upstream: SocketAddr,
    ///     clients: BTreeMap<ConnId, ConnId>, // by the connection opened for them
    /// }
    ///
    /// impl Handler for Proxy {
    ///     type Codec = Raw;
    ///     type Session = ConnId; // the other end
    ///
    ///     fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ConnId)> {
    ///         let id = cx.id();
    ///         cx.auto_pause(id, false); // what waits for it came from the other side
    ///         if let Some(client) = self.clients.remove(&id) {
    ///             return Some((Raw::new(), client));
    ///         }
    ///         let upstream = cx.connect(self.upstream, 0).ok()?; // too many connections: turned away
    ///         self.clients.insert(upstream, id);
    ///         Some((Raw::new(), upstream))
    ///     }
    ///
    ///     fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
    ///         cx.send_to(*conn.session, bytes);
    ///         Ok(())
    ///     }
    ///
    ///     // `half_closed`, `closed` and `connect_failed` pass the end on to the other side.
    /// }
    /// ```
    pub fn connect(&mut self, to: impl Into<Connect>, key: u64) -> Result<ConnId, ConnectError> {
        let connect = to.into();
        let limit = self.connections_max;
        if self.table.open >= limit {
            return Err(ConnectError { limit });
        }
        let id = self
            .table
            .insert(connect.peer(), State::Connecting, self.now)
            .ok_or(ConnectError { limit: self.table.open })?;
        let timeout = connect.timeout.unwrap_or(self.config.connect_timeout);
        self.table.slots[id.slot()].since = self.now + timeout;
        self.stats.open = self.table.open;
        self.wishes.connect.push(ConnectWish { id, connect, key });
        self.table.chores.set(Chores::WISHES);
        Ok(id)
    }

    /// Closes a listener after the callback. What waits in its backlog is accepted first.
    pub fn close_listener(&mut self, listener: ListenerId) {
        self.wishes.unlisten.push(listener);
        self.table.chores.set(Chores::WISHES);
    }

    /// Makes `run` return: at the end of this turn, or after a drain. A second call can only hasten it.
    pub fn stop(&mut self, stop: Stop) {
        if self.wishes.stop != Some(Stop::Now) {
            self.wishes.stop = Some(stop);
            self.table.chores.set(Chores::WISHES);
        }
    }

    // ---- Looking ----

    /// What is known of a connection; `None` once it is gone.
    pub fn info(&self, target: ConnId) -> Option<ConnInfo> {
        self.table.get(target).map(|slot| self.info_of(slot))
    }

    /// All connections, those still draining or lingering included, in no particular order. Allocates nothing.
    pub fn connections(&self) -> impl Iterator<Item = ConnInfo> + '_ {
        self.table.slots.iter().filter(|slot| slot.state != State::Closed).map(|slot| self.info_of(slot))
    }

    fn info_of(&self, slot: &Slot) -> ConnInfo {
        ConnInfo {
            id: slot.id,
            state: slot.state,
            peer: slot.peer.clone(),
            queued: self.queued(slot.id),
            received: slot.received,
            sent: slot.sent,
            paused: slot.odd.any(Odd::HELD_BACK),
            idle_for: self.now.since(slot.last_activity),
            open_for: self.now.since(slot.opened_at),
        }
    }
}

#[cfg(test)]
mod tests;
