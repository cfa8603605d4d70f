//! One line a second: what keeps a log readable, and its disk free, when something happens all the time.
//!
//! It knows when it let the last line through and how many it has held back since; it writes none.

use std::time::Duration;

use crate::instant::Instant;

const INTERVAL: Duration = Duration::from_secs(1);

/// The limit of one kind of line.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    /// Not before then.
    next: Instant,
    held_back: u64,
}

impl LogLimit {
    /// Whether a line may be written now, and then how many were held back since the last one.
    pub(super) fn admit(&mut self, now: Instant) -> Option<u64> {
        if now < self.next {
            self.held_back += 1;
            return None;
        }
        self.next = now + INTERVAL;
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // N5: ten thousand a second.
    #[test]
    fn n5_one_line_a_second_says_how_many_were_held_back() {
        let mut limit = LogLimit::default();
        let lines: Vec<_> =
            (0..30_000).filter_map(|n| limit.admit(Instant::from_nanos(n * 100_000))).collect();
        assert_eq!(lines, [0, 9_999, 9_999]);
    }

    #[test]
    fn what_happens_seldom_is_always_written() {
        let mut limit = LogLimit::default();
        for second in 0..5 {
            assert_eq!(limit.admit(Instant::START + INTERVAL * second), Some(0));
        }
    }
}
