//! The selector: the three sets kept between calls.
//!
//! It knows sources, what the kernel was told of each, and which must be told again before the next wait; it does
//! not know what the sources are. Invariants: a source whose readiness was reported is outdated until it is
//! re-armed; a source is in the list of the outdated once, if and only if it is marked so, or is gone.
//!
//! ```text
//!                 set_interest
//!                      │
//!     reported ──▶ outdated ──▶ update: re-arm ──▶ wait for edges ──▶ reported
//! ```

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Poll, Token};
use rustix::event::{PollFd, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};

use super::Ready;
use super::error::{DescriptorError, InsertError, is};
use super::interest::{Interest, POLL_IN};
use super::wait::Wait;

/// How many events the first wait of a [`Selector`] has room for; it grows with the sources.
const EVENTS_MIN: usize = 64;

/// The name of one source, valid in the selector that gave it and nowhere else. Never reused.
///
/// Descriptor numbers are reused at once, so a program that works through a list of them can meet a new client
/// under the number of one it closed a moment ago. A stale `SourceId` is answered with `None` instead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(usize);

/// The three sets, kept between calls: a call costs what is ready, not what is watched.
///
/// It owns its sources, and [`remove`](Selector::remove) gives one back: an owned source cannot be closed while
/// it is registered, which is where programs that keep descriptor numbers go wrong. `S` can be a socket, an enum
/// of different ones, an [`OwnedFd`], or, for sources that live elsewhere, a reference, an `Rc`, a
/// [`BorrowedFd`]. Its `as_fd` must always answer the same open descriptor. Sources are lent as `&S` only, which
/// is enough to read and write: `(&*stream).read(..)`, `(&*file).write(..)`.
///
/// [`OwnedFd`]: std::os::fd::OwnedFd
/// [`BorrowedFd`]: std::os::fd::BorrowedFd
///
/// # Cost
///
/// [`insert`](Selector::insert) and [`remove`](Selector::remove) are one system call each. Polling underneath is
/// edge-triggered, so a [`select`](Selector::select) first re-arms exactly the sources that the previous one
/// reported, with one system call each, and then waits with one more. A changed interest takes effect on the same
/// occasion: changing what was just reported costs nothing. The memory is an entry in two maps for each source,
/// and room for its event.
///
/// ```
/// use std::io::Write;
/// use std::os::unix::net::UnixStream;
/// use switchboard::select::{Interest, Selector};
///
/// let (mut peer, stream) = UnixStream::pair()?;
/// let mut selector = Selector::new()?;
/// let id = selector.insert(stream, Interest::READABLE)?;
///
/// peer.write_all(b"x")?;
/// assert_eq!(selector.select(None)?.readable, [id]);
/// assert_eq!(selector.select(None)?.readable, [id], "nobody has read it");
///
/// selector.set_interest(id, Interest::WRITABLE);
/// let ready = selector.select(None)?;
/// assert!(ready.readable.is_empty() && ready.writable == [id]);
/// # std::io::Result::Ok(())
/// ```
pub struct Selector<S> {
    poll: Poll,
    events: Events,
    entries: HashMap<SourceId, Entry<S>>,
    by_fd: HashMap<RawFd, SourceId>,
    /// What the kernel must hear of before the next wait: reported by the last one, or its interest changed.
    outdated: Vec<SourceId>,
    /// Sources whose files cannot be polled because they never block.
    always_ready: BTreeSet<SourceId>,
    next_id: usize,
    rearms: u64,
}

struct Entry<S> {
    source: S,
    /// The descriptor of `source`, under which it was inserted.
    fd: RawFd,
    interest: Interest,
    registration: Registration,
    /// Whether it is in `Selector::outdated`.
    outdated: bool,
}

/// What the kernel knows of a source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Registration {
    /// Nothing: it is in none of the sets, and polling would still report its errors.
    Absent,
    Polled,
    /// It cannot be polled: a regular file, a directory, `/dev/null`.
    AlwaysReady,
}

