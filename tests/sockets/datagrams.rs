//! Sockets for datagrams, with peers of the standard library.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use switchboard::codec::Raw;
use switchboard::{
    Addr, Bind, Config, Conn, Context, Datagram, DatagramId, Handler, Peer, Reactor, Result, Sent, Stop,
    datagrams,
};

use crate::server::PATIENCE;

/// What was told, and what is done with it.
#[derive(Default)]
struct Told {
    received: Vec<(Addr, Vec<u8>, bool)>,
    failed: Vec<ErrorKind>,
    bind_failed: Vec<(DatagramId, ErrorKind)>,
    /// Whether datagrams go back.
    echoes: bool,
}

impl Handler for Told {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: &[u8]) -> Result {
        cx.send(bytes);
        Ok(())
    }

    fn datagram(&mut self, cx: &mut Context, datagram: Datagram<'_>) {
        self.received.push((datagram.from.clone(), datagram.bytes.to_vec(), datagram.truncated));
        if self.echoes {
            assert_eq!(cx.send_datagram(datagram.socket, datagram.from, datagram.bytes), Sent::Accepted);
        }
    }

    fn datagram_failed(&mut self, _: &mut Context, _: DatagramId, error: &io::Error) {
        self.failed.push(error.kind());
    }

    fn bind_failed(&mut self, _: &mut Context, socket: DatagramId, error: &io::Error) {
        self.bind_failed.push((socket, error.kind()));
    }
}

fn reactor(config: Config) -> Reactor<Told> {
    Reactor::new(Told { echoes: true, ..Told::default() }, config).expect("a reactor can be made")
}

fn bind(reactor: &mut Reactor<Told>, bind: impl Into<Bind>) -> (DatagramId, SocketAddr) {
    let socket = reactor.bind(bind.into()).expect("a free port");
    let addr = reactor.datagram_addr(socket).expect("bound");
    (socket, addr.socket_addr().expect("an IP address"))
}

fn local() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn peer() -> UdpSocket {
    let peer = UdpSocket::bind(local()).expect("a free port");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    peer
}

/// Turns until `done`.
#[track_caller]
fn until(reactor: &mut Reactor<Told>, done: impl Fn(&Reactor<Told>) -> bool) {
    let begin = Instant::now();
    while !done(reactor) {
        assert!(begin.elapsed() < PATIENCE, "it never comes");
        reactor.turn(Some(Duration::from_millis(100))).expect("a turn");
    }
}

#[test]
fn what_is_sent_comes_back_with_where_it_came_from() {
    let mut reactor = reactor(Config::default());
    let (_, addr) = bind(&mut reactor, local());
    let (one, two) = (peer(), peer());
    one.send_to(b"one", addr).expect("sent");
    two.send_to(b"two", addr).expect("sent");
    until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 2);
    for (peer, text) in [(&one, b"one"), (&two, b"two")] {
        let mut answer = [0; 16];
        let (n, from) = peer.recv_from(&mut answer).expect("an answer");
        assert_eq!((&answer[..n], from), (&text[..], addr));
        let known = Addr::from(peer.local_addr().expect("bound"));
        assert!(reactor.handler().received.contains(&(known, text.to_vec(), false)));
    }
    assert_eq!((reactor.stats().datagrams_received, reactor.stats().datagrams_dropped), (2, 0));
}

// K1: one that is longer than the buffer is told as such, and the next one is whole.
#[test]
fn k1_a_datagram_that_did_not_fit_is_flagged() {
    let mut config = Config::default();
    config.recv_buffer_bytes = 512;
    let mut reactor = reactor(config);
    let (_, addr) = bind(&mut reactor, local());
    let peer = peer();
    for length in [511, 512, 513, 600, 1] {
        peer.send_to(&vec![7; length], addr).expect("sent");
    }
    until(&mut reactor, |reactor| reactor.handler().received.len() == 5);
    let told: Vec<_> =
        reactor.handler().received.iter().map(|(_, bytes, truncated)| (bytes.len(), *truncated)).collect();
    assert_eq!(told, [(511, false), (512, false), (512, true), (512, true), (1, false)]);
}

// K2: an empty datagram is one, and no end.
#[test]
fn k2_an_empty_datagram_is_delivered_and_ends_nothing() {
    let mut reactor = reactor(Config::default());
    let (_, addr) = bind(&mut reactor, local());
    let peer = peer();
    for text in [&b""[..], b"", b"x"] {
        peer.send_to(text, addr).expect("sent");
    }
    until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 3);
    let lengths = (0..3).map(|_| peer.recv(&mut [0; 8]).expect("an answer"));
    assert_eq!(lengths.collect::<Vec<_>>(), [0, 0, 1]);
}

