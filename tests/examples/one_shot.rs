//! The example `one_shot` as a process, with its own client, with one that is none, and with `curl`.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};

use crate::server::{Server, call, read_to_any_end};

#[test]
fn the_end_of_the_client_is_the_end_of_the_request() {
    let server = Server::serve("one_shot");
    let (code, stdout, stderr) = call("one_shot", server.address, &["some words", "to count"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "0 lines, 4 words, 19 bytes\n", ""));

    let mut client = server.connect();
    for piece in ["one\n", "two", " three\n", ""] {
        client.write_all(piece.as_bytes()).expect("written");
    }
    // Not before the end.
    client.set_nonblocking(true).expect("an option");
    assert!(client.read(&mut [0]).is_err());
    client.set_nonblocking(false).expect("an option");
    client.shutdown(Shutdown::Write).expect("ended");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer and its end");
    assert_eq!(answer, "2 lines, 3 words, 14 bytes\n");
    assert_eq!(server.terminate(), "served 2 clients, 2 requests\n");
}

#[test]
fn a_megabyte_is_counted_and_more_is_refused() {
    let server = Server::serve("one_shot");
    let line = b"0123456789abcde\n";
    let mut client = server.connect();
    client.write_all(&line.repeat(1 << 16)).expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(read_to_any_end(&mut client), b"65536 lines, 65536 words, 1048576 bytes\n");
    let mut client = server.connect();
    // It may be refused while it is still being sent.
    let _ = client.write_all(&line.repeat((1 << 16) + 1));
    let _ = client.shutdown(Shutdown::Write);
    let answer = String::from_utf8(read_to_any_end(&mut client)).expect("UTF-8");
    assert!(answer.contains("1048576"), "{answer}");
}

#[test]
fn http_is_answered_at_the_empty_line_wherever_it_is_cut() {
    let server = Server::serve("one_shot");
    let request = b"GET /some/words HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = "0 lines, 2 words, 10 bytes\n";
    for at in 0..request.len() {
        let mut client = server.connect();
        let (first, second) = request.split_at(at);
        client.write_all(first).expect("written");
        client.write_all(second).expect("written");
        // Our side stays open.
        let answer = String::from_utf8(read_to_any_end(&mut client)).expect("UTF-8");
        let (head, rest) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert_eq!(rest, body);
    }
}

#[test]
fn http_with_a_body_is_told_that_there_is_no_such_method() {
    let server = Server::serve("one_shot");
    let mut client = server.connect();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").expect("written");
    // Our side stays open.
    let answer = String::from_utf8(read_to_any_end(&mut client)).expect("UTF-8");
    assert!(answer.starts_with("HTTP/1.0 501 Not Implemented\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nonly GET and HEAD\n"), "{answer}");
}

#[test]
fn http_without_an_end_is_refused_at_its_limit() {
    let server = Server::serve("one_shot");
    let mut client = server.connect();
    client.write_all(b"GET /").expect("written");
    client.write_all(&[b'x'; 9000]).expect("written");
    let answer = String::from_utf8(read_to_any_end(&mut client)).expect("UTF-8");
    assert!(answer.contains("8192"), "{answer}");
}

#[test]
fn curl_prints_the_answer() {
    let there = Command::new("curl").arg("--version").stdout(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return;
    }
    let server = Server::serve("one_shot");
    let url = format!("http://{}/some/words", server.address);
    for (option, answer) in [("--silent", "0 lines, 2 words, 10 bytes\n"), ("--head", "HTTP/1.0 200 OK\r\n")]
    {
        let output = Command::new("curl")
            .args(["--silent", "--noproxy", "*", option, &url])
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(0));
        assert!(
            output.stdout.starts_with(answer.as_bytes()),
            "{:?}",
            output.stdout.escape_ascii().to_string()
        );
    }
    assert_eq!(server.terminate(), "served 2 clients, 2 requests\n");
}
