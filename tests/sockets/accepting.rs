//! Failure modes of accepting (C): budgets, caps, storms, and clients that are gone before they are in.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::{CloseKind, Config, Conn, Context, Frame, Handler, Listen, OnCap, Peer, Reactor, Result};

use crate::server::PATIENCE;
use crate::turns::{
    Scribe, address, connect, hear, listening, reset, say, settle, turn_until, turn_until_told,
};

const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn capped(connections: usize, on_cap: OnCap) -> Config {
    let mut config = Config::default();
    config.connections_max = Some(connections);
    config.on_cap = on_cap;
    config
}

/// Waits for the reset of a connection that is not wanted.
fn expect_reset(client: &TcpStream) {
    let mut client = client;
    assert_eq!(client.read(&mut [0]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
}

/// A blocking connection from another address of this machine.
fn connect_from(ip: [u8; 4], addr: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(Ipv4Addr::from(ip).into(), 0).into()).expect("all of 127.0.0.0/8 is ours");
    socket.connect_timeout(&addr.into(), PATIENCE).expect("the kernel takes the connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    socket.into()
}

// C5: clients that connect and reset before they are accepted are opened, with their address, and closed as reset.
#[test]
fn c5_a_client_that_resets_before_it_is_accepted_is_a_reset_connection_like_any_other() {
    let (mut reactor, addr) = listening(Scribe::echo(), Config::default(), LOCAL);
    let mut ports = Vec::new();
    for _ in 0..50 {
        let client = connect(addr);
        ports.push(client.local_addr().expect("an address"));
        reset(client);
    }
    let client = connect(addr);
    say(&client, "after them");
    turn_until(&mut reactor, |reactor| {
        reactor.stats().closed(CloseKind::Reset) == 50 && reactor.stats().frames == 1
    });
    hear(&client, "after them\n");
    assert_eq!(reactor.stats().accepted, 51);
    let log = &reactor.handler().log;
    assert_eq!(log.iter().filter(|line| *line == "closed: reset by the peer").count(), 50);
}

// C5: what such a client had sent is still delivered.
#[test]
fn c5_data_of_a_client_that_reset_before_it_was_accepted_is_delivered() {
    let (mut reactor, addr) = listening(Scribe::new(), Config::default(), LOCAL);
    let client = connect(addr);
    say(&client, "last words");
    reset(client);
    turn_until_told(&mut reactor, 3);
    assert_eq!(reactor.handler().log, ["opened 0", "received last words", "closed: reset by the peer"]);
}

/// Counts what happens in each turn.
#[derive(Default)]
struct Turns {
    turn: u64,
    /// Opened in this turn.
    opened: usize,
    opened_most: usize,
}

impl Handler for Turns {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        if cx.stats().turns != self.turn {
            self.turn = cx.stats().turns;
            self.opened = 0;
        }
        self.opened += 1;
        self.opened_most = self.opened_most.max(self.opened);
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        cx.send(bytes);
        Ok(())
    }
}

// C6: a storm of connects takes at most the budget from each turn, and who is in is served in between.
#[test]
fn c6_a_storm_of_connects_leaves_every_turn_time_for_those_who_are_in() {
    let (mut reactor, addr) = listening(Turns::default(), Config::default(), LOCAL);
    let pinger = connect(addr);
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 1);
    // Descriptors are dear in some places: 320 connections take 640.
    let storm: Vec<_> = (0..320).map(|_| connect(addr)).collect();
    let mut pings = 0;
    while reactor.stats().accepted < 321 {
        say(&pinger, "ping");
        let before = reactor.stats().received;
        turn_until(&mut reactor, |reactor| reactor.stats().received > before);
        hear(&pinger, "ping\n");
        pings += 1;
    }
    assert_eq!(reactor.handler().opened_most, 16);
    assert!(pings >= 5, "{pings} pings in the 20 turns that accepting takes");
    drop(storm);
}

#[test]
fn a_smaller_accept_budget_is_kept_by_each_listener_on_its_own() {
    let mut config = Config::default();
    config.accepts_per_turn = 3;
    let (mut reactor, addr) = listening(Turns::default(), config, LOCAL);
    let other = reactor.listen(LOCAL).expect("a free port");
    let other = address(&reactor, other);
    let _clients: Vec<_> = (0..30).map(|n| connect(if n % 2 == 0 { addr } else { other })).collect();
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 30);
    assert_eq!(reactor.handler().opened_most, 6);
}

