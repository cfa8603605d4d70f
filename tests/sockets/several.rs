//! Connecting to several addresses, to names, from an address of ours, and from outside of the loop.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use switchboard::codec::{Lines, Raw};
use switchboard::{
    Addr, Backoff, Close, CloseReason, Config, Conn, ConnId, Connect, Context, Frame, Handler, Options, Peer,
    Reactor, Result, Stop,
};

use crate::connecting::black_hole;
use crate::server::PATIENCE;

#[derive(PartialEq, Debug)]
enum Told {
    Opened { id: ConnId, peer: Addr, local: Addr },
    Line(Vec<u8>),
    Failed(std::io::ErrorKind, String),
    Closed,
}

/// Notes what it is told, and greets whom it is connected to.
struct Client(mpsc::Sender<Told>);

impl Client {
    fn tell(&self, told: Told) {
        // The test may have seen enough.
        let _ = self.0.send(told);
    }
}

impl Handler for Client {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Lines, ())> {
        let local = peer.local_addr().expect("it is connected");
        self.tell(Told::Opened { id: cx.id(), peer: peer.addr.clone(), local });
        Some((Lines::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        self.tell(Told::Line(line.to_vec()));
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, (): (), _: &CloseReason) {
        self.tell(Told::Closed);
    }

    fn connect_failed(&mut self, _: &mut Context, _: u64, why: &CloseReason) {
        let kind = match why {
            CloseReason::Io(error) => error.kind(),
            CloseReason::TimedOut(_) => std::io::ErrorKind::TimedOut,
            _ => std::io::ErrorKind::Other,
        };
        self.tell(Told::Failed(kind, why.to_string()));
    }
}

/// A reactor and what its handler is told.
struct Rig {
    reactor: Reactor<Client>,
    told: mpsc::Receiver<Told>,
}

impl Rig {
    fn new() -> Rig {
        let (tell, told) = mpsc::channel();
        Rig { reactor: Reactor::new(Client(tell), Config::default()).expect("made"), told }
    }

    fn connect(&mut self, connect: impl Into<Connect>) -> ConnId {
        self.reactor.connect(connect, 0).expect("room")
    }

    /// Turns until the handler is told something.
    fn next(&mut self) -> Told {
        let begin = Instant::now();
        loop {
            if let Ok(told) = self.told.try_recv() {
                return told;
            }
            assert!(begin.elapsed() < PATIENCE, "nothing is told");
            self.reactor.turn(Some(Duration::from_millis(100))).expect("a turn");
        }
    }

    fn failure(&mut self) -> (std::io::ErrorKind, String) {
        match self.next() {
            Told::Failed(kind, text) => (kind, text),
            other => panic!("it fails: {other:?}"),
        }
    }
}

/// A server that says one word and ends.
fn greeter(ip: impl Into<IpAddr>) -> Option<SocketAddr> {
    let listener = TcpListener::bind((ip.into(), 0)).ok()?;
    let addr = listener.local_addr().ok()?;
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            // Whoever tries several addresses may have gone again.
            let _ = stream.write_all(b"hello\n");
        }
    });
    Some(addr)
}

fn v4_greeter() -> SocketAddr {
    greeter(Ipv4Addr::LOCALHOST).expect("a free port")
}

/// Where nobody listens. Bound and not listening, the port is nobody else's meanwhile.
fn refuser() -> (SocketAddr, socket2::Socket) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    (socket.local_addr().ok().and_then(|addr| addr.as_socket()).expect("bound"), socket)
}

// D5: the first address never answers. The second is tried beside it, and the first is closed once that has.
#[test]
fn d5_of_two_addresses_the_one_that_answers_is_taken() {
    let ((silent, _sockets), there) = (black_hole(), v4_greeter());
    let mut rig = Rig::new();
    let both = Connect::to_any([silent, there]).expect("two").stagger(Duration::from_millis(20));
    let begin = Instant::now();
    let id = rig.connect(both);
    let Told::Opened { id: opened, peer, .. } = rig.next() else { panic!("it is opened") };
    assert!(begin.elapsed() >= Duration::from_millis(20), "early");
    assert_eq!((opened, peer), (id, Addr::from(there)));
    assert_eq!((rig.next(), rig.next()), (Told::Line(b"hello".to_vec()), Told::Closed));
    let stats = rig.reactor.stats();
    assert_eq!((stats.connected, stats.connects_failed, stats.open), (1, 0, 0));
    assert_eq!((stats.calls.register, stats.calls.close), (2, 2));
}

