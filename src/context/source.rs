//! Registered descriptors: what callbacks want of them, remembered until the loop does it.
//!
//! It knows which are registered and what is of interest of each. It knows no descriptor, but for those that wait to be
//! registered.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::Context;
use crate::id::SourceId;
use crate::readiness::Readiness;
use crate::source::{Source, What, only_interests};

/// What a program wants of one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) key: u64,
    pub(crate) interest: Readiness,
}

/// What a program wants of all of them.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Those that are registered or will be. One that is to be deregistered is gone from here at once.
    pub(crate) wanted: BTreeMap<SourceId, Wanted>,
    /// To be registered.
    pub(crate) registers: Vec<(SourceId, Source)>,
    /// Those of which something else is wanted than polls were told.
    pub(crate) changed: Vec<SourceId>,
    count: u32,
}

impl Sources {
    /// The id of the next source, which is wanted from now on. Ids are never reused.
    pub(crate) fn add(&mut self, source: &Source) -> SourceId {
        let id = SourceId(self.count);
        self.count += 1;
        self.wanted.insert(id, Wanted { key: source.key, interest: source.interest });
        id
    }

    /// There are no sources any more.
    pub(crate) fn clear(&mut self) {
        let count = self.count;
        *self = Sources { count, ..Sources::default() };
    }

    /// A source that waits to be registered, and will not be.
    pub(crate) fn take_unregistered(&mut self, id: SourceId) -> Option<OwnedFd> {
        let at = self.registers.iter().position(|(waits, _)| *waits == id)?;
        self.wanted.remove(&id);
        match self.registers.remove(at).1.what {
            What::Fd(fd) => Some(fd),
            What::Simulated(_) => None,
        }
    }
}

impl Context {
    /// Registers a descriptor after the callback: from then on [`Handler::ready`](crate::Handler::ready) is called as
    /// long as it is ready. Should that fail, `Handler::register_failed` is called with the id, and the descriptor is
    /// closed; [`Reactor::register`](crate::Reactor::register) says what cannot be registered.
    pub fn register(&mut self, source: Source) -> SourceId {
        let id = self.sources.add(&source);
        self.sources.registers.push((id, source));
        // One flag for datagrams and sources, so that a turn looks at one.
        self.datagrams.pending = true;
        id
    }

    /// Sets what is of interest of a source, as [`Source::interest`] does. From now on nothing else is told, not even
    /// what has happened already; with an empty set it is paused, and its end is not told either.
    ///
    /// Costs a system call after the callback, none if nothing changes. An id that is gone is ignored.
    pub fn set_interest(&mut self, source: SourceId, interest: Readiness) {
        let Some(wanted) = self.sources.wanted.get_mut(&source) else { return };
        let interest = only_interests(interest);
        if wanted.interest != interest {
            wanted.interest = interest;
            self.source_changed(source);
        }
    }

    /// Closes a source after the callback. From now on `ready` is not called for it, not even for what has happened
    /// already. It is taken out of the poll first, so that it is silent also if a copy of the descriptor stays open
    /// elsewhere. An id that is gone is ignored.
    pub fn deregister(&mut self, source: SourceId) {
        if self.sources.wanted.remove(&source).is_some() {
            self.source_changed(source);
        }
    }

    fn source_changed(&mut self, source: SourceId) {
        if self.sources.changed.last() != Some(&source) {
            self.sources.changed.push(source);
        }
        self.datagrams.pending = true;
    }
}
