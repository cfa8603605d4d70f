//! Stopping: now, and by a drain that finishes what is open.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use switchboard::codec::Lines;
use switchboard::{
    CloseKind, CloseReason, Config, Conn, Context, Frame, Handler, Listen, Peer, Reactor, Result, State, Stop,
};

use crate::server::PATIENCE;
use crate::turns::{Scribe, connect, hear, listening, say, settle, turn_until, turn_until_told};

const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A drain that is not over by itself never is.
fn patient() -> Config {
    let mut config = Config::default();
    config.drain_timeout = Duration::from_secs(3600);
    config.linger_timeout = Duration::from_secs(3600);
    config
}

/// Turns until the reactor stops, although somebody holds a handle of it and nothing else wakes it.
fn turn_to_the_end<H: Handler>(reactor: &mut Reactor<H>) {
    let _handle = reactor.handle();
    loop {
        let start = Instant::now();
        let goes_on = reactor.turn(Some(PATIENCE)).expect("a turn");
        assert!(start.elapsed() < PATIENCE, "nothing is left and the loop sleeps: {:?}", reactor.stats());
        if !goes_on {
            return;
        }
    }
}

fn ended(mut client: &TcpStream) {
    assert_eq!(client.read(&mut [0]).expect("their end"), 0);
}

