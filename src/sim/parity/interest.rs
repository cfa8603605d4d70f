//! Parity of what a poll is asked for: streams of which it tells only the input, and those that it watches for
//! output from some moment on.

use super::parity;
use super::rig::Sock;
use super::script::Script;
use crate::net::Interest;

/// A client, and the other end, registered for input and with no event left.
fn pair(t: &mut Script<'_>) -> (Sock, Sock) {
    let l = t.listener("L");
    let a = t.connect("a", l);
    let s = t.accept_only("s", l).expect("the client is connected");
    t.register_for(s, Interest::Input);
    t.poll();
    t.unlisten(l);
    (a, s)
}

#[test]
fn a_stream_registered_for_input_is_told_nothing_of_output() {
    parity(
        |t| {
            let (a, s) = pair(t);
            t.send(a, b"abc");
            t.poll();
            t.recv(s, 4096);
            t.send(s, b"abc");
            t.poll();
            t.shutdown(s);
            t.poll();
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            poll -> a writable
            L close
            a send abc -> 3
            poll -> s readable
            s recv -> abc
            s send abc -> 3
            poll -> a readable|writable
            s shutdown -> Ok
            poll -> a readable|writable|read_closed
        ",
    );
}

#[test]
fn an_end_is_told_whatever_is_of_interest() {
    parity(
        |t| {
            let (a, s) = pair(t);
            t.shutdown(a);
            t.poll();
            t.recv(s, 4096);
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            poll -> a writable
            L close
            a shutdown -> Ok
            poll -> a writable, s readable|read_closed
            s recv -> end
        ",
    );
}

#[test]
fn a_reset_is_told_whatever_is_of_interest() {
    parity(
        |t| {
            let (a, s) = pair(t);
            t.reset(a);
            t.poll();
            t.recv(s, 4096);
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            poll -> a writable
            L close
            a reset
            poll -> s readable|read_closed|write_closed|error
            s recv -> ConnectionReset
        ",
    );
}

#[test]
fn a_stream_that_takes_output_says_so_once_it_is_watched() {
    parity(
        |t| {
            let (a, s) = pair(t);
            t.watch_output(s);
            t.poll();
            t.poll();
            t.send(a, b"abc");
            t.poll();
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            poll -> a writable
            L close
            s is watched
            poll -> s writable
            poll -> nothing
            a send abc -> 3
            poll -> s readable|writable
        ",
    );
}

#[test]
fn a_full_sender_is_told_that_there_is_room_only_if_it_is_watched() {
    parity(
        |t| {
            let (a, s) = pair(t);
            let sent = t.fill(s);
            t.wait_for(a);
            t.drain(a, sent);
            t.note_event(s);
            t.watch_output(s);
            t.wait_for(s);
            let sent = t.fill(s);
            t.note_event(s);
            t.drain(a, sent);
            t.wait_for(s);
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            poll -> a writable
            L close
            s send -> some, then WouldBlock
            wait -> a readable|writable
            a recv -> some, then as asked
            s has an event: false
            s is watched
            wait -> s writable
            s send -> some, then WouldBlock
            s has an event: false
            a recv -> some, then as asked
            wait -> s writable
        ",
    );
}

#[test]
fn a_full_sender_that_is_watched_is_told_nothing_at_once() {
    parity(
        |t| {
            let (a, s) = pair(t);
            let sent = t.fill(s);
            t.watch_output(s);
            t.note_event(s);
            t.drain(a, sent);
            t.wait_for(s);
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            poll -> a writable
            L close
            s send -> some, then WouldBlock
            s is watched
            s has an event: false
            a recv -> some, then as asked
            wait -> s writable
        ",
    );
}
