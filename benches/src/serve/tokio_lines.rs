//! Line echo by Tokio and the `LinesCodec` of tokio-util, in the two ways its documentation leads to.
//!
//! `send` is what its examples teach: it flushes, and so every line is a system call. `forward` flushes when no more
//! lines are there, or 8 KiB of answers are.

use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, FramedRead, FramedWrite, LinesCodec, LinesCodecError};

use super::tokio::{BUFFER_BYTES, accept, forward, within};
use super::{Args, LINE_BYTES_MAX};

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let (buffer_bytes, idle_timeout) = (args.buffer.unwrap_or(BUFFER_BYTES), args.idle_timeout());
    accept(args, move |stream: TcpStream| async move {
        let mut lines = Framed::with_capacity(stream, codec(), buffer_bytes);
        while let Some(line) = within(idle_timeout, lines.next()).await? {
            lines.send(line?).await?;
        }
        Ok::<(), LinesCodecError>(())
    })
}

pub(super) fn serve_batched(args: &Args) -> io::Result<()> {
    let (buffer_bytes, idle_timeout) = (args.buffer.unwrap_or(BUFFER_BYTES), args.idle_timeout());
    accept(args, move |mut stream: TcpStream| async move {
        let (reader, writer) = stream.split();
        let lines = FramedRead::with_capacity(reader, codec(), buffer_bytes);
        forward(lines, FramedWrite::new(writer, codec()), idle_timeout).await
    })
}

/// With a limit, as its documentation recommends.
fn codec() -> LinesCodec {
    LinesCodec::new_with_max_length(LINE_BYTES_MAX)
}
