//! A first byte that tells what a message is, and by that how long: a pen that many can move.
//!
//! ```text
//! cargo run --release --example typed_messages -- serve
//! cargo run --release --example typed_messages -- call 127.0.0.1:7011 move 3 -4 where move 1 1 where
//! ```
//!
//! | first byte | follows | it says | answer |
//! |---|---|---|---|
//! | `M` | two numbers of 16 bits | move by so much | none |
//! | `W` | nothing | where is the pen? | `P` |
//! | `P` | two numbers of 32 bits | here it is | |
//! | `E` | one byte | this byte is no message of mine; the connection closes | |
//!
//! Numbers have signs and are in network byte order, the most significant byte first, whatever the machine: C's `htons`
//! and Python's `struct.pack("!hh")`. Ctrl-C and SIGTERM finish what is open.

#[path = "shared/two_sided.rs"]
mod shared;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use switchboard::codec::{FrameError, Put, Typed};
use switchboard::{Close, CloseReason, Config, Conn, Context, Frame, Handler, Peer, Reactor, Result};

/// How long what follows is for each first byte there is. Both sides know the whole table.
fn payload_bytes(kind: u8) -> Option<usize> {
    match kind {
        b'M' => Some(4),
        b'W' => Some(0),
        b'P' => Some(8),
        b'E' => Some(1),
        _ => None,
    }
}

/// The pen. All clients move the same one.
#[derive(Default)]
struct Pen {
    x: i32,
    y: i32,
    moves: u64,
}

impl Handler for Pen {
    type Codec = Typed;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Typed, ())> {
        Some((Typed::new(payload_bytes), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        match (frame.kind, frame.payload) {
            (b'M', &[x1, x0, y1, y0]) => {
                // At the edge of the paper it stays there.
                self.x = self.x.saturating_add(i16::from_be_bytes([x1, x0]).into());
                self.y = self.y.saturating_add(i16::from_be_bytes([y1, y0]).into());
                self.moves += 1;
            }
            (b'W', []) => {
                let mut out = cx.out();
                out.put_u8(b'P');
                out.put_i32(self.x);
                out.put_i32(self.y);
            }
            (kind, _) => return Err(Close::msg(format!("{} is for clients", kind.escape_ascii()))),
        }
        Ok(())
    }

    // The codec could not know how long it is, so that nothing behind it has a meaning.
    fn refused(&mut self, cx: &mut Context, _: Conn<'_, Self>, why: &CloseReason) {
        if let CloseReason::Frame(error) = why {
            if let Some(FrameError::UnknownType { byte }) = error.downcast_ref() {
                cx.send(&[b'E', *byte]);
            }
        }
    }
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let mut reactor = Reactor::new(Pen::default(), Config::default())?;
    let listener = reactor.listen(addr)?;
    shared::run(&mut reactor, listener)?;
    let (clients, Pen { x, y, moves }) = (reactor.stats().accepted, reactor.handler());
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {clients} clients, {moves} moves; the pen is at {x} {y}");
    Ok(())
}

/// Sends everything at once, prints each answer, and ends when all have come.
struct Caller {
    messages: Vec<u8>,
    answers: usize,
    failure: Option<io::Error>,
}

impl Caller {
    /// Ends the connection when nothing more is to come.
    fn end(&self, cx: &mut Context) {
        if self.answers == 0 {
            cx.close(cx.id(), Close::Flush);
        }
    }
}

impl Handler for Caller {
    type Codec = Typed;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Typed, ())> {
        cx.send(&self.messages);
        self.end(cx);
        Some((Typed::new(payload_bytes), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        match (frame.kind, frame.payload) {
            (b'P', &[x3, x2, x1, x0, y3, y2, y1, y0]) => {
                let (x, y) = (i32::from_be_bytes([x3, x2, x1, x0]), i32::from_be_bytes([y3, y2, y1, y0]));
                writeln!(io::stdout(), "{x} {y}")?;
                self.answers = self.answers.saturating_sub(1);
                self.end(cx);
                Ok(())
            }
            (b'E', &[byte]) => Err(Close::msg(format!("it does not know {}", byte.escape_ascii()))),
            (kind, _) => Err(Close::msg(format!("{} is for servers", kind.escape_ascii()))),
        }
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        if !matches!(why, CloseReason::Closed) {
            self.failure = Some(shared::failure(why));
        }
    }

    fn connect_failed(&mut self, _: &mut Context, _: u64, why: &CloseReason) {
        self.failure = Some(shared::failure(why));
    }
}

fn call(addr: SocketAddr, words: &[String]) -> io::Result<()> {
    let mut caller = Caller { messages: Vec::new(), answers: 0, failure: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "move" => {
                caller.messages.put_u8(b'M');
                for _ in 0..2 {
                    let number = words.next().ok_or_else(|| shared::bad_words("move by how much?".into()))?;
                    let number = number
                        .parse()
                        .map_err(|_| shared::bad_words(format!("{number:?} is no number of 16 bits")))?;
                    caller.messages.put_i16(number);
                }
            }
            "where" => {
                caller.messages.put_u8(b'W');
                caller.answers += 1;
            }
            _ => return Err(shared::bad_words(format!("{word:?} is neither move nor where"))),
        }
    }
    let mut reactor = Reactor::new(caller, Config::default())?;
    reactor.with(|_, cx| cx.connect(addr, 0)).map_err(io::Error::other)?;
    reactor.run()?;
    reactor.into_handler().failure.map_or(Ok(()), Err)
}

fn main() -> ExitCode {
    let about = shared::About {
        what: "A pen that clients move and ask for.",
        default: ([127, 0, 0, 1], 7011).into(),
        words: "[move X Y | where]...",
    };
    shared::main(about, serve, call)
}
