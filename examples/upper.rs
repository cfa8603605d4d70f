//! Every line comes back in capitals, and clients may leave at any time: in order, in the middle of a line, by a reset.
//!
//! ```text
//! cargo run --release --example upper
//! nc 127.0.0.1 7002                     (and type, for instance, grüße)
//! ```
//!
//! It shows a codec, a session for each connection, and `closed`, which says once for each how it ended. Ctrl-C and
//! SIGTERM finish what is open; a client in the middle of a line gets its answer. A second one does not wait.

mod shared;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use switchboard::codec::{Lines, Put};
use switchboard::{CloseReason, Config, Conn, Context, Handler, Peer, Reactor, Result, signals};

/// What outlives the connections.
#[derive(Default)]
struct Upper {
    lines: u64,
    broken_off: u64,
}

/// What is kept for one connection.
struct Client {
    lines: u64,
}

impl Handler for Upper {
    type Codec = Lines;
    type Session = Client;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, Client)> {
        // The last line of a text often lacks its ending, and is answered all the same.
        Some((Lines::new().accept_unterminated(), Client { lines: 0 }))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: &[u8]) -> Result {
        let mut out = cx.out();
        // Capitals are a matter of characters; bytes that are none go back as they came.
        for chunk in line.utf8_chunks() {
            out.put_slice(chunk.valid().to_uppercase().as_bytes());
            out.put_slice(chunk.invalid());
        }
        out.put_slice(b"\n");
        conn.session.lines += 1;
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, client: Client, why: &CloseReason) {
        log::debug!("connection {} sent {} lines: {why}", cx.id(), client.lines);
        self.lines += client.lines;
        self.broken_off += u64::from(!why.is_orderly());
    }
}

fn main() -> ExitCode {
    shared::main("Sends every line back in capitals.", ([127, 0, 0, 1], 7002), [], |addr, []| serve(addr))
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let mut reactor = Reactor::new(Upper::default(), Config::default())?;
    let listener = reactor.listen(addr)?;

    // The first signal lets what is open finish, a second one does not wait for that.
    signals::drain(&mut reactor)?;

    shared::announce(reactor.local_addr(listener)?, "")?;
    reactor.run()?;

    let (clients, Upper { lines, broken_off }) = (reactor.stats().accepted, reactor.handler());
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {clients} clients, {lines} lines; {broken_off} broke off");
    Ok(())
}
