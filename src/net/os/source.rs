//! Descriptors of any kind that a program hands over.
//!
//! It knows how they are read and written, and what was changed about them. It does not know what they are.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::Errno;

use crate::readiness::Readiness;
use crate::source::{Io, Source, What};

/// A descriptor that a program handed over.
#[derive(Debug)]
pub struct OsSource {
    /// There until it is given back.
    fd: Option<OwnedFd>,
    /// It must not block.
    nonblocking: bool,
    /// It was blocking before.
    restore: bool,
    /// What duplicates have in common, and few others.
    inode: u64,
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
        let nonblocking = !leave_blocking && !fd.is_terminal();
        let inode = fstat(&fd)?.st_ino;
        let mut source = OsSource { fd: Some(fd), nonblocking, restore: false, inode };
        source.keep()?;
        Ok(source)
    }

    /// Gives it back as it was. Whoever of the others is a duplicate of it stays non-blocking: a loop that blocks stands
    /// still for everyone.
    pub(crate) fn close<'a>(mut self, others: impl Iterator<Item = &'a mut OsSource>) -> Option<OwnedFd> {
        self.restore();
        if self.restore {
            for other in others.filter(|other| other.inode == self.inode) {
                if let Err(error) = other.keep() {
                    log::warn!("a descriptor may block: {error}");
                }
            }
        }
        self.fd.take()
    }

    /// Makes it non-blocking, if it is to be and is not.
    fn keep(&mut self) -> io::Result<()> {
        let flags = fcntl_getfl(self.borrowed())?;
        if self.nonblocking && !flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(self.borrowed(), flags | OFlags::NONBLOCK)?;
            self.restore = true;
        }
        Ok(())
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
