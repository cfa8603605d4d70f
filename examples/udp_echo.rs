//! Every datagram that comes goes back to whoever sent it, and no more than that.
//!
//! ```text
//! cargo run --release --example udp_echo
//! nc -u 127.0.0.1 7007
//! ```
//!
//! A datagram has a beginning and an end and nothing else: no connection, no order, no promise. Anyone can write anybody's
//! address into one, so that a server must not answer with more than it was sent, or it becomes a tool to flood others
//! with: an echo answers with as much. What the kernel keeps no room for is lost, here as everywhere, and nobody is told.
//! Ctrl-C and SIGTERM send what waits and end.

mod shared;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use switchboard::{Config, Reactor, datagrams, signals};

fn main() -> ExitCode {
    shared::main("Sends every datagram back to whoever sent it.", ([127, 0, 0, 1], 7007), [], |addr, []| {
        serve(addr)
    })
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let echo = datagrams(|cx, datagram| {
        // `Sent::Full` is no reason to do anything: the network loses datagrams, too.
        cx.send_datagram(datagram.socket, datagram.from, datagram.bytes);
    });
    let mut reactor = Reactor::new(echo, Config::default())?;
    let socket = reactor.bind(addr)?;

    // The first signal sends what waits, a second one does not wait for that.
    signals::drain(&mut reactor)?;

    shared::announce(reactor.datagram_addr(socket)?, "-u ")?;
    reactor.run()?;

    let stats = reactor.stats();
    let (received, sent, dropped) = (stats.datagrams_received, stats.datagrams_sent, stats.datagrams_dropped);
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {received} datagrams, {sent} sent back, {dropped} dropped");
    Ok(())
}
