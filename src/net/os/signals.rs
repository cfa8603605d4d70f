//! Signals of the process, as bytes in a pipe.
//!
//! It knows how one is caught, and that it must do what it always did when nobody looks any more. It does not know what a
//! program does about one.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::{SigId, consts, flag, low_level};

/// Signals that are caught as long as this is there.
#[derive(Debug)]
pub(crate) struct Caught(Vec<One>);

#[derive(Debug)]
struct One {
    signal: i32,
    /// It came, and nobody has looked. While it is set the signal does what it would do if it were not caught.
    pending: Arc<AtomicBool>,
    /// What else is done when it comes.
    ids: [SigId; 2],
}

impl Caught {
    /// Catches signals from now on. The answer can be read when one came.
    pub(crate) fn new(signals: &[i32]) -> io::Result<(Caught, OwnedFd)> {
        if let Some(signal) = signals.iter().find(|signal| consts::FORBIDDEN.contains(signal)) {
            let message = format!("signal {signal} cannot be caught");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let mut caught = Caught(Vec::new());
        for &signal in signals {
            let writing = writing.try_clone()?;
            let pending = Arc::new(AtomicBool::new(false));
            // In this order they are done: one that finds another of its kind pending ends the process.
            flag::register_conditional_default(signal, Arc::clone(&pending))?;
            let ids =
                [flag::register(signal, Arc::clone(&pending))?, low_level::pipe::register(signal, writing)?];
            caught.0.push(One { signal, pending, ids });
        }
        Ok((caught, reading))
    }

    /// Those that came since the last time.
    pub(crate) fn take(&self) -> impl Iterator<Item = i32> {
        self.0.iter().filter(|one| one.pending.swap(false, Ordering::SeqCst)).map(|one| one.signal)
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        for One { pending, ids, .. } in &self.0 {
            pending.store(true, Ordering::SeqCst);
            for &id in ids {
                low_level::unregister(id);
            }
        }
    }
}