impl<S: AsFd> Selector<S> {
    /// Opens a selector with empty sets. It takes one descriptor.
    pub fn new() -> io::Result<Selector<S>> {
        Ok(Selector {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MIN),
            entries: HashMap::new(),
            by_fd: HashMap::new(),
            outdated: Vec::new(),
            always_ready: BTreeSet::new(),
            next_id: 0,
            rearms: 0,
        })
    }

    /// Puts `source` into the sets that `interest` names, and answers the name under which it is reported.
    ///
    /// # Errors
    ///
    /// Gives the source back, with a [`DescriptorError`] that says which descriptor is not open or is here
    /// already (a duplicate made by `dup` is another descriptor), or what else the system objects to. `?` turns
    /// it into an [`io::Error`] and drops the source.
    pub fn insert(&mut self, source: S, interest: Interest) -> Result<SourceId, InsertError<S>> {
        let fd = source.as_fd().as_raw_fd();
        if self.by_fd.contains_key(&fd) {
            let error = DescriptorError::new(fd, Errno::EXIST.into()).into();
            return Err(InsertError { error, source });
        }
        let id = SourceId(self.next_id);
        self.next_id += 1;
        let entry = Entry { source, fd, interest, registration: Registration::Absent, outdated: false };
        self.entries.insert(id, entry);
        self.by_fd.insert(fd, id);

        if let Err(error) = self.update(id) {
            let source = self.remove(id).expect("it was inserted above");
            return Err(InsertError { error, source });
        }
        // All that is ready must fit, because each of the three sets comes back whole.
        if self.entries.len() > self.events.capacity() {
            self.events = Events::with_capacity(self.entries.len().next_power_of_two());
        }
        Ok(id)
    }

    /// Takes a source out of all sets and gives it back. `None` for a stale id.
    pub fn remove(&mut self, id: SourceId) -> Option<S> {
        let entry = self.entries.remove(&id)?;
        self.by_fd.remove(&entry.fd);
        match entry.registration {
            Registration::Absent => {}
            // It fails only for a descriptor that somebody closed under us: then it is out of the sets, too.
            Registration::Polled => drop(self.poll.registry().deregister(&mut SourceFd(&entry.fd))),
            Registration::AlwaysReady => drop(self.always_ready.remove(&id)),
        }
        Some(entry.source)
    }

    /// Puts a source into exactly the sets that `interest` names, from the next [`select`](Selector::select) on.
    ///
    /// Answers the interest it had, and `None` for a stale id. Calls nothing of the system, so it may be called
    /// as often as a program likes. In no set, a source is kept without being waited for.
    pub fn set_interest(&mut self, id: SourceId, interest: Interest) -> Option<Interest> {
        let entry = self.entries.get_mut(&id)?;
        let before = std::mem::replace(&mut entry.interest, interest);
        if before != interest && !std::mem::replace(&mut entry.outdated, true) {
            self.outdated.push(id);
        }
        Some(before)
    }

    /// Answers in which sets a source is. `None` for a stale id.
    pub fn interest(&self, id: SourceId) -> Option<Interest> {
        Some(self.entries.get(&id)?.interest)
    }

    /// Lends a source. `None` for a stale id.
    pub fn get(&self, id: SourceId) -> Option<&S> {
        Some(&self.entries.get(&id)?.source)
    }

    /// Lends all sources with their names, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &S)> {
        self.entries.iter().map(|(&id, entry)| (id, &entry.source))
    }

    /// Answers how many sources there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Answers whether there are no sources. Waiting for none without a timeout waits for ever.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Answers how many system calls so far went into re-arming: one for each source reported, and one for each
    /// whose interest changed without that.
    pub fn rearms(&self) -> u64 {
        self.rearms
    }

    /// Waits until one of the sources is ready, or until `timeout` is over, and answers which ones are.
    ///
    /// Each subset names all that is ready, in no particular order; all are empty only when the time is over.
    ///
    /// # Errors
    ///
    /// A [`DescriptorError`] for a source whose descriptor was closed by somebody who did not own it; the next
    /// call says so again, until the source is removed. A signal is not an error.
    pub fn select(&mut self, timeout: Option<Duration>) -> io::Result<Ready<SourceId>> {
        let mut ready = Ready::default();
        for (id, readiness) in self.wait(&Wait::new(timeout))? {
            for (kind, subset) in [
                (Interest::READABLE, &mut ready.readable),
                (Interest::WRITABLE, &mut ready.writable),
                (Interest::EXCEPTIONAL, &mut ready.exceptional),
            ] {
                if readiness.contains(kind) {
                    subset.push(id);
                }
            }
        }
        Ok(ready)
    }

    /// Waits and answers what is ready; nothing if the time is over first.
    pub(super) fn wait(&mut self, wait: &Wait) -> io::Result<Vec<(SourceId, Interest)>> {
        // One that fails stays in the list, and is the error of the next call as well.
        while let Some(&id) = self.outdated.last() {
            self.update(id)?;
            self.outdated.pop();
        }
        let unblocking = Interest::READABLE | Interest::WRITABLE;
        let always_ready = self.always_ready.iter();
        let mut ready: Vec<(SourceId, Interest)> = always_ready
            .map(|&id| (id, self.entries[&id].interest & unblocking))
            .filter(|(_, readiness)| !readiness.is_empty())
            .collect();

        loop {
            let left = if ready.is_empty() { wait.left() } else { Some(Duration::ZERO) };
            match self.poll.poll(&mut self.events, left) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in &self.events {
                let id = SourceId(event.token().0);
                let Some(entry) = self.entries.get_mut(&id) else {
                    continue;
                };
                let readiness = entry.readiness(event);
                // An error or a hang-up is reported by the kernel to those, too, who do not wait for it. It is
                // dropped here and, because it is not re-armed, does not come again: no spinning.
                if readiness.is_empty() {
                    continue;
                }
                ready.push((id, readiness));
                if !std::mem::replace(&mut entry.outdated, true) {
                    self.outdated.push(id);
                }
            }
            if !ready.is_empty() || left == Some(Duration::ZERO) {
                return Ok(ready);
            }
        }
    }

    /// Tells the kernel what a source waits for, which also re-arms it.
    fn update(&mut self, id: SourceId) -> io::Result<()> {
        let Some(entry) = self.entries.get_mut(&id) else {
            return Ok(()); // removed since it was reported
        };
        let registry = self.poll.registry();
        let target = &mut SourceFd(&entry.fd);
        let token = Token(id.0);

        let result = match (entry.registration, entry.interest.to_mio()) {
            (Registration::Absent, None) | (Registration::AlwaysReady, _) => Ok(entry.registration),
            (Registration::Absent, Some(_)) if blocks_never(&entry.source) => Ok(Registration::AlwaysReady),
            (Registration::Absent, Some(interest)) => {
                registry.register(target, token, interest).map(|()| Registration::Polled)
            }
            (Registration::Polled, None) => {
                // It fails only for a descriptor that somebody closed under us, and who is in no set need not be open.
                drop(registry.deregister(target));
                Ok(Registration::Absent)
            }
            (Registration::Polled, Some(interest)) => {
                self.rearms += 1;
                let result = match registry.reregister(target, token, interest) {
                    // Another file has the number by now, as `dup2` does it: `select` would watch that one.
                    Err(error) if is(&error, Errno::NOENT) => registry.register(target, token, interest),
                    result => result,
                };
                result.map(|()| Registration::Polled)
            }
        };
        entry.registration = match result {
            Ok(registration) => registration,
            // How epoll says that a file has nothing to wait for. `select` calls it ready.
            Err(error) if is(&error, Errno::PERM) => Registration::AlwaysReady,
            Err(error) => return Err(DescriptorError::new(entry.fd, error).into()),
        };
        if entry.registration == Registration::AlwaysReady {
            self.always_ready.insert(id);
        }
        entry.outdated = false;
        Ok(())
    }
}

