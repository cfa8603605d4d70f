//! J: cutting frames out of what peers send, whatever they send, within bounds of memory and work.

use std::convert::Infallible;
use std::fmt;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use switchboard::codec::{Decoder, LengthPrefixed, Lines, Step};
use switchboard::{Close, CloseKind, CloseReason, Config, Conn, Context, Frame, Handler, Peer, Result};

use crate::server::{PATIENCE, Server};

/// Counts frames, and tells how connections end.
struct Frames<F> {
    codec: F,
    tell: mpsc::Sender<String>,
    count: usize,
    bytes: usize,
}

impl<F, D> Handler for Frames<F>
where
    F: FnMut() -> D,
    D: for<'a> Decoder<Frame<'a> = &'a [u8]>,
{
    type Codec = D;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(D, ())> {
        Some(((self.codec)(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        self.count += 1;
        self.bytes += frame.len();
        match frame {
            b"ping" => {
                cx.send(b"pong");
            }
            b"close" => return Err(Close::Linger),
            _ => {}
        }
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        self.tell.send(why.to_string()).ok();
    }
}

fn server<F, D>(config: Config, codec: F) -> (Server<Frames<F>>, mpsc::Receiver<String>)
where
    F: FnMut() -> D + Send + 'static,
    D: for<'a> Decoder<Frame<'a> = &'a [u8]> + 'static,
{
    let (tell, told) = mpsc::channel();
    (Server::start(config, || Frames { codec, tell, count: 0, bytes: 0 }), told)
}

fn why(told: &mpsc::Receiver<String>) -> String {
    told.recv_timeout(PATIENCE).expect("the connection ends")
}

// J1: the largest frame there may be is announced and does not come: only what came is kept.
#[test]
fn j1_nothing_is_reserved_for_bytes_that_were_promised() {
    let (server, _told) = server(Config::default(), LengthPrefixed::new);
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(&(1_u32 << 20).to_be_bytes()).expect("written");
        client.write_all(b"some of it").expect("written");
    }
    server.wait_until(|_, cx| cx.stats().received == 200 * 14);
    let held = server.with(|_, cx| cx.held_bytes());
    assert!((200 * 14..200 * 256).contains(&held), "{held} bytes are held for 2800");
    drop(clients);
    server.wait_until(|_, cx| cx.stats().open == 0);
    assert_eq!(server.with(|_, cx| cx.held_bytes()), 0);
    assert_eq!(server.stop().closed(CloseKind::Truncated), 200);
}

// J1: more than the largest.
#[test]
fn j1_a_giant_length_ends_its_connection_at_once() {
    let (server, told) = server(Config::default(), LengthPrefixed::new);
    for _ in 0..50 {
        let mut client = server.connect();
        client.write_all(&u32::MAX.to_be_bytes()).expect("written");
        client.read_to_end(&mut Vec::new()).expect("the end");
        drop(client);
        assert_eq!(why(&told), "bad frame: frame of 4294967295 bytes, limit is 1048576");
    }
    server.stop();
}

// J3: a line that goes on and on is given up at its limit, not at the limit of memory.
#[test]
fn j3_a_line_without_an_end_is_given_up_at_the_limit() {
    let (server, told) = server(Config::default(), Lines::new);
    let mut client = server.connect();
    let mut written = 0;
    // The peer drops what follows for a while, and then us.
    while written < 64 << 20 && client.write_all(&[b'x'; 4096]).is_ok() {
        written += 4096;
    }
    assert!(written < 64 << 20, "the server takes it all");
    assert_eq!(why(&told), "bad frame: no end of the frame in sight, limit is 8192 bytes");
    let stats = server.stop();
    assert!(stats.received <= (256 << 10) + (64 << 10), "{} bytes were received", stats.received);
}

/// Counts how often the codec inside is asked.
struct Counting<D>(D, Arc<AtomicUsize>);

impl<D: for<'a> Decoder<Frame<'a> = &'a [u8]>> Decoder for Counting<D> {
    type Frame<'a> = &'a [u8];
    type Error = D::Error;

    fn decode<'a>(&mut self, input: &'a [u8]) -> std::result::Result<Step<&'a [u8]>, D::Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.decode(input)
    }
}

