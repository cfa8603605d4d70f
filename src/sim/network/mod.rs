//! The simulated network: the traits of [`net`](crate::net) on a world with a virtual clock.
//!
//! It knows what the reactor may ask of a network and answers as Linux does, row by row of a table that is tested
//! against the kernel. It does not know who plays the peers (`actors` of the world do) nor what is right.
//!
//! A poll with nothing to report moves the world on: to the next event, the next actor's turn, its own deadline. So
//! a minute of waiting takes as long as what happens in it.

mod calls;
mod clients;
mod names;
mod options;
mod pipe;
mod registry;
mod socket;
mod stream;
mod tcp;
mod udp;
mod unix;
mod unix_datagrams;
mod world;

pub use clients::Received;
pub use pipe::Pipe;
pub(crate) use pipe::SimSource;
pub(crate) use socket::SockId;
pub(crate) use stream::{SimListener, SimStream};
pub(crate) use udp::SimDatagram;
pub(crate) use unix::Name;
pub(crate) use world::{Actor, MILLI, Route, World};

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::errno::Errno;
use super::faults::Fault;
use crate::addr::Addr;
use crate::bind::Bind;
use crate::config::Listen;
use crate::connect::Connect;
use crate::id::{ConnId, DatagramId, ListenerId, SourceId};
use crate::instant::Instant;
use crate::net::{Answer, Event, Interest, Network, Token, Trigger, Trouble, Wake, sealed};
use crate::readiness::Readiness;
use crate::source::Source;
use socket::{Owner, Sock, WAKER};
use world::{Step, What};

/// Where the server of a simulation listens, if nothing else is said.
pub const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 7000);

/// How much later than its deadline a poll may return.
const LATE: [u64; 4] = [0, MILLI, 5 * MILLI, 60 * MILLI];

/// For how long a process may stand still.
const STANDSTILLS: [u64; 4] = [0, 100 * MILLI, 2000 * MILLI, 60_000 * MILLI];

/// A host in a simulated network, for a reactor to run on. Clones are the same host.
#[derive(Clone)]
pub struct SimNet {
    world: Rc<RefCell<World>>,
    host: usize,
    /// Whether a poll of this host moves the world.
    drives: bool,
}

impl SimNet {
    /// A new host in `world`. One host of a world drives it.
    pub(crate) fn new(world: &Rc<RefCell<World>>, drives: bool) -> SimNet {
        let host = world.borrow_mut().add_host();
        SimNet { world: Rc::clone(world), host, drives }
    }

    fn clock(&self) -> u64 {
        self.world.borrow().now
    }

    /// Whether its poll moves the world.
    pub(crate) fn drives(&self) -> bool {
        self.drives
    }

    /// Its number in its world.
    pub(crate) fn number(&self) -> usize {
        self.host
    }

    /// Its address.
    #[cfg(test)]
    pub(crate) fn ip(&self) -> IpAddr {
        self.world.borrow().hosts[self.host].addr
    }

    /// The world it is in.
    pub(crate) fn world(&self) -> &Rc<RefCell<World>> {
        &self.world
    }

    /// Has an actor run this host's reactor: told whenever its poll would return.
    pub(crate) fn run_by(&self, actor: u32) {
        self.world.borrow_mut().hosts[self.host].actor = Some(actor);
    }

    /// When the poll of a host that does not drive the world wants to return, if it was not ready.
    pub(crate) fn asleep_until(&self) -> Option<u64> {
        self.world.borrow().hosts[self.host].asleep
    }

    /// Whether its poll has nothing to report for now.
    pub(crate) fn is_calm(&self) -> bool {
        let world = self.world.borrow();
        let host = &world.hosts[self.host];
        let told = |&id: &SockId| world.socks.get(id as usize).is_none_or(Sock::is_told);
        !host.ready.iter().any(told) && !host.waker.0.load(Ordering::Acquire)
    }

    /// Has its poll return.
    pub(crate) fn rouse(&self) {
        self.world.borrow().hosts[self.host].waker.0.store(true, Ordering::Release);
    }

    /// How many descriptors are open on this host.
    pub(crate) fn descriptors(&self) -> usize {
        self.world.borrow().hosts[self.host].descriptors
    }

