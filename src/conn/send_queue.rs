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

/// Copied bytes are appended to the last chunk up to this length, then a new chunk begins. Much is copied into
/// many such chunks rather than one of its own size: those are put by and used again, where a block of its size
/// would be fresh pages from the system each time, which cost several times what the copying does.
const COPY_CHUNK_MAX: usize = 64 << 10;

/// The least that a new chunk reserves, so that small messages do not grow it step by step.
const COPY_CHUNK_MIN: usize = 1024;

/// How many bytes of emptied blocks are put by: the blocks of 4,096 connections with a little each, or of 64 with
/// much.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// Slabs with room for more than this are given back to the allocator when they are empty. A broadcast to ten
/// thousand fills and empties them each time.
const KEEP_MAX: usize = 16 << 10;

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
    spare: SpareBlocks,
    held: usize,
}

/// Emptied blocks, for the next that is needed.
#[derive(Debug, Default)]
struct SpareBlocks {
    blocks: Vec<Vec<u8>>,
    bytes: usize,
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
        let mut rest = bytes;
        if let Some(queue) = self.queues.get_mut(id.index()) {
            if wrong!(QueueingIsProgress) {
                queue.progress_at = now;
            }
            if let Data::Copied(block) = &mut self.chunks[queue.last as usize].data {
                let before = block.capacity();
                let n = fill(block, rest);
                let grown = block.capacity() - before;
                queue.queued += n;
                queue.held += grown;
                self.held += grown;
                rest = &rest[n..];
            }
        }
        while !rest.is_empty() {
            let mut block = self.spare.take();
            let n = fill(&mut block, rest);
            self.push(id, Data::Copied(block), now);
            rest = &rest[n..];
        }
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
            self.spare.put(chunk.data);
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
            self.spare.put(chunk.data);
        }
        if self.queues.is_empty() && self.chunks.capacity() > KEEP_MAX {
            self.chunks = Slab::new();
            self.queues = Slab::new();
        }
    }
}

/// Appends the beginning of `bytes`, as much as goes into one chunk, and returns how much that is.
fn fill(block: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let n = bytes.len().min(COPY_CHUNK_MAX - block.len());
    let length = block.len() + n;
    if length > block.capacity() {
        // Doubled, but not beyond what it may ever hold.
        let capacity = length.max(2 * block.capacity()).clamp(COPY_CHUNK_MIN, COPY_CHUNK_MAX);
        block.reserve_exact(capacity - block.len());
    }
    block.extend_from_slice(&bytes[..n]);
    n
}

impl SpareBlocks {
    /// An empty block.
    fn take(&mut self) -> Vec<u8> {
        let block = self.blocks.pop().unwrap_or_default();
        self.bytes -= block.capacity();
        block
    }

    /// Puts a block by if there are not enough of them.
    fn put(&mut self, data: Data) {
        let Data::Copied(mut block) = data else { return };
        if self.bytes + block.capacity() <= SPARE_BYTES_MAX {
            block.clear();
            self.bytes += block.capacity();
            self.blocks.push(block);
        }
    }
}

fn index(key: usize) -> u32 {
    u32::try_from(key).expect("the limits on bytes keep chunks far below 2^32")
}

#[cfg(test)]
mod tests;
