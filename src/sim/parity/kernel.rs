//! The kernel as a rig: loopback sockets, and how to know that what was caused has happened.
//!
//! Loopback packets wait in one queue per processor, in order. So the thread stays on one processor while a
//! script runs, and a byte that is sent there and back on a connection of its own arrives after everything that
//! was sent before. A packet may be answered by another, which is queued behind it: the byte makes the way
//! often enough for the longest chain, which is the three packets of a connect and what follows them.
//!
//! Only acknowledgements are put off for longer, up to 40 ms: `buffers` and `once_more` say what comes of that.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::SendFlags;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::rig::{Beside, Odd};
use crate::net::os::{Os, OsStream};

/// How often the byte goes there and back.
const ROUNDS: usize = 4;

#[derive(Debug)]
pub(super) struct Kernel {
    os: Os,
    marker: (TcpStream, TcpStream),
    copies: Vec<OwnedFd>,
    /// Where the thread was allowed to run before.
    allowed: CpuSet,
}

impl Kernel {
    pub(super) fn new() -> io::Result<Kernel> {
        let allowed = sched_getaffinity(None)?;
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        sched_setaffinity(None, &here)?;

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        for end in [&client, &server] {
            end.set_nodelay(true)?;
            end.set_read_timeout(Some(Duration::from_secs(10)))?;
        }
        Ok(Kernel { os: Os::new()?, marker: (client, server), copies: Vec::new(), allowed })
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // The runner of the tests may use this thread for others.
        let _ = sched_setaffinity(None, &self.allowed);
    }
}

impl Beside for Kernel {
    type Net = Os;

    fn network(&mut self) -> &mut Os {
        &mut self.os
    }

    fn ip(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn settle(&mut self) {
        let (client, server) = &self.marker;
        for _ in 0..ROUNDS {
            for (mut source, mut target) in [(client, server), (server, client)] {
                let mut byte = [0];
                source.write_all(&byte).expect("loopback takes one byte");
                target.read_exact(&mut byte).expect("loopback delivers within seconds");
            }
        }
    }

    fn send_urgent(&mut self, stream: &OsStream, byte: u8) -> io::Result<()> {
        rustix::net::send(stream, &[byte], SendFlags::OOB | SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn set_send_buffer(&mut self, stream: &OsStream, bytes: usize) -> io::Result<()> {
        SockRef::from(stream).set_send_buffer_size(bytes)
    }

    fn odd(&mut self, odd: Odd) -> io::Result<OsStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        match odd {
            Odd::NeverConnected => {}
            Odd::ToItself => {
                socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
                socket.connect(&socket.local_addr()?)?;
            }
        }
        OsStream::adopt(socket.into())
    }

    fn copy(&mut self, stream: &OsStream) -> io::Result<()> {
        self.copies.push(stream.as_fd().try_clone_to_owned()?);
        Ok(())
    }

    fn set_urgent_inline(&mut self, stream: &OsStream) -> io::Result<()> {
        SockRef::from(stream).set_out_of_band_inline(true)
    }
}
