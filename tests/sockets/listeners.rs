//! Listeners: their options, many at once, opened and closed by callbacks, adopted from elsewhere.

use std::io::{ErrorKind, Read};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use switchboard::{CloseKind, Config, Listen, Origin, Reactor};

use crate::server::PATIENCE;
use crate::turns::{
    Scribe, address, connect, hear, listening, reset, say, settle, turn_until, turn_until_told,
};

const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn made() -> Reactor<Scribe> {
    Reactor::new(Scribe::echo(), Config::default()).expect("a reactor can be made")
}

// ---- Addresses and options ----

#[test]
fn a_text_that_is_no_address_is_refused_with_an_example() {
    let mut reactor = made();
    for text in ["", "localhost:7000", "127.0.0.1", "127.0.0.1:70000", "::1:80"] {
        let error = reactor.listen(text).expect_err("no address");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            format!("{text:?} is not an address and a port such as 127.0.0.1:7000, nor unix: and a path")
        );
    }
    let listener = reactor.listen("127.0.0.1:0").expect("an address");
    assert_ne!(address(&reactor, listener).port(), 0);
    let listener = reactor.listen("[::1]:0").expect("an address");
    assert!(address(&reactor, listener).is_ipv6());
}

#[test]
fn an_address_in_use_is_an_error_and_the_other_listeners_go_on() {
    let (mut reactor, addr) = listening(Scribe::echo(), Config::default(), LOCAL);
    let error = reactor.listen(addr).expect_err("in use");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let client = connect(addr);
    say(&client, "still here");
    turn_until_told(&mut reactor, 2);
    hear(&client, "still here\n");
}

#[test]
fn two_listeners_share_an_address_if_both_say_so() {
    let shared = Listen::from(LOCAL).reuse_port(true);
    let (mut reactor, addr) = listening(Scribe::new(), Config::default(), shared.key(1));
    reactor.listen(Listen::new(addr)).expect_err("only one says so");
    reactor.listen(Listen::new(addr).reuse_port(true).key(2)).expect("both say so");
    // The kernel spreads connections by a hash of the port: of 64, none going to one side has odds of 2^-63.
    let clients: Vec<_> = (0..64).map(|_| connect(addr)).collect();
    turn_until_told(&mut reactor, clients.len());
    for key in ["opened 1", "opened 2"] {
        assert!(reactor.handler().log.iter().any(|line| line == key), "none {key}");
    }
}

// F9: a server that closed its connections first can be started again at once.
#[test]
fn f9_an_address_whose_connections_wait_out_their_time_can_be_listened_on_again() {
    let (mut reactor, addr) = listening(
        Scribe::doing(|cx, _| {
            cx.finish(cx.id());
            Ok(())
        }),
        Config::default(),
        LOCAL,
    );
    let mut client = connect(addr);
    say(&client, "bye");
    turn_until_told(&mut reactor, 2);
    assert_eq!(client.read(&mut [0]).expect("their end"), 0);
    drop(client);
    turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
    drop(reactor);
    let mut again = made();
    let refused = again.listen(Listen::new(addr).reuse_address(false)).expect_err("in TIME-WAIT");
    assert_eq!(refused.kind(), ErrorKind::AddrInUse);
    again.listen(addr).expect("reusing the address is the default");
}

// K10: an IPv4 peer of `::` has an IPv4 address.
#[test]
fn k10_a_listener_on_both_families_shows_an_ipv4_peer_as_such() {
    let (mut reactor, addr) =
        listening(Scribe::new(), Config::default(), Listen::from((Ipv6Addr::UNSPECIFIED, 0)).only_v6(false));
    let client = connect(([127, 0, 0, 1], addr.port()).into());
    turn_until_told(&mut reactor, 1);
    let peer = reactor.connections().next().expect("the client's").peer;
    assert_eq!(peer.socket_addr(), client.local_addr().ok());
}

#[test]
fn a_listener_on_ipv6_only_leaves_ipv4_alone() {
    let listen = Listen::from((Ipv6Addr::UNSPECIFIED, 0)).only_v6(true);
    let (mut reactor, addr) = listening(Scribe::new(), Config::default(), listen);
    let v4: SocketAddr = ([127, 0, 0, 1], addr.port()).into();
    let error = TcpStream::connect_timeout(&v4, PATIENCE).expect_err("nobody listens there");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let _client = connect((Ipv6Addr::LOCALHOST, addr.port()).into());
    turn_until_told(&mut reactor, 1);
}

// C9: the kernel holds as many as the backlog says, plus one, and the next must wait.
#[test]
fn c9_a_backlog_holds_as_many_as_it_says() {
    let (mut reactor, addr) = listening(Scribe::new(), Config::default(), Listen::from(LOCAL).backlog(1));
    let _held = [connect(addr), connect(addr)];
    let error = TcpStream::connect_timeout(&addr, Duration::from_millis(100)).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    turn_until_told(&mut reactor, 2);
    let _third = connect(addr);
    turn_until_told(&mut reactor, 3);
}

