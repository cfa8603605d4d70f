//! L, A1: urgent (out-of-band) data: the byte, and that the stream around it flows on whether anyone wants it or not.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::net::{SendFlags, send};
use switchboard::codec::Raw;
use switchboard::{CloseReason, Config, Conn, Context, Frame, Handler, Peer, Result};

use crate::server::{PATIENCE, Server, let_pass};

/// Echoes what comes in the stream, and tells everything.
struct Both(mpsc::Sender<Told>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Told {
    Bytes(Vec<u8>),
    Urgent(u8),
    Closed(String),
}

impl Handler for Both {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        self.0.send(Told::Bytes(bytes.to_vec())).ok();
        cx.send(bytes);
        Ok(())
    }

    fn urgent(&mut self, _: &mut Context, _: Conn<'_, Self>, byte: u8) -> Result {
        self.0.send(Told::Urgent(byte)).ok();
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        self.0.send(Told::Closed(why.to_string())).ok();
    }
}

fn server(urgent: bool) -> (Server<Both>, mpsc::Receiver<Told>) {
    let (tell, told) = mpsc::channel();
    let mut config = Config::default();
    config.urgent = urgent;
    (Server::start(config, || Both(tell)), told)
}

fn send_urgent(client: &TcpStream, byte: u8) {
    assert_eq!(send(client, &[byte], SendFlags::OOB), Ok(1));
}

/// What was told until the end, frames joined where nothing came between them.
fn all(told: &mpsc::Receiver<Told>) -> Vec<Told> {
    let mut all = Vec::new();
    for next in told {
        match (all.last_mut(), next) {
            (Some(Told::Bytes(before)), Told::Bytes(bytes)) => before.extend(bytes),
            (_, next) => all.push(next),
        }
    }
    all
}

fn bytes(text: &str) -> Told {
    Told::Bytes(text.into())
}

fn ended() -> Told {
    Told::Closed("ended by the peer".into())
}

// A1, L2: the kernel stops a receive at the mark, and no event follows for what is behind it.
#[test]
fn l2_a_stream_with_an_urgent_byte_in_it_does_not_stall_at_the_mark() {
    for urgent in [false, true] {
        let (server, told) = server(urgent);
        let mut client = server.connect();
        let mut answer = [0; 6];
        for _ in 0..50 {
            let stop = server.stand_still();
            client.write_all(b"abc").expect("written");
            send_urgent(&client, b'X');
            client.write_all(b"def").expect("written");
            stop.end();
            client.read_exact(&mut answer).expect("all that was in the stream");
            assert_eq!(&answer, b"abcdef");
        }
        drop(client);
        server.wait_until(|_, cx| cx.stats().open == 0);
        server.stop();
        let urgents = told.iter().filter(|told| *told == Told::Urgent(b'X')).count();
        assert_eq!(urgents, if urgent { 50 } else { 0 });
    }
}

// L6: not wanted, the byte vanishes from the stream, with or without one to fill its place.
#[test]
fn l6_an_urgent_byte_nobody_wants_vanishes_and_nothing_else_does() {
    let (server, told) = server(false);
    let mut client = server.connect();
    send_urgent(&client, b'X');
    client.write_all(b"abc").expect("written");
    send_urgent(&client, b'Y');
    client.read_exact(&mut [0; 3]).expect("what was in the stream");
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(server.stop().calls.recv_urgent, 0);
    assert_eq!(all(&told), [bytes("abc"), ended()]);
}

// L1: a receive past its place would discard the byte, so it is taken before the stream is read.
#[test]
fn l1_an_urgent_byte_is_told_before_the_bytes_around_it() {
    let (server, told) = server(true);
    let mut client = server.connect();
    let stop = server.stand_still();
    client.write_all(b"abc").expect("written");
    send_urgent(&client, b'X');
    client.write_all(b"def").expect("written");
    stop.end();
    client.read_exact(&mut [0; 6]).expect("all that was in the stream");
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
    assert_eq!(all(&told), [Told::Urgent(b'X'), bytes("abcdef"), ended()]);
}

