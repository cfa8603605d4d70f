//! The send queues: bytes accepted from the program and not yet by the kernel, of all connections.
//!
//! It knows chunks and counts; it does not know sockets, frames or limits. An idle connection has no queue,
//! only a [`QueueId`] that says so. Queues and chunks live in two slabs shared by all connections, so that
//! queueing allocates nothing in steady state, and a chunk that many queues share is stored once.
//!
//! ```text
//!     head_sent
//!     ├──▶│
//!     [ chunk ]──▶[ chunk ]──▶[ chunk ]     sent front to back, never reordered
//!       copied      shared      copied
//! ```
//!
//! Invariant: a queue that exists is not empty; `queued` is the sum of its chunks' lengths minus `head_sent`,
//! and `held` the sum of what they occupy.

use std::io::IoSlice;

use bytes::Bytes;
use slab::Slab;

use crate::instant::Instant;

/// No chunk, no queue.
const NONE: u32 = u32::MAX;

/// `Bytes` from this length on are queued by reference; shorter ones are copied, so that a small slice does
/// not keep a large block alive, and that many small messages leave in few slices.
pub(crate) const SHARE_MIN: usize = 2048;

/// Copied bytes are appended to the last chunk up to this length, then a new chunk begins.
const COPY_CHUNK_MAX: usize = 64 << 10;

/// The least that a new chunk reserves, so that small messages do not grow it step by step.
const COPY_CHUNK_MIN: usize = 1024;

/// How many emptied blocks are put by.
const SPARE_MAX: usize = 64;

/// Slabs with room for more than this are given back to the allocator when they are empty.
const KEEP_MAX: usize = 1024;

/// How many slices one vectored send takes. Linux takes 1,024 (`IOV_MAX`); a chunk is at least 1 KiB unless
/// it is the first or last, so 64 fill what a socket takes at once.
pub(crate) const SLICES_MAX: usize = 64;

/// Which queue a connection has, if any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct QueueId(u32);

impl QueueId {
    /// The connection has nothing queued.
    pub(crate) const NONE: QueueId = QueueId(NONE);

