//! One of two codecs, chosen for each connection and changed whenever the protocol says so.
//!
//! It knows that there are two; it does not know either. A codec that takes over is shown the very next byte
//! after the last frame.
//!
//! ```text
//!     DATA\r\n  [ raw bytes ... ]  QUIT\r\n
//!     ├ A: lines ┤├──── B: raw ───┤├ A: lines
//! ```

use std::error::Error;
use std::fmt;

use super::{Decoder, Step};

/// Either of two codecs, of two frames, or of two errors.
///
/// Nested, `Either<A, Either<B, C>>`, it is one of three. To switch, a handler assigns to its connection's
/// codec: `*conn.codec = Either::B(Raw)`.
///
/// ```
/// use switchboard::codec::{Decoder, Either, Lines, Raw, Step};
///
/// let mut codec = Either::A(Lines::new());
/// let input = b"DATA\r\n\x00\x01";
/// let step = codec.decode(input)?;
/// assert_eq!(step, Step::Frame { frame: Either::A(&b"DATA"[..]), used: 6 });
///
/// codec = Either::B(Raw);
/// let step = codec.decode(&input[6..])?;
/// assert_eq!(step, Step::Frame { frame: Either::B(&b"\x00\x01"[..]), used: 2 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Either<A, B> {
    /// The first of the two.
    A(A),
    /// The second.
    B(B),
}

impl<T> Either<T, T> {
    /// Forgets which of the two it was, where both are the same type.
    pub fn into_inner(self) -> T {
        match self {
            Either::A(inner) | Either::B(inner) => inner,
        }
    }
}

impl<A: Decoder, B: Decoder> Decoder for Either<A, B> {
    type Frame<'a> = Either<A::Frame<'a>, B::Frame<'a>>;
    type Error = Either<A::Error, B::Error>;

    const FRAMES_FROM_NOTHING: bool = A::FRAMES_FROM_NOTHING || B::FRAMES_FROM_NOTHING;

    #[inline]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<Self::Frame<'a>>, Self::Error> {
        match self {
            Either::A(a) => Ok(a.decode(input).map_err(Either::A)?.map(Either::A)),
            Either::B(b) => Ok(b.decode(input).map_err(Either::B)?.map(Either::B)),
        }
    }

    fn end<'a>(&mut self, input: &'a [u8]) -> Result<Option<Self::Frame<'a>>, Self::Error> {
        match self {
            Either::A(a) => Ok(a.end(input).map_err(Either::A)?.map(Either::A)),
            Either::B(b) => Ok(b.end(input).map_err(Either::B)?.map(Either::B)),
        }
    }
}

impl<A: fmt::Display, B: fmt::Display> fmt::Display for Either<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Either::A(a) => a.fmt(f),
            Either::B(b) => b.fmt(f),
        }
    }
}

impl<A: Error, B: Error> Error for Either<A, B> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Either::A(a) => a.source(),
            Either::B(b) => b.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{Caused, End, run, run_every_split};
    use crate::codec::{FixedLength, FrameError, Lines, Raw, ToEnd};

    /// Does as a handler of two modes would: `raw` is followed by `count` frames of the other codec.
    fn switching<B>(pieces: &[&[u8]], other: &B, count: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>)
    where
        B: Clone + for<'a> Decoder<Frame<'a> = &'a [u8]>,
    {
        let mut codec = Either::A(Lines::new());
        let (mut lines, mut others, mut input) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Step::Frame { frame, used } = codec.decode(&input).expect("nothing too long") {
                match frame {
                    Either::A(line) => {
                        lines.push(line.to_vec());
                        if line == b"raw" {
                            codec = Either::B(other.clone());
                        }
                    }
                    Either::B(bytes) => {
                        others.push(bytes.to_vec());
                        if others.len() % count == 0 {
                            codec = Either::A(Lines::new());
                        }
                    }
                }
                input.drain(..used);
            }
        }
        assert_eq!(input, b"", "a byte was lost or not asked for");
        (lines, others)
    }

    #[test]
    fn switching_to_a_counted_body_and_back_loses_no_byte_at_any_split() {
        let stream = b"a\nraw\nb\n\r\ncdd\r\nraw\nefghije\n";
        let other = FixedLength::new(3).expect("not zero");
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                let (lines, others) = switching(&pieces, &other, 2);
                assert_eq!(lines, [&b"a"[..], b"raw", b"d", b"raw", b"e"], "{pieces:?}");
                assert_eq!(others, [b"b\n\r", b"\ncd", b"efg", b"hij"], "{pieces:?}");
            }
        }
    }

    #[test]
    fn switching_to_raw_and_back_loses_no_byte() {
        // What the raw codec gets is the rest of the read that made it, or the whole next one.
        for pieces in [[&b"a\nraw\nb\n\rc"[..], b"d\r", b"\ne\n"], [b"a\nraw\n", b"b\n\rc", b"d\r\ne\n"]] {
            let (lines, others) = switching(&pieces, &Raw, 1);
            assert_eq!(lines, [&b"a"[..], b"raw", b"d", b"e"]);
            assert_eq!(others, [b"b\n\rc"]);
        }
    }

    #[test]
    fn each_side_decodes_and_ends_as_it_would_alone() {
        let lines: Either<Lines, ToEnd> = Either::A(Lines::new());
        let got = run_every_split(&lines, b"a\nb", |frame| frame.into_inner().to_vec());
        assert_eq!(got.frames, [b"a"]);
        assert_eq!(got.end, End::Truncated(1));
        let to_end: Either<Lines, ToEnd> = Either::B(ToEnd::new());
        let got = run_every_split(&to_end, b"a\nb", |frame| matches!(frame, Either::B(b"a\nb")));
        assert_eq!(got.frames, [true]);
        assert_eq!(got.end, End::Clean);
    }

    #[test]
    fn an_error_is_the_error_of_its_side() {
        let codec: Either<FixedLength, Lines> = Either::B(Lines::new().frame_bytes_max(1));
        let End::Failed(error) = run(codec, &[b"abc\n"], |_| ()).end else { panic!("a line of 3 bytes") };
        assert_eq!(error, Either::B(FrameError::Unended { limit: 1 }));
        assert_eq!(error.to_string(), FrameError::Unended { limit: 1 }.to_string());
    }

    #[test]
    fn the_cause_of_an_error_is_the_cause_of_the_error_of_its_side() {
        let cause = FrameError::VarintOverflow;
        for error in [Either::A(Caused(cause)), Either::B(Caused(cause))] {
            assert_eq!(error.source().and_then(<dyn Error>::downcast_ref), Some(&cause));
        }
    }
}
