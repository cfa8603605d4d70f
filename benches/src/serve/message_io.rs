//! Echo by message-io, as its README has it: a listener of plain TCP, whose events one closure takes.
//!
//! It reads 65,535 bytes at a time until there are no more. It sends at once, and what the kernel does not take it
//! offers again and again, during which nobody else is served: a client that does not read holds up all of them,
//! and one that reads only after it has written everything may hold them up for ever. It has a second thread, for
//! signals, which wakes up every 50 ms; none of its work is done there. `TCP_NODELAY` cannot be set through it.

use std::io;

use message_io::network::{NetEvent, Transport};
use message_io::node;

use super::Args;

pub(super) fn serve(args: &Args) -> io::Result<()> {
    args.refuse_buffer("message-io has one of 65535 bytes")?;
    let (handler, listener) = node::split::<()>();
    let (_, addr) = handler.network().listen(Transport::Tcp, args.addr()?)?;
    println!("listening on {addr}");
    listener.for_each(move |event| match event.network() {
        NetEvent::Message(endpoint, bytes) => {
            handler.network().send(endpoint, bytes);
        }
        NetEvent::Accepted(..) | NetEvent::Connected(..) | NetEvent::Disconnected(_) => {}
    });
    Ok(())
}
