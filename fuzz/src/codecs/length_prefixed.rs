//! `LengthPrefixed` in every layout: its twin counts in numbers that cannot overflow.

use std::ops::Range;

use switchboard::codec::{ByteOrder, EncodeError, FrameError, LengthPrefixed, Width};

use crate::input::Input;
use crate::twin::{self, Cut, Twin};

/// The entry of the target.
pub fn check(data: &[u8]) {
    twin::check::<Options>(data);
}

const WIDTHS: [(Width, usize); 5] =
    [(Width::One, 1), (Width::Two, 2), (Width::Three, 3), (Width::Four, 4), (Width::Eight, 8)];

/// What `LengthPrefixed` can be told.
#[derive(Debug)]
pub struct Options {
    width: (Width, usize),
    little: bool,
    offset: u16,
    adjustment: i64,
    includes_header: bool,
    strip: Option<u16>,
    frame_bytes_max: usize,
    codec: LengthPrefixed,
    /// What stands before the length field in the frames that are written.
    before: Vec<u8>,
}

impl Options {
    fn header(&self) -> usize {
        usize::from(self.offset) + self.width.1
    }

    fn strip(&self) -> usize {
        self.strip.map_or(self.header(), usize::from)
    }

    fn limit(&self) -> usize {
        self.frame_bytes_max.min(isize::MAX.unsigned_abs())
    }

    /// What is added to the number in the field to get the length of the body.
    fn added(&self) -> i128 {
        i128::from(self.adjustment) - if self.includes_header { self.header() as i128 } else { 0 }
    }

    /// The largest number in the field.
    fn largest(&self) -> i128 {
        (1 << (8 * self.width.1)) - 1
    }

    /// The smallest body: one that has all the bytes that are stripped of it.
    fn least(&self) -> i128 {
        self.strip().saturating_sub(self.header()) as i128
    }

    fn makes_sense(&self) -> bool {
        // A body needs a number in the field that says so. An adjustment that with the header in it is no i64 is
        // refused, too.
        self.largest() + self.added() >= self.least() && self.added() >= i128::from(i64::MIN)
    }
}

impl Twin for Options {
    type Codec = LengthPrefixed;

    fn draw(input: &mut Input<'_>) -> Option<Options> {
        let flags = input.byte();
        let set = |bit: u8| flags >> bit & 1 != 0;
        let mut options = Options {
            little: set(0),
            includes_header: set(1),
            width: input.one_of(&WIDTHS),
            frame_bytes_max: input.limit(),
            offset: if set(2) { u16::from_be_bytes(input.array()) } else { u16::from(input.byte() % 8) },
            adjustment: if set(3) {
                i64::from_be_bytes(input.array())
            } else {
                i8::from_be_bytes(input.array()).into()
            },
            strip: match (set(4), set(5)) {
                (false, _) => None,
                (true, true) => Some(u16::from_be_bytes(input.array())),
                (true, false) => Some(input.byte().into()),
            },
            codec: LengthPrefixed::new(),
            before: Vec::new(),
        };
        let mut builder = LengthPrefixed::builder()
            .width(options.width.0)
            .byte_order(if options.little { ByteOrder::Little } else { ByteOrder::Big })
            .offset(options.offset)
            .adjustment(options.adjustment);
        if let Some(strip) = options.strip {
            builder = builder.strip(strip);
        }
        if options.includes_header {
            builder = builder.length_includes_header();
        }
        let built = builder.build();
        assert_eq!(built.is_ok(), options.makes_sense(), "{options:?}: {built:?}");
        options.codec = built.ok()?.frame_bytes_max(options.frame_bytes_max);
        options.before = (0..options.offset).map(|at| at.to_le_bytes()[0] ^ 0xa5).collect();
        Some(options)
    }

    fn codec(&self) -> LengthPrefixed {
        self.codec.clone()
    }

    fn frame_max(&self) -> usize {
        self.header().saturating_sub(self.strip()) + self.limit()
    }

    fn used_max(&self) -> usize {
        self.header() + self.limit()
    }

    fn cut(&self, rest: &[u8]) -> Cut {
        let Some(header) = rest.get(..self.header()) else { return Cut::Rest };
        let mut field = header[self.offset.into()..].to_vec();
        if self.little {
            field.reverse();
        }
        let number = field.iter().fold(0_i128, |number, &byte| number * 256 + i128::from(byte));
        let body = number + self.added();
        if body < self.least() {
            let length = u64::try_from(number).expect("eight bytes at most");
            let least = u64::try_from(self.least() - self.added()).expect("more than a number of 64 bits");
            return Cut::Failed(FrameError::TooShort { length, least });
        }
        if body > self.limit() as i128 {
            let length = u64::try_from(body).unwrap_or(u64::MAX);
            return Cut::Failed(FrameError::TooLong { length, limit: self.limit() });
        }
        let used = header.len() + usize::try_from(body).expect("not negative, and limited");
        if rest.len() < used { Cut::Rest } else { Cut::Frame { frame: self.strip()..used, used } }
    }

    fn written(&self, frame: &[u8]) -> Option<(Vec<u8>, Range<usize>)> {
        let body = frame.len() as i128;
        let number = body - self.added();
        if body > self.limit() as i128 || body < self.least() || !(0..=self.largest()).contains(&number) {
            return None;
        }
        let mut field = number.to_be_bytes()[16 - self.width.1..].to_vec();
        if self.little {
            field.reverse();
        }
        let bytes = [&self.before[..], &field, frame].concat();
        let end = bytes.len();
        Some((bytes, self.strip()..end))
    }

    fn encode(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let result = self.codec.encode_with(&self.before, frame, out);
        match result {
            Err(EncodeError::TooLong { length, limit }) => {
                assert!(length == frame.len() && limit < length, "{self:?}: {length} of {limit}");
            }
            Err(EncodeError::TooShort { length, least }) => {
                assert!(length == frame.len() && least > length, "{self:?}: {length} of {least}");
            }
            Ok(()) => {
                let (mut alone, mut header) = (Vec::new(), Vec::new());
                let wrong = self.codec.encode(frame, &mut alone).is_err();
                assert!(wrong == (self.offset > 0) && (wrong || out.ends_with(&alone)), "{self:?}");
                self.codec.encode_header(&self.before, frame.len(), &mut header).expect("as with the body");
                assert!(out.ends_with(&[&header, frame].concat()), "{self:?}: another header alone");
            }
            Err(error) => panic!("{self:?}: {error}"),
        }
        result
    }
}
