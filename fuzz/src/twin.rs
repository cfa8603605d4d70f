//! A codec's plainest twin, and what is the same for all codecs: the comparison with it.
//!
//! A twin sees all that is left of the stream at once, in one slice, and has no state. So it cannot make the
//! mistakes of a decoder that is shown the stream bit by bit. It does not know how the stream was split.

use std::fmt::Debug;
use std::ops::Range;

use switchboard::codec::{Decoder, EncodeError, FrameError};

use crate::feed::{Asked, End, feed};
use crate::input::{Input, Stream};

/// How much is written at most, or so: a header may be thousands of times larger than what follows it.
const OUT_BYTES_MAX: usize = 1 << 16;

/// What the rest of a stream begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cut {
    /// A frame.
    Frame {
        /// Where its bytes are.
        frame: Range<usize>,
        /// How many bytes it takes up.
        used: usize,
    },
    /// A frame that takes up all that is left, because the stream ends.
    Last {
        /// Where its bytes are.
        frame: Range<usize>,
    },
    /// No whole frame.
    Rest,
    /// What cannot be a frame.
    Failed(FrameError),
}

/// A codec's options, as the input chose them.
pub trait Twin: Debug + Sized {
    /// The codec that has them.
    type Codec: for<'a> Decoder<Frame<'a> = &'a [u8], Error = FrameError>;

    /// Chooses them, or nothing where the library refuses what was chosen, as it should.
    fn draw(input: &mut Input<'_>) -> Option<Self>;

    /// Makes the codec.
    fn codec(&self) -> Self::Codec;

    /// The longest frame that may be handed out.
    fn frame_max(&self) -> usize;

    /// The most bytes that a frame takes up in the stream.
    fn used_max(&self) -> usize;

    /// All that a decoder would find at the beginning of `rest`, if all of the stream were there.
    fn cut(&self, rest: &[u8]) -> Cut;

    /// The bytes that stand for a frame in the stream, and where in them the decoded frame should be; or nothing
    /// if no bytes can.
    fn written(&self, frame: &[u8]) -> Option<(Vec<u8>, Range<usize>)>;

    /// Encodes by the library.
    fn encode(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

/// Draws a codec from `data` and compares it with its twin, in both directions.
pub fn check<T: Twin>(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(twin) = T::draw(&mut input) else { return };
    let stream = input.stream();
    decode(&twin, stream);
    encode(&twin, stream);
}

/// Decodes `stream` in several ways of splitting and asking.
fn decode<T: Twin>(twin: &T, stream: Stream<'_>) {
    let (frames, end) = expected(twin, stream.bytes);
    let (frame_max, used_max) = (twin.frame_max(), twin.used_max());
    for (split, asked) in [
        (stream.whole(), Asked::WhenDue),
        (stream, Asked::WhenDue),
        (stream, Asked::Always),
        (stream.byte_by_byte(), Asked::WhenDue),
        (stream.byte_by_byte(), Asked::Always),
    ] {
        let mut got = Vec::with_capacity(frames.len());
        let got_end = feed(&mut twin.codec(), split, asked, used_max, |_, frame| got.push(frame));
        assert!(got.iter().all(|frame| frame.len() <= frame_max), "{twin:?}: a frame over the limit");
        assert_eq!((&got, &got_end), (&frames, &end), "{twin:?}, asked {asked:?}, {split:?}");
    }
}

/// What the twin makes of `stream`.
fn expected<'s, T: Twin>(twin: &T, stream: &'s [u8]) -> (Vec<&'s [u8]>, End<FrameError>) {
    let mut frames = Vec::new();
    let mut rest = stream;
    loop {
        let end = match twin.cut(rest) {
            Cut::Frame { frame, used } => {
                frames.push(&rest[frame]);
                rest = &rest[used..];
                continue;
            }
            Cut::Last { frame } => {
                frames.push(&rest[frame]);
                End::Clean
            }
            Cut::Rest if rest.is_empty() => End::Clean,
            Cut::Rest => End::Truncated(rest.len()),
            Cut::Failed(error) => End::Failed(error),
        };
        return (frames, end);
    }
}

/// Writes each piece of `stream` as a frame and reads all of them back.
fn encode<T: Twin>(twin: &T, stream: Stream<'_>) {
    let mut out = Vec::new();
    let mut sent = Vec::new();
    for piece in stream.pieces() {
        if out.len() > OUT_BYTES_MAX {
            break;
        }
        let start = out.len();
        match (twin.encode(piece, &mut out), twin.written(piece)) {
            (Ok(()), Some((bytes, frame))) => {
                assert_eq!(out[start..], bytes, "{twin:?}: {piece:?} was written otherwise");
                sent.push(bytes[frame].to_vec());
            }
            (Ok(()), None) => panic!("{twin:?}: {piece:?} was written, and cannot be read"),
            (Err(error), None) => {
                assert_eq!(out.len(), start, "{twin:?}: {error}, and something was written");
            }
            (Err(error), Some(_)) => panic!("{twin:?}: {piece:?} was refused: {error}"),
        }
    }
    let split = stream.with(&out);
    let mut got = Vec::with_capacity(sent.len());
    let end = feed(&mut twin.codec(), split, Asked::WhenDue, twin.used_max(), |_, frame| got.push(frame));
    assert_eq!((&got[..], &end), (&as_slices(&sent)[..], &End::Clean), "{twin:?}: written {out:?}");
}

fn as_slices(frames: &[Vec<u8>]) -> Vec<&[u8]> {
    frames.iter().map(Vec::as_slice).collect()
}
