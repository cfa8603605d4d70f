//! What callbacks other than `received` decide: answers that come later, codecs switched meanwhile, reading paused
//! for a while, output that many pile up for one.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Duration;

use switchboard::codec::{Either, Lines, Raw};
use switchboard::{
    CloseKind, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, Peer, Reactor, Result, Stop,
};

use crate::server::{PATIENCE, Server};
use crate::turns::turn_until;

const MS: Duration = Duration::from_millis(1);

/// Answers each line a little later.
struct Later {
    told: mpsc::Sender<String>,
}

impl Handler for Later {
    type Codec = Lines;
    type Session = u32;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, u32)> {
        Some((Lines::new(), 0))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        *conn.session += 1;
        cx.set_timer(conn.id, 50 * MS, 0)?;
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: u64) -> Result {
        *conn.session -= 1;
        cx.send(b"done\n");
        Ok(())
    }

    fn drained(&mut self, _: &mut Context, conn: Conn<'_, Self>) -> bool {
        *conn.session == 0
    }

    fn closed(&mut self, _: &mut Context, _: u32, why: &CloseReason) {
        self.told.send(why.to_string()).expect("the test listens");
    }
}

// F10: a drain closes nobody to whom the handler still owes an answer, and others at once.
#[test]
fn f10_a_drain_waits_for_the_answers_that_the_handler_owes() {
    let (told, closed) = mpsc::channel();
    let server = Server::start(Config::default(), || Later { told });
    let (mut busy, mut idle) = (server.connect(), server.connect());
    busy.write_all(b"one\ntwo\n").expect("written");
    server.wait_until(|_, cx| cx.stats().frames == 2 && cx.stats().open == 2);
    server.handle.stop(Stop::Drain);
    let mut answer = String::new();
    idle.read_to_string(&mut answer).expect("an orderly end");
    assert_eq!(answer, "");
    drop(idle);
    assert_eq!(closed.recv_timeout(PATIENCE).as_deref(), Ok("closed by this program"));
    busy.read_to_string(&mut answer).expect("an orderly end");
    assert_eq!(answer, "done\ndone\n");
    drop(busy);
    server.join().result.expect("the loop ends in good order");
}

/// Takes lines, and whatever comes once its timer is due.
struct Impatient {
    told: mpsc::Sender<Vec<u8>>,
    paused: bool,
}

impl Handler for Impatient {
    type Codec = Either<Lines, Raw>;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Self::Codec, ())> {
        if self.paused {
            cx.pause(cx.id());
        }
        cx.set_timer(cx.id(), 60 * MS, 0).expect("room");
        Some((Either::A(Lines::new()), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        self.told.send(frame.into_inner().to_vec()).expect("the test listens");
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: u64) -> Result {
        *conn.codec = Either::B(Raw::new());
        cx.resume(conn.id);
        Ok(())
    }
}

#[test]
fn a_codec_switched_in_a_timer_is_asked_about_the_bytes_left_over() {
    let (told, frames) = mpsc::channel();
    let server = Server::start(Config::default(), || Impatient { told, paused: false });
    let mut client = server.connect();
    client.write_all(b"line\ntail").expect("written");
    assert_eq!(frames.recv_timeout(PATIENCE).as_deref(), Ok(&b"line"[..]));
    assert_eq!(frames.recv_timeout(PATIENCE).as_deref(), Ok(&b"tail"[..]), "without a byte more");
    client.shutdown(Shutdown::Write).expect("ended");
    client.read_to_end(&mut Vec::new()).expect("an orderly end");
    drop(client);
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::Ended), 1, "nothing is left over at the end");
}

#[test]
fn whom_the_program_does_not_read_is_not_held_to_be_silent() {
    let (told, frames) = mpsc::channel();
    let mut config = Config::default();
    config.first_frame_timeout = Some(20 * MS);
    config.idle_timeout = Some(20 * MS);
    let server = Server::start(config, || Impatient { told, paused: true });
    let mut client = server.connect();
    client.write_all(b"in time").expect("written");
    assert_eq!(frames.recv_timeout(PATIENCE).as_deref(), Ok(&b"in time"[..]), "read once it is resumed");
    client.read_to_end(&mut Vec::new()).expect("and silent since: an orderly end");
    drop(client);
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::TimedOut), 1);
}

/// Passes everything on to whoever came first.
#[derive(Default)]
struct Funnel {
    first: Option<ConnId>,
}

impl Handler for Funnel {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.first.get_or_insert(cx.id());
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        if let Some(first) = self.first {
            cx.send_to(first, bytes);
        }
        Ok(())
    }
}

// E1, E13: what many send to one within a turn is more than its limit; the kernel would take it all.
#[test]
fn e1_output_that_piles_up_within_a_turn_makes_no_fast_reader_slow() {
    let mut config = Config::default();
    config.recv_bytes_max = 16 << 10;
    config.queued_bytes_high = 4 << 10;
    config.queued_bytes_low = 1 << 10;
    config.queued_bytes_max = 24 << 10;
    config.memory_bytes_max = 24 << 10;
    config.accepts_per_turn = 32;
    let mut reactor = Reactor::new(Funnel::default(), config).expect("made");
    let listener = reactor.listen("127.0.0.1:0").expect("a free port");
    let addr = reactor.local_addr(listener).ok().and_then(|addr| addr.socket_addr()).expect("bound");
    let mut clients: Vec<_> =
        (0..21).map(|_| std::net::TcpStream::connect(addr).expect("it accepts")).collect();
    turn_until(&mut reactor, |reactor| reactor.stats().accepted == 21);
    for talker in &mut clients[1..] {
        talker.write_all(&[b'x'; 8 << 10]).expect("written");
    }
    let mut first = clients[0].try_clone().expect("cloned");
    let reading = std::thread::spawn(move || first.read_exact(&mut vec![0; 20 * (8 << 10)]));
    turn_until(&mut reactor, |_| reading.is_finished());
    reading.join().expect("the reader reads").expect("every byte");
    assert_eq!(reactor.stats().closed_total(), 0);
}
