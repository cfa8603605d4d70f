//! What can be wrong with a frame: one error for the built-in decoders, one for the encoders beside them,
//! one for a codec that was put together wrongly.
//!
//! It knows numbers and bytes; it does not know which codec or connection they came from. Each error names
//! the guilty side: [`FrameError`] the peer, [`EncodeError`] the caller with this frame, [`BuildError`] the
//! caller with these options.

use std::error::Error;
use std::fmt;

/// Why the peer's bytes are not a frame. After it the stream has no meaning any more.
///
/// Which error a stream ends in depends on its bytes only, not on how they were split into reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FrameError {
    /// The header announces more than the limit; nothing was reserved for it.
    TooLong {
        /// How long the frame would be. `u64::MAX` also stands for anything longer.
        length: u64,
        /// The most the codec allows.
        limit: usize,
    },
    /// As many bytes as the limit allows have come, and the frame still does not end.
    Unended {
        /// The most the codec allows.
        limit: usize,
    },
    /// The header announces less than a frame of this layout has.
    TooShort {
        /// The number in the length field.
        length: u64,
        /// The smallest number that would make sense there.
        least: u64,
    },
    /// A length in decimal digits has something else in it.
    NotADigit {
        /// The byte found.
        byte: u8,
        /// Where in the header, from zero.
        at: usize,
    },
    /// A varint goes on after ten bytes, or its value does not fit 64 bits.
    VarintOverflow,
    /// No frame begins with this type byte.
    UnknownType {
        /// The byte found.
        byte: u8,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong { length, limit } => {
                write!(f, "frame of {length} bytes, limit is {limit}")
            }
            Self::Unended { limit } => {
                write!(f, "no end of the frame in sight, limit is {limit} bytes")
            }
            Self::TooShort { length, least } => {
                write!(f, "length field says {length}, the least possible is {least}")
            }
            Self::NotADigit { byte, at } => {
                write!(f, "byte {byte:#04x} at {at} of the length is not a digit")
            }
            Self::VarintOverflow => write!(f, "varint of more than 64 bits"),
            Self::UnknownType { byte } => write!(f, "unknown frame type {byte:#04x}"),
        }
    }
}

impl Error for FrameError {}

/// Why a frame cannot be written so that the decoder beside it would read it back. Nothing was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EncodeError {
    /// The frame is longer than the codec's limit, or than its length field can say.
    TooLong {
        /// The length of the frame.
        length: usize,
        /// The most that can be written.
        limit: usize,
    },
    /// The frame is shorter than any frame of this layout.
    TooShort {
        /// The length of the frame.
        length: usize,
        /// The least that can be written.
        least: usize,
    },
    /// The frame, or the part of a header given with it, must have one certain length.
    WrongLength {
        /// The length given.
        length: usize,
        /// The only possible length.
        expected: usize,
    },
    /// The receiver would end the frame in its middle, or take part of it for the delimiter.
    ContainsDelimiter {
        /// Where the delimiter begins.
        at: usize,
    },
    /// The codec has no length for this type byte.
    UnknownType {
        /// The byte given.
        byte: u8,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong { length, limit } => {
                write!(f, "frame of {length} bytes, limit is {limit}")
            }
            Self::TooShort { length, least } => {
                write!(f, "frame of {length} bytes, the least possible is {least}")
            }
            Self::WrongLength { length, expected } => {
                write!(f, "{length} bytes where {expected} belong")
            }
            Self::ContainsDelimiter { at } => write!(f, "frame contains the delimiter at {at}"),
            Self::UnknownType { byte } => write!(f, "unknown frame type {byte:#04x}"),
        }
    }
}

impl Error for EncodeError {}

/// Why a codec with these options could never cut out a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A delimiter of no bytes is everywhere.
    EmptyDelimiter,
    /// A list of delimiters is empty: no frame would ever end.
    NoDelimiter,
    /// A delimiter contains another one before its end. That one would always be complete first, so this one
    /// would never end a frame.
    HiddenDelimiter {
        /// The one that would never be found, by its place in the list.
        hidden: usize,
        /// The one inside it.
        by: usize,
    },
    /// A fixed length of zero is a frame that needs no bytes: there would be no end of them.
    ZeroLength,
    /// A decimal length has 1 to 19 digits: 20 may not fit 64 bits.
    Digits {
        /// How many were asked for.
        digits: u8,
    },
    /// Even the largest number the length field can hold is less than this adjustment and strip need.
    LengthField {
        /// The largest number in the length field.
        largest: u64,
        /// The smallest number that would make a frame.
        least: u64,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::EmptyDelimiter => write!(f, "empty delimiter"),
            Self::NoDelimiter => write!(f, "no delimiter given"),
            Self::HiddenDelimiter { hidden, by } => {
                write!(f, "delimiter {hidden} is never reached, delimiter {by} inside it ends the frame")
            }
            Self::ZeroLength => write!(f, "fixed length of 0 bytes"),
            Self::Digits { digits } => write!(f, "length of {digits} digits, 1 to 19 are possible"),
            Self::LengthField { largest, least } => {
                write!(f, "length field holds {largest} at most, the least possible length is {least}")
            }
        }
    }
}

impl Error for BuildError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lower_case_and_name_the_numbers() {
        let too_long = FrameError::TooLong { length: 70_000, limit: 65_536 };
        assert_eq!(too_long.to_string(), "frame of 70000 bytes, limit is 65536");
        let bad_digit = FrameError::NotADigit { byte: b'+', at: 0 };
        assert_eq!(bad_digit.to_string(), "byte 0x2b at 0 of the length is not a digit");
        let wrong_length = EncodeError::WrongLength { length: 3, expected: 4 };
        assert_eq!(wrong_length.to_string(), "3 bytes where 4 belong");
        let digits = BuildError::Digits { digits: 20 };
        assert_eq!(digits.to_string(), "length of 20 digits, 1 to 19 are possible");
    }

    #[test]
    fn errors_are_small_enough_to_return_by_value() {
        assert!(size_of::<FrameError>() <= 32);
        assert!(size_of::<EncodeError>() <= 32);
        assert!(size_of::<BuildError>() <= 32);
    }
}
