//! Echo by Tokio, as its `examples/echo-tcp.rs` has it, on the runtime of one thread: a task for each connection,
//! with a buffer of its own.
//!
//! That example reads 1 KiB at a time; here it is what `tokio::io::copy` and `BufReader` take, 8 KiB.

use std::io;
use std::time::Duration;

use futures_util::{Sink, Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Args;

pub(super) const BUFFER_BYTES: usize = 8 * 1024;

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let (buffer_bytes, idle_timeout) = (args.buffer.unwrap_or(BUFFER_BYTES), args.idle_timeout());
    accept(args, move |mut stream: TcpStream| async move {
        let mut buffer = vec![0; buffer_bytes];
        loop {
            let len = within(idle_timeout, stream.read(&mut buffer)).await??;
            if len == 0 {
                return io::Result::Ok(());
            }
            stream.write_all(&buffer[..len]).await?;
        }
    })
}

/// Accepts for ever, and lets `talk` run for each connection.
pub(super) fn accept<T>(args: &Args, talk: impl Fn(TcpStream) -> T) -> io::Result<()>
where
    T: Future<Output: Send> + Send + 'static,
{
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = super::listen(args)?;
        super::announce(&listener)?;
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            // How one connection ends is its own affair.
            tokio::spawn(talk(stream));
        }
    })
}

/// Waits for `what` no longer than `timeout`.
pub(super) async fn within<T>(timeout: Option<Duration>, what: impl Future<Output = T>) -> io::Result<T> {
    match timeout {
        Some(timeout) => Ok(tokio::time::timeout(timeout, what).await?),
        None => Ok(what.await),
    }
}

/// Sends every frame back, and flushes when no more of them are there.
pub(super) async fn forward<F, E: From<io::Error>>(
    frames: impl Stream<Item = Result<F, E>>,
    sink: impl Sink<F, Error = E>,
    idle_timeout: Option<Duration>,
) -> Result<(), E> {
    match idle_timeout {
        Some(timeout) => {
            let frames = tokio_stream::StreamExt::timeout(frames, timeout);
            let frames = frames.map(|frame| frame.map_err(io::Error::from)?);
            frames.forward(sink).await
        }
        None => frames.forward(sink).await,
    }
}
