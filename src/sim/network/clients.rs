//! The calls that clients make: the same, on sockets that belong to no poll, and without being interrupted.
//!
//! It knows what a client is told; what a call does is said in `calls`.

use std::io::IoSlice;
use std::net::SocketAddr;

use super::calls::Result;
use super::socket::{Owner, Phase, SockId};
use super::world::{What, World};
use crate::addr::Addr;
use crate::config::Listen;
use crate::sim::errno::Errno;
use crate::sim::trace::Shown;

/// What a receive brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The server has ended its side.
    End,
    /// The connection failed: reset, or worse.
    Failed(Errno),
}

impl World {
    pub(crate) fn next_actor(&self) -> u32 {
        u32::try_from(self.actors.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn client_connect(&mut self, host: usize, to: &Addr, actor: u32) -> Result<SockId> {
        let id = self.connect(host, to, None)?;
        self.socks[id as usize].owner = Owner::Actor(actor);
        Ok(id)
    }

    pub(crate) fn client_listen(&mut self, host: usize, port: u16, actor: u32) -> Result<SockId> {
        let addr = SocketAddr::new(self.hosts[host].addr, port);
        let id = self.listen(host, &Listen::from(addr))?;
        self.socks[id as usize].owner = Owner::Actor(actor);
        Ok(id)
    }

    /// Takes what waits at a listener of a client, for an actor that is to be added next.
    pub(crate) fn client_accept(&mut self, listener: SockId) -> Option<SockId> {
        let id = self.socks[listener as usize].backlog.pop_front()?;
        let actor = self.next_actor();
        let sock = &mut self.socks[id as usize];
        sock.queued = false;
        sock.held = true;
        sock.owner = Owner::Actor(actor);
        let host = sock.host;
        self.hosts[host].descriptors += 1;
        self.note(What::Accept, listener, u64::from(id), |_| format!("client: accept on #{listener}: #{id}"));
        Some(id)
    }

    pub(crate) fn is_connected(&self, id: SockId) -> bool {
        self.socks[id as usize].phase != Phase::Connecting
    }

    /// Whether a fault has cut a connection, and whether one has only held it up.
    pub(crate) fn is_cut(&self, id: SockId) -> (bool, bool) {
        let sock = &self.socks[id as usize];
        (sock.cut, sock.late)
    }

    /// The error of a connect that failed.
    pub(crate) fn failed_to_connect(&mut self, id: SockId) -> Option<Errno> {
        let sock = &mut self.socks[id as usize];
        if sock.phase == Phase::Dead && !sock.established { sock.error.take() } else { None }
    }

    pub(crate) fn client_send(&mut self, id: SockId, bytes: &[u8]) -> usize {
        // An error stays where it is, for the next receive: this call has no way to tell it.
        let failed = self.socks[id as usize].error.is_some();
        let n = if failed { 0 } else { self.taken(id, &[IoSlice::new(bytes)]).unwrap_or(0) };
        self.note(What::Send, id, n as u64, |_| {
            format!("client: send #{id}: {n} of {} bytes {}", bytes.len(), Shown(&bytes[..n]))
        });
        self.transmit(id);
        n
    }

    pub(crate) fn client_send_urgent(&mut self, id: SockId, byte: u8) -> bool {
        self.socks[id as usize].error.is_none() && self.send_urgent(id, byte).is_ok()
    }

    pub(crate) fn client_recv(&mut self, id: SockId, max: usize, into: &mut Vec<u8>) -> Received {
        let sock = &self.socks[id as usize];
        let n = max.min(sock.rx.len());
        if max == 0 {
            return match sock.error {
                Some(error) => Received::Failed(error),
                None => Received::Nothing,
            };
        }
        let before = into.len();
        into.resize(before + n.max(1), 0);
        let result = self.received(id, &mut into[before..]);
        into.truncate(before + result.unwrap_or(0));
        let value = result.map_or_else(|error| 1 << 40 | error as u64, |n| n as u64);
        if result != Err(Errno::EAGAIN) {
            self.trace.note_bytes(&into[before..]);
            self.note(What::Recv, id, value, |_| match result {
                Ok(n) => format!("client: recv #{id}: {n} bytes {}", Shown(&into[before..])),
                Err(error) => format!("client: recv #{id}: {error}"),
            });
        }
        match result {
            Ok(0) => Received::End,
            Ok(n) => Received::Bytes(n),
            Err(Errno::EAGAIN) => Received::Nothing,
            Err(error) => Received::Failed(error),
        }
    }

    pub(crate) fn client_shutdown(&mut self, id: SockId) {
        // It fails only when the connection is over, which the next receive tells.
        self.shutdown(id).ok();
    }

    pub(crate) fn client_close(&mut self, id: SockId, reset: bool) {
        let sock = &mut self.socks[id as usize];
        sock.reset_on_close |= reset;
        sock.owner = Owner::Nobody;
        self.close(id);
    }
}
