//! The wheel against a naive twin, and its edges.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

const MILLISECOND: u64 = TICK_NANOS;
const DAY: u64 = 86_400_000 * MILLISECOND;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn expired(wheel: &mut Wheel, now: Instant) -> Vec<u32> {
    let mut due = Vec::new();
    wheel.expire(now, &mut due);
    due
}

/// Sleeps from wake-up to wake-up until nothing is linked; answers how often it woke.
fn wakeups_until_empty(wheel: &mut Wheel) -> usize {
    let mut count = 0;
    while let Some(now) = wheel.next_wakeup() {
        wheel.expire(now, &mut Vec::new());
        count += 1;
        assert!(count < 1_000, "woken for nothing");
    }
    assert_eq!(wheel.len(), 0);
    count
}

/// Mostly short, sometimes years, often next to where a digit of the tick turns over.
fn some_delay(rng: &mut fastrand::Rng, now: u64) -> u64 {
    let nanos = rng.u64(..) >> rng.u32(0..64);
    match rng.u8(0..8) {
        0 => 0,
        1 => u64::MAX,
        2 | 3 => {
            let unit = MILLISECOND * 64u64.pow(rng.u32(0..8));
            let turnover = (now / unit).saturating_add(rng.u64(1..3)).saturating_mul(unit);
            let nudge = [0, 1, MILLISECOND - 1, MILLISECOND][rng.usize(0..4)];
            let near = if rng.bool() { turnover - nudge } else { turnover.saturating_add(nudge) };
            near.saturating_sub(now)
        }
        _ => nanos,
    }
}

/// The wheel's naive twin: every linked node, sorted by when it is due.
#[derive(Default)]
struct Sorted(BTreeSet<(Instant, u32)>);

impl Sorted {
    fn insert(&mut self, node: u32, now: Instant, deadline: Instant) {
        if deadline > LAST {
            return;
        }
        let due_at = if deadline <= now { deadline } else { instant_of(tick_of(deadline)) };
        self.0.insert((due_at, node));
    }

    fn remove(&mut self, node: u32) -> bool {
        let before = self.0.len();
        self.0.retain(|&(_, other)| other != node);
        self.0.len() < before
    }

    fn expire(&mut self, now: Instant) -> Vec<u32> {
        let later = self.0.split_off(&(now + Duration::from_nanos(1), 0));
        let due = std::mem::replace(&mut self.0, later);
        due.into_iter().map(|(_, node)| node).collect()
    }
}

#[test]
fn the_wheel_does_what_a_sorted_set_does() {
    for seed in 0..600 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let nodes = 1 << rng.u32(0..8);
        let (mut wheel, mut model) = (Wheel::new(), Sorted::default());
        let mut now = at(some_delay(&mut rng, 0) >> rng.u32(0..64));
        let mut due = Vec::new();
        for step in 0..2_500 {
            let context = || format!("seed {seed}, step {step}, now {now:?}");
            let node = rng.u32(0..nodes);
            if rng.u8(0..8) > 0 {
                assert_eq!(wheel.remove(node), model.remove(node), "{}", context());
                assert_eq!(wheel.deadline(node), None);
                let deadline = at(now.as_nanos().saturating_add(some_delay(&mut rng, now.as_nanos())));
                wheel.insert(node, now, deadline);
                model.insert(node, now, deadline);
                assert_eq!(wheel.is_linked(node), deadline <= LAST, "{}", context());
            } else {
                let may_expire = wheel.may_expire(now);
                wheel.expire(now, &mut due);
                assert!(may_expire || due.is_empty(), "{}", context());
                due.sort_unstable();
                let mut expected = model.expire(now);
                expected.sort_unstable();
                assert_eq!(due, expected, "{}", context());
                due.clear();
            }
            assert_eq!(wheel.len(), model.0.len(), "{}", context());
            assert_eq!(wheel.is_empty(), model.0.is_empty(), "{}", context());

            let wakeup = wheel.next_wakeup();
            let first = model.0.first().map(|&(due_at, _)| due_at);
            assert_eq!(wakeup.is_some(), first.is_some(), "{}", context());
            if first > Some(now) {
                assert!(wakeup > Some(instant_of(wheel.tick)), "{}", context());
                assert!(wakeup <= first, "{}", context());
                assert!(wakeup == first || wheel.len() > WALK_MAX, "{}", context());
            } else {
                assert!(wakeup <= Some(now), "{}", context());
            }

            now = match (rng.u8(0..16), wakeup) {
                (0, Some(wakeup)) => now.max(wakeup),
                (1, Some(wakeup)) => now.max(at(wakeup.as_nanos().saturating_sub(1))),
                (2, _) => now + Duration::from_nanos(rng.u64(..=DAY) >> rng.u32(0..48)),
                (3, _) if rng.u8(..) == 0 => now + Duration::from_nanos(rng.u64(..=40_000 * DAY)),
                (4..8, _) => now + Duration::from_nanos(rng.u64(0..2 * MILLISECOND)),
                _ => now,
            };
        }
    }
}