// C7: at the cap new connections wait in the backlog; each close lets one in, although no new edge tells.
#[test]
fn c7_at_the_cap_clients_wait_and_each_close_lets_one_in() {
    let (mut reactor, addr) = listening(Scribe::echo(), capped(3, OnCap::Wait), LOCAL);
    let clients: Vec<_> = (0..10).map(|_| connect(addr)).collect();
    for (n, client) in clients.iter().enumerate() {
        say(client, &format!("client {n}"));
    }
    turn_until(&mut reactor, |reactor| reactor.stats().frames == 3);
    let before = reactor.stats().calls;
    settle(&mut reactor);
    let after = reactor.stats().calls;
    assert_eq!(after.accept, before.accept, "at the cap nothing is accepted");
    assert_eq!((reactor.stats().accepted, reactor.stats().open), (3, 3));
    for (n, client) in clients.into_iter().enumerate() {
        hear(&client, &format!("client {n}\n"));
        drop(client);
        let frames = (n as u64 + 4).min(10);
        turn_until(&mut reactor, |reactor| reactor.stats().frames == frames);
        assert!(reactor.stats().open <= 3);
    }
    turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
    assert_eq!((reactor.stats().accepted, reactor.stats().refused), (10, 0));
}

// C7: a reactor at its cap with clients waiting does not poll in a loop.
#[test]
fn c7_at_the_cap_the_loop_sleeps() {
    let (mut reactor, addr) = listening(Scribe::new(), capped(1, OnCap::Wait), LOCAL);
    let _clients = [connect(addr), connect(addr)];
    turn_until_told(&mut reactor, 1);
    settle(&mut reactor);
    let start = std::time::Instant::now();
    reactor.turn(Some(Duration::from_millis(30))).expect("a turn");
    assert!(start.elapsed() >= Duration::from_millis(30), "the poll returned early");
}

// C7: or they are told at once that there is no room.
#[test]
fn c7_at_the_cap_clients_are_refused_if_the_program_says_so() {
    let (mut reactor, addr) = listening(Scribe::echo(), capped(3, OnCap::Refuse), LOCAL);
    let clients: Vec<_> = (0..10).map(|_| connect(addr)).collect();
    turn_until(&mut reactor, |reactor| reactor.stats().refused == 7);
    for client in &clients[3..] {
        expect_reset(client);
    }
    say(&clients[2], "in");
    turn_until(&mut reactor, |reactor| reactor.stats().frames == 1);
    hear(&clients[2], "in\n");
    drop(clients);
    turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
    let late = connect(addr);
    say(&late, "room again");
    turn_until(&mut reactor, |reactor| reactor.stats().frames == 2);
    hear(&late, "room again\n");
    assert_eq!((reactor.stats().accepted, reactor.stats().refused), (4, 7));
    assert_eq!(reactor.handler().log.iter().filter(|line| *line == "opened 0").count(), 4);
}

// C2, C7: also when polls tell of a listener as long as connections wait, which they do not while there is no room.
#[test]
fn c7_the_loop_sleeps_whoever_fills_the_last_place() {
    let (mut reactor, addr) = listening(Scribe::new(), capped(2, OnCap::Wait), LOCAL);
    let mut clients = std::collections::VecDeque::new();
    for told in 1..=2 {
        settle(&mut reactor);
        clients.push_back(connect(addr));
        turn_until_told(&mut reactor, told);
    }
    for told in [4, 6, 8] {
        clients.extend([connect(addr), connect(addr)]);
        settle(&mut reactor);
        let start = std::time::Instant::now();
        reactor.turn(Some(Duration::from_millis(30))).expect("a turn");
        assert!(start.elapsed() >= Duration::from_millis(30), "the poll returned early");
        clients.pop_front();
        turn_until_told(&mut reactor, told);
    }
}

#[test]
fn connections_that_come_one_at_a_time_cost_one_accept_each() {
    let (mut reactor, addr) = listening(Scribe::echo(), Config::default(), LOCAL);
    settle(&mut reactor);
    let before = reactor.stats().calls.accept;
    for count in 1..=20 {
        let client = connect(addr);
        say(&client, "hello");
        turn_until(&mut reactor, |reactor| reactor.stats().frames == count);
        hear(&client, "hello\n");
        drop(client);
        turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
    }
    assert_eq!(reactor.stats().calls.accept - before, 20);
}

#[test]
fn connections_that_come_together_are_in_after_as_many_turns_as_their_budget_takes() {
    let (mut reactor, addr) = listening(Scribe::new(), Config::default(), LOCAL);
    settle(&mut reactor);
    let _clients: Vec<_> = (0..40).map(|_| connect(addr)).collect();
    let before = reactor.stats().clone();
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 40);
    let after = reactor.stats();
    assert_eq!(after.turns - before.turns, 4, "1, 16, 16, 7");
    assert_eq!(after.calls.accept - before.calls.accept, 41, "one to learn that there are no more");
}