// J4: each piece is received by itself, and the codec is not asked before the frame can be whole.
#[test]
fn j4_a_frame_that_drips_in_is_decoded_twice_and_not_with_every_piece() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let (server, _told) =
        server(Config::default(), move || Counting(LengthPrefixed::new(), Arc::clone(&counter)));
    let mut client = server.connect();
    client.write_all(&60_000_u32.to_be_bytes()).expect("written");
    for piece in 1..=600_u64 {
        client.write_all(&[b'x'; 100]).expect("written");
        server.wait_until(move |_, cx| cx.stats().received == 4 + 100 * piece);
    }
    server.wait_until(|handler, _| handler.count == 1);
    // With the header, with the whole, and once more with nothing left; each may be asked about less at first.
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls <= 5, "asked {calls} times about one frame in 601 pieces");
    drop(client);
    server.stop();
}

// J5: four bytes a frame and nothing in it. Each counts against the budget, and others are served meanwhile.
#[test]
fn j5_empty_frames_are_not_free() {
    let (server, _told) = server(Config::default(), LengthPrefixed::new);
    let mut flood = server.connect();
    let mut other = server.connect();
    let stop = server.stand_still();
    flood.write_all(&vec![0; 4 * 20_000]).expect("fits into the buffers of the kernel");
    other.write_all(b"\0\0\0\x04ping").expect("written");
    stop.end();
    other.read_exact(&mut [0; 4]).expect("an answer");
    server.wait_until(|handler, _| handler.count == 20_001);
    let stats = server.with(|_, cx| cx.stats().clone());
    assert!(stats.budget_stops >= 20_000 / 1024 - 1, "{} stops", stats.budget_stops);
    drop((flood, other));
    server.stop();
}

/// A codec with a bug.
struct Broken(Bug);

#[derive(Clone, Copy)]
enum Bug {
    UsesNothing,
    UsesTooMuch,
}

impl Decoder for Broken {
    type Frame<'a> = &'a [u8];
    type Error = Infallible;

    fn decode<'a>(&mut self, input: &'a [u8]) -> std::result::Result<Step<&'a [u8]>, Infallible> {
        Ok(match self.0 {
            _ if input.is_empty() => Step::NeedMore { at_least: 1 },
            Bug::UsesNothing => Step::Frame { frame: b"", used: 0 },
            Bug::UsesTooMuch => Step::Frame { frame: input, used: input.len() + 1 },
        })
    }
}

// J6: the loop would never get away from it.
#[test]
fn j6_a_codec_that_does_not_get_on_ends_its_connection() {
    for (bug, reason) in [
        (Bug::UsesNothing, "bad frame: the codec answered two frames in a row without using input"),
        (Bug::UsesTooMuch, "bad frame: the codec used 6 bytes of 5"),
    ] {
        let (server, told) = server(Config::default(), move || Broken(bug));
        let mut client = server.connect();
        client.write_all(b"hello").expect("written");
        client.read_to_end(&mut Vec::new()).expect("the end");
        drop(client);
        assert_eq!(why(&told), reason);
        server.stop();
    }
}

// J7: an end in the header, in the body, and between frames.
#[test]
fn j7_a_stream_cut_off_within_a_frame_is_told_apart_from_one_that_ended() {
    for (bytes, reason) in [
        (&b"\0\0"[..], "ended 2 bytes into a frame"),
        (b"\0\0\0\x05hell", "ended 8 bytes into a frame"),
        (b"\0\0\0\x05hello", "ended by the peer"),
    ] {
        let (server, told) = server(Config::default(), LengthPrefixed::new);
        let mut client = server.connect();
        client.write_all(bytes).expect("written");
        client.shutdown(Shutdown::Write).expect("ended");
        client.read_to_end(&mut Vec::new()).expect("the end");
        assert_eq!(why(&told), reason);
        server.stop();
    }
}

