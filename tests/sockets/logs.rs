//! What the library logs, for tests that look at it: kept by thread, so that each sees its own reactor only.

use std::sync::{Mutex, Once, PoisonError};
use std::thread::ThreadId;

struct Kept(Mutex<Vec<(ThreadId, String)>>);

static KEPT: Kept = Kept(Mutex::new(Vec::new()));
static INSTALL: Once = Once::new();

impl log::Log for Kept {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = (std::thread::current().id(), record.args().to_string());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    fn flush(&self) {}
}

/// Keeps warnings and errors from now on.
pub(crate) fn keep() {
    INSTALL.call_once(|| {
        log::set_logger(&KEPT).expect("no other logger in these tests");
        log::set_max_level(log::LevelFilter::Warn);
    });
}

/// Warnings and errors of this thread.
pub(crate) fn of_this_thread() -> Vec<String> {
    let this = std::thread::current().id();
    let kept = KEPT.0.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter().filter(|(thread, _)| *thread == this).map(|(_, line)| line.clone()).collect()
}
