//! The simulated world: a clock, hosts, sockets, and what is under way between them.
//!
//! It knows what happens next and hands it out in order of time. What a segment or a call does is said in `tcp`
//! and `calls`; what programs do with their sockets is theirs.
//!
//! ```text
//!  heap of events ─▶ segment arrives, connect arrives, actor's turn, … ─▶ ready list of a host ─▶ its poll
//!  (time, number)
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::SimNet;
use super::names::Names;
use super::pipe::Pipes;
use super::socket::{BUFFER, NOBODY, Owner, Phase, Sock, SockId, WAKER};
use super::udp::Ports;
use super::unix::Name;
use crate::addr::{Addr, UnixAddr};
use crate::id::ConnId;
use crate::net::{Token, Wake};
use crate::sim::faults::{Fault, Faults};
use crate::sim::tape::Tape;
use crate::sim::trace::Trace;

/// What small buffers hold.
const SMALL: [usize; 8] = [1, 2, 3, 7, 16, 64, 300, 4096];

/// Nanoseconds of a millisecond.
pub(crate) const MILLI: u64 = 1_000_000;

/// What an event does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Event {
    /// Bytes, and the end behind them, of this socket arrive at the other end.
    Segment(SockId),
    /// The end of this socket's side arrives.
    Fin(SockId),
    /// A reset by this socket arrives; so many of its bytes do before.
    Reset(SockId, usize),
    /// The attempt of this socket to connect arrives.
    Syn(SockId),
    /// This socket takes bytes again.
    Space(SockId),
    /// The system gives this socket up, with the error of this number.
    Dies(SockId, usize),
    /// By the options of this socket its peer may be given up.
    Due(SockId),
    /// This actor acts.
    Act(u32),
    /// This datagram arrives.
    Datagram(u32),
    /// This socket takes datagrams again.
    Room(u32),
    /// The answer to this question about a name arrives.
    Answer(u32),
}

/// Somebody in the world besides the reactor whose poll moves it: a client, another reactor.
pub(crate) trait Actor {
    /// Something happened to its socket, or its time has come.
    fn act(&mut self, net: &SimNet);
}

/// One machine: what a poll belongs to.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) addr: IpAddr,
    /// Further addresses to connect from.
    pub(super) addrs: Vec<IpAddr>,
    /// Whose Unix names it shares: its own number, or that of a host on the same machine.
    pub(super) machine: usize,
    /// Sockets with an edge that was not reported.
    pub(super) ready: VecDeque<SockId>,
    /// Sockets in the poll.
    pub(super) registered: Vec<SockId>,
    /// Names of sockets that were closed.
    pub(super) gone: VecDeque<Token>,
    pub(super) waker: Arc<SimWaker>,
    /// The waker is on the ready list.
    pub(super) woken: bool,
    pub(super) descriptors: usize,
    pub(super) descriptors_max: usize,
    /// Local addresses of connections.
    pub(super) ports: BTreeMap<SocketAddr, Taken>,
    pub(super) ports_min: u16,
    pub(super) ports_max: u16,
    pub(super) next_port: u16,
    /// When its poll, which does not move the world, wants to return.
    pub(super) asleep: Option<u64>,
    /// The actor that runs it, if its poll does not move the world itself.
    pub(super) actor: Option<u32>,
}

/// A local address that connections have.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) count: u32,
    /// Their programs asked for it, so that they share it (`SO_REUSEADDR`).
    pub(super) said: bool,
}

/// Makes a poll return.
#[derive(Debug, Default)]
pub(super) struct SimWaker(pub(super) AtomicBool);

impl Wake for SimWaker {
    fn wake(&self) -> std::io::Result<()> {
        self.0.store(true, Ordering::Release);
        Ok(())
    }
}

/// What lies between a host and an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    /// Nothing that is sent there is ever answered.
    BlackHole,
    /// The network says that there is no way.
    Unreachable,
}

