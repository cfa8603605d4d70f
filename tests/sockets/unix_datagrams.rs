//! Datagrams over Unix sockets, with peers of the standard library.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use switchboard::codec::Raw;
use switchboard::{
    Addr, Bind, Config, Conn, Context, Datagram, DatagramId, Handler, Peer, Reactor, Result, Sent, Stop,
    UnixAddr,
};

use crate::server::PATIENCE;
use crate::turns::turn_until;
use crate::unix::Place;

/// Writes down what it is told, and sends back what has a sender.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) received: Vec<(Addr, Vec<u8>, bool)>,
    failed: Vec<String>,
}

impl Handler for Told {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn datagram(&mut self, cx: &mut Context, datagram: Datagram<'_>) {
        self.received.push((datagram.from.clone(), datagram.bytes.to_vec(), datagram.truncated));
        if *datagram.from != Addr::Unnamed {
            assert_eq!(cx.send_datagram(datagram.socket, datagram.from, datagram.bytes), Sent::Accepted);
        }
    }

    fn datagram_failed(&mut self, _: &mut Context, _: DatagramId, error: &io::Error) {
        self.failed.push(format!("{:?}: {error}", error.kind()));
    }
}

/// One that is bound to `addr`.
pub(crate) fn bound(addr: UnixAddr) -> (Reactor<Told>, DatagramId) {
    reactor(Config::default(), Bind::unix(addr))
}

fn reactor(config: Config, bind: Bind) -> (Reactor<Told>, DatagramId) {
    let mut reactor = Reactor::new(Told::default(), config).expect("a reactor can be made");
    let socket = reactor.bind(bind).expect("the name is free");
    (reactor, socket)
}

fn peer(place: &Place, name: &str) -> UnixDatagram {
    let peer = UnixDatagram::bind(place.path(name)).expect("free");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    peer
}

fn hear(peer: &UnixDatagram) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let n = peer.recv(&mut bytes).expect("a datagram");
    bytes.truncate(n);
    bytes
}

/// How many datagrams wait for a peer that reads none.
fn fill(reactor: &mut Reactor<Told>, socket: DatagramId, to: &Addr, count: usize) {
    reactor.with(|_, cx| {
        for n in 0..count {
            assert_eq!(cx.send_datagram(socket, to, format!("{n}").as_bytes()), Sent::Accepted);
        }
    });
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
}

// K1, K2: a sender with a name is answered, one without is told as such; empty, whole and cut ones.
#[test]
fn k1_unix_datagrams_come_with_their_sender_and_their_length() {
    let place = Place::new("datagrams");
    let mut config = Config::default();
    config.recv_buffer_bytes = 512;
    let (mut reactor, socket) = reactor(config, Bind::unix(place.addr("server")));
    assert_eq!(reactor.datagram_addr(socket).expect("bound"), place.addr("server").into());
    let (named, unnamed) = (peer(&place, "client"), UnixDatagram::unbound().expect("a socket"));
    named.send_to(&[7; 600], place.path("server")).expect("sent");
    named.send_to(b"", place.path("server")).expect("sent");
    unnamed.send_to(b"who am I", place.path("server")).expect("sent");
    turn_until(&mut reactor, |reactor| reactor.handler().received.len() == 3);
    let client = Addr::Unix(place.addr("client"));
    assert_eq!(
        reactor.handler().received,
        [
            (client.clone(), vec![7; 512], true),
            (client, vec![], false),
            (Addr::Unnamed, b"who am I".to_vec(), false)
        ]
    );
    turn_until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 2);
    assert_eq!((hear(&named), hear(&named)), (vec![7; 512], vec![]));
}

#[test]
fn a_unix_socket_for_datagrams_can_be_connected_abstract_or_without_a_name() {
    let place = Place::new("kinds");
    let friend = peer(&place, "friend");
    let to = place.addr("friend");
    let (mut reactor, socket) = reactor(Config::default(), Bind::to(to.clone()));
    let name = format!("unix:@switchboard-datagrams-{}", std::process::id());
    let abstracted = reactor.bind(name.as_str()).expect("free");
    assert_eq!(reactor.datagram_addr(abstracted).expect("bound").to_string(), name);
    let unnamed = reactor.bind(Bind::unix_unnamed()).expect("a socket");
    let both = reactor.bind(Bind::unix(place.addr("both")).connect(to.clone())).expect("free");
    reactor.with(|_, cx| {
        cx.send_datagram(socket, Addr::Unnamed, b"connected");
        cx.send_datagram(abstracted, to.clone(), b"abstract");
        cx.send_datagram(unnamed, to.clone(), b"unnamed");
        cx.send_datagram(both, Addr::Unnamed, b"both");
    });
    turn_until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 4);
    for text in ["connected", "abstract", "unnamed", "both"] {
        assert_eq!(hear(&friend), text.as_bytes());
    }
    friend.send_to(b"back", place.path("both")).expect("sent");
    turn_until(&mut reactor, |reactor| reactor.handler().received.len() == 1);
    let error = reactor.bind(Bind::new(([127, 0, 0, 1], 0).into()).connect(to)).expect_err("two families");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

