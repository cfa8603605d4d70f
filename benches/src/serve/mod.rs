//! The servers that are measured. Each says where it listens and serves until its process is ended.

use std::io;
use std::time::Duration;

use clap::ValueEnum;
use switchboard::codec::{LengthPrefixed, Lines, Raw};
use switchboard::{Config, Handler, Reactor, each};

/// Which server, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server.
    #[arg(value_enum)]
    pub(crate) name: Name,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:7000")]
    pub(crate) listen: String,
    /// Give every connection an idle timeout of so many seconds.
    #[arg(long)]
    pub(crate) idle_timeout: Option<u64>,
}

/// A server: its library, and what it speaks if that is not bytes as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Bytes as they come.
    Switchboard,
    /// Line by line.
    SwitchboardLines,
    /// Messages with a four-byte big-endian length.
    SwitchboardLength,
}

/// Serves as `args` say, until the process is ended.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    match args.name {
        Name::Switchboard => serve(
            args,
            each(Raw::new, |cx, bytes| {
                cx.send(bytes);
                Ok(())
            }),
        ),
        Name::SwitchboardLines => serve(
            args,
            each(Lines::new, |cx, line| {
                cx.send(line);
                cx.send(b"\n");
                Ok(())
            }),
        ),
        Name::SwitchboardLength => serve(
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
    reactor.run()
}
