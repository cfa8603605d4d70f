//! One message to many, and what counts as too slow for it; formatted output.

use std::io::{BufRead, BufReader, Read, Write};
use std::thread;

use switchboard::codec::Lines;
use switchboard::{
    Broadcast, CloseKind, CloseReason, Config, Conn, ConnId, Context, Handler, OnSlow, Peer, Result, Sent,
};

use crate::server::Server;

/// Keeps who is there, and how those who are not any more went.
#[derive(Default)]
struct Crowd {
    here: Vec<ConnId>,
    gone: Vec<CloseReason>,
}

impl Handler for Crowd {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        self.here.push(cx.id());
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: &[u8]) -> Result {
        let text = String::from_utf8_lossy(line);
        assert_eq!(writeln!(cx.out(), "{text} has {} bytes", line.len()), Sent::Accepted);
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        self.here.retain(|&id| id != cx.id());
        self.gone.push(match why {
            &CloseReason::SlowConsumer { queued, limit } => CloseReason::SlowConsumer { queued, limit },
            _ => CloseReason::Closed,
        });
    }
}

fn broadcast(server: &Server<Crowd>, times: usize, on_slow: OnSlow) -> Broadcast {
    server.with(move |crowd, cx| {
        let message = bytes::Bytes::from(vec![b'm'; 4096]);
        let mut total = Broadcast::default();
        for _ in 0..times {
            let result = cx.broadcast(crowd.here.iter().copied(), &message, on_slow);
            total.queued += result.queued;
            total.skipped += result.skipped;
            total.closed += result.closed;
        }
        total
    })
}

#[test]
fn who_reads_is_not_slow_however_much_one_turn_sends() {
    for on_slow in [OnSlow::Queue, OnSlow::Skip, OnSlow::Close] {
        let server = Server::start(Config::default(), Crowd::default);
        let mut clients = [server.connect(), server.connect()];
        server.wait_until(|crowd, _| crowd.here.len() == 2);
        // Two and a half times the high mark, before the kernel was offered a byte of it.
        let result = broadcast(&server, 40, on_slow);
        assert_eq!((result.queued, result.skipped, result.closed), (80, 0, 0), "{on_slow:?}");
        for client in &mut clients {
            let mut got = vec![0; 40 * 4096];
            client.read_exact(&mut got).expect("all of it");
            assert!(got.iter().all(|&byte| byte == b'm'));
        }
        drop(clients);
        server.wait_until(|crowd, _| crowd.here.is_empty());
        server.stop();
    }
}

#[test]
fn who_does_not_read_is_skipped_or_closed_above_the_high_mark_and_the_others_get_everything() {
    for on_slow in [OnSlow::Skip, OnSlow::Close] {
        let server = Server::start(Config::default(), Crowd::default);
        let (slow, mut reader) = (server.connect(), server.connect());
        server.wait_until(|crowd, _| crowd.here.len() == 2);
        let reader = thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let mut rounds = 0;
        let result = loop {
            let result = broadcast(&server, 1, on_slow);
            rounds += 1;
            assert!(rounds < 10_000, "nobody is ever slow");
            if result.queued < 2 {
                break result;
            }
            // The reader may need a moment to take what there is.
            server.wait_until(|crowd, cx| crowd.here.iter().any(|&id| cx.queued(id) == 0));
        };
        assert_eq!(result.queued, 1);
        assert_eq!((result.skipped, result.closed), if on_slow == OnSlow::Skip { (1, 0) } else { (0, 1) });
        if on_slow == OnSlow::Close {
            server.wait_until(|crowd, _| !crowd.gone.is_empty());
            let high = Config::default().queued_bytes_high;
            server.with(move |crowd, cx| {
                assert_eq!(cx.stats().closed(CloseKind::SlowConsumer), 1);
                let CloseReason::SlowConsumer { queued, limit } = crowd.gone[0] else {
                    panic!("{:?}", crowd.gone)
                };
                assert_eq!(limit, high, "it says which limit it was");
                assert!(queued > high, "{queued}");
            });
        }
        drop(slow);
        server.wait_until(|crowd, _| crowd.here.len() == 1);
        server.handle.stop(switchboard::Stop::Drain);
        let got = reader.join().expect("no panic").expect("an orderly end");
        assert_eq!(got, rounds * 4096);
        server.join();
    }
}

#[test]
fn what_is_sent_outside_of_a_connections_callback_reaches_nobody() {
    let server = Server::start(Config::default(), Crowd::default);
    let mut client = BufReader::new(server.connect());
    // Before, between and after callbacks of a connection, through every way to send to the one being served.
    for round in 0..3 {
        server.with(|_, cx| {
            assert_eq!(cx.send(b"secret"), Sent::Closed);
            assert_eq!(cx.send_bytes(bytes::Bytes::from_static(b"secret")), Sent::Closed);
            assert_eq!(write!(cx.out(), "secret {}", 1), Sent::Closed);
            assert_eq!(cx.queued(cx.id()), 0);
        });
        client.get_mut().write_all(b"line\n").expect("written");
        let mut answer = String::new();
        client.read_line(&mut answer).expect("an answer");
        assert_eq!(answer, "line has 4 bytes\n", "round {round}");
    }
    drop(client);
    server.stop();
}

#[test]
fn formatted_output_needs_no_import_and_answers_as_send_does() {
    let server = Server::start(Config::default(), Crowd::default);
    let mut client = server.connect();
    client.write_all(b"line\n").expect("written");
    let mut answer = String::new();
    BufReader::new(&client).read_line(&mut answer).expect("an answer");
    assert_eq!(answer, "line has 4 bytes\n");
    let max = Config::default().queued_bytes_max;
    server.with(move |crowd, cx| {
        let id = crowd.here[0];
        assert_eq!(write!(cx.out_to(id), "{}", "x".repeat(100_000)), Sent::OverHigh);
        assert_eq!(write!(cx.out_to(id), "{}{}{}", 1, "x".repeat(max), 2), Sent::Full);
        assert_eq!(write!(cx.out_to(id), "too late"), Sent::Closed);
    });
    server.wait_until(|crowd, _| crowd.here.is_empty());
    assert_eq!(server.stop().closed(CloseKind::SlowConsumer), 1);
}