// K3, K4: nobody is there, or not any more. The socket goes on.
#[test]
fn k4_a_unix_datagram_that_nobody_takes_is_dropped_alone() {
    let place = Place::new("nobody");
    drop(peer(&place, "gone"));
    let (mut reactor, socket) = reactor(Config::default(), Bind::unix(place.addr("server")));
    let friend = peer(&place, "friend");
    reactor.with(|_, cx| {
        for name in ["gone", "never", "friend"] {
            cx.send_datagram(socket, place.addr(name), b"hello");
        }
    });
    turn_until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 1);
    assert_eq!(hear(&friend), b"hello");
    let failed = &reactor.handler().failed;
    assert!(failed[0].starts_with("ConnectionRefused: unix:"), "{failed:?}");
    assert!(failed[1].starts_with("NotFound: unix:") && failed.len() == 2, "{failed:?}");
    assert_eq!(reactor.stats().datagrams_dropped, 2);
}

// D9 of datagrams: the receiver's queue is full, and the event that there is room would come at once, and again.
#[test]
fn d9_a_receiver_that_is_full_is_sent_to_again_in_order_and_nobody_else_waits() {
    let place = Place::new("full");
    let (slow, friend) = (peer(&place, "slow"), peer(&place, "friend"));
    let (mut reactor, socket) = reactor(Config::default(), Bind::unix(place.addr("server")));
    fill(&mut reactor, socket, &place.addr("slow").into(), 100);
    let before = reactor.stats().datagrams_sent;
    assert!(before < 100, "the queue has an end");
    reactor.with(|_, cx| cx.send_datagram(socket, place.addr("friend"), b"not held up"));
    turn_until(&mut reactor, |reactor| reactor.stats().datagrams_sent == before + 1);
    assert_eq!(hear(&friend), b"not held up");
    let begin = Instant::now();
    let turns = reactor.stats().turns;
    while begin.elapsed() < Duration::from_millis(60) {
        reactor.turn(Some(Duration::from_millis(60))).expect("a turn");
    }
    assert!(reactor.stats().turns - turns < 40, "it waits between two tries");
    for n in 0..100 {
        let mut bytes = [0; 16];
        slow.set_nonblocking(true).expect("it can be");
        let begin = Instant::now();
        let len = loop {
            match slow.recv(&mut bytes) {
                Ok(len) => break len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(begin.elapsed() < PATIENCE, "it never comes");
                    reactor.turn(Some(Duration::from_millis(10))).expect("a turn");
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(bytes[..len], *n.to_string().as_bytes());
    }
    assert!(reactor.handler().failed.is_empty());
}

// D9 of datagrams: what is never taken is dropped in time, and a drain does not wait for it longer than for others.
#[test]
fn d9_a_receiver_that_stays_full_costs_its_datagrams() {
    let place = Place::new("stays-full-of-datagrams");
    let _slow = peer(&place, "slow");
    let mut config = Config::default();
    config.write_timeout = Duration::from_millis(50);
    config.datagram_bytes_max = 64 * 120;
    let (mut reactor, socket) = reactor(config, Bind::unix(place.addr("server")));
    fill(&mut reactor, socket, &place.addr("slow").into(), 100);
    let sent = reactor.stats().datagrams_sent;
    let failed = reactor.handler().failed.len() as u64;
    assert!(failed > 0, "half of the room is for the others");
    assert!(reactor.handler().failed[0].starts_with("ResourceBusy: unix:"), "{:?}", reactor.handler().failed);
    reactor.with(|_, cx| cx.stop(Stop::Drain));
    reactor.run().expect("it ends");
    let Told { failed, .. } = reactor.handler();
    assert!(failed.last().expect("dropped").starts_with("TimedOut: unix:"), "{failed:?}");
    assert_eq!((failed.len() as u64, reactor.stats().datagrams_dropped), (100 - sent, 100 - sent));
}

// K7, K8: a path for datagrams is bound and removed as one of a listener is.
#[test]
fn k7_a_path_for_datagrams_is_taken_over_and_removed_too() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new("datagram-paths");
    drop(peer(&place, "server"));
    let (mut reactor, socket) = reactor(Config::default(), Bind::unix(place.addr("server")).mode(0o622));
    let mode = std::fs::metadata(place.path("server")).expect("bound").permissions().mode();
    assert_eq!(mode & 0o777, 0o622);
    let error = reactor.bind(place.addr("server")).expect_err("in use, by ourselves");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    reactor.with(|_, cx| cx.close_datagram(socket));
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(!place.path("server").exists());
}

#[test]
fn a_unix_socket_for_datagrams_of_someone_else_is_adopted_and_its_path_stays() {
    let place = Place::new("adopted-datagrams");
    let mut reactor = Reactor::new(Told::default(), Config::default()).expect("a reactor can be made");
    let socket = reactor.adopt_datagram(peer(&place, "server"), 3).expect("it takes datagrams");
    let client = peer(&place, "client");
    client.send_to(b"hello", place.path("server")).expect("sent");
    turn_until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 1);
    assert_eq!(hear(&client), b"hello");
    reactor.with(|_, cx| cx.close_datagram(socket));
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(place.path("server").exists());
}
