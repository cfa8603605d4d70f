//! Frames ended by a delimiter of the program's choice, or by the first of several.
//!
//! It knows byte strings; it refuses to know quoting and escaping: a delimiter inside a frame ends it.
//! Invariant: no delimiter ends within the first `scanned` bytes of the input.
//!
//! ```text
//!     GET / HTTP/1.1\r\nHost: a\r\n\r\n   GET /b HT
//!     ├──────── frame ────────┤├─ delimiter  ├───▶│ scanned
//! ```

use std::sync::Arc;

use super::{BuildError, Decoder, EncodeError, FrameError, Put, Step, scan};

/// Cuts the stream at a delimiter of one byte or more.
///
/// * With several delimiters, the one that is complete first ends the frame; of those that end at the same
///   byte, the longest. So `\n` and `\r\n` together do what they should. `\r` and `\r\n` do not: who has
///   read `\r` cannot know whether to wait, and a list like that is refused.
/// * The limit is 1 MiB by default and counts the frame without its delimiter. A frame over it is refused at
///   the latest when the limit and the longest delimiter's length have come without an end.
/// * Bytes left over at the end of the stream are no frame; the connection closes as truncated.
///
/// The delimiters are shared between clones: make one codec, and clone it for each connection.
///
/// ```
/// use switchboard::codec::{Decoder, Delimited, Step};
///
/// let mut codec = Delimited::new(b"\r\n\r\n")?;
/// assert_eq!(codec.decode(b"a\r\nb\r\n\r\nc")?, Step::Frame { frame: &b"a\r\nb"[..], used: 8 });
/// assert_eq!(codec.decode(b"c")?, Step::NeedMore { at_least: 2 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Delimited {
    delimiters: Arc<Delimiters>,
    frame_bytes_max: usize,
    scanned: usize,
    keep: bool,
}

impl Delimited {
    /// Cuts at `delimiter`. Refuses an empty one.
    pub fn new(delimiter: impl AsRef<[u8]>) -> Result<Delimited, BuildError> {
        Delimited::any([delimiter])
    }

    /// Cuts at whichever of `delimiters` comes first; the first of the list is the one that is written.
    ///
    /// Refuses an empty one, none at all, and one that contains another before its end and so would never be
    /// reached.
    pub fn any<D: AsRef<[u8]>>(delimiters: impl IntoIterator<Item = D>) -> Result<Delimited, BuildError> {
        let all = delimiters.into_iter().map(|delimiter| Box::from(delimiter.as_ref())).collect();
        Ok(Delimited {
            delimiters: Arc::new(Delimiters::new(all)?),
            frame_bytes_max: 1 << 20,
            scanned: 0,
            keep: false,
        })
    }

    /// Sets the most bytes a frame may have, its delimiter not counted.
    #[must_use]
    pub fn frame_bytes_max(mut self, bytes: usize) -> Delimited {
        self.frame_bytes_max = bytes;
        self
    }

    /// Leaves the delimiter at the end of the frame.
    #[must_use]
    pub fn keep_delimiter(mut self) -> Delimited {
        self.keep = true;
        self
    }

    /// Writes `frame` and the delimiter, the first one of several. `frame` comes without it in any case.
    ///
    /// Refuses a frame that the other side would end elsewhere: with a delimiter in it, or with an end that
    /// makes one together with the delimiter behind it.
    pub fn encode(&self, frame: &[u8], out: &mut impl Put) -> Result<(), EncodeError> {
        if frame.len() > self.frame_bytes_max {
            return Err(EncodeError::TooLong { length: frame.len(), limit: self.frame_bytes_max });
        }
        if let Some(at) = self.delimiters.misplaced(frame) {
            return Err(EncodeError::ContainsDelimiter { at });
        }
        out.put_slice(frame);
        out.put_slice(&self.delimiters.written);
        Ok(())
    }
}

impl Decoder for Delimited {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    const FRAMES_FROM_NOTHING: bool = false;