// L3: the kernel keeps one aside. What it does with the first depends on what was read before: here Linux leaves
// it in the stream, as data.
#[test]
fn l3_of_two_urgent_bytes_the_latest_is_told() {
    let (server, told) = server(true);
    let mut client = server.connect();
    let stop = server.stand_still();
    for (text, byte) in [("abc", b'X'), ("def", b'Y')] {
        client.write_all(text.as_bytes()).expect("written");
        send_urgent(&client, byte);
    }
    client.write_all(b"ghi").expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    stop.end();
    client.read_to_end(&mut Vec::new()).expect("the echo and the end");
    server.stop();
    let mut all = all(&told);
    if let Some(Told::Bytes(bytes)) = all.get_mut(1) {
        bytes.retain(|&byte| byte != b'X');
    }
    assert_eq!(all, [Told::Urgent(b'Y'), bytes("abcdefghi"), ended()]);
}

// L4, L5: announced, taken, and nothing else there: the loop sleeps again, and the connection works on.
#[test]
fn l4_an_urgent_byte_alone_does_not_make_the_loop_spin() {
    for urgent in [false, true] {
        let (server, told) = server(urgent);
        let mut client = server.connect();
        client.write_all(b"abc").expect("written");
        client.read_exact(&mut [0; 3]).expect("an answer");
        send_urgent(&client, b'X');
        if urgent {
            let next = told.iter().find(|told| !matches!(told, Told::Bytes(_)));
            assert_eq!(next, Some(Told::Urgent(b'X')));
        }
        let before = server.with(|_, cx| cx.stats().calls);
        let_pass(Duration::from_millis(200));
        let after = server.with(|_, cx| cx.stats().calls);
        assert!(after.poll - before.poll <= 4, "{} polls", after.poll - before.poll);
        assert!(after.recv - before.recv <= 2, "{} receives", after.recv - before.recv);
        client.write_all(b"def").expect("written");
        client.read_exact(&mut [0; 3]).expect("an answer");
        drop(client);
        server.stop();
    }
}

// L7: urgent bytes as fast as they can be sent. At most one is told in a turn, and others are served.
#[test]
fn l7_a_flood_of_urgent_bytes_is_bounded() {
    const COUNT: u64 = 50_000;
    for urgent in [false, true] {
        let (server, told) = server(urgent);
        let flooder = server.connect();
        let mut client = server.connect();
        let flooding = std::thread::spawn(move || {
            for _ in 0..COUNT {
                send_urgent(&flooder, b'X');
            }
            flooder
        });
        let begin = Instant::now();
        while !flooding.is_finished() {
            client.write_all(b"ping").expect("written");
            client.read_exact(&mut [0; 4]).expect("an answer");
            assert!(begin.elapsed() < PATIENCE, "the flood does not end");
        }
        drop((client, flooding.join().expect("sent")));
        server.wait_until(|_, cx| cx.stats().open == 0);
        let stats = server.stop();
        assert!(
            stats.calls.recv_urgent <= stats.turns,
            "{} in {} turns",
            stats.calls.recv_urgent,
            stats.turns
        );
        let urgents = told.iter().filter(|told| *told == Told::Urgent(b'X')).count() as u64;
        assert!(if urgent { (1..=COUNT).contains(&urgents) } else { urgents == 0 }, "{urgents}");
    }
}

// F3, L2: a lingering connection reads on past a mark as well.
#[test]
fn l2_a_peer_that_ends_behind_an_urgent_byte_is_seen_to_end() {
    for urgent in [false, true] {
        let (server, told) = server(urgent);
        let mut client = server.connect();
        let stop = server.stand_still();
        client.write_all(b"abc").expect("written");
        send_urgent(&client, b'X');
        client.shutdown(Shutdown::Write).expect("ended");
        stop.end();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("the end");
        assert_eq!(answer, b"abc");
        server.stop();
        let expected = [Told::Urgent(b'X'), bytes("abc"), ended()];
        assert_eq!(all(&told), expected[usize::from(!urgent)..]);
    }
}
