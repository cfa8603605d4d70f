//! Registered descriptors: registering, telling what is ready, and closing.
//!
//! It knows when each is polled and for what; what is read and written is the handler's business. Polls tell of edges.
//! After each `ready` the poll is told once more what is of interest, and looks whether it is there: that is a level.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;

use super::{Reactor, Run};
use crate::context::Context;
use crate::handler::{Handler, Ready};
use crate::id::{ConnId, SourceId};
use crate::net::Network;
use crate::readiness::Readiness;
use crate::source::{Source, told};

/// What is called for a source that is not the handler's.
type OnReady = Box<dyn FnMut(&mut Context, Ready<'_>) + Send>;

/// One source.
pub(super) struct Held<N: Network> {
    id: SourceId,
    source: N::Source,
    /// What the poll tells of it; empty: it is in none.
    polled: Readiness,
    /// If it is not the handler's. It does not keep the reactor running.
    own: Option<OnReady>,
}

impl<H: Handler, N: Network> Reactor<H, N> {
    /// Registers a descriptor: from now on [`Handler::ready`] is called as long as it is ready for what is of interest.
    ///
    /// A regular file or a directory is refused with [`io::ErrorKind::InvalidInput`]: it is always ready, and no poll takes
    /// it; a thread can read it and [`post`](crate::Handle::post) what it has read. A descriptor cannot be registered
    /// twice, since it is moved here. Whatever fails, the descriptor is closed.
    ///
    /// There is no limit on their number but that on the descriptors of the process, which the program has opened. They
    /// are not counted as connections: who has many of them leaves room in
    /// [`Config::connections_max`](crate::Config::connections_max).
    pub fn register(&mut self, source: Source) -> io::Result<SourceId> {
        self.check_running()?;
        let id = self.cx.sources.add(&source);
        self.open_source(id, source).inspect_err(|_| {
            self.cx.sources.wanted.remove(&id);
        })?;
        Ok(id)
    }

    /// Gives a descriptor back, as it was before it was registered. `None` for one that is gone or was never one of the
    /// system.
    pub fn take_source(&mut self, source: SourceId) -> Option<OwnedFd> {
        if let Some(fd) = self.cx.sources.take_unregistered(source) {
            return Some(fd);
        }
        self.cx.sources.wanted.remove(&source)?;
        let at = self.source_at(source)?;
        self.remove_source(at)
    }

    /// Registers a source with its own callback, which the handler does not know of.
    #[cfg(feature = "signals")]
    pub(crate) fn register_own(
        &mut self,
        source: Source,
        on_ready: impl FnMut(&mut Context, Ready<'_>) + Send + 'static,
    ) -> io::Result<()> {
        let id = self.register(source)?;
        if let Some(at) = self.source_at(id) {
            self.sources[at].own = Some(Box::new(on_ready));
        }
        Ok(())
    }

    /// Whether there is a source of the handler's.
    pub(super) fn has_sources(&self) -> bool {
        self.sources.iter().any(|held| held.own.is_none())
    }

    fn open_source(&mut self, id: SourceId, source: Source) -> io::Result<()> {
        let interest = source.interest;
        let source = self.net.open_source(source)?;
        let polled = Readiness::EMPTY;
        // In the order of their ids, which is not always that in which they are registered.
        let at = self.sources.partition_point(|held| held.id < id);
        self.sources.insert(at, Held { id, source, polled, own: None });
        if let Err(error) = self.poll_source(at, interest) {
            self.remove_source(at);
            return Err(error);
        }
        Ok(())
    }

    fn source_at(&self, id: SourceId) -> Option<usize> {
        self.sources.binary_search_by_key(&id, |held| held.id).ok()
    }

    /// Tells the poll what is of interest of a source, also if that is what it knows: what is there now, it tells anew.
    fn poll_source(&mut self, at: usize, interest: Readiness) -> io::Result<()> {
        let Held { id, source, polled, .. } = &mut self.sources[at];
        if polled.is_empty() && interest.is_empty() {
            return Ok(());
        }
        self.cx.stats.calls.register_source += 1;
        self.net.watch_source(source, *id, *polled, interest)?;
        *polled = interest;
        Ok(())
    }

    /// Takes a source out of the poll and gives its descriptor up.
    fn remove_source(&mut self, at: usize) -> Option<OwnedFd> {
        // Nothing else can fail in leaving a poll than not to be in it.
        let _ = self.poll_source(at, Readiness::EMPTY);
        let Held { source, .. } = self.sources.remove(at);
        // Its descriptor is free, or soon will be.
        self.accepting.pause.cut_short();
        self.net.close_source(source, self.sources.iter_mut().map(|held| &mut held.source))
    }

    /// An event of a source. At most one in each turn, because the poll tells anew only of what it was asked anew.
    pub(super) fn source_ready(&mut self, id: SourceId, readiness: Readiness) {
        let wanted = self.cx.sources.wanted.get(&id).copied();
        let (Some(wanted), Some(at)) = (wanted, self.source_at(id)) else {
            self.cx.stats.stale_events += 1;
            return;
        };
        let readiness = told(readiness, wanted.interest);
        if readiness.is_empty() {
            // Of what is no longer of interest. When it is again, the poll is asked again.
            return;
        }
        self.cx.stats.ready += 1;
        let mut returned = false;
        self.guard(|reactor| {
            let Held { source, own, .. } = &mut reactor.sources[at];
            let ready = Ready::new(id, wanted.key, readiness, source);
            match own {
                None => reactor.handler.ready(&mut reactor.cx, ready),
                Some(own) => own(&mut reactor.cx, ready),
            }
            returned = true;
        });
        if !returned {
            // It would be called again at once, and panic again.
            log::error!("{id:?} is closed, because the callback for it panicked");
            self.cx.deregister(id);
        }
        self.start_timers();
        let wanted = self.cx.sources.wanted.get(&id).copied();
        if let Some(wanted) = wanted.filter(|_| !wrong!(SourceNotRearmed)) {
            if let Err(error) = self.poll_source(at, wanted.interest) {
                self.lose_source(at, &error);
            }
        }
        self.after_visit(ConnId::NONE);
    }

    fn lose_source(&mut self, at: usize, error: &io::Error) {
        let id = self.sources[at].id;
        self.cx.sources.wanted.remove(&id);
        drop(self.remove_source(at));
        self.tell_register_failed(id, error);
    }

    fn tell_register_failed(&mut self, id: SourceId, error: &io::Error) {
        self.guard(|reactor| reactor.handler.register_failed(&mut reactor.cx, id, error));
        self.start_timers();
    }

    /// Registers, asks anew and closes as callbacks asked for.
    #[cold]
    pub(super) fn grant_sources(&mut self) {
        for (id, source) in mem::take(&mut self.cx.sources.registers) {
            // It may have been deregistered since, or something else be wanted of it.
            let Some(wanted) = self.cx.sources.wanted.get(&id).copied() else { continue };
            let opened = match self.run {
                Run::Running | Run::Draining(_) => self.open_source(id, source.interest(wanted.interest)),
                Run::Stopped => Err(io::Error::other("the reactor stops")),
            };
            if let Err(error) = opened {
                self.cx.sources.wanted.remove(&id);
                self.tell_register_failed(id, &error);
            }
        }
        for id in mem::take(&mut self.cx.sources.changed) {
            let Some(at) = self.source_at(id) else { continue };
            match self.cx.sources.wanted.get(&id).copied() {
                None => drop(self.remove_source(at)),
                Some(wanted) if wanted.interest == self.sources[at].polled => {}
                Some(wanted) => {
                    if let Err(error) = self.poll_source(at, wanted.interest) {
                        self.lose_source(at, &error);
                    }
                }
            }
        }
    }

    /// Closes all of them, without a callback for those that were open.
    pub(super) fn close_sources(&mut self) {
        while let Some(last) = self.sources.len().checked_sub(1) {
            self.cx.sources.wanted.remove(&self.sources[last].id);
            drop(self.remove_source(last));
        }
        self.grant_sources();
        self.cx.sources.clear();
    }
}

/// What must hold between two turns; only a simulated network asks.
impl<H: Handler, N: Network> Reactor<H, N> {
    /// Says what does not hold. `forgotten` says whether a source is ready for what the poll knows of, and no edge to
    /// come will announce it.
    pub(crate) fn audit_sources(&self, forgotten: impl Fn(&N::Source) -> bool) -> Result<(), String> {
        let sources = &self.cx.sources;
        for Held { id, source, polled, .. } in &self.sources {
            let wanted = sources.wanted.get(id).map_or(Readiness::EMPTY, |wanted| wanted.interest);
            let gone = !sources.wanted.contains_key(id);
            if (gone || wanted != *polled) && !(sources.changed.contains(id) && self.cx.datagrams.pending) {
                return Err(format!("{id:?} is polled for {polled:?}, and {wanted:?} is wanted"));
            }
            if !polled.is_empty() && forgotten(source) {
                return Err(format!("{id:?} is ready, and nobody will be told"));
            }
        }
        let registered = sources.wanted.len() - sources.wanted.keys().filter(|id| self.waits(**id)).count();
        if registered > self.sources.len() {
            return Err(format!("{registered} sources are wanted, {} are there", self.sources.len()));
        }
        Ok(())
    }

    fn waits(&self, id: SourceId) -> bool {
        self.cx.sources.registers.iter().any(|(waits, _)| *waits == id)
    }
}
