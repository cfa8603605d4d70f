//! The memory of all connections together: who is paused, who is closed, and that the rest goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use switchboard::codec::LengthPrefixed;
use switchboard::{
    CloseKind, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Listen, Peer, Reactor, Result,
};

use crate::server::PATIENCE;
use crate::turns::{connect, listening, settle, turn_until};

const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
const LIMIT: usize = 1 << 20;

/// Room for one mebibyte, and for a quarter of it in each frame.
fn scarce() -> Config {
    let mut config = Config::default();
    config.recv_bytes_max = LIMIT / 4;
    config.queued_bytes_high = LIMIT / 16;
    config.queued_bytes_max = LIMIT / 2;
    config.memory_bytes_max = LIMIT;
    config
}

/// Answers a frame with as many bytes as it has times ten thousand, and writes down who closed and why.
#[derive(Default)]
struct Generous {
    ids: Vec<ConnId>,
    closed: Vec<(ConnId, String)>,
}

impl Handler for Generous {
    type Codec = LengthPrefixed;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(LengthPrefixed, ())> {
        self.ids.push(cx.id());
        Some((LengthPrefixed::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        assert_ne!(frame.len(), 249_999, "as asked");
        if frame.len() < 100 {
            cx.send(&vec![b'.'; frame.len() * 10_000]);
        } else {
            cx.send(b"thanks");
        }
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        self.closed.push((cx.id(), why.to_string()));
    }
}

fn start(config: Config) -> (Reactor<Generous>, SocketAddr) {
    let listen = Listen::from(LOCAL).send_buffer_size(4096);
    listening(Generous::default(), config, listen)
}

/// Sends a frame's length and the first `sent` of its bytes.
fn begin_frame(mut client: &TcpStream, length: u32, sent: usize) {
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.resize(4 + sent, b'x');
    client.write_all(&bytes).expect("written");
}

/// Asks for `count` times ten thousand bytes.
fn ask(client: &TcpStream, count: u32) {
    begin_frame(client, count, count as usize);
}

/// A client whose own receive buffer takes next to nothing.
fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a size");
    socket.connect_timeout(&addr.into(), PATIENCE).expect("the kernel takes the connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    socket.into()
}

fn received<H: Handler>(reactor: &mut Reactor<H>, bytes: u64) {
    turn_until(reactor, |reactor| reactor.stats().received >= bytes);
}

// E13: at the limit the connection that holds most is closed, and nobody else.
#[test]
fn e13_at_the_memory_limit_the_largest_is_closed() {
    let (mut reactor, addr) = start(scarce());
    let largest = connect(addr);
    begin_frame(&largest, 250_000, 240_000);
    let mut sent = 240_004;
    received(&mut reactor, sent);
    let mut others = Vec::new();
    while reactor.stats().closed_total() == 0 {
        let client = connect(addr);
        begin_frame(&client, 62_000, 60_000);
        sent += 60_004;
        received(&mut reactor, sent);
        settle(&mut reactor);
        others.push(client);
        assert!(others.len() < 20, "more than the limit is held");
    }
    let (closed, why) = &reactor.handler().closed[0];
    assert_eq!(*closed, reactor.handler().ids[0]);
    assert!(why.starts_with("held 2"), "{why}");
    assert!(why.ends_with("bytes when all connections reached 1048576 (memory_bytes_max)"), "{why}");
    assert_eq!((&largest).read(&mut [0]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    for mut client in others {
        client.write_all(&[b'x'; 2_000]).expect("written");
        let frames = reactor.stats().frames;
        turn_until(&mut reactor, |reactor| reactor.stats().frames > frames);
        client.read_exact(&mut [0; 6]).expect("an answer");
    }
    assert_eq!(reactor.stats().closed(CloseKind::MemoryLimit), 1, "one was enough");
}

// E13: several that pass the limit in one turn are shed in that turn, not one in each.
#[test]
fn e13_the_memory_limit_holds_after_every_turn() {
    let (mut reactor, addr) = start(scarce());
    let clients: Vec<_> = (0..12).map(|_| narrow(addr)).collect();
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 12);
    for client in &clients {
        ask(client, 40);
    }
    while reactor.stats().frames < 12 {
        turn_until(&mut reactor, |_| true);
        reactor.turn(Some(PATIENCE)).expect("a turn");
        let queued: usize = reactor.connections().map(|info| info.queued).sum();
        assert!(queued <= LIMIT, "{queued} bytes queued");
    }
    assert!(reactor.stats().closed(CloseKind::MemoryLimit) >= 9, "{:?}", reactor.handler().closed);
    assert!(reactor.stats().open >= 2);
}

// E13: from three quarters on, who holds most output is not read until it is gone; then reading goes on.
#[test]
fn e13_reading_pauses_on_the_largest_and_goes_on_when_its_output_is_gone() {
    let (mut reactor, addr) = start(scarce());
    let clients: Vec<_> = (0..18).map(|_| narrow(addr)).collect();
    for (count, client) in (1..).zip(&clients) {
        ask(client, 6);
        turn_until(&mut reactor, |reactor| reactor.stats().frames == count);
    }
    settle(&mut reactor);
    let paused: Vec<_> = reactor.connections().filter(|info| info.paused).map(|info| info.id).collect();
    assert!(!paused.is_empty(), "nobody is paused");
    assert_eq!(reactor.stats().closed_total(), 0, "nobody is closed");
    // They ask once more and are not heard.
    let ids = reactor.handler().ids.clone();
    for (client, _) in clients.iter().zip(ids).filter(|(_, id)| paused.contains(id)) {
        ask(client, 1);
    }
    settle(&mut reactor);
    assert_eq!(reactor.stats().frames, 18);
    // Until they have read what they have coming.
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || client.read_exact(&mut vec![0; 60_000]).map(|()| client))
        })
        .collect();
    let frames = 18 + paused.len() as u64;
    turn_until(&mut reactor, |reactor| {
        reactor.stats().frames == frames && readers.iter().all(std::thread::JoinHandle::is_finished)
    });
    for reader in readers {
        // Its connection stays open until the next line.
        drop(reader.join().expect("a reader reads").expect("the whole answer"));
    }
    assert_eq!(reactor.stats().closed(CloseKind::MemoryLimit), 0);
}

