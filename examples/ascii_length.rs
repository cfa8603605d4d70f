//! The length of each message in five decimal digits before it, messages back to back: `00005hello00002hi`.
//!
//! ```text
//! cargo run --release --example ascii_length -- serve
//! cargo run --release --example ascii_length -- call 127.0.0.1:7012 hello hi
//! printf 00005hello00002hi | nc -N 127.0.0.1 7012     (Ncat does without -N)
//! ```
//!
//! The Python Socket Programming HOWTO asks for "the length of the message [...] as 5 numeric characters", and warns that
//! one `recv` may bring several messages, or the end of one and the beginning of the next. The client here sends all of
//! its messages in one piece, which is what makes that happen. The server sends each back the other way round.
//! Ctrl-C and SIGTERM finish what is open.

#[path = "shared/two_sided.rs"]
mod shared;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use switchboard::codec::AsciiLength;
use switchboard::{Close, CloseReason, Config, Conn, Context, Handler, Peer, Reactor, Result, each};

fn serve(addr: SocketAddr) -> io::Result<()> {
    let turn_round = each(AsciiLength::new, |cx, message| {
        let mut message = message.to_vec();
        message.reverse();
        AsciiLength::new().encode(&message, &mut cx.out())?;
        Ok(())
    });
    let mut reactor = Reactor::new(turn_round, Config::default())?;
    let listener = reactor.listen(addr)?;
    shared::run(&mut reactor, listener)?;
    let (clients, messages) = (reactor.stats().accepted, reactor.stats().frames);
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {clients} clients, {messages} messages");
    Ok(())
}

/// Sends all messages, ends its side, and prints what comes back until the server has ended its own.
struct Caller {
    messages: Vec<u8>,
    answers: usize,
    failure: Option<io::Error>,
}

impl Handler for Caller {
    type Codec = AsciiLength;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(AsciiLength, ())> {
        cx.send(&self.messages);
        cx.finish(cx.id());
        Some((AsciiLength::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, message: &[u8]) -> Result {
        let mut stdout = io::stdout();
        stdout.write_all(message)?;
        stdout.write_all(b"\n")?;
        self.answers = self.answers.checked_sub(1).ok_or_else(|| Close::msg("an answer too many"))?;
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        if !why.is_orderly() {
            self.failure = Some(shared::failure(why));
        } else if self.answers > 0 {
            self.failure = Some(io::Error::other(format!("{} answers are missing", self.answers)));
        }
    }

    fn connect_failed(&mut self, _: &mut Context, _: u64, why: &CloseReason) {
        self.failure = Some(shared::failure(why));
    }
}

fn call(addr: SocketAddr, words: &[String]) -> io::Result<()> {
    let mut messages = Vec::new();
    for word in words {
        // More than five digits can say is refused here, not cut off.
        let encoded = AsciiLength::new().encode(word.as_bytes(), &mut messages);
        encoded.map_err(|error| shared::bad_words(error.to_string()))?;
    }
    let caller = Caller { messages, answers: words.len(), failure: None };
    let mut reactor = Reactor::new(caller, Config::default())?;
    reactor.with(|_, cx| cx.connect(addr, 0)).map_err(io::Error::other)?;
    reactor.run()?;
    reactor.into_handler().failure.map_or(Ok(()), Err)
}

fn main() -> ExitCode {
    let about = shared::About {
        what: "Sends messages back the other way round; their length stands before them in five digits.",
        default: ([127, 0, 0, 1], 7012).into(),
        words: "[MESSAGE]...",
    };
    shared::main(about, serve, call)
}
