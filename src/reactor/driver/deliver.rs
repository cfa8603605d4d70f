//! Frames of one input: cut by the codec, given to the handler, until something stops it.
//!
//! It knows the ways in which delivering stops. It does not know where the input came from nor what becomes of
//! the rest of it.

use crate::codec::{Decoder, Step as Decoded};
use crate::context::{Context, Fault};
use crate::error::BoxError;
use crate::handler::{Conn, Handler};

/// Why delivering stopped. Nothing in it needs dropping: the straight way ends with it.
#[derive(Clone, Copy)]
pub(super) enum Pause {
    /// The codec wants to see so many bytes.
    NeedMore(usize),
    /// The context asks for a closer look: output above the high mark, a pause, a close.
    Halt,
    /// The frame budget is used up.
    Budget,
    /// The connection is to be closed, as `Context::fault` says.
    Fault,
}

/// Cuts `input` into frames and gives them to the handler, at most `budget` of them.
#[inline]
pub(super) fn deliver<H: Handler>(
    handler: &mut H,
    cx: &mut Context,
    conn: &mut Conn<'_, H>,
    input: &[u8],
    budget: &mut usize,
) -> (usize, Pause) {
    let mut used = 0;
    let mut stuck = false;
    loop {
        let rest = &input[used..];
        match conn.codec.decode(rest) {
            Ok(Decoded::Frame { frame, used: n }) => {
                if n > rest.len() || (n == 0 && stuck && !wrong!(StuckCodecSpins)) {
                    return fault(cx, used, Fault::Frame(codec_bug(n, rest.len())));
                }
                stuck = n == 0;
                used += n;
                *budget = budget.saturating_sub(1);
                let lent = Conn { id: conn.id, codec: &mut *conn.codec, session: &mut *conn.session };
                if let Err(close) = handler.received(cx, lent, frame) {
                    return fault(cx, used, Fault::Close(close));
                }
                if wrong!(FramesAfterClose) {
                    cx.halt &= !cx.table.slots[conn.id.slot()].state.is_closing();
                }
                if cx.halt {
                    return (used, Pause::Halt);
                }
                // A frame that used nothing does not end a batch: whether the next one does is to be seen.
                if *budget == 0 && !stuck && !wrong!(FrameBudgetMissing) {
                    return (used, Pause::Budget);
                }
            }
            Ok(Decoded::NeedMore { at_least }) => return (used, Pause::NeedMore(at_least)),
            Err(error) => return fault(cx, used, Fault::Frame(Box::new(error))),
        }
    }
}

#[cold]
fn fault(cx: &mut Context, used: usize, fault: Fault) -> (usize, Pause) {
    cx.fault = Some(fault);
    (used, Pause::Fault)
}

#[cold]
fn codec_bug(used: usize, given: usize) -> BoxError {
    if used == 0 {
        "the codec answered two frames in a row without using input".into()
    } else {
        format!("the codec used {used} bytes of {given}").into()
    }
}
