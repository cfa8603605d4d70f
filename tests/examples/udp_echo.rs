//! The example `udp_echo` as a process, with peers of the standard library.

use std::net::UdpSocket;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::PATIENCE;
use crate::server::{Server, pattern};

#[test]
fn k6_an_answer_is_as_long_as_what_was_sent_and_goes_to_who_sent_it() {
    let server = Server::start_udp("udp_echo");
    let peers: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port")).collect();
    let mut bytes = vec![0; 1 << 16];
    for (length, peer) in [0, 1, 1472, 65_507, 0, 9].into_iter().zip(peers.iter().cycle()) {
        let sent = pattern(length, length as u64);
        peer.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        peer.send_to(&sent, server.address).expect("sent");
        let (n, from) = peer.recv_from(&mut bytes).expect("an answer");
        assert_eq!((n, from), (length, server.address));
        assert!(bytes[..n] == sent);
    }
    server.ends_at(Signal::TERM, "served 6 datagrams, 6 sent back, 0 dropped");
}

#[test]
fn ncat_gets_its_line_back() {
    let there = Command::new("ncat").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return;
    }
    let server = Server::start_udp("udp_echo");
    let (ip, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let (read_end, mut typed) = std::io::pipe().expect("a pipe");
    let mut command = Command::new("ncat");
    let mut ncat = crate::Running::start(command.args(["-u", &ip, &port]).stdin(read_end));
    std::io::Write::write_all(&mut typed, b"hello\n").expect("written");
    assert_eq!(ncat.line(), "hello");
    drop(ncat);
    server.ends_at(Signal::INT, "served 1 datagrams, 1 sent back, 0 dropped");
}
