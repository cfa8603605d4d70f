//! The three sets of `select`: which descriptors are readable, writable, exceptional.
//!
//! It knows descriptors and readiness; it does not know connections, frames or the reactor, and nothing of the
//! crate uses it. It is for programs written around `select` that want to stay that way, with what the old
//! system call means and without its limit of 1,024 descriptors.
//!
//! ```text
//!     readers ──┐              ┌──▶ readable
//!     writers ──┼──▶ select ───┼──▶ writable          each a subset of what went in, possibly empty
//! exceptional ──┘              └──▶ exceptional
//! ```
//!
//! There are two forms of it:
//!
//! | | [`select()`] | [`Selector`] |
//! |---|---|---|
//! | the sets are | given with each call, borrowed | kept, owned, changed one by one |
//! | the subsets are | references to what was given | the [`SourceId`]s of what was inserted |
//! | a call costs | O(descriptors) | O(ready ones) |
//! | system | `poll` | mio: epoll or kqueue |
//!
//! # What the sets mean
//!
//! What they mean to `select` of Linux (`POLLIN_SET`, `POLLOUT_SET` and `POLLEX_SET` in `fs/select.c`):
//!
//! - **readable**: a read would not block. There is data, a connection to accept, the end of the stream, a
//!   hang-up or an error.
//! - **writable**: a write would not block. There is room, or an error. A refused connect is both readable and
//!   writable; a hang-up alone is only readable.
//! - **exceptional**: priority data, such as the urgent byte of TCP. Never an error and never a hang-up, although
//!   many a program waits for them there in vain.
//!
//! All of it is level-triggered: what is not read is reported again by the next call. Regular files are always
//! readable and writable. A descriptor may be in several sets. A signal does not end a call (as in Python since
//! PEP 475): it goes on with the rest of the timeout. A timeout of `None` waits without end, [`Duration::ZERO`]
//! does not wait, and every other one ends late rather than early.
//!
//! # Example
//!
//! The echo loop that every tutorial of `select` begins with. What Python keeps in the list `inputs` is what the
//! selector owns; a real program would also have its `outputs`, as `examples/select_echo.rs` has.
//!
//! ```
//! use std::io::{self, Read, Write};
//! use std::net::{TcpListener, TcpStream};
//! use std::os::fd::{AsFd, BorrowedFd};
//! use switchboard::select::{Interest, Ready, Selector};
//!
//! enum Source {
//!     Server(TcpListener),
//!     Client(TcpStream),
//! }
//!
//! impl AsFd for Source {
//!     fn as_fd(&self) -> BorrowedFd<'_> {
//!         match self {
//!             Source::Server(server) => server.as_fd(),
//!             Source::Client(client) => client.as_fd(),
//!         }
//!     }
//! }
//!
//! fn serve(server: TcpListener) -> io::Result<()> {
//!     let mut inputs = Selector::new()?;
//!     inputs.insert(Source::Server(server), Interest::READABLE)?;
//!     let mut clients = 0;
//!     loop {
//!         let Ready { readable, .. } = inputs.select(None)?;
//!         for id in readable {
//!             match inputs.get(id) {
//!                 Some(Source::Server(server)) => {
//!                     let (client, _) = server.accept()?;
//!                     inputs.insert(Source::Client(client), Interest::READABLE)?;
//!                     clients += 1;
//!                 }
//!                 Some(Source::Client(client)) => {
//!                     let mut bytes = [0; 1024];
//!                     let len = (&*client).read(&mut bytes)?;
//!                     (&*client).write_all(&bytes[..len])?;
//!                     if len == 0 {
//!                         inputs.remove(id); // and closed, because the answer is dropped
//!                         clients -= 1;
//!                     }
//!                 }
//!                 None => {}
//!             }
//!         }
//! #       if clients == 0 { return Ok(()) }
//!     }
//! }
//! #
//! # let server = TcpListener::bind("127.0.0.1:0")?;
//! # let mut peer = TcpStream::connect(server.local_addr()?)?;
//! # peer.write_all(b"hello")?;
//! # peer.shutdown(std::net::Shutdown::Write)?;
//! # serve(server)?;
//! # let mut echo = String::new();
//! # peer.read_to_string(&mut echo)?;
//! # assert_eq!(echo, "hello");
//! # io::Result::Ok(())
//! ```
//!
//! # Where it differs between systems
//!
//! Written for and tested on Linux. Elsewhere [`select()`] means what `poll` of that system means, and a
//! [`Selector`] never reports anything exceptional, because mio cannot ask kqueue for it.

