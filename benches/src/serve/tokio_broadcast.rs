//! Every line to every connection by Tokio: its broadcast channel between a task for each connection.
//!
//! A task selects between what its client says and what anyone said. Lines that wait in the channel leave together,
//! and each is one piece of memory for all.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tokio::sync::broadcast::{self, Receiver, Sender, error::TryRecvError};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::tokio::{BUFFER_BYTES, accept};
use super::{Args, LINE_BYTES_MAX};

/// Who is so many lines behind is closed: the channel would go on with a hole. All clients may speak at once.
const LINES_MAX: usize = 16 * 1024;

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let buffer_bytes = args.buffer.unwrap_or(BUFFER_BYTES);
    let (said, _) = broadcast::channel(LINES_MAX);
    accept(args, move |stream: TcpStream| talk(stream, said.clone(), buffer_bytes))
}

async fn talk(
    mut stream: TcpStream,
    said: Sender<Bytes>,
    buffer_bytes: usize,
) -> Result<(), LinesCodecError> {
    let mut heard = said.subscribe();
    let (reader, writer) = stream.split();
    let codec = LinesCodec::new_with_max_length(LINE_BYTES_MAX);
    let mut lines = FramedRead::with_capacity(reader, codec, buffer_bytes);
    let mut writer = BufWriter::new(writer);
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(line) => {
                    let mut line = line?;
                    line.push('\n');
                    // There is a receiver: this task's own.
                    let _ = said.send(line.into());
                }
                None => return Ok(pass_on(&mut heard, &mut writer).await?),
            },
            line = heard.recv() => {
                writer.write_all(&line.map_err(io::Error::other)?).await?;
                pass_on(&mut heard, &mut writer).await?;
            }
        }
    }
}

/// Writes what waits in the channel.
async fn pass_on(
    heard: &mut Receiver<Bytes>,
    writer: &mut BufWriter<impl AsyncWriteExt + Unpin>,
) -> io::Result<()> {
    loop {
        match heard.try_recv() {
            Ok(line) => writer.write_all(&line).await?,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return writer.flush().await,
            Err(behind @ TryRecvError::Lagged(_)) => return Err(io::Error::other(behind)),
        }
    }
}
