//! What a handler may still say: to a peer that is about to be closed for what it did, and before a drain.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use switchboard::codec::Lines;
use switchboard::{CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Peer, Reactor, Result, Stop};

use crate::server::{PATIENCE, Server};

/// Answers lines, says why it refuses, and says goodbye.
struct Polite {
    ids: Vec<ConnId>,
    tell: mpsc::Sender<String>,
}

impl Handler for Polite {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        self.ids.push(cx.id());
        Some((Lines::new().frame_bytes_max(16), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        if line == b"fail" {
            return Err(switchboard::Close::msg("as told"));
        }
        cx.send(b"ok\n");
        Ok(())
    }

    fn refused(&mut self, cx: &mut Context, conn: Conn<'_, Self>, why: &CloseReason) {
        assert_eq!(cx.id(), conn.id);
        assert!(writeln!(cx.out(), "error: {why}").is_queued());
    }

    fn draining(&mut self, cx: &mut Context) {
        for id in &self.ids {
            cx.send_to(*id, b"bye\n");
        }
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        self.tell.send(why.to_string()).expect("the test listens");
    }
}

fn polite(change: impl FnOnce(&mut Config)) -> (Server<Polite>, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let mut config = Config::default();
    change(&mut config);
    (Server::start(config, || Polite { ids: Vec::new(), tell }), told)
}

fn rest(client: &mut TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an orderly end");
    text
}

#[test]
fn who_sends_a_bad_frame_is_told_so_although_more_of_its_input_is_unread() {
    let (server, told) = polite(|_| {});
    let mut client = server.connect();
    client.write_all(b"hello\na line that is much too long\nand more\n").expect("written");
    client.write_all(&vec![b'x'; 60_000]).expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(rest(&mut client), "ok\nerror: bad frame: no end of the frame in sight, limit is 16 bytes\n");
    drop(client);
    let why = told.recv_timeout(PATIENCE).expect("closed");
    assert_eq!(why, "bad frame: no end of the frame in sight, limit is 16 bytes");
    server.stop();
}

#[test]
fn who_ends_within_a_frame_is_told_so() {
    let (server, told) = polite(|_| {});
    let mut client = server.connect();
    client.write_all(b"hello\nhal").expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(rest(&mut client), "ok\nerror: ended 3 bytes into a frame\n");
    assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok("ended 3 bytes into a frame"));
    server.stop();
}

#[test]
fn who_is_silent_for_too_long_is_told_so() {
    let (server, told) = polite(|config| config.first_frame_timeout = Some(Duration::from_millis(20)));
    let mut client = server.connect();
    client.write_all(b"hel").expect("written");
    assert_eq!(rest(&mut client), "error: timed out waiting for the first frame\n");
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok("timed out waiting for the first frame"));
    server.stop();
}

#[test]
fn who_is_closed_by_an_error_of_the_handler_gets_no_word_but_the_handlers() {
    let (server, told) = polite(|_| {});
    let mut client = server.connect();
    client.write_all(b"fail\n").expect("written");
    assert_eq!(rest(&mut client), "");
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok("failed: as told"));
    server.stop();
}

/// Has nothing to say.
struct Mute;

impl Handler for Mute {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        Some((Lines::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }
}

#[test]
fn nobody_lingers_for_a_silent_peer_without_a_last_word() {
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_millis(20));
    config.linger_timeout = Duration::from_secs(3600);
    let server = Server::start(config, || Mute);
    let client = server.connect();
    server.wait_until(|_, cx| cx.stats().closed_total() == 1);
    drop(client);
    server.stop();
}

#[test]
fn a_drain_is_announced_in_time_to_say_goodbye() {
    let (server, told) = polite(|_| {});
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(b"hello\n").expect("written");
        client.read_exact(&mut [0; 3]).expect("an answer");
    }
    server.handle.stop(Stop::Drain);
    for mut client in clients {
        assert_eq!(rest(&mut client), "bye\n");
    }
    server.join().result.expect("the loop ends in good order");
    assert_eq!(told.iter().filter(|why| why == "closed by this program").count(), 20);
}

#[test]
fn a_number_that_is_no_id_reaches_nobody() {
    let mut reactor = Reactor::new(Mute, Config::default()).expect("made");
    let addr =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    // Leaves slots behind that will give out the next ids.
    reactor.with(|_, cx| {
        for _ in 0..3 {
            let id = cx.connect(addr, 0).expect("room");
            assert_eq!(ConnId::from_bits(id.to_bits()), id);
        }
    });
    reactor.run().expect("all are refused");
    reactor.with(|_, cx| {
        for slot in 0..5 {
            for generation in 0..4 {
                for top in [0, 1 << 63] {
                    let id = ConnId::from_bits(top | generation << 24 | slot);
                    assert!(!cx.send_to(id, b"x").is_queued());
                    assert!(cx.info(id).is_none());
                    cx.pause(id);
                    cx.resume(id);
                    cx.finish(id);
                    cx.close(id, switchboard::Close::Abort);
                    assert!(cx.set_timer(id, Duration::ZERO, 0).is_err());
                }
            }
        }
    });
    reactor.run().expect("nothing is left");
    assert_eq!(reactor.stats().closed_total(), 0);
}

#[test]
fn c15_what_this_program_connects_does_not_count_for_the_cap_of_an_address() {
    let mut config = Config::default();
    config.connections_per_address_max = Some(2);
    let backend = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = backend.local_addr().expect("bound");
    let server = Server::start(config, || Mute);
    server.with(move |_, cx| {
        for _ in 0..3 {
            cx.connect(addr, 0).expect("room");
        }
    });
    server.wait_until(|_, cx| cx.stats().connected == 3);
    let clients: Vec<_> = (0..2).map(|_| server.connect()).collect();
    server.wait_until(|_, cx| cx.stats().accepted == 2);
    let third = server.connect();
    server.wait_until(|_, cx| cx.stats().refused == 1);
    drop((clients, third));
    server.wait_until(|_, cx| cx.stats().open == 3);
    let again = server.connect();
    server.wait_until(|_, cx| cx.stats().accepted == 3);
    drop((again, backend));
    server.stop();
}
