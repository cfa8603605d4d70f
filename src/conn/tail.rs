//! The tail of a connection's input: bytes received and not yet cut into frames.
//!
//! It knows bytes and how many the codec wants to see; it does not know codecs or sockets. Most connections
//! never have one: frames are cut out of the shared receive buffer, and only what is left over comes here.
//! Nothing is reserved for bytes that were promised, only for bytes that came.
//!
//! ```text
//!     consumed       len()
//!     ├───────▶├────────────────▶│
//!     [ frame ][ frame ][ partial ]      need: how long it must be before decoding is worth trying
//! ```

/// The capacity that a tail may keep when it is put by for another connection.
const SPARE_CAPACITY_MAX: usize = 64 << 10;

/// Below this capacity a tail is not worth moving to a smaller one.
const ROOMY_MIN: usize = 4096;

/// How many bytes of tails are put by: the tails of tens of thousands of connections with a little left over each,
/// or of 64 with much.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// Bytes left over by the codec.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    buf: Vec<u8>,
    consumed: usize,
    /// The codec does not want to be asked before the tail is this long.
    pub(crate) need: usize,
}

impl Tail {
    pub(crate) fn len(&self) -> usize {
        self.buf.len() - self.consumed
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buf[self.consumed..]
    }

    /// What it takes from the memory budget.
    pub(crate) fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// All that it takes when it is put by.
    fn occupied(&self) -> usize {
        size_of::<Tail>() + self.capacity()
    }

    /// Whether most of what it occupies, and that is not little, holds nothing.
    pub(crate) fn is_roomy(&self) -> bool {
        self.capacity() > ROOMY_MIN && self.len() < self.capacity() / 4
    }

    /// Appends bytes that arrived. Amortised O(bytes): consumed space is reclaimed once it is half of all.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.consumed >= self.len() {
            self.buf.drain(..self.consumed);
            self.consumed = 0;
        }
        if wrong!(ReservesPromised) {
            self.buf.reserve(self.need);
        }
        self.buf.extend_from_slice(bytes);
    }

    /// Drops the first `n` bytes.
    pub(crate) fn consume(&mut self, n: usize) {
        self.consumed += n;
        assert!(self.consumed <= self.buf.len(), "consumed what is not there");
    }

    fn clear(&mut self) {
        self.buf.clear();
        self.consumed = 0;
        self.need = 0;
    }
}

/// Tails that were put by, so that partial frames cost no allocation in steady state.
#[derive(Debug, Default)]
pub(crate) struct SpareTails {
    #[expect(clippy::vec_box, reason = "the box is what is kept: a connection holds one pointer")]
    spare: Vec<Box<Tail>>,
    bytes: usize,
}

impl SpareTails {
    /// An empty tail.
    #[expect(clippy::unnecessary_box_returns, reason = "the box is what is kept")]
    pub(crate) fn take(&mut self) -> Box<Tail> {
        let Some(tail) = self.spare.pop() else { return Box::default() };
        self.bytes -= tail.occupied();
        tail
    }

    /// Puts a tail by, or lets it go if there are enough or it is large.
    pub(crate) fn put(&mut self, mut tail: Box<Tail>) {
        if tail.capacity() > SPARE_CAPACITY_MAX || self.bytes + tail.occupied() > SPARE_BYTES_MAX {
            return;
        }
        self.bytes += tail.occupied();
        if !wrong!(SpareTailNotCleared) {
            tail.clear();
        }
        self.spare.push(tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_and_consumed_in_any_pieces_keeps_its_order() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut tail = Tail::default();
        let mut model = std::collections::VecDeque::new();
        for step in 0..20_000_u32 {
            if rng.bool() {
                let bytes: Vec<u8> = (0..rng.usize(0..50)).map(|_| rng.u8(..)).collect();
                tail.append(&bytes);
                model.extend(bytes);
            } else {
                let n = rng.usize(0..=model.len());
                tail.consume(n);
                model.drain(..n);
            }
            assert_eq!(tail.len(), model.len(), "step {step}");
            assert!(tail.bytes().iter().eq(model.iter()), "step {step}");
        }
    }

    #[test]
    fn consumed_space_is_reclaimed() {
        let mut tail = Tail::default();
        for _ in 0..10_000 {
            tail.append(&[7; 100]);
            tail.consume(100);
        }
        assert!(tail.capacity() <= 400, "capacity {}", tail.capacity());
    }

    #[test]
    fn a_tail_is_roomy_above_4_kib_and_below_a_quarter() {
        let roomy = |capacity, len| {
            let mut tail = Tail { buf: Vec::with_capacity(capacity), ..Tail::default() };
            tail.append(&vec![0; capacity]);
            tail.consume(capacity - len);
            assert_eq!(tail.capacity(), capacity);
            tail.is_roomy()
        };
        assert!(!roomy(ROOMY_MIN, 0), "too little to be worth a move");
        assert!(roomy(ROOMY_MIN + 4, 0));
        assert!(roomy(ROOMY_MIN + 4, 1024));
        assert!(!roomy(ROOMY_MIN + 4, 1025), "a quarter is in use");
        assert!(!roomy(ROOMY_MIN + 4, ROOMY_MIN + 4));
    }

    #[test]
    fn no_more_tails_are_put_by_than_are_worth_it() {
        let tail = |capacity| Box::new(Tail { buf: Vec::with_capacity(capacity), ..Tail::default() });
        for capacity in [0, SPARE_CAPACITY_MAX] {
            let mut spare = SpareTails::default();
            let enough = SPARE_BYTES_MAX / tail(capacity).occupied();
            for _ in 0..enough + 10 {
                spare.put(tail(capacity));
            }
            assert_eq!(spare.spare.len(), enough);
            drop(spare.take());
            spare.put(tail(capacity));
            spare.put(tail(capacity));
            assert_eq!(spare.spare.len(), enough);
        }
    }

    #[test]
    fn a_spare_tail_comes_back_empty_and_a_large_one_does_not_stay() {
        let mut spare = SpareTails::default();
        let mut tail = spare.take();
        tail.append(b"abc");
        tail.need = 9;
        spare.put(tail);
        let again = spare.take();
        assert!(again.len() == 0 && again.need == 0 && again.capacity() > 0);
        let mut large = spare.take();
        large.append(&vec![0; SPARE_CAPACITY_MAX + 1]);
        spare.put(large);
        assert_eq!(spare.take().capacity(), 0);
    }
}
