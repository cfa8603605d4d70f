//! The server of the soak: another process with few descriptors, and what the kernel says of it.
//!
//! It knows `/proc`, limits and signals; it does not know clients.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

/// How many of the last lines that the server logged are kept.
const LOG_LINES: usize = 5;

/// The server, killed if it is dropped before its end.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pid: Pid,
    stdout: BufReader<ChildStdout>,
    log: Arc<Mutex<Log>>,
    pub(super) addr: SocketAddr,
    /// How many descriptors it may have, by its own hard limit.
    limit: usize,
}

/// What the server logged: how many lines, and the last of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) lines: u64,
    pub(super) last: VecDeque<String>,
}

/// What the kernel says of the server at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) descriptors: usize,
    pub(super) resident_kib: u64,
    /// Processor time in user and system mode, in ticks of 10 ms.
    pub(super) ticks: u64,
    /// How often its threads were taken from a processor. A thread that ran at all adds at least one.
    pub(super) switches: u64,
}

impl Server {
    /// Starts `program` with `limit` descriptors and waits until it says where it listens.
    pub(super) fn start(program: &Path, limit: usize) -> io::Result<Server> {
        let mut child = Command::new("sh")
            .args(["-c", r#"ulimit -n "$0" && exec "$@""#, &limit.to_string()])
            .arg(program)
            .args(["--listen", "127.0.0.1:0"])
            // A Ctrl-C is for the soak, which then ends the server.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = Pid::from_child(&child);
        let missing = || io::Error::other("the server has no output");
        let mut stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let log = follow(child.stderr.take().ok_or_else(missing)?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let addr = line.trim().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        let Some(addr) = addr else {
            let _ = child.kill();
            child.wait()?;
            return Err(io::Error::other(format!("the server's first line is {line:?}")));
        };
        Ok(Server { child, pid, stdout, log, addr, limit })
    }

    /// From now on the server may open no descriptor that makes more than `limit`; none is taken from it.
    pub(super) fn set_limit(&self, limit: usize) -> io::Result<()> {
        let limit = Rlimit { current: Some(limit as u64), maximum: Some(self.limit as u64) };
        prlimit(Some(self.pid), Resource::Nofile, limit)?;
        Ok(())
    }

    pub(super) fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.proc("fd"))?.count())
    }

    pub(super) fn sample(&self) -> io::Result<Sample> {
        let status = fs::read_to_string(self.proc("status"))?;
        let resident_kib = field(&status, "VmRSS:").ok_or_else(|| unknown("VmRSS"))?;
        // pid (name) state ppid …; utime and stime are the 14th and the 15th, and a name may hold anything.
        let stat = fs::read_to_string(self.proc("stat"))?;
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let times: Option<Vec<u64>> =
            after_name.split_whitespace().skip(11).take(2).map(|word| word.parse().ok()).collect();
        let ticks = times.filter(|times| times.len() == 2).ok_or_else(|| unknown("utime"))?.iter().sum();
        let mut switches = 0;
        for task in fs::read_dir(self.proc("task"))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            for name in ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"] {
                switches += field(&status, name).ok_or_else(|| unknown(name))?;
            }
        }
        Ok(Sample { descriptors: self.descriptors()?, resident_kib, ticks, switches })
    }

    fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.child.id()).into()
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to end with SIGTERM. Answers how it ended and its last line; `None` if it did not within `patience`.
    pub(super) fn stop(&mut self, patience: Duration) -> io::Result<Option<(ExitStatus, String)>> {
        kill_process(self.pid, Signal::TERM)?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                let mut rest = String::new();
                self.stdout.read_to_string(&mut rest)?;
                return Ok(Some((status, rest.lines().last().unwrap_or_default().to_owned())));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }

    pub(super) fn log(&self) -> Log {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, unless something went wrong.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unknown(what: &str) -> io::Error {
    io::Error::other(format!("the kernel does not say {what} of the server"))
}

/// The number behind `name` in a page of `/proc`.
fn field(page: &str, name: &str) -> Option<u64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Reads what the server logs, so that it never waits for us.
fn follow(stderr: ChildStderr) -> Arc<Mutex<Log>> {
    let log = Arc::new(Mutex::new(Log::default()));
    let kept = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = kept.lock().unwrap_or_else(PoisonError::into_inner);
            log.lines += 1;
            log.last.push_back(line);
            if log.last.len() > LOG_LINES {
                log.last.pop_front();
            }
        }
    });
    log
}

/// Builds the echo example beside this program, in the same way, and answers where it is.
pub(super) fn build() -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let folder = own.parent().ok_or_else(|| io::Error::other("this program lies in no folder"))?;
    let (target, profile) = match (folder.parent(), folder.file_name().and_then(|name| name.to_str())) {
        (Some(target), Some("debug")) => (target, "dev"),
        (Some(target), Some(profile)) => (target, profile),
        _ => return Err(io::Error::other("this program does not lie where cargo builds; give --server")),
    };
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--locked", "--package", "switchboard", "--example", "echo"])
        .args(["--profile", profile])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")])
        .arg("--target-dir")
        .arg(target)
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("the echo example cannot be built: {status}")));
    }
    Ok(folder.join("examples").join("echo"))
}
