//! Lines, ended by LF or CRLF.
//!
//! It knows the two line endings; it refuses to know characters and encodings: a line is bytes, and
//! `str::from_utf8` is the handler's to call. Invariant: no LF is among the first `scanned` bytes of the input.
//!
//! ```text
//!     PING\r\n   PONG\n   a\rb\n   par
//!     ├──┤       ├──┤     ├──┤    ├─▶│ scanned
//!     line       line     line
//! ```

use super::{Decoder, EncodeError, FrameError, Put, Step, scan};

/// Cuts the stream at each LF, and takes the LF, and one CR directly before it, off the line.
///
/// * A CR anywhere else is part of the line.
/// * A line has at most 8 KiB by default. The limit counts what the handler gets, the ending not: a line of
///   exactly the limit may still end in CRLF.
/// * A last line that the stream's end cut off is no frame, and the connection closes as truncated: half of
///   `DELETE /tmp/x/y` must not be obeyed. [`accept_unterminated`](Lines::accept_unterminated) is for text,
///   where the last ending is often missing.
///
/// ```
/// use switchboard::codec::{Decoder, Lines, Step};
///
/// let mut codec = Lines::new();
/// assert_eq!(codec.decode(b"PING\r\nPO")?, Step::Frame { frame: &b"PING"[..], used: 6 });
/// assert_eq!(codec.decode(b"PO")?, Step::NeedMore { at_least: 3 });
///
/// let mut out = Vec::new();
/// codec.encode(b"PONG", &mut out)?;
/// assert_eq!(out, b"PONG\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lines {
    frame_bytes_max: usize,
    scanned: usize,
    crlf: bool,
    accept_unterminated: bool,
}

impl Lines {
    /// Allows lines of 8 KiB, writes LF, and takes a last line without its ending for truncated.
    pub const fn new() -> Lines {
        Lines { frame_bytes_max: 8 << 10, scanned: 0, crlf: false, accept_unterminated: false }
    }

    /// Sets the most bytes a line may have, its ending not counted.
    #[must_use]
    pub const fn frame_bytes_max(mut self, bytes: usize) -> Lines {
        self.frame_bytes_max = bytes;
        self
    }

    /// Writes CRLF instead of LF. Both are read in any case.
    #[must_use]
    pub const fn crlf(mut self) -> Lines {
        self.crlf = true;
        self
    }

    /// Takes the bytes left over at the end of the stream for a last line.
    ///
    /// A CR at their end is half of a line ending and taken off.
    #[must_use]
    pub const fn accept_unterminated(mut self) -> Lines {
        self.accept_unterminated = true;
        self
    }

    /// Writes `line` and the line ending.
    ///
    /// Refuses what the other side would read as something else: a line with an LF in it, too long, or, where
    /// the ending is LF, with a CR at its end.
    #[inline]
    pub fn encode(&self, line: &[u8], out: &mut impl Put) -> Result<(), EncodeError> {
        if line.len() > self.frame_bytes_max {
            return Err(EncodeError::TooLong { length: line.len(), limit: self.frame_bytes_max });
        }
        if let Some(at) = scan::find(b'\n', line) {
            return Err(EncodeError::ContainsDelimiter { at });
        }
        if !self.crlf && line.ends_with(b"\r") {
            return Err(EncodeError::ContainsDelimiter { at: line.len() - 1 });
        }
        out.put_slice(line);
        out.put_slice(if self.crlf { b"\r\n" } else { b"\n" });
        Ok(())
    }

    /// What there is has no end yet.
    #[inline(never)]
    fn unended(&mut self, input: &[u8]) -> Result<(), FrameError> {
        self.scanned = input.len();
        if !wrong!(UnendedLineGrows) {
            self.line(input)?;
        }
        Ok(())
    }

