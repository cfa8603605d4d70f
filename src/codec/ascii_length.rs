//! Frames with their length in decimal digits before them.
//!
//! It knows a fixed number of digits; it refuses to know signs, spaces, other bases and other alphabets.
//!
//! ```text
//!     [00005][hello][00000][00012][hello, world]
//!     ├ digits ─▶├─ frame ─▶
//! ```

use super::body::{body_behind, clamp_limit};
use super::{BuildError, Decoder, EncodeError, FrameError, Put, Step};

/// Cuts out frames that say their length in ASCII digits: "say, as 5 numeric characters", in the words of the
/// Python Socket Programming HOWTO.
///
/// Five digits by default, and at most 1 MiB. Every digit must be one of `0` to `9`: two programs that do not
/// agree on `+7`, ` 7` or `-7` do not agree on where the next frame begins.
///
/// ```
/// use switchboard::codec::{AsciiLength, Decoder, Step};
///
/// let mut codec = AsciiLength::new();
/// let mut out = Vec::new();
/// codec.encode(b"hello", &mut out)?;
/// assert_eq!(out, b"00005hello");
/// assert_eq!(codec.decode(&out)?, Step::Frame { frame: &b"hello"[..], used: 10 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AsciiLength {
    frame_bytes_max: usize,
    digits: u8,
}

impl AsciiLength {
    /// Reads five digits and allows frames of 1 MiB, which is more than they can say.
    pub const fn new() -> AsciiLength {
        AsciiLength { frame_bytes_max: 1 << 20, digits: 5 }
    }

    /// Reads `digits` digits. Refuses none, and more than 19: a number of 20 may not fit 64 bits.
    pub const fn with_digits(digits: u8) -> Result<AsciiLength, BuildError> {
        // No range: its `contains` is not const.
        if digits < 1 || digits > 19 {
            return Err(BuildError::Digits { digits });
        }
        Ok(AsciiLength { digits, ..AsciiLength::new() })
    }

    /// Sets the most bytes a frame may have, the digits not counted.
    #[must_use]
    pub const fn frame_bytes_max(mut self, bytes: usize) -> AsciiLength {
        self.frame_bytes_max = clamp_limit(bytes);
        self
    }

    /// Writes the length of `frame` and `frame`.
    #[inline]
    pub fn encode(&self, frame: &[u8], out: &mut impl Put) -> Result<(), EncodeError> {
        self.encode_header(frame.len(), out)?;
        out.put_slice(frame);
        Ok(())
    }

    /// Writes the length of a frame that the caller sends itself.
    pub fn encode_header(&self, frame_bytes: usize, out: &mut impl Put) -> Result<(), EncodeError> {
        let digits = usize::from(self.digits);
        let largest = usize::try_from(10_u64.pow(self.digits.into()) - 1).unwrap_or(usize::MAX);
        let limit = self.frame_bytes_max.min(largest);
        if frame_bytes > limit {
            return Err(EncodeError::TooLong { length: frame_bytes, limit });
        }
        let mut header = [b'0'; 19];
        let mut rest = frame_bytes;
        for digit in header[..digits].iter_mut().rev() {
            *digit = b"0123456789"[rest % 10];
            rest /= 10;
        }
        out.put_slice(&header[..digits]);
        Ok(())
    }
}

impl Default for AsciiLength {
    fn default() -> AsciiLength {
        AsciiLength::new()
    }
}

impl Decoder for AsciiLength {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    const FRAMES_FROM_NOTHING: bool = false;

