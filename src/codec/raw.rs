//! No framing: whatever has arrived is a frame.
//!
//! It knows nothing, and refuses to know where a message ends: the kernel may have joined or split what the
//! peer wrote, so a frame's length means nothing.
//!
//! ```text
//!     written  [ abc ][ def ]
//!     arrived  [ abcd ] .. [ ef ]
//!     frames     abcd        ef
//! ```

use std::convert::Infallible;

use super::{Decoder, Put, Step};

/// Hands out bytes as they arrive: for echoes, proxies, tunnels, and handlers with a parser of their own.
///
/// A frame is never empty and has no maximum: it is at most one receive, whose size the reactor limits.
///
/// ```
/// use switchboard::codec::{Decoder, Raw, Step};
///
/// let step = Raw.decode(b"abcd")?;
/// assert_eq!(step, Step::Frame { frame: &b"abcd"[..], used: 4 });
/// # Ok::<(), std::convert::Infallible>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Raw;

impl Raw {
    /// A decoder of raw bytes.
    pub const fn new() -> Raw {
        Raw
    }

    /// Writes `bytes` as they are; there is nothing that could not be written.
    #[inline]
    pub fn encode(&self, bytes: &[u8], out: &mut impl Put) {
        out.put_slice(bytes);
    }
}

impl Decoder for Raw {
    type Frame<'a> = &'a [u8];
    type Error = Infallible;

    const FRAMES_FROM_NOTHING: bool = false;

    #[inline]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, Infallible> {
        if input.is_empty() {
            return Ok(Step::NeedMore { at_least: 1 });
        }
        Ok(Step::Frame { frame: input, used: input.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{End, run};

    #[test]
    fn every_piece_that_arrives_is_a_frame() {
        let pieces: [&[u8]; 3] = [b"abcd", b"e", b"f"];
        let got = run(Raw, &pieces, <[u8]>::to_vec);
        assert_eq!(got.frames, pieces);
        assert_eq!(got.end, End::Clean);
    }

    #[test]
    fn no_bytes_are_no_frame() {
        assert_eq!(Raw.decode(b""), Ok(Step::NeedMore { at_least: 1 }));
        assert_eq!(Raw.end(b""), Ok(None));
    }

    #[test]
    fn what_is_encoded_is_the_bytes_alone() {
        let mut out = Vec::new();
        Raw.encode(b"abc", &mut out);
        assert_eq!(out, b"abc");
    }
}
