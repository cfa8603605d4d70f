//! Asking for options of sockets: remembered, and set by the loop afterwards.
//!
//! It knows whose they are to be; it knows no socket.

use super::Context;
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
}
