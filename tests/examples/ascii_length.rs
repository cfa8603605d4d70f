//! The example `ascii_length` as a process, with its own client and with one that is none.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;

use crate::server::{Server, call, read_to_any_end};

#[test]
fn messages_sent_back_to_back_are_answered_one_by_one() {
    let server = Server::serve("ascii_length");
    let long = "ab".repeat(40_000);
    let (code, stdout, stderr) = call("ascii_length", server.address, &["hello", "", "hi", &long]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let answer = format!("olleh\n\nih\n{}\n", "ba".repeat(40_000));
    assert!(stdout == answer, "{} bytes", stdout.len());
    assert_eq!(server.terminate(), "served 1 clients, 4 messages\n");
}

#[test]
fn what_is_sent_is_five_digits_and_the_message() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let serving = thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("it connects");
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).expect("it ends its side");
        // Only one of the two answers.
        peer.write_all(b"00002ok").expect("written");
        bytes
    });
    let (code, stdout, stderr) = call("ascii_length", address, &["hello", "hi"]);
    assert_eq!(serving.join().expect("served"), b"00005hello00002hi");
    assert_eq!((code, stdout.as_str()), (Some(1), "ok\n"));
    assert!(stderr.ends_with("1 answers are missing\n"), "{stderr}");
}

#[test]
fn what_is_no_length_ends_its_connection_only() {
    let server = Server::serve("ascii_length");
    let mut stays = server.connect();
    for length in ["0000x", "+0001", " 0001", "hello"] {
        let mut client = server.connect();
        client.write_all(length.as_bytes()).expect("written");
        assert_eq!(read_to_any_end(&mut client), b"", "{length}");
    }
    let mut cut_off = server.connect();
    cut_off.write_all(b"00003abc00005ab").expect("written");
    cut_off.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(read_to_any_end(&mut cut_off), b"00003cba");
    stays.write_all(b"00001x").expect("written");
    stays.read_exact(&mut [0; 6]).expect("it is still served");
}

#[test]
fn a_message_longer_than_five_digits_can_say_is_refused_before_it_is_sent() {
    let server = Server::serve("ascii_length");
    let (code, stdout, stderr) = call("ascii_length", server.address, &["fine", &"x".repeat(100_000)]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("100000") && stderr.contains("99999"), "{stderr}");
    assert_eq!(server.terminate(), "served 0 clients, 0 messages\n");
}