    /// How many descriptors may be open.
    pub(crate) fn limit_descriptors(&self, max: usize) {
        self.world.borrow_mut().hosts[self.host].descriptors_max = max;
    }

    /// Which local ports connects may take.
    pub(crate) fn limit_ports(&self, min: u16, max: u16) {
        let mut world = self.world.borrow_mut();
        let host = &mut world.hosts[self.host];
        (host.ports_min, host.ports_max, host.next_port) = (min, max, min);
    }

    /// Has a further address to connect from.
    pub(crate) fn add_addr(&self, ip: IpAddr) {
        self.world.borrow_mut().hosts[self.host].addrs.push(ip);
    }

    /// Has the next event happen if it is not after `until`.
    pub(crate) fn step(&self, until: u64) -> bool {
        let step = self.world.borrow_mut().step(until);
        match step {
            Step::Nothing => false,
            Step::Happened => true,
            Step::Act(actor) => {
                let taken = self.world.borrow_mut().actors[actor as usize].take();
                match taken {
                    Some(mut one) => {
                        one.act(self);
                        let mut world = self.world.borrow_mut();
                        world.actors[actor as usize] = Some(one);
                        world.has_acted(actor);
                        world.wake_hosts();
                    }
                    None => self.world.borrow_mut().missed.push(actor),
                }
                true
            }
        }
    }

    /// Something may arrive between two calls.
    #[inline]
    fn preempt(&self) {
        let until = {
            let mut world = self.world.borrow_mut();
            let world = &mut *world;
            match world.faults.take(&mut world.tape, Fault::Preempt, 3) {
                0 => return,
                way => world.now + [0, 10_000, MILLI][way],
            }
        };
        if self.drives {
            self.step(until);
        }
    }

    /// The events that are there now.
    fn report(&self, events: &mut SimEvents) {
        let mut world = self.world.borrow_mut();
        let world = &mut *world;
        world.note_wakes(self.host);
        let mut room = events.capacity;
        let waiting = world.hosts[self.host].ready.len();
        if waiting > 1 {
            let way = world.faults.take(&mut world.tape, Fault::CutBatch, waiting);
            if way > 0 {
                room = room.min(way);
            }
            let way = world.faults.take(&mut world.tape, Fault::Reorder, waiting);
            world.hosts[self.host].ready.rotate_left(way);
        }
        let mut again = Vec::new();
        while room > 0 {
            let Some(id) = world.hosts[self.host].ready.pop_front() else { break };
            if id == WAKER {
                world.hosts[self.host].woken = false;
                events.list.push(Event { token: Token::WAKER, readiness: Readiness::READABLE });
                room -= 1;
                continue;
            }
            if id & udp::PORT != 0 {
                if let Some((token, readiness)) = world.port_readiness(id) {
                    events.list.push(Event { token, readiness });
                    room -= 1;
                }
                continue;
            }
            if id & pipe::PIPE != 0 {
                if let Some((token, readiness)) = world.end_readiness(id) {
                    events.list.push(Event { token, readiness });
                    room -= 1;
                }
                continue;
            }
            let sock = &mut world.socks[id as usize];
            sock.pending = false;
            let readiness = sock.readiness();
            if let (Owner::Poll(token), false) = (sock.owner, readiness.is_empty()) {
                if !sock.takes_output() {
                    sock.no_space = true;
                }
                events.list.push(Event { token, readiness });
                room -= 1;
                if sock.level {
                    sock.pending = true;
                    again.push(id);
                }
                world
                    .note(What::Poll, id, u64::from(readiness.bits()), |_| format!("#{id} is {readiness:?}"));
            }
        }
        // The next poll looks whether they are still ready.
        world.hosts[self.host].ready.extend(again);
        let count = world.hosts[self.host].registered.len();
        if room > 0 && count > 0 {
            const KINDS: [Readiness; 3] =
                [Readiness::READABLE, Readiness::WRITABLE, Readiness::READABLE.or(Readiness::WRITABLE)];
            let way = world.faults.take(&mut world.tape, Fault::Spurious, 1 + count * KINDS.len());
            if let Some(way) = way.checked_sub(1) {
                let id = world.hosts[self.host].registered[way / KINDS.len()];
                if let Owner::Poll(token) = world.socks[id as usize].owner {
                    let readiness = KINDS[way % KINDS.len()];
                    events.list.push(Event { token, readiness });
                    world.note(What::Poll, id, 1 << 32, |_| format!("#{id} is {readiness:?}, for no reason"));
                }
            }
        }
        if room > 0 {
            events.list.extend(world.spurious_end(self.host));
        }
        let gone = world.hosts[self.host].gone.len();
        let way = world.faults.take(&mut world.tape, Fault::Stale, 1 + gone);
        if let Some(way) = way.checked_sub(1) {
            let token = world.hosts[self.host].gone[way];
            events.list.push(Event { token, readiness: Readiness::READABLE.or(Readiness::WRITABLE) });
            world.trace.note(world.now, What::Poll as u8, u32::MAX, way as u64);
        }
    }

