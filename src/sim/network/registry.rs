//! What a host's poll is asked to tell: which sockets it has, and when it tells of them.
//!
//! It knows names and lists; when something is an edge is said elsewhere.

use super::calls::Result;
use super::socket::{Owner, SockId};
use super::world::{What, World};
use crate::net::{Interest, Token, Trigger};
use crate::sim::errno::Errno;
use crate::sim::faults::Fault;

impl World {
    /// Puts a socket into the poll of its host.
    pub(super) fn register(&mut self, id: SockId, token: Token, interest: Interest) -> Result<()> {
        let way = self.faults.take(&mut self.tape, Fault::Unregistered, 3);
        self.note(What::Register, id, way as u64, |_| format!("#{id} is registered, way {way}"));
        if way > 0 {
            self.cut(id);
            return Err(if way == 1 { Errno::ENOSPC } else { Errno::ENOMEM });
        }
        let host = self.socks[id as usize].host;
        let place = self.hosts[host].registered.len();
        let sock = &mut self.socks[id as usize];
        sock.owner = Owner::Poll(token);
        sock.watched = interest == Interest::InputAndOutput;
        sock.place = place;
        let ready = !sock.readiness().is_empty();
        self.hosts[host].registered.push(id);
        if ready {
            self.wake(id);
        }
        Ok(())
    }

    /// Has the poll of its host tell also when a socket takes output.
    pub(super) fn watch_output(&mut self, id: SockId) -> Result<()> {
        let way = self.faults.take(&mut self.tape, Fault::Unregistered, 2);
        self.note(What::Register, id, 1 << 33 | way as u64, |_| format!("#{id} is watched, way {way}"));
        if way > 0 {
            self.cut(id);
            return Err(Errno::ENOMEM);
        }
        let sock = &mut self.socks[id as usize];
        sock.watched = true;
        if !sock.readiness().is_empty() {
            self.wake(id);
        }
        Ok(())
    }

    /// Sets whether the poll tells of a socket once or as long as it is ready, and has it look at once.
    pub(super) fn set_trigger(&mut self, id: SockId, trigger: Trigger) {
        self.note(What::Register, id, 1 << 32 | trigger as u64, |_| {
            format!("#{id} is told of by {trigger:?}")
        });
        let sock = &mut self.socks[id as usize];
        sock.level = trigger == Trigger::Level;
        if !sock.readiness().is_empty() {
            self.wake(id);
        }
    }

    /// Takes a socket out of the poll.
    pub(super) fn deregister(&mut self, id: SockId) {
        let sock = &mut self.socks[id as usize];
        let Owner::Poll(token) = sock.owner else { return };
        sock.owner = Owner::Nobody;
        let (place, host) = (sock.place, sock.host);
        if std::mem::take(&mut sock.pending) {
            self.hosts[host].ready.retain(|&ready| ready != id);
        }
        let here = &mut self.hosts[host];
        here.registered.swap_remove(place);
        if let Some(&moved) = here.registered.get(place) {
            self.socks[moved as usize].place = place;
        }
        if here.gone.len() == 4 {
            here.gone.pop_front();
        }
        here.gone.push_back(token);
        self.socks[id as usize].place = usize::MAX;
    }
}