// D4: an address that refuses makes way for the next, and what is sent before goes to the one that answers.
#[test]
fn d4_an_address_that_refuses_makes_way_for_the_next() {
    let ((refuser, _socket), there) = (refuser(), v4_greeter());
    let mut rig = Rig::new();
    let all = Connect::to_any([refuser, there]).expect("two").stagger(Duration::from_secs(2));
    let id = rig.connect(all);
    assert!(rig.reactor.with(|_, cx| cx.send_to(id, b"hi\n")).is_queued());
    assert!(matches!(rig.next(), Told::Opened { peer, .. } if peer == Addr::from(there)));
    assert_eq!(rig.next(), Told::Line(b"hello".to_vec()));
}

// D4: all of them refuse: one report, which says of which address, why, and how many there were.
#[test]
fn d4_several_addresses_that_refuse_are_one_failure() {
    let ((one, _one), (other, _other)) = (refuser(), refuser());
    let mut rig = Rig::new();
    rig.connect(Connect::to_any([one, other]).expect("two"));
    let (kind, text) = rig.failure();
    assert_eq!(kind, std::io::ErrorKind::ConnectionRefused);
    assert!(text.starts_with(&format!("socket error: {other}: Connection refused")), "{text}");
    assert!(text.ends_with("(2 addresses were tried)"), "{text}");
    assert_eq!((rig.reactor.stats().open, rig.reactor.stats().calls.close), (0, 2));
}

// D11: closed while two addresses are tried: one report, and both sockets are closed.
#[test]
fn d11_a_connect_to_several_addresses_that_is_given_up_is_told_once() {
    let ((one, _one), (other, _other)) = (black_hole(), black_hole());
    let mut rig = Rig::new();
    let id = rig.connect(Connect::to_any([one, other]).expect("two").stagger(Duration::from_millis(10)));
    let begin = Instant::now();
    while rig.reactor.stats().calls.register < 2 {
        assert!(begin.elapsed() < PATIENCE, "the second is not tried");
        rig.reactor.turn(Some(Duration::from_millis(10))).expect("a turn");
    }
    rig.reactor.with(|_, cx| cx.close(id, Close::Flush));
    assert!(matches!(rig.next(), Told::Failed(..)));
    assert_eq!((rig.reactor.stats().open, rig.reactor.stats().calls.close), (0, 2));
    rig.reactor.run().expect("nothing is left");
    assert!(rig.told.try_recv().is_err(), "told once");
}

// D5: a connect may have less time than the configuration gives all of them.
#[test]
fn d5_a_connect_has_the_time_that_it_was_given() {
    let (silent, _sockets) = black_hole();
    let mut rig = Rig::new();
    rig.connect(Connect::to(silent).timeout(Duration::from_millis(30)));
    assert_eq!(rig.failure().1, "timed out waiting for the connect");
    rig.connect(Connect::to_any([silent]).expect("one").timeout(Duration::ZERO));
    assert_eq!(rig.failure().1, "timed out waiting for the connect");
}

// D6: the system knows no way at once: TCP goes to no group.
#[test]
fn d6_an_address_without_a_way_fails_with_the_systems_reason_and_makes_way() {
    let nowhere = SocketAddr::from(([224, 0, 0, 1], 7000));
    let mut rig = Rig::new();
    rig.connect(nowhere);
    assert_eq!(rig.failure().0, std::io::ErrorKind::NetworkUnreachable);
    let there = v4_greeter();
    rig.connect(Connect::to_any([nowhere, there]).expect("two"));
    assert!(matches!(rig.next(), Told::Opened { peer, .. } if peer == Addr::from(there)));
}

