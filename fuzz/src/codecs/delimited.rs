//! `Delimited`: its twin asks at each byte whether a delimiter ends there.

use std::ops::Range;

use switchboard::codec::{BuildError, Delimited, EncodeError, FrameError};

use crate::input::Input;
use crate::twin::{self, Cut, Twin};

/// The entry of the target.
pub fn check(data: &[u8]) {
    twin::check::<Options>(data);
}

/// What `Delimited` can be told.
#[derive(Debug)]
pub struct Options {
    delimiters: Vec<Vec<u8>>,
    frame_bytes_max: usize,
    keep: bool,
}

impl Options {
    /// How long a delimiter is that ends where `bytes` end: of several the longest.
    fn ending(&self, bytes: &[u8]) -> Option<usize> {
        self.delimiters.iter().filter(|delimiter| bytes.ends_with(delimiter)).map(Vec::len).max()
    }

    fn longest_delimiter(&self) -> usize {
        self.delimiters.iter().map(Vec::len).max().unwrap_or(0)
    }

    fn build(&self) -> Result<Delimited, BuildError> {
        let codec = Delimited::any(&self.delimiters)?.frame_bytes_max(self.frame_bytes_max);
        Ok(if self.keep { codec.keep_delimiter() } else { codec })
    }

    fn makes_sense(&self) -> bool {
        let delimiters = &self.delimiters;
        let contains = |outer: &[u8], inner: &[u8]| outer.windows(inner.len()).any(|window| window == inner);
        !delimiters.is_empty()
            && !delimiters.iter().any(Vec::is_empty)
            && !delimiters
                .iter()
                .any(|outer| delimiters.iter().any(|inner| contains(&outer[..outer.len() - 1], inner)))
    }
}

impl Twin for Options {
    type Codec = Delimited;

    fn draw(input: &mut Input<'_>) -> Option<Options> {
        let flags = input.byte();
        let frame_bytes_max = input.limit();
        let mut delimiters = Vec::new();
        for _ in 0..flags >> 1 & 0x07 {
            let length = input.byte() % 8;
            delimiters.push(input.bytes(length.into()).to_vec());
        }
        let options = Options { delimiters, frame_bytes_max, keep: flags & 1 != 0 };
        let built = options.build();
        assert_eq!(built.is_ok(), options.makes_sense(), "{options:?}: {built:?}");
        built.is_ok().then_some(options)
    }

    fn codec(&self) -> Delimited {
        self.build().expect("it could be made before")
    }

    fn frame_max(&self) -> usize {
        self.frame_bytes_max.saturating_add(if self.keep { self.longest_delimiter() } else { 0 })
    }

    fn used_max(&self) -> usize {
        self.frame_bytes_max.saturating_add(self.longest_delimiter())
    }

    fn cut(&self, rest: &[u8]) -> Cut {
        let unended = FrameError::Unended { limit: self.frame_bytes_max };
        for used in 1..=rest.len() {
            if let Some(length) = self.ending(&rest[..used]) {
                let frame = used - length;
                if frame > self.frame_bytes_max {
                    return Cut::Failed(unended);
                }
                return Cut::Frame { frame: 0..if self.keep { used } else { frame }, used };
            }
        }
        if rest.len() >= self.frame_bytes_max.saturating_add(self.longest_delimiter()) {
            return Cut::Failed(unended);
        }
        Cut::Rest
    }

    fn written(&self, frame: &[u8]) -> Option<(Vec<u8>, Range<usize>)> {
        let bytes = [frame, &self.delimiters[0]].concat();
        let plain = Options { keep: false, delimiters: self.delimiters.clone(), ..*self };
        if plain.cut(&bytes) != (Cut::Frame { frame: 0..frame.len(), used: bytes.len() }) {
            return None;
        }
        let end = if self.keep { bytes.len() } else { frame.len() };
        Some((bytes, 0..end))
    }

    fn encode(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let result = self.codec().encode(frame, out);
        if let Err(EncodeError::ContainsDelimiter { at }) = result {
            let bytes = [frame, &self.delimiters[0]].concat();
            let found = self.delimiters.iter().any(|delimiter| bytes[at..].starts_with(delimiter));
            assert!(at <= frame.len() && found, "{self:?}: no delimiter at {at} of {frame:?}");
        }
        result
    }
}
