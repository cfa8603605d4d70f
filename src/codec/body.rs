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

/// Cuts the body of `length` bytes out from behind the header, which is left off.
#[inline]
pub(super) fn body_behind(
    header: usize,
    input: &[u8],
    length: u64,
    limit: usize,
) -> Result<Step<&[u8]>, FrameError> {
    let used = header + limited(length, limit)?;
    if wrong!(NeedsOneMore) && input.len() < used {
        return Ok(Step::NeedMore { at_least: used + 1 });
    }
    match input.get(header..used) {
        Some(frame) => Ok(Step::Frame { frame, used }),
        None => Ok(Step::NeedMore { at_least: used }),
    }
}
