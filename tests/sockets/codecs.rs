//! Codecs in the loop: their bugs, and switching them in mid-stream.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;

use switchboard::codec::{Decoder, Either, FixedLength, LengthPrefixed, Lines, Raw, Step};
use switchboard::{Both, CloseKind, Config, Conn, Context, Frame, Handler, Listen, Peer, Result, Side, each};

use crate::peer::{is_reset, read_all};
use crate::script::{Log, Script};
use crate::server::{PATIENCE, Server};

/// What a decoder with a bug does.
#[derive(Clone, Copy)]
enum Bug {
    /// Uses more than it was given.
    TooMuch,
    /// Answers frames without using anything.
    Nothing,
    /// Asks for less than it was shown, until a line is there.
    AsksForLess,
    /// Asks for more than there may ever be.
    AsksForAll,
}

struct Buggy(Bug);

impl Decoder for Buggy {
    type Frame<'a> = &'a [u8];
    type Error = Infallible;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, Infallible> {
        let end = input.iter().position(|byte| *byte == b'\n');
        Ok(match (self.0, end) {
            (Bug::TooMuch, Some(_)) => Step::Frame { frame: input, used: input.len() + 1 },
            (Bug::Nothing, Some(_)) => Step::Frame { frame: b"", used: 0 },
            (Bug::AsksForLess, Some(end)) => Step::Frame { frame: &input[..end], used: end + 1 },
            (Bug::AsksForAll, _) => Step::NeedMore { at_least: usize::MAX },
            (Bug::TooMuch | Bug::Nothing | Bug::AsksForLess, None) => Step::NeedMore { at_least: 0 },
        })
    }
}

fn buggy(bug: Bug, config: Config, log: &Log) -> Server<Script<Buggy>> {
    let log = log.clone();
    Server::start(config, move || Script::new(&log, move || Buggy(bug)))
}

// J6: a codec that uses what is not there, or nothing twice, is found out and closes that connection.
#[test]
fn j6_a_decoder_that_counts_wrong_closes_its_connection_with_the_reason() {
    for (bug, frames, reason) in [
        (Bug::TooMuch, 0, "closed: bad frame: the codec used 4 bytes of 3"),
        (Bug::Nothing, 1, "closed: bad frame: the codec answered two frames in a row without using input"),
    ] {
        for budget in [1024, 1] {
            let mut config = Config::default();
            config.frames_per_turn = budget;
            let log = Log::default();
            let server = buggy(bug, config, &log);
            let mut client = server.connect();
            client.write_all(b"ab").expect("written");
            server.wait_until(|_, cx| cx.stats().received == 2);
            client.write_all(b"\n").expect("written");
            let (_, result) = read_all(&mut client);
            assert!(result.is_ok(), "{result:?}");
            drop(client);
            server.wait_until(|_, cx| cx.stats().open == 0);
            assert_eq!(log.texts().last().map(String::as_str), Some(reason));
            assert_eq!(log.count("received"), frames, "budget of {budget}");
            let stats = server.stop();
            assert_eq!(stats.closed(CloseKind::Frame), 1);
        }
    }
}

#[test]
fn a_decoder_that_asks_for_less_than_there_is_is_asked_again_with_more() {
    let log = Log::default();
    let server = buggy(Bug::AsksForLess, Config::default(), &log);
    let mut client = server.connect();
    for (n, byte) in (1..).zip(b"ab\ncd\n") {
        client.write_all(&[*byte]).expect("written");
        server.wait_until(move |_, cx| cx.stats().received == n);
    }
    assert_eq!(log.texts(), ["opened", "received ab", "received cd"]);
    drop(client);
    server.stop();
    log.check();
}

// J1: what is promised is compared with the limit and not reserved.
#[test]
fn j1_a_decoder_that_asks_for_everything_is_refused_at_once() {
    let log = Log::default();
    let server = buggy(Bug::AsksForAll, Config::default(), &log);
    let mut client = server.connect();
    client.write_all(b"a").expect("written");
    let (_, result) = read_all(&mut client);
    assert!(result.is_ok() || is_reset(&result));
    drop(client);
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!(stats.closed(CloseKind::RecvLimit), 1);
}

/// Lines; `body 5` announces five raw bytes, `raw` that all the rest is raw.
struct Modes(mpsc::Sender<String>);

type Mode = Either<Lines, Either<FixedLength, Raw>>;

