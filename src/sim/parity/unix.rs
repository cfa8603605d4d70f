//! Unix streams: what a peer's end, its close and its unread input are to the other side.
//!
//! Not here is what depends on how Linux keeps bytes of Unix streams: how much fits, and how many edges tell of room.

use std::sync::atomic::{AtomicU32, Ordering};

use super::parity;
use super::rig::Sock;
use super::script::Script;
use crate::addr::UnixAddr;
use crate::config::Listen;
use crate::net::Interest;

/// A name that nobody has, on a kernel that all tests share.
pub(super) fn name() -> UnixAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    UnixAddr::from_abstract_name(format!("switchboard-parity-{}-{count}", std::process::id()))
        .expect("a short name")
}

/// A connection of `a`, the client, and `s`, of which polls tell the input only, and with no event left.
fn pair(t: &mut Script<'_>) -> (Sock, Sock) {
    let (a, s) = t.pair_named("a", "s", &Listen::unix(name()));
    for sock in [a, s] {
        t.deregister(sock);
        t.register_for(sock, Interest::Input);
    }
    (a, s)
}

#[test]
fn a_unix_connect_is_done_at_once_and_has_names_as_it_should() {
    parity(
        |t| {
            let l = t.listener_with("L", &Listen::unix(name()));
            let a = t.connect("a", l);
            t.poll();
            t.take_error(a);
            t.peer_addr(a);
            let s = t.accept("s", l).expect("it waits");
            t.poll();
            t.local_addr(s);
            t.accept("r", l);
            t.unlisten(l);
            t.poll();
        },
        "
            a connect L -> Ok
            poll -> L readable, a writable
            a take_error -> none
            a peer_addr -> L
            L accept -> s, from a
            poll -> s writable
            s local_addr -> L
            L accept -> WouldBlock
            L close
            poll -> nothing
        ",
    );
}

#[test]
fn bytes_and_a_half_close_of_a_unix_stream() {
    parity(
        |t| {
            let (a, s) = pair(t);
            t.send(a, b"abc");
            t.poll();
            t.recv(s, 2);
            t.recv(s, 9);
            t.recv(s, 9);
            t.shutdown(a);
            t.poll();
            t.recv(s, 9);
            t.send(a, b"x");
            t.send(s, b"answer");
            t.poll();
            t.recv(a, 9);
            t.peer_addr(s);
        },
        "
            a send abc -> 3
            poll -> s readable
            s recv -> ab
            s recv -> c
            s recv -> WouldBlock
            a shutdown -> Ok
            poll -> s readable|read_closed
            s recv -> end
            a send x -> BrokenPipe
            s send answer -> 6
            poll -> a readable
            a recv -> answer
            s peer_addr -> a
        ",
    );
}

// K11: all that was read is read: the close is an end, and sends fail at once.
#[test]
fn k11_a_unix_close_with_nothing_unread_is_an_end() {
    parity(
        |t| {
            let (a, s) = pair(t);
            t.send(a, b"abc");
            t.poll();
            t.close(a);
            t.poll();
            t.send(s, b"x");
            t.recv(s, 9);
            t.recv(s, 9);
            t.take_error(s);
        },
        "
            a send abc -> 3
            poll -> s readable
            a close
            poll -> s readable|read_closed|write_closed
            s send x -> BrokenPipe
            s recv -> abc
            s recv -> end
            s take_error -> none
        ",
    );
}

// K11: what was sent before comes first, then the reset, once, then an end.
#[test]
fn k11_a_unix_close_with_input_unread_is_a_reset_behind_the_data() {
    parity(
        |t| {
            let (a, s) = pair(t);
            t.send(a, b"abc");
            t.send(s, b"unread");
            t.poll();
            t.close(a);
            t.poll();
            t.send(s, b"x");
            t.recv(s, 9);
            t.recv(s, 9);
            t.recv(s, 9);
        },
        "
            a send abc -> 3
            s send unread -> 6
            poll -> a readable, s readable
            a close
            poll -> s readable|read_closed|write_closed|error
            s send x -> BrokenPipe
            s recv -> abc
            s recv -> ConnectionReset
            s recv -> end
        ",
    );
}

// K11: the reset comes also behind an end that was read.
#[test]
fn k11_a_unix_reset_behind_an_end_is_told() {
    parity(
        |t| {
            let (a, s) = pair(t);
            t.shutdown(a);
            t.poll();
            t.recv(s, 9);
            t.send(s, b"unread");
            t.poll();
            t.close(a);
            t.poll();
            t.recv(s, 9);
            t.recv(s, 9);
        },
        "
            a shutdown -> Ok
            poll -> s readable|read_closed
            s recv -> end
            s send unread -> 6
            poll -> a readable
            a close
            poll -> s readable|read_closed|write_closed|error
            s recv -> ConnectionReset
            s recv -> end
        ",
    );
}

#[test]
fn a_unix_stream_has_no_reset_of_its_own() {
    parity(
        |t| {
            let (a, s) = pair(t);
            t.reset(a);
            t.poll();
            t.recv(s, 9);
        },
        "
            a reset
            poll -> s readable|read_closed|write_closed
            s recv -> end
        ",
    );
}

#[test]
fn a_unix_listener_that_closes_resets_who_was_not_accepted() {
    parity(
        |t| {
            let l = t.listener_with("L", &Listen::unix(name()));
            let a = t.connect("a", l);
            t.poll();
            t.unlisten(l);
            t.poll();
            t.recv(a, 9);
            t.recv(a, 9);
        },
        "
            a connect L -> Ok
            poll -> L readable, a writable
            L close
            poll -> a readable|writable|read_closed|write_closed|error
            a recv -> ConnectionReset
            a recv -> end
        ",
    );
}
