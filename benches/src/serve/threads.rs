//! Echo by the standard library: a thread for each connection, which blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;

use super::Args;

/// What `std::io::copy` has.
const BUFFER_BYTES: usize = 8 * 1024;

pub(super) fn serve(args: &Args) -> io::Result<()> {
    let listener = super::listen(args)?;
    listener.set_nonblocking(false)?;
    super::announce(&listener)?;
    let (buffer_bytes, idle_timeout) = (args.buffer.unwrap_or(BUFFER_BYTES), args.idle_timeout());
    for stream in listener.incoming() {
        let stream = match stream {
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            stream => stream?,
        };
        if idle_timeout.is_some() {
            stream.set_read_timeout(idle_timeout)?;
        }
        // How one connection ends is its own affair.
        thread::Builder::new().spawn(move || echo(stream, buffer_bytes))?;
    }
    Ok(())
}

fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => stream.write_all(&buffer[..len])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
