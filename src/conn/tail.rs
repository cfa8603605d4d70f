//! The tail of a connection's input: bytes received and not yet cut into frames.
//!
//! It knows bytes and how many the codec wants to see; it does not know codecs or sockets. Most connections
//! never have one: frames are cut out of the shared receive buffer, and only what is left over comes here.
//! Nothing is reserved for bytes that were promised, only for bytes that came.
//!
//! ```text
//!     consumed       len()           room()
//!     ├───────▶├────────────────▶├─────────────▶│
//!     [ frame ][ frame ][ partial ]. . . . . . .     need: how long it must be before decoding is worth trying
//! ```

use std::mem;

/// Up to this capacity a tail is small, and used for any bytes; larger ones are for large frames.
const SMALL_MAX: usize = 64 << 10;

/// How many bytes of small tails are put by, and as many of large ones: the tails of tens of thousands of
/// connections with a little left over each, or of 64 with much; and blocks for a few large frames, because page
/// faults in a fresh one cost several times what copying the frame does.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// Below this capacity a tail is not worth moving to a smaller one.
const ROOMY_MIN: usize = 4096;

/// Bytes left over by the codec.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// All of it is initialised, so that bytes can be received right into it.
    buf: Vec<u8>,
    begin: usize,
    end: usize,
    /// The codec does not want to be asked before the tail is this long.
    pub(crate) need: usize,
}

impl Tail {
    pub(crate) fn len(&self) -> usize {
        self.end - self.begin
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buf[self.begin..self.end]
    }

    /// What it takes from the memory budget.
    pub(crate) fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// All that it takes when it is put by.
    fn occupied(&self) -> usize {
        size_of::<Tail>() + self.capacity()
    }

    /// How much the codec misses.
    pub(crate) fn missing(&self) -> usize {
        self.need.saturating_sub(self.len())
    }

    /// Whether most of what it occupies, and that is not little, holds nothing.
    pub(crate) fn is_roomy(&self) -> bool {
        self.capacity() > ROOMY_MIN && self.len() < self.capacity() / 4
    }

    /// Room behind its bytes that needs no more memory.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        // Amortised O(bytes): consumed space is reclaimed once it is half of all.
        if self.begin >= self.len() {
            self.buf.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        }
        &mut self.buf[self.end..]
    }

    /// Takes the first `n` bytes of its room: something was put there.
    pub(crate) fn extend(&mut self, n: usize) {
        assert!(n <= self.buf.len() - self.end, "took what is not there");
        self.end += n;
    }

    /// Drops the first `n` bytes.
    pub(crate) fn consume(&mut self, n: usize) {
        assert!(n <= self.len(), "consumed what is not there");
        self.begin += n;
    }

    /// The capacity it should have to hold `length` bytes and be worth extending further: twice of what it has,
    /// but no more than the codec waits for. Never does it follow what was promised alone.
    fn capacity_for(&self, length: usize) -> usize {
        let doubled = length.max(2 * self.buf.len());
        let need = self.begin + self.need;
        if need >= length { doubled.min(need) } else { doubled }
    }

    fn grow(&mut self, capacity: usize) {
        let capacity = if wrong!(ReservesPromised) { capacity.max(self.need) } else { capacity };
        self.buf.reserve_exact(capacity.saturating_sub(self.buf.len()));
        self.buf.resize(self.buf.capacity(), 0);
    }

    fn clear(&mut self) {
        self.begin = 0;
        self.end = 0;
        self.need = 0;
    }
}

/// Tails that were put by, so that partial frames cost no allocation in steady state.
#[derive(Debug, Default)]
pub(crate) struct SpareTails {
    small: Spare,
    large: Spare,
}

impl SpareTails {
    /// A tail of `bytes`.
    #[expect(clippy::unnecessary_box_returns, reason = "the box is what is kept")]
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Box<Tail> {
        let mut tail = self.small.take().unwrap_or_default();
        self.append(&mut tail, bytes);
        tail
    }

    /// Appends bytes that arrived.
    pub(crate) fn append(&mut self, tail: &mut Tail, bytes: &[u8]) {
        self.reserve(tail, bytes.len());
        tail.room()[..bytes.len()].copy_from_slice(bytes);
        tail.extend(bytes.len());
    }

