//! What can be asked of a socket, whatever network it belongs to.
//!
//! It knows questions; it does not know who answers them, nor bytes.

use std::fmt;
use std::io;

use crate::addr::Addr;
use crate::options::Options;

/// A socket that can be asked about itself. Each question is a system call, and that for the options is a dozen.
pub trait Socket: fmt::Debug {
    /// Our own address.
    fn local_addr(&self) -> io::Result<Addr>;

    /// All options that it has.
    fn options(&self) -> io::Result<Options> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sets the options that are given.
    fn set_options(&self, options: &Options) -> io::Result<()> {
        let _ = options;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Who is at the other end, as [`Peer::credentials`](crate::Peer::credentials) says.
    fn credentials(&self) -> io::Result<Credentials> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "only Unix sockets know who is at their other end"))
    }
}

/// Who made the other end of a Unix stream: not what the peer says of itself, but what the system knows.
///
/// Of a client it is who it was when it connected, of a server who it was when it began to listen; neither changes when
/// the process does, and whom it has handed the socket to is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Credentials {
    /// The process, where the system says which. It may be gone, and its number another's: decide nothing by it.
    pub pid: Option<u32>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}
