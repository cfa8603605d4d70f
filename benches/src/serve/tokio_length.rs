//! Echo of messages behind their length by Tokio and the `LengthDelimitedCodec` of tokio-util, in the two ways its
//! documentation leads to: see the one for lines.
//!
//! Its length is four bytes, big-endian, unless it is told otherwise.

use std::io;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, FramedRead, FramedWrite, LengthDelimitedCodec};

use super::Args;
use super::tokio::{BUFFER_BYTES, accept, forward, within};

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let (buffer_bytes, idle_timeout) = (args.buffer.unwrap_or(BUFFER_BYTES), args.idle_timeout());
    accept(args, move |stream: TcpStream| async move {
        let mut messages = Framed::with_capacity(stream, LengthDelimitedCodec::new(), buffer_bytes);
        while let Some(message) = within(idle_timeout, messages.next()).await? {
            messages.send(message?.freeze()).await?;
        }
        io::Result::Ok(())
    })
}

pub(super) fn serve_batched(args: &Args) -> io::Result<()> {
    let (buffer_bytes, idle_timeout) = (args.buffer.unwrap_or(BUFFER_BYTES), args.idle_timeout());
    accept(args, move |mut stream: TcpStream| async move {
        let (reader, writer) = stream.split();
        let messages = FramedRead::with_capacity(reader, LengthDelimitedCodec::new(), buffer_bytes);
        let sink = FramedWrite::new(writer, LengthDelimitedCodec::new());
        forward(messages.map_ok(BytesMut::freeze), sink, idle_timeout).await
    })
}