    /// Makes room for `n` bytes behind those of `tail`: in a large tail put by, if it becomes a large one.
    pub(crate) fn reserve(&mut self, tail: &mut Tail, n: usize) {
        if tail.room().len() >= n {
            return;
        }
        let length = tail.end + n;
        let Some(mut large) = (if length > SMALL_MAX { self.large.take() } else { None }) else {
            return tail.grow(tail.capacity_for(length));
        };
        if large.buf.len() < length {
            large.grow(tail.capacity_for(length));
        }
        large.buf[..tail.len()].copy_from_slice(tail.bytes());
        large.end = tail.len();
        large.need = tail.need;
        mem::swap(tail, &mut large);
        self.put(large);
    }

    /// Puts a tail by, or lets it go if there are enough.
    pub(crate) fn put(&mut self, mut tail: Box<Tail>) {
        if !wrong!(SpareTailNotCleared) {
            tail.clear();
        }
        let spare = if tail.capacity() <= SMALL_MAX { &mut self.small } else { &mut self.large };
        if spare.bytes + tail.occupied() <= SPARE_BYTES_MAX {
            spare.bytes += tail.occupied();
            spare.tails.push(tail);
        }
    }
}

/// Tails of one kind that were put by.
#[derive(Debug, Default)]
struct Spare {
    #[expect(clippy::vec_box, reason = "the box is what is kept: a connection holds one pointer")]
    tails: Vec<Box<Tail>>,
    /// What they occupy.
    bytes: usize,
}

impl Spare {
    fn take(&mut self) -> Option<Box<Tail>> {
        let tail = self.tails.pop()?;
        self.bytes -= tail.occupied();
        Some(tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_box_returns, reason = "the box is what is kept")]
    fn tail_with(capacity: usize) -> Box<Tail> {
        let mut tail = Box::<Tail>::default();
        tail.grow(capacity);
        assert_eq!(tail.capacity(), capacity);
        tail
    }