// ---- Many, and from callbacks ----

#[test]
fn each_of_many_listeners_is_named_by_origin_and_key() {
    struct Origins(Vec<(Origin, u64)>);
    impl switchboard::Handler for Origins {
        type Codec = switchboard::codec::Raw;
        type Session = ();
        fn opened(
            &mut self,
            _: &mut switchboard::Context,
            peer: &switchboard::Peer<'_>,
        ) -> Option<(Self::Codec, ())> {
            self.0.push((peer.origin, peer.key));
            Some((Self::Codec::new(), ()))
        }
        fn received(
            &mut self,
            _: &mut switchboard::Context,
            _: switchboard::Conn<'_, Self>,
            _: &[u8],
        ) -> switchboard::Result {
            Ok(())
        }
    }
    let mut reactor = Reactor::new(Origins(Vec::new()), Config::default()).expect("made");
    let mut listeners = Vec::new();
    for key in 0..50 {
        listeners.push((key, reactor.listen(Listen::from(LOCAL).key(key)).expect("a free port")));
    }
    let mut clients = Vec::new();
    for (key, listener) in listeners.into_iter().rev() {
        clients.push(connect(address(&reactor, listener)));
        turn_until(&mut reactor, |reactor| reactor.handler().0.len() == clients.len());
        assert_eq!(reactor.handler().0.last(), Some(&(Origin::Accepted(listener), key)));
    }
}

#[test]
fn a_callback_opens_a_listener_and_is_told_if_it_cannot() {
    let (mut reactor, addr) = listening(Scribe::echo(), Config::default(), LOCAL);
    let (first, second) =
        reactor.with(|_, cx| (cx.listen(Listen::new(addr).key(1)), cx.listen(Listen::from(LOCAL).key(2))));
    assert_ne!(first, second);
    turn_until_told(&mut reactor, 1);
    assert_eq!(reactor.handler().log, ["listen failed: Address already in use (os error 98)"]);
    assert_eq!(reactor.local_addr(first).expect_err("not open").to_string(), "the listener is closed");
    let client = connect(address(&reactor, second));
    say(&client, "hello");
    turn_until_told(&mut reactor, 3);
    hear(&client, "hello\n");
    assert_eq!(reactor.handler().log[1], "opened 2");
}

// C8: a callback closes the very listener its connection came from.
#[test]
fn c8_a_listener_is_closed_by_the_callback_of_its_own_connection() {
    struct Once(usize);
    impl switchboard::Handler for Once {
        type Codec = switchboard::codec::Raw;
        type Session = ();
        fn opened(
            &mut self,
            cx: &mut switchboard::Context,
            peer: &switchboard::Peer<'_>,
        ) -> Option<(Self::Codec, ())> {
            self.0 += 1;
            let Origin::Accepted(listener) = peer.origin else { panic!("{:?}", peer.origin) };
            cx.close_listener(listener);
            Some((Self::Codec::new(), ()))
        }
        fn received(
            &mut self,
            cx: &mut switchboard::Context,
            _: switchboard::Conn<'_, Self>,
            bytes: &[u8],
        ) -> switchboard::Result {
            cx.send(bytes);
            Ok(())
        }
    }
    let (mut reactor, addr) = listening(Once(0), Config::default(), LOCAL);
    let client = connect(addr);
    turn_until(&mut reactor, |reactor| reactor.handler().0 == 1);
    settle(&mut reactor);
    let error = TcpStream::connect_timeout(&addr, PATIENCE).expect_err("nobody listens any more");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    say(&client, "the connection stays");
    turn_until(&mut reactor, |reactor| reactor.stats().received > 0);
    hear(&client, "the connection stays\n");
}

// C10: closing a listener resets what waits in its backlog, so that is accepted first.
#[test]
fn c10_a_listener_that_closes_takes_in_its_backlog_first() {
    let mut reactor = made();
    let listener = reactor.listen(LOCAL).expect("a free port");
    let addr = address(&reactor, listener);
    let clients: Vec<_> = (0..100).map(|_| connect(addr)).collect();
    for client in &clients {
        say(client, "waited");
    }
    reactor.with(|_, cx| cx.close_listener(listener));
    turn_until_told(&mut reactor, 200);
    for client in &clients {
        hear(client, "waited\n");
    }
    turn_until(&mut reactor, |reactor| reactor.local_addr(listener).is_err());
    assert_eq!(reactor.stats().accepted, 100);
}

