//! Echo by switchboard: bytes as they come, lines, and messages behind their length.

use std::io;

use switchboard::codec::{LengthPrefixed, Lines, Raw};
use switchboard::{Config, Handler, Reactor, each};

use super::Args;

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
    if let Some(bytes) = args.buffer {
        config.recv_buffer_bytes = bytes;
    }
    let mut reactor = Reactor::new(handler, config)?;
    let listener = reactor.listen(args.listen.as_str())?;
    println!("listening on {}", reactor.local_addr(listener)?);
    reactor.run()
}
