//! The clients of the counts: blocking sockets, every byte verified.
//!
//! It knows connections and what goes over them. It does not know which tool watches the server.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::hold::Held;
use super::scenario::{Round, Scenario, message};
use crate::serve::Protocol;

/// A server that is silent for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rounds before the first that counts: what is made once is made in them.
const WARM_UP: usize = 4;

/// Connections opened before the server takes them, well below the 1,024 that may wait.
const BATCH: usize = 256;

/// What a client's buffers must hold so that neither side waits for the other in `bulk`: twice 128 KiB, and
/// what the kernel keeps of that for itself.
const BUFFER_BYTES: usize = 400 << 10;

/// The clients of one server.
pub(super) struct Clients<'a> {
    addr: SocketAddr,
    protocol: Protocol,
    held: &'a Held,
    interrupted: &'a AtomicBool,
    connected: usize,
    streams: Vec<TcpStream>,
    silent: Vec<TcpStream>,
}

impl<'a> Clients<'a> {
    pub(super) fn new(
        addr: SocketAddr,
        protocol: Protocol,
        held: &'a Held,
        interrupted: &'a AtomicBool,
    ) -> Clients<'a> {
        Clients { addr, protocol, held, interrupted, connected: 0, streams: Vec::new(), silent: Vec::new() }
    }

    /// Does `rounds` rounds of `scenario`, then holds the server as often as `empty` more rounds would.
    ///
    /// The connections are still open when this returns, and the server rests.
    pub(super) fn run(&mut self, scenario: &Scenario, rounds: usize, empty: usize) -> io::Result<()> {
        self.silent = self.open(scenario.idle)?;
        self.streams = match scenario.round {
            Round::Echo { connections, .. }
            | Round::Bulk { connections, .. }
            | Round::Broadcast { connections, .. } => self.open(connections)?,
            Round::Churn { .. } => Vec::new(),
        };
        for _ in 0..WARM_UP + rounds {
            self.round(scenario.round)?;
        }
        for _ in 0..empty * scenario.holds() {
            self.check()?;
            self.held.during(|| Ok(()))?;
        }
        self.held.rest()
    }

    /// Opens so many connections more, each with one exchange, and leaves them idle.
    pub(super) fn open_idle(&mut self, count: usize) -> io::Result<()> {
        let mut streams = self.open(count)?;
        let message = message(self.protocol, 64);
        for batch in streams.chunks_mut(BATCH) {
            self.check()?;
            send(batch, &message)?;
            receive(batch, &message)?;
        }
        self.silent.append(&mut streams);
        self.held.rest()
    }

    fn round(&mut self, round: Round) -> io::Result<()> {
        self.check()?;
        match round {
            Round::Echo { size, depth, .. } => {
                let messages = message(self.protocol, size).repeat(depth);
                self.held.during(|| send(&mut self.streams, &messages))?;
                receive(&mut self.streams, &messages)
            }
            Round::Churn { at_once } => {
                let message = message(self.protocol, 64);
                let mut streams = self.held.during(|| {
                    let mut streams = connect(self.addr, &mut self.connected, at_once)?;
                    send(&mut streams, &message)?;
                    Ok(streams)
                })?;
                receive(&mut streams, &message)?;
                self.held
                    .during(|| streams.iter().try_for_each(|stream| stream.shutdown(Shutdown::Write)))?;
                for stream in &mut streams {
                    if stream.read(&mut [0])? != 0 {
                        return Err(io::Error::other("more came back than was sent"));
                    }
                }
                Ok(())
            }
            Round::Bulk { size, .. } => {
                let message = message(self.protocol, size);
                self.held.during(|| send(&mut self.streams, &message))?;
                // Who reads meanwhile decides how much there is room for, and with it how the server sends.
                self.held.rest()?;
                receive(&mut self.streams, &message)
            }
            Round::Broadcast { size, .. } => {
                let line = message(self.protocol, size);
                self.held.during(|| send(&mut self.streams[..1], &line))?;
                receive(&mut self.streams, &line)
            }
        }
    }

    fn open(&mut self, count: usize) -> io::Result<Vec<TcpStream>> {
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            self.check()?;
            let batch = BATCH.min(count - streams.len());
            streams.extend(self.held.during(|| connect(self.addr, &mut self.connected, batch))?);
        }
        self.held.rest()?;
        Ok(streams)
    }

    fn check(&self) -> io::Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
        }
        Ok(())
    }
}

/// Opens `count` connections to `addr`, which had `connected` before.
fn connect(addr: SocketAddr, connected: &mut usize, count: usize) -> io::Result<Vec<TcpStream>> {
    (0..count)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_recv_buffer_size(BUFFER_BYTES)?;
            socket.set_send_buffer_size(BUFFER_BYTES)?;
            // The ports of one address would run out: each is kept for a minute after the end.
            let last = u8::try_from(1 + *connected % 250).unwrap_or(1);
            *connected += 1;
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
            socket.connect(&addr.into())?;
            socket.set_tcp_nodelay(true)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(socket.into())
        })
        .collect()
}

fn send(streams: &mut [TcpStream], bytes: &[u8]) -> io::Result<()> {
    streams.iter_mut().try_for_each(|stream| stream.write_all(bytes))
}

fn receive(streams: &mut [TcpStream], wanted: &[u8]) -> io::Result<()> {
    let mut answer = vec![0; wanted.len()];
    for stream in streams {
        stream.read_exact(&mut answer)?;
        if answer != wanted {
            return Err(io::Error::other("what came back is not what was sent"));
        }
    }
    Ok(())
}
