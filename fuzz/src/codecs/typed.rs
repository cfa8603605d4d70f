//! `Typed`: its twin looks the length up in the table that both were given.

use std::ops::Range;

use switchboard::codec::{Decoder, EncodeError, FrameError, Step, Typed, TypedFrame};

use crate::input::Input;
use crate::twin::{self, Cut, Twin};

/// The entry of the target.
pub fn check(data: &[u8]) {
    twin::check::<Options>(data);
}

/// What `Typed` can be told.
#[derive(Debug)]
pub struct Options {
    /// The lengths by type, used over and over for all 256.
    table: Vec<Option<usize>>,
    frame_bytes_max: usize,
}

impl Options {
    fn limit(&self) -> usize {
        self.frame_bytes_max.min(isize::MAX.unsigned_abs())
    }

    fn typed(&self) -> Typed<impl Fn(u8) -> Option<usize> + use<>> {
        let table = self.table.clone();
        Typed::new(move |kind| length_of(&table, kind)).frame_bytes_max(self.frame_bytes_max)
    }
}

fn length_of(table: &[Option<usize>], kind: u8) -> Option<usize> {
    table[usize::from(kind) % table.len()]
}

/// Hands out the payload, after a look at the type. (The type of a closure cannot be written down, a box can.)
#[derive(Debug)]
pub struct Payload(Typed<Box<dyn Fn(u8) -> Option<usize>>>);

impl Decoder for Payload {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, FrameError> {
        Ok(self.0.decode(input)?.map(|TypedFrame { kind, payload }| {
            assert_eq!(Some(&kind), input.first(), "the frame is of another type");
            payload
        }))
    }
}

impl Twin for Options {
    type Codec = Payload;

    fn draw(input: &mut Input<'_>) -> Option<Options> {
        let kinds = input.byte() % 8 + 1;
        let mut length = || match input.byte() {
            255 => None,
            n @ 250..=254 => Some(usize::MAX >> (n - 250)),
            n => Some(n.into()),
        };
        let table = (0..kinds).map(|_| length()).collect();
        Some(Options { table, frame_bytes_max: input.limit() })
    }

    fn codec(&self) -> Payload {
        let table = self.table.clone();
        let length_of: Box<dyn Fn(u8) -> Option<usize>> = Box::new(move |kind| length_of(&table, kind));
        Payload(Typed::new(length_of).frame_bytes_max(self.frame_bytes_max))
    }

    fn frame_max(&self) -> usize {
        self.limit()
    }

    fn used_max(&self) -> usize {
        1 + self.limit()
    }

    fn cut(&self, rest: &[u8]) -> Cut {
        let Some(&kind) = rest.first() else { return Cut::Rest };
        let Some(length) = length_of(&self.table, kind) else {
            return Cut::Failed(FrameError::UnknownType { byte: kind });
        };
        if length > self.limit() {
            return Cut::Failed(FrameError::TooLong { length: length as u64, limit: self.limit() });
        }
        let used = 1 + length;
        if rest.len() < used { Cut::Rest } else { Cut::Frame { frame: 1..used, used } }
    }

    /// The first byte of `frame` is the type.
    fn written(&self, frame: &[u8]) -> Option<(Vec<u8>, Range<usize>)> {
        let whole = Cut::Frame { frame: 1..frame.len(), used: frame.len() };
        (self.cut(frame) == whole).then(|| (frame.to_vec(), 1..frame.len()))
    }

    fn encode(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Some((&kind, payload)) = frame.split_first() else {
            // There is no frame without a type that could be asked for.
            return Err(EncodeError::TooShort { length: 0, least: 1 });
        };
        self.typed().encode(TypedFrame { kind, payload }, out)
    }
}
