//! Descriptors of any kind that a program hands over.
//!
//! It knows how they are read and written, and what was changed about them. It does not know what they are.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::readiness::Readiness;
use crate::source::{Io, Source, What};

/// A descriptor that a program handed over.
#[derive(Debug)]
pub struct OsSource {
    /// There until it is given back.
    fd: Option<OwnedFd>,
    /// It was blocking before.
    restore: bool,
}

impl OsSource {
    /// Takes a descriptor over.
    pub(crate) fn open(source: Source) -> io::Result<OsSource> {
        let Source { what, leave_blocking, .. } = source;
        let What::Fd(fd) = what else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an end of a simulated pipe can be registered on the simulated network only",
            ));
        };
        let mut restore = false;
        if !leave_blocking && !fd.is_terminal() {
            let flags = fcntl_getfl(&fd)?;
            if !flags.contains(OFlags::NONBLOCK) {
                fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
                restore = true;
            }
        }
        Ok(OsSource { fd: Some(fd), restore })
    }

    /// Gives it back as it was.
    pub(crate) fn close(mut self) -> Option<OwnedFd> {
        self.restore();
        self.fd.take()
    }

    fn restore(&mut self) {
        if let (Some(fd), true) = (&self.fd, self.restore) {
            // Others may have changed other flags since.
            let restored = fcntl_getfl(fd).and_then(|flags| fcntl_setfl(fd, flags - OFlags::NONBLOCK));
            if let Err(error) = restored {
                log::debug!("a descriptor stays non-blocking: {error}");
            }
        }
    }

    fn borrowed(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("it is given back by a call that takes it").as_fd()
    }
}

impl Drop for OsSource {
    fn drop(&mut self) {
        self.restore();
    }
}

impl AsRawFd for OsSource {
    fn as_raw_fd(&self) -> RawFd {
        self.borrowed().as_raw_fd()
    }
}

impl Io for OsSource {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.borrowed(), buf)?)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.borrowed(), bytes)?)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.borrowed())
    }
}

/// What mio is asked for. Nothing asks for nothing, which it cannot be.
pub(super) fn mio_interest(interest: Readiness) -> Option<mio::Interest> {
    let kinds = [
        (Readiness::READABLE, mio::Interest::READABLE),
        (Readiness::WRITABLE, mio::Interest::WRITABLE),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        (Readiness::EXCEPTIONAL, mio::Interest::PRIORITY),
    ];
    let asked = kinds.into_iter().filter(|(kind, _)| interest.contains(*kind)).map(|(_, asked)| asked);
    asked.reduce(|all, more| all | more)
}

/// Says what `EPERM` of a registration is about.
pub(super) fn explain(error: io::Error) -> io::Error {
    if Errno::from_io_error(&error) != Some(Errno::PERM) {
        return error;
    }
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a file, a directory or a device such as /dev/null cannot be polled, it is always ready: read it on a thread",
    )
}
