//! The example `fixed_length` as a process, with its own client and with one that is none.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::server::{Server, call, pattern, read_to_any_end};

const MESSAGE_BYTES: usize = 64 << 10;

/// The number before `word` in `text`.
#[track_caller]
fn number_before(text: &str, word: &str) -> u32 {
    let (before, _) = text.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {text:?}"));
    before.trim_end().rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn messages_go_there_and_back_in_many_pieces() {
    let server = Server::serve("fixed_length");
    let (code, stdout, stderr) = call("fixed_length", server.address, &["20"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("20 messages of 65536 bytes came back, sent in "), "{stdout}");
    // Its receive buffer takes 4 KiB at a time.
    let (_, received) = stdout.trim_end().rsplit_once(' ').expect("words");
    assert!(received.parse::<u32>().expect("a number") >= 20 * 16, "{stdout}");
    let summary = server.terminate();
    assert!(summary.starts_with("served 1 clients, 20 messages, received in "), "{summary}");
    assert!(number_before(&summary, "pieces and sent") >= 20 * 16, "{summary}");
    let (_, sent) = summary.trim_end().rsplit_once(' ').expect("words");
    // Its socket is asked to keep as much, and keeps somewhat more.
    assert!(sent.parse::<u32>().expect("a number") > 20, "{summary}");
}

#[test]
fn nothing_comes_back_before_a_message_is_whole_and_half_of_one_is_an_error() {
    let server = Server::serve("fixed_length");
    let message = pattern(MESSAGE_BYTES, 1);
    let mut client = server.connect();
    let (most, last) = message.split_at(MESSAGE_BYTES - 1);
    client.write_all(most).expect("written");
    client.set_nonblocking(true).expect("an option");
    assert!(client.read(&mut [0]).is_err(), "something came back");
    client.set_nonblocking(false).expect("an option");
    client.write_all(last).expect("written");
    let mut back = vec![0; MESSAGE_BYTES];
    client.read_exact(&mut back).expect("read");
    assert!(back == message, "something else came back");
    client.write_all(&message[..100]).expect("written");
    client.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(read_to_any_end(&mut client), b"");
    assert!(server.terminate().starts_with("served 1 clients, 1 messages, "));
}

#[test]
fn a_count_that_is_none_is_refused() {
    let server = Server::serve("fixed_length");
    for (words, complaint) in [
        (&["many"][..], "fixed_length: \"many\" is no number"),
        (&["1", "2"], "fixed_length: \"2\" is too much"),
    ] {
        let (code, stdout, stderr) = call("fixed_length", server.address, words);
        assert_eq!((code, stdout.as_str()), (Some(2), ""));
        assert!(stderr.starts_with(complaint) && stderr.lines().count() == 1, "{stderr}");
    }
}