// E13: half a frame held by someone who never sends the rest does not keep others from finishing theirs.
#[test]
fn e13_partial_frames_that_hold_three_quarters_stop_nobody_else() {
    let (mut reactor, addr) = start(scarce());
    let mut sent = 0;
    let hoarders: Vec<_> = (0..13).map(|_| connect(addr)).collect();
    for client in &hoarders {
        begin_frame(client, 70_000, 62_000);
        sent += 62_004;
        received(&mut reactor, sent);
    }
    settle(&mut reactor);
    let modest = connect(addr);
    for _ in 0..3 {
        begin_frame(&modest, 30_000, 20_000);
        sent += 20_004;
        received(&mut reactor, sent);
        settle(&mut reactor);
        (&modest).write_all(&[b'x'; 10_000]).expect("written");
        sent += 10_000;
        received(&mut reactor, sent);
        let mut answer = [0; 6];
        (&modest).read_exact(&mut answer).expect("an answer");
    }
    assert_eq!(reactor.stats().closed_total(), 0);
    // Nor is the hoarder's own frame lost once it is whole.
    (&hoarders[0]).write_all(&[b'x'; 8_000]).expect("written");
    turn_until(&mut reactor, |reactor| reactor.stats().frames == 4);
}

// G7: what a connection held when its callback panicked is given back.
#[test]
fn g7_a_panic_leaves_nothing_behind_in_the_account() {
    let mut config = scarce();
    config.isolate_panics = true;
    let (mut reactor, addr) = start(config);
    for count in 1..=8 {
        let mut client = connect(addr);
        // The panic comes while the tail is lent to the codec.
        begin_frame(&client, 249_999, 200_000);
        received(&mut reactor, (count - 1) * 250_003 + 200_004);
        client.write_all(&vec![b'x'; 49_999]).expect("written");
        turn_until(&mut reactor, |reactor| reactor.stats().panics == count && reactor.stats().open == 0);
    }
    // With 2 MB on the account it would be closed.
    let client = connect(addr);
    begin_frame(&client, 250_000, 200_000);
    received(&mut reactor, 8 * 250_003 + 200_004);
    settle(&mut reactor);
    assert_eq!(reactor.stats().closed(CloseKind::MemoryLimit), 0);
}
