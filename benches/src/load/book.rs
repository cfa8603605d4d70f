//! The book of a run: what may still be issued, what has been done, how long it took.
//!
//! It knows counts and times. It does not know connections, nor which scenario runs.

use rustix::time::{ClockId, clock_gettime};

use super::fault::Fault;
use super::latency::Latencies;

/// What scenarios write and the driver reads.
#[derive(Debug)]
pub(super) struct Book {
    /// The clock, in nanoseconds, as it was last read.
    now: u64,
    /// Requests that may still be issued.
    quota: u64,
    /// What is done: exchanges, connections or deliveries.
    completed: u64,
    /// Bytes that came back, all of them right.
    bytes: u64,
    failures: u64,
    first_failure: Option<Fault>,
    latencies: Option<Latencies>,
    /// Only the latency of what was due from then on is kept.
    latency_since: u64,
}

/// Without end.
pub(super) const ENDLESS: u64 = u64::MAX;

impl Book {
    /// A book that keeps latencies, or does not.
    pub(super) fn new(latencies: Option<Latencies>) -> Book {
        Book {
            now: read_clock(),
            quota: 0,
            completed: 0,
            bytes: 0,
            failures: 0,
            first_failure: None,
            latencies,
            latency_since: 0,
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Reads the clock.
    #[inline]
    pub(super) fn tick(&mut self) -> u64 {
        self.now = read_clock();
        self.now
    }

    pub(super) fn quota(&self) -> u64 {
        self.quota
    }

    pub(super) fn set_quota(&mut self, quota: u64) {
        self.quota = quota;
    }

    /// Takes leave to issue `wanted` requests; answers for how many it is given.
    #[inline]
    pub(super) fn take(&mut self, wanted: u64) -> u64 {
        let taken = wanted.min(self.quota);
        if self.quota != ENDLESS {
            self.quota -= taken;
        }
        taken
    }

    /// So many bytes came back and are right.
    #[inline]
    pub(super) fn received(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// So many requests that were due at `due` are done now.
    #[inline]
    pub(super) fn done(&mut self, due: u64, count: u64) {
        self.completed += count;
        let Some(latencies) = &mut self.latencies else { return };
        if due >= self.latency_since {
            latencies.record(self.now.saturating_sub(due), count);
        }
    }

    /// A request that was due at `due` has not been sent in all the time until `end`.
    pub(super) fn unsent(&mut self, due: u64, end: u64) {
        if let Some(latencies) = &mut self.latencies {
            latencies.record(end - due, 1);
        }
    }

    /// An exchange failed, and the run goes on.
    pub(super) fn failed(&mut self, fault: Fault) {
        self.failures += 1;
        self.first_failure.get_or_insert(fault);
    }

    pub(super) fn completed(&self) -> u64 {
        self.completed
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn first_failure(&self) -> Option<&Fault> {
        self.first_failure.as_ref()
    }

    pub(super) fn latencies(&self) -> Option<&Latencies> {
        self.latencies.as_ref()
    }

    /// Forgets the latencies so far, and keeps those of what is due from `since` on.
    pub(super) fn measure_latency_since(&mut self, since: u64) {
        self.latency_since = since;
        if let Some(latencies) = &mut self.latencies {
            latencies.reset();
        }
    }

    /// Keeps no more latencies.
    pub(super) fn stop_latency(&mut self) {
        self.latency_since = u64::MAX;
    }
}

/// The monotonic clock in nanoseconds.
#[inline]
pub(super) fn read_clock() -> u64 {
    nanos(ClockId::Monotonic)
}

/// Processor time of this thread in nanoseconds.
pub(super) fn thread_cpu() -> u64 {
    nanos(ClockId::ThreadCPUTime)
}

#[expect(clippy::cast_sign_loss, reason = "neither clock shows a time before it began")]
#[inline]
fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