    #[inline]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, FrameError> {
        let unended = FrameError::Unended { limit: self.frame_bytes_max };
        let Some(found) = self.delimiters.find(input, self.scanned.min(input.len())) else {
            self.scanned = input.len();
            if input.len() >= self.frame_bytes_max.saturating_add(self.delimiters.longest()) {
                return Err(unended);
            }
            return Ok(Step::NeedMore { at_least: input.len() + 1 });
        };
        self.scanned = 0;
        if found.start > self.frame_bytes_max {
            return Err(unended);
        }
        let frame = &input[..if self.keep { found.end } else { found.start }];
        Ok(Step::Frame { frame, used: found.end })
    }
}

/// Where a delimiter is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Found {
    start: usize,
    end: usize,
}

/// All delimiters of a codec.
#[derive(Debug)]
struct Delimiters {
    /// None is empty, longest first.
    all: Box<[Box<[u8]>]>,
    /// The last bytes of all of them, each once.
    last_bytes: Box<[u8]>,
    written: Box<[u8]>,
}

impl Delimiters {
    fn new(mut all: Vec<Box<[u8]>>) -> Result<Delimiters, BuildError> {
        let written = all.first().ok_or(BuildError::NoDelimiter)?.clone();
        for (hidden, outer) in all.iter().enumerate() {
            let (_, but_last) = outer.split_last().ok_or(BuildError::EmptyDelimiter)?;
            for (by, inner) in all.iter().enumerate() {
                if !inner.is_empty() && memchr::memmem::find(but_last, inner).is_some() {
                    return Err(BuildError::HiddenDelimiter { hidden, by });
                }
            }
        }
        all.sort_by_key(|delimiter| std::cmp::Reverse(delimiter.len()));
        let mut last_bytes: Vec<u8> = all.iter().filter_map(|delimiter| delimiter.last().copied()).collect();
        last_bytes.sort_unstable();
        last_bytes.dedup();
        Ok(Delimiters { all: all.into(), last_bytes: last_bytes.into(), written })
    }

    fn longest(&self) -> usize {
        self.all[0].len()
    }

    /// Finds the first delimiter that ends behind `from`.
    ///
    /// One pass for any number of delimiters, from last byte to last byte: a search for each would read far
    /// ahead for a delimiter that is rare, for every frame again, and would have to step back over a
    /// delimiter cut in two. The cost is one comparison for each candidate and delimiter.
    #[inline]
    fn find(&self, input: &[u8], mut from: usize) -> Option<Found> {
        let began = from;
        while let Some(at) = self.find_last_byte(&input[from..]) {
            let end = from + at + 1;
            for delimiter in &self.all {
                if wrong!(DelimiterCutInTwo) && end - began < delimiter.len() {
                    continue;
                }
                if input[..end].ends_with(delimiter) {
                    return Some(Found { start: end - delimiter.len(), end });
                }
            }
            from = end;
        }
        None
    }

    #[inline]
    fn find_last_byte(&self, bytes: &[u8]) -> Option<usize> {
        match *self.last_bytes {
            [a] => scan::find(a, bytes),
            [a, b] => memchr::memchr2(a, b, bytes),
            [a, b, c] => memchr::memchr3(a, b, c, bytes),
            ref more => bytes.iter().position(|byte| more.contains(byte)),
        }
    }

