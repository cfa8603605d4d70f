//! The clients of the counts: blocking sockets, every byte verified.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One exchange of a client: what is sent, and what must come back.
pub(crate) struct Exchange {
    bytes: Vec<u8>,
    answer: Vec<u8>,
}

impl Exchange {
    /// An exchange of exactly these bytes, which are to come back.
    pub(crate) fn new(bytes: Vec<u8>) -> Exchange {
        let answer = vec![0; bytes.len()];
        Exchange { bytes, answer }
    }

    /// Opens `count` connections.
    pub(crate) fn connect(addr: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
        (0..count).map(|_| connect(addr)).collect()
    }

    /// Sends on every connection, then waits for every answer; `rounds` times.
    pub(crate) fn ping_pong(&mut self, streams: &mut [TcpStream], rounds: usize) -> io::Result<()> {
        for _ in 0..rounds {
            for stream in &mut *streams {
                stream.write_all(&self.bytes)?;
            }
            for stream in &mut *streams {
                self.read_answer(stream)?;
            }
        }
        Ok(())
    }

    /// Connects, exchanges once and closes, `at_once` connections at a time; `rounds` times.
    pub(crate) fn churn(&mut self, addr: SocketAddr, rounds: usize, at_once: usize) -> io::Result<()> {
        for _ in 0..rounds {
            let mut streams = Exchange::connect(addr, at_once)?;
            self.ping_pong(&mut streams, 1)?;
            for stream in &mut streams {
                stream.shutdown(std::net::Shutdown::Write)?;
            }
            for stream in &mut streams {
                // The server's end: it has closed.
                if stream.read(&mut self.answer)? != 0 {
                    return Err(io::Error::other("more came back than was sent"));
                }
            }
        }
        Ok(())
    }

    fn read_answer(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        stream.read_exact(&mut self.answer)?;
        if self.answer != self.bytes {
            return Err(io::Error::other("what came back is not what was sent"));
        }
        Ok(())
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
