//! What every server does, and what it costs in system calls.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;

use switchboard::codec::{LengthPrefixed, Lines, Raw};
use switchboard::{
    Close, CloseKind, CloseReason, Config, Conn, Context, Frame, Handler, Peer, Reactor, Result, Stop, each,
};

use crate::server::Server;

fn echo() -> impl Handler {
    each(Raw::new, |cx, bytes| {
        cx.send(bytes);
        Ok(())
    })
}

fn line_echo() -> impl Handler {
    each(Lines::new, |cx, line| {
        cx.send(line);
        cx.send(b"\n");
        Ok(())
    })
}

#[test]
fn what_is_sent_comes_back() {
    let server = Server::start(Config::default(), echo);
    let mut client = server.connect();
    let mut answer = [0; 5];
    for text in [b"hello", b"world"] {
        client.write_all(text).expect("written");
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, text);
    }
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!((stats.accepted, stats.closed(CloseKind::Ended)), (1, 1));
}

#[test]
fn one_receive_and_one_send_per_request() {
    let server = Server::start(Config::default(), echo);
    let mut client = server.connect();
    let mut answer = [0; 64];
    let mut ping = || {
        client.write_all(&[7; 64]).expect("written");
        client.read_exact(&mut answer).expect("an answer");
    };
    ping();
    let before = server.with(|_, cx| cx.stats().calls);
    for _ in 0..100 {
        ping();
    }
    let after = server.with(|_, cx| cx.stats().calls);
    assert_eq!(after.recv - before.recv, 100);
    assert_eq!(after.send - before.send, 100);
    assert_eq!(after.register, 1, "registered once: it was never blocked");
    drop(client);
    server.stop();
}

#[test]
fn one_receive_and_one_send_per_batch_of_pipelined_frames() {
    let server = Server::start(Config::default(), line_echo);
    let mut client = server.connect();
    let batch = b"sixteen lines in one segment\n".repeat(16);
    let mut answer = vec![0; batch.len()];
    let mut ping = || {
        client.write_all(&batch).expect("written");
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, batch);
    };
    ping();
    let before = server.with(|_, cx| cx.stats().clone());
    for _ in 0..100 {
        ping();
    }
    let after = server.with(|_, cx| cx.stats().clone());
    assert_eq!(after.frames - before.frames, 1600);
    assert_eq!(after.calls.recv - before.calls.recv, 100);
    assert_eq!(after.calls.send - before.calls.send, 100);
    drop(client);
    server.stop();
}

#[test]
fn eight_megabytes_come_back_from_a_client_that_writes_all_before_it_reads() {
    let server = Server::start(Config::default(), echo);
    let client = server.connect();
    let sent: Vec<u8> = (0..8_u32 << 20).map(|n| ((n * 7) >> 3).to_le_bytes()[0]).collect();
    let mut writer = client.try_clone().expect("cloned");
    let bytes = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&bytes).expect("written");
        writer.shutdown(Shutdown::Write).expect("ended");
    });
    let mut reader = client;
    let mut received = Vec::new();
    reader.read_to_end(&mut received).expect("read to the end");
    writing.join().expect("the writer writes");
    assert!(received == sent, "{} of {} bytes, or others", received.len(), sent.len());
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::Ended), 1);
}

#[test]
fn frames_that_drip_in_byte_by_byte_arrive_whole() {
    let server = Server::start(Config::default(), || {
        each(LengthPrefixed::new, |cx, frame| {
            let frame = frame.to_ascii_uppercase();
            LengthPrefixed::new().encode(&frame, &mut cx.out())?;
            Ok(())
        })
    });
    let mut client = server.connect();
    for byte in b"\0\0\0\x05hello\0\0\0\0\0\0\0\x01x" {
        client.write_all(&[*byte]).expect("written");
    }
    let mut answer = [0; 18];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"\0\0\0\x05HELLO\0\0\0\0\0\0\0\x01X");
    drop(client);
    server.stop();
}

/// Tells what it is told.
struct Recorder(mpsc::Sender<String>);

impl Handler for Recorder {
    type Codec = Lines;
    type Session = u32;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, u32)> {
        self.0.send("opened".into()).ok();
        Some((Lines::new(), 0))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        *conn.session += 1;
        let line = String::from_utf8_lossy(line);
        self.0.send(format!("received {line}")).ok();
        match &*line {
            "flush" => cx.close(conn.id, Close::Flush),
            "linger" => return Err(Close::Linger),
            "abort" => return Err(Close::Abort),
            "fail" => return Err(Close::msg("as told")),
            "bye" => {
                cx.send(b"bye\n");
                cx.finish(conn.id);
            }
            _ => {}
        }
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, session: u32, why: &CloseReason) {
        assert!(!cx.send(b"too late").is_queued());
        self.0.send(format!("closed after {session}: {why}")).ok();
    }
}