#[test]
fn closing_a_listener_twice_or_with_a_stale_id_does_nothing() {
    let (mut reactor, addr) = listening(Scribe::echo(), Config::default(), LOCAL);
    let gone = reactor.listen(LOCAL).expect("a free port");
    for _ in 0..2 {
        reactor.with(|_, cx| {
            cx.close_listener(gone);
            cx.close_listener(gone);
        });
        turn_until(&mut reactor, |reactor| reactor.local_addr(gone).is_err());
    }
    let client = connect(addr);
    say(&client, "hello");
    turn_until_told(&mut reactor, 2);
    hear(&client, "hello\n");
}

// C12: a listener that someone else has shut down reports HUP; once it listens again, it accepts again.
#[test]
fn c12_a_listener_shut_down_from_elsewhere_neither_spins_nor_holds_up_the_others() {
    let theirs = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut reactor = made();
    reactor.adopt_listener(theirs.try_clone().expect("cloned"), 1).expect("a listener");
    let other = reactor.listen(Listen::from(LOCAL).key(2)).expect("a free port");
    settle(&mut reactor);
    rustix::net::shutdown(&theirs, rustix::net::Shutdown::Read).expect("shut down");
    let before = reactor.stats().calls.accept;
    settle(&mut reactor);
    let _other_client = connect(address(&reactor, other));
    turn_until_told(&mut reactor, 1);
    assert_eq!(reactor.handler().log, ["opened 2"]);
    let tried = reactor.stats().calls.accept - before;
    assert!(tried <= 16, "accepted {tried} times");
    rustix::net::listen(&theirs, 16).expect("listening again");
    // It had not asked for a port, so it has another one now.
    let _client = connect(theirs.local_addr().expect("an address"));
    turn_until_told(&mut reactor, 2);
    assert_eq!(reactor.handler().log, ["opened 2", "opened 1"]);
}

// ---- Adopted ----

#[test]
fn an_adopted_stream_is_served_as_if_it_had_been_accepted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = connect(listener.local_addr().expect("an address"));
    let (theirs, _) = listener.accept().expect("the client");
    say(&client, "sent before it was adopted");
    let mut reactor = made();
    let id = reactor.adopt(theirs, 9).expect("adopted").expect("wanted");
    assert_eq!(reactor.handler().log, ["opened 9"]);
    assert_eq!(reactor.handler().ids, [id]);
    turn_until_told(&mut reactor, 2);
    hear(&client, "sent before it was adopted\n");
    drop(client);
    turn_until_told(&mut reactor, 3);
    let stats = reactor.stats();
    assert_eq!((stats.adopted, stats.accepted, stats.closed(CloseKind::Ended)), (1, 0, 1));
}

#[test]
fn a_stream_that_is_not_connected_is_not_adopted() {
    let mut reactor = made();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let error = reactor.adopt(socket, 0).expect_err("not connected");
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert_eq!(reactor.stats().open, 0);
}

#[test]
fn an_adopted_listener_serves_who_was_waiting_already() {
    let theirs = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = connect(theirs.local_addr().expect("an address"));
    say(&client, "waiting");
    let mut reactor = made();
    let listener = reactor.adopt_listener(theirs, 5).expect("a listener");
    assert_eq!(address(&reactor, listener), client.peer_addr().expect("connected"));
    turn_until_told(&mut reactor, 2);
    assert_eq!(reactor.handler().log[0], "opened 5");
    hear(&client, "waiting\n");
}

#[test]
fn what_does_not_listen_is_not_adopted_as_a_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let mut reactor = made();
    let error = reactor.adopt_listener(stream, 0).expect_err("a connection");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "the descriptor is no listening TCP or Unix socket");
}

// A13: whoever adopted out a descriptor may have kept a copy; the poll must not go on about a closed connection.
#[test]
fn a13_a_copy_of_an_adopted_descriptor_makes_no_events_after_the_close() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = connect(listener.local_addr().expect("an address"));
    let (theirs, _) = listener.accept().expect("the client");
    let copy = theirs.try_clone().expect("cloned");
    let listener_copy = listener.try_clone().expect("cloned");
    let mut reactor = made();
    let id = reactor.adopt(theirs, 0).expect("adopted").expect("wanted");
    let adopted = reactor.adopt_listener(listener, 0).expect("a listener");
    settle(&mut reactor);
    reactor.with(|_, cx| {
        cx.close(id, switchboard::Close::Flush);
        cx.close_listener(adopted);
    });
    turn_until(&mut reactor, |reactor| reactor.stats().open == 0 && reactor.local_addr(adopted).is_err());
    say(&client, "to the copy");
    let late = connect(listener_copy.local_addr().expect("an address"));
    settle(&mut reactor);
    assert_eq!(reactor.stats().stale_events, 0);
    drop((copy, listener_copy));
    reset(late);
}
