//! The codecs that look at nothing: `FixedLength`, `ToEnd` and `Raw`.

use std::ops::Range;

use switchboard::codec::{BuildError, EncodeError, FixedLength, FrameError, Raw, ToEnd};

use crate::feed::{Asked, End, feed};
use crate::input::Input;
use crate::twin::{self, Cut, Twin};

/// The entry of the target.
pub fn check(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    match which % 3 {
        0 => twin::check::<Fixed>(data),
        1 => check_to_end(data),
        _ => check_raw(data),
    }
}

/// What `FixedLength` can be told.
#[derive(Debug)]
pub struct Fixed {
    length: usize,
}

impl Twin for Fixed {
    type Codec = FixedLength;

    fn draw(input: &mut Input<'_>) -> Option<Fixed> {
        let length = input.limit();
        match FixedLength::new(length) {
            Ok(_) => {
                assert!(length > 0, "frames that need no bytes");
                Some(Fixed { length })
            }
            Err(error) => {
                assert_eq!((length, error), (0, BuildError::ZeroLength));
                None
            }
        }
    }

    fn codec(&self) -> FixedLength {
        FixedLength::new(self.length).expect("it could be made before")
    }

    fn frame_max(&self) -> usize {
        self.length
    }

    fn used_max(&self) -> usize {
        self.length
    }

    fn cut(&self, rest: &[u8]) -> Cut {
        if rest.len() < self.length {
            return Cut::Rest;
        }
        Cut::Frame { frame: 0..self.length, used: self.length }
    }

    fn written(&self, frame: &[u8]) -> Option<(Vec<u8>, Range<usize>)> {
        (frame.len() == self.length).then(|| (frame.to_vec(), 0..self.length))
    }

    fn encode(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.codec().encode(frame, out)
    }
}

/// One frame, of everything. There is nothing to write more than one of, so it is not compared as the others are.
fn check_to_end(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = input.limit();
    let codec = ToEnd::new().frame_bytes_max(limit);
    let stream = input.stream();
    let fits = stream.bytes.len() <= limit;
    for (split, asked) in
        [(stream.whole(), Asked::WhenDue), (stream, Asked::WhenDue), (stream.byte_by_byte(), Asked::Always)]
    {
        let mut got = Vec::new();
        let end = feed(&mut codec.clone(), split, asked, limit.saturating_add(1), |_, frame| got.push(frame));
        if fits {
            assert_eq!((got, end), (vec![stream.bytes], End::Clean), "{codec:?}");
        } else {
            let unended = End::Failed(FrameError::Unended { limit });
            assert_eq!((got, end), (vec![], unended), "{codec:?}");
        }
    }
    let mut out = Vec::new();
    match codec.encode(stream.bytes, &mut out) {
        Ok(()) => assert!(fits && out == stream.bytes, "{codec:?}"),
        Err(error) => {
            let length = stream.bytes.len();
            assert!(!fits && out.is_empty(), "{codec:?}: {error}");
            assert_eq!(error, EncodeError::TooLong { length, limit });
        }
    }
}

/// The one codec whose frames are what arrived.
fn check_raw(data: &[u8]) {
    let stream = Input::new(data).stream();
    for asked in [Asked::WhenDue, Asked::Always] {
        let mut got = Vec::new();
        let Ok(end) =
            no_failure(feed(&mut Raw::new(), stream, asked, usize::MAX, |_, frame| got.push(frame)));
        let arrived: Vec<_> = stream.pieces().filter(|piece| !piece.is_empty()).collect();
        assert_eq!((got, end), (arrived, End::Clean));
    }
    let mut out = Vec::new();
    Raw.encode(stream.bytes, &mut out);
    assert_eq!(out, stream.bytes);
}

fn no_failure<E>(end: End<E>) -> Result<End<FrameError>, E> {
    match end {
        End::Clean => Ok(End::Clean),
        End::Truncated(left) => Ok(End::Truncated(left)),
        End::Failed(error) => Err(error),
    }
}