// K3: nobody listens there, which ICMP says to a connected socket. It goes on, and reaches whoever listens later.
#[test]
fn k3_an_icmp_error_is_told_and_closes_nothing() {
    let mut reactor = reactor(Config::default());
    let there = peer().local_addr().expect("bound");
    let (socket, _) = bind(&mut reactor, Bind::to(there));
    for _ in 0..3 {
        let told = reactor.handler().failed.len();
        assert_eq!(reactor.with(|_, cx| cx.send_datagram(socket, Addr::Unnamed, b"anyone?")), Sent::Accepted);
        until(&mut reactor, |reactor| reactor.handler().failed.len() > told);
    }
    assert!(reactor.handler().failed.iter().all(|&kind| kind == ErrorKind::ConnectionRefused));
    let late = UdpSocket::bind(there).expect("it is free again");
    late.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    reactor.with(|_, cx| cx.send_datagram(socket, Addr::Unnamed, b"and now?"));
    until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 4);
    assert_eq!(late.recv(&mut [0; 16]).expect("it arrives"), 8);
    assert_eq!(reactor.stats().datagrams_dropped, 0);
}

// K4: what the kernel refuses costs that datagram only, and those behind it leave.
#[test]
fn k4_a_datagram_the_kernel_refuses_is_dropped_alone() {
    let mut reactor = reactor(Config::default());
    let (socket, _) = bind(&mut reactor, local());
    let peer = peer();
    let to = peer.local_addr().expect("bound");
    let nowhere = SocketAddr::from((Ipv4Addr::BROADCAST, 9));
    reactor.with(|_, cx| {
        for (to, bytes) in
            [(to, vec![1; 10]), (to, vec![2; 70_000]), (nowhere, vec![3; 10]), (to, vec![4; 10])]
        {
            assert_eq!(cx.send_datagram(socket, to, &bytes), Sent::Accepted);
        }
        assert_eq!(cx.send_datagram(socket, Addr::Unnamed, b"to nobody"), Sent::Accepted);
    });
    until(&mut reactor, |reactor| reactor.handler().failed.len() == 3);
    let mut bytes = [0; 16];
    for first in [1, 4] {
        assert_eq!((peer.recv(&mut bytes).expect("it arrives"), bytes[0]), (10, first));
    }
    assert_eq!((reactor.stats().datagrams_sent, reactor.stats().datagrams_dropped), (2, 3));
    assert_eq!(reactor.handler().failed[1], ErrorKind::PermissionDenied, "broadcast was not asked for");
}

// K5, A4: in one turn so many are received and no more, and a connection is served between them.
#[test]
fn k5_a_flood_of_datagrams_does_not_starve_a_connection() {
    const FLOOD: usize = 100;
    let mut config = Config::default();
    config.datagrams_per_turn = 4;
    let mut reactor = reactor(config);
    let (_, addr) = bind(&mut reactor, local());
    let listener = reactor.listen("127.0.0.1:0").expect("a free port");
    let tcp = reactor.local_addr(listener).expect("bound").socket_addr().expect("an IP address");
    let mut client = TcpStream::connect(tcp).expect("connected");
    until(&mut reactor, |reactor| reactor.stats().open == 1);
    let peer = peer();
    for _ in 0..FLOOD {
        peer.send_to(b"flood", addr).expect("sent");
    }
    client.write_all(b"and me?").expect("written");
    let (mut turns, mut before) = (0, 0);
    while reactor.handler().received.len() < FLOOD {
        reactor.turn(Some(PATIENCE)).expect("a turn");
        let now = reactor.handler().received.len();
        assert!(now - before <= 4, "{} in one turn", now - before);
        before = now;
        turns += 1;
        if turns == 2 {
            // On loopback it was there when the first of these turns began.
            assert!(reactor.stats().received > 0, "the connection waits for the flood");
        }
        assert!(turns < 100, "{now} of {FLOOD} datagrams came");
    }
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    client.read_exact(&mut [0; 7]).expect("an answer");
}

// K10: who writes to a socket for both families over IPv4 is shown and answered as such.
#[test]
fn k10_an_ipv4_sender_at_an_ipv6_socket_has_its_own_address() {
    let mut reactor = reactor(Config::default());
    let any: SocketAddr = "[::]:0".parse().expect("an address");
    let (_, addr) = bind(&mut reactor, Bind::new(any).only_v6(false));
    let peer = peer();
    peer.send_to(b"four", (Ipv4Addr::LOCALHOST, addr.port())).expect("sent");
    until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 1);
    assert_eq!(reactor.handler().received[0].0, Addr::from(peer.local_addr().expect("bound")));
    assert_eq!(peer.recv(&mut [0; 8]).expect("an answer"), 4);
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let mut reactor = reactor(Config::default());
    let (friend, stranger) = (peer(), peer());
    let (_, addr) = bind(&mut reactor, Bind::new(local()).connect(friend.local_addr().expect("bound")));
    stranger.send_to(b"psst", addr).expect("sent");
    friend.send_to(b"hello", addr).expect("sent");
    until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 1);
    assert_eq!(reactor.handler().received.len(), 1);
    assert_eq!(friend.recv(&mut [0; 8]).expect("an answer"), 5);
}

