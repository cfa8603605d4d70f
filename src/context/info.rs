//! What can be seen of a connection from outside: a snapshot.
//!
//! It knows plain data, copied out at one moment; it is not kept up to date.

use std::time::Duration;

use crate::addr::Addr;
use crate::conn::state::State;
use crate::id::ConnId;

/// One connection at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ConnInfo {
    /// Its name.
    pub id: ConnId,
    /// Where it is in its life.
    pub state: State,
    /// Who is at the other end.
    pub peer: Addr,
    /// Bytes waiting to be sent.
    pub queued: usize,
    /// Bytes received so far.
    pub received: u64,
    /// Bytes the kernel has taken so far.
    pub sent: u64,
    /// Whether it is not being read: by the program, by its own output above the high mark, or by the
    /// memory limit.
    pub paused: bool,
    /// For how long no byte has gone in or out.
    pub idle_for: Duration,
    /// For how long it has been open.
    pub open_for: Duration,
}
