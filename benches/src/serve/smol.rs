//! Echo by async-io and async-executor, which are the I/O and the executor of smol, as smol's `tcp-server` example has
//! it: a task for each connection that copies what it reads to where it came from.
//!
//! All tasks run on a local executor, the accepting one too, inside `block_on`, which polls on the thread that calls
//! it. async-io has a thread of its own for programs that do not; it looks now and then whether it is needed.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};

use super::Args;

/// What `futures_lite::io::copy` has.
const BUFFER_BYTES: usize = 8 * 1024;

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let listener = super::listen(args)?;
    super::announce(&listener)?;
    let listener = Async::<TcpListener>::new(listener)?;
    let (buffer, idle_timeout) = (args.buffer, args.idle_timeout());
    let executor = LocalExecutor::new().leak();
    let accepting = executor.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            // How one connection ends is its own affair.
            match (buffer, idle_timeout) {
                (None, None) => executor.spawn(echo(stream)).detach(),
                _ => executor.spawn(echo_by_hand(stream, buffer, idle_timeout)).detach(),
            }
        }
    });
    async_io::block_on(executor.run(accepting))
}

async fn echo(stream: Async<TcpStream>) -> io::Result<()> {
    futures_lite::io::copy(&stream, &mut &stream).await?;
    Ok(())
}

/// What `copy` does, with a buffer of another size or a timer beside each read.
async fn echo_by_hand(
    mut stream: Async<TcpStream>,
    buffer: Option<usize>,
    idle_timeout: Option<Duration>,
) -> io::Result<()> {
    let mut buffer = vec![0; buffer.unwrap_or(BUFFER_BYTES)];
    loop {
        let len = match idle_timeout {
            None => stream.read(&mut buffer).await?,
            Some(timeout) => {
                let too_late = async {
                    Timer::after(timeout).await;
                    Err(io::ErrorKind::TimedOut.into())
                };
                stream.read(&mut buffer).or(too_late).await?
            }
        };
        if len == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..len]).await?;
    }
}