    #[inline]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, FrameError> {
        // Only once they are all here, so that a bad digit and then the end is the same however it was split.
        let Some((digits, rest)) = input.split_at_checked(self.digits.into()) else {
            return Ok(Step::NeedMore { at_least: self.digits.into() });
        };
        let mut length = 0;
        for (at, &byte) in digits.iter().enumerate() {
            if wrong!(SignAccepted) && at == 0 && byte == b'+' {
                continue;
            }
            if !byte.is_ascii_digit() {
                return Err(FrameError::NotADigit { byte, at });
            }
            length = length * 10 + u64::from(byte - b'0');
        }
        body_behind(digits.len(), rest, length, self.frame_bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{End, Run, in_random_pieces, run_every_split, seeds};

    fn frames(codec: &AsciiLength, stream: &[u8]) -> Run<Vec<u8>, FrameError> {
        run_every_split(codec, stream, <[u8]>::to_vec)
    }

    #[test]
    fn five_digits_say_how_long_the_frame_is() {
        let got = frames(&AsciiLength::new(), b"00005hello000000000112345");
        assert_eq!(got.frames, [&b"hello"[..], b"", b"1"]);
        assert_eq!(got.end, End::Truncated(4));
        assert_eq!(frames(&AsciiLength::new(), b"00002hi").end, End::Clean);
        assert_eq!(frames(&AsciiLength::new(), b"00002h").end, End::Truncated(6));
    }

    #[test]
    fn anything_but_a_digit_is_refused_by_name_and_place() {
        for (stream, byte, at) in [
            (b"+0005", b'+', 0),
            (b"-0005", b'-', 0),
            (b"    5", b' ', 0),
            (b"5    ", b' ', 1),
            (b"00x05", b'x', 2),
            (b"0000\n", b'\n', 4),
            (b"0000:", b':', 4),
            (b"0000/", b'/', 4),
            (b"0000\0", b'\0', 4),
            (b"1\xc2\xb223", 0xc2, 1),
        ] {
            assert_eq!(
                frames(&AsciiLength::new(), stream).end,
                End::Failed(FrameError::NotADigit { byte, at })
            );
        }
    }

    #[test]
    fn a_frame_of_the_limit_is_read_and_one_byte_more_is_an_error() {
        let codec = AsciiLength::with_digits(1).expect("one to 19").frame_bytes_max(4);
        assert_eq!(frames(&codec, b"3abc").frames, [b"abc"]);
        assert_eq!(frames(&codec, b"4abcd").frames, [b"abcd"]);
        assert_eq!(frames(&codec, b"5").end, End::Failed(FrameError::TooLong { length: 5, limit: 4 }));
    }

    #[test]
    fn the_longest_length_that_can_be_written_is_refused_without_overflow() {
        let codec = AsciiLength::with_digits(19).expect("one to 19").frame_bytes_max(usize::MAX);
        let limit = isize::MAX.unsigned_abs();
        let length = 9_999_999_999_999_999_999;
        assert_eq!(frames(&codec, &[b'9'; 19]).end, End::Failed(FrameError::TooLong { length, limit }));
    }

    #[test]
    fn a_number_of_digits_that_makes_no_sense_is_refused() {
        assert_eq!(AsciiLength::with_digits(0), Err(BuildError::Digits { digits: 0 }));
        assert_eq!(AsciiLength::with_digits(20), Err(BuildError::Digits { digits: 20 }));
    }

    #[test]
    fn random_frames_are_written_as_format_writes_them_and_read_back() {
        for (seed, mut rng) in seeds(300) {
            let digits = rng.u8(3..=19);
            let width = usize::from(digits);
            let codec = AsciiLength::with_digits(digits).expect("one to 19");
            let mut sent = Vec::new();
            let (mut stream, mut twin) = (Vec::new(), Vec::new());
            for _ in 0..rng.usize(..10) {
                let frame: Vec<u8> = (0..rng.usize(..50)).map(|_| rng.u8(..)).collect();
                codec.encode(&frame, &mut stream).expect("short enough");
                twin.extend_from_slice(format!("{:0width$}", frame.len()).as_bytes());
                twin.extend_from_slice(&frame);
                sent.push(frame);
            }
            assert_eq!(stream, twin, "seed {seed}");
            let got = in_random_pieces(codec, &stream, <[u8]>::to_vec, &mut rng);
            assert_eq!(got, Run { frames: sent, end: End::Clean }, "seed {seed}");
        }
    }

    #[test]
    fn a_frame_too_long_for_the_digits_or_the_limit_is_not_written() {
        let mut out = Vec::new();
        let five = AsciiLength::new();
        let too_long = EncodeError::TooLong { length: 100_000, limit: 99_999 };
        assert_eq!(five.encode_header(100_000, &mut out), Err(too_long));
        let two = five.clone().frame_bytes_max(2);
        assert_eq!(two.encode(b"abc", &mut out), Err(EncodeError::TooLong { length: 3, limit: 2 }));
        assert_eq!(out, b"");
        assert_eq!(five.encode_header(99_999, &mut out), Ok(()));
        assert_eq!(two.encode(b"ab", &mut out), Ok(()));
        assert_eq!(out, b"9999900002ab");
    }
}
