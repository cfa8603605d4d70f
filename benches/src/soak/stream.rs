//! The bytes of a connection: pseudo-random, each known from the seed and its place alone.
//!
//! So nothing that was sent is kept to be compared. It does not know connections or sockets.

/// An endless stream of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    seed: u64,
}

impl Stream {
    pub(super) fn new(seed: u64) -> Stream {
        Stream { seed }
    }

    /// Writes the bytes from place `offset` on into all of `bytes`.
    pub(super) fn fill(self, offset: u64, bytes: &mut [u8]) {
        let mut index = offset / 8;
        let skip = usize::try_from(offset % 8).expect("it is below eight");
        let head_length = ((8 - skip) % 8).min(bytes.len());
        let (head, rest) = bytes.split_at_mut(head_length);
        if skip > 0 {
            head.copy_from_slice(&self.word(index)[skip..skip + head_length]);
            index += 1;
        }
        let mut words = rest.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.word(index));
            index += 1;
        }
        let end = words.into_remainder();
        let length = end.len();
        end.copy_from_slice(&self.word(index)[..length]);
    }

    /// The place of the first of `bytes` that does not belong there, if the first of them is at `offset`.
    pub(super) fn first_wrong(self, offset: u64, bytes: &[u8], scratch: &mut [u8]) -> Option<u64> {
        let expected = &mut scratch[..bytes.len()];
        self.fill(offset, expected);
        if bytes == expected {
            return None;
        }
        let place = bytes.iter().zip(&*expected).position(|(is, should)| is != should)?;
        Some(offset + place as u64)
    }

    /// Eight bytes: `SplitMix64` (Steele, Lea and Flood, 2014), whose state is a counter.
    fn word(self, index: u64) -> [u8; 8] {
        let mut z = self.seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_the_same_wherever_it_is_cut() {
        let stream = Stream::new(7);
        let mut whole = [0; 64];
        stream.fill(0, &mut whole);
        for start in 0..64 {
            for end in start..=64 {
                let mut piece = vec![0; end - start];
                stream.fill(start as u64, &mut piece);
                assert_eq!(piece, whole[start..end], "{start}..{end}");
            }
        }
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_is() {
        let (stream, mut scratch) = (Stream::new(7), [0; 64]);
        let mut bytes = [0; 40];
        stream.fill(1000, &mut bytes);
        assert_eq!(stream.first_wrong(1000, &bytes, &mut scratch), None);
        for place in 0..40 {
            bytes[place] ^= 1;
            assert_eq!(stream.first_wrong(1000, &bytes, &mut scratch), Some(1000 + place as u64));
            bytes[place] ^= 1;
        }
        assert!(stream.first_wrong(1001, &bytes, &mut scratch).is_some(), "a shift is not seen");
    }
}
