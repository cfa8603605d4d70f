//! A hierarchical timing wheel: which of many deadlines have come, without keeping them sorted.
//!
//! It knows nodes, numbered by their owner, with one deadline each; it does not know what a node stands
//! for, nor any clock. Time is counted in ticks of a millisecond. A deadline is rounded up to a tick, so
//! a node is never due early, and at most a tick late.
//!
//! A tick is a number in base 64. A node stands at the level of the highest digit in which its tick
//! differs from the wheel's, in the bucket of that digit:
//!
//! ```text
//! wheel at tick   0 : 3 : 10        level 2        level 1      level 0
//! node for        0 : 3 : 12                                    bucket 12    within 64 ms
//! node for        0 : 7 : 5                        bucket 7                  within 4.1 s
//! node for        2 : 0 : 0         bucket 2                                 within 4.4 min
//! ```
//!
//! Eight levels hold every instant there is, so nothing overflows. When the wheel's own digit reaches a
//! bucket, the nodes in it are due or move to a lower level: at most seven moves in a node's life, and
//! usually one or two, however far time jumps.
//!
//! Invariant: a node in a bucket of a level has a later tick than the wheel and equals it in all higher
//! digits. So the first occupied bucket of the lowest occupied level holds the earliest deadline.

use crate::instant::Instant;

const TICK_NANOS: u64 = 1_000_000;

/// One level is one digit of a tick in base 64, and one word of `occupied`.
const DIGIT_BITS: u32 = 6;

/// Enough for [`Instant::NEVER`]: 2^64 nanoseconds are less than 2^45 ticks, and 8 digits count to 2^48.
const LEVELS: u32 = 8;

/// The bucket of nodes whose deadline had passed when they were linked; it comes after those of the levels.
const OVERDUE: u32 = LEVELS << DIGIT_BITS;

/// How many list heads stand in front of the owner's nodes.
const HEADS: u32 = OVERDUE + 1;

/// Marks a node that is in no list.
const UNLINKED: u32 = u32::MAX;

/// How many nodes of the first bucket are looked at for the exact next deadline.
///
/// A longer bucket is woken for at its start instead, once, and then its nodes move down.
const WALK_MAX: usize = 16;

/// The last deadline that can be rounded up to a tick.
const LAST: Instant = Instant::from_nanos(u64::MAX - (TICK_NANOS - 1));

/// Stands in `earliest` until someone asks: the start of time is no later than any deadline.
const UNKNOWN: Instant = Instant::START;

/// The most nodes a wheel can have.
pub(crate) const NODES_MAX: usize = (UNLINKED - HEADS) as usize;

/// Deadlines of nodes that their owner numbers: small numbers, since storage reaches to the largest.
///
/// Linking and unlinking take constant time and allocate only when a node number is the largest so far.
/// Time moves forward: an earlier `now` than one already seen finds nothing new due.
pub(crate) struct Wheel {
    /// The list heads of all buckets, then the owner's nodes; nothing before the first node is linked. The lists
    /// are circular through their head, so that unlinking need not know the bucket and yet sees when it became empty.
    nodes: Vec<Node>,
    /// One bit for every bucket that is not empty, one word for each level, and one for `OVERDUE`.
    occupied: [u64; LEVELS as usize + 1],
    /// How far time has come.
    tick: u64,
    /// No later than any deadline, rounded up to its tick; `NEVER` if there is none.
    earliest: Instant,
    /// How many nodes are linked.
    len: usize,
}

#[derive(Clone, Copy)]
struct Node {
    prev: u32,
    next: u32,
    deadline: Instant,
}

impl Wheel {
    /// A wheel of no nodes, at the start of time. It holds no memory: many programs never link one.
    pub(crate) fn new() -> Wheel {
        Wheel {
            nodes: Vec::new(),
            occupied: [0; LEVELS as usize + 1],
            tick: 0,
            earliest: Instant::NEVER,
            len: 0,
        }
    }

    /// Links `node`, which must not be linked, to be due at `deadline`.
    ///
    /// A deadline that `now` has reached is due at the next [`expire`](Wheel::expire), not only at the
    /// next tick. One of [`Instant::NEVER`] (or less than a tick before it) stays unlinked, for there is
    /// nothing to wait for.
    pub(crate) fn insert(&mut self, node: u32, now: Instant, deadline: Instant) {
        let at = node + HEADS;
        if (at as usize) < self.nodes.len() {
            self.link_new(at, now, deadline);
        } else {
            self.grow_and_link_new(at, now, deadline);
        }
    }

