//! What every example needs and none is about: its arguments, its first two lines, its exit code.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};
use switchboard::Addr;

const NAME: &str = env!("CARGO_BIN_NAME");

/// An option of one program: its name, what it is, and what it is unless told otherwise.
pub(crate) type Named = (&'static str, &'static str, &'static str);

/// Runs `serve` with the address that the arguments name, or else `default`, and with the options: the `main` of a server.
///
/// Exit codes: 0 when it was asked to end (or for `--help`), 1 when it failed, 2 for arguments it does not know. A
/// `serve` that does not like an option answers [`ErrorKind::InvalidInput`].
pub(crate) fn main<const N: usize>(
    about: &str,
    default: impl Into<SocketAddr>,
    options: [Named; N],
    serve: impl FnOnce(SocketAddr, [String; N]) -> io::Result<()>,
) -> ExitCode {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let default = default.into();
    let more = options.map(|(name, what, _)| format!(" [--{name} {what}]")).concat();
    let bad = |error: &dyn Display| {
        eprintln!("{NAME}: {error}; expected [--listen ADDR:PORT]{more}, such as --listen {default}");
        ExitCode::from(2)
    };
    let (addr, values) = match arguments(default, options) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            // Nobody may be there to read it, which is no reason to panic.
            let mut stdout = io::stdout();
            let _ = writeln!(
                stdout,
                "{about}\n\nusage: {NAME} [--listen ADDR:PORT]{more}    (default {default}; port 0 is a free one)"
            );
            for (name, _, default) in options {
                let _ = writeln!(stdout, "       --{name} is {default} unless told otherwise");
            }
            return ExitCode::SUCCESS;
        }
        Err(error) => return bad(&error),
    };
    match serve(addr, values) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::InvalidInput => bad(&error),
        Err(error) => {
            eprintln!("{NAME}: cannot serve {addr}: {error}{}", advice(&error));
            ExitCode::FAILURE
        }
    }
}

/// Says where the server listens and how to talk to it, which is `nc` with some options. By now it must be able to stop,
/// as others wait for this.
pub(crate) fn announce(addr: impl Into<Addr>, options: &str) -> io::Result<()> {
    let addr = addr.into();
    // `println!` panics when nobody reads our output any more.
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {addr}")?;
    match addr.socket_addr() {
        Some(addr) => writeln!(stdout, "try: nc {options}{} {}", addr.ip(), addr.port()),
        None => Ok(()),
    }
}

/// The address to listen on and the options; `None` when asked for help.
fn arguments<const N: usize>(
    default: SocketAddr,
    options: [Named; N],
) -> Result<Option<(SocketAddr, [String; N])>, lexopt::Error> {
    let (mut addr, mut values) = (default, options.map(|(_, _, default)| default.to_owned()));
    let mut args = Parser::from_env();
    while let Some(arg) = args.next()? {
        let option = match &arg {
            Arg::Long(name) => options.iter().position(|(option, ..)| option == name),
            Arg::Short(_) | Arg::Value(_) => None,
        };
        match (option, arg) {
            (Some(at), _) => values[at] = args.value()?.string()?,
            (None, Arg::Long("listen")) => addr = args.value()?.parse()?,
            (None, Arg::Long("help") | Arg::Short('h')) => return Ok(None),
            (None, arg) => return Err(arg.unexpected()),
        }
    }
    Ok(Some((addr, values)))
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
