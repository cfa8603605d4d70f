//! The user timers against a naive twin, and their edges.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const MILLISECOND: u64 = 1_000_000;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn conn(slot: usize) -> ConnId {
    ConnId::new(slot, 1)
}

fn keys_due(timers: &mut Timers, now: Instant) -> Vec<u64> {
    timers.collect(now);
    std::iter::from_fn(|| timers.pop()).map(|due| due.key).collect()
}

/// The naive twin: all timers by the order they were set, keyed by that number too.
#[derive(Default)]
struct Ordered {
    set: BTreeMap<u64, Entry>,
    due: VecDeque<u64>,
}

struct Entry {
    timer: Due,
    due_at: Instant,
    is_collected: bool,
}

impl Ordered {
    fn cancel(&mut self, key: u64) -> bool {
        self.due.retain(|&due| due != key);
        self.set.remove(&key).is_some()
    }

    fn cancel_all(&mut self, owner: ConnId) {
        self.set.retain(|_, entry| entry.timer.owner != owner);
        self.due.retain(|key| self.set.contains_key(key));
    }

    fn collect(&mut self, now: Instant) {
        let mut batch = Vec::new();
        for (&key, entry) in &mut self.set {
            if !entry.is_collected && entry.due_at <= now {
                entry.is_collected = true;
                batch.push((entry.timer.deadline, key));
            }
        }
        batch.sort_unstable();
        self.due.extend(batch.into_iter().map(|(_, key)| key));
    }

    fn pop(&mut self) -> Option<Due> {
        let key = self.due.pop_front()?;
        self.set.remove(&key).map(|entry| entry.timer)
    }
}

