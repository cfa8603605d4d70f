//! What a soak found: the table of what was done, and each criterion with its numbers.
//!
//! It judges numbers; it does not take them.

use std::fmt;
use std::time::Duration;

use super::server::Sample;

/// A criterion, whether it is met, and by which numbers.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) what: &'static str,
    pub(super) met: bool,
    pub(super) numbers: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.met { "ok" } else { "FAILED" };
        write!(f, "{word:<6} {}: {}", self.what, self.numbers)
    }
}

/// How much higher the median of the last third may be than that of the first, in KiB.
///
/// What is resident under load moves with chance: how many queues are full at once, and what the allocator
/// keeps for the next. The median moves by some 200 KiB. A leak does not move, it grows: a block of 32 bytes for
/// each connection makes 4 MiB between these thirds of ten minutes.
const MEDIAN_GROWTH_KIB_MAX: u64 = 1024;

/// How much higher the maximum may be, in KiB. It moves by some 700 KiB.
const MOST_GROWTH_KIB_MAX: u64 = 2048;

/// In less time than this a third does not see everything, such as the same crowds as the others. It is then a
/// smoke, which finds what is wrong at large.
const WHOLE: Duration = Duration::from_secs(300);

/// How much higher both may be in a smoke, in KiB.
const SMOKE_GROWTH_KIB_MAX: u64 = 4096;

/// Resident memory in one third of the time, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Third {
    pub(super) median: u64,
    pub(super) most: u64,
}

impl Third {
    fn of(samples: &[(Duration, Sample)], from: Duration, to: Duration) -> Option<Third> {
        let within = samples.iter().filter(|(at, _)| (from..to).contains(at));
        let mut resident: Vec<u64> = within.map(|(_, sample)| sample.resident_kib).collect();
        resident.sort_unstable();
        Some(Third { median: *resident.get(resident.len() / 2)?, most: *resident.last()? })
    }
}

/// Whether resident memory is flat from `warm` to `end`: neither the median nor the maximum of the last third is
/// above that of the first by more than it may.
pub(super) fn memory(samples: &[(Duration, Sample)], warm: Duration, end: Duration) -> Check {
    let (median, most) = if end < WHOLE {
        (SMOKE_GROWTH_KIB_MAX, SMOKE_GROWTH_KIB_MAX)
    } else {
        (MEDIAN_GROWTH_KIB_MAX, MOST_GROWTH_KIB_MAX)
    };
    let third = end.saturating_sub(warm) / 3;
    let first = Third::of(samples, warm, warm + third);
    let last = Third::of(samples, end.saturating_sub(third), end + Duration::from_millis(1));
    let (met, numbers) = match (first, last) {
        (Some(first), Some(last)) => (
            last.median <= first.median + median && last.most <= first.most + most,
            format!(
                "median {} KiB in the first third after warm-up, {} in the last, {median} more allowed; \
                 at most {} and {}, {most} more allowed",
                first.median, last.median, first.most, last.most
            ),
        ),
        _ => (false, "not enough samples".into()),
    };
    Check { what: "resident memory is flat", met, numbers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(resident: impl Fn(u64) -> u64) -> Vec<(Duration, Sample)> {
        let sample = |at| Sample { descriptors: 0, resident_kib: resident(at), ticks: 0, switches: 0 };
        (0..600).map(|at| (Duration::from_secs(at), sample(at))).collect()
    }

    fn flat(resident: impl Fn(u64) -> u64) -> bool {
        memory(&samples(resident), Duration::from_secs(60), Duration::from_secs(600)).met
    }

    #[test]
    fn noise_is_flat_and_so_is_what_warm_up_brings() {
        assert!(flat(|at| 5000 + at * 7919 % 900));
        assert!(flat(|at| if at < 60 { at * 100 } else { 6000 }));
    }

    #[test]
    fn what_grows_is_not_flat_slowly_or_in_peaks() {
        // Three KiB a second: 1,080 KiB from the first third to the last.
        assert!(!flat(|at| 5000 + 3 * at));
        assert!(!flat(|at| if at == 590 { 7049 } else { 5000 }));
        assert!(flat(|at| if at == 590 { 7048 } else { 5000 }));
    }

    #[test]
    fn without_samples_nothing_is_flat() {
        assert!(!memory(&[], Duration::ZERO, Duration::from_secs(9)).met);
    }
}
