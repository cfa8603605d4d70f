//! The writer that encodes into a connection's output in place.
//!
//! It knows appending; it cannot touch earlier bytes, and it respects the limit as every other way to send.

use std::fmt;
use std::io;

use super::{Context, Sent};
use crate::codec::Put;
use crate::id::ConnId;

/// Appends to the output of one connection: text by `write!` and `writeln!`, numbers and slices through
/// [`Put`], and whatever wants a [`fmt::Write`] or an [`io::Write`].
///
/// ```
/// use switchboard::{Context, codec::Put};
///
/// fn reply(cx: &mut Context, status: u16, text: &str) {
///     let mut out = cx.out();
///     out.put_u16(status); // network byte order
///     writeln!(out, "{text}");
/// }
/// ```
///
/// A part that does not fit below `Config::queued_bytes_max` ends the connection, as with `send`; [`Put`]
/// then drops the rest, the other two answer an error.
#[derive(Debug)]
pub struct Out<'c> {
    cx: &'c mut Context,
    /// None: the connection being served, which then need not be found out for each part.
    target: Option<ConnId>,
}

impl<'c> Out<'c> {
    #[inline]
    pub(super) fn new(cx: &'c mut Context, target: Option<ConnId>) -> Out<'c> {
        Out { cx, target }
    }

    /// Appends formatted text: what `write!` and `writeln!` call.
    ///
    /// A method of its own, so that they need no import, are not ambiguous beside the two `Write` traits, and
    /// answer as `send` does: [`Sent`], which may be ignored. Once a part was refused, the rest is left out.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> Sent {
        let mut parts = Parts { out: self, sent: Sent::Accepted };
        // What failed is in `sent`, or else it is a `Display` that failed by itself, whose beginning is sent.
        let _ = fmt::Write::write_fmt(&mut parts, text);
        parts.sent
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) -> Sent {
        match self.target {
            None => self.cx.send(bytes),
            Some(target) => self.append_to(target, bytes),
        }
    }

    // Out of line, so that appending for the connection being served is small enough to stand where it is used.
    #[inline(never)]
    fn append_to(&mut self, target: ConnId, bytes: &[u8]) -> Sent {
        self.cx.send_to(target, bytes)
    }
}

/// The parts of a formatted text on their way out.
struct Parts<'p, 'c> {
    out: &'p mut Out<'c>,
    sent: Sent,
}

impl fmt::Write for Parts<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.sent = self.out.append(text.as_bytes());
        if self.sent.is_queued() { Ok(()) } else { Err(fmt::Error) }
    }
}

impl Put for Out<'_> {
    #[inline]
    fn put_slice(&mut self, bytes: &[u8]) {
        self.append(bytes);
    }

    #[inline]
    fn put_both(&mut self, head: &[u8], body: &[u8]) {
        if self.target.is_none() {
            return self.cx.send_both(head, body);
        }
        self.append(head);
        self.append(body);
    }
}

impl fmt::Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.append(text.as_bytes()).is_queued() { Ok(()) } else { Err(fmt::Error) }
    }
}

impl io::Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.append(bytes) {
            Sent::Accepted | Sent::OverHigh => Ok(bytes.len()),
            Sent::Full => Err(io::Error::new(io::ErrorKind::OutOfMemory, "send queue is full")),
            Sent::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
