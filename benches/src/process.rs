//! A server as a process of its own: started, pinned, asked what it used, ended.
//!
//! It knows `/proc`, processors and signals. It does not know what is served, nor what a figure means.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::serve::Name;

/// A server under measurement, killed when it is dropped before its end.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    pid: Pid,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
}

impl Served {
    /// Starts `serve name` with `arguments` behind it, under `tool` if there is one (`["strace", "-f"]`), and
    /// waits until it says where it listens.
    pub(crate) fn start(tool: &[&str], name: Name, arguments: &[&str]) -> io::Result<Served> {
        let own = std::env::current_exe()?;
        let mut command = match tool {
            [] => Command::new(&own),
            [tool, options @ ..] => {
                let mut command = Command::new(tool);
                command.args(options).arg(&own);
                command
            }
        };
        let value = name.to_possible_value().ok_or_else(|| io::Error::other("a server without a name"))?;
        command.args(["serve", value.get_name(), "--listen", "127.0.0.1:0"]).args(arguments);
        // A Ctrl-C is for the measurement, which then ends the server.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output of the server"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Some(addr) = line.trim().strip_prefix("listening on ").and_then(|addr| addr.parse().ok()) else {
            // It said why on standard error.
            let _ = child.kill();
            let status = child.wait()?;
            return Err(io::Error::other(format!("serve {} did not start: {status}", value.get_name())));
        };
        Ok(Served { child, pid, addr })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a terminal would, and waits until it has.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        // To its group: a tool that runs it waits for it, whatever it is told itself.
        kill_process_group(self.pid, Signal::TERM)?;
        let status = self.child.wait()?;
        if status.success() || status.signal() == Some(Signal::TERM.as_raw()) {
            Ok(())
        } else {
            Err(io::Error::other(format!("the server ended with {status}")))
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Of one that has ended and been waited for, the number may be another's by now.
        if let Ok(None) = self.child.try_wait() {
            // To its group: a tool would leave what it runs behind.
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Keeps the calling thread on processor `core`, and with it the processes and threads that it starts from now on.
///
/// That is how a server is pinned: once it runs, each of its threads would have to be, and those that it starts in
/// the meantime.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Processor time of process `pid` in user and system mode together, of all its threads, to the nanosecond.
pub(crate) fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended since the directory was read.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok());
        total += nanos.ok_or_else(|| io::Error::other("the kernel does not say what a thread used"))?;
    }
    Ok(Duration::from_nanos(total))
}

/// Bytes of process `pid` that are resident in memory.
pub(crate) fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kibibytes.map(|n| n * 1024).ok_or_else(|| io::Error::other("the kernel did not say how much is resident"))
}
