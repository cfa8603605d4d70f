//! Signals of the process, as bytes in a pipe.
//!
//! It knows how one is caught, and that it must do what it always did when nobody looks any more. It does not know what a
//! program does about one.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::{SigId, consts, flag, low_level};

/// By signal, who catches it: it belongs to the process, and once nobody does any more, it does what it always did.
static CATCHERS: Mutex<BTreeMap<i32, Catchers>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Catchers {
    count: usize,
    /// There are none. Looked at before anything that they do.
    none: Arc<AtomicBool>,
}

/// Nothing panics under the lock.
fn catchers() -> MutexGuard<'static, BTreeMap<i32, Catchers>> {
    CATCHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Signals that are caught as long as this is there.
#[derive(Debug)]
pub(crate) struct Caught(Vec<One>);

#[derive(Debug)]
struct One {
    signal: i32,
    /// It came, and nobody has looked. While it is set the signal does what it would do if it were not caught.
    pending: Arc<AtomicBool>,
    /// What is done when it comes.
    ids: Vec<SigId>,
}

impl One {
    fn new(signal: i32, writing: OwnedFd) -> io::Result<One> {
        let mut catchers = catchers();
        if let Some(others) = catchers.get_mut(&signal) {
            others.count += 1;
            others.none.store(false, Ordering::SeqCst);
        } else {
            let none = Arc::new(AtomicBool::new(false));
            flag::register_conditional_default(signal, Arc::clone(&none))?;
            catchers.insert(signal, Catchers { count: 1, none });
        }
        drop(catchers);
        // From here on it is counted, and dropping it undoes what is done.
        let mut one = One { signal, pending: Arc::new(AtomicBool::new(false)), ids: Vec::new() };
        // In this order they are done: one that finds another of its kind pending ends the process.
        one.ids.push(flag::register_conditional_default(signal, Arc::clone(&one.pending))?);
        one.ids.push(flag::register(signal, Arc::clone(&one.pending))?);
        one.ids.push(low_level::pipe::register(signal, writing)?);
        Ok(one)
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let mut catchers = catchers();
        if let Some(all) = catchers.get_mut(&self.signal) {
            all.count -= 1;
            // First of all, so that none is lost in between.
            all.none.store(all.count == 0, Ordering::SeqCst);
        }
        for &id in &self.ids {
            low_level::unregister(id);
        }
    }
}

impl Caught {
    /// Catches signals from now on. The answer can be read when one came.
    pub(crate) fn new(signals: &[i32]) -> io::Result<(Caught, OwnedFd)> {
        if let Some(signal) = signals.iter().find(|signal| consts::FORBIDDEN.contains(signal)) {
            let message = format!("signal {signal} cannot be caught");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let all = signals.iter().map(|&signal| One::new(signal, writing.try_clone()?));
        Ok((Caught(all.collect::<io::Result<_>>()?), reading))
    }

    /// Those that came since the last time.
    pub(crate) fn take(&self) -> impl Iterator<Item = i32> {
        self.0.iter().filter(|one| one.pending.swap(false, Ordering::SeqCst)).map(|one| one.signal)
    }
}