    /// Unlinks `node`; answers whether it was linked.
    pub(crate) fn remove(&mut self, node: u32) -> bool {
        let at = (node + HEADS) as usize;
        let Some(&Node { prev, next, deadline }) = self.nodes.get(at) else {
            return false;
        };
        if next == UNLINKED {
            return false;
        }
        self.nodes[at].next = UNLINKED;
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        self.len -= 1;
        // Only the last node of a bucket has the same neighbour twice: the head.
        let emptied = prev == next;
        if emptied {
            self.occupied[(prev >> DIGIT_BITS) as usize] &= !bit(prev);
        }
        if emptied || deadline <= self.earliest {
            self.earliest = UNKNOWN;
        }
        true
    }

    /// Answers whether `node` waits for a deadline.
    pub(crate) fn is_linked(&self, node: u32) -> bool {
        self.nodes.get((node + HEADS) as usize).is_some_and(|node| node.next != UNLINKED)
    }

    /// The deadline `node` waits for, exactly as it was given.
    pub(crate) fn deadline(&self, node: u32) -> Option<Instant> {
        self.is_linked(node).then(|| self.nodes[(node + HEADS) as usize].deadline)
    }

    /// When [`expire`](Wheel::expire) has something to do: no later than the tick of the first deadline.
    ///
    /// It is that tick exactly, except when more than [`WALK_MAX`] nodes share the first bucket: then it
    /// may be the bucket's start, where they move to a lower level; at most once for each level above the
    /// lowest. An instant that has passed means at once. Constant time, and one comparison while the
    /// answer stays the same.
    pub(crate) fn next_wakeup(&mut self) -> Option<Instant> {
        if self.occupied[LEVELS as usize] != 0 {
            return Some(instant_of(self.tick));
        }
        if self.earliest == UNKNOWN {
            self.earliest = self.first_deadline();
        }
        (self.earliest != Instant::NEVER).then(|| instant_of(tick_of(self.earliest)))
    }

    /// Whether [`expire`](Wheel::expire) could have something to do at `now`: one comparison.
    #[inline]
    pub(crate) fn may_expire(&self, now: Instant) -> bool {
        self.earliest <= now
    }

    /// Unlinks every node that is due at `now` and appends it to `due`, those of an earlier bucket first.
    ///
    /// Costs are for nodes that are due or move to a lower level, not for the time that passed.
    pub(crate) fn expire(&mut self, now: Instant, due: &mut Vec<u32>) {
        if self.occupied[LEVELS as usize] != 0 {
            self.drain(OVERDUE, now, due);
        }
        let tick = now.as_nanos() / TICK_NANOS;
        if tick <= self.tick {
            return;
        }
        // The digits of `top` and below change. Buckets below it are all passed, and at it those up to the
        // new digit, where the wheel now stands among the nodes. Draining that one links nodes only to
        // levels below, which are done.
        let top = level_of(tick ^ self.tick);
        self.tick = tick;
        for level in 0..=top {
            let passed = if level < top { u64::MAX } else { u64::MAX >> (63 - digit_of(tick, top)) };
            let mut buckets = self.occupied[level as usize] & passed;
            while buckets != 0 {
                let bucket = level << DIGIT_BITS | buckets.trailing_zeros();
                buckets &= buckets - 1;
                self.drain(bucket, instant_of(tick), due);
            }
        }
    }

    /// Whether no node waits for a deadline.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many nodes wait for a deadline.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Empties `bucket`: deadlines up to `limit` are due, later ones are linked anew.
    fn drain(&mut self, bucket: u32, limit: Instant, due: &mut Vec<u32>) {
        let mut at = self.nodes[bucket as usize].next;
        self.nodes[bucket as usize].next = bucket;
        self.nodes[bucket as usize].prev = bucket;
        self.occupied[(bucket >> DIGIT_BITS) as usize] &= !bit(bucket);
        self.earliest = UNKNOWN;
        while at != bucket {
            let Node { next, deadline, .. } = self.nodes[at as usize];
            if deadline <= limit {
                self.nodes[at as usize].next = UNLINKED;
                self.len -= 1;
                due.push(at - HEADS);
            } else {
                self.link(at, self.bucket_of(deadline), deadline);
            }
            at = next;
        }
    }

