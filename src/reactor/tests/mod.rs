//! The reactor on a scripted network: states that real sockets rarely show, one call at a time.
//!
//! A test says what the next calls answer and which events come, lets the loop run until it would wait, and
//! looks at what the handler was told and what was sent. The loop that does not come to wait is a failure too.

mod ends;
mod fake;
mod faults;
mod large;
mod lent;
mod output;
mod random;
mod rig;
mod several;
mod waits;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::codec::Lines;
use crate::config::Config;
use crate::context::Context;
use crate::error::{CloseReason, Result};
use crate::handler::{Conn, Frame, Handler, Peer};
use crate::id::{ConnId, ListenerId};
use crate::net::Event;
use crate::reactor::Reactor;
use crate::readiness::Readiness;
use fake::{Fake, Sock, event, listener_event};

/// What a callback is about, as the script of a test sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Told {
    Opened,
    Line(Vec<u8>),
    Writable,
    HalfClosed,
    Timer(u64),
    Alarm(u64),
    Closed(String),
    ConnectFailed(String),
    ListenFailed,
}

type Hook = Box<dyn FnMut(&mut Context, ConnId, &Told) -> Result>;

/// Notes every callback and does what the test wants done in it.
struct Probe {
    told: Rc<RefCell<Vec<(ConnId, Told)>>>,
    hook: Hook,
}

impl Probe {
    fn tell(&mut self, cx: &mut Context, told: &Told) -> Result {
        let id = cx.id();
        self.told.borrow_mut().push((id, told.clone()));
        (self.hook)(cx, id, told)
    }
}

impl Handler for Probe {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        self.tell(cx, &Told::Opened).ok()?;
        Some((Lines::new().frame_bytes_max(1 << 20), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        self.tell(cx, &Told::Line(line.to_vec()))
    }

    fn writable(&mut self, cx: &mut Context, _: Conn<'_, Self>) -> Result {
        self.tell(cx, &Told::Writable)
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        cx.close(conn.id, crate::error::Close::Flush);
        self.tell(cx, &Told::HalfClosed)
    }

    fn timer(&mut self, cx: &mut Context, _: Conn<'_, Self>, key: u64) -> Result {
        self.tell(cx, &Told::Timer(key))
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        self.tell(cx, &Told::Alarm(key)).ok();
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        self.tell(cx, &Told::Closed(why.to_string())).ok();
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, why: &CloseReason) {
        self.tell(cx, &Told::ConnectFailed(why.to_string())).ok();
    }

    fn listen_failed(&mut self, cx: &mut Context, _: ListenerId, _: &std::io::Error) {
        self.tell(cx, &Told::ListenFailed).ok();
    }
}

/// A reactor on a scripted network, and what there is to see of it.
struct Bench {
    reactor: Reactor<Probe, Fake>,
    net: Fake,
    told: Rc<RefCell<Vec<(ConnId, Told)>>>,
}

impl Bench {
    /// A reactor that listens, whose callbacks do what `hook` does.
    fn new(config: Config, hook: impl FnMut(&mut Context, ConnId, &Told) -> Result + 'static) -> Bench {
        let (net, told) = (Fake::default(), Rc::default());
        let probe = Probe { told: Rc::clone(&told), hook: Box::new(hook) };
        let mut reactor =
            Reactor::with_network(probe, config, net.clone()).expect("the configuration is valid");
        reactor.listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("nothing is scripted");
        let mut bench = Bench { reactor, net, told };
        bench.settle();
        bench
    }

    /// A reactor whose callbacks do nothing.
    fn quiet(config: Config) -> Bench {
        Bench::new(config, |_, _, _| Ok(()))
    }

    /// Lets the loop run until it would wait, and says for how long.
    fn settle(&mut self) -> Option<Duration> {
        for _ in 0..1000 {
            self.reactor.turn(None).expect("the reactor runs");
            let world = self.net.0.borrow();
            if world.waited {
                return world.asked;
            }
        }
        panic!("the loop spins");
    }

    /// Has one poll report `events`, then settles.
    fn events(&mut self, events: &[Event]) -> Option<Duration> {
        self.net.0.borrow_mut().polls.push_back(Ok(events.to_vec()));
        self.settle()
    }

    /// Has one event come for one connection.
    fn event(&mut self, id: ConnId, readiness: Readiness) -> Option<Duration> {
        self.events(&[event(id, readiness)])
    }

    /// Has `bytes` arrive on a connection.
    fn receive(&mut self, (id, sock): &(ConnId, Sock), bytes: &[u8]) {
        sock.receives(bytes);
        self.event(*id, Readiness::READABLE);
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) -> Option<Duration> {
        self.net.0.borrow_mut().now += time;
        self.settle()
    }

    /// Has a connection come in.
    fn accept(&mut self) -> (ConnId, Sock) {
        let sock = Sock::default();
        self.net.0.borrow_mut().accepts.push_back(Ok(sock.clone()));
        self.events(&[listener_event()]);
        let opened = |(id, told): &(ConnId, Told)| (*told == Told::Opened).then_some(*id);
        let id = self.told.borrow().iter().rev().find_map(opened).expect("it was opened");
        (id, sock)
    }

    /// Has the program connect.
    fn connect(&mut self) -> (ConnId, Sock) {
        let sock = Sock::default();
        self.net.0.borrow_mut().connects.push_back(Ok(sock.clone()));
        let addr = SocketAddr::from(([127, 0, 0, 1], 9));
        let id = self.reactor.with(|_, cx| cx.connect(addr, 0)).expect("there is room");
        (id, sock)
    }

    /// What the handler was told since the last time, `Opened` left out.
    fn told(&self) -> Vec<Told> {
        self.told.borrow_mut().drain(..).map(|(_, told)| told).filter(|told| *told != Told::Opened).collect()
    }
}

/// A line, as it was received.
fn line(text: &str) -> Told {
    Told::Line(text.as_bytes().to_vec())
}

/// The end, as it was told.
fn closed(why: &str) -> Told {
    Told::Closed(why.into())
}
