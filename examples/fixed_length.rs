//! Messages of one fixed length: the `MySocket` class of the Python Socket Programming HOWTO, done right.
//!
//! ```text
//! cargo run --release --example fixed_length -- serve
//! cargo run --release --example fixed_length -- call 127.0.0.1:7010 100
//! ```
//!
//! There, `mysend` and `myreceive` loop until `MSGLEN` bytes have gone, because `send` and `recv` may take and give less.
//! Here the loops are the crate's. To see that they are needed, both sides have buffers far smaller than a message, so
//! that each one arrives and leaves in many pieces; both say in how many. The server sends each message back. Ctrl-C and SIGTERM
//! finish what is open.

#[path = "shared/two_sided.rs"]
mod shared;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use switchboard::codec::FixedLength;
use switchboard::{Close, CloseReason, Config, Conn, Context, Handler, Listen, Peer, Reactor, Result, each};

/// `MSGLEN`.
const MESSAGE_BYTES: usize = 64 << 10;
/// What fits the receive buffer of the reactors, and what the kernel is asked to keep for the server's sockets.
const BUFFER_BYTES: usize = 4 << 10;

fn codec() -> FixedLength {
    FixedLength::new(MESSAGE_BYTES).expect("it is not zero")
}

fn config() -> Config {
    let mut config = Config::default();
    config.recv_buffer_bytes = BUFFER_BYTES;
    config
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let echo = each(codec, |cx, message| {
        cx.send(message);
        Ok(())
    });
    let mut reactor = Reactor::new(echo, config())?;
    let listen = Listen::new(addr).recv_buffer_size(BUFFER_BYTES).send_buffer_size(BUFFER_BYTES);
    let listener = reactor.listen(listen)?;
    shared::run(&mut reactor, listener)?;
    let stats = reactor.stats();
    let (clients, messages, calls) = (stats.accepted, stats.frames, stats.calls);
    // Nobody may be there to read it any more.
    let _ = writeln!(
        io::stdout(),
        "served {clients} clients, {messages} messages, received in {} pieces and sent in {}",
        calls.recv,
        calls.send
    );
    Ok(())
}

/// Sends one message after the other, each when the one before has come back.
struct Caller {
    sent: Vec<u8>,
    left: u32,
    failure: Option<io::Error>,
}

impl Caller {
    /// Sends the next message, or ends the connection after the last.
    fn next(&mut self, cx: &mut Context) {
        let Some(left) = self.left.checked_sub(1) else { return cx.close(cx.id(), Close::Flush) };
        self.left = left;
        // No two are alike, so that none could stand for another.
        for (n, byte) in (left..).zip(&mut self.sent) {
            *byte = (n.wrapping_mul(0x9E37_79B1) >> 24).to_le_bytes()[0];
        }
        cx.send(&self.sent);
    }
}

impl Handler for Caller {
    type Codec = FixedLength;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(FixedLength, ())> {
        self.next(cx);
        Some((codec(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, message: &[u8]) -> Result {
        if message != self.sent {
            return Err(Close::msg("what came back is not what was sent"));
        }
        self.next(cx);
        Ok(())
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
    let count = match words {
        [] => 10,
        [count] => count.parse().map_err(|_| shared::bad_words(format!("{count:?} is no number")))?,
        [_, more, ..] => return Err(shared::bad_words(format!("{more:?} is too much"))),
    };
    let caller = Caller { sent: vec![0; MESSAGE_BYTES], left: count, failure: None };
    let mut reactor = Reactor::new(caller, config())?;
    reactor.with(|_, cx| cx.connect(addr, 0)).map_err(io::Error::other)?;
    // It returns when nothing is left that could happen: no connection, no listener, no timer.
    reactor.run()?;
    let calls = reactor.stats().calls;
    if let Some(failure) = reactor.into_handler().failure {
        return Err(failure);
    }
    writeln!(
        io::stdout(),
        "{count} messages of {MESSAGE_BYTES} bytes came back, sent in {} pieces and received in {}",
        calls.send,
        calls.recv
    )
}

fn main() -> ExitCode {
    let about = shared::About {
        what: "Sends messages of a fixed length back.",
        default: ([127, 0, 0, 1], 7010).into(),
        words: "[COUNT]",
    };
    shared::main(about, serve, call)
}
