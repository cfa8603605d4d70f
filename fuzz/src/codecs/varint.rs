//! `Varint`: its twin puts the bits together in a number with room for all of them.

use std::ops::Range;

use switchboard::codec::{EncodeError, FrameError, Varint};

use crate::input::Input;
use crate::twin::{self, Cut, Twin};

/// The entry of the target.
pub fn check(data: &[u8]) {
    twin::check::<Options>(data);
}

/// What `Varint` can be told.
#[derive(Debug)]
pub struct Options {
    frame_bytes_max: usize,
}

impl Options {
    fn limit(&self) -> usize {
        self.frame_bytes_max.min(isize::MAX.unsigned_abs())
    }
}

impl Twin for Options {
    type Codec = Varint;

    fn draw(input: &mut Input<'_>) -> Option<Options> {
        Some(Options { frame_bytes_max: input.limit() })
    }

    fn codec(&self) -> Varint {
        Varint::new().frame_bytes_max(self.frame_bytes_max)
    }

    fn frame_max(&self) -> usize {
        self.limit()
    }

    fn used_max(&self) -> usize {
        10 + self.limit()
    }

    fn cut(&self, rest: &[u8]) -> Cut {
        let Some(last) = rest.iter().take(10).position(|&byte| byte < 0x80) else {
            return if rest.len() < 10 { Cut::Rest } else { Cut::Failed(FrameError::VarintOverflow) };
        };
        let header = last + 1;
        let length = rest[..header].iter().rfold(0_u128, |n, &byte| n * 128 + u128::from(byte % 128));
        let Ok(length) = u64::try_from(length) else {
            return Cut::Failed(FrameError::VarintOverflow);
        };
        match usize::try_from(length) {
            Ok(length) if length <= self.limit() => {
                let used = header + length;
                if rest.len() < used { Cut::Rest } else { Cut::Frame { frame: header..used, used } }
            }
            Ok(_) | Err(_) => Cut::Failed(FrameError::TooLong { length, limit: self.limit() }),
        }
    }

    fn written(&self, frame: &[u8]) -> Option<(Vec<u8>, Range<usize>)> {
        // Seven bits at a time; the groups above the highest that is not zero are left out.
        let groups = (0..10).map(|group| (frame.len() as u128 >> (7 * group)).to_le_bytes()[0] & 0x7f);
        let mut header: Vec<u8> = groups.collect();
        while header.len() > 1 && header.ends_with(&[0]) {
            header.pop();
        }
        let last = header.len() - 1;
        header[..last].iter_mut().for_each(|byte| *byte |= 0x80);
        let bytes = [&header, frame].concat();
        let end = bytes.len();
        (frame.len() <= self.limit()).then_some((bytes, header.len()..end))
    }

    fn encode(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.codec().encode(frame, out)
    }
}
