//! Streams and listeners of the simulated network: the traits of [`net`](crate::net), call by call.
//!
//! It knows which call of the world stands behind each; what that does is said in `calls`. Before each of them something
//! may arrive.

use std::fmt;
use std::io::{self, IoSlice};

use super::SimNet;
use super::socket::SockId;
use crate::addr::Addr;
use crate::net::{Listener, Stream};
use crate::options::Options;
use crate::socket::{Credentials, Socket};

/// The user and the group of everyone.
const USER: u32 = 1000;

/// A connection of the simulated network.
pub struct SimStream {
    net: SimNet,
    pub(super) sock: SockId,
}

impl SimStream {
    pub(super) fn new(net: &SimNet, sock: SockId) -> SimStream {
        SimStream { net: net.clone(), sock }
    }

    /// Its number in the world.
    #[cfg(test)]
    pub(crate) fn number(&self) -> SockId {
        self.sock
    }

    /// Whether the network has something for it that was not fetched and that no edge to come will announce.
    pub(crate) fn is_forgotten(&self) -> bool {
        let world = self.net.world.borrow();
        let sock = &world.socks[self.sock as usize];
        sock.has_news() && !sock.pending
    }

    /// How often it was received from.
    pub(crate) fn recvs(&self) -> u64 {
        self.net.world.borrow().socks[self.sock as usize].recvs
    }

    /// Whether it takes bytes and no edge to come will say so.
    pub(crate) fn takes_unannounced(&self) -> bool {
        let world = self.net.world.borrow();
        let sock = &world.socks[self.sock as usize];
        !sock.pending
            && (!sock.watched || sock.shut_send || (sock.is_writable() && !sock.no_space && !sock.flying))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        // It is borrowed only while something in it has panicked, and unwinds.
        if let Ok(mut world) = self.net.world.try_borrow_mut() {
            world.close(self.sock);
        }
    }
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStream(#{})", self.sock)
    }
}

impl Socket for SimStream {
    fn local_addr(&self) -> io::Result<Addr> {
        Ok(self.net.world.borrow().socks[self.sock as usize].local.clone())
    }

    fn credentials(&self) -> io::Result<Credentials> {
        if !self.net.world.borrow().socks[self.sock as usize].is_unix {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only Unix sockets know who is at the other end",
            ));
        }
        Ok(Credentials { pid: None, uid: USER, gid: USER })
    }

    fn options(&self) -> io::Result<Options> {
        Ok(self.net.world.borrow().options(self.sock))
    }

    fn set_options(&self, options: &Options) -> io::Result<()> {
        self.net.world.borrow_mut().set_options(self.sock, options)
    }
}

impl Stream for SimStream {
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        debug_assert!(!buf.is_empty(), "an empty buffer makes every stream look ended");
        self.net.preempt();
        Ok(self.net.world.borrow_mut().recv(self.sock, buf)?)
    }

    fn recv_urgent(&self) -> io::Result<u8> {
        self.net.preempt();
        match self.net.world.borrow_mut().recv_urgent(self.sock)? {
            Some(byte) => Ok(byte),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.net.preempt();
        Ok(self.net.world.borrow_mut().send(self.sock, &[IoSlice::new(bytes)])?)
    }

    fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.net.preempt();
        Ok(self.net.world.borrow_mut().send(self.sock, slices)?)
    }

    fn shutdown(&self) -> io::Result<()> {
        Ok(self.net.world.borrow_mut().shutdown(self.sock)?)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        self.net.world.borrow_mut().socks[self.sock as usize].reset_on_close = true;
        Ok(())
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.net.world.borrow_mut().take_error(self.sock).map(io::Error::from))
    }

    fn peer_addr(&self) -> io::Result<Addr> {
        Ok(self.net.world.borrow().peer_addr(self.sock)?)
    }
}

/// A listener of the simulated network.
pub struct SimListener(pub(super) SimStream);

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimListener(#{})", self.0.sock)
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    fn accept(&self) -> io::Result<(SimStream, Addr)> {
        self.0.net.preempt();
        let (sock, from) = self.0.net.world.borrow_mut().accept(self.0.sock)?;
        Ok((SimStream::new(&self.0.net, sock), from))
    }

    fn local_addr(&self) -> io::Result<Addr> {
        self.0.local_addr()
    }
}