/// Everything but the programs.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) tape: Tape,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(super) socks: Vec<Sock>,
    pub(super) free: Vec<SockId>,
    pub(super) ports: Ports,
    pub(super) pipes: Pipes,
    pub(super) names: Names,
    pub(super) hosts: Vec<Host>,
    pub(super) listeners: BTreeMap<SocketAddr, SockId>,
    /// The names of Unix sockets, by machine.
    pub(super) unix_names: BTreeMap<(usize, UnixAddr), Name>,
    pub(super) routes: BTreeMap<SocketAddr, Route>,
    /// How large the buffers of new connections are: send, receive.
    pub(crate) buffers: (usize, usize),
    heap: BinaryHeap<Reverse<(u64, u64, Event)>>,
    numbered: u64,
    pub(super) actors: Vec<Option<Box<dyn Actor>>>,
    /// Whether a turn of an actor is under way in the heap.
    acts: Vec<bool>,
    /// When the next of its turns is that was asked for ahead of time.
    acts_at: Vec<u64>,
    /// Actors whose turn came while they were acting.
    pub(super) missed: Vec<u32>,
    /// Connections of the reactors that were reset before their end, by host.
    resets: BTreeSet<(usize, u64)>,
    /// After this time, or so many steps, a run has failed.
    pub(crate) until: u64,
    pub(crate) steps_max: u64,
    /// The first thing that happened and must not.
    violation: Option<String>,
}

impl World {
    pub(crate) fn new(tape: Tape) -> World {
        World {
            now: 0,
            tape,
            faults: Faults::none(),
            trace: Trace::default(),
            socks: Vec::new(),
            free: Vec::new(),
            ports: Ports::default(),
            pipes: Pipes::default(),
            names: Names::default(),
            hosts: Vec::new(),
            listeners: BTreeMap::new(),
            unix_names: BTreeMap::new(),
            routes: BTreeMap::new(),
            buffers: (BUFFER, BUFFER),
            heap: BinaryHeap::new(),
            numbered: 0,
            actors: Vec::new(),
            acts: Vec::new(),
            acts_at: Vec::new(),
            missed: Vec::new(),
            resets: BTreeSet::new(),
            until: u64::MAX,
            steps_max: u64::MAX,
            violation: None,
        }
    }

    /// Whether the run has taken longer than it may.
    pub(crate) fn is_overdue(&self) -> bool {
        self.now > self.until || self.trace.steps() > self.steps_max
    }

