//! Connecting onward: outcomes that come late, or never.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use switchboard::codec::Lines;
use switchboard::{Close, CloseReason, Config, Conn, Context, Frame, Handler, Peer, Reactor, Result};

struct Client(mpsc::Sender<String>);

impl Handler for Client {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, _: &mut Context, peer: &Peer<'_>) -> Option<(Lines, ())> {
        self.0.send(format!("opened {}", peer.key)).expect("the test listens");
        Some((Lines::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }

    fn connect_failed(&mut self, _: &mut Context, key: u64, why: &CloseReason) {
        self.0.send(format!("{key} failed: {why}")).expect("the test listens");
    }
}

/// A listener that answers nobody any more: its backlog is full, and the kernel drops what comes.
pub(crate) fn black_hole() -> (SocketAddr, Vec<Socket>) {
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let listener = socket();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    listener.listen(0).expect("it listens");
    let addr = listener.local_addr().ok().and_then(|addr| addr.as_socket()).expect("bound");
    let mut sockets = vec![listener];
    for _ in 0..8 {
        let filler = socket();
        filler.set_nonblocking(true).expect("it can be");
        // In progress, for the first; for ever, for the others.
        let _ = filler.connect(&addr.into());
        sockets.push(filler);
    }
    (addr, sockets)
}

// D5: nobody answers. The reactor's own limit ends the attempt, where the kernel would try for minutes.
#[test]
fn d5_a_connect_that_nobody_answers_fails_in_time() {
    let (addr, _sockets) = black_hole();
    let (tell, told) = mpsc::channel();
    let mut config = Config::default();
    config.connect_timeout = Duration::from_millis(100);
    let mut reactor = Reactor::new(Client(tell), config).expect("made");
    let begin = Instant::now();
    reactor.with(move |_, cx| {
        let id = cx.connect(addr, 4).expect("room");
        assert!(cx.send_to(id, b"never\n").is_queued());
    });
    reactor.run().expect("returns when nothing is left");
    assert!(begin.elapsed() >= Duration::from_millis(100), "early");
    assert_eq!((reactor.stats().connects_failed, reactor.stats().open), (1, 0));
    drop(reactor);
    assert_eq!(told.iter().collect::<Vec<_>>(), ["4 failed: timed out waiting for the connect"]);
}

// D11: paused and resumed while it connects: there is nothing to be visited yet.
#[test]
fn d11_a_connect_can_be_paused_and_resumed() {
    let (addr, _sockets) = black_hole();
    let (tell, told) = mpsc::channel();
    let mut config = Config::default();
    config.connect_timeout = Duration::from_millis(50);
    config.idle_timeout = Some(Duration::from_millis(10));
    let mut reactor = Reactor::new(Client(tell), config).expect("made");
    let id = reactor.with(|_, cx| cx.connect(addr, 6)).expect("room");
    reactor.turn(Some(Duration::ZERO)).expect("the attempt begins");
    reactor.with(|_, cx| {
        assert!(cx.send_to(id, b"queued\n").is_queued());
        cx.pause(id);
        cx.resume(id);
    });
    reactor.run().expect("returns when nothing is left");
    drop(reactor);
    assert_eq!(told.iter().collect::<Vec<_>>(), ["6 failed: timed out waiting for the connect"]);
}

// D11: closed while it connects: one report, no `opened`, no `closed`.
#[test]
fn d11_a_connect_that_is_given_up_is_told_once() {
    let (addr, _sockets) = black_hole();
    let (tell, told) = mpsc::channel();
    let mut reactor = Reactor::new(Client(tell), Config::default()).expect("made");
    let id = reactor.with(|_, cx| cx.connect(addr, 5)).expect("room");
    reactor.turn(Some(Duration::ZERO)).expect("the attempt begins");
    reactor.with(|_, cx| {
        cx.close(id, Close::Flush);
        assert!(!cx.send_to(id, b"late\n").is_queued());
        cx.close(id, Close::Abort);
    });
    reactor.run().expect("returns when nothing is left");
    drop(reactor);
    let told: Vec<_> = told.iter().collect();
    assert!(matches!(&told[..], [one] if one.starts_with("5 failed: ")), "{told:?}");
}
