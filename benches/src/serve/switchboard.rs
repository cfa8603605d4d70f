//! Echo by switchboard: bytes as they come, lines, and messages behind their length.

use std::io;
use std::time::Duration;

use switchboard::codec::{LengthPrefixed, Lines, Raw};
use switchboard::{Config, Handler, Reactor, each};

use super::Args;

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn raw(args: &Args) -> io::Result<()> {
    serve(
        args,
        each(Raw::new, |cx, bytes| {
            cx.send(bytes);
            Ok(())
        }),
    )
}

pub(super) fn lines(args: &Args) -> io::Result<()> {
    serve(
        args,
        each(Lines::new, |cx, line| {
            cx.send(line);
            cx.send(b"\n");
            Ok(())
        }),
    )
}

pub(super) fn length(args: &Args) -> io::Result<()> {
    serve(
        args,
        each(LengthPrefixed::new, |cx, body| {
            LengthPrefixed::new().encode(body, &mut cx.out())?;
            Ok(())
        }),
    )
}

pub(super) fn serve<H: Handler + 'static>(args: &Args, handler: H) -> io::Result<()> {
    let mut config = Config::default();
    config.idle_timeout = args.idle_timeout();
    if args.limits {
        // So high that none is ever met.
        config.idle_timeout = Some(config.idle_timeout.unwrap_or(HOUR));
        config.first_frame_timeout = Some(HOUR);
        config.frame_timeout = Some(HOUR);
        config.connections_max = Some(100_000);
        config.connections_per_address_max = Some(100_000);
    }
    if let Some(bytes) = args.buffer {
        config.recv_buffer_bytes = bytes;
    }
    let mut reactor = Reactor::new(handler, config)?;
    let listener = reactor.listen(args.listen.as_str())?;
    println!("listening on {}", reactor.local_addr(listener)?);
    reactor.run()
}
