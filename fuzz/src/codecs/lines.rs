//! `Lines`: its twin looks for the first LF.

use std::ops::Range;

use switchboard::codec::{EncodeError, FrameError, Lines};

use crate::input::Input;
use crate::twin::{self, Cut, Twin};

/// The entry of the target.
pub fn check(data: &[u8]) {
    twin::check::<Options>(data);
}

/// What `Lines` can be told.
#[derive(Debug)]
pub struct Options {
    frame_bytes_max: usize,
    crlf: bool,
    accept_unterminated: bool,
}

impl Twin for Options {
    type Codec = Lines;

    fn draw(input: &mut Input<'_>) -> Option<Options> {
        let flags = input.byte();
        Some(Options {
            frame_bytes_max: input.limit(),
            crlf: flags & 1 != 0,
            accept_unterminated: flags & 2 != 0,
        })
    }

    fn codec(&self) -> Lines {
        let mut codec = Lines::new().frame_bytes_max(self.frame_bytes_max);
        if self.crlf {
            codec = codec.crlf();
        }
        if self.accept_unterminated {
            codec = codec.accept_unterminated();
        }
        codec
    }

    fn frame_max(&self) -> usize {
        self.frame_bytes_max
    }

    fn used_max(&self) -> usize {
        self.frame_bytes_max.saturating_add(2)
    }

    fn cut(&self, rest: &[u8]) -> Cut {
        let lf = rest.iter().position(|&byte| byte == b'\n');
        let bytes = &rest[..lf.unwrap_or(rest.len())];
        let line = 0..bytes.len() - usize::from(bytes.ends_with(b"\r"));
        if line.len() > self.frame_bytes_max {
            return Cut::Failed(FrameError::Unended { limit: self.frame_bytes_max });
        }
        match lf {
            Some(lf) => Cut::Frame { frame: line, used: lf + 1 },
            None if self.accept_unterminated && !rest.is_empty() => Cut::Last { frame: line },
            None => Cut::Rest,
        }
    }

    fn written(&self, frame: &[u8]) -> Option<(Vec<u8>, Range<usize>)> {
        let ending: &[u8] = if self.crlf { b"\r\n" } else { b"\n" };
        let bytes = [frame, ending].concat();
        let read = self.cut(&bytes) == Cut::Frame { frame: 0..frame.len(), used: bytes.len() };
        read.then_some((bytes, 0..frame.len()))
    }

    fn encode(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.codec().encode(frame, out)
    }
}