    /// Lets time pass in which this host's program does something else.
    pub(crate) fn elapse(&self, time: u64) {
        let until = self.clock().saturating_add(time);
        while self.drives && self.step(until) {}
        // Slow callbacks of other reactors may have taken longer.
        let mut world = self.world.borrow_mut();
        world.now = world.now.max(until);
    }

    /// Whether a signal or a standstill comes with this poll.
    fn disturb(&self) -> bool {
        let (interrupted, still) = {
            let mut world = self.world.borrow_mut();
            let world = &mut *world;
            world.trace.note(world.now, What::Poll as u8, 0, self.host as u64);
            // While a host that does not drive stands still, nobody would move the world on.
            let ways = if self.drives { STANDSTILLS.len() } else { 0 };
            let still = STANDSTILLS[world.faults.take(&mut world.tape, Fault::Standstill, ways)];
            let interrupted = world.faults.take(&mut world.tape, Fault::Interrupt, 2) == 1;
            (interrupted, still)
        };
        if still > 0 {
            self.elapse(still);
            let mut world = self.world.borrow_mut();
            let now = world.now;
            world.trace.say(now, || "the process stood still until now".into());
            // Whatever waits for it may be over: nobody's connection need go on.
            world.cut_all();
        }
        interrupted
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNet").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Room for the events of one poll of a simulated network.
#[derive(Debug)]
pub struct SimEvents {
    list: Vec<Event>,
    capacity: usize,
}

impl sealed::Sealed for SimNet {}

impl Network for SimNet {
    type Stream = SimStream;
    type Listener = SimListener;
    type Datagram = SimDatagram;
    type Source = SimSource;
    type Events = SimEvents;

    fn now(&self) -> Instant {
        Instant::from_nanos(self.world.borrow().now)
    }

    fn coarse_now(&self) -> Instant {
        // It stands at the last tick of 4 ms.
        Instant::from_nanos(self.world.borrow().now / (4 * MILLI) * (4 * MILLI))
    }

    fn events(&self, capacity: usize) -> SimEvents {
        SimEvents { list: Vec::new(), capacity }
    }

    fn poll(&mut self, events: &mut SimEvents, timeout: Option<Duration>) -> io::Result<()> {
        events.list.clear();
        self.world.borrow_mut().hosts[self.host].asleep = None;
        let interrupted = self.disturb();
        // In whole milliseconds, rounded up.
        let wait = timeout.map(|timeout| {
            let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX / 2);
            nanos.div_ceil(MILLI).saturating_mul(MILLI)
        });
        let start = self.clock();
        let deadline = wait.map_or(u64::MAX, |wait| start.saturating_add(wait));
        if self.drives {
            while self.step(start) {}
        }
        loop {
            self.report(events);
            if !events.list.is_empty() || interrupted || deadline <= self.clock() {
                return Ok(());
            }
            if !self.drives {
                self.world.borrow_mut().hosts[self.host].asleep = Some(deadline);
                return Ok(());
            }
            let (next, until) = {
                let world = self.world.borrow();
                if world.is_overdue() {
                    return Ok(());
                }
                (world.next_at().unwrap_or(u64::MAX), world.until)
            };
            if next.min(deadline) > until && next.min(deadline) != u64::MAX {
                // Nobody is there any more when that comes.
                self.world.borrow_mut().now = until.saturating_add(1);
                return Ok(());
            }
            if next > deadline || next == u64::MAX {
                let mut world = self.world.borrow_mut();
                let world = &mut *world;
                if deadline == u64::MAX {
                    // Nothing will ever happen again.
                    world.hosts[self.host].asleep = Some(u64::MAX);
                } else {
                    let late = LATE[world.faults.take(&mut world.tape, Fault::LatePoll, LATE.len())];
                    world.now = deadline + late;
                }
                return Ok(());
            }
            self.step(next);
        }
    }

    fn iter(events: &SimEvents) -> impl Iterator<Item = Event> {
        events.list.iter().copied()
    }

    fn listen(&mut self, listen: &Listen, id: ListenerId) -> io::Result<SimListener> {
        let options = options::of_stream(&listen.options, &listen.addr)?;
        let mut world = self.world.borrow_mut();
        let sock = world.listen(self.host, listen)?;
        world.socks[sock as usize].options = Some(Rc::new(options));
        world.register(sock, Token::listener(id), Interest::Input).inspect_err(|_| world.close(sock))?;
        drop(world);
        Ok(SimListener(SimStream::new(self, sock)))
    }

    fn set_trigger(&mut self, listener: &SimListener, _: ListenerId, trigger: Trigger) -> Trigger {
        self.world.borrow_mut().set_trigger(listener.0.sock, trigger);
        trigger
    }

    fn bind(&mut self, bind: &Bind, id: DatagramId) -> io::Result<SimDatagram> {
        let options = options::of_datagrams(&bind.options, &bind.addr)?;
        let number = self.world.borrow_mut().bind(self.host, bind, Token::datagram(id), options)?;
        Ok(SimDatagram::new(self, number))
    }

    fn watch_room(&mut self, socket: &SimDatagram, _: DatagramId, on: bool) -> io::Result<()> {
        socket.watch_room(on);
        Ok(())
    }

    fn open_source(&mut self, source: Source) -> io::Result<SimSource> {
        SimSource::open(self, &source)
    }

    fn watch_source(
        &mut self,
        source: &SimSource,
        id: SourceId,
        before: Readiness,
        now: Readiness,
    ) -> io::Result<()> {
        source.watch(Token::source(id), before, now)
    }

    fn close_source<'a>(
        &mut self,
        source: SimSource,
        _: impl Iterator<Item = &'a mut SimSource>,
    ) -> Option<OwnedFd> {
        drop(source);
        None
    }