/// What a handler is told when a client sends `text` and then waits for the end.
fn told(text: &[u8]) -> (Vec<String>, std::io::Result<Vec<u8>>) {
    let (tell, told) = mpsc::channel();
    let server = Server::start(Config::default(), || Recorder(tell));
    let mut client = server.connect();
    client.write_all(text).expect("written");
    let mut answer = Vec::new();
    let result = client.read_to_end(&mut answer).map(|_| answer);
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
    (told.iter().collect(), result)
}

#[test]
fn a_close_ends_delivery_and_is_told_once_with_its_reason() {
    for (text, reason) in [
        ("flush", "closed by this program"),
        ("linger", "closed by this program"),
        ("fail", "failed: as told"),
    ] {
        let (told, result) = told(format!("one\n{text}\nnot this\n").as_bytes());
        let expected =
            ["opened", "received one", &format!("received {text}"), &format!("closed after 2: {reason}")];
        assert_eq!(told, expected);
        assert!(result.is_ok(), "an orderly end: {result:?}");
    }
}

#[test]
fn an_abort_is_a_reset_for_the_peer() {
    let (told, result) = told(b"abort\n");
    assert_eq!(told, ["opened", "received abort", "closed after 1: aborted by this program"]);
    assert_eq!(result.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn finish_ends_our_side_and_still_hears_the_peer() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(Config::default(), || Recorder(tell));
    let mut client = server.connect();
    client.write_all(b"bye\n").expect("written");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("the end of their side");
    assert_eq!(answer, b"bye\n");
    client.write_all(b"still here\n").expect("our side is open");
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    server.stop();
    let told: Vec<_> = told.iter().collect();
    assert_eq!(told, ["opened", "received bye", "received still here", "closed after 2: ended by the peer"]);
}

#[test]
fn a_truncated_frame_is_told_apart_from_a_clean_end() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(Config::default(), || Recorder(tell));
    for text in ["whole\n", "cut"] {
        let mut client = server.connect();
        client.write_all(text.as_bytes()).expect("written");
        client.shutdown(Shutdown::Write).expect("ended");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("the end");
        server.wait_until(|_, cx| cx.stats().open == 0);
    }
    server.stop();
    let told: Vec<_> = told.iter().collect();
    assert_eq!(
        told,
        [
            "opened",
            "received whole",
            "closed after 1: ended by the peer",
            "opened",
            "closed after 0: ended 3 bytes into a frame"
        ]
    );
}

#[test]
fn a_reactor_with_nothing_left_to_wait_for_returns() {
    let mut reactor = Reactor::new(echo(), Config::default()).expect("made");
    reactor.run().expect("returned");
    assert!(reactor.run().is_ok(), "it may run again");
    reactor.with(|_, cx| cx.stop(Stop::Now));
    reactor.run().expect("stopped");
    assert_eq!(reactor.run().expect_err("stopped for good").to_string(), "the reactor has stopped");
}

struct Client(mpsc::Sender<String>);

impl Handler for Client {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, _: &mut Context, peer: &Peer<'_>) -> Option<(Lines, ())> {
        self.0.send(format!("opened {}", peer.key)).ok();
        Some((Lines::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        self.0.send(String::from_utf8_lossy(line).into_owned()).ok();
        Ok(())
    }

    fn connect_failed(&mut self, _: &mut Context, key: u64, why: &CloseReason) {
        self.0.send(format!("{key} failed: {why}")).ok();
    }
}

// D10: what is sent before the connect has an outcome waits in the queue.
#[test]
fn d10_a_client_sends_before_it_is_connected_and_hears_the_answer() {
    let server = Server::start(Config::default(), line_echo);
    let (tell, told) = mpsc::channel();
    let mut reactor = Reactor::new(Client(tell), Config::default()).expect("made");
    let addr = server.addr;
    reactor.with(move |_, cx| {
        let id = cx.connect(addr, 7).expect("room");
        cx.send_to(id, b"early\n");
        cx.finish(id);
    });
    reactor.run().expect("returns when the connection is over");
    assert_eq!(reactor.stats().closed(CloseKind::Ended), 1);
    drop(reactor);
    assert_eq!(told.iter().collect::<Vec<_>>(), ["opened 7", "early"]);
    server.stop();
}

// D3, D4: a refusal is reported by the loop, as a failed connect and not as an end.
#[test]
fn d4_a_refused_connect_opens_nothing() {
    let unused =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let (tell, told) = mpsc::channel();
    let mut reactor = Reactor::new(Client(tell), Config::default()).expect("made");
    reactor.with(move |_, cx| {
        let id = cx.connect(unused, 3).expect("room");
        cx.send_to(id, b"lost\n");
    });
    reactor.run().expect("returns when nothing is left");
    drop(reactor);
    assert_eq!(
        told.iter().collect::<Vec<_>>(),
        ["3 failed: socket error: Connection refused (os error 111)"]
    );
}
