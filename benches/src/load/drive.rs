//! The loop: waits for events, hands them to the scenario, sends what an open loop has due, loses patience.
//!
//! It knows readiness and the clock. It does not know what a scenario does on its connections, nor which part of
//! a run is measured.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{Event, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::book::Book;
use super::progress::Progress;
use super::schedule::Schedule;
use super::sockets::Poll;

/// What is done on connections. Tokens are its own, below [`TIMER`].
pub(super) trait Scenario {
    /// Something has become of the connection behind `token`.
    fn ready(&mut self, token: u64, flags: EventFlags, book: &mut Book) -> io::Result<()>;

    /// Begins, with nothing on its way: in a closed loop as many requests as may be, in an open loop none.
    fn begin(&mut self, book: &mut Book) -> io::Result<()>;

    /// In an open loop: issues one request, due at `due`.
    fn issue(&mut self, due: u64, book: &mut Book) -> io::Result<Issued>;

    /// How much is on its way.
    fn outstanding(&self) -> u64;

    /// Gives up what has waited for an answer since before `before`.
    fn give_up(&mut self, before: u64, patience: Duration, book: &mut Book) -> io::Result<()>;
}

/// What became of a request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issued {
    /// It is on its way.
    Sent,
    /// No connection is free for it.
    NoneFree,
}

/// When to stop turning.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// At a time.
    Time(u64),
    /// When all that may be issued has been, and nothing is on its way.
    Quiet,
}

/// The token of the timer of an open loop.
const TIMER: u64 = u64::MAX;

/// How many events are taken from the kernel at once.
const EVENTS: usize = 256;

/// How often there is time for what is no exchange: the bar, patience, Ctrl-C.
const CHORES_EVERY: u64 = 100_000_000;

/// The loop and what it waits with.
pub(super) struct Driver {
    poll: Poll,
    events: Vec<Event>,
    schedule: Option<Schedule>,
    timer: OwnedFd,
    timer_due: u64,
    interrupts: Arc<AtomicU32>,
    patience: Duration,
    next_chores: u64,
    progress: Progress,
}

impl Driver {
    pub(super) fn new(interrupts: Arc<AtomicU32>, patience: Duration) -> io::Result<Driver> {
        let poll = Poll::new()?;
        // A timer, because a wait of epoll is rounded up to milliseconds. It is exact, and an edge needs no read.
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        poll.add(&timer, TIMER, EventFlags::IN)?;
        Ok(Driver {
            poll,
            events: Vec::with_capacity(EVENTS),
            schedule: None,
            timer,
            timer_due: 0,
            interrupts,
            patience,
            next_chores: 0,
            progress: Progress::new(),
        })
    }

    pub(super) fn poll(&self) -> &Poll {
        &self.poll
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The open loop, if it is one.
    pub(super) fn schedule(&mut self) -> &mut Option<Schedule> {
        &mut self.schedule
    }

    pub(super) fn interrupted(&self) -> bool {
        self.interrupts.load(Ordering::Relaxed) > 0
    }

    /// Turns until it is time, or Ctrl-C. `show` is told how it goes, now and then.
    pub(super) fn turn_until<S: Scenario>(
        &mut self,
        until: Until,
        scenario: &mut S,
        book: &mut Book,
        mut show: impl FnMut(&Progress, &Book),
    ) -> io::Result<()> {
        self.pump(scenario, book)?;
        loop {
            let (over, deadline) = match until {
                Until::Time(time) => (book.now() >= time, time),
                Until::Quiet => (scenario.outstanding() == 0 && book.quota() == 0, u64::MAX),
            };
            if over || self.interrupted() {
                return Ok(());
            }
            self.turn(deadline, scenario, book)?;
            if book.now() >= self.next_chores {
                self.next_chores = book.now() + CHORES_EVERY;
                show(&self.progress, book);
                let patience = u64::try_from(self.patience.as_nanos()).unwrap_or(u64::MAX);
                scenario.give_up(book.now().saturating_sub(patience), self.patience, book)?;
            }
        }
    }

    /// Waits for events, not beyond `deadline`, and serves them.
    fn turn<S: Scenario>(&mut self, deadline: u64, scenario: &mut S, book: &mut Book) -> io::Result<()> {
        let timeout = self.timeout(deadline, book)?;
        self.poll.wait(&mut self.events, &timeout)?;
        if self.events.is_empty() {
            book.tick();
        }
        // Lent away, so that the schedule can be served between two events.
        let mut events = std::mem::take(&mut self.events);
        for event in &events {
            match event.data.u64() {
                TIMER => _ = book.tick(),
                token => scenario.ready(token, event.flags, book)?,
            }
            if self.schedule.is_some() {
                self.pump(scenario, book)?;
            }
        }
        events.clear();
        self.events = events;
        self.pump(scenario, book)
    }

    /// Sends what is due.
    fn pump<S: Scenario>(&mut self, scenario: &mut S, book: &mut Book) -> io::Result<()> {
        let Some(schedule) = &mut self.schedule else { return Ok(()) };
        while book.quota() > 0 && schedule.next_due() <= book.now() {
            match scenario.issue(schedule.next_due(), book)? {
                Issued::Sent => {
                    book.take(1);
                    schedule.sent(book.now());
                    book.tick();
                }
                Issued::NoneFree => {
                    schedule.blocked(book.now());
                    break;
                }
            }
        }
        Ok(())
    }

    /// How long to wait; sets the timer where milliseconds are too coarse.
    fn timeout(&mut self, deadline: u64, book: &Book) -> io::Result<Timespec> {
        let mut wake = deadline.min(self.next_chores);
        if let Some(schedule) = &self.schedule
            && book.quota() > 0
        {
            let due = schedule.next_due();
            // What is due already waits for an answer, not for the time.
            if due > book.now() && due < wake {
                if due != self.timer_due {
                    self.set_timer(due)?;
                }
                wake = u64::MAX;
            }
        }
        Ok(timespec(wake.saturating_sub(book.now()).min(CHORES_EVERY)))
    }

    fn set_timer(&mut self, due: u64) -> io::Result<()> {
        let once = Itimerspec { it_interval: timespec(0), it_value: timespec(due) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        self.timer_due = due;
        Ok(())
    }
}

#[expect(clippy::cast_possible_wrap, reason = "seconds of a monotonic clock are far below 2^63")]
fn timespec(nanos: u64) -> Timespec {
    Timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as i64 }
}