    /// Where a delimiter begins in `frame` and the delimiter written behind it, other than that one.
    fn misplaced(&self, frame: &[u8]) -> Option<usize> {
        if let Some(found) = self.find(frame, 0) {
            return Some(found.start);
        }
        for n in 1..=self.written.len() {
            let behind = &self.written[..n];
            let whole = n == self.written.len();
            for delimiter in &self.all {
                if whole && **delimiter == *self.written {
                    return None;
                }
                // It ends behind the frame: a part of it, or all, is the beginning of what is written.
                let Some(before) = delimiter.len().checked_sub(n) else {
                    continue;
                };
                if delimiter.ends_with(behind) && frame.ends_with(&delimiter[..before]) {
                    return Some(frame.len() - before);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{End, Run, in_random_pieces, run_every_split, seeds};

    fn frames(codec: &Delimited, stream: &[u8]) -> Run<Vec<u8>, FrameError> {
        run_every_split(codec, stream, <[u8]>::to_vec)
    }

    fn by(delimiters: &[&str]) -> Delimited {
        Delimited::any(delimiters).expect("none of them empty")
    }

    #[test]
    fn a_delimiter_of_one_byte_ends_a_frame() {
        let got = frames(&by(&["\0"]), b"ab\0\0c\0");
        assert_eq!(got.frames, [&b"ab"[..], b"", b"c"]);
        assert_eq!(got.end, End::Clean);
    }

    #[test]
    fn a_delimiter_split_across_reads_is_found() {
        let got = frames(&by(&["\r\n\r\n"]), b"a\r\n\r\r\n\r\nb");
        assert_eq!(got.frames, [b"a\r\n\r"]);
        assert_eq!(got.end, End::Truncated(1));
        assert_eq!(frames(&by(&["aab"]), b"xaaaabaab").frames, [&b"xaa"[..], b""]);
    }

    #[test]
    fn the_delimiter_is_kept_where_that_is_asked_for() {
        let got = frames(&by(&["--"]).keep_delimiter(), b"a----b");
        assert_eq!(got.frames, [b"a--", b"--".as_slice()]);
        assert_eq!(got.end, End::Truncated(1));
    }

    #[test]
    fn of_several_delimiters_the_first_complete_and_then_the_longest_wins() {
        assert_eq!(frames(&by(&["\n", "\r\n"]), b"a\r\nb\nc\rd\n").frames, [&b"a"[..], b"b", b"c\rd"]);
        // Five last bytes: more than memchr takes at once.
        let got = frames(&by(&["1", "2", "3", "4", "05"]), b"a1b2c3d4e05f5g");
        assert_eq!(got.frames, [b"a", b"b", b"c", b"d", b"e"]);
        assert_eq!(got.end, End::Truncated(3));
    }

    #[test]
    fn a_frame_of_the_limit_is_read_and_one_byte_more_is_an_error() {
        let codec = by(&["--", "+"]).frame_bytes_max(4);
        for stream in [&b"abc--"[..], b"abcd--", b"abcd+", b"abc-+"] {
            assert_eq!(frames(&codec, stream).frames.len(), 1, "{stream:?}");
        }
        for stream in [&b"abcde--"[..], b"abcde+", b"abcd-+", b"abcdef"] {
            let unended = End::Failed(FrameError::Unended { limit: 4 });
            assert_eq!(frames(&codec, stream).end, unended, "{stream:?}");
        }
        let mut stream = vec![b'x'; 1 << 20];
        let mut codec = by(&["\0"]);
        assert!(matches!(codec.decode(&stream), Ok(Step::NeedMore { .. })));
        stream.push(b'x');
        assert_eq!(codec.decode(&stream), Err(FrameError::Unended { limit: 1 << 20 }));
    }

    #[test]
    fn bytes_already_scanned_are_not_looked_at_again() {
        for delimiters in [&["\n"][..], &["\r\n", "\0"], &["1", "2", "3", "4"]] {
            let mut codec = by(delimiters);
            let last = delimiters[0].as_bytes();
            let mut input = Vec::new();
            for _ in 0..1000 {
                input.push(b'x');
                assert_eq!(codec.decode(&input), Ok(Step::NeedMore { at_least: input.len() + 1 }));
                // Who looks back finds a delimiter where none was.
                let scanned = input.len();
                input[scanned.saturating_sub(last.len())..]
                    .copy_from_slice(&last[last.len() - last.len().min(scanned)..]);
            }
        }
    }

    /// The same by the plainest means: at each byte, ask whether a delimiter ends there.
    fn twin(delimiters: &[&str], limit: usize, mut stream: &[u8]) -> Run<Vec<u8>, FrameError> {
        let mut frames = Vec::new();
        let longest = delimiters.iter().map(|delimiter| delimiter.len()).max().unwrap_or(0);
        let unended = End::Failed(FrameError::Unended { limit });
        'frames: loop {
            for end in 1..=stream.len() {
                let ending = delimiters.iter().filter(|d| stream[..end].ends_with(d.as_bytes()));
                if let Some(length) = ending.map(|delimiter| delimiter.len()).max() {
                    if end - length > limit {
                        return Run { frames, end: unended };
                    }
                    frames.push(stream[..end - length].to_vec());
                    stream = &stream[end..];
                    continue 'frames;
                }
            }
            let end = match stream.len() {
                0 => End::Clean,
                left if left >= limit + longest => unended,
                left => End::Truncated(left),
            };
            return Run { frames, end };
        }
    }

    const SETS: [&[&str]; 7] = [
        &["a"],
        &["ab"],
        &["aab"],
        &["b", "ab", "ca"],
        &["ba", "aab"],
        &["abab", "bb", "d"],
        &["a", "b", "c", "dd"],
    ];

    #[test]
    fn random_streams_are_cut_as_the_twin_cuts_them() {
        for (seed, mut rng) in seeds(3000) {
            let set = SETS[rng.usize(..SETS.len())];
            let limit = rng.usize(..20);
            let spread = [4, 40][rng.usize(..2)];
            let stream: Vec<u8> = (0..rng.usize(..300)).map(|_| b'a' + rng.u8(..spread)).collect();
            let codec = by(set).frame_bytes_max(limit);
            let got = in_random_pieces(codec, &stream, <[u8]>::to_vec, &mut rng);
            assert_eq!(got, twin(set, limit, &stream), "seed {seed}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is_refused() {
        for (seed, mut rng) in seeds(5000) {
            let set = SETS[rng.usize(..SETS.len())];
            let frame: Vec<u8> = (0..rng.usize(..5)).map(|_| b'a' + rng.u8(..4)).collect();
            let mut out = Vec::new();
            let written = by(set).encode(&frame, &mut out);
            let joined = [&frame, set[0].as_bytes()].concat();
            let readable = twin(set, 100, &joined) == Run { frames: vec![frame.clone()], end: End::Clean };
            match written {
                Ok(()) => assert!(readable && out == joined, "seed {seed}: {frame:?} by {set:?}"),
                Err(EncodeError::ContainsDelimiter { at }) => {
                    assert!(!readable && out.is_empty(), "seed {seed}: {frame:?} by {set:?}");
                    let found = |d: &&str| joined[at..].starts_with(d.as_bytes());
                    assert!(at <= frame.len() && set.iter().any(found), "seed {seed}: {frame:?} by {set:?}");
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
    }

    #[test]
    fn a_frame_that_would_end_elsewhere_is_not_written() {
        let mut out = Vec::new();
        let crlf2 = by(&["\r\n\r\n"]);
        let contains = |at| Err(EncodeError::ContainsDelimiter { at });
        assert_eq!(crlf2.encode(b"a\r\n\r\nb", &mut out), contains(1));
        assert_eq!(crlf2.encode(b"a\r\n", &mut out), contains(1));
        assert_eq!(by(&["\n", "\r\n"]).encode(b"a\r", &mut out), contains(1));
        let too_long = EncodeError::TooLong { length: 3, limit: 2 };
        let two = crlf2.frame_bytes_max(2);
        assert_eq!(two.encode(b"abc", &mut out), Err(too_long));
        assert_eq!(out, b"");
        assert_eq!(two.encode(b"ab", &mut out), Ok(()));
        assert_eq!(out, b"ab\r\n\r\n");
    }

    #[test]
    fn delimiters_that_make_no_sense_are_refused() {
        assert_eq!(Delimited::new("").expect_err("empty"), BuildError::EmptyDelimiter);
        assert_eq!(Delimited::any(["a", ""]).expect_err("empty"), BuildError::EmptyDelimiter);
        assert_eq!(Delimited::any([""; 0]).expect_err("none"), BuildError::NoDelimiter);
    }
}
