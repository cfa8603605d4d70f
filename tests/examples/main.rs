//! The examples, each run as a process with peers that know nothing of this crate.
//!
//! Here is what they share: building an example, running it, and seeing that it ends.

#![cfg(target_os = "linux")]

mod select_echo;

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

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

/// An example that runs as a process of its own, and is killed when the test is over.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts `command` with its standard output connected to us.
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Running { child, stdout }
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

    /// Asks it to end, and answers with its exit code and what it said since the last line read.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        kill_process(self.pid(), Signal::TERM).expect("it runs");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("UTF-8");
        (self.child.wait().expect("wait").code(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