#[test]
fn a_deadline_beside_a_power_of_64_is_met_to_the_tick() {
    for level in 0..LEVELS {
        let power = 64u64.pow(level);
        for start in [0, 1, power - 1, power, power + 1] {
            for tick in [power - 1, power, power + 1, 2 * power, 63 * power, 64 * power - 1, 64 * power] {
                if tick <= start || tick > tick_of(LAST) {
                    continue;
                }
                let deadline = instant_of(tick);
                let (mut wheel, now) = (Wheel::new(), instant_of(start));
                assert_eq!(expired(&mut wheel, now), []);
                wheel.insert(7, now, deadline);
                assert_eq!(wheel.next_wakeup(), Some(deadline));
                assert_eq!(expired(&mut wheel, at(deadline.as_nanos() - 1)), [], "{start} to {tick}");
                assert_eq!(wheel.next_wakeup(), Some(deadline));
                assert_eq!(expired(&mut wheel, deadline), [7], "{start} to {tick}");
            }
        }
    }
}

#[test]
fn a_deadline_within_a_millisecond_waits_for_its_end() {
    let mut wheel = Wheel::new();
    let deadline = at(5 * MILLISECOND + 1);
    wheel.insert(0, at(5 * MILLISECOND), deadline);
    assert_eq!(wheel.deadline(0), Some(deadline));
    assert_eq!(expired(&mut wheel, deadline), []);
    assert_eq!(wheel.next_wakeup(), Some(at(6 * MILLISECOND)));
    assert_eq!(expired(&mut wheel, at(6 * MILLISECOND)), [0]);
    assert_eq!(wheel.deadline(0), None);
}

#[test]
fn a_deadline_already_reached_is_due_in_the_same_millisecond() {
    let mut wheel = Wheel::new();
    let now = at(5 * MILLISECOND + 300);
    assert_eq!(expired(&mut wheel, now), []);
    wheel.insert(0, now, now);
    wheel.insert(1, now, Instant::START);
    // The clock was read again after a slow callback.
    let later = at(5 * MILLISECOND + 400);
    wheel.insert(2, later, later);
    assert!(wheel.next_wakeup() <= Some(now));
    assert_eq!(expired(&mut wheel, later), [0, 1, 2]);
    assert_eq!(wheel.next_wakeup(), None);
}

#[test]
fn never_is_not_linked_and_the_last_deadline_is() {
    let mut wheel = Wheel::new();
    for deadline in [Instant::START + Duration::MAX, LAST + Duration::from_nanos(1)] {
        wheel.insert(0, Instant::START, deadline);
        assert!(!wheel.is_linked(0) && !wheel.remove(0));
        assert_eq!(wheel.next_wakeup(), None);
    }
    wheel.insert(1, Instant::START, LAST);
    assert_eq!(expired(&mut wheel, LAST), []);
    assert_eq!(wakeups_until_empty(&mut wheel), 1);
}

#[test]
fn the_numbers_at_the_edge_are_the_last_that_fit() {
    let rounded_up = |deadline: u64| deadline.checked_add(TICK_NANOS - 1);
    assert!(rounded_up(LAST.as_nanos()).is_some());
    assert!(rounded_up(LAST.as_nanos() + 1).is_none());
    let places = u32::try_from(NODES_MAX).map(|nodes| HEADS.checked_add(nodes));
    assert_eq!(places, Ok(Some(UNLINKED)), "the place behind the last node is the mark");
}

#[test]
fn one_timeout_of_any_length_takes_one_wakeup() {
    for seconds in [1, 60, 3_600, 30 * 86_400, 100 * 365 * 86_400] {
        let mut wheel = Wheel::new();
        let now = at(123_456_789_012);
        assert_eq!(expired(&mut wheel, now), []);
        wheel.insert(3, now, now + Duration::from_secs(seconds));
        assert_eq!(wakeups_until_empty(&mut wheel), 1, "{seconds} s");
    }
}

