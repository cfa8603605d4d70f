//! Points in time as the core sees them: nanoseconds since the reactor's network was opened.
//!
//! It knows arithmetic that saturates; it does not know any clock. Reading one is the business of the
//! network behind the seam, so that a simulated network can hand out virtual time.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A point in time: nanoseconds on the monotonic clock of one reactor's network.
///
/// Instants of two reactors are not comparable. Arithmetic saturates at [`Instant::NEVER`], so
/// `now + Duration::MAX` is a deadline that is never reached rather than a panic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The moment the network was opened.
    pub const START: Instant = Instant(0);

    /// Later than every other instant: a deadline that is never reached (584 years after the start).
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The instant `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns how long after `earlier` this is, or zero if it is not after it.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Adds `timeout`, saturating at [`Instant::NEVER`].
    fn add(self, timeout: Duration) -> Instant {
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Instant::NEVER {
            return f.write_str("never");
        }
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_the_longest_duration_saturates() {
        assert_eq!(Instant::from_nanos(5) + Duration::MAX, Instant::NEVER);
        assert_eq!(Instant::NEVER + Duration::from_secs(1), Instant::NEVER);
        assert_eq!((Instant::from_nanos(5) + Duration::from_nanos(3)).as_nanos(), 8);
    }

    #[test]
    fn an_instant_reads_as_the_time_since_the_start() {
        assert_eq!(format!("{:?}", Instant::from_nanos(1_500_000)), "1.5ms");
        assert_eq!(format!("{:?}", Instant::NEVER), "never");
    }

    #[test]
    fn since_a_later_instant_is_zero() {
        let (early, late) = (Instant::from_nanos(1), Instant::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.since(early), Duration::from_nanos(3));
    }
}
