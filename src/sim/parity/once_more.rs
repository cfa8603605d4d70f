//! The second edge of a shutdown: one fact of Linux that depends on time, taken out of traces.
//!
//! Who ends its side is woken at once, and once more when the peer has acknowledged the end. The peer puts that off
//! for up to 40 ms, unless it sends something before, which acknowledges it too. So whether a poll shows one edge
//! or two, and which later poll shows the second, depends on how fast the script runs. The second says nothing
//! new, and it comes before anything else that the peer does: which is how it is told from other edges.

use super::rig::Sock;
use crate::readiness::Readiness;

/// Streams that a second edge may still come for.
#[derive(Debug, Default)]
pub(super) struct OnceMore {
    /// With what the last edge since the shutdown said.
    ended: Vec<(Sock, Option<Readiness>)>,
    /// Both ends of each connection.
    peers: Vec<(Sock, Sock)>,
}

impl OnceMore {
    pub(super) fn connected(&mut self, client: Sock, server: Sock) {
        self.peers.push((client, server));
    }

    /// A shutdown of `sock`.
    pub(super) fn ended(&mut self, sock: Sock) {
        self.ended.retain(|&(ended, _)| ended != sock);
        self.ended.push((sock, None));
    }

    /// A call on `sock` that sends something: what its peer sees from now on, it sees for that.
    pub(super) fn sent(&mut self, sock: Sock) {
        for &(client, server) in &self.peers {
            if client == sock {
                self.ended.retain(|&(ended, _)| ended != server);
            }
            if server == sock {
                self.ended.retain(|&(ended, _)| ended != client);
            }
        }
    }

    /// Whether an event of `sock` that says `readiness` may be the second edge of its shutdown.
    pub(super) fn may_be(&mut self, sock: Sock, readiness: Readiness) -> bool {
        let Some((_, last)) = self.ended.iter_mut().find(|(ended, _)| *ended == sock) else { return false };
        match last {
            Some(last) if readiness.without(*last).is_empty() => true,
            _ => {
                *last = Some(readiness);
                false
            }
        }
    }
}