impl<S: AsFd> Entry<S> {
    /// What an event means for the sets that the source is in.
    fn readiness(&self, event: &mio::event::Event) -> Interest {
        let ended = event.is_read_closed() || event.is_error();
        // mio calls priority data readable. The urgent byte alone is not, so where that can be the question, the
        // kernel is asked again: a system call for each report of urgent data.
        let both = Interest::READABLE | Interest::EXCEPTIONAL;
        let readable = if event.is_priority() && !ended && self.interest.contains(both) {
            let mut fd = [PollFd::new(&self.source, POLL_IN)];
            let asked = retry_on_intr(|| poll(&mut fd, Some(&Timespec::default())));
            asked.is_err() || fd[0].revents().intersects(POLL_IN)
        } else {
            event.is_readable() || ended
        };
        let readiness = Interest::NONE
            .or_if(readable, Interest::READABLE)
            .or_if(event.is_writable() || event.is_error(), Interest::WRITABLE)
            .or_if(event.is_priority(), Interest::EXCEPTIONAL);
        readiness & self.interest
    }
}

impl<S> fmt::Debug for Selector<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.values();
        let sources: HashMap<RawFd, Interest> = entries.map(|e| (e.fd, e.interest)).collect();
        f.debug_struct("Selector")
            .field("sources", &sources)
            .field("always_ready", &self.always_ready.len())
            .field("outdated", &self.outdated.len())
            .field("rearms", &self.rearms)
            .finish_non_exhaustive()
    }
}

/// Answers whether a source is one of the files that `select` calls ready whatever they are.
///
/// On Linux epoll says so itself, of regular files and of everything else that has nothing to wait for.
fn blocks_never<S: AsFd>(source: &S) -> bool {
    let regular = || {
        let mode = rustix::fs::fstat(source).map(|stat| stat.st_mode);
        mode.is_ok_and(|mode| rustix::fs::FileType::from_raw_mode(mode).is_file())
    };
    !cfg!(any(target_os = "linux", target_os = "android")) && regular()
}
