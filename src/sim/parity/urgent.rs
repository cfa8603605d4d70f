//! Parity of an urgent byte: where the stream stops for it, and how it is lost.

use super::parity;

#[test]
fn an_urgent_byte_splits_the_stream_and_its_mark_makes_no_event() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.send_urgent(a, b'X');
            t.send(a, b"def");
            t.poll();
            t.recv(s, 4096);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv_urgent(s);
            t.poll();
        },
        "
            a send abc -> 3
            a send urgent X -> Ok
            a send def -> 3
            poll -> s readable|writable|exceptional
            s recv -> abc
            poll -> nothing
            s recv -> def
            s recv -> WouldBlock
            s recv_urgent -> InvalidInput
            poll -> nothing
        ",
    );
}

#[test]
fn a_receive_at_the_mark_discards_an_urgent_byte_alone() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send_urgent(a, b'X');
            t.poll();
            t.recv(s, 4096);
            t.recv_urgent(s);
            t.send(a, b"abc");
            t.poll();
            t.recv(s, 4096);
        },
        "
            a send urgent X -> Ok
            poll -> s readable|writable|exceptional
            s recv -> WouldBlock
            s recv_urgent -> InvalidInput
            a send abc -> 3
            poll -> s readable|writable
            s recv -> abc
        ",
    );
}

#[test]
fn an_urgent_byte_is_received_first() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.send_urgent(a, b'X');
            t.send(a, b"def");
            t.poll();
            t.recv_urgent(s);
            t.recv_urgent(s);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            a send urgent X -> Ok
            a send def -> 3
            poll -> s readable|writable|exceptional
            s recv_urgent -> X
            s recv_urgent -> InvalidInput
            poll -> nothing
            s recv -> abc
            s recv -> def
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn an_unread_urgent_byte_makes_every_later_event_exceptional() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send_urgent(a, b'X');
            t.poll();
            t.poll();
            t.send(a, b"abc");
            t.poll();
            t.recv_urgent(s);
            t.send(a, b"def");
            t.poll();
            t.recv(s, 4096);
        },
        "
            a send urgent X -> Ok
            poll -> s readable|writable|exceptional
            poll -> nothing
            a send abc -> 3
            poll -> s readable|writable|exceptional
            s recv_urgent -> X
            a send def -> 3
            poll -> s readable|writable
            s recv -> abcdef
        ",
    );
}

#[test]
fn a_receive_that_ends_before_the_mark_leaves_the_urgent_byte() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.send_urgent(a, b'X');
            t.send(a, b"def");
            t.poll();
            t.recv(s, 2);
            t.recv_urgent(s);
            t.recv(s, 4096);
            t.recv(s, 2);
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            a send urgent X -> Ok
            a send def -> 3
            poll -> s readable|writable|exceptional
            s recv -> ab
            s recv_urgent -> X
            s recv -> c
            s recv -> de
            s recv -> f
        ",
    );
}

#[test]
fn an_urgent_byte_at_the_mark_is_there_until_the_next_receive() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.send_urgent(a, b'X');
            t.send(a, b"def");
            t.poll();
            t.recv(s, 4096);
            t.recv_urgent(s);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            a send urgent X -> Ok
            a send def -> 3
            poll -> s readable|writable|exceptional
            s recv -> abc
            s recv_urgent -> X
            s recv -> def
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn nothing_urgent_is_an_error_of_the_call() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.recv_urgent(s);
            t.send(a, b"abc");
            t.recv_urgent(s);
            t.recv(s, 4096);
        },
        "
            s recv_urgent -> InvalidInput
            a send abc -> 3
            s recv_urgent -> InvalidInput
            s recv -> abc
        ",
    );
}

#[test]
fn an_urgent_byte_and_then_the_end() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.send_urgent(a, b'X');
            t.shutdown(a);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv_urgent(s);
            t.recv(s, 4096);
            t.poll();
        },
        "
            a send abc -> 3
            a send urgent X -> Ok
            a shutdown -> Ok
            poll -> a writable, s readable|writable|exceptional|read_closed
            s recv -> abc
            s recv -> end
            s recv_urgent -> InvalidInput
            s recv -> end
            poll -> nothing
        ",
    );
}

#[test]
fn an_urgent_byte_received_first_and_then_the_end() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.send_urgent(a, b'X');
            t.shutdown(a);
            t.poll();
            t.recv_urgent(s);
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv_urgent(s);
        },
        "
            a send abc -> 3
            a send urgent X -> Ok
            a shutdown -> Ok
            poll -> a writable, s readable|writable|exceptional|read_closed
            s recv_urgent -> X
            s recv -> abc
            s recv -> end
            s recv_urgent -> InvalidInput
        ",
    );
}

#[test]
fn an_urgent_byte_alone_and_then_the_end() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send_urgent(a, b'X');
            t.close(a);
            t.poll();
            t.recv(s, 4096);
            t.recv_urgent(s);
            t.recv(s, 4096);
        },
        "
            a send urgent X -> Ok
            a close
            poll -> s readable|writable|exceptional|read_closed
            s recv -> end
            s recv_urgent -> InvalidInput
            s recv -> end
        ",
    );
}

#[test]
fn an_urgent_byte_and_then_a_reset() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.send_urgent(a, b'X');
            t.reset(a);
            t.poll();
            t.recv_urgent(s);
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv_urgent(s);
        },
        "
            a send abc -> 3
            a send urgent X -> Ok
            a reset
            poll -> s readable|writable|exceptional|read_closed|write_closed|error
            s recv_urgent -> NotConnected
            s recv -> abc
            s recv -> ConnectionReset
            s recv -> end
            s recv_urgent -> InvalidInput
        ",
    );
}

#[test]
fn tiny_receives_stop_at_the_mark_too() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"ab");
            t.send_urgent(a, b'X');
            t.send(a, b"cd");
            t.poll();
            for _ in 0..5 {
                t.recv(s, 1);
            }
            t.recv_urgent(s);
        },
        "
            a send ab -> 2
            a send urgent X -> Ok
            a send cd -> 2
            poll -> s readable|writable|exceptional
            s recv -> a
            s recv -> b
            s recv -> c
            s recv -> d
            s recv -> WouldBlock
            s recv_urgent -> InvalidInput
        ",
    );
}

#[test]
fn an_unread_urgent_byte_is_unread_input_at_the_close() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send_urgent(a, b'X');
            t.poll();
            t.recv_urgent(s);
            t.close(s);
            t.poll();
            t.recv(a, 4096);
        },
        "
            a send urgent X -> Ok
            poll -> s readable|writable|exceptional
            s recv_urgent -> X
            s close
            poll -> a readable|writable|read_closed|write_closed|error
            a recv -> ConnectionReset
        ",
    );
}

#[test]
fn a_discarded_urgent_byte_is_no_unread_input() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send_urgent(a, b'X');
            t.poll();
            t.recv(s, 4096);
            t.close(s);
            t.poll();
            t.recv(a, 4096);
        },
        "
            a send urgent X -> Ok
            poll -> s readable|writable|exceptional
            s recv -> WouldBlock
            s close
            poll -> a readable|writable|read_closed
            a recv -> end
        ",
    );
}
