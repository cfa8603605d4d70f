//! The example `upper` as a process.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use switchboard::Config;

use crate::server::{Server, read_to_any_end, reset};

/// Sends `question` and reads an answer as long as `answer`.
#[track_caller]
fn assert_answer(mut client: &TcpStream, question: &[u8], answer: &[u8]) {
    client.write_all(question).expect("written");
    let mut got = vec![0; answer.len()];
    client.read_exact(&mut got).expect("an answer");
    assert_eq!(got.escape_ascii().to_string(), answer.escape_ascii().to_string());
}

#[test]
fn lines_come_back_in_capitals_whatever_their_bytes() {
    let server = Server::start("upper");
    let client = server.connect();
    assert_answer(&client, b"hello\n", b"HELLO\n");
    assert_answer(&client, b"\r\n\n", b"\n\n");
    assert_answer(&client, "grüße, ǆ\r\n".as_bytes(), "GRÜSSE, Ǆ\n".as_bytes());
    assert_answer(&client, b"latin \xe4\xff \xc3\nnul \0\n", b"LATIN \xe4\xff \xc3\nNUL \0\n");
    // Pipelined, and cut anywhere.
    assert_answer(&client, b"one\ntwo\nth", b"ONE\nTWO\n");
    assert_answer(&client, b"ree\n", b"THREE\n");
    drop(client);
    server.ends_at(Signal::TERM, "served 1 clients, 9 lines; 0 broke off");
}

#[test]
fn a_last_line_without_its_ending_is_answered() {
    let server = Server::start("upper");
    let mut client = server.connect();
    client.write_all(b"first\nlast").expect("written");
    client.shutdown(Shutdown::Write).expect("our side ends");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer and its end");
    assert_eq!(answer, "FIRST\nLAST\n");
    server.ends_at(Signal::INT, "served 1 clients, 2 lines; 0 broke off");
}

#[test]
fn clients_leave_at_any_time_and_nobody_else_notices() {
    let server = Server::start("upper");
    let stays = server.connect();
    for _ in 0..10 {
        drop(server.connect());
        reset(server.connect());

        let in_a_line = server.connect();
        assert_answer(&in_a_line, b"whole\nhal", b"WHOLE\n");
        drop(in_a_line);

        let reset_in_a_line = server.connect();
        assert_answer(&reset_in_a_line, b"whole\nhal", b"WHOLE\n");
        reset(reset_in_a_line);

        // With answers on their way that it will never read.
        let mut unread = server.connect();
        unread.write_all(&b"unread\n".repeat(10_000)).expect("written");
        unread.read_exact(&mut [0]).expect("the first bytes are back");
        drop(unread);

        assert_answer(&stays, b"still here\n", b"STILL HERE\n");
    }
    drop(server);
}

#[test]
fn a_line_without_end_closes_its_connection_only() {
    let server = Server::start("upper");
    let stays = server.connect();
    let mut endless = server.connect();
    assert_answer(&endless, b"a\n", b"A\n");
    endless.write_all(&[b'x'; 9000]).expect("written");
    assert_eq!(read_to_any_end(&mut endless), b"");
    assert_answer(&stays, b"still here\n", b"STILL HERE\n");
    drop((stays, endless));
    server.ends_at(Signal::TERM, "served 2 clients, 2 lines; 1 broke off");
}

#[test]
fn n4_a_client_in_the_middle_of_a_line_at_sigterm_gets_its_answer() {
    let server = Server::start("upper");
    let (mut idle, mut busy) = (server.connect(), server.connect());
    // The half line came with the whole one, so it is there as soon as that is answered.
    assert_answer(&busy, b"whole\nhal", b"WHOLE\n");
    server.signal(Signal::TERM);
    // An idle client is closed when the drain begins.
    assert_eq!(idle.read(&mut [0]).expect("an orderly end"), 0);
    assert_answer(&busy, b"f\n", b"HALF\n");
    assert_eq!(busy.read(&mut [0]).expect("an orderly end"), 0);
    drop((idle, busy));
    server.ends_with("served 2 clients, 2 lines; 0 broke off");
}

#[test]
fn a_second_signal_does_not_wait() {
    let server = Server::start("upper");
    let (mut idle, mut busy) = (server.connect(), server.connect());
    assert_answer(&busy, b"whole\nhal", b"WHOLE\n");
    let begin = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(idle.read(&mut [0]).expect("an orderly end"), 0);
    drop(idle);
    server.signal(Signal::INT);
    assert_eq!(read_to_any_end(&mut busy), b"");
    server.ends_with("served 2 clients, 1 lines; 1 broke off");
    // So long a drain waits for the other half of this line.
    assert!(begin.elapsed() < Config::default().drain_timeout, "it waited");
}

/// Talks to it with a client of another language, if there is one.
#[test]
fn python_hears_its_lines_in_capitals() {
    const CLIENT: &str = r#"
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60) as peer:
    lines = peer.makefile("rw", encoding="utf-8", newline="\n")
    for word in ["hello", "grüße", "", "x" * 8192]:
        lines.write(word + "\n")
        lines.flush()
        answer = lines.readline()
        assert answer == word.upper() + "\n", (word, answer)
    peer.shutdown(socket.SHUT_WR)
    assert lines.read() == ""
"#;
    let there = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return;
    }
    let server = Server::start("upper");
    let port = server.address.port().to_string();
    let status = Command::new("python3").args(["-c", CLIENT, &port]).status().expect("it runs");
    assert!(status.success());
    server.ends_at(Signal::TERM, "served 1 clients, 4 lines; 0 broke off");
}
