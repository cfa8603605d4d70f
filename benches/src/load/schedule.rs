//! The open loop: when each request is due, whatever became of those before it.
//!
//! It knows a rate and times. It does not know requests, connections or a clock.
//!
//! Latency counts from the time at which a request was due, not from the time at which it was sent. A server that
//! stands still for a second at 1,000 requests per second so delays a thousand of them, not one: leaving the
//! others out is called coordinated omission.

/// A request that left so long after it was due, though a connection was free, was late by our own fault.
pub(super) const LATE_NANOS: u64 = 100_000;

/// An endless row of requests at a fixed rate.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    start: u64,
    /// Requests per second.
    rate: f64,
    /// The number of the next request.
    next: u64,
    /// Those below it had to wait for a connection.
    waited_below: u64,
    /// Only what is due from then on is counted.
    since: u64,
    counts: Counts,
}

/// What became of the requests that were due in the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Those that were sent.
    pub(super) sent: u64,
    /// Those of them that left late though a connection was free.
    pub(super) late: u64,
    /// Those of them that waited because every connection had as many on their way as it may.
    pub(super) waited: u64,
}

impl Schedule {
    /// The first request is due at `start`, in nanoseconds, and then `rate` each second.
    pub(super) fn new(start: u64, rate: f64) -> Schedule {
        assert!(rate > 0.0, "checked where it is read");
        Schedule { start, rate, next: 0, waited_below: 0, since: 0, counts: Counts::default() }
    }

    /// When the next request is due.
    pub(super) fn next_due(&self) -> u64 {
        self.due(self.next)
    }

    /// The next request has been sent at `now`.
    pub(super) fn sent(&mut self, now: u64) {
        let due = self.next_due();
        if due >= self.since {
            self.counts.sent += 1;
            if self.next < self.waited_below {
                self.counts.waited += 1;
            } else if now.saturating_sub(due) > LATE_NANOS {
                self.counts.late += 1;
            }
        }
        self.next += 1;
    }

    /// No connection is free at `now`: whatever is due and not sent has to wait.
    pub(super) fn blocked(&mut self, now: u64) {
        self.waited_below = self.waited_below.max(self.due_before(now + 1));
    }

    /// Counts only what is due from `since` on.
    pub(super) fn count_since(&mut self, since: u64) {
        self.since = since;
        self.counts = Counts::default();
    }

    /// What has become of the requests that are due from there on.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// When each request was due that is due before `end`, counts, and has not been sent.
    pub(super) fn unsent(&self, end: u64) -> impl Iterator<Item = u64> + '_ {
        (self.next..self.due_before(end)).map(|number| self.due(number)).filter(|&due| due >= self.since)
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of requests stay far below 2^52")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a run lasts days, not centuries"
    )]
    fn due(&self, number: u64) -> u64 {
        self.start + (number as f64 * 1e9 / self.rate) as u64
    }

    /// How many are due before `time`.
    #[expect(clippy::cast_precision_loss, reason = "a run lasts days, not centuries")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of requests fit")]
    fn due_before(&self, time: u64) -> u64 {
        if time <= self.start {
            return 0;
        }
        // Off by one at most, by rounding.
        let mut count = ((time - self.start) as f64 * self.rate / 1e9) as u64;
        while self.due(count) < time {
            count += 1;
        }
        while count > 0 && self.due(count - 1) >= time {
            count -= 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn requests_are_due_at_the_rate_and_do_not_drift() {
        let mut schedule = Schedule::new(5, 3.0);
        for number in 0..3_000_000_u64 {
            if number % 3 == 0 {
                assert_eq!(schedule.next_due(), 5 + number / 3 * SECOND);
            }
            schedule.sent(0);
        }
    }

    #[test]
    fn what_is_due_is_counted_as_its_naive_twin_does() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..200 {
            let start = random.u64(0..SECOND);
            let schedule = Schedule::new(start, 1.0 + random.f64() * 1e6);
            let end = start + random.u64(0..2_000_000);
            let naive = (0..10_000).map(|number| schedule.due(number)).take_while(|&due| due < end).count();
            assert_eq!(schedule.due_before(end), naive as u64);
        }
    }

    #[test]
    fn a_request_that_leaves_late_is_counted() {
        let mut schedule = Schedule::new(0, 1000.0);
        schedule.sent(LATE_NANOS);
        schedule.sent(1_000_000 + LATE_NANOS + 1);
        assert_eq!(schedule.counts(), Counts { sent: 2, late: 1, waited: 0 });
    }

    #[test]
    fn what_waits_for_a_connection_is_not_called_late() {
        let mut schedule = Schedule::new(0, 1000.0);
        // At 2.5 ms, three are due and none can be sent.
        schedule.blocked(2_500_000);
        for _ in 0..4 {
            schedule.sent(10_000_000);
        }
        assert_eq!(schedule.counts(), Counts { sent: 4, late: 1, waited: 3 });
    }

    #[test]
    fn only_what_is_due_in_the_measured_time_counts() {
        let mut schedule = Schedule::new(0, 1000.0);
        schedule.sent(0);
        schedule.count_since(1_500_000);
        schedule.sent(9_000_000);
        schedule.sent(9_000_000);
        assert_eq!(schedule.counts(), Counts { sent: 1, late: 1, waited: 0 });
        let unsent: Vec<_> = schedule.unsent(5_000_000).collect();
        assert_eq!(unsent, [3_000_000, 4_000_000]);
        assert_eq!(schedule.unsent(3_000_000).count(), 0, "what is due at the end is not due before it");
    }
}
