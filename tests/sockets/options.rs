//! Options of sockets, as programs set and read them. What each does to the socket is tested beside the code that sets it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::{
    Bind, CloseReason, Config, Conn, ConnId, Connect, Context, DatagramId, Handler, Keepalive, Listen,
    Options, Peer, Reactor, Result,
};

use crate::server::PATIENCE;
use crate::turns::{connect, listening, turn_until};

const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// Reads the options of each connection when it opens, and may set some.
#[derive(Default)]
struct Reader {
    ids: Vec<ConnId>,
    options: Vec<Options>,
    at_once: Options,
    later: Vec<Options>,
    failed: Vec<(Option<ConnId>, ErrorKind, String)>,
    /// How much is sent to each, and what connections ended with.
    sends: usize,
    closed: Vec<Option<ErrorKind>>,
}

impl Handler for Reader {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ())> {
        self.ids.push(cx.id());
        peer.set(&self.at_once).expect("set");
        self.options.push(peer.options().expect("read"));
        for options in self.later.drain(..) {
            cx.set_options(cx.id(), options);
        }
        cx.send(&vec![b'x'; self.sends]);
        Some((Raw::new(), ()))
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        self.closed.push(match why {
            CloseReason::Io(error) => Some(error.kind()),
            _ => None,
        });
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn options_failed(&mut self, _: &mut Context, target: ConnId, error: &io::Error) {
        self.failed.push((Some(target), error.kind(), error.to_string()));
    }

    fn datagram_failed(&mut self, _: &mut Context, _: DatagramId, error: &io::Error) {
        self.failed.push((None, error.kind(), error.to_string()));
    }
}

fn keepalive() -> Options {
    Options::new().keepalive(Keepalive::new(Duration::from_secs(50), Duration::from_secs(7), 4))
}

#[test]
fn what_a_listener_has_its_connections_have_and_opened_can_change() {
    let options = keepalive().traffic_class(0x20).recv_buffer_size(10_000);
    let listen = Listen::from(LOCAL).nodelay(false).recv_buffer_size(20_000).options(options);
    let reader = Reader { at_once: Options::new().hop_limit(9), ..Reader::default() };
    let (mut reactor, addr) = listening(reader, Config::default(), listen);
    let _client = connect(addr);
    turn_until(&mut reactor, |reactor| reactor.stats().open == 1);
    let told = reactor.handler().options[0].clone();
    let expected = keepalive().traffic_class(0x20).nodelay(false).hop_limit(9).recv_buffer_size(20_000);
    assert_eq!(expected.or(told.clone()), told);
    let id = reactor.handler().ids[0];
    assert_eq!(reactor.options(id).expect("it is open"), told);
    assert_eq!(reactor.conn_addr(id).expect("it is open").socket_addr(), Some(addr));
}

#[test]
fn a_connect_has_its_options_before_it_is_open() {
    let there = TcpListener::bind(SocketAddr::from(LOCAL)).expect("a free port");
    let to = there.local_addr().expect("bound");
    let mut reactor = Reactor::new(Reader::default(), Config::default()).expect("a reactor can be made");
    reactor.with(|_, cx| {
        for connect in [Connect::to(to), Connect::to(to).options(keepalive()).nodelay(false)] {
            cx.connect(connect, 0).expect("below the limit");
        }
    });
    turn_until(&mut reactor, |reactor| reactor.stats().connected == 2);
    let mut told: Vec<_> =
        reactor.handler().options.iter().map(|options| (options.nodelay, options.keepalive)).collect();
    told.sort_by_key(|(nodelay, _)| *nodelay);
    assert_eq!(told, [(Some(false), keepalive().keepalive), (Some(true), Some(Keepalive::Off))]);
}

