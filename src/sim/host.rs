//! A reactor in the world: its turns, and what is checked around each of them.
//!
//! It knows what must hold of any reactor, whoever its peers are. It does not know when a run is over.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::network::{Actor, SimDatagram, SimNet, SimSource};
use super::watch::Watched;
use crate::config::Config;
use crate::context::Context;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::reactor::{Reactor, Socket};

/// How many turns in a row may do nothing.
const IDLE_TURNS_MAX: u32 = 2;

/// How many turns input may wait that nothing holds back.
const TURNS_WAITING_MAX: u64 = 4;

/// How many turns may fire timers at one moment and do nothing else.
const TIMER_TURNS_MAX: u32 = 50_000;

/// What is checked around the turns of one reactor.
#[derive(Default)]
pub(super) struct Checks {
    idle_turns: u32,
    timer_turns: u32,
    /// Connections with input that nothing holds back: how far they were, and for how many turns.
    waiting: BTreeMap<ConnId, (u64, u64)>,
}

impl Checks {
    pub(super) fn turn<H: Handler>(
        &mut self,
        reactor: &mut Reactor<Watched<H>, SimNet>,
        host: &SimNet,
    ) -> Result<bool, String> {
        let waits = reactor.would_wait() && host.is_calm();
        let mut starved = None;
        reactor.audit(waits, |id, stream, free, left| {
            let (forgotten, progress) = (stream.is_forgotten(), stream.recvs() << 32 | left as u64);
            if free && forgotten {
                let (at, turns) = self.waiting.entry(id).or_insert((progress, 0));
                *turns = if *at == progress { *turns + 1 } else { 0 };
                *at = progress;
                if *turns > TURNS_WAITING_MAX {
                    starved = Some(id);
                }
            } else if !self.waiting.is_empty() {
                self.waiting.remove(&id);
            }
            Socket { forgotten, takes: stream.takes_unannounced() }
        })?;
        reactor.audit_datagrams(waits, SimDatagram::is_forgotten)?;
        reactor.audit_sources(SimSource::is_forgotten)?;
        if let Some(id) = starved {
            return Err(format!(
                "{id} has waited for more than {TURNS_WAITING_MAX} turns with input to be read"
            ));
        }
        let (steps, now) = {
            let world = host.world().borrow();
            (world.trace.steps(), world.now)
        };
        let timers = reactor.stats().timers_fired;
        let before = (now, Checks::calls(reactor));
        let goes_on = reactor.turn(None).map_err(|error| format!("the reactor fails: {error}"))?;
        let world = host.world().borrow();
        if let Some(what) = world.violation() {
            return Err(what.into());
        }
        // The poll itself is one step. A timer that came due for a connection that closes is none.
        let idle = reactor.stats().timers_fired == timers
            && world.trace.steps() - steps <= 1
            && world.now == now
            && host.asleep_until().is_none();
        self.idle_turns = if idle && !waits { self.idle_turns + 1 } else { 0 };
        let stands = before == (world.now, Checks::calls(reactor)) && !idle;
        self.timer_turns = if stands { self.timer_turns + 1 } else { 0 };
        if self.timer_turns > TIMER_TURNS_MAX {
            return Err(format!(
                "{TIMER_TURNS_MAX} turns did nothing but call the handler, and no time passed: a callback asks for \
                 the next one each time, as by a timer of zero"
            ));
        }
        if self.idle_turns > IDLE_TURNS_MAX {
            return Err(format!("{} turns in a row did nothing: it spins", self.idle_turns));
        }
        Ok(goes_on)
    }
}

impl Checks {
    /// How often a reactor has used its sockets.
    fn calls<H: Handler>(reactor: &Reactor<Watched<H>, SimNet>) -> u64 {
        let calls = &reactor.stats().calls;
        let datagrams = calls.recv_datagram + calls.send_datagram;
        datagrams + calls.recv + calls.send + calls.accept + calls.register + calls.shutdown + calls.close
    }
}

/// Another reactor, run as an actor.
pub(super) struct ReactorActor<P: Handler> {
    host: SimNet,
    number: u32,
    reactor: Reactor<Watched<P>, SimNet>,
    checks: Checks,
    over: bool,
}

impl<P: Handler + 'static> ReactorActor<P> {
    pub(super) fn add(
        host: SimNet,
        handler: P,
        config: Config,
        begin: impl FnOnce(&mut P, &mut Context),
    ) -> Result<(), String> {
        let world = Rc::clone(host.world());
        let watched = Watched::new(handler, &host);
        let mut reactor = Reactor::with_network(watched, config, host.clone())
            .map_err(|error| format!("another reactor cannot be made: {error}"))?;
        reactor.with(|watched, cx| begin(&mut watched.inner, cx));
        let number = world.borrow().next_actor();
        host.run_by(number);
        let actor = ReactorActor { host, number, reactor, checks: Checks::default(), over: false };
        world.borrow_mut().add_actor(Box::new(actor));
        Ok(())
    }
}

impl<P: Handler + 'static> Actor for ReactorActor<P> {
    fn act(&mut self, _: &SimNet) {
        if self.over {
            return;
        }
        match self.checks.turn(&mut self.reactor, &self.host) {
            Ok(true) => {}
            Ok(false) => self.over = true,
            Err(what) => {
                self.over = true;
                self.host.world().borrow_mut().violated(|| format!("another reactor: {what}"));
            }
        }
        let asleep = self.host.asleep_until();
        let mut world = self.host.world().borrow_mut();
        let now = world.now;
        match asleep {
            Some(u64::MAX) => {}
            Some(until) => world.act_in(self.number, until.saturating_sub(now).max(1)),
            None => world.act_in(self.number, 0),
        }
    }
}
