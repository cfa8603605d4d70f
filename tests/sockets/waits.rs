//! H, N: the waits that the reactor keeps for every connection, and what they cost: nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use switchboard::codec::Lines;
use switchboard::{
    Close, CloseKind, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Listen, Peer, Result, Stop,
};

use crate::server::{PATIENCE, Server, let_pass};

const MS: Duration = Duration::from_millis(1);

/// Echoes lines and tells how connections end.
struct Told {
    tell: mpsc::Sender<String>,
    slow_ended: Option<Instant>,
}

impl Handler for Told {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        match line {
            b"linger" => return Err(Close::Linger),
            b"pause" => cx.pause(conn.id),
            b"push" => {
                cx.set_timer(conn.id, 40 * MS, 1)?;
            }
            b"flood" => {
                cx.send(&vec![b'x'; 3 << 20]);
            }
            b"slow" => {
                let_pass(250 * MS);
                self.slow_ended = Some(Instant::now());
                self.tell.send("slow is over".into()).ok();
            }
            line => {
                cx.send(line);
                cx.send(b"\n");
            }
        }
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, key: u64) -> Result {
        cx.send(b"pushed\n");
        cx.set_timer(conn.id, 40 * MS, key)?;
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        self.tell.send(why.to_string()).ok();
    }
}

fn server(change: impl FnOnce(&mut Config)) -> (Server<Told>, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let mut config = Config::default();
    change(&mut config);
    (Server::start(config, || Told { tell, slow_ended: None }), told)
}

fn ping(client: &mut TcpStream) {
    let mut answer = [0; 5];
    client.write_all(b"ping\n").expect("written");
    client.read_exact(&mut answer).expect("an answer");
}

/// Reads until the server ends the connection; how long that took, counted from `begin`.
fn ended_after(client: &mut TcpStream, begin: Instant) -> Duration {
    client.read_to_end(&mut Vec::new()).expect("the end");
    begin.elapsed()
}

fn why(told: &mpsc::Receiver<String>) -> String {
    told.recv_timeout(PATIENCE).expect("the connection ends")
}

// N7: a header that never gets whole, and N8: one that never begins.
#[test]
fn n7_a_first_frame_that_does_not_get_whole_ends_the_connection_however_it_drips() {
    let (server, told) = server(|config| config.first_frame_timeout = Some(100 * MS));
    let begin = Instant::now();
    let mut silent = server.connect();
    assert!(ended_after(&mut silent, begin) >= 100 * MS, "early");
    assert_eq!(why(&told), "timed out waiting for the first frame");

    let begin = Instant::now();
    let mut dripping = server.connect();
    dripping.set_read_timeout(Some(5 * MS)).expect("set");
    let dripped = drip(&mut dripping);
    assert!(begin.elapsed() >= 100 * MS, "early, after {dripped} bytes");
    assert_eq!(why(&told), "timed out waiting for the first frame");
    server.stop();
}

/// Sends a byte of a line every few milliseconds until the server has enough of it; how many.
fn drip(client: &mut TcpStream) -> usize {
    let begin = Instant::now();
    for count in 0.. {
        assert!(begin.elapsed() < PATIENCE, "the server is patient");
        if client.write_all(b"h").is_err() {
            return count;
        }
        match client.read(&mut [0]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(_) | Err(_) => return count,
        }
    }
    0
}

#[test]
fn after_its_first_frame_a_connection_may_be_silent() {
    let (server, _told) = server(|config| config.first_frame_timeout = Some(500 * MS));
    let mut client = server.connect();
    ping(&mut client);
    let_pass(600 * MS);
    ping(&mut client);
    drop(client);
    assert_eq!(server.stop().closed(CloseKind::TimedOut), 0);
}

#[test]
fn an_idle_connection_ends_after_its_time_and_not_before() {
    let (server, told) = server(|config| config.idle_timeout = Some(80 * MS));
    let mut client = server.connect();
    ping(&mut client);
    let begin = Instant::now();
    ping(&mut client);
    assert!(ended_after(&mut client, begin) >= 80 * MS, "early");
    assert_eq!(why(&told), "timed out waiting for any byte");
    server.stop();
}

// H11: the wait of an active connection is moved when it is due, not with every packet.
#[test]
fn h11_activity_postpones_the_idle_timeout_without_a_call_or_a_turn_of_its_own() {
    let (server, _told) = server(|config| config.idle_timeout = Some(600 * MS));
    let mut client = server.connect();
    ping(&mut client);
    let before = server.with(|_, cx| cx.stats().clone());
    let begin = Instant::now();
    let mut pings = 0;
    while begin.elapsed() < 1500 * MS {
        ping(&mut client);
        pings += 1;
    }
    let after = server.with(|_, cx| cx.stats().clone());
    assert_eq!(after.calls.recv - before.calls.recv, pings);
    assert_eq!(after.calls.send - before.calls.send, pings);
    // Three or four times in all the wait was looked at, and twice this test asked.
    let extra = after.turns - before.turns - pings;
    assert!(extra <= 10, "{extra} turns besides those of {pings} requests");
    drop(client);
    assert_eq!(server.stop().closed(CloseKind::TimedOut), 0);
}

