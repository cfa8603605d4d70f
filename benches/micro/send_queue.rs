//! Races of send queues: what was accepted from the program and not yet by the kernel.
//!
//! The kernel is played by a number of bytes that it takes.

use std::collections::VecDeque;
use std::hint::black_box;
use std::io::IoSlice;

use super::race::Race;
use crate::conn::send_queue::{QueueId, SLICES_MAX, SendQueues};
use crate::instant::Instant;

const NOW: Instant = Instant::START;

pub(crate) fn races() -> Vec<Race> {
    vec![
        Race::new("64 messages of 64 bytes queued, then sent", "message", 64, |n| {
            let mut queues = SendQueues::default();
            Box::new(move || {
                let mut id = QueueId::NONE;
                for _ in 0..n {
                    queues.push_copy(&mut id, black_box(&[b'x'; 64][..]), NOW);
                }
                while !id.is_none() {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let count = queues.slices(id, &mut slices);
                    let taken = black_box(&slices[..count]).iter().map(|slice| slice.len()).sum();
                    queues.advance(&mut id, taken, NOW);
                }
            })
        })
        .against("VecDeque<Vec<u8>>", |n| {
            let mut queue = Naive::default();
            Box::new(move || {
                for _ in 0..n {
                    queue.push(black_box(&[b'x'; 64][..]));
                }
                while !queue.messages.is_empty() {
                    let slices: Vec<_> = queue.messages.iter().map(|it| IoSlice::new(it)).collect();
                    let taken = black_box(&slices).iter().map(|slice| slice.len()).sum();
                    queue.advance(taken);
                }
            })
        }),
        Race::new("64 KiB queued by messages of 1 KiB, sent by 5,000 bytes", "message", 64, |n| {
            let mut queues = SendQueues::default();
            Box::new(move || {
                let mut id = QueueId::NONE;
                for _ in 0..n {
                    queues.push_copy(&mut id, black_box(&[b'x'; 1024][..]), NOW);
                }
                while !id.is_none() {
                    let taken = black_box(queues.queued(id).min(5000));
                    queues.advance(&mut id, taken, NOW);
                }
            })
        })
        .against("VecDeque<Vec<u8>>", |n| {
            let mut queue = Naive::default();
            Box::new(move || {
                for _ in 0..n {
                    queue.push(black_box(&[b'x'; 1024][..]));
                }
                let mut left = n * 1024;
                while left > 0 {
                    let taken = black_box(left.min(5000));
                    queue.advance(taken);
                    left -= taken;
                }
            })
        }),
        Race::new("10,000 queues with one message of 64 bytes each", "message", 10_000, |n| {
            let mut queues = SendQueues::default();
            let mut ids = vec![QueueId::NONE; n];
            Box::new(move || {
                for id in &mut ids {
                    queues.push_copy(id, black_box(&[b'x'; 64][..]), NOW);
                }
                for id in &mut ids {
                    let (front, _) = queues.front(*id);
                    let taken = black_box(front).len();
                    queues.advance(id, taken, NOW);
                }
            })
        })
        .against("VecDeque<Vec<u8>>", |n| {
            let mut queues: Vec<_> = (0..n).map(|_| Naive::default()).collect();
            Box::new(move || {
                for queue in &mut queues {
                    queue.push(black_box(&[b'x'; 64][..]));
                }
                for queue in &mut queues {
                    let taken = black_box(queue.messages.front()).map_or(0, Vec::len);
                    queue.advance(taken);
                }
            })
        }),
    ]
}

/// A vector for each message.
#[derive(Default)]
pub(crate) struct Naive {
    pub(crate) messages: VecDeque<Vec<u8>>,
}

impl Naive {
    pub(crate) fn push(&mut self, message: &[u8]) {
        self.messages.push_back(message.to_vec());
    }

    /// Takes the first `n` bytes off.
    pub(crate) fn advance(&mut self, mut n: usize) {
        while n > 0 {
            let Some(first) = self.messages.front_mut() else { return };
            if n < first.len() {
                first.drain(..n);
                return;
            }
            n -= first.len();
            self.messages.pop_front();
        }
    }
}