// F10: an idle connection does not keep a drain waiting, and the loop ends with the last one.
#[test]
fn f10_a_drain_closes_idle_connections_at_once_and_ends_with_the_last() {
    let (mut reactor, addr) = listening(Scribe::echo(), patient(), LOCAL);
    let clients = [connect(addr), connect(addr), connect(addr)];
    say(&clients[0], "served before");
    turn_until_told(&mut reactor, 4);
    hear(&clients[0], "served before\n");
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    settle(&mut reactor);
    for client in clients {
        ended(&client);
    }
    turn_to_the_end(&mut reactor);
    assert_eq!(reactor.stats().closed(CloseKind::Closed), 3);
    assert_eq!(reactor.turn(None).expect_err("over").to_string(), "the reactor has stopped");
    let error = TcpStream::connect_timeout(&addr, PATIENCE).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_drain_of_nothing_ends_at_once() {
    let (mut reactor, _) = listening(Scribe::new(), patient(), LOCAL);
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    turn_to_the_end(&mut reactor);
}

// F10: a frame begun is awaited and answered, and a reply under way is finished.
#[test]
fn f10_a_drain_finishes_who_is_busy() {
    const REPLY: usize = 3 << 20;
    let act = |cx: &mut Context, line: &str| {
        cx.send(&vec![b'.'; if line == "much" { REPLY } else { 1 }]);
        Ok(())
    };
    let (mut reactor, addr) =
        listening(Scribe::doing(act), patient(), Listen::from(LOCAL).send_buffer_size(4096));
    let (mut begun, mut reading) = (connect(addr), connect(addr));
    begun.write_all(b"half a li").expect("written");
    say(&reading, "much");
    turn_until(&mut reactor, |reactor| reactor.stats().received == 14);
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    settle(&mut reactor);
    assert_eq!(reactor.stats().open, 2);

    say(&begun, "ne");
    turn_until(&mut reactor, |reactor| reactor.stats().frames == 2);
    let mut reply = Vec::new();
    begun.read_to_end(&mut reply).expect("the reply and the end");
    assert_eq!(reply, b".");
    drop(begun);
    turn_until(&mut reactor, |reactor| reactor.stats().open == 1);

    let read = std::thread::spawn(move || {
        let mut reply = Vec::new();
        reading.read_to_end(&mut reply).map(|_| reply.len())
    });
    turn_to_the_end(&mut reactor);
    assert_eq!(read.join().expect("read").expect("to the end"), REPLY);
    assert_eq!(reactor.stats().closed(CloseKind::Closed), 2);
}

// F10: who is not finished at the deadline is reset.
#[test]
fn f10_a_drain_resets_the_rest_at_its_deadline() {
    let mut config = Config::default();
    config.drain_timeout = Duration::from_millis(30);
    let (mut reactor, addr) = listening(Scribe::new(), config, LOCAL);
    let mut client = connect(addr);
    client.write_all(b"never whole").expect("written");
    turn_until(&mut reactor, |reactor| reactor.stats().received > 0);
    let start = Instant::now();
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    turn_to_the_end(&mut reactor);
    assert!(start.elapsed() >= Duration::from_millis(30), "too early");
    assert_eq!(reactor.handler().log, ["opened 0", "closed: the reactor stopped"]);
    assert_eq!(reactor.stats().closed(CloseKind::Stopped), 1);
    assert_eq!(client.read(&mut [0]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
}

// F10, C10: those in the backlog were promised service: they are accepted, served what they asked, and closed.
#[test]
fn f10_a_drain_serves_the_backlog() {
    let (mut reactor, addr) = listening(Scribe::echo(), patient(), LOCAL);
    let clients: Vec<_> = (0..40).map(|_| connect(addr)).collect();
    for client in &clients {
        say(client, "in time");
    }
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    turn_until(&mut reactor, |reactor| reactor.stats().frames == 40);
    settle(&mut reactor);
    for client in clients {
        hear(&client, "in time\n");
        ended(&client);
    }
    turn_to_the_end(&mut reactor);
    assert_eq!(reactor.stats().accepted, 40);
}

// F10: a program that is not finished with a connection pauses it; the drain waits.
#[test]
fn f10_a_drain_waits_for_a_connection_that_the_program_has_paused() {
    let act = |cx: &mut Context, _: &str| {
        cx.pause(cx.id());
        Ok(())
    };
    let (mut reactor, addr) = listening(Scribe::doing(act), patient(), LOCAL);
    let client = connect(addr);
    say(&client, "work");
    turn_until_told(&mut reactor, 2);
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    settle(&mut reactor);
    assert_eq!(reactor.connections().next().expect("open").state, State::Open);
    reactor.with(|handler, cx| {
        cx.send_to(handler.ids[0], b"done\n");
        cx.resume(handler.ids[0]);
    });
    settle(&mut reactor);
    hear(&client, "done\n");
    ended(&client);
    drop(client);
    turn_to_the_end(&mut reactor);
}

// F10: a connect under way when the drain begins is closed like any other once it is connected and idle.
#[test]
fn f10_a_drain_closes_what_becomes_connected_meanwhile() {
    let peers = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let peer = peers.local_addr().expect("an address");
    let mut reactor = Reactor::new(Scribe::new(), patient()).expect("made");
    reactor.with(|_, cx| {
        cx.connect(peer, 1).expect("room");
        cx.stop(Stop::Drain);
    });
    turn_until_told(&mut reactor, 1);
    settle(&mut reactor);
    let (accepted, _) = peers.accept().expect("connected");
    accepted.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    ended(&accepted);
    drop(accepted);
    turn_to_the_end(&mut reactor);
    assert_eq!(reactor.handler().log, ["opened 1", "closed: closed by this program"]);
}

#[test]
fn a_stop_now_resets_everything_and_tells_of_each() {
    let (mut reactor, addr) = listening(Scribe::new(), patient(), LOCAL);
    let served: Vec<_> = (0..3).map(|_| connect(addr)).collect();
    turn_until_told(&mut reactor, 3);
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    // A second one can only hasten it.
    reactor.with(|_, cx| cx.stop(Stop::Now));
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    assert!(!reactor.turn(None).expect("the last turn"), "there is no reason to go on");
    assert_eq!(reactor.stats().closed(CloseKind::Stopped), 3);
    assert_eq!(reactor.stats().open, 0);
    for client in served {
        let mut client = &client;
        assert_eq!(client.read(&mut [0]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    }
}

/// Connects again whenever it can, as a client that wants to stay connected does.
struct Stubborn {
    peer: std::net::SocketAddr,
    begun: u32,
    over: u32,
}

impl Stubborn {
    fn again(&mut self, cx: &mut Context) {
        self.over += 1;
        if self.begun < 1000 && cx.connect(self.peer, 0).is_ok() {
            self.begun += 1;
        }
    }
}

impl Handler for Stubborn {
    type Codec = Lines;
    type Session = ();
    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        Some((Lines::new(), ()))
    }
    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }
    fn closed(&mut self, cx: &mut Context, (): (), _: &CloseReason) {
        self.again(cx);
    }
    fn connect_failed(&mut self, cx: &mut Context, _: u64, _: &CloseReason) {
        self.again(cx);
    }
}

// F8: what is connected in the last `closed` is not forgotten: it is refused at the call.
#[test]
fn f8_each_connect_of_a_reactor_that_stops_has_an_outcome() {
    let peers = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let peer = peers.local_addr().expect("an address");
    let handler = Stubborn { peer, begun: 2, over: 0 };
    let mut reactor = Reactor::new(handler, patient()).expect("made");
    reactor.with(|handler, cx| {
        cx.connect(handler.peer, 0).expect("room");
    });
    turn_until(&mut reactor, |reactor| reactor.stats().connected == 1);
    reactor.with(|handler, cx| {
        cx.connect(handler.peer, 0).expect("room");
        cx.stop(Stop::Now);
    });
    turn_to_the_end(&mut reactor);
    assert_eq!(reactor.stats().open, 0);
    assert_eq!(reactor.handler().begun, reactor.handler().over);
}

// F10: a listener opened while the reactor drains would never let it end.
#[test]
fn f10_no_listener_is_opened_while_the_reactor_drains() {
    let (mut reactor, addr) = listening(Scribe::new(), patient(), LOCAL);
    let client = connect(addr);
    turn_until_told(&mut reactor, 1);
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    settle(&mut reactor);
    reactor.with(|_, cx| cx.listen(LOCAL));
    turn_until_told(&mut reactor, 2);
    assert_eq!(reactor.handler().log[1], "listen failed: the reactor stops");
    drop(client);
    turn_to_the_end(&mut reactor);
}
