//! Races of timers: set, cancelled, fired, and put off by every request.
//!
//! Time is a number that is moved on. The deadlines of a race are the same for every contender.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashSet};
use std::hint::black_box;
use std::time::Duration;

use super::race::Race;
use crate::id::{ConnId, TimerId};
use crate::instant::Instant;
use crate::table::timers::Timers;
use crate::table::wheel::Wheel;

const MILLION: usize = 1_000_000;
const MINUTE: u64 = 60_000;

pub(crate) fn races() -> Vec<Race> {
    vec![set_then_cancel(), set_and_cancel(), set_then_fire(), put_off()]
}

fn set_then_cancel() -> Race {
    Race::new("timers set, all of them, then cancelled", "timer", MILLION, |n| {
        let waits = waits(n);
        let mut ids = Vec::with_capacity(n);
        let mut timers = Timers::new(n);
        Box::new(move || {
            ids.extend(waits.iter().map(|&after| set(&mut timers, at(0), after)));
            for id in ids.drain(..) {
                assert!(timers.cancel(id));
            }
        })
    })
    .against("BTreeMap", |n| {
        let waits = waits(n);
        let mut ids = Vec::with_capacity(n);
        let mut timers = Ordered::default();
        Box::new(move || {
            ids.extend(waits.iter().map(|&after| timers.set(at(0) + after)));
            for id in ids.drain(..) {
                assert!(timers.cancel(id));
            }
        })
    })
    .against("BinaryHeap, cancelled ones stay", |n| {
        let waits = waits(n);
        let mut ids = Vec::with_capacity(n);
        Box::new(move || {
            let mut timers = Heap::default();
            ids.extend(waits.iter().map(|&after| timers.set(at(0) + after)));
            for id in ids.drain(..) {
                timers.cancel(id);
            }
            // They are thrown out when they are due.
            assert!(timers.pop(at(u64::MAX / 2)).is_none());
        })
    })
}

fn set_and_cancel() -> Race {
    Race::new("a timer set and cancelled while 10,000 others wait", "timer", 100_000, |n| {
        let mut timers = Timers::new(n + 10_000);
        for after in waits(10_000) {
            set(&mut timers, at(0), after);
        }
        let waits = waits(n);
        Box::new(move || {
            for &after in &waits {
                let id = set(&mut timers, at(0), after);
                assert!(timers.cancel(black_box(id)));
            }
        })
    })
    .against("BTreeMap", |n| {
        let mut timers = Ordered::default();
        for after in waits(10_000) {
            timers.set(at(0) + after);
        }
        let waits = waits(n);
        Box::new(move || {
            for &after in &waits {
                let id = timers.set(at(0) + after);
                assert!(timers.cancel(black_box(id)));
            }
        })
    })
}

fn set_then_fire() -> Race {
    Race::new("timers set, all of them, then fired within a minute", "timer", 100_000, |n| {
        let waits = waits(n);
        let mut timers = Timers::new(n);
        let mut minute = 0;
        Box::new(move || {
            let begin = minute * 2 * MINUTE;
            let now = at(begin);
            for &after in &waits {
                set(&mut timers, now, after);
            }
            let mut fired = 0;
            for now in (begin..=begin + MINUTE).map(at) {
                timers.collect(now);
                while let Some(due) = timers.pop() {
                    black_box(due);
                    fired += 1;
                }
            }
            assert_eq!(fired, waits.len());
            minute += 1;
        })
    })
    .against("BTreeMap", |n| {
        let waits = waits(n);
        let mut timers = Ordered::default();
        Box::new(move || {
            for &after in &waits {
                timers.set(at(0) + after);
            }
            let mut fired = 0;
            for now in (0..=MINUTE).map(at) {
                while let Some(due) = timers.pop(now) {
                    black_box(due);
                    fired += 1;
                }
            }
            assert_eq!(fired, waits.len());
        })
    })
    .against("BinaryHeap, cancelled ones stay", |n| {
        let waits = waits(n);
        let mut timers = Heap::default();
        Box::new(move || {
            for &after in &waits {
                timers.set(at(0) + after);
            }
            let mut fired = 0;
            for now in (0..=MINUTE).map(at) {
                while let Some(due) = timers.pop(now) {
                    black_box(due);
                    fired += 1;
                }
            }
            assert_eq!(fired, waits.len());
        })
    })
}

