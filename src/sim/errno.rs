//! The errors that calls of the simulated network fail with: those of Linux, by their names.
//!
//! It knows which error is what for the reactor. It does not know the numbers, which differ between systems.

use std::fmt;
use std::io::{self, ErrorKind};

use crate::net::Trouble;

macro_rules! errnos {
    ($($name:ident $text:literal $kind:ident,)*) => {
        /// An error of a simulated call.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "each is the error of Linux with this name")]
        pub enum Errno { $($name,)* }

        impl Errno {
            fn text(self) -> &'static str {
                match self { $(Errno::$name => concat!(stringify!($name), ": ", $text),)* }
            }

            /// The kind that `std` gives it.
            pub fn kind(self) -> ErrorKind {
                match self { $(Errno::$name => ErrorKind::$kind,)* }
            }
        }
    };
}

errnos! {
    EACCES "permission denied" PermissionDenied,
    EADDRINUSE "address already in use" AddrInUse,
    EADDRNOTAVAIL "cannot assign requested address" AddrNotAvailable,
    EAGAIN "try again" WouldBlock,
    EBADF "bad file descriptor" Other,
    ECONNABORTED "connection aborted" ConnectionAborted,
    ECONNREFUSED "connection refused" ConnectionRefused,
    ECONNRESET "connection reset by peer" ConnectionReset,
    EDESTADDRREQ "destination address required" Other,
    EEXIST "file exists" AlreadyExists,
    EHOSTUNREACH "no route to host" HostUnreachable,
    EINTR "interrupted system call" Interrupted,
    EINVAL "invalid argument" InvalidInput,
    EMSGSIZE "message too long" Other,
    EMFILE "too many open files" Other,
    ENETDOWN "network is down" NetworkDown,
    ENETUNREACH "network is unreachable" NetworkUnreachable,
    ENODEV "no such device" Other,
    ENFILE "too many open files in system" Other,
    ENOBUFS "no buffer space available" Other,
    ENOENT "no such file or directory" NotFound,
    ENOMEM "cannot allocate memory" OutOfMemory,
    ENOSPC "no space left on device" StorageFull,
    ENOTCONN "socket is not connected" NotConnected,
    EPERM "operation not permitted" PermissionDenied,
    EPIPE "broken pipe" BrokenPipe,
    EPROTO "protocol error" Other,
    EPROTOTYPE "protocol wrong type for socket" Other,
    ETIMEDOUT "connection timed out" TimedOut,
}

impl Errno {
    /// Which error of the simulated network this is, if it is one.
    pub fn of(error: &io::Error) -> Option<Errno> {
        match error.kind() {
            // Made without room for a name, because they come all the time.
            ErrorKind::WouldBlock => Some(Errno::EAGAIN),
            ErrorKind::Interrupted => Some(Errno::EINTR),
            _ => error.get_ref().and_then(|error| error.downcast_ref()).copied(),
        }
    }

    /// What it is about, as the operating system's network answers for the error of the same name.
    pub(crate) fn trouble(self) -> Trouble {
        match self {
            Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => Trouble::Exhausted,
            Errno::ECONNABORTED
            | Errno::ECONNRESET
            | Errno::EPROTO
            | Errno::ENETDOWN
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::ENOTCONN
            | Errno::ETIMEDOUT
            | Errno::EPERM
            | Errno::EPIPE => Trouble::Connection,
            _ => Trouble::Socket,
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        match errno {
            Errno::EAGAIN | Errno::EINTR => errno.kind().into(),
            _ => io::Error::new(errno.kind(), errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_name_and_has_the_kind_of_std() {
        for errno in [Errno::EAGAIN, Errno::EINTR, Errno::ECONNRESET, Errno::EMFILE] {
            let error = io::Error::from(errno);
            assert_eq!((Errno::of(&error), error.kind()), (Some(errno), errno.kind()));
        }
        assert_eq!(io::Error::from(Errno::EMFILE).to_string(), "EMFILE: too many open files");
        assert_eq!(Errno::of(&io::Error::other("something")), None);
    }
}