/// Refuses whatever it sees, and must not see anything after that.
struct Refusing(Arc<AtomicUsize>);

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl Decoder for Refusing {
    type Frame<'a> = &'a [u8];
    type Error = Refused;

    fn decode<'a>(&mut self, _: &'a [u8]) -> std::result::Result<Step<&'a [u8]>, Refused> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(Refused)
    }

    fn end<'a>(&mut self, _: &'a [u8]) -> std::result::Result<Option<&'a [u8]>, Refused> {
        self.0.fetch_add(100, Ordering::Relaxed);
        Ok(None)
    }
}

// J9: after an error the stream means nothing any more.
#[test]
fn j9_a_codec_is_not_asked_again_after_its_error() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let (server, told) = server(Config::default(), move || Refusing(Arc::clone(&counter)));
    let mut client = server.connect();
    client.write_all(b"one").expect("written");
    client.read_to_end(&mut Vec::new()).expect("the end of their side");
    client.write_all(b"two").expect("ours is open");
    client.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(why(&told), "bad frame: refused");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    server.stop();
}

// J10: all in the kernel before the loop looks, in one receive of 256 KiB; no event follows.
#[test]
fn j10_a_receive_full_of_frames_is_worked_off_without_another_event() {
    const COUNT: usize = 65_536;
    for frames_per_turn in [1, 16, 1_000_000] {
        let mut config = Config::default();
        config.frames_per_turn = frames_per_turn;
        let count = if frames_per_turn == 1 { COUNT / 16 } else { COUNT };
        let (server, _told) = server(config, Lines::new);
        let mut client = server.connect();
        server.wait_until(|_, cx| cx.stats().open == 1);
        let mut writer = client.try_clone().expect("cloned");
        let stop = server.stand_still();
        let writing = std::thread::spawn(move || {
            writer.write_all(&b"abc\n".repeat(count)).expect("written");
            writer.write_all(b"ping\n").expect("written");
        });
        stop.end();
        client.read_exact(&mut [0; 4]).expect("an answer to the last one");
        writing.join().expect("written");
        assert_eq!(server.with(|handler, _| (handler.count, handler.bytes)), (count + 1, 3 * count + 4));
        let stats = server.with(|_, cx| cx.stats().clone());
        if frames_per_turn == 16 {
            assert!(stats.budget_stops >= 4096 && stats.turns >= 4096, "{} turns", stats.turns);
            // Nothing is received while frames wait, so each receive brings a good deal.
            assert!(stats.calls.recv <= 500, "{} receives", stats.calls.recv);
        }
        drop(client);
        server.stop();
    }
}

// J11: they are all in one receive.
#[test]
fn j11_no_frame_is_delivered_after_a_close() {
    for frames_per_turn in [1, 1024] {
        let mut config = Config::default();
        config.frames_per_turn = frames_per_turn;
        let (server, told) = server(config, Lines::new);
        let mut client = server.connect();
        client.write_all(b"one\nclose\nthree\nfour\n").expect("written");
        client.read_to_end(&mut Vec::new()).expect("the end");
        drop(client);
        assert_eq!(why(&told), "closed by this program");
        assert_eq!(server.with(|handler, _| handler.count), 2);
        server.stop();
    }
}

// J12: whatever a connection was in the middle of, it holds nothing once that is over.
#[test]
fn j12_a_connection_between_frames_holds_no_buffer() {
    let (server, _told) = server(Config::default(), LengthPrefixed::new);
    let mut clients: Vec<_> = (0..300).map(|_| server.connect()).collect();
    // The rest is shorter than what is left over, and goes behind it, or longer, and that goes in front.
    let cuts = |n: usize| b"\0\0\0\x04ping".split_at(if n % 2 == 0 { 6 } else { 2 });
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(cuts(n).0).expect("written");
    }
    server.wait_until(|_, cx| cx.stats().received == 300 * 4);
    assert!(server.with(|_, cx| cx.held_bytes()) >= 300 * 4);
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(cuts(n).1).expect("written");
        client.read_exact(&mut [0; 4]).expect("an answer");
    }
    assert_eq!(server.with(|_, cx| cx.held_bytes()), 0);
    drop(clients);
    server.stop();
}

