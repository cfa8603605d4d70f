//! A decoder for any stream: whatever its frames are, one behind the other they are the stream.
//!
//! It knows ways to cut, the impolite ones among them, and can be told another at any time.

use std::fmt;

use switchboard::codec::{Decoder, Step};

/// How a stream is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cutter {
    /// As it comes.
    AsItComes,
    /// In pieces of one length.
    Pieces(usize),
    /// With a frame that needs no bytes before each that is as it comes.
    Empty {
        /// Whether the next one is that.
        next: bool,
    },
    /// Not at all, up to its end.
    ToEnd,
    /// Not at all: it is refused.
    Refused,
    /// With frames that need no bytes and have no end: a bug, which the reactor must survive.
    Endless,
}

/// Why a stream is refused.
#[derive(Debug)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused whatever it is")
    }
}

impl std::error::Error for Refused {}

impl Decoder for Cutter {
    type Frame<'a> = &'a [u8];
    type Error = Refused;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, Refused> {
        let used = match self {
            Cutter::Endless => 0,
            Cutter::Refused if !input.is_empty() => return Err(Refused),
            _ if input.is_empty() => return Ok(Step::NeedMore { at_least: 1 }),
            Cutter::Empty { next: next @ true } => {
                *next = false;
                0
            }
            Cutter::Empty { next } => {
                *next = true;
                input.len()
            }
            Cutter::Pieces(length) if input.len() < *length => {
                return Ok(Step::NeedMore { at_least: *length });
            }
            Cutter::Pieces(length) => *length,
            Cutter::ToEnd => return Ok(Step::NeedMore { at_least: input.len() + 1 }),
            Cutter::AsItComes | Cutter::Refused => input.len(),
        };
        Ok(Step::Frame { frame: &input[..used], used })
    }

    fn end<'a>(&mut self, input: &'a [u8]) -> Result<Option<&'a [u8]>, Refused> {
        Ok((*self == Cutter::ToEnd).then_some(input))
    }
}
