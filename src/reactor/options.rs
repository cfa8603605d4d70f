//! Options of sockets that are open: setting them for callbacks, and at once from outside, where their address is told
//! too.
//!
//! It knows where each socket is; what an option does is the network's.

use std::io;
use std::mem;

use super::Reactor;
use crate::addr::Addr;
use crate::handler::Handler;
use crate::id::{ConnId, DatagramId};
use crate::net::{Datagram as _, Network};
use crate::options::Options;
use crate::socket::Socket;

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Our own address of a connection, as `Peer::local_addr` says it in `opened`. Fails with
    /// [`io::ErrorKind::NotFound`] once it is gone, and before a connect has begun. The peer's is in
    /// [`ConnInfo::peer`](crate::ConnInfo::peer).
    pub fn conn_addr(&self, target: ConnId) -> io::Result<Addr> {
        self.socket_of(target).ok_or_else(gone)?.local_addr()
    }

    /// The options of a connection's socket, as the system has them: a dozen system calls. Fails with
    /// [`io::ErrorKind::NotFound`] once it is gone, and before a connect has begun.
    pub fn options(&self, target: ConnId) -> io::Result<Options> {
        self.socket_of(target).ok_or_else(gone)?.options()
    }

    /// Sets options of a connection's socket, at once. Callbacks have [`Context::set_options`](crate::Context::set_options).
    pub fn set_options(&mut self, target: ConnId, options: &Options) -> io::Result<()> {
        self.set_options_of(target, options).unwrap_or_else(|| Err(gone()))
    }

    /// The options of a socket for datagrams, as the system has them.
    pub fn datagram_options(&self, socket: DatagramId) -> io::Result<Options> {
        self.datagram_socket(socket).ok_or_else(gone)?.options()
    }

    /// Sets options of a socket for datagrams, at once.
    pub fn set_datagram_options(&mut self, socket: DatagramId, options: &Options) -> io::Result<()> {
        self.datagram_socket(socket).ok_or_else(gone)?.set_options(options)
    }

    /// The socket of a connection that is open or connecting.
    fn socket_of(&self, id: ConnId) -> Option<&N::Stream> {
        self.cx.table.get(id)?;
        match self.links.get(id.slot()).and_then(Option::as_ref) {
            Some(link) => Some(&link.stream),
            None => self.attempts.get(&id)?.stream(),
        }
    }

    /// Sets options of a connection that is open, or of all sockets of one that is connecting.
    fn set_options_of(&mut self, id: ConnId, options: &Options) -> Option<io::Result<()>> {
        self.cx.table.get(id)?;
        match self.links.get(id.slot()).and_then(Option::as_ref) {
            Some(link) => Some(link.stream.set_options(options)),
            None if wrong!(ConnectingHasNoOptions) => None,
            None => self.attempts.get_mut(&id)?.set_options(options),
        }
    }

    fn datagram_socket(&self, id: DatagramId) -> Option<&N::Datagram> {
        self.bound_at(id).map(|at| &self.datagrams[at].socket)
    }

    /// Sets the options of connections that callbacks asked for.
    pub(super) fn grant_options(&mut self) {
        for (id, options) in mem::take(&mut self.cx.wishes.options) {
            let Some(Err(error)) = self.set_options_of(id, &options) else { continue };
            self.guard(|reactor| reactor.handler.options_failed(&mut reactor.cx, id, &error));
            self.start_timers();
        }
    }

    /// Sets the options of sockets for datagrams, and changes their groups, as callbacks asked for.
    pub(super) fn grant_datagram_options(&mut self) {
        for (id, options) in mem::take(&mut self.cx.datagrams.options) {
            if let Some(Err(error)) = self.datagram_socket(id).map(|socket| socket.set_options(&options)) {
                self.datagram_error(id, &error);
            }
        }
        for (id, membership) in mem::take(&mut self.cx.datagrams.memberships) {
            if let Some(Err(error)) = self.datagram_socket(id).map(|socket| socket.change(&membership)) {
                self.datagram_error(id, &error);
            }
        }
    }
}

#[cold]
fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the socket is closed")
}
