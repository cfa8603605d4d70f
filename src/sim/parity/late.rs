//! Parity of closes that come too early: with input unread, or before the input.

use super::parity;

#[test]
fn a_close_with_unread_input_is_a_reset_for_the_peer() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.poll();
            t.send(s, b"answer");
            t.poll();
            t.close(s);
            t.poll();
            t.recv(a, 4096);
            t.recv(a, 4096);
            t.recv(a, 4096);
        },
        "
            a send abc -> 3
            poll -> s readable|writable
            s send answer -> 6
            poll -> a readable|writable
            s close
            poll -> a readable|writable|read_closed|write_closed|error
            a recv -> answer
            a recv -> ConnectionReset
            a recv -> end
        ",
    );
}

#[test]
fn a_close_after_a_short_receive_is_a_reset_too() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.recv(s, 2);
            t.close(s);
            t.poll();
            t.recv(a, 4096);
        },
        "
            a send abc -> 3
            s recv -> ab
            s close
            poll -> a readable|writable|read_closed|write_closed|error
            a recv -> ConnectionReset
        ",
    );
}

#[test]
fn a_close_with_only_the_end_unread_is_no_reset() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(a);
            t.poll();
            t.close(s);
            t.poll();
            t.recv(a, 4096);
            t.take_error(a);
        },
        "
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            s close
            poll -> a readable|writable|read_closed|write_closed
            a recv -> end
            a take_error -> none
        ",
    );
}

#[test]
fn a_close_with_unread_input_after_our_own_end_is_a_reset() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(s);
            t.poll();
            t.send(a, b"abc");
            t.poll();
            t.close(s);
            t.poll();
            t.send(a, b"x");
            t.recv(a, 4096);
        },
        "
            s shutdown -> Ok
            poll -> a readable|writable|read_closed, s writable
            a send abc -> 3
            poll -> s readable|writable
            s close
            poll -> a readable|writable|read_closed|write_closed|error
            a send x -> BrokenPipe
            a recv -> end
        ",
    );
}

#[test]
fn data_that_arrives_after_a_close_is_answered_with_a_reset() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.close(s);
            t.poll();
            t.send(a, b"abc");
            t.poll();
            t.send(a, b"def");
            t.recv(a, 4096);
            t.recv(a, 4096);
            t.poll();
        },
        "
            s close
            poll -> a readable|writable|read_closed
            a send abc -> 3
            poll -> a readable|writable|read_closed|write_closed|error
            a send def -> BrokenPipe
            a recv -> end
            a recv -> end
            poll -> nothing
        ",
    );
}

#[test]
fn input_before_the_reset_that_a_late_send_earned() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(s, b"last words");
            t.close(s);
            t.poll();
            t.send(a, b"abc");
            t.poll();
            t.recv(a, 4096);
            t.recv(a, 4096);
            t.recv(a, 4096);
            t.take_error(a);
        },
        "
            s send last words -> 10
            s close
            poll -> a readable|writable|read_closed
            a send abc -> 3
            poll -> a readable|writable|read_closed|write_closed|error
            a recv -> last words
            a recv -> end
            a recv -> end
            a take_error -> BrokenPipe
        ",
    );
}

#[test]
fn an_end_that_arrives_after_a_close_is_no_reset() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.close(s);
            t.poll();
            t.shutdown(a);
            t.poll();
            t.recv(a, 4096);
            t.take_error(a);
            t.peer_addr(a);
        },
        "
            s close
            poll -> a readable|writable|read_closed
            a shutdown -> Ok
            poll -> a readable|writable|read_closed|write_closed
            a recv -> end
            a take_error -> none
            a peer_addr -> NotConnected
        ",
    );
}

#[test]
fn a_reset_with_unread_input_is_one_reset() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.poll();
            t.reset(s);
            t.poll();
            t.recv(a, 4096);
            t.recv(a, 4096);
            t.poll();
        },
        "
            a send abc -> 3
            poll -> s readable|writable
            s reset
            poll -> a readable|writable|read_closed|write_closed|error
            a recv -> ConnectionReset
            a recv -> end
            poll -> nothing
        ",
    );
}

#[test]
fn data_for_one_that_closed_with_output_unsent_is_a_reset_and_the_output_is_lost() {
    parity(
        |t| {
            let (a, s) = t.pair();
            let sent = t.fill(a);
            t.close(a);
            t.poll();
            t.send(s, b"abc");
            t.poll();
            let received = t.drain(s, usize::MAX);
            t.note("not all of it arrived", received < sent);
            t.recv(s, 4096);
        },
        "
            a send -> some, then WouldBlock
            a close
            poll -> s readable|writable
            s send abc -> 3
            poll -> s readable|writable|read_closed|write_closed|error
            s recv -> some, then ConnectionReset
            not all of it arrived: true
            s recv -> end
        ",
    );
}
