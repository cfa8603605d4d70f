//! What every example needs that is a server and a client in one: `serve` and `call`, the first two lines, the exit code.
//!
//! It does not know what either side says.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};
use switchboard::{CloseReason, Handler, ListenerId, Reactor, signals};

const NAME: &str = env!("CARGO_BIN_NAME");

/// What a program says of itself.
#[derive(Clone, Copy)]
pub(crate) struct About {
    /// What it is, in one sentence.
    pub(crate) what: &'static str,
    /// Where `serve` listens unless told otherwise.
    pub(crate) default: SocketAddr,
    /// What `call` wants behind the address, such as `[COUNT]`.
    pub(crate) words: &'static str,
}

enum Side {
    Serve(SocketAddr),
    Call(SocketAddr, Vec<String>),
}

/// Runs the side that the arguments name.
///
/// Exit codes: 0 when all went well (or for `--help`), 1 when it failed, 2 for arguments that it does not know. A `call`
/// that does not like its words answers [`ErrorKind::InvalidInput`].
pub(crate) fn main(
    about: About,
    serve: impl FnOnce(SocketAddr) -> io::Result<()>,
    call: impl FnOnce(SocketAddr, &[String]) -> io::Result<()>,
) -> ExitCode {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let About { what, default, words } = about;
    let expected = format!(
        "expected {NAME} serve [--listen ADDR:PORT], or {NAME} call ADDR:PORT {words}, such as call {default}"
    );
    let side = match side(default) {
        Ok(Some(side)) => side,
        Ok(None) => {
            // Nobody may be there to read it, which is no reason to panic.
            let _ = writeln!(
                io::stdout(),
                "{what}\n\nusage: {NAME} serve [--listen ADDR:PORT]    (default {default}; port 0 is a free one)\
                 \n       {NAME} call ADDR:PORT {words}"
            );
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{NAME}: {error}; {expected}");
            return ExitCode::from(2);
        }
    };
    let (result, doing) = match side {
        Side::Serve(addr) => (serve(addr), format!("cannot serve {addr}")),
        Side::Call(addr, words) => (call(addr, &words), format!("call {addr}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            eprintln!("{NAME}: {error}; {expected}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("{NAME}: {doing}: {error}{}", advice(&error));
            ExitCode::FAILURE
        }
    }
}

/// Says where the server listens and how to talk to it, and serves until Ctrl-C or SIGTERM. The first lets what is open
/// finish, a second one does not wait for that.
pub(crate) fn run<H: Handler + 'static>(reactor: &mut Reactor<H>, listener: ListenerId) -> io::Result<()> {
    signals::drain(reactor)?;
    let addr = reactor.local_addr(listener)?;
    // `println!` panics when nobody reads our output any more.
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {addr}")?;
    writeln!(stdout, "try: {NAME} call {addr}")?;
    reactor.run()
}

/// Why a call failed, of the kind that tells what can be done about it.
pub(crate) fn failure(why: &CloseReason) -> io::Error {
    let kind = if let CloseReason::Io(error) = why { error.kind() } else { ErrorKind::Other };
    io::Error::new(kind, why.to_string())
}

/// Words that a call cannot be made of.
pub(crate) fn bad_words(message: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, message)
}

/// What the arguments ask for; `None` for help.
fn side(default: SocketAddr) -> Result<Option<Side>, lexopt::Error> {
    let mut args = Parser::from_env();
    match args.next()? {
        Some(Arg::Value(word)) if word == "serve" => serve_args(args, default),
        Some(Arg::Value(word)) if word == "call" => call_args(args),
        Some(Arg::Long("help") | Arg::Short('h')) => Ok(None),
        Some(arg) => Err(arg.unexpected()),
        None => Err("which side?".into()),
    }
}

fn serve_args(mut args: Parser, default: SocketAddr) -> Result<Option<Side>, lexopt::Error> {
    let mut addr = default;
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("listen") => addr = args.value()?.parse()?,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long(_) | Arg::Short(_) | Arg::Value(_) => return Err(arg.unexpected()),
        }
    }
    Ok(Some(Side::Serve(addr)))
}

fn call_args(mut args: Parser) -> Result<Option<Side>, lexopt::Error> {
    let addr = match args.next()? {
        Some(Arg::Value(value)) => value.parse()?,
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(None),
        Some(arg) => return Err(arg.unexpected()),
        None => return Err("whom?".into()),
    };
    // Words from here on: `-4` is a number and no option.
    let words = args.raw_args()?.map(ValueExt::string).collect::<Result<_, _>>()?;
    Ok(Some(Side::Call(addr, words)))
}

/// What can be done about an error.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "; does it run already? --listen chooses another address, with port 0 a free port"
        }
        ErrorKind::AddrNotAvailable => {
            "; --listen needs an address of this machine, such as 127.0.0.1 or 0.0.0.0"
        }
        ErrorKind::PermissionDenied => "; ports below 1024 are often reserved, --listen chooses another",
        ErrorKind::ConnectionRefused => "; nobody listens there: start the other side with serve",
        _ => "",
    }
}