    /// The line in `bytes`, which are all before an LF or all there is so far.
    #[inline]
    fn line<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let line = if let [line @ .., b'\r'] = bytes { line } else { bytes };
        if line.len() > self.frame_bytes_max {
            return Err(FrameError::Unended { limit: self.frame_bytes_max });
        }
        Ok(line)
    }
}

impl Default for Lines {
    fn default() -> Lines {
        Lines::new()
    }
}

impl Decoder for Lines {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    const FRAMES_FROM_NOTHING: bool = false;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call costs a line as much as finding its end")]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, FrameError> {
        let from = self.scanned.min(input.len());
        let Some(at) = scan::find(b'\n', &input[from..]) else {
            self.unended(input)?;
            return Ok(Step::NeedMore { at_least: input.len() + 1 });
        };
        self.scanned = 0;
        let lf = from + at;
        if wrong!(ScanPositionStays) {
            self.scanned = from;
        }
        if wrong!(CrlfCutInTwo) && from > 0 && at == 0 {
            return Ok(Step::Frame { frame: &input[..lf], used: lf + 1 });
        }
        Ok(Step::Frame { frame: self.line(&input[..lf])?, used: lf + 1 })
    }

    fn end<'a>(&mut self, input: &'a [u8]) -> Result<Option<&'a [u8]>, FrameError> {
        if !self.accept_unterminated || input.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.line(input)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{End, Run, in_random_pieces, run_every_split, seeds};

    /// The same by the plainest means: split at LF, strip, compare.
    fn twin(codec: &Lines, stream: &[u8]) -> Run<Vec<u8>, FrameError> {
        let mut frames = Vec::new();
        let mut pieces: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
        let last = pieces.pop().unwrap_or_default();
        let failed = End::Failed(FrameError::Unended { limit: codec.frame_bytes_max });
        for piece in pieces {
            let line = piece.strip_suffix(b"\r").unwrap_or(piece);
            if line.len() > codec.frame_bytes_max {
                return Run { frames, end: failed };
            }
            frames.push(line.to_vec());
        }
        let line = last.strip_suffix(b"\r").unwrap_or(last);
        let end = if line.len() > codec.frame_bytes_max {
            failed
        } else if last.is_empty() {
            End::Clean
        } else if codec.accept_unterminated {
            frames.push(line.to_vec());
            End::Clean
        } else {
            End::Truncated(last.len())
        };
        Run { frames, end }
    }

    fn lines(codec: &Lines, stream: &[u8]) -> Run<Vec<u8>, FrameError> {
        run_every_split(codec, stream, <[u8]>::to_vec)
    }

    #[test]
    fn both_line_endings_are_taken_off() {
        let got = lines(&Lines::new(), b"a\nbc\r\n\n\r\nd\n");
        assert_eq!(got.frames, [&b"a"[..], b"bc", b"", b"", b"d"]);
        assert_eq!(got.end, End::Clean);
    }

    #[test]
    fn a_cr_anywhere_else_stays() {
        let got = lines(&Lines::new(), b"a\rb\n\rc\r\r\n");
        assert_eq!(got.frames, [&b"a\rb"[..], b"\rc\r"]);
    }

    #[test]
    fn a_last_line_without_its_ending_is_truncated() {
        let got = lines(&Lines::new(), b"ab\ncd");
        assert_eq!(got.frames, [b"ab"]);
        assert_eq!(got.end, End::Truncated(2));
        assert_eq!(lines(&Lines::new(), b"ab\r").end, End::Truncated(3));
    }

    #[test]
    fn a_last_line_without_its_ending_is_a_frame_where_that_is_accepted() {
        let codec = Lines::new().accept_unterminated();
        for stream in [&b"ab\ncd"[..], b"ab\ncd\r", b"ab\ncd\n"] {
            let got = lines(&codec, stream);
            assert_eq!(got.frames, [b"ab", b"cd"]);
            assert_eq!(got.end, End::Clean);
        }
        assert_eq!(lines(&codec, b"").frames, [b""; 0]);
    }

    #[test]
    fn a_line_of_the_limit_is_a_frame_and_one_byte_more_is_an_error() {
        for codec in [Lines::new().frame_bytes_max(4), Lines::new().frame_bytes_max(4).accept_unterminated()]
        {
            let failed = End::Failed(FrameError::Unended { limit: 4 });
            for stream in [&b"abc\n"[..], b"abcd\n", b"abcd\r\n", b"abc\r\n", b"abc\r\r\n"] {
                assert_eq!(lines(&codec, stream).frames.len(), 1, "{stream:?}");
            }
            for stream in [&b"abcde"[..], b"abcde\n", b"abcde\r\n", b"abcd\re", b"abcd\r\r\n", b"abcdefgh\n"]
            {
                assert_eq!(lines(&codec, stream).end, failed, "{stream:?}");
            }
            // The CR may still be half of an ending.
            assert_ne!(lines(&codec, b"abcd\r").end, failed);
        }
    }

    #[test]
    fn the_default_limit_is_8_kib() {
        let mut stream = vec![b'x'; 8192];
        stream.extend_from_slice(b"\r\n");
        let step = Lines::new().decode(&stream);
        assert_eq!(step, Ok(Step::Frame { frame: &stream[..8192], used: 8194 }));
        stream.insert(0, b'x');
        assert_eq!(Lines::new().decode(&stream), Err(FrameError::Unended { limit: 8192 }));
    }

    #[test]
    fn bytes_already_scanned_are_not_looked_at_again() {
        let mut codec = Lines::new();
        let mut input = Vec::new();
        for _ in 0..1000 {
            input.push(b'x');
            assert_eq!(codec.decode(&input), Ok(Step::NeedMore { at_least: input.len() + 1 }));
            // Who looks back finds an ending where none was.
            input.pop();
            input.push(b'\n');
        }
        assert_eq!(codec.scanned, 1000);
    }

    #[test]
    fn random_streams_are_cut_as_the_twin_cuts_them() {
        for (seed, mut rng) in seeds(2000) {
            let mut codec = Lines::new().frame_bytes_max(rng.usize(..80));
            if rng.bool() {
                codec = codec.accept_unterminated();
            }
            let spread = [3, 20, 100][rng.usize(..3)];
            let byte = |rng: &mut fastrand::Rng| *b"\n\r\x0b\x8a".get(rng.usize(..spread)).unwrap_or(&b'x');
            let stream: Vec<u8> = (0..rng.usize(..400)).map(|_| byte(&mut rng)).collect();
            let got = in_random_pieces(codec.clone(), &stream, <[u8]>::to_vec, &mut rng);
            assert_eq!(got, twin(&codec, &stream), "seed {seed}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for codec in [Lines::new(), Lines::new().crlf()] {
            let mut out = Vec::new();
            for line in [&b"abc"[..], b"", b"a\rb", b"\r\rc"] {
                assert_eq!(codec.encode(line, &mut out), Ok(()));
            }
            assert_eq!(lines(&codec, &out).frames, [&b"abc"[..], b"", b"a\rb", b"\r\rc"]);
        }
    }

    #[test]
    fn a_line_that_would_be_read_as_another_is_not_written() {
        let codec = Lines::new().frame_bytes_max(4);
        let mut out = Vec::new();
        assert_eq!(codec.encode(b"abcde", &mut out), Err(EncodeError::TooLong { length: 5, limit: 4 }));
        assert_eq!(codec.encode(b"ab\nc", &mut out), Err(EncodeError::ContainsDelimiter { at: 2 }));
        assert_eq!(codec.encode(b"abc\r", &mut out), Err(EncodeError::ContainsDelimiter { at: 3 }));
        assert_eq!(out, b"");
        assert_eq!(codec.crlf().encode(b"abc\r", &mut out), Ok(()));
        assert_eq!(out, b"abc\r\r\n");
    }
}
