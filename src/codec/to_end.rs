//! The rest of the stream as one frame, ended by the peer's shutdown.
//!
//! It knows how much may come; it refuses to know what is in it.
//!
//! ```text
//!     [ everything until the peer ends its side ] FIN
//!     ├────────────────── frame ────────────────▶│
//! ```

use super::{Decoder, EncodeError, FrameError, Put, Step};

/// Collects everything up to the end of the stream into one frame: finger, whois, HTTP/1.0 bodies.
///
/// At most 1 MiB by default. A stream that ends without a byte is an empty message and gives an empty frame:
/// each stream is exactly one message, and a handler can ignore an empty one but could not guess a missing
/// one. So nothing is ever truncated here; who needs to know that the message is whole needs a length.
///
/// ```
/// use switchboard::codec::{Decoder, Step, ToEnd};
///
/// let mut codec = ToEnd::new();
/// assert_eq!(codec.decode(b"one mess")?, Step::NeedMore { at_least: 9 });
/// assert_eq!(codec.end(b"one message")?, Some(&b"one message"[..]));
/// # Ok::<(), switchboard::codec::FrameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToEnd {
    frame_bytes_max: usize,
}

impl ToEnd {
    /// Allows 1 MiB.
    pub const fn new() -> ToEnd {
        ToEnd { frame_bytes_max: 1 << 20 }
    }

    /// Sets the most bytes the stream may have.
    #[must_use]
    pub const fn frame_bytes_max(self, bytes: usize) -> ToEnd {
        ToEnd { frame_bytes_max: bytes }
    }

    /// Writes `message`. What ends it is the end of our side of the stream, which the caller must see to.
    pub fn encode(&self, message: &[u8], out: &mut impl Put) -> Result<(), EncodeError> {
        if message.len() > self.frame_bytes_max {
            return Err(EncodeError::TooLong { length: message.len(), limit: self.frame_bytes_max });
        }
        out.put_slice(message);
        Ok(())
    }

    fn check(&self, input: &[u8]) -> Result<(), FrameError> {
        if input.len() > self.frame_bytes_max {
            return Err(FrameError::Unended { limit: self.frame_bytes_max });
        }
        Ok(())
    }
}

impl Default for ToEnd {
    fn default() -> ToEnd {
        ToEnd::new()
    }
}

impl Decoder for ToEnd {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    const FRAMES_FROM_NOTHING: bool = false;

    #[inline]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, FrameError> {
        self.check(input)?;
        Ok(Step::NeedMore { at_least: input.len() + 1 })
    }

    fn end<'a>(&mut self, input: &'a [u8]) -> Result<Option<&'a [u8]>, FrameError> {
        self.check(input)?;
        Ok(Some(input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{End, run_every_split};

    #[test]
    fn the_whole_stream_is_one_frame_at_its_end() {
        let got = run_every_split(&ToEnd::new(), b"two\nlines\n", <[u8]>::to_vec);
        assert_eq!(got.frames, [b"two\nlines\n"]);
        assert_eq!(got.end, End::Clean);
    }

    #[test]
    fn an_empty_stream_is_an_empty_message() {
        let got = run_every_split(&ToEnd::new(), b"", <[u8]>::to_vec);
        assert_eq!(got.frames, [b""]);
        assert_eq!(got.end, End::Clean);
    }

    #[test]
    fn a_stream_of_the_limit_is_a_frame_and_one_byte_more_is_an_error() {
        let codec = ToEnd::new().frame_bytes_max(4);
        for stream in [&b"abc"[..], b"abcd"] {
            assert_eq!(run_every_split(&codec, stream, <[u8]>::to_vec).frames, [stream]);
            assert_eq!(codec.encode(stream, &mut Vec::new()), Ok(()));
        }
        let got = run_every_split(&codec, b"abcde", <[u8]>::to_vec);
        assert_eq!(got.end, End::Failed(FrameError::Unended { limit: 4 }));
        let mut out = Vec::new();
        assert_eq!(codec.encode(b"abcde", &mut out), Err(EncodeError::TooLong { length: 5, limit: 4 }));
        assert_eq!(out, b"");
    }
}
