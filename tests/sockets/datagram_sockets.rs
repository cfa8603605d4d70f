//! Sockets for datagrams: adopted from elsewhere, in groups, opened at the end, and where they are.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::{
    Addr, Bind, CloseReason, Config, Conn, Context, Datagram, DatagramId, Handler, Peer, Reactor, Result,
    Sent, Stop,
};

use crate::server::PATIENCE;
use crate::turns::{address, connect, turn_until};

/// Sends datagrams back, with what it knows of the socket.
#[derive(Default)]
struct Echo {
    keys: Vec<u64>,
    failed: Vec<ErrorKind>,
    bind_failed: Vec<DatagramId>,
    /// Whether it binds once more when a connection is closed, and when that fails.
    binds: bool,
    bound: Vec<DatagramId>,
}

impl Handler for Echo {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), _: &CloseReason) {
        if self.binds {
            self.bound.push(cx.bind(local()));
        }
    }

    fn datagram(&mut self, cx: &mut Context, datagram: Datagram<'_>) {
        self.keys.push(datagram.key);
        cx.send_datagram(datagram.socket, datagram.from, datagram.bytes);
    }

    fn datagram_failed(&mut self, _: &mut Context, _: DatagramId, error: &io::Error) {
        self.failed.push(error.kind());
    }

    fn bind_failed(&mut self, cx: &mut Context, socket: DatagramId, _: &io::Error) {
        self.bind_failed.push(socket);
        self.bound.push(cx.bind(local()));
    }
}

fn made() -> Reactor<Echo> {
    Reactor::new(Echo::default(), Config::default()).expect("a reactor can be made")
}

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn peer() -> UdpSocket {
    let peer = UdpSocket::bind(local()).expect("a free port");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    peer
}

#[test]
fn a_socket_that_someone_else_opened_is_served_with_what_waits_there() {
    let mut reactor = made();
    let theirs = UdpSocket::bind(local()).expect("a free port");
    let addr = theirs.local_addr().expect("bound");
    let copy = theirs.try_clone().expect("a copy");
    let peer = peer();
    peer.send_to(b"early", addr).expect("sent");
    let socket = reactor.adopt_datagram(theirs, 5).expect("a UDP socket");
    assert_eq!(reactor.datagram_addr(socket).expect("open").socket_addr(), Some(addr));
    turn_until(&mut reactor, |reactor| reactor.stats().datagrams_sent == 1);
    assert_eq!(peer.recv(&mut [0; 8]).expect("an answer"), 5);
    assert_eq!(reactor.handler().keys, [5]);
    // Closed here while someone else holds it, it is out of the poll.
    reactor.with(|_, cx| cx.close_datagram(socket));
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    peer.send_to(b"late", addr).expect("sent");
    let other = reactor.bind(local()).expect("a free port");
    let other = reactor.datagram_addr(other).expect("open").socket_addr().expect("an IP address");
    peer.send_to(b"here", other).expect("sent");
    turn_until(&mut reactor, |reactor| reactor.stats().datagrams_received == 2);
    assert_eq!(reactor.stats().stale_events, 0);
    drop(copy);
}

#[test]
fn what_takes_no_datagrams_is_not_adopted() {
    let mut reactor = made();
    let listener = TcpListener::bind(local()).expect("a free port");
    let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (one, _two) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let (pipe, _end) = rustix::pipe::pipe().expect("a pipe");
    for fd in [OwnedFd::from(listener), stream.into(), one.into(), pipe] {
        let error = reactor.adopt_datagram(fd, 0).expect_err("none");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "the descriptor is no UDP or Unix socket for datagrams");
    }
}

#[test]
fn a_callback_knows_where_a_socket_is_bound() {
    let mut reactor = made();
    let socket = reactor.with(|_, cx| {
        let socket = cx.bind(local());
        assert_eq!(cx.datagram_addr(socket), None, "it is not open yet");
        socket
    });
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    let addr = reactor.datagram_addr(socket).expect("open");
    assert_ne!(addr.port(), Some(0));
    assert_eq!(reactor.with(|_, cx| cx.datagram_addr(socket).cloned()), Some(addr));
    reactor.with(|_, cx| cx.close_datagram(socket));
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert_eq!(reactor.with(|_, cx| cx.datagram_addr(socket).cloned()), None);
}

#[test]
fn groups_are_joined_and_left_while_it_is_open() {
    let group = Ipv4Addr::new(239, 255, 77, 2);
    let mut reactor = made();
    let socket = reactor.bind(Bind::new((Ipv4Addr::UNSPECIFIED, 0).into())).expect("a free port");
    let port = reactor.datagram_addr(socket).expect("open").port().expect("a port");
    let peer = peer();
    socket2::SockRef::from(&peer).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).expect("loopback");
    let to_group = SocketAddr::from((group, port));
    let to_itself = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut received = 0;
    // The one sent to itself says that nothing else was on its way.
    for joined in [false, true, false, true] {
        peer.send_to(b"group", to_group).expect("sent");
        peer.send_to(b"itself", to_itself).expect("sent");
        received += if joined { 2 } else { 1 };
        turn_until(&mut reactor, |reactor| reactor.stats().datagrams_received >= received);
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
        assert_eq!(reactor.stats().datagrams_received, received);
        reactor.with(|_, cx| {
            if joined {
                cx.leave_v4(socket, group, Ipv4Addr::LOCALHOST);
            } else {
                cx.join_v4(socket, group, Ipv4Addr::LOCALHOST);
            }
        });
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
    }
    assert_eq!(reactor.handler().failed, []);
    // It was left already, and one that is IPv6's is none of this socket's.
    reactor.with(|_, cx| cx.leave_v4(socket, group, Ipv4Addr::LOCALHOST));
    reactor.with(|_, cx| cx.join_v6(socket, "ff02::1".parse().expect("a group"), 0));
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert_eq!(reactor.handler().failed.len(), 2);
}

// F10: nothing opens any more, which is said; what is asked for then is not asked for again and again.
#[test]
fn a_socket_asked_for_while_the_reactor_stops_is_told_as_failed() {
    for stop in [Stop::Now, Stop::Drain] {
        let mut reactor = made();
        reactor.with(|echo, _| echo.binds = true);
        let listener = reactor.listen("127.0.0.1:0").expect("a free port");
        let client = connect(address(&reactor, listener));
        turn_until(&mut reactor, |reactor| reactor.stats().open == 1);
        reactor.with(|_, cx| cx.stop(stop));
        drop(client);
        reactor.run().expect("it ends");
        let echo = reactor.handler();
        assert_eq!(echo.bound.len(), echo.bind_failed.len() + 1, "{stop:?}");
        assert_eq!(echo.bind_failed, echo.bound[..echo.bind_failed.len()]);
        let all = echo.bound.clone();
        for socket in all {
            let to = Addr::from(local());
            assert_eq!(reactor.with(|_, cx| cx.send_datagram(socket, to, b"late")), Sent::Closed, "{stop:?}");
        }
    }
}