#[test]
fn what_a_callback_sets_is_set_after_it_and_what_fails_is_told() {
    let reader = Reader {
        later: vec![keepalive(), Options::new().hop_limit(0), Options::new().nodelay(false)],
        ..Reader::default()
    };
    let (mut reactor, addr) = listening(reader, Config::default(), LOCAL);
    let client = connect(addr);
    turn_until(&mut reactor, |reactor| !reactor.handler().failed.is_empty());
    let id = reactor.handler().ids[0];
    assert_eq!(reactor.handler().options[0].keepalive, Some(Keepalive::Off), "not before it returns");
    let told = reactor.options(id).expect("it is open");
    assert_eq!((told.keepalive, told.nodelay), (keepalive().keepalive, Some(false)));
    let wrong = "hop_limit of 0 is outside 1 to 255".to_string();
    assert_eq!(reactor.handler().failed, [(Some(id), ErrorKind::InvalidInput, wrong)]);
    assert_eq!(reactor.stats().open, 1, "it goes on");

    reactor.set_options(id, &Options::new().keepalive(Keepalive::Off)).expect("set");
    assert_eq!(reactor.options(id).expect("it is open").keepalive, Some(Keepalive::Off));
    drop(client);
    turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
    assert_eq!(reactor.options(id).expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(reactor.set_options(id, &keepalive()).expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(reactor.conn_addr(id).expect_err("gone").kind(), ErrorKind::NotFound);
    // Of one that is gone nothing is told.
    reactor.with(|_, cx| cx.set_options(id, Options::new().hop_limit(0)));
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert_eq!(reactor.handler().failed.len(), 1);
}

#[test]
fn options_may_be_set_while_it_connects() {
    let there = TcpListener::bind(SocketAddr::from(LOCAL)).expect("a free port");
    let to = there.local_addr().expect("bound");
    let mut reactor = Reactor::new(Reader::default(), Config::default()).expect("a reactor can be made");
    reactor.with(|_, cx| {
        let id = cx.connect(to, 0).expect("below the limit");
        cx.set_options(id, keepalive());
    });
    turn_until(&mut reactor, |reactor| reactor.stats().connected == 1);
    assert_eq!(reactor.handler().options[0].keepalive, keepalive().keepalive);
}

// They are refused before any is set: the connect goes on as if nothing had been asked for.
#[test]
fn wrong_options_change_nothing_of_a_connect_under_way() {
    let wrong = Options::new().hop_limit(0);
    let mut reactor = Reactor::new(Reader::default(), Config::default()).expect("a reactor can be made");
    let listener = reactor.listen(LOCAL).expect("a free port");
    let addr = reactor.local_addr(listener).expect("bound").socket_addr().expect("an IP address");
    // Nobody listens on the first of the two: the other is opened after the options were asked for.
    let nobody = TcpListener::bind(SocketAddr::from(LOCAL)).and_then(|listener| listener.local_addr());
    let several = Connect::to_any([nobody.expect("a free port"), addr]).expect("two addresses");
    for connect in [several, Connect::name("localhost", addr.port()).expect("a name")] {
        let id = reactor.connect(connect, 0).expect("below the limit");
        let mut refused = 0;
        while reactor.stats().connects_failed == 0 && !reactor.handler().ids.contains(&id) {
            reactor.turn(Some(PATIENCE)).expect("a turn");
            match reactor.set_options(id, &wrong).map_err(|error| error.kind()) {
                Err(ErrorKind::InvalidInput) => refused += 1,
                Err(ErrorKind::NotFound) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((reactor.stats().connects_failed, refused > 0), (0, true));
    }
}

#[test]
fn a_socket_for_datagrams_has_options_too() {
    let mut reactor = Reactor::new(Reader::default(), Config::default()).expect("a reactor can be made");
    let bind = Bind::new(LOCAL.into()).options(Options::new().traffic_class(8)).recv_buffer_size(10_000);
    let socket = reactor.bind(bind).expect("a free port");
    let told = reactor.datagram_options(socket).expect("it is open");
    assert_eq!((told.traffic_class, told.recv_buffer_size, told.nodelay), (Some(8), Some(20_000), None));
    reactor.set_datagram_options(socket, &Options::new().hop_limit(3)).expect("set");
    reactor.with(|_, cx| {
        cx.set_datagram_options(socket, Options::new().traffic_class(16));
        cx.set_datagram_options(socket, keepalive());
    });
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    let told = reactor.datagram_options(socket).expect("it is open");
    assert_eq!((told.traffic_class, told.hop_limit), (Some(16), Some(3)));
    let wrong = "keepalive is no option of UDP".to_string();
    assert_eq!(reactor.handler().failed, [(None, ErrorKind::InvalidInput, wrong)]);
    let bind = Bind::new(LOCAL.into()).options(keepalive());
    assert_eq!(reactor.bind(bind).expect_err("of TCP").to_string(), "keepalive is no option of UDP");
}

// F12: the kernel gives up a peer that takes nothing, long before the reactor's own timeout would.
#[test]
fn f12_the_user_timeout_ends_a_peer_that_takes_nothing() {
    let reader = Reader { sends: 8 << 20, ..Reader::default() };
    let mut config = Config::default();
    config.queued_bytes_max = 16 << 20;
    config.write_timeout = PATIENCE * 10;
    let options = Options::new().user_timeout(Duration::from_millis(300));
    let listen = Listen::from(LOCAL).options(options.send_buffer_size(20_000));
    let (mut reactor, addr) = listening(reader, config, listen);
    let _client = connect(addr);
    turn_until(&mut reactor, |reactor| !reactor.handler().closed.is_empty());
    assert_eq!(reactor.handler().closed, [Some(ErrorKind::TimedOut)]);
}

#[test]
fn wrong_options_keep_a_listener_from_opening() {
    let mut reactor = Reactor::new(Reader::default(), Config::default()).expect("a reactor can be made");
    let listen = Listen::from(LOCAL).options(Options::new().device("no/name"));
    let error = reactor.listen(listen).expect_err("no name of an interface");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
