//! Framing: cutting a stream of bytes into frames, and writing frames into a stream.
//!
//! It knows bytes only. It does not know sockets, connections, time or the reactor, so every codec can be
//! used and tested alone. A decoder is shown what has arrived and not been consumed so far, always from the
//! start of the next frame, and answers with a frame borrowed from it or with how much it needs to see:
//!
//! ```text
//!     input  [ frame ][ frame ][ par
//!            ├─used──▶│
//!     decode ─▶ Frame { frame, used }     the same again, without the first `used` bytes
//!     decode ─▶ NeedMore { at_least }     not called again before `input` is that long, or the stream ends
//! ```
//!
//! Which codec to take:
//!
//! | the protocol says | codec | limit by default |
//! |---|---|---|
//! | text, one command a line (SMTP, Redis inline, chat) | [`Lines`] | 8 KiB a line |
//! | ended by NUL, by a blank line, by any byte string | [`Delimited`] | 1 MiB |
//! | a binary length first; take this for a protocol of your own | [`LengthPrefixed`] | 1 MiB |
//! | protobuf messages, "delimited" | [`Varint`] | 1 MiB |
//! | the length in decimal digits first | [`AsciiLength`] | 1 MiB; 99,999 by its 5 digits |
//! | records of one size | [`FixedLength`] | that size |
//! | the first byte says the type, the type says the size | [`Typed`] | 1 MiB |
//! | one message, ended by the peer's shutdown | [`ToEnd`] | 1 MiB |
//! | nothing: a proxy, an echo, a parser of one's own | [`Raw`] | one receive |
//! | first one, then another | [`Either`] | theirs |
//! | known at run time only | `Box<dyn` [`ByteDecoder`]`>` | its own |
//!
//! Beside each decoder is its encoder, an `encode` that appends to anything that is [`Put`] and refuses, with
//! an [`EncodeError`] and nothing written, what the decoder would not give back unchanged. A decoder refuses
//! with a [`FrameError`] what is over its limit, at the same byte however the stream was split.
//!
//! A codec is a small value without buffers: the bytes wait in the connection. It is cloned for each
//! connection from one made at the start, where a mistake in its options ([`BuildError`]) can still be told.

mod ascii_length;
mod body;
mod byte_decoder;
mod delimited;
mod either;
mod error;
mod fixed_length;
mod length_prefixed;
mod lines;
mod put;
mod raw;
mod scan;
mod to_end;
mod typed;
mod varint;

#[cfg(test)]
mod testing;

pub use ascii_length::AsciiLength;
pub use byte_decoder::{BoxedError, ByteDecoder};
pub use delimited::Delimited;
pub use either::Either;
pub use error::{BuildError, EncodeError, FrameError};
pub use fixed_length::FixedLength;
pub use length_prefixed::{ByteOrder, LengthPrefixed, LengthPrefixedBuilder, Width};
pub use lines::Lines;
pub use put::Put;
pub use raw::Raw;
pub use to_end::ToEnd;
pub use typed::{Typed, TypedFrame};
pub use varint::Varint;

use std::error::Error;

/// What a [`Decoder`] found at the start of its input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<F> {
    /// A whole frame, which takes up the first `used` bytes of the input.
    Frame {
        /// The frame, borrowed from the input.
        frame: F,
        /// How many bytes of input it took, its header and delimiter included. Zero twice in a row is a
        /// bug of the codec, reported as such; once is a frame that needs no bytes.
        used: usize,
    },
    /// The input ends before the frame does.
    NeedMore {
        /// How long the input must be, in total, before it is worth asking again. More than the length of
        /// the input just shown; a decoder that cannot know says one byte more.
        at_least: usize,
    },
}

impl<F> Step<F> {
    /// Turns the frame, if there is one, into something else: what a codec built on another one needs.
    #[inline]
    pub fn map<T>(self, with: impl FnOnce(F) -> T) -> Step<T> {
        match self {
            Step::Frame { frame, used } => Step::Frame { frame: with(frame), used },
            Step::NeedMore { at_least } => Step::NeedMore { at_least },
        }
    }
}

/// Cuts one connection's bytes into frames.
///
/// One value decodes one stream; it may remember between calls how far it has looked, and forgets that when
/// it answers a frame. Rules that every decoder keeps, and the reactor relies on:
///
/// * `input` always starts with the first byte of the next frame; after `NeedMore` the next input is the
///   same bytes and more behind them.
/// * The result does not depend on how the stream was split into inputs.
/// * A length is compared with its limit before anything else is done with it, and nothing is reserved for it.
/// * It may be called with empty input, unless it says that [nothing comes of that](Decoder::FRAMES_FROM_NOTHING),
///   and again with the same input (after a callback that could have switched the codec), and then usually
///   answers `NeedMore`.
/// * After an `Err` the stream has no meaning any more; the connection closes and `decode` is not called again.
pub trait Decoder {
    /// What is cut out. It borrows from the input only, never from the codec: no copy between kernel and handler.
    type Frame<'a>;

    /// Why input can't be a frame, for the log and for `CloseReason`.
    type Error: Error + Send + Sync + 'static;

    /// Whether `decode` may answer anything but `NeedMore` when there is no input.
    ///
    /// After each batch of frames the reactor asks once more although nothing is left: a codec that was just
    /// switched may owe a frame that needs no bytes. Where this is `false` it does not, which saves a call of
    /// `decode` for each batch. The default is the safe one.
    const FRAMES_FROM_NOTHING: bool = true;

    /// Looks for one frame at the start of `input`.
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<Self::Frame<'a>>, Self::Error>;

    /// Says what the bytes left over are, now that the stream has ended. Called once, also when none are left,
    /// after `decode` answered `NeedMore` with an `at_least` that `input` does not reach, or was not asked because
    /// [nothing comes of nothing](Decoder::FRAMES_FROM_NOTHING).
    ///
    /// `Ok(Some(frame))`: they are the last frame, all of them. `Ok(None)`, which is the default: no frame; if
    /// `input` is not empty it is the beginning of one that was cut off, and the connection closes as truncated.
    /// `Err`: an end here is wrong even if nothing is left over, as in the middle of a body handed out in pieces.
    fn end<'a>(&mut self, input: &'a [u8]) -> Result<Option<Self::Frame<'a>>, Self::Error> {
        let _ = input;
        Ok(None)
    }
}
