//! Why a connect failed, in words that say what can be done: the system's own say little of it.
//!
//! It knows errors and texts. The error keeps its kind, and the system's own is its source.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use crate::addr::Addr;
use crate::connect::{Name, Target};

/// An error of the system, told in other words.
#[derive(Debug)]
struct Told {
    text: String,
    error: io::Error,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

fn told(error: io::Error, text: String) -> io::Error {
    io::Error::new(error.kind(), Told { text, error })
}

/// A connect that could not begin. Of an address that cannot be had it says which one it is, and what to do.
pub(super) fn not_begun(error: io::Error, local: Option<SocketAddr>) -> io::Error {
    if !matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse) {
        return error;
    }
    let text = match local {
        None => format!(
            "{error}: no address of ours of this family, or no local port is left for this destination; connect from \
             more addresses (Connect::local), or wait for closed connections to leave TIME-WAIT"
        ),
        Some(local) if local.port() != 0 => {
            format!(
                "{error}: {local} is not ours, is in use, or has a connection to this destination already"
            )
        }
        Some(local) => {
            format!("{error}: {} is not ours, or has no port left; connect from more addresses", local.ip())
        }
    };
    told(error, text)
}

/// A connect from an address of the other family.
pub(super) fn other_family(to: &Addr, local: SocketAddr) -> io::Error {
    let text = format!("{to} cannot be connected to from {local}, which is of the other family");
    io::Error::new(ErrorKind::InvalidInput, text)
}

/// A name that could not be looked up.
pub(super) fn unknown(name: &Name, error: io::Error) -> io::Error {
    let text = format!("{} cannot be looked up: {error}", name.host);
    told(error, text)
}

/// A name more than may be looked up at once.
pub(super) fn too_many(name: &Name, limit: usize) -> io::Error {
    let text = format!("{}: lookup beyond the limit of {limit} (lookups_max)", name.host);
    io::Error::new(ErrorKind::ResourceBusy, text)
}

/// The failure of several addresses, told by that of one.
pub(super) fn all_failed(to: &Target, tried: usize, failure: Option<(Addr, io::Error)>) -> io::Error {
    let Some((addr, error)) = failure else {
        return io::Error::new(ErrorKind::InvalidInput, "no address to connect to");
    };
    let name = match to {
        Target::Name(name) => format!("{}: ", name.host),
        Target::One(_) | Target::Any(_) => String::new(),
    };
    let count = if tried > 1 { format!(" ({tried} addresses were tried)") } else { String::new() };
    // That of a Unix socket names it: the system says at once that nobody is there.
    let text = match addr {
        Addr::Unix(_) => format!("{error}{count}"),
        _ => format!("{name}{addr}: {error}{count}"),
    };
    told(error, text)
}

/// Whether a failure says little: that there is no way to an address, which on a machine with IPv4 only is so of every
/// IPv6 address, says less than what came from one.
pub(super) fn says_little(error: &io::Error) -> bool {
    use ErrorKind::{AddrNotAvailable, HostUnreachable, InvalidInput, NetworkUnreachable, Unsupported};
    matches!(
        error.kind(),
        NetworkUnreachable | HostUnreachable | AddrNotAvailable | InvalidInput | Unsupported
    )
}
