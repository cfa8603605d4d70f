//! Frames of one fixed length.
//!
//! It knows the length; it refuses to know what is in a frame.
//!
//! ```text
//!     [ length ][ length ][ len
//! ```

use super::{BuildError, Decoder, EncodeError, FrameError, Put, Step};

/// Cuts the stream into pieces of one length: records, samples.
///
/// The length is the limit; it is the program's own and not the peer's, so there is no other.
///
/// ```
/// use switchboard::codec::{Decoder, FixedLength, Step};
///
/// let mut codec = FixedLength::new(4)?;
/// assert_eq!(codec.decode(b"abcdef").unwrap(), Step::Frame { frame: &b"abcd"[..], used: 4 });
/// assert_eq!(codec.decode(b"ef").unwrap(), Step::NeedMore { at_least: 4 });
/// # Ok::<(), switchboard::codec::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixedLength {
    length: usize,
}

impl FixedLength {
    /// Takes `length` bytes for a frame. Refuses zero: frames that need no bytes have no end.
    pub const fn new(length: usize) -> Result<FixedLength, BuildError> {
        if length == 0 {
            return Err(BuildError::ZeroLength);
        }
        Ok(FixedLength { length })
    }

    /// Writes `frame`, which must have exactly the fixed length.
    #[inline]
    pub fn encode(&self, frame: &[u8], out: &mut impl Put) -> Result<(), EncodeError> {
        if frame.len() != self.length {
            return Err(EncodeError::WrongLength { length: frame.len(), expected: self.length });
        }
        out.put_slice(frame);
        Ok(())
    }
}

impl Decoder for FixedLength {
    type Frame<'a> = &'a [u8];
    // Nothing can go wrong today; the type all built-in codecs share leaves room and mixes well.
    type Error = FrameError;

    const FRAMES_FROM_NOTHING: bool = false;

    #[inline]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, FrameError> {
        match input.get(..self.length) {
            Some(frame) => Ok(Step::Frame { frame, used: self.length }),
            None => Ok(Step::NeedMore { at_least: self.length }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{End, in_random_pieces, run_every_split, seeds};

    #[test]
    fn the_stream_is_cut_at_every_multiple() {
        let codec = FixedLength::new(3).expect("not zero");
        let got = run_every_split(&codec, b"abcdefghi", <[u8]>::to_vec);
        assert_eq!(got.frames, [b"abc", b"def", b"ghi"]);
        assert_eq!(got.end, End::Clean);
    }

    #[test]
    fn a_piece_left_over_is_truncated() {
        let codec = FixedLength::new(3).expect("not zero");
        let got = run_every_split(&codec, b"abcde", <[u8]>::to_vec);
        assert_eq!(got.frames, [b"abc"]);
        assert_eq!(got.end, End::Truncated(2));
    }

    #[test]
    fn random_streams_are_cut_as_chunks_exact_cuts_them() {
        for (seed, mut rng) in seeds(200) {
            let length = rng.usize(1..20);
            let stream: Vec<u8> = (0..rng.usize(..300)).map(|_| rng.u8(..)).collect();
            let codec = FixedLength::new(length).expect("not zero");
            let got = in_random_pieces(codec, &stream, <[u8]>::to_vec, &mut rng);
            let twin = stream.chunks_exact(length);
            let tail = twin.remainder().len();
            assert_eq!(got.frames, twin.map(<[u8]>::to_vec).collect::<Vec<_>>(), "seed {seed}");
            assert_eq!(got.end, if tail == 0 { End::Clean } else { End::Truncated(tail) }, "seed {seed}");
        }
    }

    #[test]
    fn a_length_of_zero_is_refused() {
        assert_eq!(FixedLength::new(0), Err(BuildError::ZeroLength));
    }

    #[test]
    fn a_frame_of_another_length_is_not_written() {
        let codec = FixedLength::new(4).expect("not zero");
        let mut out = Vec::new();
        assert_eq!(codec.encode(b"abc", &mut out), Err(EncodeError::WrongLength { length: 3, expected: 4 }));
        assert_eq!(
            codec.encode(b"abcde", &mut out),
            Err(EncodeError::WrongLength { length: 5, expected: 4 })
        );
        assert_eq!(out, b"");
        assert_eq!(codec.encode(b"abcd", &mut out), Ok(()));
        assert_eq!(out, b"abcd");
    }
}
