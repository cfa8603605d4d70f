//! Parity of resets: what still arrives, which call takes the error, and which events tell of them.

use super::parity;

#[test]
fn data_before_a_reset_is_received_before_it() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.reset(a);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.take_error(s);
            t.poll();
        },
        "
            a send abc -> 3
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            s recv -> abc
            s recv -> ConnectionReset
            s recv -> end
            s recv -> end
            s take_error -> none
            poll -> nothing
        ",
    );
}

#[test]
fn a_short_receive_before_a_reset_leaves_the_rest() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.poll();
            t.recv(s, 1);
            t.reset(a);
            t.poll();
            t.recv(s, 1);
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            poll -> s readable|writable
            s recv -> a
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            s recv -> b
            s recv -> c
            s recv -> ConnectionReset
            s recv -> end
        ",
    );
}

#[test]
fn the_pending_error_taken_first_hides_the_reset_from_the_reader() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.reset(a);
            t.poll();
            t.take_error(s);
            t.take_error(s);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            s take_error -> ConnectionReset
            s take_error -> none
            s recv -> abc
            s recv -> end
        ",
    );
}

#[test]
fn a_send_takes_the_reset_from_the_reader() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.reset(a);
            t.poll();
            t.send(s, b"x");
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            s send x -> ConnectionReset
            s recv -> abc
            s recv -> end
        ",
    );
}

#[test]
fn the_first_send_after_a_reset_has_its_own_error() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.reset(a);
            t.poll();
            t.send(s, b"x");
            t.send_vectored(s, &[b"x", b"y"]);
            t.send(s, b"");
            t.send(s, b"x");
            t.recv(s, 4096);
            t.poll();
        },
        "
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            s send x -> ConnectionReset
            s send x+y -> BrokenPipe
            s send  -> BrokenPipe
            s send x -> BrokenPipe
            s recv -> end
            poll -> nothing
        ",
    );
}

#[test]
fn a_reset_is_one_event_that_tells_everything() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.reset(a);
            t.poll();
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            poll -> nothing
            s recv -> ConnectionReset
            s recv -> end
        ",
    );
}

#[test]
fn a_reset_read_before_the_poll_leaves_an_event_without_an_error() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.reset(a);
            t.recv(s, 4096);
            t.poll();
            t.recv(s, 4096);
        },
        "
            a reset
            s recv -> ConnectionReset
            poll -> s readable|writable|read_closed|write_closed
            s recv -> end
        ",
    );
}

#[test]
fn a_reset_connection_has_no_peer() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.local_addr(s);
            t.peer_addr(s);
            t.reset(a);
            t.local_addr(s);
            t.peer_addr(s);
            t.shutdown(s);
            t.recv(s, 4096);
            t.peer_addr(s);
        },
        "
            s local_addr -> L
            s peer_addr -> a
            a reset
            s local_addr -> L
            s peer_addr -> NotConnected
            s shutdown -> NotConnected
            s recv -> ConnectionReset
            s peer_addr -> NotConnected
        ",
    );
}

#[test]
fn the_end_and_then_a_reset() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.shutdown(a);
            t.poll();
            t.reset(a);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.take_error(s);
            t.poll();
        },
        "
            a send abc -> 3
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            s recv -> abc
            s recv -> end
            s recv -> end
            s take_error -> BrokenPipe
            poll -> nothing
        ",
    );
}

#[test]
fn the_end_and_then_a_reset_seen_by_a_send() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(a);
            t.poll();
            t.reset(a);
            t.send(s, b"x");
            t.poll();
            t.send(s, b"x");
            t.take_error(s);
            t.recv(s, 4096);
            t.poll();
        },
        "
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            a reset
            s send x -> BrokenPipe
            poll -> s readable|writable|read_closed|write_closed
            s send x -> BrokenPipe
            s take_error -> none
            s recv -> end
            poll -> nothing
        ",
    );
}

#[test]
fn the_end_and_then_a_reset_with_the_error_taken_first() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(a);
            t.poll();
            t.recv(s, 4096);
            t.reset(a);
            t.poll();
            t.take_error(s);
            t.recv(s, 4096);
        },
        "
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            s recv -> end
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            s take_error -> BrokenPipe
            s recv -> end
        ",
    );
}

#[test]
fn a_reset_after_our_own_end() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(s);
            t.poll();
            t.reset(a);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.shutdown(s);
        },
        "
            s shutdown -> Ok
            poll -> a readable|writable|read_closed, s writable
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            s recv -> ConnectionReset
            s recv -> end
            s shutdown -> NotConnected
        ",
    );
}

#[test]
fn a_reset_after_both_ends() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(a);
            t.shutdown(s);
            t.poll();
            t.reset(a);
            t.poll();
            t.recv(s, 4096);
            t.take_error(s);
        },
        "
            a shutdown -> Ok
            s shutdown -> Ok
            poll -> a readable|writable|read_closed|write_closed, s readable|writable|read_closed|write_closed
            a reset
            poll -> nothing
            s recv -> end
            s take_error -> none
        ",
    );
}

#[test]
fn a_reset_wakes_a_sender_that_waits_for_room() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.fill(a);
            t.poll();
            t.reset(s);
            t.poll();
            t.send(a, b"x");
            t.send(a, b"x");
            t.recv(a, 4096);
        },
        "
            a send -> some, then WouldBlock
            poll -> s readable|writable
            s reset
            poll -> a readable|writable|read_closed|write_closed|error
            a send x -> ConnectionReset
            a send x -> BrokenPipe
            a recv -> end
        ",
    );
}

#[test]
fn a_reset_takes_back_what_was_not_sent() {
    parity(
        |t| {
            let (a, s) = t.pair();
            let sent = t.fill(a);
            t.reset(a);
            t.poll();
            let received = t.drain(s, usize::MAX);
            t.note("not all of it arrived", received < sent);
            t.recv(s, 4096);
        },
        "
            a send -> some, then WouldBlock
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            s recv -> some, then ConnectionReset
            not all of it arrived: true
            s recv -> end
        ",
    );
}

#[test]
fn an_empty_send_takes_the_reset_too() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.reset(a);
            t.send(s, b"");
            t.recv(s, 4096);
        },
        "
            a reset
            s send  -> ConnectionReset
            s recv -> end
        ",
    );
}

#[test]
fn a_reset_overtakes_an_end_that_waits_for_room() {
    parity(
        |t| {
            let (a, s) = t.pair();
            let sent = t.fill(a);
            t.shutdown(a);
            t.reset(a);
            t.poll();
            let received = t.drain(s, usize::MAX);
            t.note("not all of it arrived", received < sent);
            t.recv(s, 4096);
        },
        "
            a send -> some, then WouldBlock
            a shutdown -> Ok
            a reset
            poll -> s readable|writable|read_closed|write_closed|error
            s recv -> some, then ConnectionReset
            not all of it arrived: true
            s recv -> end
        ",
    );
}
