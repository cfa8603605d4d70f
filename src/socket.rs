//! What can be asked of a socket, whatever network it belongs to.
//!
//! It knows questions; it does not know who answers them, nor bytes.

use std::fmt;
use std::io;

use crate::addr::Addr;
use crate::options::Options;

/// A socket that can be asked about itself. Each question is a system call, and that for the options is a dozen.
pub trait Socket: fmt::Debug {
    /// Our own address.
    fn local_addr(&self) -> io::Result<Addr>;

    /// All options that it has.
    fn options(&self) -> io::Result<Options> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sets the options that are given.
    fn set_options(&self, options: &Options) -> io::Result<()> {
        let _ = options;
        Err(io::ErrorKind::Unsupported.into())
    }
}
