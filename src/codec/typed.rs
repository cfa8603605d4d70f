//! Frames whose first byte says what they are, and by that how long.
//!
//! It knows a function from a type byte to a payload length; it refuses to know what the types mean.
//!
//! ```text
//!     ['M'][x][y]['Q']['C'][r][g][b]
//!      │   ├────┤  │    │  ├───────┤
//!      kind payload no payload: one byte, one frame
//! ```

use std::fmt;

use super::body::{body_behind, clamp_limit};
use super::{Decoder, EncodeError, FrameError, Put, Step};

/// What [`Typed`] cuts out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypedFrame<'a> {
    /// The type byte.
    pub kind: u8,
    /// What follows it, as long as its kind says.
    pub payload: &'a [u8],
}

/// Cuts out frames whose length follows from their first byte: the Python Socket Programming HOWTO's
/// "indicator of message type", which has "the type determine the length".
///
/// The function gives the length of the payload, the type byte not counted, and `None` for a type that does
/// not exist; a table is `|kind| TABLE[usize::from(kind)]`. A payload has at most 1 MiB by default.
///
/// ```
/// use switchboard::codec::{Decoder, Step, Typed, TypedFrame};
///
/// let mut codec: Typed = Typed::new(|kind| match kind {
///     b'M' => Some(2), // move: x, y
///     b'Q' => Some(0), // quit
///     _ => None,
/// });
/// let move_to = TypedFrame { kind: b'M', payload: &[3, 4] };
/// let mut out = Vec::new();
/// codec.encode(move_to, &mut out)?;
/// assert_eq!(out, b"M\x03\x04");
/// assert_eq!(codec.decode(&out)?, Step::Frame { frame: move_to, used: 3 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The default of `F` is a function pointer, so that `Typed` can be named where a type is needed, as in
/// `type Codec = Typed;`.
#[derive(Clone)]
pub struct Typed<F = fn(u8) -> Option<usize>> {
    length_of: F,
    frame_bytes_max: usize,
}

impl<F: Fn(u8) -> Option<usize>> Typed<F> {
    /// Asks `length_of` for the payload length of each type, and allows 1 MiB.
    ///
    /// It must answer the same for the same byte each time.
    pub const fn new(length_of: F) -> Typed<F> {
        Typed { length_of, frame_bytes_max: 1 << 20 }
    }

    /// Sets the most bytes a payload may have.
    #[must_use]
    pub fn frame_bytes_max(mut self, bytes: usize) -> Typed<F> {
        self.frame_bytes_max = clamp_limit(bytes);
        self
    }

    /// Writes the type byte and the payload, which must have the length of its type.
    #[inline]
    pub fn encode(&self, frame: TypedFrame<'_>, out: &mut impl Put) -> Result<(), EncodeError> {
        let TypedFrame { kind, payload } = frame;
        let Some(expected) = (self.length_of)(kind) else {
            return Err(EncodeError::UnknownType { byte: kind });
        };
        if payload.len() != expected {
            return Err(EncodeError::WrongLength { length: payload.len(), expected });
        }
        if expected > self.frame_bytes_max {
            return Err(EncodeError::TooLong { length: expected, limit: self.frame_bytes_max });
        }
        out.put_u8(kind);
        out.put_slice(payload);
        Ok(())
    }
}

impl<F> fmt::Debug for Typed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed").field("frame_bytes_max", &self.frame_bytes_max).finish_non_exhaustive()
    }
}

impl<F: Fn(u8) -> Option<usize>> Decoder for Typed<F> {
    type Frame<'a> = TypedFrame<'a>;
    type Error = FrameError;

    const FRAMES_FROM_NOTHING: bool = false;

