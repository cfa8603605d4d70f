//! Where to listen, beyond an IP address: Unix sockets, and addresses as text.
//!
//! It knows options and their defaults; it opens nothing.

use std::io;

use crate::addr::{Addr, UnixAddr};
use crate::config::Listen;

/// The owner may read and write.
pub(crate) const OWNER_ONLY: u32 = 0o600;

impl Listen {
    /// Listens for Unix streams at a path or, on Linux, an abstract name. Both count for this machine only.
    ///
    /// What a process that is gone left at the path is removed: a socket that nobody is bound to any more. A socket that
    /// is in use, or a file of another kind, is [`io::ErrorKind::AddrInUse`]. Two programs that start at once and find
    /// the same socket left over do not remove each other's: for the few calls that it takes, the directory is locked
    /// (`flock`), which nothing stays behind of. If that lock cannot be had within 50 ms, nothing is removed.
    ///
    /// The path goes when the listener is closed, if it is still the file that the listener made; one that is adopted
    /// stays. A process that is killed leaves it behind, for the next to find.
    ///
    /// ```
    /// use switchboard::{Listen, UnixAddr};
    ///
    /// let everyone = Listen::unix(UnixAddr::from_path("/run/some.sock")?).mode(0o666);
    /// # let _ = everyone;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unix(addr: UnixAddr) -> Listen {
        Listen::at(addr.into())
    }

    /// The permissions of a Unix listener's path; who may write to it may connect. Default `0o600`: only the same user
    /// (and root), whatever the umask of the process, so that everyone else is let in by a decision and not by
    /// accident. The umask takes nothing from what is asked for here. More than `0o777`, as `mode(660)` without the `0o` is,
    /// fails with [`io::ErrorKind::InvalidInput`] at the bind.
    ///
    /// The path is never open to more than this, not for a moment: it listens only once it has these. Systems other than
    /// Linux may ignore the permissions of sockets; there, and for who may remove the path, those of the directory
    /// count. Abstract names have no permissions: look at [`Peer::credentials`](crate::Peer::credentials).
    #[must_use]
    pub fn mode(mut self, permissions: u32) -> Listen {
        self.mode = permissions;
        self
    }
}

impl From<UnixAddr> for Listen {
    fn from(addr: UnixAddr) -> Listen {
        Listen::unix(addr)
    }
}

impl From<Addr> for Listen {
    fn from(addr: Addr) -> Listen {
        Listen::at(addr)
    }
}

/// What a reactor can be told to listen on: a [`Listen`], an address, or one written as text.
///
/// Text is what [`Addr`] is written as: an IP address and a port, `127.0.0.1:7000` or `[::]:0`, or a Unix socket,
/// `unix:/run/some.sock` or `unix:@some`. It is never a host's name: looking names up would block.
pub trait IntoListen {
    /// Says where and how, or why the text is no address ([`io::ErrorKind::InvalidInput`]).
    fn into_listen(self) -> io::Result<Listen>;
}

impl<L: Into<Listen>> IntoListen for L {
    fn into_listen(self) -> io::Result<Listen> {
        Ok(self.into())
    }
}

impl IntoListen for &str {
    fn into_listen(self) -> io::Result<Listen> {
        self.parse::<Addr>().map(Listen::at)
    }
}