#[test]
fn a_connection_that_is_only_sent_to_is_not_idle() {
    let (server, told) = server(|config| config.idle_timeout = Some(600 * MS));
    let mut client = server.connect();
    client.write_all(b"push\n").expect("written");
    let mut answer = [0; 7];
    // 25 times 40 ms are a good deal more than the timeout.
    for n in 0..25 {
        if let Err(error) = client.read_exact(&mut answer) {
            panic!("after {n}: {error}, {:?}", told.try_recv());
        }
    }
    drop(client);
    server.stop();
}

// H12: the process stands still for longer than the timeout, and so do the answers to what clients sent. Only
// one of them is in each poll, but none of them was silent.
#[test]
fn h12_data_that_arrived_while_the_loop_stood_still_counts_before_the_timeout() {
    let (server, told) = server(|config| {
        config.idle_timeout = Some(200 * MS);
        config.first_frame_timeout = Some(200 * MS);
        config.events_per_poll = 1;
    });
    let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
    server.wait_until(|_, cx| cx.stats().open == 10);
    let stop = server.stand_still();
    for client in &mut clients {
        client.write_all(b"ping\n").expect("written");
    }
    let_pass(250 * MS);
    stop.end();
    for client in &mut clients {
        let mut answer = [0; 5];
        let result = client.read_exact(&mut answer);
        assert!(result.is_ok(), "{result:?}: {:?}", told.try_recv());
    }
    drop(clients);
    server.stop();
}

// H6: what one callback takes is not held against those served after it in the same turn.
#[test]
fn h6_a_slow_callback_does_not_use_up_the_time_of_the_others() {
    let (server, told) = server(|config| config.idle_timeout = Some(300 * MS));
    let mut slow = server.connect();
    ping(&mut slow);
    let stop = server.stand_still();
    // Found by one and the same poll; the line is served first, the connection accepted after it.
    slow.write_all(b"slow\n").expect("written");
    let mut late = server.connect();
    stop.end();
    late.read_to_end(&mut Vec::new()).expect("the end");
    let ended = Instant::now();
    let (end_of_callback, why) = (why(&told), why(&told));
    assert_eq!(end_of_callback, "slow is over");
    assert_eq!(why, "timed out waiting for any byte");
    let since = ended - server.with(|handler, _| handler.slow_ended.expect("it was slow"));
    assert!(since >= 300 * MS, "ended {since:?} after it was accepted");
    server.stop();
}

// N7: progress does not extend the time of a frame, and one frame's time is not another's.
#[test]
fn n7_a_frame_must_be_whole_in_time_however_it_progresses() {
    let (server, told) = server(|config| config.frame_timeout = Some(150 * MS));
    let mut client = server.connect();
    client.set_read_timeout(Some(5 * MS)).expect("set");
    let begin = Instant::now();
    let dripped = drip(&mut client);
    assert!(begin.elapsed() >= 150 * MS, "early, after {dripped} bytes");
    assert_eq!(why(&told), "timed out waiting for the rest of a frame");
    server.stop();
}

#[test]
fn the_time_of_a_frame_begins_with_its_first_byte_and_silence_between_frames_is_free() {
    let (server, told) = server(|config| config.frame_timeout = Some(800 * MS));
    let mut client = server.connect();
    let mut answer = [0; 5];
    // Each frame takes 180 ms, and two thirds of the next one come with its end.
    client.write_all(b"pi").expect("written");
    for _ in 0..6 {
        let_pass(180 * MS);
        client.write_all(b"ng\npi").expect("written");
        let result = client.read_exact(&mut answer);
        assert!(result.is_ok(), "{result:?}: {:?}", told.try_recv());
    }
    client.write_all(b"ng\n").expect("written");
    client.read_exact(&mut answer).expect("an answer");
    let_pass(850 * MS);
    ping(&mut client);
    drop(client);
    assert_eq!(server.stop().closed(CloseKind::TimedOut), 0);
}

// N7: the peer can't send the rest of a frame that is not read.
#[test]
fn n7_a_frame_is_not_timed_while_the_program_does_not_read() {
    let (server, told) = server(|config| config.frame_timeout = Some(400 * MS));
    let mut client = server.connect();
    for (received, rest_comes) in [(2, true), (7, false)] {
        client.write_all(b"pi").expect("written");
        server.wait_until(move |_, cx| cx.connections().any(|conn| conn.received == received));
        server.with(|_, cx| cx.pause(only(cx)));
        if rest_comes {
            client.write_all(b"ng\n").expect("written");
        }
        let_pass(450 * MS);
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
        server.with(|_, cx| cx.resume(only(cx)));
        if rest_comes {
            client.read_exact(&mut [0; 5]).expect("an answer");
        }
    }
    assert_eq!(why(&told), "timed out waiting for the rest of a frame");
    server.stop();
}

