//! The scenarios: what the clients of one do, as data.
//!
//! It knows sizes and numbers. It does not know sockets, nor how anything is counted.

use crate::serve::{Name, Protocol};

/// What is done to a server again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scenario {
    /// What is typed for it.
    pub(super) key: &'static str,
    /// What it is.
    pub(super) title: &'static str,
    /// What the figures are for one of.
    pub(super) unit: &'static str,
    /// What a round is.
    pub(super) round: Round,
    /// Connections that are open and silent besides.
    pub(super) idle: usize,
    /// What the server is told besides its address.
    pub(super) options: &'static [&'static str],
}

/// What happens once in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Every connection sends `depth` messages of `size` bytes in one piece, then all answers are read.
    Echo { connections: usize, size: usize, depth: usize },
    /// So many clients connect and send 64 bytes; they read the answer, end their side and see the server's end.
    Churn { at_once: usize },
    /// Every connection sends so many bytes; when the server has sent all of them back, they are read.
    Bulk { connections: usize, size: usize },
    /// One connection sends a line of so many bytes, and every connection receives it.
    Broadcast { connections: usize, size: usize },
}

const SIXTY_FOUR: Round = Round::Echo { connections: 64, size: 64, depth: 1 };

/// A scenario with nothing besides.
const fn plain(key: &'static str, title: &'static str, unit: &'static str, round: Round) -> Scenario {
    Scenario { key, title, unit, round, idle: 0, options: &[] }
}

/// All of them, in the order in which they are counted.
pub(super) const SCENARIOS: [Scenario; 11] = [
    plain("echo", "64 bytes on each of 64 connections", "request", SIXTY_FOUR),
    plain(
        "echo-1",
        "64 bytes on one connection",
        "request",
        Round::Echo { connections: 1, size: 64, depth: 1 },
    ),
    Scenario {
        idle: 4000,
        ..plain(
            "echo-idle",
            "64 bytes on each of 64 connections, beside 4,000 idle ones",
            "request",
            SIXTY_FOUR,
        )
    },
    Scenario {
        options: &["--idle-timeout", "60"],
        ..plain(
            "echo-timeout",
            "64 bytes on each of 64 connections, with an idle timeout",
            "request",
            SIXTY_FOUR,
        )
    },
    Scenario {
        options: &["--limits"],
        ..plain(
            "echo-limits",
            "64 bytes on each of 64 connections, with every limit set",
            "request",
            SIXTY_FOUR,
        )
    },
    plain(
        "pipelined",
        "16 messages of 16 bytes together on each of 16 connections",
        "message",
        Round::Echo { connections: 16, size: 16, depth: 16 },
    ),
    plain("churn-1", "connect, 64 bytes, close, one at a time", "connection", Round::Churn { at_once: 1 }),
    plain("churn-32", "connect, 64 bytes, close, 32 at once", "connection", Round::Churn { at_once: 32 }),
    Scenario {
        options: &["--limits"],
        ..plain(
            "churn-limits",
            "connect, 64 bytes, close, one at a time, with every limit set",
            "connection",
            Round::Churn { at_once: 1 },
        )
    },
    plain(
        "bulk",
        "128 KiB at a time on each of 8 connections",
        "MiB",
        Round::Bulk { connections: 8, size: 128 << 10 },
    ),
    plain(
        "broadcast",
        "a line of 64 bytes to 1,000 connections",
        "delivery",
        Round::Broadcast { connections: 1000, size: 64 },
    ),
];

impl Scenario {
    /// What one round is, in its unit.
    pub(super) fn units(&self) -> usize {
        match self.round {
            Round::Echo { connections, depth, .. } => connections * depth,
            Round::Churn { at_once } => at_once,
            Round::Bulk { connections, size } => (connections * size) >> 20,
            Round::Broadcast { connections, .. } => connections,
        }
    }

    /// How often the server is held in one round.
    pub(super) fn holds(&self) -> usize {
        match self.round {
            Round::Echo { .. } | Round::Bulk { .. } | Round::Broadcast { .. } => 1,
            Round::Churn { .. } => 2,
        }
    }

    /// Whether `server` can be asked for it.
    pub(super) fn suits(&self, server: Name) -> bool {
        if self.options.contains(&"--idle-timeout") && server.lacks_idle_timeout().is_some() {
            return false;
        }
        if self.options.contains(&"--limits") && !is_ours(server) {
            return false;
        }
        if self.idle > 0 && !takes_thousands_in_valgrind(server) {
            return false;
        }
        match (self.round, server.protocol()) {
            (Round::Broadcast { .. }, protocol) => protocol == Protocol::Broadcast,
            (_, Protocol::Broadcast) => false,
            // A frame of that size has to wait until it is whole: that is another question.
            (Round::Bulk { .. }, protocol) => protocol == Protocol::Raw,
            (
                Round::Echo { .. } | Round::Churn { .. },
                Protocol::Raw | Protocol::Lines | Protocol::Length,
            ) => true,
        }
    }
}

/// Whether `server` is this library's, used as it is meant to be.
pub(super) fn is_ours(server: Name) -> bool {
    server.text().starts_with("switchboard")
}

/// Whether a connection of `server` can be opened, used and left alone without the others noticing.
pub(super) fn can_be_idle(server: Name) -> bool {
    server.protocol() != Protocol::Broadcast
}

/// Whether `server` can have thousands of connections in valgrind, which runs five hundred threads at most.
pub(super) fn takes_thousands_in_valgrind(server: Name) -> bool {
    server != Name::Threads
}

/// A message of `size` bytes, framing included, that a server of `protocol` sends back as it is.
pub(super) fn message(protocol: Protocol, size: usize) -> Vec<u8> {
    let mut message = vec![b'x'; size];
    match protocol {
        Protocol::Raw => {}
        Protocol::Lines | Protocol::Broadcast => message[size - 1] = b'\n',
        Protocol::Length => {
            let body = u32::try_from(size - 4).expect("a message is shorter than 4 GiB");
            message[..4].copy_from_slice(&body.to_be_bytes());
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_size_that_was_asked_for() {
        assert_eq!(message(Protocol::Raw, 3), b"xxx");
        assert_eq!(message(Protocol::Lines, 3), b"xx\n");
        assert_eq!(message(Protocol::Length, 6), b"\0\0\0\x02xx");
    }

    #[test]
    fn keys_differ() {
        for (i, one) in SCENARIOS.iter().enumerate() {
            assert!(SCENARIOS[..i].iter().all(|other| other.key != one.key), "{}", one.key);
        }
    }

    #[test]
    fn every_server_suits_some_scenario() {
        for server in Name::all() {
            assert!(SCENARIOS.iter().any(|scenario| scenario.suits(*server)), "{server:?}");
        }
    }
}
