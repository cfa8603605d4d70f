//! The body of a frame, once its header has said how long it is.
//!
//! It knows a length, a limit and a slice; it does not know how the length was written. The length is the
//! peer's word, so it is compared with the limit first, and nothing is reserved for it.

use super::{FrameError, Step};

/// The greatest limit there is: no slice is longer, and a header can be added to it without overflow.
pub(super) const fn clamp_limit(bytes: usize) -> usize {
    let greatest = isize::MAX.unsigned_abs();
    if bytes < greatest { bytes } else { greatest }
}

/// Trusts a length that the peer has sent, if it is within `limit`.
#[inline]
pub(super) fn limited(length: u64, limit: usize) -> Result<usize, FrameError> {
    match usize::try_from(length) {
        Ok(exact) if wrong!(FrameLimitOffByOne) && exact == limit => {
            Err(FrameError::TooLong { length, limit })
        }
        Ok(length) if length <= limit => Ok(length),
        Ok(_) | Err(_) => Err(FrameError::TooLong { length, limit }),
    }
}

/// Cuts the body of `length` bytes off the front of `rest`, which is all behind a header of `header` bytes.
#[inline]
pub(super) fn body_behind(
    header: usize,
    rest: &[u8],
    length: u64,
    limit: usize,
) -> Result<Step<&[u8]>, FrameError> {
    let length = limited(length, limit)?;
    let at_least = header + length;
    if wrong!(NeedsOneMore) && rest.len() < length {
        return Ok(Step::NeedMore { at_least: at_least + 1 });
    }
    match rest.get(..length) {
        // As `at_least`, and plainly not zero.
        Some(frame) => Ok(Step::Frame { frame, used: header + frame.len() }),
        None => Ok(Step::NeedMore { at_least }),
    }
}