    /// Out of line and last in its caller, so that linking saves no registers for what seldom happens.
    #[cold]
    #[inline(never)]
    fn grow_and_link_new(&mut self, at: u32, now: Instant, deadline: Instant) {
        let head = |bucket| Node { prev: bucket, next: bucket, deadline: Instant::NEVER };
        if self.nodes.is_empty() {
            self.nodes.extend((0..HEADS).map(head));
        }
        // Room for a power of two of the owner's nodes, as what the owner keeps of them grows. Doubled together with the
        // heads, it would be twice as much for a number just below one.
        let room = HEADS as usize + (at as usize - HEADS as usize + 1).next_power_of_two();
        self.nodes.reserve_exact(room - self.nodes.len());
        let unlinked = Node { prev: UNLINKED, next: UNLINKED, deadline: Instant::NEVER };
        self.nodes.resize(at as usize + 1, unlinked);
        self.link_new(at, now, deadline);
    }

    #[inline]
    fn link_new(&mut self, at: u32, now: Instant, deadline: Instant) {
        assert!(self.nodes[at as usize].next == UNLINKED, "the node is linked already");
        if deadline > LAST {
            return;
        }
        let bucket = if deadline <= now { OVERDUE } else { self.bucket_of(deadline) };
        self.link(at, bucket, deadline);
        self.earliest = self.earliest.min(deadline);
        self.len += 1;
    }

    /// Appends the node at `at` to `bucket`. Order is kept, so that nodes set in order come due in order.
    fn link(&mut self, at: u32, bucket: u32, deadline: Instant) {
        let last = self.nodes[bucket as usize].prev;
        self.nodes[at as usize] = Node { prev: last, next: bucket, deadline };
        self.nodes[last as usize].next = at;
        self.nodes[bucket as usize].prev = at;
        self.occupied[(bucket >> DIGIT_BITS) as usize] |= bit(bucket);
    }

    fn bucket_of(&self, deadline: Instant) -> u32 {
        let tick = tick_of(deadline);
        if tick <= self.tick {
            return OVERDUE;
        }
        let level = level_of(tick ^ self.tick);
        level << DIGIT_BITS | digit_of(tick, level)
    }

    /// The first deadline of the first bucket, or the bucket's start if the list is too long to walk.
    fn first_deadline(&self) -> Instant {
        let Some(level) = (0..LEVELS).find(|&level| self.occupied[level as usize] != 0) else {
            return Instant::NEVER;
        };
        let digit = self.occupied[level as usize].trailing_zeros();
        let bucket = level << DIGIT_BITS | digit;
        let mut first = Instant::NEVER;
        let mut at = bucket;
        // One step more than nodes are looked at: it sees whether the list ends there.
        for _ in 0..=WALK_MAX {
            at = self.nodes[at as usize].next;
            if at == bucket {
                return first;
            }
            first = first.min(self.nodes[at as usize].deadline);
        }
        let shift = level * DIGIT_BITS;
        let higher_digits = self.tick >> shift >> DIGIT_BITS << DIGIT_BITS;
        instant_of((higher_digits | u64::from(digit)) << shift)
    }
}

/// Rounds `deadline`, at most `LAST`, up to a tick.
#[expect(clippy::manual_div_ceil, reason = "cannot overflow, and is seven instructions fewer")]
fn tick_of(deadline: Instant) -> u64 {
    if wrong!(TimerRoundedDown) {
        return deadline.as_nanos() / TICK_NANOS;
    }
    (deadline.as_nanos() + (TICK_NANOS - 1)) / TICK_NANOS
}

fn instant_of(tick: u64) -> Instant {
    Instant::from_nanos(tick * TICK_NANOS)
}

/// The level of the highest digit set in `difference`.
fn level_of(difference: u64) -> u32 {
    (difference | 1).ilog2() / DIGIT_BITS
}

fn digit_of(tick: u64, level: u32) -> u32 {
    (tick >> (level * DIGIT_BITS) & 63) as u32
}

/// The bit of `bucket` in the word of its level.
fn bit(bucket: u32) -> u64 {
    1 << (bucket & 63)
}

#[cfg(test)]
mod tests;
