//! One server under one tool, from its start to what the tool wrote.
//!
//! It knows the options of the tools and where their output goes. It does not know what the clients do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use super::callgrind::Profile;
use super::client::Clients;
use super::dhat::Heap;
use super::hold::Held;
use super::strace::{self, Calls};
use crate::process::Served;
use crate::serve::Name;

/// What watches a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Callgrind,
    Dhat,
    Strace,
}

/// Runs servers under tools.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    /// Set by Ctrl-C: what runs then ends with [`io::ErrorKind::Interrupted`].
    pub(super) interrupted: &'a AtomicBool,
}

/// What the clients are told to do.
pub(super) type Act<'a> = &'a dyn Fn(&mut Clients<'_>) -> io::Result<()>;

impl Bench<'_> {
    /// Instructions in user space that the server executes while the clients act.
    pub(super) fn instructions(&self, name: Name, options: &[&str], act: Act<'_>) -> io::Result<Profile> {
        let mut profile = Profile::default();
        for text in self.run(Tool::Callgrind, name, options, act)? {
            profile.read(&text)?;
        }
        Ok(profile)
    }

    /// What it allocates, and what of that is left while the clients are still connected.
    pub(super) fn heap(&self, name: Name, options: &[&str], act: Act<'_>) -> io::Result<Heap> {
        let mut heap = Heap::default();
        for text in self.run(Tool::Dhat, name, options, act)? {
            heap.read(&text).ok_or_else(|| io::Error::other(format!("dhat did not count: {text}")))?;
        }
        Ok(heap)
    }

    /// System calls it makes, by name.
    pub(super) fn calls(&self, name: Name, options: &[&str], act: Act<'_>) -> io::Result<Calls> {
        Ok(strace::read(&self.run(Tool::Strace, name, options, act)?.concat()))
    }

    /// Serves, lets the clients act, and answers with each file that the tool wrote.
    fn run(&self, tool: Tool, name: Name, options: &[&str], act: Act<'_>) -> io::Result<Vec<String>> {
        let scratch = Scratch::new()?;
        let command = tool.command(&scratch.0);
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        let served = Served::start(&command, name, options)?;
        let held = match tool {
            Tool::Strace => Held::child_of(served.pid())?,
            Tool::Callgrind | Tool::Dhat => Held::itself(served.pid()),
        };
        let mut clients = Clients::new(served.addr, name.protocol(), &held, self.interrupted);
        act(&mut clients)?;
        // The clients are connected until it has ended, so that it does not see some of them go and some not.
        served.stop()?;
        drop(clients);
        scratch.read()
    }
}

impl Tool {
    /// The command that a server's own goes behind, with its output in files of `scratch`.
    ///
    /// Servers in C are programs that are executed in the place of this one, and so children to valgrind.
    fn command(self, scratch: &Path) -> Vec<String> {
        let out = |name: &str| scratch.join(name).display().to_string();
        match self {
            // It takes a string instruction for as many as it has bytes. Without them glibc copies long pieces
            // as it copies short ones.
            Tool::Callgrind => vec![
                "env".to_owned(),
                "GLIBC_TUNABLES=glibc.cpu.hwcaps=-ERMS,-FSRM".to_owned(),
                "valgrind".to_owned(),
                "--quiet".to_owned(),
                "--tool=callgrind".to_owned(),
                "--trace-children=yes".to_owned(),
                format!("--callgrind-out-file={}", out("%p")),
                "--log-file=/dev/null".to_owned(),
            ],
            Tool::Dhat => vec![
                "valgrind".to_owned(),
                "--tool=dhat".to_owned(),
                "--trace-children=yes".to_owned(),
                // Where memory is allocated is not asked, and finding it out takes most of the time.
                "--num-callers=1".to_owned(),
                "--read-inline-info=no".to_owned(),
                "--dhat-out-file=/dev/null".to_owned(),
                format!("--log-file={}", out("%p")),
            ],
            Tool::Strace => ["strace", "-f", "-c", "-o", &out("all")].map(str::to_owned).to_vec(),
        }
    }
}

/// Why `tool` cannot be run and what to do about it, if it cannot.
pub(super) fn missing(tool: &str) -> Option<String> {
    let status = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.err().map(|error| format!("{tool} is needed (apt-get install {tool}): {error}"))
}

/// A directory that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Scratch> {
        let name = format!("switchboard-count-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    /// The contents of every file in it.
    fn read(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.0)?.map(|entry| fs::read_to_string(entry?.path())).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may be gone already: someone tidied up.
        let _ = fs::remove_dir_all(&self.0);
    }
}
