//! The examples, each run as a process with peers that know nothing of this crate.
//!
//! Here is what they share: building an example, running it, and seeing that it ends.

#![cfg(target_os = "linux")]

mod arguments;
mod ascii_length;
mod chat;
mod client;
mod echo;
mod fixed_length;
mod offload;
mod one_shot;
mod ping;
mod proxy;
mod remote_command;
mod select_echo;
mod server;
mod shards;
mod typed_messages;
mod udp_echo;
mod unix_echo;
mod upper;

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long a test waits for anything: what takes longer never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Builds an example, once in each test program, and answers where it is.
///
/// `cargo test --test some` does not build examples, and a target directory has more than one shape (`--target`,
/// `CARGO_TARGET_DIR`, `build.build-dir`), so cargo is asked to build it and to say what it built. When `cargo test`
/// has just done that, this takes a moment.
pub(crate) fn example(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built.get(name) {
        return path.clone();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
        "build",
        "--quiet",
        "--message-format=json",
        "--example",
        name,
    ]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "the example {name} does not build");

    // One line of JSON for each artifact. Only an example or a program has an executable, and only one was asked for.
    let messages = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let (_, path) = messages.rsplit_once("\"executable\":\"").expect("cargo says what it built");
    let (path, _) = path.split_once('"').expect("a JSON string ends");
    let path = PathBuf::from(path);
    built.insert(name.to_owned(), path.clone());
    path
}

/// An example that runs as a process of its own, and is killed when the test is over or has no patience left.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Dropped, it calls the thread off that would kill the process.
    patience: Sender<()>,
}

impl Running {
    /// Starts `command` with its standard output connected to us.
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (patience, over) = mpsc::channel();
        let pid = Pid::from_child(&child);
        thread::spawn(move || {
            if over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // Nobody has waited for it yet, so that the number is still its own.
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Running { child, stdout, patience }
    }

    /// Reads `listening on ADDRESS`, which is the first line of every server.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.line();
        let address = line.strip_prefix("listening on ").map(str::parse);
        let Some(Ok(address)) = address else {
            panic!("expected `listening on ADDRESS`, got {line:?}");
        };
        address
    }

    /// Reads one line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("UTF-8");
        line.trim_end().to_owned()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// Waits for its end, and answers with its exit code and what it said since the last line read.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("UTF-8");
        // Its output ended, so that it is ending.
        self.lose_no_patience();
        (self.child.wait().expect("wait").code(), rest)
    }

    /// Calls the thread off, before the number is free for another process.
    fn lose_no_patience(&mut self) {
        self.patience = mpsc::channel().0;
    }

    /// Asks it to end, and answers as [`Running::end`].
    pub(crate) fn terminate(self) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lose_no_patience();
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
