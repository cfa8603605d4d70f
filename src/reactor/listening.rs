//! What is known of a listener besides its socket: whether connections may wait, and when accepting pauses.
//!
//! It knows how long a pause is and when an episode of them is over. What is accepted, and why accepting fails, is
//! not its business.

use std::fmt;
use std::time::Duration;

use crate::id::ListenerId;
use crate::instant::Instant;
use crate::net::{Network, Trigger};

/// A listener of the reactor.
pub(super) struct Listening<N: Network> {
    pub(super) id: ListenerId,
    pub(super) listener: N::Listener,
    pub(super) key: u64,
    /// When polls tell of it. By level while accepting goes on: then nobody need ask whether there is one more,
    /// and to be told that there is none costs as much as a connection. By edge while connections wait that cannot
    /// be accepted: a poll that tells of them each time does not wait.
    pub(super) trigger: Trigger,
    /// The last turn that left it to the next poll to say whether there are more.
    pub(super) trusted_in: u64,
    /// Connections may be waiting; no further event will say so.
    pub(super) ready: bool,
    /// To be closed once nothing is waiting.
    pub(super) closing: bool,
    /// While its own socket is in trouble, which is nothing to the other listeners.
    pub(super) pause: Pause,
}

impl<N: Network> Listening<N> {
    pub(super) fn new(id: ListenerId, listener: N::Listener, key: u64) -> Listening<N> {
        // An adopted listener may have connections waiting that arrived before it was registered.
        let (trigger, ready) = (Trigger::Edge, true);
        Listening {
            id,
            listener,
            key,
            trigger,
            trusted_in: 0,
            ready,
            closing: false,
            pause: Pause::default(),
        }
    }

    /// Whether accepting from it would get on.
    pub(super) fn can_accept(&self) -> bool {
        self.ready && self.pause.until.is_none()
    }

    /// Whether the next poll will tell if more are waiting.
    pub(super) fn is_told_again(&self) -> bool {
        self.trigger == Trigger::Level && !self.closing
    }
}

impl<N: Network> fmt::Debug for Listening<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening")
            .field("id", &self.id)
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

/// What is common to all listeners.
#[derive(Debug, Default)]
pub(super) struct Accepting {
    /// While the system has no descriptor or no memory left.
    pub(super) pause: Pause,
}

/// When accepting goes on after the system had no descriptor or no memory left.
///
/// A reactor at the edge of its descriptors takes one connection in after each close and is out of them again.
/// That is one long episode and not many: it is over once nobody was waiting and the last pause is some time ago.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// Until then, while paused.
    pub(super) until: Option<Instant>,
    /// How long the last pause was to be; zero outside of an episode.
    length: Duration,
    /// When the last pause began.
    since: Instant,
}

impl Pause {
    /// Ends the wait but not the episode: a descriptor became free.
    pub(super) fn cut_short(&mut self) {
        self.until = None;
    }

    /// Ends the wait if its time has come.
    pub(super) fn end_if_due(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now >= until) {
            self.until = None;
        }
    }

    /// Begins an episode or prolongs it, each time for twice as long; whether this is its beginning.
    pub(super) fn prolong(&mut self, now: Instant, min: Duration, max: Duration) -> bool {
        let first = self.length.is_zero();
        self.length = self.length.saturating_mul(2).clamp(min, max);
        self.since = now;
        self.until = Some(now + self.length);
        first
    }

    /// Accepting works and nobody is waiting: the episode is over, unless it was only just paused.
    pub(super) fn relax(&mut self, now: Instant, max: Duration) {
        if !self.length.is_zero() && now.since(self.since) >= max {
            self.length = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C1: from 5 ms, doubling to 1 s, and from 5 ms again in the next episode.
    #[test]
    fn c1_pauses_double_within_an_episode_and_begin_anew_after_it() {
        let (min, max) = (Duration::from_millis(5), Duration::from_secs(1));
        let mut pause = Pause::default();
        let mut lengths = Vec::new();
        for n in 0..10 {
            assert_eq!(pause.prolong(Instant::START, min, max), n == 0, "one log line per episode");
            lengths.push(pause.length.as_millis());
        }
        assert_eq!(lengths, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        pause.relax(Instant::START + max, max);
        assert!(pause.prolong(Instant::START, min, max));
        assert_eq!(pause.until, Some(Instant::START + min));
    }

    // C1, N5: out of descriptors after each connection for an hour is one episode with one log line.
    #[test]
    fn c1_a_reactor_at_the_edge_of_its_descriptors_is_in_one_episode() {
        let (min, max) = (Duration::from_millis(5), Duration::from_secs(1));
        let mut pause = Pause::default();
        let mut now = Instant::START;
        for n in 0..3600 * 4 {
            assert_eq!(pause.prolong(now, min, max), n == 0);
            pause.cut_short();
            now = now + Duration::from_millis(250);
            pause.relax(now, max);
        }
    }
}
