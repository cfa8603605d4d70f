//! A connect that cannot even begin now: to a Unix listener whose backlog is full, of which no event will tell that it is
//! not any more.
//!
//! It knows when to try again; what a try comes to is `connect`'s business. Nothing of it costs a turn in which nobody
//! waits: the pause is the wait of a slot like any other.

use std::time::Duration;

use crate::connect::Connect;
use crate::instant::Instant;

/// The first pause, and the longest: each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// A connect that is to be tried again.
pub(super) struct Again {
    pub(super) connect: Connect,
    pub(super) pause: Pause,
}

impl Again {
    pub(super) fn new(connect: Connect) -> Again {
        Again { connect, pause: Pause::new() }
    }
}

/// How long to wait before the next try.
pub(super) struct Pause(Duration);

impl Pause {
    pub(super) fn new() -> Pause {
        Pause(PAUSE_MIN)
    }

    /// When the next try is.
    pub(super) fn put_off(&mut self, now: Instant) -> Instant {
        let at = now + self.0;
        self.0 = self.0.saturating_mul(2).min(PAUSE_MAX);
        if wrong!(UnixConnectNotRetried) { Instant::NEVER } else { at }
    }
}
