//! The reactor in processes of its own: limits on descriptors, and what is left open at the end.
//!
//! Each case runs this test binary again, for itself alone: the child lowers or raises the limits of its own
//! process, and nobody else opens or closes descriptors in it. When it is done, `/proc/self/fd` must list as
//! many as before (F11).

#![cfg(target_os = "linux")]

mod exhaustion;
mod many;
mod sources;

use std::fs::File;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use switchboard::codec::Lines;
use switchboard::{Config, Handler, Reactor, each};

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says to a process that it is the child.
const CHILD: &str = "SWITCHBOARD_TEST_CHILD";

/// Runs `case` in a process of its own, in which the test `name` is all that runs.
pub(crate) fn in_a_process(name: &str, case: impl FnOnce()) {
    if std::env::var_os(CHILD).is_none() {
        let this = std::env::current_exe().expect("a running program has a file");
        let output = Command::new(this)
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .expect("a test binary runs again");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}:\n{text}", output.status);
        assert!(text.contains("1 passed"), "{name} is no test here:\n{text}");
        return;
    }
    let before = descriptors();
    case();
    assert_eq!(descriptors(), before, "descriptors are left open");
}

/// How many descriptors this process has open.
fn descriptors() -> usize {
    // One is the listing's own, each time.
    std::fs::read_dir("/proc/self/fd").expect("procfs is mounted").count()
}

/// Allows this process so many descriptors more than it has. The files returned fill gaps between those.
fn allow_descriptors(more: u64) -> Vec<File> {
    let listing = std::fs::read_dir("/proc/self/fd").expect("procfs is mounted");
    let numbers = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
    let beyond = numbers.max().expect("some are open") + 1;
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |current| {
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum })
            .expect("a lower limit is granted");
    };
    limit(beyond);
    let filled = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    limit(beyond + more);
    filled
}

/// A reactor that echoes lines.
fn line_echo(config: Config) -> Reactor<impl Handler> {
    let echo = each(Lines::new, |cx, line| {
        cx.send(line);
        cx.send(b"\n");
        Ok(())
    });
    Reactor::new(echo, config).expect("a reactor can be made")
}

/// Turns until `condition` holds.
fn turn_until<H: Handler>(reactor: &mut Reactor<H>, mut condition: impl FnMut(&Reactor<H>) -> bool) {
    let start = std::time::Instant::now();
    while !condition(reactor) {
        assert!(start.elapsed() < PATIENCE, "the condition does not come true: {:?}", reactor.stats());
        reactor.turn(Some(Duration::from_millis(10))).expect("a turn succeeds");
    }
}

/// The warnings and errors that were logged in this process.
struct Logged(Mutex<Vec<String>>);

static LOGGED: Logged = Logged(Mutex::new(Vec::new()));

impl Logged {
    /// Begins to write down.
    fn start() {
        log::set_logger(&LOGGED).expect("nobody else logs in this process");
        log::set_max_level(log::LevelFilter::Warn);
    }

    fn lines() -> Vec<String> {
        LOGGED.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl log::Log for Logged {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}
