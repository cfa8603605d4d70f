//! What every codec's tests share: a stream fed in pieces as the reactor would, whole, byte by byte, at every
//! split and at random, and the promises of the trait checked on the way.
//!
//! It knows the contract of [`Decoder`]; it does not know any codec. A frame is compared by what `own` keeps
//! of it, because the frame itself only borrows.

use std::error::Error;
use std::fmt::{self, Debug};

use fastrand::Rng;

use super::{Decoder, FrameError, Step};

/// All that a stream became.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Run<T, E> {
    pub(crate) frames: Vec<T>,
    pub(crate) end: End<E>,
}

/// How a stream ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End<E> {
    /// At the border of two frames.
    Clean,
    /// With this many bytes of an unfinished frame.
    Truncated(usize),
    /// The decoder refused it.
    Failed(E),
}

/// Feeds `pieces`, then the end of the stream.
pub(crate) fn run<D: Decoder, T>(
    mut decoder: D,
    pieces: &[&[u8]],
    own: impl Fn(D::Frame<'_>) -> T,
) -> Run<T, D::Error> {
    let mut frames = Vec::new();
    let mut input = Vec::new();
    let mut wanted = 0;
    // The empty piece first: a codec may be asked before anything has come.
    for piece in std::iter::once(&&[][..]).chain(pieces) {
        input.extend_from_slice(piece);
        let mut start = 0;
        while input.len() - start >= wanted {
            match decoder.decode(&input[start..]) {
                Ok(Step::Frame { frame, used }) => {
                    assert!((1..=input.len() - start).contains(&used), "a frame used {used} bytes");
                    frames.push(own(frame));
                    start += used;
                    wanted = 0;
                }
                Ok(Step::NeedMore { at_least }) => {
                    assert!(at_least > input.len() - start, "{at_least} bytes are here already");
                    wanted = at_least;
                }
                Err(error) => {
                    assert!(start < input.len() || D::FRAMES_FROM_NOTHING, "nothing came of nothing");
                    return Run { frames, end: End::Failed(error) };
                }
            }
        }
        input.drain(..start);
    }
    let end = match decoder.end(&input) {
        Ok(Some(frame)) => {
            frames.push(own(frame));
            End::Clean
        }
        Ok(None) if input.is_empty() => End::Clean,
        Ok(None) => End::Truncated(input.len()),
        Err(error) => End::Failed(error),
    };
    Run { frames, end }
}

/// Feeds `stream` whole, byte by byte and at every split there is (of a long one: at every two cuts), each
/// to a fresh clone, and asserts that it never makes a difference.
pub(crate) fn run_every_split<D, T>(
    decoder: &D,
    stream: &[u8],
    own: impl Fn(D::Frame<'_>) -> T,
) -> Run<T, D::Error>
where
    D: Decoder + Clone,
    D::Error: PartialEq,
    T: PartialEq + Debug,
{
    let whole = run(decoder.clone(), &[stream], &own);
    let check = |pieces: &[&[u8]]| {
        assert_eq!(run(decoder.clone(), pieces, &own), whole, "in pieces {pieces:?}");
    };

    check(&stream.chunks(1).collect::<Vec<_>>());
    let n = stream.len();
    if (2..=12).contains(&n) {
        for mask in 0..1_u32 << (n - 1) {
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in (1..n).filter(|cut| mask >> (cut - 1) & 1 == 1) {
                pieces.push(&stream[start..cut]);
                start = cut;
            }
            pieces.push(&stream[start..]);
            check(&pieces);
        }
    } else {
        for second in 0..=n {
            for first in 0..=second {
                check(&[&stream[..first], &stream[first..second], &stream[second..]]);
            }
        }
    }
    whole
}

/// Feeds `stream` in pieces of random length, empty ones among them.
pub(crate) fn in_random_pieces<D: Decoder, T>(
    decoder: D,
    mut stream: &[u8],
    own: impl Fn(D::Frame<'_>) -> T,
    rng: &mut Rng,
) -> Run<T, D::Error> {
    let longest = [1, 3, 10, 1000][rng.usize(..4)];
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(rng.usize(..=longest).min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    run(decoder, &pieces, own)
}

/// An error with a cause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caused(pub(crate) FrameError);

impl fmt::Display for Caused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("for some reason")
    }
}

impl Error for Caused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// The random generators of `count` cases, each with the seed that a failure must print.
pub(crate) fn seeds(count: u64) -> impl Iterator<Item = (u64, Rng)> {
    (0..count).map(|seed| (seed, Rng::with_seed(seed)))
}
