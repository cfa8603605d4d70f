//! What callbacks of datagrams do to their sockets, and what a turn of them may send.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use switchboard::codec::Raw;
use switchboard::{
    Config, Conn, Context, Datagram, DatagramId, Datagrams, Handler, Peer, Reactor, Result, Sent, datagrams,
};

use crate::server::PATIENCE;

/// A reactor with one socket, and what receives from it.
fn reactor<F>(config: Config, received: F) -> (Reactor<Datagrams<F>>, DatagramId, SocketAddr)
where
    F: FnMut(&mut Context, Datagram<'_>),
{
    let mut reactor = Reactor::new(datagrams(received), config).expect("a reactor can be made");
    let socket = reactor.bind("127.0.0.1:0").expect("a free port");
    let addr = reactor.datagram_addr(socket).expect("bound").socket_addr().expect("an IP address");
    (reactor, socket, addr)
}

fn peer() -> UdpSocket {
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    peer
}

/// Turns until `done`.
#[track_caller]
fn until<F>(reactor: &mut Reactor<Datagrams<F>>, done: impl Fn(&Reactor<Datagrams<F>>) -> bool)
where
    F: FnMut(&mut Context, Datagram<'_>),
{
    let begin = Instant::now();
    while !done(reactor) {
        assert!(begin.elapsed() < PATIENCE, "it never comes");
        reactor.turn(Some(Duration::from_millis(100))).expect("a turn");
    }
}

// J11: more has arrived when a callback closes the socket.
#[test]
fn j11_after_a_socket_was_closed_nothing_is_received_or_taken_there() {
    let count = Rc::new(Cell::new(0));
    let received = Rc::clone(&count);
    let (mut reactor, socket, addr) = reactor(Config::default(), move |cx, datagram| {
        received.set(received.get() + 1);
        assert_eq!(cx.send_datagram(datagram.socket, datagram.from, b"good bye"), Sent::Accepted);
        cx.close_datagram(datagram.socket);
        assert_eq!(cx.send_datagram(datagram.socket, datagram.from, b"one more"), Sent::Closed);
        cx.close_datagram(datagram.socket);
    });
    let peer = peer();
    for _ in 0..10 {
        peer.send_to(b"hello", addr).expect("sent");
    }
    until(&mut reactor, |reactor| reactor.datagram_addr(socket).is_err());
    assert_eq!(count.get(), 1);
    assert_eq!(peer.recv(&mut [0; 16]).expect("it was sent"), 8);
    assert_eq!((reactor.stats().datagrams_sent, reactor.stats().datagrams_dropped), (1, 0));
}

// G7: a panic in one callback of a batch costs that datagram. The buffer, a timer set before and the rest stay.
#[test]
fn g7_a_panic_in_the_middle_of_a_batch_costs_one_datagram() {
    let received = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&received);
    let mut config = Config::default();
    config.isolate_panics = true;
    let (mut reactor, _, addr) = reactor(config, move |cx, datagram| {
        told.borrow_mut().push(datagram.bytes.to_vec());
        if datagram.bytes.len() == 40_000 {
            cx.send_datagram(datagram.socket, datagram.from, b"said before");
            cx.set_alarm(Duration::ZERO, 0).expect("below the limit of timers");
            std::panic::panic_any("datagram");
        }
    });
    let peer = peer();
    let sent = [(1, 1), (2, 40_000), (3, 60_000), (4, 0), (5, 2)].map(|(byte, length)| vec![byte; length]);
    for bytes in &sent {
        peer.send_to(bytes, addr).expect("sent");
    }
    until(&mut reactor, |reactor| received.borrow().len() == 5 && reactor.stats().timers_fired == 1);
    assert!(*received.borrow() == sent);
    assert_eq!(peer.recv(&mut [0; 16]).expect("it was sent"), 11);
    assert_eq!(reactor.stats().panics, 1);
}

// E1: what many callbacks of one turn send to others is offered to the kernel before it counts as too much.
#[test]
fn e1_a_turn_may_send_more_than_may_wait() {
    const IN: usize = 40;
    const OUT: usize = 20;
    let peer = peer();
    let to = peer.local_addr().expect("bound");
    let (mut reactor, _, addr) = reactor(Config::default(), move |cx, datagram| {
        for _ in 0..OUT {
            assert_eq!(cx.send_datagram(datagram.socket, to, &[0; 1200]), Sent::Accepted);
        }
    });
    assert!(IN * OUT * 1200 > 3 * Config::default().datagram_bytes_max);
    for _ in 0..IN {
        peer.send_to(b"tell everyone", addr).expect("sent");
    }
    // What the peer has no room for is lost, which is nothing to the sender.
    until(&mut reactor, |reactor| reactor.stats().datagrams_sent == (IN * OUT) as u64);
    assert_eq!(reactor.stats().datagrams_dropped, 0);
}

// K3: what is sent again whenever a send fails is tried in the next turn, also when it is so much that other callbacks'
// sends would leave at once.
#[test]
fn k3_sending_again_at_every_failure_stays_within_its_turn() {
    struct Stubborn(SocketAddr, u64);

    impl Handler for Stubborn {
        type Codec = Raw;
        type Session = ();

        fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
            None
        }

        fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
            Ok(())
        }

        fn datagram_failed(&mut self, cx: &mut Context, socket: DatagramId, _: &io::Error) {
            self.1 += 1;
            for _ in 0..2 {
                cx.send_datagram(socket, self.0, &vec![0; 66_000]);
            }
        }
    }

    let to = peer().local_addr().expect("bound");
    let mut reactor = Reactor::new(Stubborn(to, 0), Config::default()).expect("a reactor can be made");
    let socket = reactor.bind("127.0.0.1:0").expect("a free port");
    reactor.with(|_, cx| cx.send_datagram(socket, to, &vec![0; 66_000]));
    for turn in 1..100 {
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
        assert!(reactor.handler().1 <= turn * 4, "{} in {turn} turns", reactor.handler().1);
    }
    reactor.with(|_, cx| cx.close_datagram(socket));
    assert!(!reactor.turn(Some(Duration::ZERO)).expect("a turn"));
}

// A6: a socket that can be sent from is no event.
#[test]
fn a6_what_was_sent_wakes_nobody() {
    const WAIT: Duration = Duration::from_millis(50);
    let (mut reactor, _, addr) = reactor(Config::default(), |cx, datagram| {
        cx.send_datagram(datagram.socket, datagram.from, datagram.bytes);
    });
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    let peer = peer();
    peer.send_to(b"hello", addr).expect("sent");
    until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 1);
    peer.recv(&mut [0; 8]).expect("an answer");
    let begin = Instant::now();
    reactor.turn(Some(WAIT)).expect("a turn");
    assert!(begin.elapsed() >= WAIT, "something woke it");
}
