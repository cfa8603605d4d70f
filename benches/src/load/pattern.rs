//! The bytes that are sent and must come back: a ring of messages, each different.
//!
//! It knows messages and places in the ring. It does not know connections or sockets.
//! Invariant: from any place in the ring, `piece_max` bytes are one slice.
//!
//! ```text
//! the ring                                          its front again
//! [ message 0 ][ message 1 ] … [ message count - 1 ][ message 0 ][ mes
//!                   ├── piece ──▶│
//! ```
//!
//! Every connection walks the ring from a place of its own, and each message on it is the next one. So nothing
//! that is sent has to be made, what comes back is compared with one slice, and an answer that belongs to another
//! connection or to another message is a wrong byte.

use clap::ValueEnum;

/// How messages are told apart in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// Bytes as they come.
    Raw,
    /// Printable characters and a line feed.
    Lines,
    /// A four-byte big-endian length, and as many bytes.
    Length,
}

impl Framing {
    /// The shortest message that can differ from another.
    pub(super) fn size_min(self) -> usize {
        match self {
            Framing::Raw => 1,
            Framing::Lines => 2,
            Framing::Length => HEADER + 1,
        }
    }
}

const HEADER: usize = 4;

/// The ring is at least so long: the second cache of a core holds it with room to spare.
const RING_MIN: usize = 256 * 1024;

/// And no longer, where messages need not be whole in it. A prime: so each message begins elsewhere.
const RAW_RING: usize = 262_147;

/// It holds at least so many messages, where they must be whole.
const MESSAGES_MIN: usize = 7;

/// The longest slice that is ever asked for; the ring must not be shorter.
pub(super) const PIECE_MAX: usize = RING_MIN;

/// The ring.
#[derive(Debug)]
pub(super) struct Pattern {
    bytes: Vec<u8>,
    ring_length: usize,
    size: usize,
    piece_max: usize,
    /// What a stream may begin with: a message, or in a raw stream any byte.
    unit: usize,
}

/// A place in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

/// The first byte that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// How many before it are right.
    pub(super) right: usize,
    pub(super) is: u8,
    pub(super) should: u8,
}

impl Pattern {
    /// A ring of messages of `size` bytes, which lends slices of up to `piece_max`.
    pub(super) fn new(framing: Framing, size: usize, piece_max: usize) -> Pattern {
        assert!(size >= framing.size_min() && piece_max <= PIECE_MAX, "checked where they are read");
        let (count, unit) = match framing {
            Framing::Raw => (RAW_RING, 1),
            Framing::Lines | Framing::Length => (RING_MIN.div_ceil(size).max(MESSAGES_MIN), size),
        };
        let ring_length = count * unit;
        // The same ring in every run: a run that failed can be had again.
        let mut random = fastrand::Rng::with_seed(0x7e57);
        let mut bytes = Vec::with_capacity(ring_length + piece_max);
        for _ in 0..count {
            let end = bytes.len() + unit;
            match framing {
                Framing::Raw => bytes.push(random.u8(..)),
                Framing::Lines => {
                    bytes.extend((1..size).map(|_| random.u8(b'!'..=b'~')));
                    bytes.push(b'\n');
                }
                Framing::Length => {
                    let body = u32::try_from(size - HEADER).expect("sizes are below 4 GiB");
                    bytes.extend(body.to_be_bytes());
                    bytes.extend((HEADER..size).map(|_| random.u8(..)));
                }
            }
            debug_assert_eq!(bytes.len(), end);
        }
        bytes.extend_from_within(..piece_max);
        Pattern { bytes, ring_length, size, piece_max, unit }
    }

    /// Bytes of one message.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The most that [`slice`](Pattern::slice) lends and [`first_wrong`](Pattern::first_wrong) compares at once.
    pub(super) fn piece_max(&self) -> usize {
        self.piece_max
    }

    /// Where connection `serial` begins: far from where its neighbours do.
    pub(super) fn start(&self, serial: u64) -> Place {
        let scattered = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let count = self.ring_length / self.unit;
        Place(usize::try_from(scattered).expect("it has 32 bits") % count * self.unit)
    }

    /// The next bytes from `place`: `wanted` of them, or as many as are one slice.
    pub(super) fn slice(&self, place: Place, wanted: usize) -> &[u8] {
        &self.bytes[place.0..place.0 + wanted.min(self.piece_max)]
    }

