//! How long a call may still wait.
//!
//! It reads the monotonic clock, and only if there is an end to wait for.

use std::time::{Duration, Instant};

/// The longest single wait, in milliseconds an `i32`: what every system takes. Longer timeouts wait again.
const WAIT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// How long a call may still wait.
pub(super) enum Wait {
    NotAtAll,
    Until(Instant),
    WithoutEnd,
}

impl Wait {
    pub(super) fn new(timeout: Option<Duration>) -> Wait {
        match timeout {
            Some(Duration::ZERO) => Wait::NotAtAll,
            // A deadline that no clock will reach is none.
            Some(timeout) => Instant::now().checked_add(timeout).map_or(Wait::WithoutEnd, Wait::Until),
            None => Wait::WithoutEnd,
        }
    }

    /// The timeout of the next system call: zero once it is over, `None` without end.
    pub(super) fn left(&self) -> Option<Duration> {
        match self {
            Wait::NotAtAll => Some(Duration::ZERO),
            Wait::Until(end) => Some(end.saturating_duration_since(Instant::now()).min(WAIT_MAX)),
            Wait::WithoutEnd => None,
        }
    }
}
