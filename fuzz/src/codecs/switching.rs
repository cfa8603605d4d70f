//! Codecs that take each other's place after a frame, in `Either` and in a box: the one that takes over must see
//! the very next byte, whatever came in the same piece.
//!
//! The twin is the twins of the others, in the same turn. Once it is `Raw`'s turn all that is left is raw.

use std::convert::Infallible;

use switchboard::codec::{
    BoxedError, ByteDecoder, Decoder, Delimited, Either, FrameError, LengthPrefixed, Lines, Raw,
};

use super::{ascii_length, delimited, length_prefixed, lines, unframed, varint};
use crate::feed::{Asked, End, feed};
use crate::input::{Input, Stream};
use crate::twin::{Cut, Twin};

/// The entry of the target.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(program) = Program::draw(&mut input) else { return };
    let stream = input.stream();
    let expected = program.expected(stream.bytes);
    for (split, asked) in [
        (stream.whole(), Asked::WhenDue),
        (stream, Asked::WhenDue),
        (stream, Asked::Always),
        (stream.byte_by_byte(), Asked::WhenDue),
        (stream.byte_by_byte(), Asked::Always),
    ] {
        assert_eq!(program.run(split, asked), expected, "{program:?}, asked {asked:?}, {split:?}");
    }
}

type Any = Either<Either<Lines, Delimited>, Either<LengthPrefixed, Either<Box<dyn ByteDecoder>, Raw>>>;
type AnyError = Either<Either<FrameError, FrameError>, Either<FrameError, Either<BoxedError, Infallible>>>;

/// Which of the codecs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Lines,
    Delimited,
    LengthPrefixed,
    Boxed,
    Raw,
}

/// What is in the box.
#[derive(Debug)]
enum Boxed {
    AsciiLength(ascii_length::Options),
    Varint(varint::Options),
    Fixed(unframed::Fixed),
    Lines(lines::Options),
}

/// The options of all of them, and which one comes after each frame.
#[derive(Debug)]
struct Program {
    lines: lines::Options,
    delimited: delimited::Options,
    length_prefixed: length_prefixed::Options,
    boxed: Boxed,
    /// Used over and over; `None` leaves the codec where it is.
    turns: Vec<Option<Which>>,
}

/// All that a stream became.
#[derive(PartialEq, Eq, Debug)]
struct Run<'s> {
    frames: Vec<(Which, &'s [u8])>,
    /// The raw bytes at its end.
    raw: Vec<u8>,
    end: End<FrameError>,
}

impl Program {
    fn draw(input: &mut Input<'_>) -> Option<Program> {
        let which = [Which::Lines, Which::Delimited, Which::LengthPrefixed, Which::Boxed, Which::Raw];
        let turns =
            (0..=input.byte() % 8).map(|_| which.get(usize::from(input.byte() % 8)).copied()).collect();
        let boxed = match input.byte() % 4 {
            0 => Boxed::AsciiLength(Twin::draw(input)?),
            1 => Boxed::Varint(Twin::draw(input)?),
            2 => Boxed::Fixed(Twin::draw(input)?),
            _ => Boxed::Lines(Twin::draw(input)?),
        };
        Some(Program {
            turns,
            boxed,
            lines: Twin::draw(input)?,
            delimited: Twin::draw(input)?,
            length_prefixed: Twin::draw(input)?,
        })
    }

    /// Whose turn it is after so many frames, if it changes.
    fn turn(&self, frames: usize) -> Option<Which> {
        self.turns[frames % self.turns.len()]
    }

    fn codec(&self, which: Which) -> Any {
        match which {
            Which::Lines => Either::A(Either::A(self.lines.codec())),
            Which::Delimited => Either::A(Either::B(self.delimited.codec())),
            Which::LengthPrefixed => Either::B(Either::A(self.length_prefixed.codec())),
            Which::Boxed => Either::B(Either::B(Either::A(match &self.boxed {
                Boxed::AsciiLength(options) => Box::new(options.codec()),
                Boxed::Varint(options) => Box::new(options.codec()),
                Boxed::Fixed(options) => Box::new(options.codec()),
                Boxed::Lines(options) => Box::new(options.codec()),
            }))),
            Which::Raw => Either::B(Either::B(Either::B(Raw))),
        }
    }