    /// The place `count` bytes after `place`, at most a piece.
    pub(super) fn after(&self, place: Place, count: usize) -> Place {
        debug_assert!(count <= self.piece_max);
        let next = place.0 + count;
        Place(if next >= self.ring_length { next - self.ring_length } else { next })
    }

    /// Compares `bytes`, at most a piece, with what begins at `place`.
    pub(super) fn first_wrong(&self, place: Place, bytes: &[u8]) -> Option<Wrong> {
        let expected = &self.bytes[place.0..place.0 + bytes.len()];
        if bytes == expected { None } else { find_wrong(bytes, expected) }
    }
}

#[cold]
fn find_wrong(bytes: &[u8], expected: &[u8]) -> Option<Wrong> {
    let right = bytes.iter().zip(expected).position(|(is, should)| is != should)?;
    Some(Wrong { right, is: bytes[right], should: expected[right] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMINGS: [Framing; 3] = [Framing::Raw, Framing::Lines, Framing::Length];

    /// The stream of a connection, walked in pieces of the given lengths.
    fn walk(pattern: &Pattern, start: Place, pieces: &[usize]) -> Vec<u8> {
        let (mut place, mut stream) = (start, Vec::new());
        for &length in pieces {
            stream.extend_from_slice(pattern.slice(place, length));
            place = pattern.after(place, length);
        }
        stream
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        for framing in FRAMINGS {
            let pattern = Pattern::new(framing, 37, 4096);
            let start = pattern.start(3);
            // Twice round, so that the seam is crossed at a different place each time.
            let total = 2 * pattern.ring_length + 100;
            let mut cuts = Vec::new();
            let mut random = fastrand::Rng::with_seed(1);
            let mut left = total;
            while left > 0 {
                let piece = random.usize(1..=4096).min(left);
                cuts.push(piece);
                left -= piece;
            }
            let ones = vec![1; total];
            assert_eq!(walk(&pattern, start, &cuts), walk(&pattern, start, &ones), "{framing:?}");
        }
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_is() {
        let pattern = Pattern::new(Framing::Raw, 64, 4096);
        let place = pattern.start(5);
        let mut bytes = pattern.slice(place, 100).to_vec();
        assert_eq!(pattern.first_wrong(place, &bytes), None);
        for right in 0..100 {
            let should = bytes[right];
            bytes[right] ^= 1;
            let wrong = Wrong { right, is: should ^ 1, should };
            assert_eq!(pattern.first_wrong(place, &bytes), Some(wrong));
            bytes[right] = should;
        }
    }

    #[test]
    fn lines_end_with_their_only_line_feed() {
        for size in [2, 3, 64, 300_000] {
            let pattern = Pattern::new(Framing::Lines, size, 4096);
            for line in pattern.bytes[..pattern.ring_length].chunks(size) {
                let (end, text) = line.split_last().expect("a line is not empty");
                assert!(*end == b'\n' && text.iter().all(u8::is_ascii_graphic), "{line:?}");
            }
        }
    }

    #[test]
    fn a_length_counts_what_follows_it() {
        for size in [5, 64, 70_000] {
            let pattern = Pattern::new(Framing::Length, size, 4096);
            for message in pattern.bytes[..pattern.ring_length].chunks(size) {
                let header: [u8; HEADER] = message[..HEADER].try_into().expect("it is as long");
                assert_eq!(u32::from_be_bytes(header) as usize, size - HEADER);
            }
        }
    }

    #[test]
    fn messages_and_connections_differ_so_that_swaps_are_seen() {
        for framing in FRAMINGS {
            let pattern = Pattern::new(framing, 64, 4096);
            let mut place = pattern.start(0);
            for _ in 0..1000 {
                let next = pattern.after(place, 64);
                assert!(
                    pattern.first_wrong(place, pattern.slice(next, 64)).is_some(),
                    "the next message is the same"
                );
                place = next;
            }
            let starts: std::collections::BTreeSet<_> =
                (0..1000).map(|serial| pattern.start(serial).0).collect();
            assert!(starts.len() > 800, "{} places for 1000 connections", starts.len());
        }
    }

    #[test]
    fn large_messages_still_differ_from_each_other() {
        for framing in FRAMINGS {
            let pattern = Pattern::new(framing, 1 << 20, PIECE_MAX);
            let start = pattern.start(0);
            let mut next = start;
            for _ in 0..4 {
                next = pattern.after(next, PIECE_MAX);
            }
            assert!(pattern.first_wrong(start, pattern.slice(next, 64)).is_some(), "{framing:?}");
        }
    }
}