impl Handler for Modes {
    type Codec = Mode;
    type Session = Vec<u8>;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Mode, Vec<u8>)> {
        Some((Either::A(Lines::new()), Vec::new()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        match frame {
            Either::A(line) => {
                let line = String::from_utf8_lossy(line);
                self.0.send(format!("line {line}"))?;
                if let Some(n) = line.strip_prefix("body ") {
                    *conn.codec = Either::B(Either::A(FixedLength::new(n.parse()?)?));
                } else if line == "raw" {
                    *conn.codec = Either::B(Either::B(Raw));
                } else if line == "pause" {
                    cx.pause(conn.id);
                    cx.set_timer(conn.id, std::time::Duration::ZERO, 0)?;
                }
            }
            Either::B(Either::A(body)) => {
                self.0.send(format!("body {}", body.escape_ascii()))?;
                *conn.codec = Either::A(Lines::new());
            }
            Either::B(Either::B(raw)) => conn.session.extend(raw),
        }
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: u64) -> Result {
        cx.resume(conn.id);
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, raw: Vec<u8>, why: &switchboard::CloseReason) {
        self.0.send(format!("raw {}, {why}", raw.escape_ascii())).ok();
    }
}

// J8: a codec switched within `received` cuts the very next byte, wherever the stream was split, and also when
// a budget or a pause stops the batch at that point.
#[test]
fn j8_switching_codecs_in_mid_stream_loses_no_byte_at_any_split() {
    const STREAM: &[u8] = b"a\nbody 3\nb\n\rbody 1\n\nc\npause\nbody 4\nraw\nd\nraw\n\ne\nraw\n";
    let expected = [
        "line a",
        "line body 3",
        "body b\\n\\r",
        "line body 1",
        "body \\n",
        "line c",
        "line pause",
        "line body 4",
        "body raw\\n",
        "line d",
        "line raw",
        "raw \\ne\\nraw\\n, ended by the peer",
    ];
    for budget in [1024, 1] {
        let mut config = Config::default();
        config.frames_per_turn = budget;
        let (tell, told) = mpsc::channel();
        let server = Server::start(config, || Modes(tell));
        for split in 0..=STREAM.len() {
            let (first, second) = STREAM.split_at(split);
            let before = server.with(|_, cx| cx.stats().received);
            let mut client = server.connect();
            client.write_all(first).expect("written");
            let seen = before + first.len() as u64;
            server.wait_until(move |_, cx| cx.stats().received == seen);
            client.write_all(second).expect("written");
            client.shutdown(Shutdown::Write).expect("ended");
            assert!(read_all(&mut client).1.is_ok());
            let got: Vec<_> =
                expected.iter().map(|_| told.recv_timeout(PATIENCE).expect("a frame")).collect();
            assert_eq!(got, expected, "split at {split}, budget of {budget}");
        }
        server.stop();
    }
}

/// Lines, and one frame that needs no bytes when it was told to owe one.
#[derive(Default)]
struct Owing {
    owes: bool,
}

impl Decoder for Owing {
    type Frame<'a> = &'a [u8];
    type Error = Infallible;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, Infallible> {
        if std::mem::take(&mut self.owes) {
            return Ok(Step::Frame { frame: b"owed", used: 0 });
        }
        match input.iter().position(|byte| *byte == b'\n') {
            Some(end) => Ok(Step::Frame { frame: &input[..end], used: end + 1 }),
            None => Ok(Step::NeedMore { at_least: input.len() + 1 }),
        }
    }
}

/// Answers each line, and has the codec owe a frame for each that says so.
struct Creditor;

impl Handler for Creditor {
    type Codec = Either<Lines, Owing>;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Self::Codec, ())> {
        Some((Either::A(Lines::new()), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        let frame = frame.into_inner();
        cx.send(frame);
        cx.send(b";");
        if frame == b"owe" {
            *conn.codec = Either::B(Owing { owes: true });
        }
        Ok(())
    }
}

// J8: there may be nothing left to decode when the codec is switched, and no input to come.
#[test]
fn j8_a_codec_switched_behind_the_last_byte_gives_the_frame_that_it_owes() {
    for budget in [1024, 1] {
        let mut config = Config::default();
        config.frames_per_turn = budget;
        let server = Server::start(config, || Creditor);
        let mut client = server.connect();
        for _ in 0..3 {
            client.write_all(b"owe\n").expect("written");
            let mut answer = [0; 9];
            client.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"owe;owed;", "budget of {budget}");
        }
        drop(client);
        server.stop();
    }
}

/// Lines, by a codec that says that nothing comes of nothing.
struct Hungry;

impl Decoder for Hungry {
    type Frame<'a> = &'a [u8];
    type Error = Infallible;

    const FRAMES_FROM_NOTHING: bool = false;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, Infallible> {
        assert!(!input.is_empty(), "asked without input");
        match input.iter().position(|byte| *byte == b'\n') {
            Some(end) => Ok(Step::Frame { frame: &input[..end], used: end + 1 }),
            None => Ok(Step::NeedMore { at_least: input.len() + 1 }),
        }
    }
}

#[test]
fn a_codec_that_says_that_nothing_comes_of_nothing_is_not_asked_without_input() {
    for budget in [1024, 1] {
        let mut config = Config::default();
        config.frames_per_turn = budget;
        let server = Server::start(config, || {
            let mut count = 0;
            each(
                || Hungry,
                move |cx, line| {
                    count += 1;
                    if count % 3 == 0 {
                        let id = cx.id();
                        cx.pause(id);
                        cx.resume(id);
                    }
                    cx.send(line);
                    Ok(())
                },
            )
        });
        let mut client = server.connect();
        for (bytes, answer) in [
            (&b"a\n"[..], &b"a"[..]),
            (b"b\nc\n", b"bc"),
            (b"d\nef", b"d"),
            (b"gh\n", b"efgh"),
            (b"i\n", b"i"),
        ] {
            client.write_all(bytes).expect("written");
            let mut got = vec![0; answer.len()];
            client.read_exact(&mut got).expect("an answer");
            assert_eq!(got, answer, "budget of {budget}");
        }
        client.shutdown(Shutdown::Write).expect("ended");
        assert!(read_all(&mut client).1.is_ok());
        server.stop();
    }
}

// Two protocols in one reactor, told apart by the key of their listeners.
#[test]
fn both_serves_each_connection_with_the_handler_of_its_listener() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(Config::default(), move || {
        let echo = each(Raw::new, |cx, bytes| {
            cx.send(bytes);
            Ok(())
        });
        let shout = Shout(tell);
        Both::new(echo, shout, |peer| if peer.key == 7 { Side::Right } else { Side::Left })
    });
    let unused =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    server.with(move |_, cx| cx.listen(Listen::new(unused).key(7)));
    let mut raw = server.connect();
    let mut lines = loop {
        // The listener opens after the callback.
        match std::net::TcpStream::connect(unused) {
            Ok(stream) => break stream,
            Err(_) => server.with(|_, _| ()),
        }
    };
    lines.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    for _ in 0..3 {
        raw.write_all(b"no line").expect("written");
        lines.write_all(b"a line\n").expect("written");
        let mut answer = [0; 7];
        raw.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"no line");
        lines.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"A LINE\n");
    }
    lines.shutdown(Shutdown::Write).expect("ended");
    raw.shutdown(Shutdown::Write).expect("ended");
    assert!(read_all(&mut lines).1.is_ok() && read_all(&mut raw).1.is_ok());
    server.wait_until(|_, cx| cx.stats().open == 0);
    let stats = server.stop();
    assert_eq!(stats.accepted, 2);
    let told: Vec<_> = told.iter().collect();
    assert_eq!(
        told,
        ["opened 7", "timer 1", "timer 2", "timer 3", "half closed", "closed after 3: ended by the peer"]
    );
}

