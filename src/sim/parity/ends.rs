//! Parity of orderly ends: half-closes, both orders, and what still flows after them.

use super::parity;

#[test]
fn data_and_the_end_are_one_edge() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.shutdown(a);
            t.poll();
            t.recv(s, 4096);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.poll();
        },
        "
            a send abc -> 3
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            s recv -> abc
            poll -> nothing
            s recv -> end
            s recv -> end
            poll -> nothing
        ",
    );
}

#[test]
fn a_close_with_nothing_unread_is_an_end_for_the_peer() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.close(a);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.take_error(s);
            t.poll();
        },
        "
            a send abc -> 3
            a close
            poll -> s readable|writable|read_closed
            s recv -> abc
            s recv -> end
            s recv -> end
            s take_error -> none
            poll -> nothing
        ",
    );
}

#[test]
fn an_end_alone_is_one_edge_and_is_read_again_and_again() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(a);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 1);
            t.poll();
        },
        "
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            s recv -> end
            s recv -> end
            poll -> nothing
        ",
    );
}

#[test]
fn the_end_after_data_that_was_read_is_an_edge_of_its_own() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.shutdown(a);
            t.poll();
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            poll -> s readable|writable
            s recv -> abc
            s recv -> WouldBlock
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            s recv -> end
        ",
    );
}

#[test]
fn the_peer_sends_on_after_our_end() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"question");
            t.shutdown(a);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.send(s, b"ans");
            t.poll();
            t.send(s, b"wer");
            t.poll();
            t.recv(a, 4096);
            t.shutdown(s);
            t.poll();
            t.recv(a, 4096);
            t.poll();
        },
        "
            a send question -> 8
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            s recv -> question
            s recv -> end
            s send ans -> 3
            poll -> a readable|writable
            s send wer -> 3
            poll -> a readable|writable
            a recv -> answer
            s shutdown -> Ok
            poll -> a readable|writable|read_closed|write_closed, s readable|writable|read_closed|write_closed
            a recv -> end
            poll -> nothing
        ",
    );
}

#[test]
fn we_send_on_after_the_end_of_the_peer_and_close() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(s);
            t.poll();
            t.recv(a, 4096);
            t.send(a, b"abc");
            t.poll();
            t.recv(s, 4096);
            t.close(a);
            t.poll();
            t.recv(s, 4096);
            t.take_error(s);
        },
        "
            s shutdown -> Ok
            poll -> a readable|writable|read_closed, s writable
            a recv -> end
            a send abc -> 3
            poll -> s readable|writable
            s recv -> abc
            a close
            poll -> s readable|writable|read_closed|write_closed
            s recv -> end
            s take_error -> none
        ",
    );
}

#[test]
fn nothing_is_sent_after_our_own_end() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.shutdown(a);
            t.send(a, b"def");
            t.send_vectored(a, &[b"d", b"ef"]);
            t.send(a, b"");
            t.send_urgent(a, b'X');
            t.take_error(a);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            a shutdown -> Ok
            a send def -> BrokenPipe
            a send d+ef -> BrokenPipe
            a send  -> BrokenPipe
            a send urgent X -> BrokenPipe
            a take_error -> none
            poll -> a writable, s readable|writable|read_closed
            s recv -> abc
            s recv -> end
        ",
    );
}

#[test]
fn a_second_shutdown_is_no_error() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(a);
            t.poll();
            t.shutdown(a);
            t.poll();
            t.shutdown(s);
            t.poll();
            t.shutdown(s);
            t.shutdown(a);
            t.poll();
        },
        "
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            a shutdown -> Ok
            poll -> a writable
            s shutdown -> Ok
            poll -> a readable|writable|read_closed|write_closed, s readable|writable|read_closed|write_closed
            s shutdown -> NotConnected
            a shutdown -> NotConnected
            poll -> a readable|writable|read_closed|write_closed, s readable|writable|read_closed|write_closed
        ",
    );
}

#[test]
fn both_ends_are_a_hang_up_for_both() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.shutdown(a);
            t.poll();
            t.shutdown(s);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(a, 4096);
            t.send(s, b"x");
            t.send(a, b"x");
            t.take_error(a);
            t.take_error(s);
            t.poll();
        },
        "
            a send abc -> 3
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            s shutdown -> Ok
            poll -> a readable|writable|read_closed|write_closed, s readable|writable|read_closed|write_closed
            s recv -> abc
            s recv -> end
            a recv -> end
            s send x -> BrokenPipe
            a send x -> BrokenPipe
            a take_error -> none
            s take_error -> none
            poll -> nothing
        ",
    );
}

#[test]
fn ends_without_a_poll_between_are_a_hang_up_too() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(a);
            t.shutdown(s);
            t.poll();
            t.recv(a, 4096);
            t.recv(s, 4096);
            t.poll();
            t.local_addr(a);
            t.peer_addr(a);
            t.peer_addr(s);
        },
        "
            a shutdown -> Ok
            s shutdown -> Ok
            poll -> a readable|writable|read_closed|write_closed, s readable|writable|read_closed|write_closed
            a recv -> end
            s recv -> end
            poll -> nothing
            a local_addr -> a
            a peer_addr -> NotConnected
            s peer_addr -> NotConnected
        ",
    );
}

#[test]
fn addresses_outlive_the_end_of_the_peer() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.shutdown(a);
            t.poll();
            t.local_addr(s);
            t.peer_addr(s);
            t.local_addr(a);
            t.peer_addr(a);
            t.close(a);
            t.poll();
            t.peer_addr(s);
        },
        "
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            s local_addr -> L
            s peer_addr -> a
            a local_addr -> a
            a peer_addr -> L
            a close
            poll -> nothing
            s peer_addr -> a
        ",
    );
}

#[test]
fn a_close_sends_what_was_taken_and_then_the_end() {
    parity(
        |t| {
            let (a, s) = t.pair();
            let sent = t.fill(a);
            t.close(a);
            t.poll();
            let received = t.drain(s, usize::MAX);
            t.note("all of it arrived", sent == received);
            t.poll();
        },
        "
            a send -> some, then WouldBlock
            a close
            poll -> s readable|writable
            s recv -> some, then end
            all of it arrived: true
            poll -> s readable|writable|read_closed
        ",
    );
}

#[test]
fn a_shutdown_sends_what_was_taken_and_then_the_end() {
    parity(
        |t| {
            let (a, s) = t.pair();
            let sent = t.fill(a);
            t.shutdown(a);
            t.send(a, b"x");
            let received = t.drain(s, usize::MAX);
            t.note("all of it arrived", sent == received);
        },
        "
            a send -> some, then WouldBlock
            a shutdown -> Ok
            a send x -> BrokenPipe
            s recv -> some, then end
            all of it arrived: true
        ",
    );
}
