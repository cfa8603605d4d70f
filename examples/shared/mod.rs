//! What every example needs and none is about: its one argument, its first two lines, its exit code.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};
use switchboard::Addr;

const NAME: &str = env!("CARGO_BIN_NAME");

/// Runs `serve` with the address that the arguments name, or else `default`: the `main` of a server.
///
/// Exit codes: 0 when it was asked to end (or for `--help`), 1 when it failed, 2 for arguments it does not know.
pub(crate) fn main(
    about: &str,
    default: impl Into<SocketAddr>,
    serve: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> ExitCode {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let default = default.into();
    let addr = match listen_addr(default) {
        Ok(Some(addr)) => addr,
        Ok(None) => {
            println!(
                "{about}\n\nusage: {NAME} [--listen ADDR:PORT]    (default {default}; port 0 is a free one)"
            );
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{NAME}: {error}; expected --listen ADDR:PORT, such as --listen {default}");
            return ExitCode::from(2);
        }
    };
    match serve(addr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{NAME}: cannot serve {addr}: {error}{}", advice(&error));
            ExitCode::FAILURE
        }
    }
}

/// Says where the server listens and how to talk to it. By now it must be able to stop, as others wait for this.
pub(crate) fn announce(addr: impl Into<Addr>) -> io::Result<()> {
    let addr = addr.into();
    // `println!` panics when nobody reads our output any more.
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {addr}")?;
    match addr.socket_addr() {
        Some(addr) => writeln!(stdout, "try: nc {} {}", addr.ip(), addr.port()),
        None => Ok(()),
    }
}

/// The address to listen on; `None` when asked for help.
fn listen_addr(default: SocketAddr) -> Result<Option<SocketAddr>, lexopt::Error> {
    let mut addr = default;
    let mut args = Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("listen") => addr = args.value()?.parse()?,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long(_) | Arg::Short(_) | Arg::Value(_) => return Err(arg.unexpected()),
        }
    }
    Ok(Some(addr))
}

/// What can be done about an error of `listen`.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "; does it run already? --listen chooses another address, with port 0 a free port"
        }
        ErrorKind::AddrNotAvailable => {
            "; --listen needs an address of this machine, such as 127.0.0.1 or 0.0.0.0"
        }
        ErrorKind::PermissionDenied => "; ports below 1024 are often reserved, --listen chooses another",
        _ => "",
    }
}