    /// Notes that something happened that must not.
    pub(crate) fn violated(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(what());
        }
    }

    /// What happened and must not.
    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// Whether a reset came for a connection before its end did.
    pub(crate) fn was_reset(&mut self, host: usize, id: ConnId) -> bool {
        self.resets.remove(&(host, id.to_bits()))
    }

    pub(super) fn note_reset(&mut self, host: usize, token: Token) {
        if let Some(id) = token.as_conn() {
            self.resets.insert((host, id.to_bits()));
        }
    }

    /// Takes the programs out of the world: they hold on to it, and it to them.
    pub(crate) fn take_actors(&mut self) -> Vec<Option<Box<dyn Actor>>> {
        std::mem::take(&mut self.actors)
    }

    /// Adds a host at the next address of 10.0.0.0/8.
    pub(crate) fn add_host(&mut self) -> usize {
        let number = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX) + 1;
        let addr = IpAddr::V4(Ipv4Addr::from(10 << 24 | number));
        self.hosts.push(Host {
            addr,
            addrs: Vec::new(),
            machine: self.hosts.len(),
            ready: VecDeque::new(),
            registered: Vec::new(),
            gone: VecDeque::new(),
            waker: Arc::default(),
            woken: false,
            descriptors: 0,
            descriptors_max: 1024,
            ports: BTreeMap::new(),
            ports_min: 32_768,
            ports_max: 60_999,
            next_port: 32_768,
            asleep: None,
            actor: None,
        });
        self.hosts.len() - 1
    }

    /// Adds an actor, which acts at once.
    pub(crate) fn add_actor(&mut self, actor: Box<dyn Actor>) -> u32 {
        self.add_actor_at(actor, 0)
    }

    /// Adds an actor, which acts after a time.
    pub(crate) fn add_actor_at(&mut self, actor: Box<dyn Actor>, after: u64) -> u32 {
        let number = u32::try_from(self.actors.len()).expect("there is no room for so many");
        self.actors.push(Some(actor));
        self.acts.push(false);
        self.acts_at.push(u64::MAX);
        self.act_in(number, after);
        number
    }

    pub(super) fn later(&mut self, after: u64, event: Event) {
        match event {
            Event::Segment(sock)
            | Event::Fin(sock)
            | Event::Reset(sock, _)
            | Event::Syn(sock)
            | Event::Space(sock)
            | Event::Dies(sock, _)
            | Event::Due(sock) => self.socks[sock as usize].events += 1,
            Event::Act(_) | Event::Datagram(_) | Event::Room(_) | Event::Answer(_) => {}
        }
        self.numbered += 1;
        self.heap.push(Reverse((self.now.saturating_add(after), self.numbered, event)));
    }

    /// Has an actor act after a time, at the latest.
    // One turn ahead of time is enough: who acts early asks again. Were each kept, every turn would bring another.
    pub(crate) fn act_in(&mut self, actor: u32, after: u64) {
        if after > 0 {
            let at = self.now.saturating_add(after);
            let next = &mut self.acts_at[actor as usize];
            if at < *next {
                *next = at;
                self.later(after, Event::Act(actor));
            }
        } else if !std::mem::replace(&mut self.acts[actor as usize], true) {
            self.later(0, Event::Act(actor));
        }
    }

    /// An actor has acted. If its turn came again meanwhile, it acts once more.
    pub(super) fn has_acted(&mut self, actor: u32) {
        let before = self.missed.len();
        self.missed.retain(|&missed| missed != actor);
        if self.missed.len() < before {
            self.act_in(actor, 1);
        }
    }

    /// When the next event is.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes the next event if it is not after `until`, and has it happen. An actor's turn is the caller's to
    /// have happen, because the world cannot be borrowed meanwhile.
    pub(super) fn step(&mut self, until: u64) -> Step {
        match self.heap.peek() {
            Some(Reverse((at, _, _))) if *at <= until => {}
            _ => return Step::Nothing,
        }
        let Some(Reverse((at, _, event))) = self.heap.pop() else { return Step::Nothing };
        self.now = self.now.max(at);
        match event {
            Event::Act(actor) => {
                self.trace.note(self.now, What::Act as u8, actor, 0);
                let asked = std::mem::take(&mut self.acts[actor as usize]);
                let next = &mut self.acts_at[actor as usize];
                let due = at >= *next;
                if due {
                    *next = u64::MAX;
                }
                // Otherwise it has acted since, or will before.
                return if asked || due { Step::Act(actor) } else { Step::Happened };
            }
            Event::Segment(sock) => self.segment(sock),
            Event::Fin(sock) => self.fin(sock),
            Event::Reset(sock, bytes) => self.reset_arrives(sock, bytes),
            Event::Syn(sock) => self.syn(sock),
            Event::Space(sock) => self.space(sock),
            Event::Dies(sock, error) => self.dies(sock, error),
            Event::Due(sock) => self.due(sock),
            Event::Datagram(packet) => self.datagram_arrives(packet),
            Event::Room(port) => self.room(port),
            Event::Answer(question) => self.answer_arrives(question),
        }
        if let Event::Segment(sock)
        | Event::Fin(sock)
        | Event::Reset(sock, _)
        | Event::Syn(sock)
        | Event::Space(sock)
        | Event::Dies(sock, _)
        | Event::Due(sock) = event
        {
            self.socks[sock as usize].events -= 1;
            self.reap(sock);
        }
        Step::Happened
    }

    /// Wakes hosts whose waker was used and that do not move the world themselves.
    pub(super) fn wake_hosts(&mut self) {
        for host in 0..self.hosts.len() {
            if let Some(actor) = self.hosts[host].actor {
                if self.hosts[host].waker.0.load(Ordering::Acquire) {
                    self.act_in(actor, 0);
                }
            }
        }
    }

    /// Puts the waker, if it was used, on the ready list of its host, behind what came before.
    ///
    /// It is used from other threads, which cannot reach the list; so this is called before anything else gets
    /// onto it and before it is read.
    #[inline]
    pub(super) fn note_wakes(&mut self, host: usize) {
        let here = &mut self.hosts[host];
        if here.waker.0.load(Ordering::Relaxed) && here.waker.0.swap(false, Ordering::AcqRel) && !here.woken {
            here.woken = true;
            here.ready.push_back(WAKER);
        }
    }

    /// An edge of a socket: its owner is told.
    pub(super) fn wake(&mut self, sock: SockId) {
        let &Sock { host, owner, pending, .. } = &self.socks[sock as usize];
        match owner {
            Owner::Nobody => {}
            Owner::Poll(_) => {
                if !pending {
                    self.note_wakes(host);
                    self.socks[sock as usize].pending = true;
                    self.hosts[host].ready.push_back(sock);
                    if let Some(actor) = self.hosts[host].actor {
                        self.act_in(actor, 0);
                    }
                }
            }
            Owner::Actor(actor) => self.act_in(actor, 0),
        }
    }

    /// A new socket of a host.
    pub(super) fn new_sock(&mut self, host: usize, local: impl Into<Addr>) -> SockId {
        let local = local.into();
        let (send, recv) = self.buffers;
        let id = if let Some(id) = self.free.pop() {
            self.socks[id as usize].renew(host, local);
            id
        } else {
            self.socks.push(Sock::new(host, local));
            u32::try_from(self.socks.len() - 1).expect("there is no room for so many")
        };
        let way = self.faults.take(&mut self.tape, Fault::SmallBuffers, 1 + SMALL.len() * SMALL.len());
        let sock = &mut self.socks[id as usize];
        (sock.tx_max, sock.rx_max) = match way.checked_sub(1) {
            Some(way) => (SMALL[way % SMALL.len()], SMALL[way / SMALL.len()]),
            None => (send, recv),
        };
        id
    }

    /// Frees a socket that nobody holds and nothing is under way for.
    pub(super) fn reap(&mut self, id: SockId) {
        let sock = &self.socks[id as usize];
        let over = !sock.is_there() && sock.events == 0 && sock.owner == Owner::Nobody;
        let idle = sock.phase != Phase::Connected || sock.peer == NOBODY || (sock.fin_sent && sock.done);
        if !over || !idle || sock.phase == Phase::Listening || sock.place == FREED {
            return;
        }
        let peer = sock.peer;
        self.socks[id as usize].place = FREED;
        self.socks[id as usize].peer = NOBODY;
        if peer != NOBODY && peer != id && self.socks[peer as usize].peer == id {
            self.socks[peer as usize].peer = NOBODY;
        }
        self.free.push(id);
    }

    /// Says in the trace that `what` happened to a socket, with a number.
    #[inline]
    pub(super) fn note(&mut self, what: What, sock: SockId, value: u64, text: impl FnOnce(&World) -> String) {
        self.trace.note(self.now, what as u8, sock, value);
        if self.trace.records() {
            let text = text(self);
            self.trace.say(self.now, || text);
        }
    }
}

/// The place of a socket that is free to be used again.
const FREED: usize = usize::MAX - 1;

/// What came of a step.
pub(super) enum Step {
    Nothing,
    Happened,
    Act(u32),
}

/// What a line of the trace is about.
#[derive(Clone, Copy)]
pub(super) enum What {
    Poll,
    Recv,
    RecvUrgent,
    Send,
    Accept,
    Connect,
    Register,
    Shutdown,
    Close,
    Arrives,
    Fault,
    Act,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("hosts", &self.hosts.len())
            .field("sockets", &(self.socks.len() - self.free.len()))
            .field("events", &self.heap.len())
            .finish_non_exhaustive()
    }
}
