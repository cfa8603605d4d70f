//! Crowds: now and then more clients come at once than the server has descriptors.
//!
//! It knows when they come and what the server lacks then; it does not know what a client does. The server lacks
//! one of two things in turn. At its own cap (`Config::connections_max`, the limit less a reserve) it leaves the
//! rest in the backlog without asking for them. When the limit is lowered behind its back, `accept` fails.

use std::io;
use std::time::{Duration, Instant};

use super::clients::Clients;
use super::mix::Kind;
use super::server::Server;

/// How many more clients come than the server has descriptors.
pub(super) const BEYOND: usize = 100;

/// How many descriptors fewer the server may have while it is short of them in earnest.
const LOWERED_BY: usize = 100;

/// How often the descriptors of the server are counted while there is a crowd.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What the server lacks when a crowd comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// Its own cap is reached.
    Cap,
    /// It can open no more.
    Descriptors,
}

/// How many crowds there were, and how many of them were seen to take all there was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    pub(super) crowds: u64,
    pub(super) full: u64,
}

/// The crowd that is there.
#[derive(Debug)]
struct Crowd {
    lack: Lack,
    full: bool,
    next_look: Instant,
}

/// The crowds of a soak.
#[derive(Debug)]
pub(super) struct Crowds {
    /// The server's limit, and how many descriptors it has before anyone comes.
    limit: usize,
    before: usize,
    every: Duration,
    next: Duration,
    crowd: Option<Crowd>,
    pub(super) at_cap: Met,
    pub(super) at_limit: Met,
    pub(super) waiting_most: usize,
}

impl Crowds {
    pub(super) fn new(limit: usize, before: usize, every: Duration) -> Crowds {
        Crowds {
            limit,
            before,
            every,
            next: Duration::ZERO,
            crowd: None,
            at_cap: Met::default(),
            at_limit: Met::default(),
            waiting_most: 0,
        }
    }

    /// Looks at the crowd that is there, or lets one come if it is time and `left`, the time until the load ends,
    /// is enough for it.
    pub(super) fn step(
        &mut self,
        elapsed: Duration,
        left: Duration,
        server: &Server,
        clients: &mut Clients,
    ) -> io::Result<()> {
        let now = Instant::now();
        if let Some(crowd) = &mut self.crowd {
            if now >= crowd.next_look {
                crowd.next_look = now + LOOK_EVERY;
                self.look(server.descriptors()?, clients.open());
            }
            if clients.of(Kind::Crowd).open == 0 {
                self.end(server)?;
            }
        } else if elapsed >= self.next && left >= self.every {
            self.next += self.every;
            self.begin(server)?;
            for _ in 0..self.limit + BEYOND {
                clients.start(Kind::Crowd, now)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, server: &Server) -> io::Result<()> {
        let lack = if self.at_cap.crowds <= self.at_limit.crowds { Lack::Cap } else { Lack::Descriptors };
        match lack {
            Lack::Cap => self.at_cap.crowds += 1,
            Lack::Descriptors => {
                self.at_limit.crowds += 1;
                server.set_limit(self.limit - LOWERED_BY)?;
            }
        }
        self.crowd = Some(Crowd { lack, full: false, next_look: Instant::now() });
        Ok(())
    }

    /// Notes whether all there is was taken, and how many clients wait.
    fn look(&mut self, descriptors: usize, clients: usize) {
        let Some(crowd) = &mut self.crowd else { return };
        let (all, met) = match crowd.lack {
            // What `Config::connections_max` is by default.
            Lack::Cap => (self.before + self.limit - (self.limit / 16).max(8), &mut self.at_cap),
            Lack::Descriptors => (self.limit - LOWERED_BY, &mut self.at_limit),
        };
        if descriptors >= all && !crowd.full {
            crowd.full = true;
            met.full += 1;
        }
        let served = descriptors.saturating_sub(self.before);
        self.waiting_most = self.waiting_most.max(clients.saturating_sub(served));
    }

    /// Ends the crowd, if there is one: the server has all its descriptors again.
    pub(super) fn end(&mut self, server: &Server) -> io::Result<()> {
        match self.crowd.take() {
            Some(Crowd { lack: Lack::Descriptors, .. }) => server.set_limit(self.limit),
            Some(Crowd { lack: Lack::Cap, .. }) | None => Ok(()),
        }
    }
}
