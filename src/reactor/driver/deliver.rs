//! Frames of one input: cut by the codec, given to the handler, until something stops it.
//!
//! It knows the ways in which delivering stops. It does not know where the input came from nor what becomes of
//! the rest of it.

use crate::codec::{Decoder, Step as Decoded};
use crate::context::{Context, Fault};
use crate::error::BoxError;
use crate::handler::{Conn, Handler};

/// How far delivering came, and why no further.
#[derive(Clone, Copy)]
pub(super) struct Delivered {
    /// How many bytes at the end of the input no frame took.
    pub(super) left: usize,
    pub(super) pause: Pause,
}

/// Why delivering stopped. Nothing in it needs dropping: the straight way ends with it.
#[derive(Clone, Copy)]
pub(super) enum Pause {
    /// Nothing is left over.
    Whole,
    /// The codec wants to see as many bytes as `Context::wanted` says.
    NeedMore,
    /// The context asks for a closer look: output above the high mark, a pause, a close.
    Halt,
    /// The frame budget is used up.
    Budget,
    /// The connection is to be closed, as `Context::fault` says.
    Fault,
}

/// Cuts `input` into frames and gives them to the handler, at most `Context::frames_left`, which is not zero.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it stands twice: on the straight way, and for all the others")]
pub(super) fn deliver<H: Handler>(
    handler: &mut H,
    cx: &mut Context,
    conn: &mut Conn<'_, H>,
    input: &[u8],
) -> Delivered {
    let mut rest = input;
    // How much was left at the last frame that used nothing. One more there, and the codec does not get on.
    let mut stuck_at = None;
    let mut frames_left = cx.frames_left;
    let pause = loop {
        if rest.is_empty() && (!H::Codec::FRAMES_FROM_NOTHING || wrong!(OwedFrameForgotten)) {
            break Pause::Whole;
        }
        match conn.codec.decode(rest) {
            Ok(Decoded::Frame { frame, used: n }) => {
                let Some(behind) = rest.get(n..) else {
                    break fault(cx, Fault::Frame(codec_bug(n, rest.len())));
                };
                if n == 0 {
                    if stuck_at == Some(rest.len()) && !wrong!(StuckCodecSpins) {
                        break fault(cx, Fault::Frame(codec_bug(n, rest.len())));
                    }
                    // It does not end a batch: whether the next one does is to be seen.
                    stuck_at = Some(rest.len());
                } else if !wrong!(FrameBudgetMissing) {
                    frames_left -= 1;
                }
                rest = behind;
                cx.stats.frames += 1;
                let lent = Conn { id: conn.id, codec: &mut *conn.codec, session: &mut *conn.session };
                if let Err(close) = handler.received(cx, lent, frame) {
                    break fault(cx, Fault::Close(close));
                }
                if wrong!(FramesAfterClose) {
                    cx.halt &= !cx.table.slots[conn.id.slot()].state.is_closing();
                }
                if cx.halt {
                    break Pause::Halt;
                }
                if frames_left == 0 {
                    break Pause::Budget;
                }
            }
            Ok(Decoded::NeedMore { .. }) if rest.is_empty() => break Pause::Whole,
            Ok(Decoded::NeedMore { at_least }) => {
                cx.wanted = at_least;
                break Pause::NeedMore;
            }
            Err(error) => break no_frame(cx, error),
        }
    };
    cx.frames_left = frames_left;
    Delivered { left: rest.len(), pause }
}

#[cold]
fn fault(cx: &mut Context, fault: Fault) -> Pause {
    cx.fault = Some(fault);
    Pause::Fault
}

#[cold]
fn no_frame(cx: &mut Context, error: impl Into<BoxError>) -> Pause {
    fault(cx, Fault::Frame(error.into()))
}

#[cold]
fn codec_bug(used: usize, given: usize) -> BoxError {
    if used == 0 {
        "the codec answered two frames in a row without using input".into()
    } else {
        format!("the codec used {used} bytes of {given}").into()
    }
}
