//! An example server that a test talks to, and ends.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::{PATIENCE, Running, example};

/// The secret that one of the examples wants on both sides.
pub(crate) const TOKEN: (&str, &str) = ("REMOTE_COMMAND_TOKEN", "correct-horse-battery-staple");

/// A running example, on a free port of 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts the example `name`, and checks that it says where it listens and how to talk to it.
    pub(crate) fn start(name: &str) -> Server {
        Server::start_with(name, &[])
    }

    /// Starts the example `name` with options besides its address.
    pub(crate) fn start_with(name: &str, options: &[&str]) -> Server {
        let mut command = Command::new(example(name));
        let mut running = Running::start(command.args(["--listen", "127.0.0.1:0"]).args(options));
        let address = running.address();
        assert_eq!(running.line(), format!("try: nc {} {}", address.ip(), address.port()));
        Server { running, address }
    }

    /// Starts an example that serves datagrams.
    pub(crate) fn start_udp(name: &str) -> Server {
        let mut command = Command::new(example(name));
        let mut running = Running::start(command.args(["--listen", "127.0.0.1:0"]));
        let address = running.address();
        assert_eq!(running.line(), format!("try: nc -u {} {}", address.ip(), address.port()));
        Server { running, address }
    }

    /// Starts the server of an example that is a client, too.
    pub(crate) fn serve(name: &str) -> Server {
        let mut command = Command::new(example(name));
        command.env(TOKEN.0, TOKEN.1);
        let mut running = Running::start(command.args(["serve", "--listen", "127.0.0.1:0"]));
        let address = running.address();
        assert_eq!(running.line(), format!("try: {name} call {address}"));
        Server { running, address }
    }

    /// A blocking connection to it.
    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).expect("it accepts");
        client.set_read_timeout(Some(PATIENCE)).expect("timeout");
        client.set_write_timeout(Some(PATIENCE)).expect("timeout");
        client
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        self.running.pid()
    }

    /// Waits for its end: its exit code and its last words.
    pub(crate) fn end(self) -> (Option<i32>, String) {
        self.running.end()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Waits until it has so many sockets.
    #[track_caller]
    pub(crate) fn waits_for_sockets(&self, count: usize) {
        let begin = Instant::now();
        let files = format!("/proc/{}/fd", self.running.pid().as_raw_nonzero());
        loop {
            let files = fs::read_dir(&files).expect("its files").filter_map(Result::ok);
            let links = files.filter_map(|file| fs::read_link(file.path()).ok());
            if links.filter(|link| link.to_string_lossy().starts_with("socket:")).count() == count {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "never {count}");
            thread::yield_now();
        }
    }

    /// Sends it a signal, and checks that it ends with exit code 0 and `summary` as its last words.
    #[track_caller]
    pub(crate) fn ends_at(self, signal: Signal, summary: &str) {
        self.signal(signal);
        self.ends_with(summary);
    }

    /// Asks it to end, checks that it does with exit code 0, and answers with its last words.
    pub(crate) fn terminate(self) -> String {
        let (code, rest) = self.running.terminate();
        assert_eq!(code, Some(0), "{rest}");
        rest
    }

    /// Checks that it ends with exit code 0 and `summary` as its last words.
    #[track_caller]
    pub(crate) fn ends_with(self, summary: &str) {
        assert_eq!(self.running.end(), (Some(0), format!("{summary}\n")));
    }
}

/// Runs the client of an example that is a server, too: its exit code, what it printed, and what it complained about.
pub(crate) fn call(name: &str, address: SocketAddr, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(example(name));
    command.env(TOKEN.0, TOKEN.1);
    let output = command.arg("call").arg(address.to_string()).args(words).stdin(Stdio::null()).output();
    let output = output.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}

/// Closes a connection by a reset.
pub(crate) fn reset(client: TcpStream) {
    let client = socket2::Socket::from(client);
    client.set_linger(Some(Duration::ZERO)).expect("linger");
}

/// Reads to the end, however it comes.
pub(crate) fn read_to_any_end(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end as well. What came before it stays in `bytes`.
    let _ = client.read_to_end(&mut bytes);
    bytes
}

/// Bytes that are different everywhere, so that nothing can be lost or swapped unseen.
pub(crate) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}