// D7: a port that is in use, and one that has a connection to the destination already.
#[test]
fn d7_a_local_port_serves_one_connection_to_a_destination() {
    // It keeps whom it has in its backlog.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let there = listener.local_addr().expect("bound");
    let mut rig = Rig::new();
    let id = rig.connect(Connect::to(there).local((Ipv4Addr::new(127, 0, 0, 2), 0)));
    let Told::Opened { local, .. } = rig.next() else { panic!("it is opened") };
    assert_eq!(local.ip(), Some(Ipv4Addr::new(127, 0, 0, 2).into()));
    let local = local.socket_addr().expect("an IP address");
    let failure = |rig: &mut Rig| {
        rig.connect(Connect::to(there).local(local));
        let (kind, text) = rig.failure();
        assert!(text.ends_with("has a connection to this destination already"), "{text}");
        kind
    };
    // Its port was chosen for it alone.
    assert_eq!(failure(&mut rig), std::io::ErrorKind::AddrInUse);
    rig.reactor.with(|_, cx| cx.close(id, Close::Abort));
    assert_eq!(rig.next(), Told::Closed);
    // One that was said can be shared, but not by two with one destination.
    rig.connect(Connect::to(there).local(local));
    assert!(matches!(rig.next(), Told::Opened { local: its, .. } if its == Addr::from(local)));
    assert_eq!(failure(&mut rig), std::io::ErrorKind::AddrNotAvailable);
}

// D8: from an address to itself: the kernel connects that, and it is nobody.
#[test]
fn d8_a_connect_from_an_address_to_itself_is_refused_and_makes_way() {
    // An address that no other test takes ports of.
    let itself = SocketAddr::from(([127, 0, 8, 8], 7000));
    let mut rig = Rig::new();
    rig.connect(Connect::to(itself).local(itself));
    let (kind, text) = rig.failure();
    assert_eq!(
        (kind, text.as_str()),
        (std::io::ErrorKind::ConnectionRefused, "socket error: connected to itself")
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let there = listener.local_addr().expect("bound");
    rig.connect(Connect::to_any([itself, there]).expect("two").local(itself).stagger(Duration::from_secs(2)));
    assert!(matches!(rig.next(), Told::Opened { peer, .. } if peer == Addr::from(there)));
}

#[test]
fn an_address_that_is_not_ours_or_of_the_other_family_says_so() {
    let there = v4_greeter();
    let mut rig = Rig::new();
    rig.connect(Connect::to(there).local(([192, 0, 2, 1], 0)));
    let (kind, text) = rig.failure();
    assert_eq!(kind, std::io::ErrorKind::AddrNotAvailable);
    assert!(text.contains("192.0.2.1 is not ours"), "{text}");
    rig.connect(Connect::to(there).local((Ipv6Addr::LOCALHOST, 0)));
    let (kind, text) = rig.failure();
    assert_eq!(kind, std::io::ErrorKind::InvalidInput);
    assert!(text.contains("from [::1]:0, which is of the other family"), "{text}");
}

#[test]
fn options_set_while_addresses_are_tried_are_those_of_the_one_that_answers() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let there = listener.local_addr().expect("bound");
    for set_before in [true, false] {
        let (silent, _sockets) = black_hole();
        let mut rig = Rig::new();
        let both = Connect::to_any([silent, there]).expect("two").stagger(Duration::from_millis(20));
        let id = rig.connect(both.options(Options::new().hop_limit(9)));
        if !set_before {
            // The first address is being tried.
            rig.reactor.turn(Some(Duration::ZERO)).expect("a turn");
            assert_eq!(rig.reactor.options(id).expect("its socket's").hop_limit, Some(9));
        }
        rig.reactor.with(|_, cx| cx.set_options(id, Options::new().nodelay(false)));
        assert!(matches!(rig.next(), Told::Opened { peer, .. } if peer == Addr::from(there)));
        let options = rig.reactor.options(id).expect("it is open");
        assert_eq!((options.nodelay, options.hop_limit), (Some(false), Some(9)));
    }
}

