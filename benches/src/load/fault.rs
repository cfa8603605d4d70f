//! What went wrong on a connection, and at which byte of what came back on it.
//!
//! It knows how to say it. It does not decide what becomes of the run.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::pattern::Wrong;

/// A fault of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// The number of the connection, in the order in which they were opened.
    pub(super) connection: u64,
    /// How many bytes had come back rightly.
    pub(super) offset: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A byte is another than was sent.
    Wrong { is: u8, should: u8 },
    /// More came back than was sent.
    Extra { bytes: usize },
    /// The server ended the stream with so many bytes to come.
    Ended { missing: u64 },
    /// The system reports an error.
    Lost { missing: u64, errno: Errno },
    /// So many bytes are to come, and none has for too long.
    Silent { missing: u64, patience: Duration },
}

impl Kind {
    /// Whether bytes are not as they should be: no run goes on after that.
    pub(super) fn is_corruption(&self) -> bool {
        match self {
            Kind::Wrong { .. } | Kind::Extra { .. } => true,
            Kind::Ended { .. } | Kind::Lost { .. } | Kind::Silent { .. } => false,
        }
    }
}

impl Fault {
    /// `wrong` is in bytes of which the first is at `offset`.
    pub(super) fn wrong(connection: u64, offset: u64, wrong: Wrong) -> Fault {
        let Wrong { right, is, should } = wrong;
        Fault { connection, offset: offset + right as u64, kind: Kind::Wrong { is, should } }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { connection, offset, kind } = self;
        write!(f, "connection {connection}: ")?;
        match kind {
            Kind::Wrong { is, should } => {
                write!(f, "byte {offset} that came back is {is:#04x}, but {should:#04x} was sent")
            }
            Kind::Extra { bytes } => {
                write!(f, "{bytes} bytes more came back than were sent, from byte {offset} on")
            }
            Kind::Ended { missing: 0 } => {
                write!(f, "the server ended it at byte {offset}, though it was to stay open")
            }
            Kind::Ended { missing } => {
                write!(
                    f,
                    "the server ended it at byte {offset}, {missing} bytes before the end of the answers"
                )
            }
            Kind::Lost { errno: Errno::CONNREFUSED, .. } => {
                write!(f, "refused at byte {offset}: start the server first, or check the address")
            }
            Kind::Lost { errno: Errno::ADDRNOTAVAIL, .. } => {
                write!(
                    f,
                    "no port is free at byte {offset}: open fewer connections, or widen net.ipv4.ip_local_port_range"
                )
            }
            Kind::Lost { missing, errno } => {
                let error = io::Error::from(*errno);
                write!(f, "lost at byte {offset}, {missing} bytes before the end of the answers: {error}")
            }
            Kind::Silent { missing, patience } => {
                let seconds = patience.as_secs_f64();
                write!(
                    f,
                    "byte {offset} has not come for {seconds} s, {missing} bytes are missing (see --patience)"
                )
            }
        }
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> io::Error {
        io::Error::other(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_the_connection_and_the_byte() {
        let kinds = [
            Kind::Wrong { is: 1, should: 2 },
            Kind::Extra { bytes: 5 },
            Kind::Ended { missing: 9 },
            Kind::Ended { missing: 0 },
            Kind::Lost { missing: 9, errno: Errno::CONNRESET },
            Kind::Lost { missing: 9, errno: Errno::CONNREFUSED },
            Kind::Lost { missing: 9, errno: Errno::ADDRNOTAVAIL },
            Kind::Silent { missing: 9, patience: Duration::from_secs(10) },
        ];
        for kind in kinds {
            let text = Fault { connection: 17, offset: 4711, kind }.to_string();
            assert!(text.starts_with("connection 17: "), "{text}");
            assert!(text.contains("byte 4711") && !text.contains('\n'), "{text}");
        }
    }
}
