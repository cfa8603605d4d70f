//! The example `typed_messages` as a process, with its own client and with one that is none.

use std::io::{Read, Write};

use crate::server::{Server, call, read_to_any_end};

#[test]
fn everyone_moves_the_same_pen() {
    let server = Server::serve("typed_messages");
    for (words, answer) in [
        ("where", "0 0\n"),
        ("move 3 -4 where move 1 1 where", "3 -4\n4 -3\n"),
        ("move 32767 -32768", ""),
        ("where where", "32771 -32771\n32771 -32771\n"),
        ("", ""),
    ] {
        let words: Vec<_> = words.split_whitespace().collect();
        let (code, stdout, stderr) = call("typed_messages", server.address, &words);
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), answer, ""), "{words:?}");
    }
    assert_eq!(server.terminate(), "served 5 clients, 3 moves; the pen is at 32771 -32771\n");
}

#[test]
fn numbers_are_in_network_byte_order_and_messages_may_be_cut_anywhere() {
    let server = Server::serve("typed_messages");
    let mut client = server.connect();
    for byte in *b"M\x01\x00\xff\xfeWM\x00\x00\x00\x01W" {
        client.write_all(&[byte]).expect("written");
    }
    let mut answer = [0; 18];
    client.read_exact(&mut answer).expect("read");
    assert_eq!(answer, *b"P\x00\x00\x01\x00\xff\xff\xff\xfeP\x00\x00\x01\x00\xff\xff\xff\xff");
}

#[test]
fn a_byte_that_is_no_message_is_named_and_ends_its_connection_only() {
    let server = Server::serve("typed_messages");
    let mut stays = server.connect();
    for (sent, answer) in
        [(&b"WZ"[..], &b"P\0\0\0\0\0\0\0\0EZ"[..]), (b"\0", b"E\0"), (b"P\0\0\0\0\0\0\0\0W", b"")]
    {
        let mut client = server.connect();
        client.write_all(sent).expect("written");
        assert_eq!(read_to_any_end(&mut client), answer);
    }
    stays.write_all(b"W").expect("written");
    stays.read_exact(&mut [0; 9]).expect("it is still served");
}

#[test]
fn words_that_are_no_messages_are_refused() {
    let server = Server::serve("typed_messages");
    for (words, complaint) in [
        ("jump", "\"jump\" is neither move nor where"),
        ("move 1", "move by how much?"),
        ("move 1 32768", "\"32768\" is no number of 16 bits"),
        ("move where", "\"where\" is no number of 16 bits"),
    ] {
        let words: Vec<_> = words.split_whitespace().collect();
        let (code, stdout, stderr) = call("typed_messages", server.address, &words);
        assert_eq!((code, stdout.as_str()), (Some(2), ""));
        assert!(stderr.starts_with(&format!("typed_messages: {complaint}; ")), "{stderr}");
    }
    assert_eq!(server.terminate(), "served 0 clients, 0 moves; the pen is at 0 0\n");
}