    #[test]
    fn what_is_appended_and_consumed_in_any_pieces_keeps_its_order() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut spare = SpareTails::default();
        let mut tails: [Box<Tail>; 4] = Default::default();
        let mut models: [std::collections::VecDeque<u8>; 4] = Default::default();
        for step in 0..20_000_u32 {
            let which = rng.usize(..4);
            let (tail, model) = (&mut tails[which], &mut models[which]);
            let length = if rng.u8(..) < 3 { rng.usize(..100_000) } else { rng.usize(..50) };
            match rng.u8(..8) {
                0..3 => {
                    let bytes: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
                    spare.append(tail, &bytes);
                    model.extend(bytes);
                }
                3 => {
                    tail.need = tail.len() + 1 + length;
                    spare.reserve(tail, length);
                    let n = rng.usize(..=length);
                    rng.fill(&mut tail.room()[..n]);
                    model.extend(&tail.room()[..n]);
                    tail.extend(n);
                }
                4 if rng.u8(..) < 10 => {
                    spare.put(mem::take(tail));
                    *tail = spare.keep(b"next");
                    *model = b"next".iter().copied().collect();
                }
                _ => {
                    let n = rng.usize(0..=model.len());
                    tail.consume(n);
                    model.drain(..n);
                }
            }
            assert_eq!(tail.len(), model.len(), "step {step}");
            assert!(tail.bytes().iter().eq(model.iter()), "step {step}");
            for spare in [&spare.small, &spare.large] {
                let bytes: usize = spare.tails.iter().map(|tail| tail.occupied()).sum();
                assert_eq!(bytes, spare.bytes, "step {step}");
            }
        }
    }

    #[test]
    fn consumed_space_is_reclaimed() {
        let mut spare = SpareTails::default();
        let mut tail = Tail::default();
        for _ in 0..10_000 {
            spare.append(&mut tail, &[7; 100]);
            tail.consume(100);
        }
        assert!(tail.capacity() <= 400, "capacity {}", tail.capacity());
    }

    // J1: what has come decides, and what is waited for only keeps it from being more than that.
    #[test]
    fn j1_a_tail_doubles_but_not_beyond_what_the_codec_waits_for() {
        let mut spare = SpareTails::default();
        let mut tail = spare.keep(&[1; 100]);
        tail.need = 1 << 20;
        spare.append(&mut tail, b"2");
        assert_eq!(tail.capacity(), 200, "a promise reserves nothing");
        tail.need = 350;
        spare.append(&mut tail, &[3; 100]);
        assert_eq!(tail.capacity(), 350, "twice as much is not needed");
        spare.append(&mut tail, &[4; 150]);
        assert_eq!(tail.capacity(), 700, "more came than was waited for");
        tail.consume(200);
        tail.need = 200;
        spare.append(&mut tail, &[5; 350]);
        assert_eq!(tail.capacity(), 700, "there was room where bytes were consumed");
    }

    #[test]
    fn a_tail_is_roomy_above_4_kib_and_below_a_quarter() {
        let roomy = |capacity, len| {
            let mut tail = tail_with(capacity);
            tail.extend(capacity);
            tail.consume(capacity - len);
            tail.is_roomy()
        };
        assert!(!roomy(ROOMY_MIN, 0), "too little to be worth a move");
        assert!(roomy(ROOMY_MIN + 4, 0));
        assert!(roomy(ROOMY_MIN + 4, 1024));
        assert!(!roomy(ROOMY_MIN + 4, 1025), "a quarter is in use");
        assert!(!roomy(ROOMY_MIN + 4, ROOMY_MIN + 4));
    }

    // E10: of what a burst needed, so much is put by and no more.
    #[test]
    fn e10_no_more_tails_are_put_by_than_are_worth_it() {
        for capacity in [0, SMALL_MAX, SMALL_MAX + 1, SPARE_BYTES_MAX - size_of::<Tail>(), SPARE_BYTES_MAX] {
            let mut spare = SpareTails::default();
            let enough = SPARE_BYTES_MAX / tail_with(capacity).occupied();
            for _ in 0..enough + 10 {
                spare.put(tail_with(capacity));
            }
            let of = |spare: &SpareTails| (spare.small.tails.len(), spare.large.tails.len());
            let all = if capacity <= SMALL_MAX { (enough, 0) } else { (0, enough) };
            assert_eq!(of(&spare), all);
            let one = if capacity <= SMALL_MAX { spare.small.take() } else { spare.large.take() };
            assert_eq!(one.is_some(), enough > 0);
            spare.put(tail_with(capacity));
            spare.put(tail_with(capacity));
            assert_eq!(of(&spare), all);
        }
    }

    #[test]
    fn a_spare_tail_comes_back_empty() {
        let mut spare = SpareTails::default();
        for length in [3, SMALL_MAX + 1] {
            let mut tail = spare.keep(&vec![1; length]);
            tail.consume(1);
            tail.need = 9;
            let capacity = tail.capacity();
            spare.put(tail);
            let again = spare.keep(&vec![2; length]);
            assert_eq!((again.bytes(), again.need), (&vec![2; length][..], 0));
            assert_eq!(again.capacity(), capacity);
            assert_eq!(spare.large.bytes, 0);
        }
    }

    #[test]
    fn a_tail_that_becomes_large_moves_into_a_large_one_and_leaves_its_own_behind() {
        let mut spare = SpareTails::default();
        spare.put(tail_with(1 << 20));
        let mut tail = spare.keep(&vec![1; SMALL_MAX]);
        assert_eq!(
            (tail.capacity(), spare.large.tails.len()),
            (SMALL_MAX, 1),
            "a small one needs no large one"
        );
        tail.consume(9);
        tail.need = 1 << 20;
        spare.reserve(&mut tail, 10);
        assert_eq!((tail.capacity(), tail.need), (1 << 20, 1 << 20));
        assert_eq!(tail.bytes(), &vec![1; SMALL_MAX - 9][..]);
        assert_eq!((spare.small.tails.len(), spare.large.tails.len()), (1, 0));
        // One that is too small grows.
        spare.put(tail_with(SMALL_MAX + 1));
        let mut tail = spare.keep(&vec![2; SMALL_MAX]);
        spare.append(&mut tail, &vec![3; SMALL_MAX]);
        assert_eq!((tail.len(), tail.capacity()), (2 * SMALL_MAX, 2 * SMALL_MAX));
        assert_eq!(spare.large.bytes, 0);
    }
}
