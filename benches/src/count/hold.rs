//! A server held still while its clients act, so that it finds all of it in one turn.
//!
//! It knows the states of threads in `/proc` and two signals. It does not know what the clients do.
//!
//! ```text
//!   server  ── asleep ──┤ stopped ├── interrupted wait ── one turn with all of it ── asleep ──
//!   clients              send, send, …                    read, read, …
//! ```
//!
//! A stop ends a wait for events with `EINTR` (signal(7)), so each hold costs the server one wait that brings
//! nothing. Runs that are compared hold it equally often.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to come to rest. Valgrind makes it fifty times slower.
const PATIENCE: Duration = Duration::from_secs(60);

/// The processes of one server.
#[derive(Debug)]
pub(super) struct Held {
    processes: Vec<Pid>,
}

/// What `/proc` says of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Thread {
    id: String,
    /// As ps(1) shows it: `S` sleeps, `R` runs, `T` and `t` are stopped, `Z` is a zombie.
    state: char,
    /// How often it was given the processor.
    switches: u64,
}

impl Held {
    /// The server that runs as process `pid`. Valgrind keeps it in its own process.
    pub(super) fn itself(pid: u32) -> Held {
        Held::all([pid])
    }

    /// The server that process `pid`, which is strace, has started.
    pub(super) fn child_of(pid: u32) -> io::Result<Held> {
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        Ok(Held::all(list.split_whitespace().filter_map(|id| id.parse().ok())))
    }

    fn all(ids: impl IntoIterator<Item = u32>) -> Held {
        Held { processes: ids.into_iter().filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?)).collect() }
    }

    /// Waits until the server rests, stops it, and lets it go on when `act` is done.
    pub(super) fn during<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.rest()?;
        self.signal(Signal::STOP)?;
        // One that is traced stops for its tracer, and that shows as another letter.
        self.wait("stop", |threads, _| threads.iter().all(|thread| matches!(thread.state, 'T' | 't')))?;
        let result = act();
        self.signal(Signal::CONT)?;
        result
    }

    /// Waits until every thread sleeps.
    pub(super) fn rest(&self) -> io::Result<()> {
        // One that was looked at early may have been woken by one that was looked at late. If none has run
        // between two looks, all slept in between.
        self.wait("come to rest", |threads, before| {
            threads.iter().all(|thread| thread.state == 'S') && threads == before
        })
    }

    fn wait(&self, what: &str, is_so: impl Fn(&[Thread], &[Thread]) -> bool) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let threads = self.threads()?;
            if threads.is_empty() || threads.iter().any(|thread| thread.state == 'Z') {
                return Err(io::Error::other("the server has ended"));
            }
            if is_so(&threads, &before) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(io::Error::other(format!("the server does not {what}: {threads:?}")));
            }
            let first_look = before.is_empty();
            before = threads;
            if !first_look {
                thread::sleep(Duration::from_micros(20));
            }
        }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        self.processes.iter().try_for_each(|pid| Ok(kill_process(*pid, signal)?))
    }

    fn threads(&self) -> io::Result<Vec<Thread>> {
        let mut threads = Vec::new();
        for pid in &self.processes {
            for entry in fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()))? {
                let entry = entry?;
                // It may have ended since the directory was read.
                let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
                let id = entry.file_name().to_string_lossy().into_owned();
                let thread = parse(id, &status);
                threads.push(
                    thread.ok_or_else(|| io::Error::other("the kernel does not say what a thread does"))?,
                );
            }
        }
        Ok(threads)
    }
}

fn parse(id: String, status: &str) -> Option<Thread> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let voluntary: u64 = field("voluntary_ctxt_switches:")?.parse().ok()?;
    let forced: u64 = field("nonvoluntary_ctxt_switches:")?.parse().ok()?;
    Some(Thread { id, state: field("State:")?.chars().next()?, switches: voluntary + forced })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_switches_are_read_from_proc() {
        let status = "Name:\tserver\nState:\tS (sleeping)\nTgid:\t7\nThreads:\t1\n\
                      voluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t7\n";
        let wanted = Thread { id: "7".to_owned(), state: 'S', switches: 157 };
        assert_eq!(parse("7".to_owned(), status), Some(wanted));
        assert_eq!(parse("7".to_owned(), "Name:\tserver\n"), None);
    }
}
