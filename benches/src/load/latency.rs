//! Latencies as they are gathered, and the percentiles that are shown of them.
//!
//! It knows nanoseconds and counts. It does not know where they come from.

use hdrhistogram::Histogram;

use crate::report::Latency;

/// An hour: what takes longer is counted as that.
const MAX_NANOS: u64 = 3_600_000_000_000;

/// A histogram with three significant digits.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(1, MAX_NANOS, 3).expect("these bounds are in order"))
    }

    /// Counts `count` exchanges that took `nanos` each.
    pub(super) fn record(&mut self, nanos: u64, count: u64) {
        // Never an error: the value is within bounds.
        self.0.saturating_record_n(nanos, count);
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.0.reset();
    }

    /// The percentiles in microseconds; none if there was nothing.
    pub(super) fn percentiles(&self) -> Option<Latency> {
        if self.0.is_empty() {
            return None;
        }
        // The histogram answers with the end of a bucket, which may lie above the highest that was counted.
        let at = |quantile| micros(self.0.value_at_quantile(quantile).min(self.0.max()));
        Some(Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(self.0.max()),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "an hour of nanoseconds is below 2^52")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_a_sorted_list() {
        let mut latencies = Latencies::new();
        let mut random = fastrand::Rng::with_seed(3);
        // From a microsecond to a second, as many of each order of magnitude.
        let mut all: Vec<u64> =
            (0..100_000).map(|_| 10_u64.pow(random.u32(3..9)) * random.u64(1..10)).collect();
        for &nanos in &all {
            latencies.record(nanos, 1);
        }
        all.sort_unstable();
        let found = latencies.percentiles().expect("there are some");
        for (quantile, found) in [(500, found.p50), (900, found.p90), (990, found.p99), (999, found.p999)] {
            let exact = micros(all[all.len() * quantile / 1000 - 1]);
            assert!((found - exact).abs() <= exact / 1000.0, "{quantile}: {found} is not {exact}");
        }
        let highest = all.last().copied().map(micros).expect("there is one");
        assert!((found.max - highest).abs() <= highest / 1000.0);
    }

    #[test]
    fn nothing_has_no_percentiles() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentiles(), None);
        latencies.record(5000, 3);
        assert!(latencies.percentiles().is_some());
        latencies.reset();
        assert_eq!(latencies.percentiles(), None);
    }

    #[test]
    fn what_takes_longer_than_an_hour_is_counted_as_an_hour() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX, 1);
        let hour = micros(MAX_NANOS);
        assert!((latencies.percentiles().expect("there is one").max - hour).abs() < hour / 1000.0);
    }

    #[test]
    fn no_percentile_is_above_the_slowest() {
        let mut latencies = Latencies::new();
        latencies.record(1_234_567, 1);
        let found = latencies.percentiles().expect("there is one");
        assert!(found.p50 <= found.max && found.p999 <= found.max);
    }
}
