//! What can be asked of a socket, whatever network it belongs to.
//!
//! It knows questions; it does not know who answers them, nor bytes.

use std::fmt;
use std::io;

use crate::addr::Addr;

/// A socket that can be asked about itself. Each question is a system call.
pub trait Socket: fmt::Debug {
    /// Our own address.
    fn local_addr(&self) -> io::Result<Addr>;
}
