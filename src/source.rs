//! Any descriptor that a program registers: what of it is of interest, and what it can do when it is lent.
//!
//! It knows options and their defaults, and that a source is read and written. It polls nothing.

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::readiness::Readiness;

/// A descriptor to be registered, and what of it is of interest: a pipe, a FIFO, an eventfd, a child's output, a raw
/// socket, whatever the system's poll takes.
///
/// The reactor owns it from then on, so that it cannot be closed while it is registered, and lends it to
/// [`Handler::ready`](crate::Handler::ready), which does its own reading and writing.
///
/// ```
/// use std::io::Write;
/// use switchboard::codec::Raw;
/// use switchboard::{Config, Conn, Context, Handler, Peer, Reactor, Ready, Result, Source};
///
/// #[derive(Default)]
/// struct Listening(Vec<u8>);
///
/// impl Handler for Listening {
///     type Codec = Raw;
///     type Session = ();
///
///     fn opened(&mut self, _: &mut Context, _: &Peer) -> Option<(Raw, ())> {
///         None
///     }
///
///     fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
///         Ok(())
///     }
///
///     fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
///         let mut bytes = [0; 4];
///         match source.read(&mut bytes) {
///             Ok(0) => cx.deregister(source.id), // the other end is closed
///             Ok(n) => self.0.extend(&bytes[..n]), // what is left is told of again
///             Err(error) => eprintln!("{error}"),
///         }
///     }
/// }
///
/// let (reading, mut writing) = std::os::unix::net::UnixStream::pair()?; // or the two ends of a pipe
/// let mut reactor = Reactor::new(Listening::default(), Config::default())?;
/// reactor.register(Source::new(reading))?;
/// writing.write_all(b"hello, loop")?;
/// drop(writing);
/// reactor.run()?; // returns when there is no source left
/// assert_eq!(reactor.handler().0, b"hello, loop");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Blocking
///
/// Registering makes the descriptor non-blocking, and undoes that when it is closed or taken back. A loop that blocks
/// stands still for everyone, and a poll that says "writable" promises room for one byte, not for all that is written.
///
/// But the flag belongs to what is open and not to the descriptor: whoever else has it, by inheritance or as a
/// duplicate, has it non-blocking too. The two ends of a pipe, a socket pair or a child's output are open each for
/// itself, so that the other end notices nothing. Standard input, output and error are shared. So a terminal is left
/// as it is in any case, and for others there is [`leave_blocking`](Source::leave_blocking). Of duplicates that are
/// registered, the last that is closed or taken back undoes it.
#[derive(Debug)]
pub struct Source {
    pub(crate) what: What,
    pub(crate) interest: Readiness,
    pub(crate) key: u64,
    pub(crate) leave_blocking: bool,
}

/// What is registered.
#[derive(Debug)]
pub(crate) enum What {
    /// A descriptor of the system.
    Fd(OwnedFd),
    /// An end of a pipe of the simulated network, by its number.
    Simulated(u32),
}

/// What a program can be interested in. The ends and errors are always told.
const INTERESTS: Readiness = Readiness::READABLE.or(Readiness::WRITABLE).or(Readiness::EXCEPTIONAL);

impl Source {
    /// The descriptor `fd`, to be told of when it is readable.
    pub fn new(fd: impl Into<OwnedFd>) -> Source {
        Source::of(What::Fd(fd.into()))
    }

    pub(crate) fn of(what: What) -> Source {
        Source { what, interest: Readiness::READABLE, key: 0, leave_blocking: false }
    }

    /// What is of interest: any of [`Readiness::READABLE`], [`WRITABLE`](Readiness::WRITABLE) and
    /// [`EXCEPTIONAL`](Readiness::EXCEPTIONAL), default readable. Ends and errors are told with any of them; with none
    /// of them nothing is told until [`Context::set_interest`](crate::Context::set_interest). Exceptional is
    /// told on Linux only.
    #[must_use]
    pub fn interest(mut self, interest: Readiness) -> Source {
        self.interest = only_interests(interest);
        self
    }

    /// A number of the program's own that [`Ready::key`](crate::Ready::key) repeats. Default 0.
    #[must_use]
    pub fn key(mut self, key: u64) -> Source {
        self.key = key;
        self
    }

    /// Leaves it to the program whether the descriptor blocks: for one that others have, too.
    ///
    /// One read after each "readable" does not block, unless somebody else reads the same pipe. A write blocks until
    /// there is room for all of it.
    #[must_use]
    pub fn leave_blocking(mut self) -> Source {
        self.leave_blocking = true;
        self
    }
}

/// What of a set can be of interest.
pub(crate) fn only_interests(set: Readiness) -> Readiness {
    set.without(set.without(INTERESTS))
}

/// What is told of `readiness` to who is interested in `interest`. An end or an error is something that a read or a
/// write does not wait for, so that it counts as readable and writable too, as with `select`.
pub(crate) fn told(readiness: Readiness, interest: Readiness) -> Readiness {
    if interest.is_empty() {
        return Readiness::EMPTY;
    }
    let mut told = readiness.without(INTERESTS.without(interest));
    for (direction, ends) in [
        (Readiness::READABLE, Readiness::READ_CLOSED.or(Readiness::ERROR)),
        (Readiness::WRITABLE, Readiness::WRITE_CLOSED.or(Readiness::ERROR)),
    ] {
        if interest.contains(direction) && readiness.intersects(ends) {
            told |= direction;
        }
    }
    told
}

/// A registered source: every call returns at once if the descriptor is non-blocking. Dropping it closes it.
pub trait Io: fmt::Debug {
    /// Reads into `buf`. `Ok(0)` is the end.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes the beginning of `bytes` and returns how many.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// The descriptor, if it is one of the system.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: Readiness = Readiness::READABLE;
    const W: Readiness = Readiness::WRITABLE;
    const HUP: Readiness = Readiness::READ_CLOSED.or(Readiness::WRITE_CLOSED);

    #[test]
    fn an_end_is_told_with_the_direction_of_interest() {
        assert_eq!(told(HUP, R), HUP | R);
        assert_eq!(told(HUP, W), HUP | W);
        assert_eq!(told(Readiness::ERROR, R | W), Readiness::ERROR | R | W);
        assert_eq!(told(HUP | R, Readiness::EXCEPTIONAL), HUP);
        assert_eq!(told(HUP | R, Readiness::EMPTY), Readiness::EMPTY);
    }

    #[test]
    fn what_is_not_of_interest_is_not_told() {
        assert_eq!(told(R | W, R), R);
        assert_eq!(told(R, W), Readiness::EMPTY);
        assert_eq!(told(R | Readiness::EXCEPTIONAL, Readiness::EXCEPTIONAL), Readiness::EXCEPTIONAL);
        assert_eq!(only_interests(R | HUP | Readiness::ERROR), R);
    }
}
