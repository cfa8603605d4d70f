//! A handler made of a codec and a function: for protocols without state per connection.
//!
//! It knows nothing but to pass frames on.

use std::fmt;

use super::{Conn, Handler, Peer};
use crate::codec::Decoder;
use crate::context::Context;
use crate::error::Result;

/// Serves every connection with the same function: `codec` makes each connection's decoder, `received` is
/// called with every frame.
///
/// ```no_run
/// use switchboard::{codec::Lines, each, serve};
///
/// fn main() -> std::io::Result<()> {
///     serve("127.0.0.1:7000", each(Lines::new, |cx, line| {
///         cx.send(line);
///         cx.send(b"\n");
///         Ok(())
///     }))
/// }
/// ```
pub fn each<C, F, D>(codec: C, received: F) -> Each<C, F>
where
    C: FnMut() -> D,
    D: Decoder,
    F: FnMut(&mut Context, D::Frame<'_>) -> Result,
{
    Each { codec, received }
}

/// What [`each`] makes.
pub struct Each<C, F> {
    codec: C,
    received: F,
}

impl<C, F> fmt::Debug for Each<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Each").finish_non_exhaustive()
    }
}

impl<C, F, D> Handler for Each<C, F>
where
    C: FnMut() -> D,
    D: Decoder,
    F: FnMut(&mut Context, D::Frame<'_>) -> Result,
{
    type Codec = D;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(D, ())> {
        Some(((self.codec)(), ()))
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "it is a call and nothing else")]
    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, frame: D::Frame<'_>) -> Result {
        (self.received)(cx, frame)
    }
}