    pub(crate) fn is_none(self) -> bool {
        self.0 == NONE
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Queue {
    first: u32,
    last: u32,
    head_sent: usize,
    queued: usize,
    held: usize,
    /// When the kernel last took something, or the queue began.
    progress_at: Instant,
}

#[derive(Debug)]
struct Chunk {
    data: Data,
    next: u32,
}

#[derive(Debug)]
enum Data {
    Copied(Vec<u8>),
    Shared(Bytes),
}

impl Data {
    fn bytes(&self) -> &[u8] {
        match self {
            Data::Copied(block) => block,
            Data::Shared(bytes) => bytes,
        }
    }

    /// What it takes from the memory budget.
    fn held(&self) -> usize {
        match self {
            Data::Copied(block) => block.capacity(),
            Data::Shared(bytes) => bytes.len(),
        }
    }
}

/// The queues of all connections.
#[derive(Debug, Default)]
pub(crate) struct SendQueues {
    queues: Slab<Queue>,
    chunks: Slab<Chunk>,
    spare: Vec<Vec<u8>>,
    held: usize,
}

impl SendQueues {
    /// Bytes waiting in `id`'s queue.
    pub(crate) fn queued(&self, id: QueueId) -> usize {
        if id.is_none() { 0 } else { self.queues[id.index()].queued }
    }

    /// What `id`'s queue takes from the memory budget.
    pub(crate) fn held(&self, id: QueueId) -> usize {
        if id.is_none() { 0 } else { self.queues[id.index()].held }
    }

    /// What all queues take from the memory budget.
    pub(crate) fn held_total(&self) -> usize {
        self.held
    }

    /// When the kernel last took something of `id`'s queue, or the queue began. `id` has a queue.
    pub(crate) fn progress_at(&self, id: QueueId) -> Instant {
        self.queues[id.index()].progress_at
    }

    /// Appends a copy of `bytes`, beginning a queue at `now` if there is none.
    pub(crate) fn push_copy(&mut self, id: &mut QueueId, bytes: &[u8], now: Instant) {
        if bytes.is_empty() {
            return;
        }
        if let Some(queue) = self.queues.get_mut(id.index()) {
            if wrong!(QueueingIsProgress) {
                queue.progress_at = now;
            }
            let last = &mut self.chunks[queue.last as usize];
            if let Data::Copied(block) = &mut last.data {
                if block.len() + bytes.len() <= COPY_CHUNK_MAX {
                    let before = block.capacity();
                    block.extend_from_slice(bytes);
                    let grown = block.capacity() - before;
                    queue.queued += bytes.len();
                    queue.held += grown;
                    self.held += grown;
                    return;
                }
            }
        }
        let mut block = self.spare.pop().unwrap_or_default();
        block.reserve(bytes.len().max(COPY_CHUNK_MIN));
        block.extend_from_slice(bytes);
        self.push(id, Data::Copied(block), now);
    }

    /// Appends `bytes` by reference, or a copy if they are few.
    pub(crate) fn push_bytes(&mut self, id: &mut QueueId, bytes: Bytes, now: Instant) {
        if bytes.len() < SHARE_MIN {
            self.push_copy(id, &bytes, now);
        } else {
            self.push(id, Data::Shared(bytes), now);
        }
    }

    /// Appends one of many references to the same `bytes`: an empty queue shares them however few they are,
    /// because the block they are in is alive anyway.
    pub(crate) fn push_broadcast(&mut self, id: &mut QueueId, bytes: &Bytes, now: Instant) {
        if bytes.len() < SHARE_MIN && !id.is_none() {
            self.push_copy(id, bytes, now);
        } else if !bytes.is_empty() {
            self.push(id, Data::Shared(bytes.clone()), now);
        }
    }

    fn push(&mut self, id: &mut QueueId, data: Data, now: Instant) {
        let (length, held) = (data.bytes().len(), data.held());
        let chunk = index(self.chunks.insert(Chunk { data, next: NONE }));
        self.held += held;
        if id.is_none() {
            let queue =
                Queue { first: chunk, last: chunk, head_sent: 0, queued: length, held, progress_at: now };
            *id = QueueId(index(self.queues.insert(queue)));
            return;
        }
        let queue = &mut self.queues[id.index()];
        self.chunks[queue.last as usize].next = chunk;
        queue.last = chunk;
        queue.queued += length;
        queue.held += held;
    }

    /// The unsent bytes of the first chunk, and whether there are more chunks. `id` has a queue.
    pub(crate) fn front(&self, id: QueueId) -> (&[u8], bool) {
        let queue = &self.queues[id.index()];
        if wrong!(FrontOffsetForgotten) {
            return (self.chunks[queue.first as usize].data.bytes(), queue.first != queue.last);
        }
        (&self.chunks[queue.first as usize].data.bytes()[queue.head_sent..], queue.first != queue.last)
    }

    /// Fills `slices` with the unsent chunks in order and returns how many there are.
    pub(crate) fn slices<'a>(&'a self, id: QueueId, slices: &mut [IoSlice<'a>]) -> usize {
        let queue = &self.queues[id.index()];
        let mut next = queue.first;
        let mut skip = queue.head_sent;
        if wrong!(VectorOffsetForgotten) {
            skip = 0;
        }
        let mut count = 0;
        while next != NONE && count < slices.len() {
            let chunk = &self.chunks[next as usize];
            slices[count] = IoSlice::new(&chunk.data.bytes()[skip..]);
            skip = 0;
            count += 1;
            next = chunk.next;
        }
        count
    }

    /// Takes the first `n` bytes off: the kernel has them since `now`. An emptied queue is gone.
    pub(crate) fn advance(&mut self, id: &mut QueueId, n: usize, now: Instant) {
        let queue = &mut self.queues[id.index()];
        assert!(n <= queue.queued, "the kernel took more than it was offered");
        queue.queued -= n;
        queue.head_sent += n;
        if n > 0 && !wrong!(SendingIsNoProgress) {
            queue.progress_at = now;
        }
        if queue.queued == 0 {
            self.clear(id);
            return;
        }
        while self.chunks[queue.first as usize].data.bytes().len() <= queue.head_sent {
            let chunk = self.chunks.remove(queue.first as usize);
            queue.head_sent -= chunk.data.bytes().len();
            queue.first = chunk.next;
            let held = chunk.data.held();
            queue.held -= held;
            self.held -= held;
            if wrong!(SentStaysHeld) {
                self.held += held;
            }
            recycle(&mut self.spare, chunk.data);
        }
    }

    /// Drops a queue with all that is in it. Nothing happens if there is none.
    pub(crate) fn clear(&mut self, id: &mut QueueId) {
        if id.is_none() {
            return;
        }
        let queue = self.queues.remove(id.index());
        *id = QueueId::NONE;
        self.held -= queue.held;
        let mut next = queue.first;
        while next != NONE {
            let chunk = self.chunks.remove(next as usize);
            next = chunk.next;
            recycle(&mut self.spare, chunk.data);
        }
        if self.queues.is_empty() && self.chunks.capacity() > KEEP_MAX {
            self.chunks = Slab::new();
            self.queues = Slab::new();
        }
    }
}

/// Puts a block by if it is of ordinary size and there are not enough of them.
fn recycle(spare: &mut Vec<Vec<u8>>, data: Data) {
    if let Data::Copied(mut block) = data {
        if spare.len() < SPARE_MAX && block.capacity() <= COPY_CHUNK_MAX {
            block.clear();
            spare.push(block);
        }
    }
}

fn index(key: usize) -> u32 {
    u32::try_from(key).expect("the limits on bytes keep chunks far below 2^32")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::START;

    fn content(queues: &SendQueues, id: QueueId) -> Vec<u8> {
        if id.is_none() {
            return Vec::new();
        }
        let mut slices = vec![IoSlice::new(&[]); 4096];
        let count = queues.slices(id, &mut slices);
        slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    #[test]
    fn queues_behave_like_plain_vectors_over_random_steps() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut queues = SendQueues::default();
        let mut ids = [QueueId::NONE; 4];
        let mut models: [Vec<u8>; 4] = Default::default();
        for step in 0..20_000_u32 {
            let which = rng.usize(..4);
            let (id, model) = (&mut ids[which], &mut models[which]);
            let length = if rng.u8(..) < 20 { rng.usize(..5000) } else { rng.usize(..40) };
            let bytes: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
            match rng.u8(..6) {
                0 | 1 => {
                    queues.push_copy(id, &bytes, NOW);
                    model.extend(bytes);
                }
                2 => {
                    queues.push_bytes(id, Bytes::from(bytes.clone()), NOW);
                    model.extend(bytes);
                }
                3 => {
                    queues.push_broadcast(id, &Bytes::from(bytes.clone()), NOW);
                    model.extend(bytes);
                }
                4 if !id.is_none() => {
                    let n = rng.usize(..=model.len());
                    queues.advance(id, n, NOW);
                    model.drain(..n);
                }
                _ if rng.u8(..) < 10 => {
                    queues.clear(id);
                    model.clear();
                }
                _ => continue,
            }
            assert_eq!(queues.queued(*id), model.len(), "step {step}");
            assert_eq!(content(&queues, *id), *model, "step {step}");
            let held: usize = ids.iter().map(|id| queues.held(*id)).sum();
            assert_eq!(queues.held_total(), held, "step {step}");
            let occupied: usize = queues.chunks.iter().map(|(_, chunk)| chunk.data.held()).sum();
            assert_eq!(occupied, held, "step {step}");
        }
        for id in &mut ids {
            queues.clear(id);
        }
        assert_eq!((queues.held_total(), queues.chunks.len(), queues.queues.len()), (0, 0, 0));
    }

    // E5: the kernel may take any number of bytes at each call.
    #[test]
    fn e5_every_partial_send_continues_at_the_exact_byte() {
        let text: Vec<u8> = (0..=255).collect();
        for first in 0..text.len() {
            let mut queues = SendQueues::default();
            let mut id = QueueId::NONE;
            queues.push_copy(&mut id, &text[..100], NOW);
            queues.push(&mut id, Data::Shared(Bytes::copy_from_slice(&text[100..130])), NOW);
            queues.push_copy(&mut id, &text[130..], NOW);
            queues.advance(&mut id, first, NOW);
            assert_eq!(content(&queues, id), text[first..], "after {first} bytes");
            assert_eq!(queues.front(id).0[0], text[first]);
        }
    }

    // E6, E8: many tiny messages cost neither a slice nor a chunk each.
    #[test]
    fn e6_a_million_tiny_messages_share_their_chunks() {
        let mut queues = SendQueues::default();
        let mut id = QueueId::NONE;
        for n in 0..1_000_000_u32 {
            queues.push_copy(&mut id, &[n.to_le_bytes()[0]], NOW);
        }
        assert!(queues.chunks.len() <= 1_000_000 / COPY_CHUNK_MAX + 1);
        let shared = Bytes::from(vec![0; SHARE_MIN]);
        for _ in 0..SLICES_MAX {
            queues.push_bytes(&mut id, shared.clone(), NOW);
        }
        assert_eq!(queues.slices(id, &mut [IoSlice::new(&[]); SLICES_MAX]), SLICES_MAX);
    }

    // E7: an empty message is complete at once and leaves no queue that never empties.
    #[test]
    fn e7_an_empty_message_makes_no_queue() {
        let mut queues = SendQueues::default();
        let mut id = QueueId::NONE;
        queues.push_copy(&mut id, &[], NOW);
        queues.push_bytes(&mut id, Bytes::new(), NOW);
        queues.push_broadcast(&mut id, &Bytes::new(), NOW);
        assert!(id.is_none());
    }

    // E9: a short slice is copied, so that it does not keep the block it came from alive.
    #[test]
    fn e9_a_small_slice_does_not_pin_a_large_block() {
        let block = Bytes::from(vec![1; 64 << 10]);
        let mut queues = SendQueues::default();
        let mut id = QueueId::NONE;
        queues.push_bytes(&mut id, block.slice(..10), NOW);
        assert!(block.is_unique(), "the queue holds no reference");
        queues.push_bytes(&mut id, block.slice(..SHARE_MIN), NOW);
        assert!(!block.is_unique(), "a large slice is shared");
    }

    #[test]
    fn copies_fill_a_chunk_to_its_limit_and_then_begin_another() {
        let mut queues = SendQueues::default();
        let mut id = QueueId::NONE;
        queues.push_copy(&mut id, &vec![1; COPY_CHUNK_MAX - 1], NOW);
        queues.push_copy(&mut id, b"2", NOW);
        assert_eq!(queues.chunks.len(), 1);
        queues.push_copy(&mut id, b"3", NOW);
        assert_eq!(queues.chunks.len(), 2);
        let (front, more) = queues.front(id);
        assert!(front.len() == COPY_CHUNK_MAX && front.ends_with(&[1, b'2']) && more);
    }

    #[test]
    fn a_broadcast_is_shared_where_it_is_large_or_first() {
        let mut queues = SendQueues::default();
        let mut id = QueueId::NONE;
        let (small, large) = (Bytes::from(vec![1; SHARE_MIN - 1]), Bytes::from(vec![2; SHARE_MIN]));
        queues.push_broadcast(&mut id, &small, NOW);
        assert!(!small.is_unique(), "nothing is copied into an empty queue");
        queues.clear(&mut id);
        queues.push_copy(&mut id, b"first", NOW);
        queues.push_broadcast(&mut id, &small, NOW);
        assert!(small.is_unique(), "few bytes are copied behind others");
        queues.push_broadcast(&mut id, &large, NOW);
        assert!(!large.is_unique());
    }

    #[test]
    fn emptied_blocks_of_ordinary_size_are_used_again() {
        let mut queues = SendQueues::default();
        let mut ids = vec![QueueId::NONE; 2 * SPARE_MAX];
        let mut large = QueueId::NONE;
        queues.push_copy(&mut large, &vec![0; COPY_CHUNK_MAX + 1], NOW);
        queues.clear(&mut large);
        assert_eq!(queues.spare.len(), 0);
        for id in &mut ids {
            queues.push_copy(id, b"x", NOW);
        }
        for id in &mut ids {
            queues.advance(id, 1, NOW);
        }
        assert_eq!(queues.spare.len(), SPARE_MAX);
        queues.push_copy(&mut ids[0], b"x", NOW);
        assert_eq!(queues.spare.len(), SPARE_MAX - 1);
        assert_eq!(content(&queues, ids[0]), b"x");
    }

    #[test]
    fn slabs_of_ordinary_size_are_kept() {
        let mut queues = SendQueues { chunks: Slab::with_capacity(KEEP_MAX), ..SendQueues::default() };
        let mut id = QueueId::NONE;
        queues.push_copy(&mut id, b"x", NOW);
        queues.clear(&mut id);
        assert_eq!(queues.chunks.capacity(), KEEP_MAX);
    }

    // E10: what a burst needed is given back.
    #[test]
    fn e10_slabs_shrink_after_a_burst() {
        let mut queues = SendQueues::default();
        let shared = Bytes::from_static(b"news");
        let mut ids = vec![QueueId::NONE; 10_000];
        for id in &mut ids {
            queues.push_broadcast(id, &shared, NOW);
        }
        assert_eq!(queues.held_total(), 40_000);
        for id in &mut ids {
            queues.advance(id, 4, NOW);
            assert!(id.is_none());
        }
        assert_eq!(queues.chunks.capacity(), 0);
    }

    #[test]
    fn progress_is_stamped_when_the_kernel_takes_something() {
        let mut queues = SendQueues::default();
        let mut id = QueueId::NONE;
        queues.push_copy(&mut id, b"abc", Instant::from_nanos(5));
        queues.push_copy(&mut id, b"def", Instant::from_nanos(6));
        queues.advance(&mut id, 0, Instant::from_nanos(7));
        assert_eq!(queues.progress_at(id), Instant::from_nanos(5));
        queues.advance(&mut id, 1, Instant::from_nanos(8));
        assert_eq!(queues.progress_at(id), Instant::from_nanos(8));
    }
}