/// Both structures and the time, with what is done to both at once.
struct Pair {
    timers: Timers,
    model: Ordered,
    now: Instant,
    ids: Vec<(TimerId, u64)>,
    key: u64,
    steps: u32,
    rng: fastrand::Rng,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        Pair {
            timers: Timers::new(40),
            model: Ordered::default(),
            now: Instant::START,
            ids: Vec::new(),
            key: 0,
            steps: 0,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    fn some_owner(&mut self) -> ConnId {
        [ConnId::NONE, conn(0), conn(1), conn(9)][self.rng.usize(0..4)]
    }

    fn set(&mut self) {
        let owner = self.some_owner();
        let delay = match self.rng.u8(0..8) {
            0 => Duration::ZERO,
            1 => Duration::MAX,
            2..5 => Duration::from_millis(self.rng.u64(0..5)),
            _ => Duration::from_nanos(self.rng.u64(..) >> self.rng.u32(0..64)),
        };
        let (now, deadline) = (self.now, self.now + delay);
        let result = self.timers.set(owner, self.key, now, deadline);
        assert_eq!(result.is_err(), self.model.set.len() == 40);
        let Ok(id) = result else { return };
        let is_past = deadline <= now || deadline == Instant::NEVER;
        let rounded = deadline.as_nanos().div_ceil(MILLISECOND).saturating_mul(MILLISECOND);
        let due_at = if is_past { deadline } else { at(rounded) };
        let timer = Due { id, owner, key: self.key, deadline };
        self.model.set.insert(self.key, Entry { timer, due_at, is_collected: false });
        self.ids.push((id, self.key));
        self.key += 1;
    }

    fn step(&mut self) {
        match self.rng.u8(0..32) {
            0..14 => self.set(),
            14..22 if !self.ids.is_empty() => {
                // Old ids too: they must be stale even though their slots are in use again.
                let recent = self.ids.len().saturating_sub(60);
                let (id, key) = self.ids[self.rng.usize(recent..self.ids.len())];
                assert_eq!(self.timers.cancel(id), self.model.cancel(key));
            }
            22 => {
                let owner = self.some_owner();
                self.timers.cancel_all(owner);
                if owner != ConnId::NONE {
                    self.model.cancel_all(owner);
                }
            }
            23..25 => {
                self.timers.collect(self.now);
                self.model.collect(self.now);
            }
            25..30 => {
                let due = self.timers.pop();
                assert_eq!(due, self.model.pop());
                assert!(due.is_none_or(|due| due.deadline <= self.now && !self.timers.cancel(due.id)));
            }
            30 if self.rng.u8(0..64) == 0 => {
                self.now = self.now + Duration::from_nanos(self.rng.u64(..) >> self.rng.u32(8..64));
            }
            _ => self.now = self.now + Duration::from_nanos(self.rng.u64(0..2 * MILLISECOND)),
        }
        assert_eq!(self.timers.len(), self.model.set.len());
        let owned = self.model.set.values().filter(|entry| entry.timer.owner != ConnId::NONE);
        assert_eq!(self.timers.owned(), owned.count());
        assert_eq!(self.timers.has_due(), !self.model.due.is_empty());
        let waiting = self.model.set.values().filter(|entry| !entry.is_collected);
        let first = waiting.map(|entry| entry.due_at).min().filter(|&first| first != Instant::NEVER);
        let wakeup = self.timers.next_wakeup();
        assert_eq!(wakeup.is_some(), first.is_some());
        assert!(wakeup <= first.max(Some(self.now)));
        self.steps += 1;
    }
}

#[test]
fn timers_do_what_a_sorted_list_does() {
    for seed in 0..400 {
        let mut pair = Pair::new(seed);
        let run = || (0..3_000).for_each(|_| pair.step());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        assert!(result.is_ok(), "seed {seed}, after {} steps, now {:?}", pair.steps, pair.now);
    }
}

#[test]
fn ties_fire_in_the_order_they_were_set() {
    let mut timers = Timers::new(100);
    let set = [(0, 7), (1, 7), (2, 3), (3, 7), (4, 3)];
    for (key, millis) in set {
        timers.set(ConnId::NONE, key, Instant::START, at(millis * MILLISECOND)).expect("room");
    }
    assert_eq!(keys_due(&mut timers, at(7 * MILLISECOND)), [2, 4, 0, 1, 3]);
}

#[test]
fn deadlines_within_one_millisecond_fire_in_their_order() {
    let mut timers = Timers::new(100);
    for key in 0..10 {
        timers.set(ConnId::NONE, key, Instant::START, at(900 - key)).expect("room");
    }
    assert_eq!(keys_due(&mut timers, at(MILLISECOND)), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
}

#[test]
fn a_timer_set_while_popping_waits_for_the_next_collection() {
    let mut timers = Timers::new(100);
    let now = at(5);
    timers.set(ConnId::NONE, 0, now, now).expect("room");
    timers.collect(now);
    while let Some(due) = timers.pop() {
        timers.set(ConnId::NONE, due.key + 1, now, now).expect("room");
    }
    assert_eq!(keys_due(&mut timers, now), [1]);
}

#[test]
fn what_a_turn_left_over_comes_before_what_is_collected_later() {
    let mut timers = Timers::new(100);
    timers.set(ConnId::NONE, 0, at(1), at(1)).expect("room");
    timers.set(ConnId::NONE, 1, at(1), at(1)).expect("room");
    timers.collect(at(1));
    assert_eq!(timers.pop().map(|due| due.key), Some(0));
    timers.set(ConnId::NONE, 2, at(2), at(0)).expect("room");
    assert_eq!(keys_due(&mut timers, at(2)), [1, 2]);
}

#[test]
fn a_timer_cancelled_after_it_was_collected_does_not_fire() {
    let mut timers = Timers::new(100);
    let first = timers.set(conn(4), 0, at(1), at(1)).expect("room");
    let second = timers.set(conn(4), 1, at(1), at(1)).expect("room");
    timers.collect(at(1));
    assert!(timers.cancel(second));
    assert!(timers.cancel(first));
    assert!(!timers.has_due());
    // Its slot goes to another one, which its id does not name.
    timers.set(conn(4), 2, at(1), at(1)).expect("room");
    assert!(!timers.cancel(first) && !timers.cancel(second));
    assert_eq!(timers.pop(), None);
    assert_eq!(keys_due(&mut timers, at(1)), [2]);
}

#[test]
fn closing_a_connection_cancels_its_timers_and_no_others() {
    let mut timers = Timers::new(100);
    for key in 0..30 {
        let owner = [ConnId::NONE, conn(0), conn(70)][usize::try_from(key).expect("small") % 3];
        timers.set(owner, key, at(1), at(1 + key / 10 * MILLISECOND)).expect("room");
    }
    timers.collect(at(1));
    timers.cancel_all(conn(0));
    timers.cancel_all(conn(0));
    timers.cancel_all(conn(1_000));
    timers.cancel_all(ConnId::NONE);
    assert_eq!(timers.len(), 20);
    assert!(keys_due(&mut timers, at(MILLISECOND * 10)).iter().all(|key| key % 3 != 1));
    assert_eq!((timers.len(), timers.next_wakeup()), (0, None));
}

#[test]
fn one_more_timer_than_the_maximum_is_refused() {
    let mut timers = Timers::new(2);
    let first = timers.set(conn(0), 0, at(0), at(9)).expect("room");
    timers.set(conn(0), 1, at(0), Instant::NEVER).expect("room");
    assert_eq!(timers.set(conn(0), 2, at(0), at(9)), Err(Full));
    assert!(timers.cancel(first));
    assert!(timers.set(conn(0), 2, at(0), at(9)).is_ok());
}

#[test]
fn a_timer_that_waits_can_be_postponed_and_no_other() {
    let mut timers = Timers::new(2);
    let stale = timers.set(conn(0), 0, at(0), at(MILLISECOND)).expect("room");
    assert!(timers.cancel(stale));
    let collected = timers.set(conn(0), 1, at(0), at(MILLISECOND)).expect("room");
    timers.collect(at(MILLISECOND));
    let waiting = timers.set(conn(0), 2, at(0), at(2 * MILLISECOND)).expect("room");
    for id in [stale, collected, waiting] {
        timers.postpone(id, at(0), at(9 * MILLISECOND));
    }
    assert_eq!(keys_due(&mut timers, at(9 * MILLISECOND - 1)), [1], "it was due before");
    assert_eq!(keys_due(&mut timers, at(9 * MILLISECOND)), [2]);
    // The slot of a stale id is another's by now.
    let next = timers.set(conn(0), 3, at(0), at(10 * MILLISECOND)).expect("room");
    assert!([stale, collected, waiting].iter().any(|id| id.slot == next.slot));
    for id in [stale, collected, waiting] {
        timers.postpone(id, at(0), Instant::NEVER);
    }
    assert_eq!(keys_due(&mut timers, at(10 * MILLISECOND)), [3]);
}

#[test]
fn an_id_reads_as_the_slot_and_how_many_timers_there_were() {
    let mut timers = Timers::new(2);
    let mut set = || timers.set(conn(0), 0, at(0), at(9)).map(|id| format!("{id:?}"));
    assert_eq!((set(), set()), (Ok("TimerId(0.1)".into()), Ok("TimerId(1.2)".into())));
}

#[test]
fn storage_of_ordinary_size_is_kept() {
    let mut timers = Timers::new(2);
    timers.slots = Slab::with_capacity(KEPT);
    let id = timers.set(conn(0), 0, at(0), at(9)).expect("room");
    assert!(timers.cancel(id));
    assert_eq!(timers.slots.capacity(), KEPT);
}

#[test]
fn a_timer_that_is_never_due_can_be_cancelled() {
    let mut timers = Timers::new(2);
    let id = timers.set(conn(0), 0, at(5), at(5) + Duration::MAX).expect("room");
    assert_eq!((timers.len(), timers.next_wakeup()), (1, None));
    assert!(timers.cancel(id) && !timers.cancel(id));
    assert_eq!(timers.len(), 0);
}

#[test]
fn a_burst_gives_its_memory_back_and_its_ids_stay_stale() {
    let mut timers = Timers::new(100_000);
    let burst = |timers: &mut Timers| -> Vec<TimerId> {
        let set = (0..2 * KEPT as u64).map(|key| timers.set(conn(5_000), key, at(0), at(MILLISECOND)));
        set.collect::<Result<_, _>>().expect("room")
    };
    let old = burst(&mut timers);
    assert_eq!(keys_due(&mut timers, at(MILLISECOND)).len(), 2 * KEPT);
    assert_eq!(timers.slots.capacity() + timers.firsts.capacity() + timers.due.capacity(), 0);
    burst(&mut timers);
    assert!(!old.into_iter().any(|id| timers.cancel(id)));
    timers.cancel_all(conn(5_000));
    assert_eq!(timers.slots.capacity() + timers.firsts.capacity() + timers.due.capacity(), 0);
}

#[test]
fn a_timer_takes_40_bytes_beside_its_node() {
    // What `slab` keeps per entry: a timer, or the next free entry.
    #[expect(dead_code, reason = "only its size matters")]
    enum Entry {
        Vacant(usize),
        Occupied(Timer),
    }
    assert_eq!(size_of::<Entry>(), 40);
}
