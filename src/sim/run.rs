//! One run: a handler on the simulated network, its clients, and the checks that go with every turn.
//!
//! It knows the order of a run: build, run until nothing happens any more, stop, look at what is left. It does not
//! know where the choices come from (the tape does) nor how to look for a run that fails (`search` does).

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::client::{ClientActor, ClientReport, Next, Peer};
use super::faults::Faults;
use super::host::{Checks, ReactorActor};
use super::network::{Actor, Route, SimNet, World};
use super::report::{Failure, Report};
use super::script::Script;
use super::tape::Tape;
use super::watch::Watched;
use crate::config::{Config, IntoListen};
use crate::context::{Context, Stop};
use crate::handler::Handler;
use crate::reactor::Reactor;

/// Where the server of a simulation listens, if nothing else is said.
pub const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 7000);

/// How much simulated time, and how many steps, a run may take.
const TIME_MAX: Duration = Duration::from_secs(3600);
const STEPS_MAX: u64 = 20_000_000;

/// The beginning of a simulation: a tape, and a network with nobody on it.
///
/// ```
/// use switchboard::codec::Lines;
/// use switchboard::each;
/// use switchboard::sim::{Faults, Script, Sim};
///
/// let upper = each(Lines::new, |cx, line| {
///     cx.send(&line.to_ascii_uppercase());
///     cx.send(b"\n");
///     Ok(())
/// });
/// let report = Sim::new(7)
///     .server(upper)
///     .client(Script::new().send(b"hello\nworld\n").expect(b"HELLO\nWORLD\n").shutdown().expect_end())
///     .faults(Faults::harmless())
///     .run();
/// assert_eq!(report.stats.frames, 2);
/// ```
pub struct Sim {
    pub(super) world: Rc<RefCell<World>>,
}

impl Sim {
    /// A simulation whose choices are made at random, the same for the same seed.
    pub fn new(seed: u64) -> Sim {
        Sim::on(Tape::seeded(seed))
    }

    /// A simulation whose choices come from a tape.
    pub fn on(tape: Tape) -> Sim {
        Sim { world: Rc::new(RefCell::new(World::new(tape))) }
    }

    /// Choices from the tape of this run, for a handler that leaves something to chance.
    pub fn choices(&self) -> Choices {
        Choices { world: Rc::clone(&self.world) }
    }

    /// Puts a handler on the network. It listens on [`SERVER`].
    pub fn server<H: Handler>(self, handler: H) -> Scenario<H> {
        Scenario {
            host: SimNet::new(&self.world, true),
            world: self.world,
            handler,
            config: Config::default(),
            listens: None,
            clients: Vec::new(),
            calls: Vec::new(),
            others: Vec::new(),
            faults: Faults::none(),
            time_max: TIME_MAX,
        }
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").finish_non_exhaustive()
    }
}

/// Choices from the tape of a run.
#[derive(Clone)]
pub struct Choices {
    world: Rc<RefCell<World>>,
}

impl Choices {
    /// One of `ways` ways. `what` is for error messages.
    pub fn choose(&self, what: &'static str, ways: usize) -> usize {
        self.world.borrow_mut().tape.choose(what, ways)
    }
}

impl fmt::Debug for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choices").finish_non_exhaustive()
    }
}

