//! A proxy: whoever connects is connected onward, and bytes go both ways.
//!
//! ```text
//! cargo run --release --example echo
//! cargo run --release --example proxy -- --to localhost:7000
//! nc 127.0.0.1 7005
//! ```
//!
//! The two sides are as one connection: a side that takes nothing is a side from which, soon, nothing is read at the
//! other end, and what waits in between stays below 64 KiB and one receive buffer, whoever is slow. An end of one side
//! ends the other side in that direction only; a reset of one resets the other. Ctrl-C and SIGTERM stop accepting, and
//! wait for those who are connected for as long as `drain_timeout`, 30 seconds, says; a second one does not wait.

mod shared;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use switchboard::codec::Raw;
use switchboard::{
    Close, CloseReason, Config, Conn, ConnId, Connect, Context, Handler, Origin, Peer, Reactor, Result, Sent,
    signals,
};

struct Proxy {
    to: Connect,
    failed: u64,
}

impl Handler for Proxy {
    type Codec = Raw;
    /// The other side.
    type Session = ConnId;

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ConnId)> {
        // What waits for one side came from the other, so that it is the other that pauses, see `received`.
        cx.auto_pause(cx.id(), false);
        if peer.origin == Origin::Connected {
            return Some((Raw::new(), ConnId::from_bits(peer.key)));
        }
        // Its id is good at once: what the client sends meanwhile waits for it. At the limit of connections there is
        // none, and the client is turned away.
        let onward = cx.connect(self.to.clone(), cx.id().to_bits()).ok()?;
        Some((Raw::new(), onward))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, bytes: &[u8]) -> Result {
        if cx.send_to(*conn.session, bytes) == Sent::OverHigh {
            cx.pause(conn.id);
        }
        Ok(())
    }

    // What waited for this side has left.
    fn writable(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        cx.resume(*conn.session);
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        cx.finish(*conn.session);
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, other: ConnId, why: &CloseReason) {
        // After both ends there is nothing more to pass on. Anything else is passed on as a reset.
        cx.close(other, if why.is_orderly() { Close::Flush } else { Close::Abort });
    }

    // What is on its way elsewhere is not for a proxy to know: it waits until both sides have ended, or its time is up.
    fn drained(&mut self, _: &mut Context, _: Conn<'_, Self>) -> bool {
        false
    }

    fn connect_failed(&mut self, cx: &mut Context, key: u64, why: &CloseReason) {
        self.failed += 1;
        log::warn!("{}: {why}", self.to);
        cx.close(ConnId::from_bits(key), Close::Abort);
    }
}

fn main() -> ExitCode {
    let options = [("to", "HOST:PORT", "127.0.0.1:7000")];
    shared::main("Connects whoever connects onward.", ([127, 0, 0, 1], 7005), options, serve)
}

fn serve(addr: SocketAddr, [to]: [String; 1]) -> io::Result<()> {
    let to: Connect = to.parse().map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("--to {to:?} is no address: {error}"))
    })?;
    let mut reactor = Reactor::new(Proxy { to, failed: 0 }, Config::default())?;
    let listener = reactor.listen(addr)?;

    // The first signal lets what is open finish, a second one does not wait for that.
    signals::drain(&mut reactor)?;

    shared::announce(reactor.local_addr(listener)?, "")?;
    reactor.run()?;

    let (clients, failed) = (reactor.stats().accepted, reactor.handler().failed);
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {clients} clients; {failed} could not be connected onward");
    Ok(())
}