fn only(cx: &Context) -> ConnId {
    cx.connections().next().expect("one is open").id
}

// E2: nothing is taken at all.
#[test]
fn e2_output_that_the_peer_does_not_take_ends_the_connection_with_a_reset() {
    let (server, told) = server(|config| config.write_timeout = 100 * MS);
    let mut client = server.connect();
    let begin = Instant::now();
    client.write_all(b"flood\nflood\nflood\n").expect("written");
    assert_eq!(why(&told), "timed out waiting for the peer to take output");
    assert!(begin.elapsed() >= 100 * MS, "early");
    let error = client.read_to_end(&mut Vec::new()).expect_err("what is missing is not an end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.stop();
}

// H12: the peer took everything while the loop stood still.
#[test]
fn h12_output_taken_while_the_loop_stood_still_counts_before_the_timeout() {
    let (tell, told) = mpsc::channel();
    let mut config = Config::default();
    config.write_timeout = 1000 * MS;
    config.events_per_poll = 1;
    let listen = Listen::new(([127, 0, 0, 1], 0).into()).send_buffer_size(64 << 10);
    let server = Server::start_on(listen, config, || Told { tell, slow_ended: None });
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(b"flood\n").expect("written");
    }
    server.wait_until(|_, cx| cx.connections().filter(|conn| conn.queued > 0).count() == 4);
    let stop = server.stand_still();
    let mut rest = vec![0; 3 << 20];
    // What the kernel holds; the rest is still queued.
    for client in &mut clients {
        client.read_exact(&mut rest[..64 << 10]).expect("read");
        client.set_nonblocking(true).expect("set");
        while client.read(&mut rest).is_ok_and(|n| n > 0) {}
        client.set_nonblocking(false).expect("set");
    }
    let_pass(1050 * MS);
    stop.end();
    for client in &mut clients {
        client.write_all(b"ping\n").expect("written");
        client.shutdown(Shutdown::Write).expect("ended");
        let result = client.read_to_end(&mut Vec::new());
        assert!(result.is_ok(), "{result:?}: {:?}", told.try_recv());
    }
    drop(clients);
    server.stop();
}

// F3: the peer goes on and on.
#[test]
fn f3_a_linger_ends_in_time_when_the_peer_does_not() {
    let (server, told) = server(|config| config.linger_timeout = 80 * MS);
    let mut client = server.connect();
    client.write_all(b"linger\n").expect("written");
    let begin = Instant::now();
    client.read_to_end(&mut Vec::new()).expect("the end of their side");
    assert_eq!(why(&told), "closed by this program");
    // From the end of their side on, which was a little before it was read here.
    assert!(begin.elapsed() >= 75 * MS, "early: {:?}", begin.elapsed());
    assert_eq!(server.stop().closed(CloseKind::Closed), 1);
}

// F10: one connection never gets done.
#[test]
fn f10_a_drain_resets_what_is_still_busy_at_its_deadline() {
    let (server, told) = server(|config| config.drain_timeout = 1000 * MS);
    let mut idle = server.connect();
    ping(&mut idle);
    let mut busy = server.connect();
    busy.write_all(b"ping\nhalf a li").expect("written");
    busy.read_exact(&mut [0; 5]).expect("an answer");
    let begin = Instant::now();
    server.handle.stop(Stop::Drain);
    idle.read_to_end(&mut Vec::new()).expect("an orderly end");
    drop(idle);
    assert_eq!(why(&told), "closed by this program");
    let error = busy.read_to_end(&mut Vec::new()).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(begin.elapsed() >= 1000 * MS, "early");
    assert_eq!(why(&told), "the reactor stopped");
    server.join().result.expect("in good order");
}

// 7th promise: no periodic wake-up, neither with the defaults nor for a timeout that is far away.
#[test]
fn an_idle_reactor_makes_no_system_call() {
    for idle_timeout in [None, Some(Duration::from_secs(60))] {
        let (server, _told) = server(|config| config.idle_timeout = idle_timeout);
        let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(ping);
        // Waits end and are looked at a last time while a timer far away stays set.
        server.with(|_, cx| {
            cx.set_alarm(Duration::from_secs(3600), 1).expect("room");
        });
        let before = server.with(|_, cx| cx.stats().calls);
        let_pass(500 * MS);
        let after = server.with(|_, cx| cx.stats().calls);
        // The poll that was under way, and one more if the second look and its wake-up came one by one.
        assert!(after.poll - before.poll <= 3, "{} polls", after.poll - before.poll);
        assert_eq!((after.recv, after.send), (before.recv, before.send));
        drop(clients);
        server.wait_until(|_, cx| cx.stats().open == 0);
        server.handle.stop(Stop::Now);
        server.join().result.expect("in good order");
    }
}
