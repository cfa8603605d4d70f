//! The multi-client echo server: every byte that comes goes back to whoever sent it.
//!
//! ```text
//! cargo run --release --example echo
//! cargo run --release --example echo -- --listen 0.0.0.0:7000
//! ```
//!
//! Talk to it with `nc 127.0.0.1 7000` or any other client, as many at once as you like. Ctrl-C and SIGTERM
//! stop accepting, finish what is open, print what was served and exit with 0. `RUST_LOG=debug` shows more.

use std::net::SocketAddr;
use std::process::ExitCode;

use switchboard::codec::Raw;
use switchboard::{Config, Conn, Context, Frame, Handler, Peer, Reactor, Result, Stop};

const USAGE: &str =
    "usage: echo [--listen ADDR:PORT]    (default 127.0.0.1:7000; port 0 lets the system choose)";

struct Echo;

impl Handler for Echo {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer) -> Option<(Raw, ())> {
        log::debug!("{} is connection {}", peer.addr, cx.id());
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        cx.send(bytes);
        Ok(())
    }
}

fn main() -> ExitCode {
    env_logger::init();
    let addr = match listen_addr(std::env::args().skip(1)) {
        Ok(addr) => addr,
        Err(wrong) => {
            eprintln!("echo: {wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(addr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {addr}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(addr: SocketAddr) -> std::io::Result<()> {
    let mut reactor = Reactor::new(Echo, Config::default())?;
    let listener = reactor.listen(addr)?;
    let addr = reactor.local_addr(listener)?.socket_addr().unwrap_or(addr);
    println!("listening on {addr}");
    println!("talk to it:  nc {} {}    (Ctrl-C here stops the server)", addr.ip(), addr.port());

    let handle = reactor.handle();
    ctrlc::set_handler(move || handle.stop(Stop::Drain)).map_err(std::io::Error::other)?;
    reactor.run()?;

    let stats = reactor.stats();
    println!("served {} connections, {} bytes in, {} bytes out", stats.accepted, stats.received, stats.sent);
    Ok(())
}

fn listen_addr(mut args: impl Iterator<Item = String>) -> std::result::Result<SocketAddr, String> {
    let mut addr = SocketAddr::from(([127, 0, 0, 1], 7000));
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--listen" => {
                let value = args.next().ok_or("--listen needs an address, such as 127.0.0.1:7000")?;
                addr = value
                    .parse()
                    .map_err(|_| format!("{value:?} is not an address such as 127.0.0.1:7000"))?;
            }
            _ => return Err(format!("unexpected argument {arg:?}")),
        }
    }
    Ok(addr)
}