    fn connect(&mut self, addr: &Addr, how: &Connect) -> io::Result<SimStream> {
        let answered = options::of_stream(&how.options, addr)?;
        let mut world = self.world.borrow_mut();
        let sock = world.connect(self.host, addr, how.local)?;
        // Nothing was sent yet that they could be too late for.
        world.keep_options(sock, &how.options, answered);
        drop(world);
        Ok(SimStream::new(self, sock))
    }

    fn look_up(&mut self, host: &str, port: u16, id: ConnId) -> io::Result<()> {
        self.world.borrow_mut().ask(self.host, host, port, id);
        Ok(())
    }

    fn answer(&mut self) -> Option<Answer> {
        self.world.borrow_mut().next_answer(self.host)
    }

    fn take_back(&mut self, id: ConnId) {
        self.world.borrow_mut().unask(self.host, id);
    }

    fn register(&mut self, stream: &SimStream, id: ConnId, interest: Interest) -> io::Result<()> {
        Ok(self.world.borrow_mut().register(stream.sock, Token::conn(id), interest)?)
    }

    fn watch_output(&mut self, stream: &SimStream, _: ConnId) -> io::Result<()> {
        Ok(self.world.borrow_mut().watch_output(stream.sock)?)
    }

    fn deregister(&mut self, stream: &SimStream) -> io::Result<()> {
        self.world.borrow_mut().deregister(stream.sock);
        Ok(())
    }

    fn waker(&mut self) -> io::Result<Arc<dyn Wake>> {
        let waker = Arc::clone(&self.world.borrow().hosts[self.host].waker);
        Ok(waker)
    }

    fn descriptors_max(&self) -> Option<usize> {
        Some(self.world.borrow().hosts[self.host].descriptors_max)
    }

    fn trouble(error: &io::Error) -> Trouble {
        Errno::of(error).map_or(Trouble::Socket, Errno::trouble)
    }
}
