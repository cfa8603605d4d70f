//! K10: an IPv4 address is shown, counted and answered as one, also where the system writes it as IPv6.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::{
    Addr, Bind, Config, Conn, Context, Datagram, Handler, Listen, Origin, Peer, Reactor, Result,
};

use crate::server::PATIENCE;
use crate::turns::{address, connect, turn_until};

/// Writes addresses down.
#[derive(Default)]
struct Shown {
    peers: Vec<(Origin, Addr)>,
    locals: Vec<Addr>,
    datagrams: Vec<Addr>,
}

impl Handler for Shown {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ())> {
        self.peers.push((peer.origin, peer.addr.clone()));
        self.locals.push(peer.local_addr().expect("it is open"));
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn datagram(&mut self, _: &mut Context, datagram: Datagram<'_>) {
        self.datagrams.push(datagram.from.clone());
    }
}

fn made(config: Config) -> Reactor<Shown> {
    Reactor::new(Shown::default(), config).expect("a reactor can be made")
}

/// For both families.
fn dual() -> Listen {
    Listen::new("[::]:0".parse().expect("an address")).only_v6(false)
}

/// `127.0.0.1` as IPv6, put together without the constructor that would take the canonical form.
fn mapped(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), port)
}

fn plain(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

// K10: at every place where a connection that was accepted shows an address.
#[test]
fn k10_both_addresses_of_an_accepted_connection_are_ipv4() {
    let mut reactor = made(Config::default());
    let listener = reactor.listen(dual()).expect("a free port");
    let port = address(&reactor, listener).port();
    let client = connect(plain(port));
    turn_until(&mut reactor, |reactor| reactor.stats().open == 1);
    let peer = Addr::from(client.local_addr().expect("bound"));
    assert_eq!(reactor.handler().peers[0].1, peer);
    assert_eq!(reactor.handler().locals, [Addr::from(plain(port))]);
    assert_eq!(reactor.connections().next().expect("one").peer, peer);
}

// K10: whoever asks for a mapped address connects by IPv4, and is shown that.
#[test]
fn k10_a_connect_to_a_mapped_address_is_one_to_ipv4() {
    let there = TcpListener::bind(plain(0)).expect("a free port");
    let to = there.local_addr().expect("bound");
    let mut reactor = made(Config::default());
    reactor.with(|_, cx| cx.connect(Addr::Ip(mapped(to.port())), 0)).expect("below the limit");
    assert_eq!(reactor.connections().next().expect("one").peer, Addr::from(to));
    turn_until(&mut reactor, |reactor| reactor.stats().connected == 1);
    assert_eq!(reactor.handler().peers, [(Origin::Connected, Addr::from(to))]);
    assert!(reactor.handler().locals[0].ip().is_some_and(|ip| ip.is_ipv4()));
}

// K10: what others opened.
#[test]
fn k10_an_adopted_connection_is_shown_as_ipv4() {
    let there = TcpListener::bind("[::]:0").expect("a free port");
    let client = TcpStream::connect(plain(there.local_addr().expect("bound").port())).expect("connected");
    let (stream, from) = there.accept().expect("it waits");
    assert!(from.is_ipv6(), "std shows it as the system does");
    let mut reactor = made(Config::default());
    reactor.adopt(stream, 0).expect("a stream");
    let peer = Addr::from(client.local_addr().expect("bound"));
    assert_eq!(reactor.handler().peers, [(Origin::Adopted, peer)]);
    assert!(reactor.handler().locals[0].ip().is_some_and(|ip| ip.is_ipv4()));
}

// K10: one address has one cap, through whichever listener it comes.
#[test]
fn k10_the_cap_for_an_address_counts_both_forms_as_one() {
    let mut config = Config::default();
    config.connections_per_address_max = Some(1);
    let mut reactor = made(config);
    let both = reactor.listen(dual()).expect("a free port");
    let both = address(&reactor, both).port();
    let four = reactor.listen(plain(0)).expect("a free port");
    let four = address(&reactor, four).port();
    let _first = connect(plain(both));
    turn_until(&mut reactor, |reactor| reactor.stats().open == 1);
    let _second = connect(plain(four));
    turn_until(&mut reactor, |reactor| reactor.stats().refused == 1);
    assert_eq!((reactor.stats().accepted, reactor.stats().open), (1, 1));
}

// K10: datagrams to and from mapped addresses, on sockets of either family.
#[test]
fn k10_datagrams_go_to_mapped_addresses_from_sockets_of_both_families() {
    let peer = UdpSocket::bind(plain(0)).expect("a free port");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let there = peer.local_addr().expect("bound");
    let mut reactor = made(Config::default());
    let any = "[::]:0".parse().expect("an address");
    let binds = [
        Bind::new(plain(0)),
        Bind::new(any).only_v6(false),
        Bind::to(mapped(there.port())),
        Bind::new(any).only_v6(false).connect(there),
    ];
    for bind in binds {
        let socket = reactor.bind(bind.clone()).expect("a free port");
        reactor.with(|_, cx| cx.send_datagram(socket, Addr::Ip(mapped(there.port())), b"there"));
        let sent = reactor.stats().datagrams_sent;
        turn_until(&mut reactor, |reactor| reactor.stats().datagrams_sent > sent);
        let (n, from) = peer.recv_from(&mut [0; 8]).expect("it arrives");
        assert_eq!(n, 5, "{bind:?}");
        let told = reactor.handler().datagrams.len();
        peer.send_to(b"back", from).expect("sent");
        turn_until(&mut reactor, |reactor| reactor.handler().datagrams.len() > told);
        assert_eq!(reactor.handler().datagrams[told], Addr::from(there), "{bind:?}");
        reactor.with(|_, cx| cx.close_datagram(socket));
    }
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
}
