//! `AsciiLength`: its twin lets the standard library read the number.

use std::ops::Range;

use switchboard::codec::{AsciiLength, BuildError, EncodeError, FrameError};

use crate::input::Input;
use crate::twin::{self, Cut, Twin};

/// The entry of the target.
pub fn check(data: &[u8]) {
    twin::check::<Options>(data);
}

/// What `AsciiLength` can be told.
#[derive(Debug)]
pub struct Options {
    digits: usize,
    frame_bytes_max: usize,
    codec: AsciiLength,
}

impl Options {
    fn limit(&self) -> usize {
        self.frame_bytes_max.min(isize::MAX.unsigned_abs())
    }
}

impl Twin for Options {
    type Codec = AsciiLength;

    fn draw(input: &mut Input<'_>) -> Option<Options> {
        let digits = input.byte();
        let frame_bytes_max = input.limit();
        match AsciiLength::with_digits(digits) {
            Ok(codec) => {
                assert!((1..20).contains(&digits), "{digits} digits");
                let codec = codec.frame_bytes_max(frame_bytes_max);
                Some(Options { digits: digits.into(), frame_bytes_max, codec })
            }
            Err(error) => {
                assert!(digits == 0 || digits > 19, "{digits} digits");
                assert_eq!(error, BuildError::Digits { digits });
                None
            }
        }
    }

    fn codec(&self) -> AsciiLength {
        self.codec.clone()
    }

    fn frame_max(&self) -> usize {
        self.limit()
    }

    fn used_max(&self) -> usize {
        self.digits + self.limit()
    }

    fn cut(&self, rest: &[u8]) -> Cut {
        let Some(digits) = rest.get(..self.digits) else { return Cut::Rest };
        if let Some(at) = digits.iter().position(|byte| !b"0123456789".contains(byte)) {
            return Cut::Failed(FrameError::NotADigit { byte: digits[at], at });
        }
        let digits = std::str::from_utf8(digits).expect("digits only");
        let length: u64 = digits.parse().expect("19 digits fit");
        if u128::from(length) > self.limit() as u128 {
            return Cut::Failed(FrameError::TooLong { length, limit: self.limit() });
        }
        let used = u128::from(length) + self.digits as u128;
        match usize::try_from(used) {
            Ok(used) if used <= rest.len() => Cut::Frame { frame: self.digits..used, used },
            Ok(_) | Err(_) => Cut::Rest,
        }
    }

    fn written(&self, frame: &[u8]) -> Option<(Vec<u8>, Range<usize>)> {
        let header = format!("{:0width$}", frame.len(), width = self.digits);
        if frame.len() > self.limit() || header.len() > self.digits {
            return None;
        }
        let bytes = [header.as_bytes(), frame].concat();
        let end = bytes.len();
        Some((bytes, self.digits..end))
    }

    fn encode(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.codec.encode(frame, out)
    }
}