fn put_off() -> Race {
    Race::new("the idle timeout of 10,000 connections put off", "request", 100_000, |n| {
        let requests = requests(n);
        let mut last = vec![at(0); CONNECTIONS];
        let mut wheel = Wheel::new();
        let mut due = Vec::new();
        for node in 0..CONNECTIONS_U32 {
            wheel.insert(node, at(0), at(TIMEOUT));
        }
        let mut now = 0;
        Box::new(move || {
            for requests in requests.chunks(PER_MILLISECOND) {
                now += 1;
                for &connection in requests {
                    last[black_box(connection) as usize] = at(now);
                }
                wheel.expire(at(now), &mut due);
                for node in due.drain(..) {
                    let last = &mut last[node as usize];
                    if *last + TIMEOUT_TIME <= at(now) {
                        // It would be closed here; instead it begins anew, so that all stay.
                        *last = at(now);
                    }
                    wheel.insert(node, at(now), *last + TIMEOUT_TIME);
                }
            }
        })
    })
    .against("BTreeMap, one removal and insertion each", |n| {
        let requests = requests(n);
        let mut last = vec![at(TIMEOUT); CONNECTIONS];
        let mut deadlines: BTreeSet<(Instant, u32)> =
            (0..CONNECTIONS_U32).map(|n| (at(TIMEOUT), n)).collect();
        let mut now = 0;
        Box::new(move || {
            for requests in requests.chunks(PER_MILLISECOND) {
                now += 1;
                for &connection in requests {
                    let deadline = &mut last[black_box(connection) as usize];
                    deadlines.remove(&(*deadline, connection));
                    *deadline = at(now + TIMEOUT);
                    deadlines.insert((*deadline, connection));
                }
                while let Some(&(deadline, connection)) = deadlines.first().filter(|it| it.0 <= at(now)) {
                    deadlines.remove(&(deadline, connection));
                    last[connection as usize] = at(now + TIMEOUT);
                    deadlines.insert((at(now + TIMEOUT), connection));
                }
            }
        })
    })
    .against("BinaryHeap, one entry more each", |n| {
        let requests = requests(n);
        let mut last = vec![at(TIMEOUT); CONNECTIONS];
        let mut deadlines: BinaryHeap<Reverse<(Instant, u32)>> =
            (0..CONNECTIONS_U32).map(|n| Reverse((at(TIMEOUT), n))).collect();
        let mut now = 0;
        Box::new(move || {
            for requests in requests.chunks(PER_MILLISECOND) {
                now += 1;
                for &connection in requests {
                    last[black_box(connection) as usize] = at(now + TIMEOUT);
                    deadlines.push(Reverse((at(now + TIMEOUT), connection)));
                }
                while deadlines.peek().is_some_and(|Reverse((deadline, _))| *deadline <= at(now)) {
                    let Some(Reverse((deadline, connection))) = deadlines.pop() else { break };
                    // Others were put off since.
                    if last[connection as usize] == deadline {
                        last[connection as usize] = at(now + TIMEOUT);
                        deadlines.push(Reverse((at(now + TIMEOUT), connection)));
                    }
                }
            }
        })
    })
}

// ---- Ours ----

/// Sets a timer of one of some thousand connections.
fn set(timers: &mut Timers, now: Instant, after: Duration) -> TimerId {
    let owner = ConnId::new(after.subsec_nanos() as usize >> 16, 1);
    timers.set(owner, 7, now, now + after).expect("room")
}

// ---- Naive ----

/// Timers in order. A number makes two with one deadline differ.
#[derive(Default)]
struct Ordered {
    timers: BTreeMap<(Instant, u64), (ConnId, u64)>,
    count: u64,
}

impl Ordered {
    fn set(&mut self, deadline: Instant) -> (Instant, u64) {
        let id = (deadline, self.count);
        self.count += 1;
        self.timers.insert(id, (ConnId::NONE, 7));
        id
    }

    fn cancel(&mut self, id: (Instant, u64)) -> bool {
        self.timers.remove(&id).is_some()
    }

    fn pop(&mut self, now: Instant) -> Option<(ConnId, u64)> {
        let first = self.timers.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Timers in a heap, out of which nothing can be taken but the first: who is cancelled is only remembered.
#[derive(Default)]
struct Heap {
    timers: BinaryHeap<Reverse<(Instant, u64, ConnId, u64)>>,
    cancelled: HashSet<u64>,
    count: u64,
}

impl Heap {
    fn set(&mut self, deadline: Instant) -> u64 {
        let id = self.count;
        self.count += 1;
        self.timers.push(Reverse((deadline, id, ConnId::NONE, 7)));
        id
    }

    fn cancel(&mut self, id: u64) {
        self.cancelled.insert(id);
    }

    fn pop(&mut self, now: Instant) -> Option<(ConnId, u64)> {
        while self.timers.peek().is_some_and(|Reverse((deadline, ..))| *deadline <= now) {
            let Reverse((_, id, owner, key)) = self.timers.pop()?;
            if !self.cancelled.remove(&id) {
                return Some((owner, key));
            }
        }
        None
    }
}

// ---- The same for all ----

const CONNECTIONS: usize = 10_000;
const CONNECTIONS_U32: u32 = 10_000;

/// How many requests there are in a millisecond.
const PER_MILLISECOND: usize = 100;

/// After how many milliseconds of silence a connection is closed: each makes about two requests meanwhile.
const TIMEOUT: u64 = 250;
const TIMEOUT_TIME: Duration = Duration::from_millis(TIMEOUT);

fn at(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

/// When timers are due: within a minute.
fn waits(count: usize) -> Vec<Duration> {
    let mut rng = fastrand::Rng::with_seed(1);
    (0..count).map(|_| Duration::from_millis(rng.u64(1..MINUTE))).collect()
}

/// Who makes a request, one after the other.
fn requests(count: usize) -> Vec<u32> {
    let mut rng = fastrand::Rng::with_seed(2);
    (0..count).map(|_| rng.u32(..CONNECTIONS_U32)).collect()
}
