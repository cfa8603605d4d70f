//! All clients of the soak: one poll, one thread, so many of each kind and so many a second.
//!
//! It knows who is there and how each ended; it does not know the server's process.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::client::{Client, Desk, Fate, Fault, Sums};
use super::mix::{KINDS, Kind, Plan};

/// How often every client is visited, event or not: what its plan tells it to do next may be due.
const ROUND: Duration = Duration::from_millis(2);

/// How many faults are kept to be shown. All are counted.
const FAULTS_SHOWN: usize = 20;

/// The clients.
#[derive(Debug)]
pub(super) struct Clients {
    addr: SocketAddr,
    poll: Poll,
    events: Events,
    there: Slab<Client>,
    desk: Desk,
    next_round: Instant,
    kinds: [OfKind; KINDS],
    pub(super) faults: Faults,
}

/// What became of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfKind {
    pub(super) open: usize,
    pub(super) started: u64,
    pub(super) served: u64,
    pub(super) left: u64,
    pub(super) cut: u64,
    pub(super) failed: u64,
    next: Option<Instant>,
}

/// What must not have happened.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) wrong_bytes: u64,
    pub(super) fates: u64,
    pub(super) shown: Vec<String>,
}

impl Clients {
    pub(super) fn new(addr: SocketAddr, seed: u64) -> io::Result<Clients> {
        Ok(Clients {
            addr,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            there: Slab::new(),
            desk: Desk::new(seed),
            next_round: Instant::now(),
            kinds: [OfKind::default(); KINDS],
            faults: Faults::default(),
        })
    }

    pub(super) fn open(&self) -> usize {
        self.there.len()
    }

    pub(super) fn of(&self, kind: Kind) -> OfKind {
        self.kinds[kind as usize]
    }

    pub(super) fn sums(&self) -> Sums {
        self.desk.sums
    }

    /// Starts those of `kinds` whose time has come.
    pub(super) fn start_due(
        &mut self,
        now: Instant,
        kinds: impl IntoIterator<Item = Kind>,
    ) -> io::Result<()> {
        for kind in kinds {
            let (most, after_ms) = kind.rate();
            let of = self.kinds[kind as usize];
            if of.open < most && of.next.is_none_or(|next| now >= next) {
                // On average this long after the one before.
                let after = Duration::from_millis(after_ms).mul_f64(2.0 * self.desk.rng.f64());
                self.kinds[kind as usize].next = Some(now + after);
                self.start(kind, now)?;
            }
        }
        Ok(())
    }

    /// Starts one more. An error is ours: no descriptor or port is left on this side.
    pub(super) fn start(&mut self, kind: Kind, now: Instant) -> io::Result<()> {
        let plan = Plan::new(kind, &mut self.desk.rng);
        self.kinds[kind as usize].started += 1;
        let mut client = match Client::start(plan, self.addr, now, &mut self.desk.rng) {
            Ok(client) => client,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.kinds[kind as usize].failed += 1;
                self.fault(Fault::Fate(format!("{}: connect: {error}", kind.name())));
                return Ok(());
            }
            Err(error) => return Err(io::Error::other(format!("a client cannot be made: {error}"))),
        };
        let entry = self.there.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(client.source(), Token(entry.key()), both)?;
        entry.insert(client);
        self.kinds[kind as usize].open += 1;
        Ok(())
    }

    /// Waits for events until the next round at most, and lets everyone do what is due.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        let timeout = self.next_round.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        let noticed: Vec<usize> = self
            .events
            .iter()
            .filter_map(|event| {
                // All are noticed before anyone is visited, so nobody has left and nobody taken a place yet.
                let key = event.token().0;
                self.there.get_mut(key).map(|client| client.notice(event)).map(|()| key)
            })
            .collect();
        for key in noticed {
            self.visit(key, now);
        }
        if now >= self.next_round {
            self.next_round = now + ROUND;
            let keys: Vec<usize> = self.there.iter().map(|(key, _)| key).collect();
            for key in keys {
                self.visit(key, now);
            }
        }
        Ok(())
    }

    fn visit(&mut self, key: usize, now: Instant) {
        let Some(client) = self.there.get_mut(key) else { return };
        let ended = match client.visit(now, &mut self.desk) {
            Ok(None) => return,
            Ok(Some(fate)) => Ok(fate),
            Err(fault) => Err(fault),
        };
        let kind = client.kind();
        // Dropped, it is closed, and closed it is out of the poll.
        drop(self.there.remove(key));
        let of = &mut self.kinds[kind as usize];
        of.open -= 1;
        match ended {
            Ok(Fate::Served) => of.served += 1,
            Ok(Fate::Left) => of.left += 1,
            Ok(Fate::Cut) => of.cut += 1,
            Err(fault) => {
                of.failed += 1;
                self.fault(fault);
            }
        }
    }

    fn fault(&mut self, fault: Fault) {
        let what = match fault {
            Fault::WrongByte(what) => {
                self.faults.wrong_bytes += 1;
                what
            }
            Fault::Fate(what) => {
                self.faults.fates += 1;
                what
            }
        };
        if self.faults.shown.len() < FAULTS_SHOWN {
            self.faults.shown.push(what);
        }
    }

    /// Lets everyone finish; nobody sends anything new.
    pub(super) fn wind_down(&mut self) {
        let now = Instant::now();
        for (_, client) in &mut self.there {
            client.wind_down(now);
        }
    }

    /// Ends those who are still there, each of which is a fault.
    pub(super) fn give_up(&mut self) {
        for (_, client) in std::mem::take(&mut self.there) {
            self.kinds[client.kind() as usize].open -= 1;
            self.kinds[client.kind() as usize].failed += 1;
            self.fault(client.fate("still there at the end"));
        }
    }
}