// D14: every machine knows itself, by one family or both; whoever listens on one of them is found.
#[test]
fn d14_a_name_is_looked_up_and_each_of_its_addresses_tried() {
    for there in [Some(v4_greeter()), greeter(Ipv6Addr::LOCALHOST)].into_iter().flatten() {
        let mut rig = Rig::new();
        rig.connect(Connect::name("localhost", there.port()).expect("a name"));
        match rig.next() {
            Told::Opened { peer, .. } => {
                assert!(peer.ip().is_some_and(|ip| ip.is_loopback()) && peer.port() == Some(there.port()));
            }
            // A machine may have the address and not the name for it.
            Told::Failed(_, text) => {
                assert!(there.is_ipv6() && text.contains("localhost: 127.0.0.1:"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

// D14: a name that cannot exist, because a part of it is too long, so that nobody else is asked.
#[test]
fn d14_a_name_that_cannot_be_looked_up_fails_with_the_name() {
    let name = format!("{}.invalid", "x".repeat(64));
    let mut rig = Rig::new();
    rig.connect(Connect::name(&name, 80).expect("it looks like one"));
    let (kind, text) = rig.failure();
    assert_eq!(kind, std::io::ErrorKind::NotFound, "{text}");
    assert!(text.starts_with(&format!("socket error: {name} cannot be looked up: ")), "{text}");
    assert_eq!(rig.reactor.stats().open, 0);
}

// D11, D14: closed while the name is looked up, or before; and a reactor that is dropped meanwhile.
#[test]
fn d11_a_lookup_that_is_given_up_is_told_once_and_waited_for_by_nobody() {
    let mut rig = Rig::new();
    for turn in [false, true] {
        let id = rig.connect(Connect::name("localhost", 1).expect("a name"));
        if turn {
            rig.reactor.turn(Some(Duration::ZERO)).expect("the lookup begins");
        }
        rig.reactor.with(|_, cx| cx.close(id, Close::Abort));
        assert!(matches!(rig.next(), Told::Failed(..)));
    }
    rig.reactor.run().expect("nothing is left");
    assert!(rig.told.try_recv().is_err(), "told once each");
    let mut rig = Rig::new();
    rig.connect(Connect::name("localhost", 1).expect("a name"));
    rig.reactor.turn(Some(Duration::ZERO)).expect("the lookup begins");
    drop(rig.reactor);
}

#[test]
fn another_thread_connects_through_the_handle() {
    let there = v4_greeter();
    let mut rig = Rig::new();
    let handle = rig.reactor.handle();
    let asked = std::thread::spawn(move || {
        handle.post(move |_, cx| {
            cx.connect(there, 0).expect("room");
        })
    });
    assert!(matches!(rig.next(), Told::Opened { peer, .. } if peer == Addr::from(there)));
    assert!(asked.join().expect("no panic").is_ok());
}

#[test]
fn a_reactor_that_has_stopped_connects_no_more() {
    let mut rig = Rig::new();
    rig.reactor.with(|_, cx| cx.stop(Stop::Now));
    rig.reactor.run().expect("it stops");
    let error = rig.reactor.connect(([127, 0, 0, 1], 1), 0).expect_err("refused");
    assert_eq!(error.to_string(), "no more connects: the reactor stops");
}

// D15: each failure asks for another attempt, later, in a line.
#[test]
fn d15_connects_are_tried_again_as_the_backoff_says() {
    struct Client {
        server: Connect,
        backoff: Backoff,
        failures: Vec<Instant>,
    }

    impl Handler for Client {
        type Codec = Raw;
        type Session = ();

        fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
            None
        }

        fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
            Ok(())
        }

        fn connect_failed(&mut self, cx: &mut Context, _: u64, _: &CloseReason) {
            self.failures.push(Instant::now());
            if let Some(after) = self.backoff.next() {
                cx.connect(self.server.clone().after(after), 0).expect("there is room");
            }
        }
    }

    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let min = Duration::from_millis(10);
    let backoff = Backoff::new(1).min(min).max(2 * min).attempts_max(3);
    let client = Client { server: Connect::to(nobody), backoff, failures: Vec::new() };
    let mut reactor = Reactor::new(client, Config::default()).expect("a reactor can be made");
    reactor.connect(nobody, 0).expect("there is room");
    reactor.run().expect("it ends when nothing is left to try");
    let failures = &reactor.handler().failures;
    assert_eq!(failures.len(), 4);
    assert!(failures.windows(2).all(|pair| pair[1].duration_since(pair[0]) >= min), "{failures:?}");
}
