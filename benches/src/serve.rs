//! The servers that are measured, each on a free port of 127.0.0.1 until standard input ends.

use std::io::{self, Read};
use std::time::Duration;

use clap::ValueEnum;
use switchboard::codec::{LengthPrefixed, Lines, Raw};
use switchboard::{Config, Handler, Reactor, Stop, each};

/// Which server, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server.
    #[arg(value_enum)]
    pub(crate) server: Server,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: String,
    /// Give every connection an idle timeout of so many seconds.
    #[arg(long)]
    pub(crate) idle_timeout: Option<u64>,
}

/// A program that echoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    /// Bytes as they come.
    Raw,
    /// Line by line.
    Lines,
    /// Messages with a four-byte big-endian length.
    Length,
}

/// Serves as `args` say.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    match args.server {
        Server::Raw => serve(
            args,
            each(Raw::new, |cx, bytes| {
                cx.send(bytes);
                Ok(())
            }),
        ),
        Server::Lines => serve(
            args,
            each(Lines::new, |cx, line| {
                cx.send(line);
                cx.send(b"\n");
                Ok(())
            }),
        ),
        Server::Length => serve(
            args,
            each(LengthPrefixed::new, |cx, body| {
                LengthPrefixed::new().encode(body, &mut cx.out())?;
                Ok(())
            }),
        ),
    }
}

fn serve<H: Handler + 'static>(args: &Args, handler: H) -> io::Result<()> {
    let mut config = Config::default();
    config.idle_timeout = args.idle_timeout.map(Duration::from_secs);
    let mut reactor = Reactor::new(handler, config)?;
    let listener = reactor.listen(args.listen.as_str())?;
    println!("listening on {}", reactor.local_addr(listener)?);
    let handle = reactor.handle();
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        handle.stop(Stop::Now);
    });
    reactor.run()
}
