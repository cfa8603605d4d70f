//! A registered source, lent to a callback.
//!
//! It knows how to read and write it without being interrupted; it does not know what is on the other side.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use crate::id::SourceId;
use crate::readiness::Readiness;
use crate::source::Io;

/// A source that is ready, lent to [`Handler::ready`](super::Handler::ready).
#[derive(Clone, Copy)]
pub struct Ready<'a> {
    /// Its name.
    pub id: SourceId,
    /// The number given with [`Source::key`](crate::Source::key).
    pub key: u64,
    /// What it is ready for, of what is of interest, and whether it has ended. With an end or an error, the directions
    /// of interest are there too, because reading and writing tell what it is.
    pub readiness: Readiness,
    io: &'a dyn Io,
}

impl<'a> Ready<'a> {
    pub(crate) fn new(id: SourceId, key: u64, readiness: Readiness, io: &'a dyn Io) -> Ready<'a> {
        Ready { id, key, readiness, io }
    }

    /// Reads what is there, once. `Ok(0)` is the end, if `buf` is not empty.
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) says that there is nothing, which may be so also when it was told
    /// readable: return, and `ready` is called when there is something. A read that a signal interrupts is repeated.
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.io.read(buf))
    }

    /// Writes the beginning of `bytes`, once, and answers how many it took. `WouldBlock` as with [`read`](Ready::read).
    ///
    /// Whose other end is closed fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe), if the process ignores `SIGPIPE`,
    /// as Rust has every program do that begins with its own `main`.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        uninterrupted(|| self.io.write(bytes))
    }

    /// The descriptor, for what reading and writing is not enough for. `None` in the simulator, which has none.
    pub fn fd(&self) -> Option<BorrowedFd<'a>> {
        self.io.fd()
    }
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl io::Read for Ready<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ready::read(self, buf)
    }
}

impl io::Write for Ready<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ready::write(self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}
