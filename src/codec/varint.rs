//! Frames with a varint length before them, as protobuf writes "delimited" messages.
//!
//! It knows LEB128: seven bits a byte, the low ones first, the top bit set on all but the last byte. It
//! refuses to know the messages.
//!
//! ```text
//!     [05][hello][ac 02][300 bytes ...]
//!      │           └┴─ 0x2c + (0x02 << 7)
//!      └─ length
//! ```

use super::body::{body_behind, clamp_limit};
use super::{Decoder, EncodeError, FrameError, Put, Step};

/// The most bytes that 64 bits take, seven at a time.
const BYTES_MAX: usize = 10;

/// Cuts out frames that say their length in a varint.
///
/// At most 1 MiB by default. A length may take more bytes than it needs (`85 00` for 5), as protobuf allows and
/// some writers use to fill a length in afterwards; it may not take more than ten, nor more than 64 bits.
///
/// ```
/// use switchboard::codec::{Decoder, Step, Varint};
///
/// let mut codec = Varint::new();
/// let mut out = Vec::new();
/// codec.encode(b"hello", &mut out)?;
/// assert_eq!(out, b"\x05hello");
/// assert_eq!(codec.decode(&out)?, Step::Frame { frame: &b"hello"[..], used: 6 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Varint {
    frame_bytes_max: usize,
}

impl Varint {
    /// Allows frames of 1 MiB.
    pub const fn new() -> Varint {
        Varint { frame_bytes_max: 1 << 20 }
    }

    /// Sets the most bytes a frame may have, the varint not counted.
    #[must_use]
    pub const fn frame_bytes_max(self, bytes: usize) -> Varint {
        Varint { frame_bytes_max: clamp_limit(bytes) }
    }

    /// Writes the length of `frame`, in as few bytes as it takes, and `frame`.
    #[inline]
    pub fn encode(&self, frame: &[u8], out: &mut impl Put) -> Result<(), EncodeError> {
        self.encode_header(frame.len(), out)?;
        out.put_slice(frame);
        Ok(())
    }

    /// Writes the length of a frame that the caller sends itself.
    #[inline]
    pub fn encode_header(&self, frame_bytes: usize, out: &mut impl Put) -> Result<(), EncodeError> {
        if frame_bytes > self.frame_bytes_max {
            return Err(EncodeError::TooLong { length: frame_bytes, limit: self.frame_bytes_max });
        }
        let mut rest = frame_bytes;
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if rest == 0 {
                out.put_u8(low);
                break;
            }
            out.put_u8(low | 0x80);
        }
        Ok(())
    }
}

impl Default for Varint {
    fn default() -> Varint {
        Varint::new()
    }
}

impl Decoder for Varint {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    const FRAMES_FROM_NOTHING: bool = false;

    #[inline]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, FrameError> {
        let mut length = 0;
        // Not remembered between calls: looking at ten bytes again costs no more than remembering them.
        for (at, &byte) in input.iter().take(BYTES_MAX).enumerate() {
            // Nine bytes have filled 63 bits. One is left, and no room for a byte after this.
            if at == BYTES_MAX - 1 && byte > 1 {
                return Err(FrameError::VarintOverflow);
            }
            length |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return body_behind(at + 1, &input[at + 1..], length, self.frame_bytes_max);
            }
            if wrong!(VarintCutInTwo) && at + 1 == input.len() {
                return body_behind(at + 1, &input[at + 1..], length, self.frame_bytes_max);
            }
        }
        Ok(Step::NeedMore { at_least: input.len() + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{End, Run, in_random_pieces, run_every_split, seeds};

    fn frames(codec: &Varint, stream: &[u8]) -> Run<Vec<u8>, FrameError> {
        run_every_split(codec, stream, <[u8]>::to_vec)
    }

    #[test]
    fn seven_bits_of_each_byte_make_the_length() {
        let mut stream = b"\x02hi\x00\xac\x02".to_vec();
        stream.extend_from_slice(&[b'x'; 300]);
        let got = frames(&Varint::new(), &stream);
        assert_eq!(got.frames, [&b"hi"[..], b"", &[b'x'; 300]]);
        assert_eq!(got.end, End::Clean);
        assert_eq!(frames(&Varint::new(), b"\x02hi\x80").end, End::Truncated(1));
        assert_eq!(frames(&Varint::new(), b"\x02h").end, End::Truncated(2));
    }

    #[test]
    fn a_length_may_be_longer_than_it_needs_to_be() {
        assert_eq!(frames(&Varint::new(), b"\x82\x00hi").frames, [b"hi"]);
        assert_eq!(frames(&Varint::new(), b"\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00hi").frames, [b"hi"]);
    }

    #[test]
    fn more_than_64_bits_or_ten_bytes_are_refused() {
        let mut codec = Varint::new();
        let mut all_64 = [0xff; 10];
        all_64[9] = 0x01;
        let too_long = FrameError::TooLong { length: u64::MAX, limit: 1 << 20 };
        assert_eq!(codec.decode(&all_64), Err(too_long));
        for last in [0x02, 0x7f, 0x80, 0x81, 0xff] {
            let mut header = [0x80; 10];
            header[9] = last;
            assert_eq!(frames(&codec, &header).end, End::Failed(FrameError::VarintOverflow), "{last}");
            assert_eq!(codec.decode(&header[..9]), Ok(Step::NeedMore { at_least: 10 }));
        }
    }

    #[test]
    fn a_frame_of_the_limit_is_read_and_one_byte_more_is_an_error() {
        let codec = Varint::new().frame_bytes_max(4);
        assert_eq!(frames(&codec, b"\x03abc").frames, [b"abc"]);
        assert_eq!(frames(&codec, b"\x04abcd").frames, [b"abcd"]);
        assert_eq!(frames(&codec, b"\x05").end, End::Failed(FrameError::TooLong { length: 5, limit: 4 }));
        let mut out = Vec::new();
        assert_eq!(codec.encode(b"abcde", &mut out), Err(EncodeError::TooLong { length: 5, limit: 4 }));
        assert_eq!(out, b"");
        assert_eq!(codec.encode(b"abcd", &mut out), Ok(()));
        assert_eq!(out, b"\x04abcd");
    }

    #[test]
    fn random_frames_are_read_as_they_were_written() {
        for (seed, mut rng) in seeds(300) {
            let codec = Varint::new();
            let (mut sent, mut stream) = (Vec::new(), Vec::new());
            for _ in 0..rng.usize(..10) {
                let longest = [1, 130, 20_000][rng.usize(..3)];
                let frame = vec![rng.u8(..); rng.usize(..longest)];
                // The twin: seven bits of the binary number at a time.
                let sevens = (0..3).map(|i| frame.len() >> (7 * i) & 0x7f | 0x80);
                let mut header: Vec<u8> = sevens.map(|seven| seven.to_le_bytes()[0]).collect();
                while header.len() > 1 && header.last() == Some(&0x80) {
                    header.pop();
                }
                *header.last_mut().expect("one at least") &= 0x7f;
                let before = stream.len();
                codec.encode(&frame, &mut stream).expect("short enough");
                assert!(stream[before..].starts_with(&header), "seed {seed}");
                assert_eq!(stream.len() - before, header.len() + frame.len(), "seed {seed}");
                sent.push(frame);
            }
            let got = in_random_pieces(codec, &stream, <[u8]>::to_vec, &mut rng);
            assert_eq!(got, Run { frames: sent, end: End::Clean }, "seed {seed}");
        }
    }
}
