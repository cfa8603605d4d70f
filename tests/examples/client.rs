//! The example `client` as a process, with servers that are none of ours.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::server::{Server, nobody, pattern, reset};
use crate::{PATIENCE, Running, example};

/// Runs it against a server that does `serve` with its connection.
fn run(input: Stdio, serve: impl FnOnce(TcpStream) + Send + 'static) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let serving = thread::spawn(move || {
        let (peer, _) = listener.accept().expect("it connects");
        peer.set_read_timeout(Some(PATIENCE)).expect("timeout");
        serve(peer);
    });
    let output = Command::new(example("client")).arg(address).stdin(input).output().expect("it runs");
    serving.join().expect("served");
    output
}

#[test]
fn a_file_is_sent_whole_and_what_comes_back_is_printed() {
    let sent = pattern(8 << 20, 3);
    let path = std::env::temp_dir().join(format!("switchboard-client-{}", std::process::id()));
    std::fs::write(&path, &sent).expect("written");
    let server = Server::start("echo");
    let file = File::open(&path).expect("it is there");
    let output = Command::new(example("client"))
        .arg(server.address.to_string())
        .stdin(file)
        .output()
        .expect("it runs");
    std::fs::remove_file(&path).expect("removed");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    assert!(output.stdout == sent, "{} bytes of {}, or others", output.stdout.len(), sent.len());
}

#[test]
fn lines_go_out_as_they_are_typed_and_the_end_of_input_ends_our_side_only() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let mut command = Command::new(example("client"));
    let (read_end, mut typed) = std::io::pipe().expect("a pipe");
    let mut client = Running::start(command.arg(address).stdin(read_end));
    drop(command);
    let (mut peer, _) = listener.accept().expect("it connects");
    typed.write_all(b"hello\n").expect("written");
    peer.read_exact(&mut [0; 6]).expect("a line");
    peer.write_all(b"you said hello\n").expect("written");
    assert_eq!(client.line(), "you said hello");
    drop(typed);
    assert_eq!(peer.read(&mut [0]).expect("an end"), 0);
    peer.write_all(b"good bye\n").expect("written");
    drop(peer);
    assert_eq!(client.end(), (Some(0), "good bye\n".into()));
}

#[test]
fn the_end_of_the_server_ends_it_while_it_waits_for_input() {
    let (read_end, _typed) = std::io::pipe().expect("a pipe");
    let output = run(read_end.into(), |mut peer| {
        peer.write_all(b"closed for today\n").expect("written");
    });
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"closed for today\n"[..]));
}

// One side of a connection ends without the other, and a file is sent whole or not without a word.
#[test]
fn a_server_that_ends_its_side_first_gets_the_rest_of_the_input() {
    let sent = pattern(8 << 20, 5);
    let path = std::env::temp_dir().join(format!("switchboard-client-rest-{}", std::process::id()));
    std::fs::write(&path, &sent).expect("written");
    let file = File::open(&path).expect("it is there");
    std::fs::remove_file(&path).expect("removed");
    let output = run(file.into(), move |mut peer| {
        peer.read_exact(&mut [0]).expect("a byte");
        peer.shutdown(Shutdown::Write).expect("ended");
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).expect("the rest and its end");
        assert!(rest == sent[1..], "{} bytes of {}, or others", rest.len(), sent.len());
    });
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_server_that_does_not_read_holds_the_input_up() {
    let (read_end, mut typed) = std::io::pipe().expect("a pipe");
    let sent = pattern(32 << 20, 4);
    let bytes = sent.clone();
    let writing = thread::spawn(move || typed.write_all(&bytes).expect("written"));
    let output = run(read_end.into(), move |mut peer| {
        // Reads nothing until the kernels on the way are full and the client would have to keep what it reads.
        let mut first = [0; 1];
        peer.read_exact(&mut first).expect("a byte");
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).expect("the rest and its end");
        peer.write_all(&first).expect("written");
        peer.write_all(&rest).expect("written");
    });
    writing.join().expect("written");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == sent, "{} bytes", output.stdout.len());
}

#[test]
fn a_server_may_be_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let serving = thread::spawn(move || {
        for _ in 0..2 {
            let (mut peer, _) = listener.accept().expect("it connects");
            peer.write_all(b"hello\n").expect("written");
        }
    });
    for args in [vec![format!("localhost:{port}")], vec!["localhost".into(), port]] {
        let output =
            Command::new(example("client")).args(args).stdin(Stdio::null()).output().expect("it runs");
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"hello\n"[..]));
    }
    serving.join().expect("served");
    // A part of it is too long, so that nobody needs to be asked.
    let name = format!("{}.invalid", "x".repeat(64));
    let output =
        Command::new(example("client")).args([&name, "80"]).stdin(Stdio::null()).output().expect("it runs");
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert!(message.starts_with(&format!("client: {name} 80: socket error: {name} cannot be looked up: ")));
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn what_goes_wrong_is_one_line() {
    let output = run(Stdio::null(), |mut peer| {
        assert_eq!(peer.read(&mut [0]).expect("an end"), 0);
        reset(peer);
    });
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert!(message.starts_with("client: 127.0.0.1:") && message.lines().count() == 1, "{message}");

    let address = nobody().to_string();
    let output =
        Command::new(example("client")).arg(&address).stdin(Stdio::null()).output().expect("it runs");
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert!(message.starts_with(&format!("client: {address}: ")) && message.contains("refused"), "{message}");

    for args in [
        &[][..],
        &["localhost"],
        &["127.0.0.1:1", "2"],
        &["localhost", "http"],
        &["--what"],
        &["a", "1", "2"],
    ] {
        let output =
            Command::new(example("client")).args(args).stdin(Stdio::null()).output().expect("it runs");
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(
            message,
            "client: expected a server, such as client localhost 7000 or client 127.0.0.1:7000\n"
        );
    }
}

#[test]
fn a_terminal_is_left_as_it_was() {
    // The two ends of a socket stand for it: whether it blocks is a property of the open file, which is shared.
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let kept = theirs.try_clone().expect("cloned");
    ours.shutdown(Shutdown::Write).expect("ended");
    let output = run(std::os::fd::OwnedFd::from(theirs).into(), |mut peer| {
        assert_eq!(peer.read(&mut [0]).expect("an end"), 0);
    });
    assert_eq!(output.status.code(), Some(0));
    let flags = rustix::fs::fcntl_getfl(&kept).expect("flags");
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
}

#[test]
fn input_that_cannot_be_read_is_told_and_exit_code_1() {
    let directory = File::open(std::env::temp_dir()).expect("it is there");
    let output = run(directory.into(), |mut peer| {
        assert_eq!(peer.read(&mut [0]).expect("an end"), 0);
    });
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(message.contains(": the input cannot be read: Is a directory"), "{message}");
}

// B4: `client < file | head -1`.
#[test]
fn b4_output_that_nobody_reads_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let (read_end, write_end) = std::io::pipe().expect("a pipe");
    drop(read_end);
    let mut command = Command::new(example("client"));
    let client = command.arg(address).stdin(Stdio::piped()).stdout(write_end).stderr(Stdio::piped());
    let client = client.spawn().expect("it runs");
    let (mut peer, _) = listener.accept().expect("it connects");
    peer.write_all(b"hello\n").expect("written");
    let output = client.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(message.contains(": the output takes no more: Broken pipe"), "{message}");
}