// J12: the byte left over of the next frame must not keep the buffer of the large one before it.
#[test]
fn j12_a_byte_left_over_does_not_hold_the_buffer_of_the_frame_before() {
    let (server, _told) = server(Config::default(), LengthPrefixed::new);
    let mut client = server.connect();
    let frame = vec![b'x'; 1 << 20];
    client.write_all(&(1_u32 << 20).to_be_bytes()).expect("written");
    client.write_all(&frame[1..]).expect("written");
    server.wait_until(|_, cx| cx.stats().received == (1 << 20) + 3);
    // The last byte of this frame, and the first of the next.
    client.write_all(b"x\0").expect("written");
    server.wait_until(|handler, _| handler.count == 1);
    let held = server.with(|_, cx| cx.held_bytes());
    assert!((1..=4096).contains(&held), "{held} bytes are held for one");
    drop(client);
    server.stop();
}

/// Panics as soon as a frame is whole.
struct Panicking(LengthPrefixed);

impl Decoder for Panicking {
    type Frame<'a> = &'a [u8];
    type Error = <LengthPrefixed as Decoder>::Error;

    fn decode<'a>(&mut self, input: &'a [u8]) -> std::result::Result<Step<&'a [u8]>, Self::Error> {
        let step = self.0.decode(input)?;
        assert!(!matches!(step, Step::Frame { .. }), "as it was told");
        Ok(step)
    }
}

// J12, G7: what a panic unwinds through is not counted as held for ever.
#[test]
fn j12_a_panic_in_the_middle_of_a_frame_leaves_nothing_held() {
    let mut config = Config::default();
    config.isolate_panics = true;
    let (server, told) = server(config, || Panicking(LengthPrefixed::new()));
    let mut client = server.connect();
    client.write_all(b"\0\0\x02\0").expect("written");
    client.write_all(&[b'x'; 400]).expect("written");
    server.wait_until(|_, cx| cx.stats().received == 404);
    client.write_all(&[b'x'; 112]).expect("written");
    assert_eq!(why(&told), "a callback panicked");
    assert_eq!(server.with(|_, cx| cx.held_bytes()), 0);
    drop(client);
    server.stop();
}

/// Asks for so many bytes and takes them all.
struct Greedy {
    at_least: usize,
}

impl Decoder for Greedy {
    type Frame<'a> = &'a [u8];
    type Error = Infallible;

    fn decode<'a>(&mut self, input: &'a [u8]) -> std::result::Result<Step<&'a [u8]>, Infallible> {
        if input.is_empty() {
            Ok(Step::NeedMore { at_least: 1 })
        } else if input.len() < self.at_least {
            Ok(Step::NeedMore { at_least: self.at_least })
        } else {
            Ok(Step::Frame { frame: &input[..self.at_least], used: self.at_least })
        }
    }
}

// E14, J2: a codec of the program's own, without a limit of its own.
#[test]
fn j2_the_limit_of_undecoded_input_is_exact_whatever_a_codec_asks_for() {
    const LIMIT: usize = 10_000;
    for at_least in [LIMIT - 1, LIMIT, LIMIT + 1, usize::MAX] {
        let mut config = Config::default();
        config.recv_bytes_max = LIMIT;
        let (server, told) = server(config, move || Greedy { at_least });
        let mut client = server.connect();
        if at_least <= LIMIT {
            // In pieces, so that the limit is met by what is kept and not by what is received at once.
            let mut written = 0;
            for piece in vec![b'x'; at_least].chunks(3333) {
                client.write_all(piece).expect("written");
                written += piece.len() as u64;
                server.wait_until(move |_, cx| cx.stats().received == written);
            }
            server.wait_until(|handler, _| handler.count == 1);
            drop(client);
            assert_eq!(why(&told), "ended by the peer");
        } else {
            client.write_all(b"x").expect("written");
            client.read_to_end(&mut Vec::new()).expect("the end, at the first byte");
            drop(client);
            let expected =
                format!("frame needs {at_least} bytes of input, limit is {LIMIT} (recv_bytes_max)");
            assert_eq!(why(&told), expected);
        }
        server.stop();
    }
}