/// Answers in capitals; each answer sets a timer, and its own callbacks come to it and to no other handler.
struct Shout(mpsc::Sender<String>);

impl Handler for Shout {
    type Codec = Lines;
    type Session = u64;

    fn opened(&mut self, _: &mut Context, peer: &Peer<'_>) -> Option<(Lines, u64)> {
        self.0.send(format!("opened {}", peer.key)).ok();
        Some((Lines::new(), 0))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        *conn.session += 1;
        cx.set_timer(conn.id, std::time::Duration::ZERO, *conn.session)?;
        cx.pause(conn.id);
        cx.send(&line.to_ascii_uppercase());
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, key: u64) -> Result {
        self.0.send(format!("timer {key}")).ok();
        cx.send(b"\n");
        cx.resume(conn.id);
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.0.send("half closed".into()).ok();
        cx.finish(conn.id);
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, session: u64, why: &switchboard::CloseReason) {
        self.0.send(format!("closed after {session}: {why}")).ok();
    }
}

#[test]
fn each_makes_a_codec_of_its_own_for_every_connection() {
    let server = Server::start(Config::default(), || {
        let mut made = 0;
        each(
            move || {
                made += 1;
                FixedLength::new(made).expect("not zero")
            },
            |cx, frame| {
                LengthPrefixed::new().encode(frame, &mut cx.out())?;
                Ok(())
            },
        )
    });
    for n in 1..=4_usize {
        let mut client = server.connect();
        client.write_all(b"abcdefghijkl").expect("written");
        client.shutdown(Shutdown::Write).expect("ended");
        let (received, result) = read_all(&mut client);
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(received.len(), 12 / n * (4 + n), "frames of {n}");
    }
    server.stop();
}