    #[inline]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<TypedFrame<'a>>, FrameError> {
        let Some((&kind, rest)) = input.split_first() else {
            return Ok(Step::NeedMore { at_least: 1 });
        };
        let Some(length) = (self.length_of)(kind) else {
            return Err(FrameError::UnknownType { byte: kind });
        };
        let step = body_behind(1, rest, length as u64, self.frame_bytes_max)?;
        Ok(step.map(|payload| TypedFrame { kind, payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{End, Run, in_random_pieces, run_every_split, seeds};

    fn digit(kind: u8) -> Option<usize> {
        char::from(kind).to_digit(10).map(|n| n as usize)
    }

    fn own(frame: TypedFrame<'_>) -> (u8, Vec<u8>) {
        (frame.kind, frame.payload.to_vec())
    }

    fn frames(codec: &Typed, stream: &[u8]) -> Run<(u8, Vec<u8>), FrameError> {
        run_every_split(codec, stream, own)
    }

    #[test]
    fn the_type_says_how_long_the_payload_is() {
        let got = frames(&Typed::new(digit), b"2ab01c00");
        assert_eq!(
            got.frames,
            [(b'2', b"ab".to_vec()), (b'0', vec![]), (b'1', b"c".to_vec()), (b'0', vec![]), (b'0', vec![])]
        );
        assert_eq!(got.end, End::Clean);
    }

    #[test]
    fn a_payload_cut_off_is_truncated() {
        assert_eq!(frames(&Typed::new(digit), b"03ab").end, End::Truncated(3));
        assert_eq!(frames(&Typed::new(digit), b"03").end, End::Truncated(1));
    }

    #[test]
    fn an_unknown_type_is_refused_by_name() {
        let got = frames(&Typed::new(digit), b"1ax9");
        assert_eq!(got.frames.len(), 1);
        assert_eq!(got.end, End::Failed(FrameError::UnknownType { byte: b'x' }));
    }

    #[test]
    fn a_payload_of_the_limit_is_read_and_a_longer_type_is_an_error() {
        let codec: Typed = Typed::new(digit as fn(u8) -> Option<usize>).frame_bytes_max(4);
        assert_eq!(frames(&codec, b"3abc").frames.len(), 1);
        assert_eq!(frames(&codec, b"4abcd").frames.len(), 1);
        assert_eq!(frames(&codec, b"5").end, End::Failed(FrameError::TooLong { length: 5, limit: 4 }));
        let mut out = Vec::new();
        let five = TypedFrame { kind: b'5', payload: b"abcde" };
        assert_eq!(codec.encode(five, &mut out), Err(EncodeError::TooLong { length: 5, limit: 4 }));
        assert_eq!(codec.encode(TypedFrame { kind: b'4', payload: b"abcd" }, &mut out), Ok(()));
        assert_eq!(out, b"4abcd");
    }

    #[test]
    fn a_table_with_an_absurd_length_is_an_error_and_no_overflow() {
        let mut codec: Typed = Typed::new(|_| Some(usize::MAX));
        codec = codec.frame_bytes_max(usize::MAX);
        let limit = isize::MAX.unsigned_abs();
        assert_eq!(codec.decode(b"x"), Err(FrameError::TooLong { length: usize::MAX as u64, limit }));
    }

    #[test]
    fn the_debug_output_shows_the_limit_and_needs_nothing_of_the_function() {
        assert_eq!(format!("{:?}", Typed::new(|_| None)), "Typed { frame_bytes_max: 1048576, .. }");
    }

    #[test]
    fn random_frames_are_read_as_they_were_written() {
        for (seed, mut rng) in seeds(300) {
            let codec: Typed = Typed::new(digit);
            let (mut sent, mut stream) = (Vec::new(), Vec::new());
            for _ in 0..rng.usize(..20) {
                let length = rng.u8(..10);
                let (kind, payload) = (b'0' + length, vec![rng.u8(..); usize::from(length)]);
                codec.encode(TypedFrame { kind, payload: &payload }, &mut stream).expect("right length");
                sent.push((kind, payload));
            }
            let got = in_random_pieces(codec, &stream, own, &mut rng);
            assert_eq!(got, Run { frames: sent, end: End::Clean }, "seed {seed}");
        }
    }

    #[test]
    fn a_payload_that_does_not_fit_its_type_is_not_written() {
        let codec: Typed = Typed::new(digit);
        let mut out = Vec::new();
        let unknown = TypedFrame { kind: b'x', payload: b"" };
        assert_eq!(codec.encode(unknown, &mut out), Err(EncodeError::UnknownType { byte: b'x' }));
        let short = TypedFrame { kind: b'2', payload: b"a" };
        assert_eq!(codec.encode(short, &mut out), Err(EncodeError::WrongLength { length: 1, expected: 2 }));
        assert_eq!(out, b"");
    }
}
