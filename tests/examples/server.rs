//! An example server that a test talks to, and ends.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{PATIENCE, Running, example};

/// A running example, on a free port of 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts the example `name`, and checks that it says where it listens and how to talk to it.
    pub(crate) fn start(name: &str) -> Server {
        let mut command = Command::new(example(name));
        let mut running = Running::start(command.args(["--listen", "127.0.0.1:0"]));
        let address = running.address();
        assert_eq!(running.line(), format!("try: nc {} {}", address.ip(), address.port()));
        Server { running, address }
    }

    /// A blocking connection to it.
    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).expect("it accepts");
        client.set_read_timeout(Some(PATIENCE)).expect("timeout");
        client.set_write_timeout(Some(PATIENCE)).expect("timeout");
        client
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

    /// Checks that it ends with exit code 0 and `summary` as its last words.
    #[track_caller]
    pub(crate) fn ends_with(self, summary: &str) {
        assert_eq!(self.running.end(), (Some(0), format!("{summary}\n")));
    }
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
