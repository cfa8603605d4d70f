//! One run: a handler on the simulated network, its clients, and the checks that go with every turn.
//!
//! It knows the order of a run: build, run until nothing happens any more, stop, look at what is left. It does not
//! know where the choices come from (the tape does) nor how to look for a run that fails (`search` does).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::client::{ClientActor, ClientReport, Program, Reports};
use super::faults::Faults;
use super::host::Checks;
use super::network::{Actor, SERVER, SimNet, World};
use super::report::{Failure, Report};
use super::scenario::{Call, Client, NewClient, Scenario, TIME_MAX};
use super::watch::Watched;
use crate::addr::Addr;
use crate::context::Stop;
use crate::handler::Handler;
use crate::listen::IntoListen;
use crate::reactor::Reactor;

/// How many steps a run may take.
const STEPS_MAX: u64 = 20_000_000;

/// What there is to say of a client that says nothing itself.
const NOT_DONE: &str = "waits (its function has not answered `Next::Done`), and nothing more happens";

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A run under way.
pub(super) struct Run<H: Handler> {
    world: Rc<RefCell<World>>,
    host: SimNet,
    reactor: Reactor<Watched<H>, SimNet>,
    clients: Reports,
    /// Calls to be made, the next one last.
    calls: Vec<(u64, Call<H>)>,
    checks: Checks,
    may_harm: bool,
    may_wait: bool,
    time_max: u64,
    drain_timeout: Duration,
    /// When the reactor was done, while the network was not yet.
    over_at: Option<u64>,
}

