//! The send queues against plain vectors, and what becomes of their memory.

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
        let length = match rng.u8(..) {
            0 => rng.usize(..3 * COPY_CHUNK_MAX),
            1..20 => rng.usize(..5000),
            20.. => rng.usize(..40),
        };
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

// E10: a message of any size leaves blocks of one size behind, no more of them than are put by.
#[test]
fn e10_a_large_message_is_copied_into_blocks_of_ordinary_size() {
    let mut queues = SendQueues::default();
    let mut id = QueueId::NONE;
    let message: Vec<u8> = (0..10 * COPY_CHUNK_MAX + 5000).map(|n| n.to_le_bytes()[1]).collect();
    for _round in 0..3 {
        queues.push_copy(&mut id, b"first", NOW);
        queues.push_copy(&mut id, &message, NOW);
        queues.push_copy(&mut id, b"last", NOW);
        assert_eq!(queues.chunks.len(), 11);
        assert!(queues.held(id) <= 11 * COPY_CHUNK_MAX);
        assert_eq!(content(&queues, id), [b"first", &message[..], b"last"].concat());
        queues.advance(&mut id, 5 + message.len() / 2, NOW);
        assert_eq!(content(&queues, id), [&message[message.len() / 2..], b"last"].concat());
        queues.clear(&mut id);
        assert_eq!((queues.held_total(), queues.spare.blocks.len()), (0, 11));
    }
    queues.push_copy(&mut id, &vec![0; SPARE_BYTES_MAX + 9 * COPY_CHUNK_MAX], NOW);
    queues.clear(&mut id);
    assert!(queues.spare.bytes <= SPARE_BYTES_MAX && queues.spare.bytes > SPARE_BYTES_MAX - COPY_CHUNK_MAX);
    assert!(queues.spare.blocks.iter().all(|block| block.capacity() <= COPY_CHUNK_MAX));
}

// What one byte at a time grows is never larger than it may be.
#[test]
fn a_block_doubles_up_to_the_length_of_a_chunk() {
    let mut block = Vec::new();
    let mut sizes = Vec::new();
    while fill(&mut block, b"x") == 1 {
        if sizes.last() != Some(&block.capacity()) {
            sizes.push(block.capacity());
        }
    }
    assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64].map(|kib| kib << 10));
    let mut block = Vec::with_capacity(40_000);
    assert_eq!(fill(&mut block, &vec![1; 40_001]), 40_001);
    assert_eq!(block.capacity(), COPY_CHUNK_MAX);
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
fn emptied_blocks_are_used_again() {
    let mut queues = SendQueues::default();
    let enough = SPARE_BYTES_MAX / COPY_CHUNK_MIN;
    let mut ids = vec![QueueId::NONE; enough + 10];
    for id in &mut ids {
        queues.push_copy(id, b"x", NOW);
    }
    for id in &mut ids {
        queues.advance(id, 1, NOW);
    }
    assert_eq!((queues.spare.blocks.len(), queues.spare.bytes), (enough, SPARE_BYTES_MAX));
    queues.push_copy(&mut ids[0], b"x", NOW);
    assert_eq!(queues.spare.blocks.len(), enough - 1);
    assert_eq!(content(&queues, ids[0]), b"x");
    queues.clear(&mut ids[0]);
    assert_eq!((queues.spare.blocks.len(), queues.spare.bytes), (enough, SPARE_BYTES_MAX));
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
    let mut ids = vec![QueueId::NONE; 2 * KEEP_MAX];
    for id in &mut ids {
        queues.push_broadcast(id, &shared, NOW);
    }
    assert_eq!(queues.held_total(), 4 * ids.len());
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