    /// The most that any of them waits for. `Raw` waits for nothing, and takes all that comes.
    fn used_max(&self) -> usize {
        if self.turns.contains(&Some(Which::Raw)) {
            return usize::MAX;
        }
        let boxed = match &self.boxed {
            Boxed::AsciiLength(options) => options.used_max(),
            Boxed::Varint(options) => options.used_max(),
            Boxed::Fixed(options) => options.used_max(),
            Boxed::Lines(options) => options.used_max(),
        };
        let lines = self.lines.used_max().max(self.delimited.used_max());
        lines.max(self.length_prefixed.used_max()).max(boxed)
    }

    fn cut(&self, which: Which, rest: &[u8]) -> Cut {
        match which {
            Which::Lines => self.lines.cut(rest),
            Which::Delimited => self.delimited.cut(rest),
            Which::LengthPrefixed => self.length_prefixed.cut(rest),
            Which::Boxed => match &self.boxed {
                Boxed::AsciiLength(options) => options.cut(rest),
                Boxed::Varint(options) => options.cut(rest),
                Boxed::Fixed(options) => options.cut(rest),
                Boxed::Lines(options) => options.cut(rest),
            },
            Which::Raw => Cut::Last { frame: 0..rest.len() },
        }
    }

    fn expected<'s>(&self, stream: &'s [u8]) -> Run<'s> {
        let mut run = Run { frames: Vec::new(), raw: Vec::new(), end: End::Clean };
        let mut which = self.turn(0).unwrap_or(Which::Lines);
        let mut rest = stream;
        loop {
            match self.cut(which, rest) {
                Cut::Frame { frame, used } => {
                    run.frames.push((which, &rest[frame]));
                    rest = &rest[used..];
                    which = self.turn(run.frames.len()).unwrap_or(which);
                    continue;
                }
                Cut::Last { .. } if which == Which::Raw => run.raw.extend_from_slice(rest),
                Cut::Last { frame } => run.frames.push((which, &rest[frame])),
                Cut::Rest if rest.is_empty() => {}
                Cut::Rest => run.end = End::Truncated(rest.len()),
                Cut::Failed(error) => run.end = End::Failed(error),
            }
            return run;
        }
    }

    fn run<'s>(&self, stream: Stream<'s>, asked: Asked) -> Run<'s> {
        let (mut frames, mut raw) = (Vec::new(), Vec::new());
        let mut codec = self.codec(self.turn(0).unwrap_or(Which::Lines));
        let end = feed(
            &mut codec,
            stream,
            asked,
            self.used_max(),
            |codec: &mut Any, frame: <Any as Decoder>::Frame<'s>| {
                match frame {
                    Either::A(Either::A(frame)) => frames.push((Which::Lines, frame)),
                    Either::A(Either::B(frame)) => frames.push((Which::Delimited, frame)),
                    Either::B(Either::A(frame)) => frames.push((Which::LengthPrefixed, frame)),
                    Either::B(Either::B(Either::A(frame))) => frames.push((Which::Boxed, frame)),
                    Either::B(Either::B(Either::B(bytes))) => return raw.extend_from_slice(bytes),
                }
                if let Some(which) = self.turn(frames.len()) {
                    *codec = self.codec(which);
                }
            },
        );
        let end = match end {
            End::Clean => End::Clean,
            End::Truncated(left) => End::Truncated(left),
            End::Failed(error) => End::Failed(plain(error)),
        };
        Run { frames, raw, end }
    }
}

/// The error that is inside all of the others.
fn plain(error: AnyError) -> FrameError {
    match error {
        Either::A(Either::A(error) | Either::B(error)) | Either::B(Either::A(error)) => error,
        Either::B(Either::B(Either::A(boxed))) => {
            *boxed.get_ref().downcast_ref().expect("all in the box fail with a `FrameError`")
        }
        Either::B(Either::B(Either::B(never))) => match never {},
    }
}
