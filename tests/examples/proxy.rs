//! The example `proxy` as a process, between clients and servers that are none of ours.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustix::process::Signal;

use crate::PATIENCE;
use crate::server::{Server, nobody, pattern, read_to_any_end, reset};

/// A proxy, and where it connects to.
fn start() -> (Server, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let to = listener.local_addr().expect("bound");
    (to_server(to), listener)
}

fn to_server(to: SocketAddr) -> Server {
    Server::start_with("proxy", &["--to", &to.to_string()])
}

/// A client, and the other end of what was connected for it.
fn pair(proxy: &Server, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = proxy.connect();
    let (upstream, _) = listener.accept().expect("it connects onward");
    upstream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    upstream.set_write_timeout(Some(PATIENCE)).expect("timeout");
    (client, upstream)
}

#[test]
fn bytes_go_both_ways_and_ends_one_way() {
    let (proxy, listener) = start();
    let (mut client, mut upstream) = pair(&proxy, &listener);
    client.write_all(b"question").expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    let mut got = Vec::new();
    upstream.read_to_end(&mut got).expect("the question and its end");
    assert_eq!(got, b"question");
    // The other direction is still open.
    upstream.write_all(b"answer").expect("written");
    upstream.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(read_to_any_end(&mut client), b"answer");

    // The same, begun at the other end.
    let (mut client, mut upstream) = pair(&proxy, &listener);
    upstream.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(client.read(&mut [0]).expect("an end"), 0);
    client.write_all(b"still").expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(read_to_any_end(&mut upstream), b"still");
    proxy.ends_at(Signal::TERM, "served 2 clients; 0 could not be connected onward");
}

#[test]
fn a_slow_side_slows_the_other_and_memory_stays_flat() {
    const MUCH: usize = 64 << 20;
    let (proxy, listener) = start();
    let (client, mut upstream) = pair(&proxy, &listener);
    let sent = pattern(MUCH, 7);
    let bytes = sent.clone();
    let mut writer = client.try_clone().expect("cloned");
    let writing = thread::spawn(move || {
        writer.write_all(&bytes).expect("written");
        writer.shutdown(Shutdown::Write).expect("ended");
    });
    // The other side takes some, stops until nothing moves any more, and takes the rest.
    let mut got = vec![0; 1 << 20];
    upstream.read_exact(&mut got).expect("the beginning");
    let stuck = proxy.waits_until_it_does_nothing();
    assert!(stuck < 32 << 20, "{stuck} bytes are resident");
    assert!(!writing.is_finished(), "all of it went somewhere");
    upstream.read_to_end(&mut got).expect("the rest");
    writing.join().expect("written");
    assert!(got == sent, "{} bytes of {MUCH}, or others", got.len());
}

// Both the echo behind it and the proxy queue what the other does not take. Would both stop reading, neither went on.
#[test]
fn an_echo_behind_it_returns_everything_to_a_client_that_reads_late() {
    const MUCH: usize = 32 << 20;
    let echo = Server::start("echo");
    let proxy = to_server(echo.address);
    let mut client = proxy.connect();
    let sent = pattern(MUCH, 8);
    let bytes = sent.clone();
    let mut writer = client.try_clone().expect("cloned");
    let writing = thread::spawn(move || {
        writer.write_all(&bytes).expect("written");
        writer.shutdown(Shutdown::Write).expect("ended");
    });
    proxy.waits_until_it_does_nothing();
    let mut got = Vec::new();
    client.read_to_end(&mut got).expect("all of it");
    writing.join().expect("written");
    assert!(got == sent, "{} bytes of {MUCH}, or others", got.len());
}

#[test]
fn a_reset_of_one_side_resets_the_other() {
    let (proxy, listener) = start();
    let (client, mut upstream) = pair(&proxy, &listener);
    reset(client);
    assert!(upstream.read(&mut [0]).is_err());
    let (mut client, upstream) = pair(&proxy, &listener);
    reset(upstream);
    assert!(client.read(&mut [0]).is_err());
}

#[test]
fn d4_a_client_that_cannot_be_connected_onward_is_reset() {
    let proxy = to_server(nobody());
    for _ in 0..3 {
        let mut client = proxy.connect();
        // A reset that is there before anything is written is told by the write, and then not once more.
        let told = client.write_all(b"lost").is_err();
        assert!(told || client.read(&mut [0]).is_err());
    }
    proxy.ends_at(Signal::TERM, "served 3 clients; 3 could not be connected onward");
}

#[test]
fn n4_a_drain_waits_for_both_sides() {
    let (proxy, listener) = start();
    let (mut client, mut upstream) = pair(&proxy, &listener);
    client.write_all(b"question").expect("written");
    upstream.read_exact(&mut [0; 8]).expect("read");
    proxy.signal(Signal::TERM);
    // Nobody new, once the listener is closed.
    proxy.waits_for_sockets(2);
    upstream.write_all(b"answer").expect("written");
    drop(upstream);
    assert_eq!(read_to_any_end(&mut client), b"answer");
    drop(client);
    proxy.ends_with("served 1 clients; 0 could not be connected onward");
}

impl Server {
    /// Waits until the process uses no processor any more although there is something to do, and answers how many bytes
    /// of it are resident.
    fn waits_until_it_does_nothing(&self) -> usize {
        let pid = self.pid();
        let switches = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
            let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
            counts.map(str::to_owned).collect::<Vec<_>>()
        };
        let begin = std::time::Instant::now();
        let (mut last, mut since) = (switches(), std::time::Instant::now());
        // Nothing tells that something will not happen. Half a second without a turn is long for a loop that is awake.
        while since.elapsed() < std::time::Duration::from_millis(500) {
            assert!(begin.elapsed() < PATIENCE, "it never rests");
            thread::yield_now();
            let now = switches();
            if now != last {
                (last, since) = (now, std::time::Instant::now());
            }
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        resident.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }
}