impl<H: Handler + 'static> Run<H> {
    pub(super) fn begin(scenario: Scenario<H>) -> Result<Run<H>, Failure> {
        let Scenario {
            world,
            host,
            handler,
            config,
            listen_first,
            listens,
            clients,
            mut calls,
            others,
            faults,
            time_max,
            may_wait,
        } = scenario;
        let may_harm = faults.may_harm();
        let faults = faults.draw(&mut world.borrow_mut().tape);
        let time_max = time_max.unwrap_or_else(|| {
            let clients = clients.iter().map(|client| client.at.saturating_add(client.does.waits()));
            let longest = clients.chain(calls.iter().map(|(at, _)| *at)).max();
            longest.unwrap_or_default().saturating_add(TIME_MAX)
        });
        let fail = |what: String| Failure::new(Duration::ZERO, what);
        let drain_timeout = config.drain_timeout;
        let mut reactor = Reactor::with_network(Watched::new(handler, &host), config, host.clone())
            .map_err(|error| fail(format!("the reactor cannot be made: {error}")))?;
        let mut first = None;
        for listen in listens.unwrap_or_else(|| vec![listen_first.unwrap_or_else(|| SERVER.into_listen())]) {
            let listen = listen.map_err(|error| fail(format!("the server cannot listen: {error}")))?;
            let addr = listen.addr.clone();
            let listened = reactor.listen(listen).and_then(|listener| reactor.local_addr(listener));
            let listened = listened.map_err(|error| {
                let ip = SERVER.ip();
                fail(format!(
                    "the server, which is {ip} and every loopback address, cannot listen on {addr}: {error}"
                ))
            })?;
            first = first.or(Some(listened));
        }
        {
            let mut world = world.borrow_mut();
            (world.until, world.steps_max) = (nanos(time_max), STEPS_MAX);
        }
        // A server that does not even start tells nothing, so faults begin here.
        world.borrow_mut().faults = faults;
        let reports = Reports::default();
        for other in others {
            other(SimNet::new(&world, false), &reports).map_err(fail)?;
        }
        for (number, NewClient { at, to, does }) in clients.into_iter().enumerate() {
            let to = to.or_else(|| first.clone()).unwrap_or_else(|| SERVER.into());
            // Only another process of the same machine sees its Unix sockets.
            let place = match &to {
                Addr::Unix(_) => host.beside(),
                Addr::Ip(_) | Addr::Unnamed => SimNet::new(&world, false),
            };
            let program: Program = match does {
                Client::Program(program) => program,
                Client::Script(mut script) => {
                    script.check().map_err(|error| fail(format!("client {number}: {error}")))?;
                    Box::new(move |peer| script.play(peer))
                }
            };
            reports.borrow_mut().push(ClientActor::add(place, to, at, program));
        }
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
            may_wait,
            time_max: nanos(time_max),
            drain_timeout,
            over_at: None,
        })
    }

    pub(super) fn finish(mut self) -> Result<Report<H>, Failure> {
        // In the second half of its time nothing goes wrong any more, and everything must come to its end.
        let calm_at = self.time_max / 2;
        loop {
            if self.world.borrow().now >= calm_at {
                self.world.borrow_mut().faults = Faults::none();
            }
            let goes_on = self.turn()?;
            if !goes_on {
                // It has stopped; what it said last is still under way.
                self.run_out();
            }
            if !goes_on {
                break;
            }
            let overdue = self.world.borrow().now > self.time_max;
            if overdue && !self.is_done() {
                let (time, waits) = (Duration::from_nanos(self.time_max), self.waits());
                return Err(
                    self.failure(format!("it is not over after {time:?} (`time_max` allows more): {waits}"))
                );
            }
            if overdue || self.is_quiet() {
                break;
            }
        }
        self.check_clients()?;
        self.stop()?;
        let (stats, handler) = (self.reactor.stats().clone(), self.reactor.into_handler().inner);
        let clients = self.clients.borrow().iter().map(|report| report.borrow().clone()).collect();
        let world = self.world.borrow();
        let (steps, hash) = (world.trace.steps(), world.trace.hash());
        Ok(Report {
            handler,
            clients,
            stats,
            time: Duration::from_nanos(self.over_at.unwrap_or(world.now)),
            steps,
            hash,
        })
    }

    fn failure(&self, what: String) -> Failure {
        let mut world = self.world.borrow_mut();
        world.trace.stop();
        Failure::new(Duration::from_nanos(world.now), what)
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
            if world.trace.steps() > STEPS_MAX {
                return Err(format!("it is not over after {STEPS_MAX} steps: {}", self.waits()));
            }
            Ok(goes_on)
        });
        result.map_err(|what| self.failure(what))
    }

    /// Whether every client has come to its end, but for those that a fault has cut off, and nothing is open.
    fn is_done(&self) -> bool {
        let over = |client: &ClientReport| client.done || (self.may_harm && client.cut);
        self.clients.borrow().iter().all(|client| over(&client.borrow())) && self.reactor.stats().open == 0
    }

    /// Whether nothing will happen any more, or nothing but the reactor's own timers.
    fn is_quiet(&self) -> bool {
        let world = self.world.borrow();
        let asleep = self.host.asleep_until() == Some(u64::MAX);
        let clients_done = self.clients.borrow().iter().all(|client| client.borrow().done);
        // What is registered may have something to read that came before.
        let calm = self.host.is_calm();
        let alone = calm && clients_done && self.calls.is_empty() && self.reactor.stats().open == 0;
        asleep || (alone && world.next_at().is_none())
    }

    /// Who has not come to the end, and why.
    fn waits(&self) -> String {
        let mut waits = Vec::new();
        for (number, client) in self.clients.borrow().iter().enumerate() {
            let client = client.borrow();
            if !client.done || client.trouble.is_some() {
                let trouble = client.trouble.as_deref().unwrap_or(NOT_DONE);
                waits.push(format!("client {number} {trouble}"));
            }
        }
        if waits.is_empty() {
            waits.push(format!("all clients are done, {} connections are open", self.reactor.stats().open));
        }
        waits.join("; ")
    }

    /// Whether every client came to its end, but for those that a fault has cut off.
    fn check_clients(&self) -> Result<(), Failure> {
        let clients = self.clients.borrow();
        let troubled = clients.iter().enumerate().find_map(|(number, client)| {
            let client = client.borrow();
            let excused = (self.may_harm && client.cut && (client.late || !client.wrong))
                || (self.may_wait && !client.done);
            let wrong = !client.done || client.trouble.is_some();
            (wrong && !excused).then(|| {
                let trouble = client.trouble.as_deref().unwrap_or(NOT_DONE);
                format!(
                    "client {number} {trouble}; it has received {}",
                    super::trace::Shown(&client.received)
                )
            })
        });
        match troubled {
            Some(what) => Err(self.failure(what)),
            None => Ok(()),
        }
    }

    /// Has what is still under way on the network come to its end.
    fn run_out(&mut self) {
        self.over_at.get_or_insert(self.world.borrow().now);
        let until = self.world.borrow().now.saturating_add(self.time_max);
        while self.host.step(until) {
            if self.world.borrow().trace.steps() > STEPS_MAX {
                break;
            }
        }
    }

    /// Drains the reactor, with no more faults, and looks at what is left.
    fn stop(&mut self) -> Result<(), Failure> {
        self.world.borrow_mut().faults = Faults::none();
        self.reactor.with(|_, cx| cx.stop(Stop::Drain));
        let limit = self.drain_timeout.saturating_add(Duration::from_millis(100));
        let limit = self.world.borrow().now.saturating_add(nanos(limit));
        self.world.borrow_mut().until = u64::MAX;
        while self.reactor.goes_on() {
            self.turn()?;
            if self.world.borrow().now > limit {
                return Err(self.failure(format!("the drain takes longer than {:?}", self.drain_timeout)));
            }
        }
        self.run_out();
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
        let names = self.host.names();
        if names > 0 {
            return Err(self.failure(format!("{names} names of Unix sockets stay behind")));
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