mod error;
mod interest;
mod selector;
mod wait;

pub use error::{DescriptorError, InsertError};
pub use interest::Interest;
pub use selector::{Selector, SourceId};

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use wait::Wait;

/// Waits until one of the descriptors is ready, or until `timeout` is over, and answers which ones are.
///
/// Each of the three sets is anything that yields references or [`BorrowedFd`]s: `&inputs` of a `Vec`, an array,
/// `clients.values().filter(..)`, or `[]`. Each subset has what was given, in the order given; all three are empty
/// only when the time is over. That descriptors are borrowed proves that they are open, and closes none of them
/// (which is why `T` is `Copy`: owned sockets are not). [`Ready::map`] turns references into names that do not hold
/// on to the sockets.
///
/// The sets have one element type. For descriptors of different types take their [`BorrowedFd`]s, or an enum of
/// your own that implements [`AsFd`].
///
/// Costs one `poll` over all descriptors, and memory for them, with each call. A program with many should keep a
/// [`Selector`].
///
/// ```
/// use std::io::Write;
/// use std::os::unix::net::UnixStream;
/// use std::time::Duration;
/// use switchboard::select::{Ready, select};
///
/// let (left, right) = UnixStream::pair()?;
/// (&left).write_all(b"x")?;
///
/// let inputs = [&left, &right];
/// let outputs = [&left];
/// let Ready { readable, writable, exceptional } = select(inputs, outputs, inputs, Some(Duration::ZERO))?;
///
/// assert!(readable.len() == 1 && std::ptr::eq(readable[0], &right));
/// assert!(writable.len() == 1 && std::ptr::eq(writable[0], &left));
/// assert!(exceptional.is_empty());
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
///
/// A [`DescriptorError`] for the first descriptor that is not open, such as one opened with `O_PATH`; otherwise
/// what the system says, which is lack of memory. A signal is not an error.
pub fn select<T: AsFd + Copy>(
    readers: impl IntoIterator<Item = T>,
    writers: impl IntoIterator<Item = T>,
    exceptional: impl IntoIterator<Item = T>,
    timeout: Option<Duration>,
) -> io::Result<Ready<T>> {
    let mut sets = Ready {
        readable: Vec::from_iter(readers),
        writable: Vec::from_iter(writers),
        exceptional: Vec::from_iter(exceptional),
    };
    let ready = poll_until_ready(&merge(&sets), &Wait::new(timeout))?;

    let is_ready = |source: &T, kind| {
        let fd = source.as_fd().as_raw_fd();
        ready.binary_search_by_key(&fd, |&(fd, _)| fd).is_ok_and(|at| ready[at].1.contains(kind))
    };
    sets.readable.retain(|one| is_ready(one, Interest::READABLE));
    sets.writable.retain(|one| is_ready(one, Interest::WRITABLE));
    sets.exceptional.retain(|one| is_ready(one, Interest::EXCEPTIONAL));
    Ok(sets)
}

/// The three subsets that came back: what is readable, writable and exceptional.
///
/// [`select()`] answers with what it was given, [`Selector::select`] with [`SourceId`]s.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready<T> {
    /// What can be read without blocking, if only to learn that it ended or failed.
    pub readable: Vec<T>,
    /// What can be written without blocking, if only to learn that it failed.
    pub writable: Vec<T>,
    /// What has priority data.
    pub exceptional: Vec<T>,
}

impl<T> Ready<T> {
    /// Answers whether nothing is ready: the timeout was over first.
    pub fn is_empty(&self) -> bool {
        self.readable.is_empty() && self.writable.is_empty() && self.exceptional.is_empty()
    }