#[test]
fn many_timeouts_together_take_at_most_one_wakeup_per_level() {
    let mut wheel = Wheel::new();
    for node in 0..1_000 {
        wheel.insert(node, Instant::START, at(30 * DAY + 17));
    }
    // From here on the first deadline is not known from its insertion.
    wheel.insert(1_000, Instant::START, at(DAY));
    assert!((2..=7).contains(&wakeups_until_empty(&mut wheel)));
}

#[test]
fn a_wheel_emptied_by_removing_does_not_wake() {
    let mut wheel = Wheel::new();
    for node in 0..100 {
        wheel.insert(node, Instant::START, at(60_000 * MILLISECOND));
    }
    assert_eq!(wheel.next_wakeup(), Some(at(60_000 * MILLISECOND)));
    assert!(wheel.remove(0));
    assert!(wheel.next_wakeup() < Some(at(60_000 * MILLISECOND)), "the start of a long bucket");
    assert!((1..100).all(|node| wheel.remove(node)));
    assert_eq!(wheel.next_wakeup(), None);
}

/// A wheel whose digits from `level` on are 5 : 3, with `count` nodes at the end of bucket 9 of that level and
/// the first deadline to be looked for; and when that bucket starts and ends.
fn one_bucket(level: u32, count: usize) -> (Wheel, Instant, Instant) {
    let unit = 64u64.pow(level);
    let (now, start) = (instant_of(5 * 64 * unit + 3 * unit), 5 * 64 * unit + 9 * unit);
    let end = instant_of(start + unit - 1);
    let mut wheel = Wheel::new();
    assert_eq!(expired(&mut wheel, now), []);
    for node in 0..u32::try_from(count).expect("few") {
        wheel.insert(node, now, end);
    }
    wheel.insert(999, now, instant_of(start));
    assert!(wheel.remove(999));
    (wheel, instant_of(start), end)
}

#[test]
fn a_bucket_is_woken_for_at_its_first_deadline_or_if_it_is_long_at_its_start() {
    for level in 1..6 {
        let (mut wheel, _, end) = one_bucket(level, WALK_MAX);
        assert_eq!(wheel.next_wakeup(), Some(end), "level {level}");
        let (mut wheel, start, _) = one_bucket(level, WALK_MAX + 1);
        assert_eq!(wheel.next_wakeup(), Some(start), "level {level}");
    }
}

#[test]
fn time_that_reaches_no_bucket_touches_none() {
    let mut wheel = Wheel::new();
    let at_tick = |low: u64| instant_of(64 * 64 + low);
    assert_eq!(expired(&mut wheel, at_tick(0)), []);
    wheel.insert(0, at_tick(0), at_tick(7 * 64 + 5));
    for low in [1, 2, 70, 71, 7 * 64 - 1] {
        assert_eq!(expired(&mut wheel, at_tick(low)), []);
        assert_eq!(wheel.earliest, at_tick(7 * 64 + 5), "what was known is forgotten at {low}");
    }
    assert_eq!(expired(&mut wheel, at_tick(7 * 64)), []);
    assert_eq!(wheel.earliest, UNKNOWN, "the bucket was reached, its node moved down");
}

#[test]
fn setting_a_deadline_again_takes_no_memory() {
    let mut wheel = Wheel::new();
    for step in 0..100_000 {
        wheel.remove(9);
        wheel.insert(9, at(step), at(step + 60_000 * MILLISECOND));
    }
    assert_eq!(wheel.nodes.len(), HEADS as usize + 10);
}

#[test]
fn an_earlier_now_is_harmless() {
    let mut wheel = Wheel::new();
    assert_eq!(expired(&mut wheel, at(DAY)), []);
    wheel.insert(0, at(DAY), at(DAY));
    wheel.insert(1, at(5), at(DAY - 1));
    wheel.insert(2, at(5), at(DAY + MILLISECOND));
    assert_eq!(expired(&mut wheel, at(5)), []);
    assert_eq!(expired(&mut wheel, at(DAY)), [0, 1]);
    assert_eq!(expired(&mut wheel, at(DAY + MILLISECOND)), [2]);
}

#[test]
#[should_panic(expected = "linked already")]
fn linking_a_linked_node_is_a_bug() {
    let mut wheel = Wheel::new();
    wheel.insert(0, Instant::START, at(1));
    wheel.insert(0, Instant::START, at(1));
}
