//! The multi-client echo server: every byte that comes goes back to whoever sent it.
//!
//! ```text
//! cargo run --release --example echo
//! cargo run --release --example echo -- --listen 0.0.0.0:7000
//! ```
//!
//! Talk to it with `nc 127.0.0.1 7000` or any other client, as many at once as you like. A client that ends its side
//! still gets everything back; one that does not read is not read either. Ctrl-C and SIGTERM stop accepting, finish
//! what is open, print what was served and exit with 0; a second one does not wait. `RUST_LOG=debug` shows more.

mod shared;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use switchboard::codec::Raw;
use switchboard::{CloseReason, Config, Conn, Context, Handler, Peer, Reactor, Result, signals};

struct Echo;

impl Handler for Echo {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ())> {
        log::debug!("{} is connection {}", peer.addr, cx.id());
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: &[u8]) -> Result {
        cx.send(bytes);
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        log::debug!("connection {}: {why}", cx.id());
    }
}

fn main() -> ExitCode {
    shared::main("Sends every byte back to whoever sent it.", ([127, 0, 0, 1], 7000), [], |addr, []| {
        serve(addr)
    })
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let mut reactor = Reactor::new(Echo, Config::default())?;
    let listener = reactor.listen(addr)?;

    // The first signal lets what is open finish, a second one does not wait for that.
    signals::drain(&mut reactor)?;

    shared::announce(reactor.local_addr(listener)?, "")?;
    reactor.run()?;

    let stats = reactor.stats();
    let (accepted, received, sent) = (stats.accepted, stats.received, stats.sent);
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {accepted} connections, {received} bytes in, {sent} bytes out");
    Ok(())
}