// E1: what the queue has no room for is dropped, and the call says so.
#[test]
fn what_does_not_fit_the_queue_is_dropped_and_said_so() {
    let mut config = Config::default();
    config.datagram_bytes_max = 1000;
    let mut reactor = reactor(config);
    let (socket, _) = bind(&mut reactor, local());
    let peer = peer();
    let to = peer.local_addr().expect("bound");
    let sent = reactor.with(|_, cx| {
        let sent: Vec<_> = (0..4).map(|_| cx.send_datagram(socket, to, &[0; 300])).collect();
        assert_eq!(cx.send_datagram(socket, to, &[0; 2000]), Sent::Full);
        sent
    });
    // Each counts for 64 bytes more than it has.
    assert_eq!(sent, [Sent::Accepted, Sent::Accepted, Sent::Full, Sent::Full]);
    until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 2);
    assert_eq!(reactor.stats().datagrams_dropped, 3);
    // There is room again.
    assert_eq!(reactor.with(|_, cx| cx.send_datagram(socket, to, &[0; 300])), Sent::Accepted);
}

#[test]
fn a_socket_may_be_opened_and_closed_by_callbacks() {
    let mut reactor = reactor(Config::default());
    let peer = peer();
    let to = peer.local_addr().expect("bound");
    // What is sent before it is open waits for that, and what waits leaves before it closes.
    let socket = reactor.with(|_, cx| {
        let socket = cx.bind(local());
        assert_eq!(cx.send_datagram(socket, to, b"early"), Sent::Accepted);
        cx.close_datagram(socket);
        socket
    });
    until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 1);
    assert_eq!(peer.recv(&mut [0; 8]).expect("it arrives"), 5);
    assert_eq!(reactor.with(|_, cx| cx.send_datagram(socket, to, b"late")), Sent::Closed);
    assert!(reactor.datagram_addr(socket).is_err());
    reactor.with(|_, cx| cx.close_datagram(socket));
    // Nothing is left that could happen.
    assert!(!reactor.turn(Some(Duration::ZERO)).expect("a turn"));

    let taken = reactor.with(move |_, cx| {
        let taken = cx.bind(to);
        cx.send_datagram(taken, to, b"never");
        taken
    });
    until(&mut reactor, |reactor| !reactor.handler().bind_failed.is_empty());
    assert_eq!(reactor.handler().bind_failed, [(taken, ErrorKind::AddrInUse)]);
    assert_eq!(reactor.with(|_, cx| cx.send_datagram(taken, to, b"late")), Sent::Closed);
}

// N4: what waits leaves before a drain ends, and the socket answers as long as connections are open.
#[test]
fn n4_a_drain_answers_datagrams_until_the_last_connection_is_over() {
    let mut reactor = reactor(Config::default());
    let (socket, addr) = bind(&mut reactor, local());
    let listener = reactor.listen("127.0.0.1:0").expect("a free port");
    let tcp = reactor.local_addr(listener).expect("bound").socket_addr().expect("an IP address");
    let client = TcpStream::connect(tcp).expect("connected");
    until(&mut reactor, |reactor| reactor.stats().open == 1);
    reactor.with(|_, cx| {
        let id = cx.connections().next().expect("a connection").id;
        cx.pause(id);
        cx.stop(Stop::Drain);
    });
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    let peer = peer();
    peer.send_to(b"still there?", addr).expect("sent");
    until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 1);
    assert_eq!(peer.recv(&mut [0; 16]).expect("an answer"), 12);
    let to = peer.local_addr().expect("bound");
    reactor.with(|_, cx| {
        let id = cx.connections().next().expect("a connection").id;
        cx.resume(id);
        cx.send_datagram(socket, to, b"good bye");
    });
    drop(client);
    reactor.run().expect("it ends");
    assert_eq!(peer.recv(&mut [0; 16]).expect("it was sent"), 8);
    assert!(UdpSocket::bind(addr).is_ok(), "its port is free again");
}

#[test]
fn multicast_reaches_who_joined() {
    let group = Ipv4Addr::new(239, 255, 77, 1);
    let mut reactor = reactor(Config::default());
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let (_, addr) = bind(&mut reactor, Bind::new(any).join_v4(group, Ipv4Addr::LOCALHOST));
    let sender =
        Bind::new(local()).multicast_from_v4(Ipv4Addr::LOCALHOST).multicast_loop(true).multicast_hops(0);
    let (sender, from) = bind(&mut reactor, sender);
    reactor.with(move |told, cx| {
        told.echoes = false;
        cx.send_datagram(sender, SocketAddr::from((group, addr.port())), b"to all")
    });
    until(&mut reactor, |reactor| !reactor.handler().received.is_empty());
    assert_eq!(reactor.handler().received, [(Addr::from(from), b"to all".to_vec(), false)]);
}

#[test]
fn a_text_that_is_no_address_is_named() {
    let mut reactor = Reactor::new(datagrams(|_, _| ()), Config::default()).expect("a reactor can be made");
    let error = reactor.bind("localhost:7000").expect_err("a name");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let expected =
        "\"localhost:7000\" is not an address and a port such as 127.0.0.1:7000, nor unix: and a path";
    assert_eq!(error.to_string(), expected);
}