    /// Replaces each element, for instance each reference by a name of the program's own.
    ///
    /// After that the answer of [`select()`] no longer borrows the three sets, and they can be changed while it
    /// is worked through. With sets of `Rc`s, `map(Rc::clone)` is the program as Python has it.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use std::rc::Rc;
    /// use switchboard::select::select;
    ///
    /// let (left, right) = UnixStream::pair()?;
    /// drop(left);
    /// let mut inputs = vec![Rc::new(right)];
    ///
    /// let ready = select(&inputs, [], [], None)?.map(Rc::clone);
    /// for ended in ready.readable {
    ///     inputs.retain(|input| !Rc::ptr_eq(input, &ended));
    /// }
    /// assert!(inputs.is_empty());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn map<U>(self, mut name: impl FnMut(T) -> U) -> Ready<U> {
        Ready {
            readable: self.readable.into_iter().map(&mut name).collect(),
            writable: self.writable.into_iter().map(&mut name).collect(),
            exceptional: self.exceptional.into_iter().map(&mut name).collect(),
        }
    }
}

/// Nothing is ready.
impl<T> Default for Ready<T> {
    fn default() -> Ready<T> {
        Ready { readable: Vec::new(), writable: Vec::new(), exceptional: Vec::new() }
    }
}

/// One descriptor and all the sets it is in.
struct Watched<'a> {
    fd: BorrowedFd<'a>,
    interest: Interest,
}

/// Makes one entry of each descriptor, sorted by number.
///
/// Merged, because `poll` refuses more entries than the process may open descriptors, and three sets of one
/// descriptor each are three entries.
fn merge<T: AsFd>(sets: &Ready<T>) -> Vec<Watched<'_>> {
    let mut watched: Vec<Watched<'_>> = [
        (&sets.readable, Interest::READABLE),
        (&sets.writable, Interest::WRITABLE),
        (&sets.exceptional, Interest::EXCEPTIONAL),
    ]
    .into_iter()
    .flat_map(|(set, interest)| set.iter().map(move |one| Watched { fd: one.as_fd(), interest }))
    .collect();
    // The stable sort is the one that profits from runs that are in order already.
    watched.sort_by_key(|one| one.fd.as_raw_fd());
    watched.dedup_by(|next, first| {
        let same = next.fd.as_raw_fd() == first.fd.as_raw_fd();
        first.interest = first.interest.or_if(same, next.interest);
        same
    });
    watched
}

/// Waits and answers what is ready, sorted by number; nothing if the time is over first.
fn poll_until_ready(watched: &[Watched<'_>], wait: &Wait) -> io::Result<Vec<(RawFd, Interest)>> {
    let mut fds: Vec<PollFd<'_>> =
        watched.iter().map(|one| PollFd::from_borrowed_fd(one.fd, one.interest.to_poll())).collect();
    loop {
        let left = wait.left();
        let timeout = left.map(|left| Timespec::try_from(left).expect("at most `WAIT_MAX`"));
        let answered = match poll(&mut fds, timeout.as_ref()) {
            Ok(answered) => answered,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let mut ready = Vec::new();
        for (one, fd) in watched.iter().zip(&fds) {
            let flags = fd.revents();
            if flags.contains(PollFlags::NVAL) {
                let cause = Errno::BADF.into();
                return Err(DescriptorError::new(one.fd.as_raw_fd(), cause).into());
            }
            let readiness = Interest::from_poll(flags) & one.interest;
            if !readiness.is_empty() {
                ready.push((one.fd.as_raw_fd(), readiness));
            }
        }
        if !ready.is_empty() || left == Some(Duration::ZERO) {
            return Ok(ready);
        }
        // All it answered with is what nobody waits for, such as the hang-up of a descriptor that is only among
        // the exceptional ones. It would do so for ever; edges come once.
        if answered > 0 {
            return wait_for_edges(watched, wait);
        }
    }
}

/// What [`poll_until_ready`] does, at the price of a [`Selector`] for this one call.
fn wait_for_edges(watched: &[Watched<'_>], wait: &Wait) -> io::Result<Vec<(RawFd, Interest)>> {
    let mut selector = Selector::new()?;
    for one in watched {
        selector.insert(one.fd, one.interest)?;
    }
    let mut ready: Vec<(RawFd, Interest)> = selector
        .wait(wait)?
        .into_iter()
        .filter_map(|(id, readiness)| Some((selector.get(id)?.as_raw_fd(), readiness)))
        .collect();
    ready.sort_unstable_by_key(|&(fd, _)| fd);
    Ok(ready)
}
