//! What may be run, and a command that runs.
//!
//! It knows processes; it does not know who asked, nor what becomes of the output.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// A command that may be run. No word of it comes from outside, but for a number.
pub(crate) struct Allowed {
    pub(crate) name: &'static str,
    /// Absolute: whatever is in `PATH` is not asked.
    path: &'static str,
    args: &'static [&'static str],
    /// Whether a number comes behind them.
    number: bool,
    /// How long it may take.
    pub(crate) deadline: Duration,
}

const fn allowed(name: &'static str, path: &'static str, args: &'static [&'static str]) -> Allowed {
    Allowed { name, path, args, number: false, deadline: Duration::from_secs(60) }
}

/// All of them. What follows `--` is never an option.
const ALLOWED: [Allowed; 6] = [
    allowed("date", "/bin/date", &["-u"]),
    Allowed { number: true, ..allowed("count", "/usr/bin/seq", &["--", "1"]) },
    allowed("env", "/usr/bin/env", &[]),
    allowed("descriptors", "/bin/ls", &["--", "/proc/self/fd"]),
    allowed("endless", "/usr/bin/yes", &["--", "and so on"]),
    // It has a child of its own.
    Allowed {
        deadline: Duration::from_secs(3),
        ..allowed("slow", "/usr/bin/timeout", &["--foreground", "3600", "/bin/sleep", "3600"])
    },
];

/// What a line asks for: a name of the list, and its number if it has one.
pub(crate) fn parse(line: &[u8]) -> Result<(&'static Allowed, Option<u32>), String> {
    let unknown = || {
        let names: Vec<_> = ALLOWED.iter().map(|allowed| allowed.name).collect();
        format!("no such command: there are {}", names.join(", "))
    };
    let line = std::str::from_utf8(line).map_err(|_| unknown())?;
    let (name, rest) = line.split_once(' ').map_or((line, None), |(name, rest)| (name, Some(rest)));
    let command = ALLOWED.iter().find(|allowed| allowed.name == name).ok_or_else(unknown)?;
    match (command.number, rest) {
        (false, None) => Ok((command, None)),
        (false, Some(_)) => Err(format!("{name} takes nothing behind it")),
        (true, rest) => {
            let digits = rest.filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
            let number = digits.and_then(|digits| digits.parse().ok());
            number
                .map(|number| (command, Some(number)))
                .ok_or_else(|| format!("{name} takes a number behind it"))
        }
    }
}

/// A process, and whatever it starts: all of it ends with this.
pub(crate) struct Job {
    child: Child,
    group: Pid,
    waited: bool,
}

impl Job {
    /// Starts a command: with no input and no environment, in a group of its own. With it come its output, and a
    /// descriptor that is readable once it has ended.
    ///
    /// It gets three descriptors. Every other that this process opens is closed when it starts, as `std` and the crate
    /// open them all; not one that was left open for all children by whoever started this process.
    pub(crate) fn start(allowed: &Allowed, number: Option<u32>) -> io::Result<(Job, ChildStdout, OwnedFd)> {
        let mut command = Command::new(allowed.path);
        command.args(allowed.args).args(number.map(|number| number.to_string())).current_dir("/").env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take();
        let group = Pid::from_child(&child);
        // From here on it is killed and waited for, whatever happens.
        let job = Job { child, group, waited: false };
        let ended = pidfd_open(group, PidfdFlags::empty())?;
        let stdout = stdout.ok_or_else(|| io::Error::other("its output is not piped"))?;
        Ok((job, stdout, ended))
    }

    /// Kills it with all that it has started, unless that has left its group.
    pub(crate) fn kill(&self) {
        // The number is its own until it was waited for, so that nobody else is hit.
        if !self.waited {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }

    /// Its end, without waiting for it. Whatever it has left behind is killed.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.kill();
        let status = self.child.try_wait()?;
        self.waited |= status.is_some();
        Ok(status)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.waited {
            self.kill();
            // A moment: nothing survives that signal.
            let _ = self.child.wait();
        }
    }
}