// C7: what is connected from here counts too.
#[test]
fn c7_the_cap_is_for_accepted_and_connected_together() {
    let (mut reactor, addr) = listening(Scribe::new(), capped(2, OnCap::Wait), LOCAL);
    let peers = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let peer = peers.local_addr().expect("an address");
    let _client = connect(addr);
    turn_until_told(&mut reactor, 1);
    let (first, second) = reactor.with(|_, cx| (cx.connect(peer, 1), cx.connect(peer, 2)));
    assert!(first.is_ok());
    assert_eq!(
        second.expect_err("no room").to_string(),
        "connection beyond the limit of 2 (connections_max)"
    );
    turn_until_told(&mut reactor, 2);
    let stream = TcpStream::connect(peer).expect("connected");
    let error = reactor.adopt(stream, 3).expect_err("no room");
    assert!(error.to_string().contains("limit of 2"), "{error}");
}

// C7: a listener whose clients never stop coming does not keep those of another waiting for ever.
#[test]
fn c7_at_the_cap_listeners_take_turns() {
    let (mut reactor, busy) = listening(Scribe::new(), capped(1, OnCap::Wait), Listen::from(LOCAL).key(1));
    let quiet = reactor.listen(Listen::from(LOCAL).key(2)).expect("a free port");
    let _waiting: Vec<_> = (0..20).map(|_| connect(busy)).collect();
    let _quiet = connect(address(&reactor, quiet));
    for closes in 1..=4 {
        turn_until(&mut reactor, |reactor| reactor.handler().ids.len() >= closes);
        if reactor.handler().log.iter().any(|line| line == "opened 2") {
            return;
        }
        let id = *reactor.handler().ids.last().expect("one is open");
        reactor.with(|_, cx| cx.close(id, switchboard::Close::Abort));
    }
    panic!("four connections of one listener came first");
}

// C15: one address may only hold so many; others are not concerned, and a close makes room.
#[test]
fn c15_one_address_cannot_take_all_places() {
    let mut config = Config::default();
    config.connections_per_address_max = Some(2);
    let listen = Listen::from((std::net::Ipv6Addr::UNSPECIFIED, 0)).only_v6(false);
    let (mut reactor, bound) = listening(Scribe::echo(), config, listen);
    let addr = SocketAddr::from(([127, 0, 0, 1], bound.port()));
    let mut greedy: Vec<_> = (0..5).map(|_| connect_from([127, 0, 0, 2], addr)).collect();
    turn_until(&mut reactor, |reactor| reactor.stats().refused == 3);
    for client in greedy.drain(2..) {
        expect_reset(&client);
    }
    for last in 3..50 {
        let modest = connect_from([127, 0, 0, last], addr);
        say(&modest, "hello");
        let frames = reactor.stats().frames;
        turn_until(&mut reactor, |reactor| reactor.stats().frames > frames);
        hear(&modest, "hello\n");
    }
    drop(greedy.pop());
    turn_until(&mut reactor, |reactor| reactor.stats().open == 1);
    let _again = connect_from([127, 0, 0, 2], addr);
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 2 + 47 + 1);
    let too_many = connect_from([127, 0, 0, 2], addr);
    turn_until(&mut reactor, |reactor| reactor.stats().refused == 4);
    expect_reset(&too_many);
}

#[test]
fn a_connection_the_handler_does_not_want_is_reset_and_leaves_its_place() {
    struct Picky;
    impl Handler for Picky {
        type Codec = Raw;
        type Session = ();
        fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
            cx.send(b"never sent");
            cx.close(cx.id(), switchboard::Close::Linger);
            None
        }
        fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
            panic!("nothing arrives")
        }
        fn closed(&mut self, _: &mut Context, (): (), _: &switchboard::CloseReason) {
            panic!("what was not opened is not closed")
        }
    }
    let mut config = capped(1, OnCap::Wait);
    config.connections_per_address_max = Some(1);
    let (mut reactor, addr): (Reactor<Picky>, _) = listening(Picky, config, LOCAL);
    for count in 1..=40 {
        let client = connect(addr);
        say(&client, "unheard");
        turn_until(&mut reactor, |reactor| reactor.stats().turned_away == count);
        expect_reset(&client);
    }
    settle(&mut reactor);
    assert_eq!((reactor.stats().open, reactor.stats().accepted), (0, 40));
}
