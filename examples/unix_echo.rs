//! An echo server that only this machine can reach, and only who may: a Unix socket with permissions.
//!
//! ```text
//! cargo run --release --example unix_echo -- serve
//! cargo run --release --example unix_echo -- call unix:/tmp/unix_echo.sock hello
//! cargo run --release --example unix_echo -- serve --listen unix:/run/some.sock --mode 660
//! cargo run --release --example unix_echo -- serve --listen unix:@some
//! ```
//!
//! Talk to it with `socat - UNIX-CONNECT:/tmp/unix_echo.sock` (`ABSTRACT-CONNECT:some` for `unix:@some`). It says who came, by what
//! the system knows and not by what the peer says. The path is the owner's alone unless `--mode` says otherwise; a name
//! with an `@` is in no directory, has no permissions, and is open to the whole machine.
//!
//! A path that a killed server left behind is replaced, one that is in use is an error, and the path goes with the server: on
//! Ctrl-C and SIGTERM it stops accepting, finishes what is open, and exits with 0; a second one does not wait.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};
use switchboard::codec::{Lines, Raw};
use switchboard::{
    Addr, Close, CloseReason, Config, Conn, Connect, Context, Frame, Handler, Listen, Peer, Reactor, Result,
    UnixAddr, signals,
};

const DEFAULT: &str = "unix:/tmp/unix_echo.sock";
const USAGE: &str =
    "unix_echo serve [--listen unix:PATH] [--mode OCTAL], or unix_echo call unix:PATH WORD...";

struct Echo;

impl Handler for Echo {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Raw, ())> {
        // Nobody may be there to read it any more.
        let _ = match peer.credentials() {
            Ok(who) => {
                let pid = who.pid.map_or("?".into(), |pid| pid.to_string());
                writeln!(io::stdout(), "{}: user {}, group {}, process {pid}", cx.id(), who.uid, who.gid)
            }
            Err(error) => writeln!(io::stdout(), "{}: {error}", cx.id()),
        };
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: &[u8]) -> Result {
        cx.send(bytes);
        Ok(())
    }
}

/// Prints what comes back, a line for each word.
struct Call {
    words: Vec<String>,
    /// How many have come back.
    heard: usize,
    failed: Option<io::Error>,
}

impl Handler for Call {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        for word in &self.words {
            writeln!(cx.out(), "{word}");
        }
        Some((Lines::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        writeln!(io::stdout(), "{}", String::from_utf8_lossy(line))?;
        self.heard += 1;
        if self.heard == self.words.len() { Err(Close::Flush) } else { Ok(()) }
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        // An end says nothing on a Unix socket: a server that was killed looks like one that is done.
        if self.heard < self.words.len() {
            self.failed = Some(io::Error::other(format!("after {} answers: {why}", self.heard)));
        }
    }

    fn connect_failed(&mut self, _: &mut Context, _: u64, why: &CloseReason) {
        self.failed = Some(io::Error::other(why.to_string()));
    }
}

enum Asked {
    Serve(Listen),
    Call(UnixAddr, Vec<String>),
    Help,
}

fn main() -> ExitCode {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let result = match asked() {
        Ok(Asked::Help) => {
            // Nobody may be there to read it, which is no reason to panic.
            let about = "Sends every byte back to whoever sent it, over a Unix socket.";
            let _ = writeln!(
                io::stdout(),
                "{about}\n\nusage: {USAGE}\n       (default {DEFAULT}, with mode 600: the owner only)"
            );
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Serve(listen)) => serve(listen),
        Ok(Asked::Call(addr, words)) => call(addr, words),
        Err(error) => {
            eprintln!("unix_echo: {error}; expected {USAGE}, such as call {DEFAULT} hello");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let advice = match error.kind() {
                ErrorKind::AddrInUse => "; does it run already? --listen chooses another path",
                _ => "",
            };
            eprintln!("unix_echo: {error}{advice}");
            ExitCode::FAILURE
        }
    }
}

fn serve(listen: Listen) -> io::Result<()> {
    let mut reactor = Reactor::new(Echo, Config::default())?;
    let listener = reactor.listen(listen)?;
    signals::drain(&mut reactor)?;

    let addr = reactor.local_addr(listener)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {addr}")?;
    writeln!(stdout, "try: unix_echo call {addr} hello")?;
    reactor.run()?;

    let stats = reactor.stats();
    let (accepted, received, sent) = (stats.accepted, stats.received, stats.sent);
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {accepted} connections, {received} bytes in, {sent} bytes out");
    Ok(())
}

fn call(addr: UnixAddr, words: Vec<String>) -> io::Result<()> {
    let mut reactor = Reactor::new(Call { words, heard: 0, failed: None }, Config::default())?;
    reactor.with(|_, cx| cx.connect(Connect::to(addr), 0)).map_err(io::Error::other)?;
    reactor.run()?;
    reactor.into_handler().failed.map_or(Ok(()), Err)
}

fn asked() -> std::result::Result<Asked, lexopt::Error> {
    let mut args = Parser::from_env();
    match args.next()? {
        Some(Arg::Value(word)) if word == "serve" => {
            let (mut addr, mut mode) = (unix(DEFAULT)?, 0o600);
            while let Some(arg) = args.next()? {
                match arg {
                    Arg::Long("listen") => addr = unix(&args.value()?.string()?)?,
                    Arg::Long("mode") => {
                        mode = args.value()?.parse_with(|text| u32::from_str_radix(text, 8))?;
                    }
                    Arg::Long("help") | Arg::Short('h') => return Ok(Asked::Help),
                    arg => return Err(arg.unexpected()),
                }
            }
            Ok(Asked::Serve(Listen::unix(addr).mode(mode)))
        }
        Some(Arg::Value(word)) if word == "call" => {
            let addr = unix(&args.value()?.string()?)?;
            let mut words = Vec::new();
            while let Some(arg) = args.next()? {
                match arg {
                    Arg::Value(word) => words.push(word.string()?),
                    Arg::Long("help") | Arg::Short('h') => return Ok(Asked::Help),
                    arg => return Err(arg.unexpected()),
                }
            }
            if words.is_empty() { Err("call what?".into()) } else { Ok(Asked::Call(addr, words)) }
        }
        Some(Arg::Long("help") | Arg::Short('h')) => Ok(Asked::Help),
        Some(arg) => Err(arg.unexpected()),
        None => Err("which side?".into()),
    }
}

fn unix(text: &str) -> std::result::Result<UnixAddr, lexopt::Error> {
    match text.parse::<Addr>() {
        Ok(Addr::Unix(addr)) => Ok(addr),
        Ok(_) => Err(format!("{text} is no Unix socket").into()),
        Err(error) => Err(error.to_string().into()),
    }
}