type Call<H> = Box<dyn FnOnce(&mut H, &mut Context)>;
type Program = Box<dyn FnMut(&mut Peer<'_>) -> Next>;

/// A simulation with a server: what else there is, and then [`run`](Scenario::run).
pub struct Scenario<H: Handler> {
    world: Rc<RefCell<World>>,
    host: SimNet,
    handler: H,
    config: Config,
    listens: Option<Vec<io::Result<crate::config::Listen>>>,
    clients: Vec<(Duration, Client)>,
    calls: Vec<(Duration, Call<H>)>,
    others: Vec<Box<dyn FnOnce(SimNet)>>,
    faults: Faults,
    time_max: Duration,
}

enum Client {
    Script(Script),
    Program(Program),
}

impl<H: Handler> fmt::Debug for Scenario<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario")
            .field("clients", &self.clients.len())
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl<H: Handler + 'static> Scenario<H> {
    /// Configures the reactor.
    #[must_use]
    pub fn config(mut self, config: Config) -> Scenario<H> {
        self.config = config;
        self
    }

    /// Listens here, and not on [`SERVER`] unless that is said too. Any address of `127.0.0.0/8` and the
    /// unspecified one are the server's own.
    #[must_use]
    pub fn listen(mut self, addr: impl IntoListen) -> Scenario<H> {
        self.listens.get_or_insert_with(Vec::new).push(addr.into_listen());
        self
    }

    /// Adds a client that plays a script, from an address of its own, at the beginning.
    #[must_use]
    pub fn client(self, script: Script) -> Scenario<H> {
        self.client_at(Duration::ZERO, script)
    }

    /// Adds a client that plays a script and connects at this time.
    #[must_use]
    pub fn client_at(mut self, at: Duration, script: Script) -> Scenario<H> {
        self.clients.push((at, Client::Script(script)));
        self
    }

    /// Adds a client that is a function, called whenever something may have changed.
    #[must_use]
    pub fn client_fn(mut self, program: impl FnMut(&mut Peer<'_>) -> Next + 'static) -> Scenario<H> {
        self.clients.push((Duration::ZERO, Client::Program(Box::new(program))));
        self
    }

    /// Adds another reactor to the network. `begin` is what it does first, such as connecting or listening. Its
    /// address is the next one behind the server's: 10.0.0.2, 10.0.0.3, … in the order in which they are added.
    #[must_use]
    pub fn reactor<P: Handler + 'static>(
        mut self,
        handler: P,
        config: Config,
        begin: impl FnOnce(&mut P, &mut Context) + 'static,
    ) -> Scenario<H> {
        self.others.push(Box::new(move |host| ReactorActor::add(host, handler, config, begin)));
        self
    }

    /// Calls `f` with the handler and its context at this time, as another thread does through a handle.
    #[must_use]
    pub fn at(mut self, at: Duration, f: impl FnOnce(&mut H, &mut Context) + 'static) -> Scenario<H> {
        self.calls.push((at, Box::new(f)));
        self
    }

    /// What may go wrong. Without this nothing does.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Scenario<H> {
        self.faults = faults;
        self
    }

    /// How many bytes the buffers of every connection hold: those of a sender, and those of a receiver. By
    /// default 256 KiB each.
    #[must_use]
    pub fn buffers(self, send: usize, recv: usize) -> Scenario<H> {
        self.world.borrow_mut().buffers = (send.max(1), recv.max(1));
        self
    }

    /// How many descriptors the server may have open: 1,024 by default.
    #[must_use]
    pub fn descriptors(self, max: usize) -> Scenario<H> {
        self.host.limit_descriptors(max);
        self
    }

    /// Which local ports the server's connects may take: 32768 to 60999 by default.
    #[must_use]
    pub fn ports(self, min: u16, max: u16) -> Scenario<H> {
        self.host.limit_ports(min, max.max(min));
        self
    }

    /// Nothing that goes to this address is ever answered.
    #[must_use]
    pub fn black_hole(self, addr: SocketAddr) -> Scenario<H> {
        self.world.borrow_mut().route(addr, Route::BlackHole);
        self
    }

    /// The network has no way to this address, and says so.
    #[must_use]
    pub fn unreachable(self, addr: SocketAddr) -> Scenario<H> {
        self.world.borrow_mut().route(addr, Route::Unreachable);
        self
    }

    /// How much simulated time the run may take: an hour by default.
    #[must_use]
    pub fn time_max(mut self, time: Duration) -> Scenario<H> {
        self.time_max = time;
        self
    }

    /// Runs until nothing happens any more, then drains the reactor and looks at what is left.
    ///
    /// # Panics
    ///
    /// With the [`Failure`] as the message, if there is one.
    pub fn run(self) -> Report<H> {
        match self.try_run() {
            Ok(report) => report,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Runs with one client, for what it saw.
    pub(super) fn try_run_until_cut(self) -> Result<ClientReport, Failure> {
        let mut report = self.try_run()?;
        Ok(report.clients.remove(0))
    }

    /// As [`run`](Scenario::run), with the failure as a value.
    pub fn try_run(self) -> Result<Report<H>, Failure> {
        let world = Rc::clone(&self.world);
        let result = Run::begin(self).and_then(Run::finish);
        // The programs hold on to the world and it to them.
        let actors = world.borrow_mut().take_actors();
        drop(actors);
        result
    }
}

/// A run under way.
struct Run<H: Handler> {
    world: Rc<RefCell<World>>,
    host: SimNet,
    reactor: Reactor<Watched<H>, SimNet>,
    clients: Vec<Rc<RefCell<ClientReport>>>,
    /// Calls to be made, the next one last.
    calls: Vec<(u64, Call<H>)>,
    checks: Checks,
    may_harm: bool,
    time_max: u64,
    drain_timeout: Duration,
}

impl<H: Handler + 'static> Run<H> {
    fn begin(scenario: Scenario<H>) -> Result<Run<H>, Failure> {
        let Scenario { world, host, handler, config, listens, clients, mut calls, others, faults, time_max } =
            scenario;
        let may_harm = faults.may_harm();
        let faults = faults.draw(&mut world.borrow_mut().tape);
        let fail = |what: String| Failure { at: Duration::ZERO, what };
        let drain_timeout = config.drain_timeout;
        let mut reactor =
            Reactor::with_network(Watched::new(handler, Rc::clone(&world)), config, host.clone())
                .map_err(|error| fail(format!("the reactor cannot be made: {error}")))?;
        for listen in listens.unwrap_or_else(|| vec![SERVER.into_listen()]) {
            let listened = listen.and_then(|listen| reactor.listen(listen));
            listened.map_err(|error| fail(format!("the server cannot listen: {error}")))?;
        }
        // A server that does not even start tells nothing, so faults begin here.
        world.borrow_mut().faults = faults;
        for other in others {
            other(SimNet::new(&world, false));
        }
        let mut reports = Vec::new();
        for (number, (at, client)) in clients.into_iter().enumerate() {
            let program: Program = match client {
                Client::Program(program) => program,
                Client::Script(mut script) => {
                    script.check().map_err(|error| fail(format!("client {number}: {error}")))?;
                    Box::new(move |peer| script.play(peer))
                }
            };
            reports.push(ClientActor::add(SimNet::new(&world, false), SERVER, at, program));
        }
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        calls.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, _) in &calls {
            let caller = Box::new(Caller(host.clone()));
            world.borrow_mut().add_actor_at(caller, nanos(*at));
        }
        let calls = calls.into_iter().map(|(at, call)| (nanos(at), call)).collect();
        Ok(Run {
            world,
            host,
            reactor,
            clients: reports,
            calls,
            checks: Checks::default(),
            may_harm,
            time_max: nanos(time_max),
            drain_timeout,
        })
    }

    fn finish(mut self) -> Result<Report<H>, Failure> {
        loop {
            let goes_on = self.turn()?;
            if !goes_on || self.is_quiet() {
                break;
            }
        }
        self.check_clients()?;
        self.stop()?;
        let (stats, handler) = (self.reactor.stats().clone(), self.reactor.into_handler().inner);
        let clients = self.clients.iter().map(|report| report.borrow().clone()).collect();
        let world = self.world.borrow();
        let (steps, hash) = (world.trace.steps(), world.trace.hash());
        Ok(Report { handler, clients, stats, time: Duration::from_nanos(world.now), steps, hash })
    }

    fn failure(&self, what: String) -> Failure {
        Failure { at: Duration::from_nanos(self.world.borrow().now), what }
    }

    /// One turn of the reactor, with the checks around it.
    fn turn(&mut self) -> Result<bool, Failure> {
        while self.calls.last().is_some_and(|(at, _)| *at <= self.world.borrow().now) {
            if let Some((_, call)) = self.calls.pop() {
                self.reactor.with(|watched, cx| call(&mut watched.inner, cx));
            }
        }
        let result = self.checks.turn(&mut self.reactor, &self.host);
        let result = result.and_then(|goes_on| {
            let world = self.world.borrow();
            if let Some(error) = world.tape.error() {
                return Err(error.to_string());
            }
            if world.now > self.time_max {
                return Err(format!("it does not come to an end: {}", self.waits()));
            }
            if world.trace.steps() > STEPS_MAX {
                return Err(format!("it does not come to an end in {STEPS_MAX} steps: {}", self.waits()));
            }
            Ok(goes_on)
        });
        result.map_err(|what| self.failure(what))
    }

    /// Whether nothing will happen any more, or nothing but the reactor's own timers.
    fn is_quiet(&self) -> bool {
        let world = self.world.borrow();
        let asleep = self.host.asleep_until() == Some(u64::MAX);
        let clients_done = self.clients.iter().all(|client| client.borrow().done);
        let alone = clients_done && self.calls.is_empty() && self.reactor.stats().open == 0;
        asleep || (alone && world.next_at().is_none())
    }

    /// Who has not come to the end, and why.
    fn waits(&self) -> String {
        let mut waits = Vec::new();
        for (number, client) in self.clients.iter().enumerate() {
            let client = client.borrow();
            if !client.done || client.trouble.is_some() {
                let trouble = client.trouble.as_deref().unwrap_or("is not done");
                waits.push(format!("client {number} {trouble}"));
            }
        }
        if waits.is_empty() {
            waits.push(format!("{} connections are open", self.reactor.stats().open));
        }
        waits.join("; ")
    }

    /// Whether every client came to its end, but for those that a fault has cut off.
    fn check_clients(&self) -> Result<(), Failure> {
        let troubled = self.clients.iter().enumerate().find_map(|(number, client)| {
            let client = client.borrow();
            let excused = self.may_harm && client.cut;
            let wrong = !client.done || client.trouble.is_some();
            (wrong && !excused).then(|| {
                let trouble = client.trouble.clone().unwrap_or_else(|| "never came to its end".into());
                format!(
                    "client {number} {trouble}; it had received {}",
                    super::trace::Shown(&client.received)
                )
            })
        });
        match troubled {
            Some(what) => Err(self.failure(what)),
            None => Ok(()),
        }
    }

    /// Drains the reactor, with no more faults, and looks at what is left.
    fn stop(&mut self) -> Result<(), Failure> {
        self.world.borrow_mut().faults = Faults::none();
        self.reactor.with(|_, cx| cx.stop(Stop::Drain));
        let slack = Duration::from_millis(100);
        let limit = self.world.borrow().now
            + u64::try_from((self.drain_timeout + slack).as_nanos()).unwrap_or(u64::MAX / 4);
        while self.reactor.goes_on() {
            self.turn()?;
            if self.world.borrow().now > limit {
                return Err(self.failure(format!("the drain takes longer than {:?}", self.drain_timeout)));
            }
        }
        // What is still under way on the network comes to its end.
        while self.host.step(u64::MAX - 1) {
            if self.world.borrow().trace.steps() > STEPS_MAX {
                break;
            }
        }
        let open = self.reactor.handler().open();
        if let Some(id) = open.first() {
            return Err(
                self.failure(format!("{id} was never told closed, nor were {} others", open.len() - 1))
            );
        }
        self.reactor.audit_empty().map_err(|what| self.failure(what))?;
        let descriptors = self.host.descriptors();
        if descriptors > 0 {
            return Err(self.failure(format!("{descriptors} descriptors are left open")));
        }
        Ok(())
    }
}

/// Has the poll of a host return at a certain time.
struct Caller(SimNet);

impl Actor for Caller {
    fn act(&mut self, _: &SimNet) {
        self.0.rouse();
    }
}
