//! Errors that name the descriptor.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::RawFd;

use rustix::io::Errno;

/// A descriptor that cannot be waited for, and why: `descriptor 7 is not open`.
///
/// It is inside the [`io::Error`]s of this module, for programs that want to go on without that descriptor:
///
/// ```
/// # use std::io;
/// use switchboard::select::DescriptorError;
///
/// fn culprit(error: &io::Error) -> Option<i32> {
///     let error = error.get_ref()?.downcast_ref::<DescriptorError>()?;
///     Some(error.descriptor())
/// }
/// # assert_eq!(culprit(&io::Error::other("x")), None);
/// ```
#[derive(Debug)]
pub struct DescriptorError {
    fd: RawFd,
    cause: io::Error,
}

impl DescriptorError {
    pub(super) fn new(fd: RawFd, cause: io::Error) -> DescriptorError {
        DescriptorError { fd, cause }
    }

    /// The number of the descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.fd
    }
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptor {} ", self.fd)?;
        if is(&self.cause, Errno::BADF) {
            f.write_str("is not open")
        } else if is(&self.cause, Errno::EXIST) {
            f.write_str("is in the selector already")
        } else {
            write!(f, "cannot be waited for: {}", self.cause)
        }
    }
}

impl Error for DescriptorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

impl From<DescriptorError> for io::Error {
    fn from(error: DescriptorError) -> io::Error {
        // The standard library has no kind for EBADF.
        let kind =
            if is(&error.cause, Errno::BADF) { io::ErrorKind::InvalidInput } else { error.cause.kind() };
        io::Error::new(kind, error)
    }
}

/// Why a source could not be inserted, and the source itself.
pub struct InsertError<S> {
    /// What went wrong; a [`DescriptorError`] is inside.
    pub error: io::Error,
    /// The source, still open.
    pub source: S,
}

impl<S> fmt::Debug for InsertError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InsertError").field(&self.error).finish()
    }
}

impl<S> fmt::Display for InsertError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<S> Error for InsertError<S> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Drops the source.
impl<S> From<InsertError<S>> for io::Error {
    fn from(error: InsertError<S>) -> io::Error {
        error.error
    }
}

pub(super) fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
