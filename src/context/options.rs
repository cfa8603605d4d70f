//! Asking for options of sockets, and for multicast groups: remembered, and done by the loop afterwards.
//!
//! It knows whose they are to be; it knows no socket.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Context;
use crate::addr::Addr;
use crate::bind::{Group, Membership};
use crate::id::{ConnId, DatagramId};
use crate::options::Options;
use crate::table::chores::Chores;

impl Context {
    /// Sets options of a connection after the callback. Should that fail, `Handler::options_failed` is called; for a
    /// connection that is gone by then nothing is.
    ///
    /// One that is connecting has them at once, and keeps them. But buffers for a large window of TCP must be set before
    /// it connects, see [`Connect::options`](crate::Connect::options); in `opened`, `Peer::set` answers at once.
    pub fn set_options(&mut self, target: ConnId, options: Options) {
        self.wishes.options.push((target, options));
        self.table.chores.set(Chores::WISHES);
    }

    /// Sets options of a socket for datagrams after the callback, before anything that waits is sent. Should that fail,
    /// `Handler::datagram_failed` is called; for a socket that is closed by then nothing is.
    pub fn set_datagram_options(&mut self, socket: DatagramId, options: Options) {
        self.datagrams.options.push((socket, options));
        self.datagrams.pending = true;
    }

    /// Where a socket for datagrams is bound: says which port 0 became. `None` before it is open, which is after the
    /// callback that asked for it, and once it is closed. One that is bound to the unspecified address answers with that:
    /// to which of the machine's addresses a datagram came is not told.
    pub fn datagram_addr(&self, socket: DatagramId) -> Option<&Addr> {
        self.datagrams.sockets.get(&socket)?.addr.as_ref()
    }

    /// Joins an IPv4 multicast group after the callback, as [`Bind::join_v4`](crate::Bind::join_v4) does. Should that
    /// fail, `Handler::datagram_failed` is called. Linux lets a socket be in 20 of them (`igmp_max_memberships`).
    pub fn join_v4(&mut self, socket: DatagramId, group: Ipv4Addr, interface: Ipv4Addr) {
        self.change_groups(socket, Membership::Join(Group::v4(group, interface)));
    }

    /// Joins an IPv6 multicast group after the callback, as [`Bind::join_v6`](crate::Bind::join_v6) does.
    pub fn join_v6(&mut self, socket: DatagramId, group: Ipv6Addr, interface: u32) {
        self.change_groups(socket, Membership::Join(Group::v6(group, interface)));
    }

    /// Leaves an IPv4 multicast group after the callback; the same two addresses as when it was joined. Should that
    /// fail, because it was not, `Handler::datagram_failed` is called. What has arrived already is still delivered.
    pub fn leave_v4(&mut self, socket: DatagramId, group: Ipv4Addr, interface: Ipv4Addr) {
        self.change_groups(socket, Membership::Leave(Group::v4(group, interface)));
    }

    /// Leaves an IPv6 multicast group after the callback.
    pub fn leave_v6(&mut self, socket: DatagramId, group: Ipv6Addr, interface: u32) {
        self.change_groups(socket, Membership::Leave(Group::v6(group, interface)));
    }

    fn change_groups(&mut self, socket: DatagramId, membership: Membership) {
        self.datagrams.memberships.push((socket, membership));
        self.datagrams.pending = true;
    }
}
