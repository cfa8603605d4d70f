//! A stream fed to a decoder, piece by piece, with the rules of [`Decoder`] checked on the way.
//!
//! It knows the contract of the trait; it does not know any codec, nor what the frames should be.

use std::fmt::Debug;

use switchboard::codec::{Decoder, Step};

use crate::heap;
use crate::input::Stream;

/// How a stream ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End<E> {
    /// At the border of two frames.
    Clean,
    /// With this many bytes of an unfinished frame.
    Truncated(usize),
    /// The decoder refused it.
    Failed(E),
}

/// How often the decoder is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// When there is as much as it wants to see.
    WhenDue,
    /// Each time that anything has come, and then once more.
    Always,
}

/// Feeds the pieces of `stream`, then its end. `received` gets the frames and may put another codec in its place.
///
/// `used_max` is the most bytes that a frame may take up in the stream, and so the most that a decoder may wait for:
/// what it waits for is held in memory.
pub fn feed<'s, D: Decoder>(
    codec: &mut D,
    stream: Stream<'s>,
    asked: Asked,
    used_max: usize,
    mut received: impl FnMut(&mut D, D::Frame<'s>),
) -> End<D::Error> {
    let (mut start, mut arrived, mut wanted) = (0, 0, 0);
    for piece in stream.pieces() {
        arrived += piece.len();
        loop {
            let input = &stream.bytes[start..arrived];
            let early = input.len() < wanted;
            if early && asked == Asked::WhenDue {
                break;
            }
            let (step, taken) = heap::taken(|| codec.decode(input));
            match step {
                Ok(Step::Frame { frame, used }) => {
                    assert!(!early, "a frame in {} bytes, after asking for {wanted}", input.len());
                    assert!((1..=input.len()).contains(&used), "a frame used {used} of {}", input.len());
                    assert!(used <= used_max, "a frame used {used} bytes, {used_max} is the most");
                    assert_eq!(taken, 0, "a frame took memory");
                    start += used;
                    wanted = 0;
                    received(codec, frame);
                }
                Ok(Step::NeedMore { at_least }) => {
                    assert!(at_least > input.len(), "{at_least} bytes are here already");
                    assert!(at_least <= used_max, "{at_least} bytes wanted, {used_max} is the most");
                    assert!(!early || at_least == wanted, "{wanted} bytes wanted, and then {at_least}");
                    assert_eq!(taken, 0, "waiting took memory");
                    wanted = at_least;
                    if asked == Asked::Always {
                        ask_again(codec, input, at_least);
                    }
                    break;
                }
                // It may take memory to say what is wrong, but not as much as the peer likes.
                Err(error) => {
                    assert!(!early, "an error in {} bytes, after asking for {wanted}", input.len());
                    assert!(taken <= 256, "{taken} bytes for an error");
                    return End::Failed(error);
                }
            }
        }
    }
    let input = &stream.bytes[start..];
    match codec.end(input) {
        Ok(Some(frame)) => {
            received(codec, frame);
            End::Clean
        }
        Ok(None) if input.is_empty() => End::Clean,
        Ok(None) => End::Truncated(input.len()),
        Err(error) => End::Failed(error),
    }
}

fn ask_again<D: Decoder>(codec: &mut D, input: &[u8], before: usize) {
    match codec.decode(input) {
        Ok(Step::NeedMore { at_least }) => assert_eq!(at_least, before, "wanted of the same input"),
        Ok(Step::Frame { used, .. }) => panic!("a frame of {used} bytes in input that had none"),
        Err(error) => panic!("an error in input that had none: {error}"),
    }
}
