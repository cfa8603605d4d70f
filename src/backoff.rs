//! When to try again: delays that grow, with chance in them.
//!
//! It knows numbers; it reads no clock, no source of randomness, and sets no timer.

use std::time::Duration;

/// How long to wait before each further attempt, such as a reconnect.
///
/// The delay before attempt *n* is drawn evenly between [`min`](Backoff::min) and `min` times [`factor`](Backoff::factor)
/// to the *n*, which is at most [`max`](Backoff::max): with the defaults 0.5 to 1 s, then up to 2, 4, 8, 16, and at
/// last 30 s. So those that lost one server at one moment do not come back at one moment.
///
/// It is a value that a handler owns, an iterator of delays. Asked in `connect_failed` and `closed`, it says when to
/// connect again, or that it is enough. It begins anew with [`reset`](Backoff::reset): on the first frame, and not in
/// `opened`, for a server that accepts and closes at once, such as a proxy whose backend is down, would be stormed.
///
/// ```
/// use switchboard::codec::Lines;
/// use switchboard::{Backoff, CloseReason, Conn, Connect, Context, Frame, Handler, Peer, Result};
///
/// struct Client {
///     server: Connect,
///     backoff: Backoff,
/// }
///
/// impl Client {
///     fn again(&mut self, cx: &mut Context) {
///         // `None` is after the last attempt, an `Err` while the reactor stops.
///         if let Some(after) = self.backoff.next() {
///             let _ = cx.connect(self.server.clone().after(after), 0);
///         }
///     }
/// }
///
/// impl Handler for Client {
///     type Codec = Lines;
///     type Session = ();
///
///     fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
///         Some((Lines::new(), ()))
///     }
///
///     fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
///         self.backoff.reset();
///         Ok(())
///     }
///
///     fn closed(&mut self, cx: &mut Context, _: (), _: &CloseReason) {
///         self.again(cx);
///     }
///
///     fn connect_failed(&mut self, cx: &mut Context, _: u64, _: &CloseReason) {
///         self.again(cx);
///     }
/// }
/// ```
///
/// # Chance
///
/// It comes from the seed alone, so that a simulated run is the same each time. Clients with the same seed come back
/// together: within a process take a number of each, and between processes add one that differs, such as the process
/// id or the address that the last connection had.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    factor: u32,
    attempts_max: Option<u32>,
    attempts: u32,
    /// The most that the next delay may be.
    ceiling: Duration,
    chance: u64,
}

impl Backoff {
    /// Delays from 0.5 s, doubling up to 30 s, without end.
    pub fn new(seed: u64) -> Backoff {
        let mut backoff = Backoff {
            min: Duration::from_millis(500),
            max: Duration::from_secs(30),
            factor: 2,
            attempts_max: None,
            attempts: 0,
            ceiling: Duration::ZERO,
            chance: seed,
        };
        backoff.reset();
        backoff
    }

    /// The least delay: 0.5 s. Above [`max`](Backoff::max), that is the least; below 1 ms, that is: nothing grows out of
    /// zero.
    #[must_use]
    pub fn min(mut self, min: Duration) -> Backoff {
        self.min = min.max(Duration::from_millis(1));
        self.reset();
        self
    }

    /// The largest delay: 30 s.
    #[must_use]
    pub fn max(mut self, max: Duration) -> Backoff {
        self.max = max;
        self.reset();
        self
    }

    /// How many times larger each delay may be than the one before: 2, which is also the least; below, all would come
    /// at the same time.
    #[must_use]
    pub fn factor(mut self, factor: u32) -> Backoff {
        self.factor = factor.max(2);
        self.reset();
        self
    }

    /// How many attempts there may be without a [`reset`](Backoff::reset): no limit.
    #[must_use]
    pub fn attempts_max(mut self, attempts: u32) -> Backoff {
        self.attempts_max = Some(attempts);
        self
    }

    /// How many delays there were since the beginning or the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Begins anew with short delays. It costs nothing: call it on every frame.
    #[inline]
    pub fn reset(&mut self) {
        self.attempts = 0;
        self.ceiling = self.min;
    }

    /// The next of a sequence that looks random (splitmix64).
    fn chance(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The delays. `None` once there were as many as [`attempts_max`](Backoff::attempts_max) allows.
impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.attempts_max.is_some_and(|max| self.attempts >= max) {
            return None;
        }
        self.attempts = self.attempts.saturating_add(1);
        let min = self.min.min(self.max);
        self.ceiling = self.ceiling.saturating_mul(self.factor).min(self.max);
        let span = u64::try_from(self.ceiling.saturating_sub(min).as_nanos()).unwrap_or(u64::MAX);
        if wrong!(BackoffWithoutChance) {
            return Some(self.ceiling);
        }
        let some = (u128::from(self.chance()) * u128::from(span)) >> 64;
        Some(min + Duration::from_nanos(u64::try_from(some).unwrap_or(span)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn delays_are_drawn_between_the_least_and_a_growing_most() {
        let most = [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
        let (mut least_seen, mut most_seen) = ([Duration::MAX; 8], [Duration::ZERO; 8]);
        for seed in 0..2000 {
            for (at, delay) in Backoff::new(seed).take(8).enumerate() {
                assert!(delay >= 500 * MS && delay <= most[at] * MS, "{delay:?} before attempt {at}");
                least_seen[at] = delay.min(least_seen[at]);
                most_seen[at] = delay.max(most_seen[at]);
            }
        }
        for at in 0..8 {
            let span = (most[at] - 500) * MS;
            assert!(least_seen[at] < 500 * MS + span / 50, "{:?} before attempt {at}", least_seen[at]);
            assert!(most_seen[at] + span / 50 > most[at] * MS, "{:?} before attempt {at}", most_seen[at]);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays_and_another_gives_others() {
        let delays = |seed| Backoff::new(seed).take(5).collect::<Vec<_>>();
        assert_eq!(delays(7), delays(7));
        assert_ne!(delays(7), delays(8));
    }

    #[test]
    fn a_reset_begins_anew_and_goes_on_with_chance() {
        let mut backoff = Backoff::new(1).min(10 * MS).max(80 * MS).attempts_max(4);
        let first: Vec<_> = backoff.by_ref().collect();
        assert_eq!((first.len(), backoff.attempts(), backoff.next()), (4, 4, None));
        backoff.reset();
        let second: Vec<_> = backoff.by_ref().collect();
        assert_eq!(second.len(), 4);
        assert!(first[0] <= 20 * MS && second[0] <= 20 * MS && first != second, "{first:?} {second:?}");
    }

    #[test]
    fn limits_that_contradict_each_other_give_delays_all_the_same() {
        for delay in Backoff::new(1).min(100 * MS).max(10 * MS).take(5) {
            assert_eq!(delay, 10 * MS);
        }
        for delay in Backoff::new(1).min(Duration::MAX).max(Duration::MAX).factor(u32::MAX).take(5) {
            assert_eq!(delay, Duration::MAX);
        }
        let huge: Vec<_> = Backoff::new(1).max(Duration::MAX).factor(0).take(200).collect();
        assert!(huge[199] > huge[0]);
        assert_eq!(Backoff::new(1).attempts_max(0).next(), None);
        assert!(Backoff::new(1).min(Duration::ZERO).take(9).all(|delay| delay >= MS));
    }
}
