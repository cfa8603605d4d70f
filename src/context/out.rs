//! The writer that encodes into a connection's output in place.
//!
//! It knows appending; it cannot touch earlier bytes, and it respects the limit as every other way to send.

use std::fmt;
use std::io;

use super::{Context, Sent};
use crate::codec::Put;
use crate::id::ConnId;

/// Appends to the output of one connection: numbers and slices through [`Put`], text through
/// [`fmt::Write`], anything else through [`io::Write`].
///
/// ```
/// use std::fmt::Write;
/// use switchboard::{Context, codec::Put};
///
/// fn reply(cx: &mut Context, status: u16, text: &str) {
///     let mut out = cx.out();
///     out.put_u16(status); // network byte order
///     let _ = write!(out, "{text}\n");
/// }
/// ```
///
/// A part that does not fit below `Config::queued_bytes_max` ends the connection, as with `send`; [`Put`]
/// then drops the rest, the other two answer an error.
#[derive(Debug)]
pub struct Out<'c> {
    cx: &'c mut Context,
    target: ConnId,
}

impl<'c> Out<'c> {
    #[inline]
    pub(super) fn new(cx: &'c mut Context, target: ConnId) -> Out<'c> {
        Out { cx, target }
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) -> Sent {
        self.cx.send_to(self.target, bytes)
    }
}

impl Put for Out<'_> {
    #[inline]
    fn put_slice(&mut self, bytes: &[u8]) {
        self.append(bytes);
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
