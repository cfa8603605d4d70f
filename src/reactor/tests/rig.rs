//! A reactor on the scripted network with a handler of the test's own, which is lent its frames as they are.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fake::{Fake, Sock, event, listener_event};
use crate::config::Config;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Event;
use crate::reactor::{Reactor, Socket};
use crate::readiness::Readiness;

pub(super) struct Rig<H: Handler> {
    pub(super) reactor: Reactor<H, Fake>,
    pub(super) net: Fake,
}

impl<H: Handler> Rig<H> {
    pub(super) fn new(config: Config, handler: H) -> Rig<H> {
        let net = Fake::default();
        let mut reactor = Reactor::with_network(handler, config, net.clone()).expect("a valid configuration");
        reactor.listen(([127, 0, 0, 1], 0)).expect("nothing is scripted");
        Rig { reactor, net }
    }

    /// Lets the loop run until it would wait. Its books must be in order before every turn.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let quiet = |_, _: &_, _, _| Socket { forgotten: false, takes: false };
            self.reactor.audit(false, quiet).expect("in order");
            self.reactor.turn(None).expect("it runs");
            if self.net.0.borrow().waited {
                return;
            }
        }
        panic!("the loop spins");
    }

    pub(super) fn events(&mut self, events: &[Event]) {
        self.net.0.borrow_mut().polls.push_back(Ok(events.to_vec()));
        self.settle();
    }

    pub(super) fn event(&mut self, id: ConnId, readiness: Readiness) {
        self.events(&[event(id, readiness)]);
    }

    /// Has a connection come in.
    pub(super) fn accept(&mut self) -> (ConnId, Sock) {
        let before: BTreeSet<_> = self.reactor.connections().map(|info| info.id).collect();
        let sock = Sock::default();
        self.net.0.borrow_mut().accepts.push_back(Ok(sock.clone()));
        self.events(&[listener_event()]);
        let new = self.reactor.connections().map(|info| info.id).find(|id| !before.contains(id));
        (new.expect("it was opened"), sock)
    }

    /// Has `bytes` arrive.
    pub(super) fn receive(&mut self, (id, sock): &(ConnId, Sock), bytes: &[u8]) {
        sock.receives(bytes);
        self.event(*id, Readiness::READABLE);
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        self.net.0.borrow_mut().now += time;
        self.settle();
    }
}
