//! Parity of several urgent bytes. There is one mark, and it moves on to the latest: what was urgent before is an
//! ordinary byte of the stream then, received or not, unless the reader stood right before it. Then it is lost.

use super::parity;

#[test]
fn the_second_of_two_urgent_bytes_leaves_the_first_in_the_stream() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"ab");
            t.send_urgent(a, b'X');
            t.send(a, b"cd");
            t.send_urgent(a, b'Y');
            t.send(a, b"ef");
            t.poll();
            t.recv_urgent(s);
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send ab -> 2
            a send urgent X -> Ok
            a send cd -> 2
            a send urgent Y -> Ok
            a send ef -> 2
            poll -> s readable|writable|exceptional
            s recv_urgent -> Y
            s recv -> abXcd
            s recv -> ef
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn a_second_urgent_byte_after_the_first_was_received() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send_urgent(a, b'X');
            t.poll();
            t.recv_urgent(s);
            t.send_urgent(a, b'Y');
            t.poll();
            t.recv_urgent(s);
            t.recv_urgent(s);
            t.recv(s, 4096);
        },
        "
            a send urgent X -> Ok
            poll -> s readable|writable|exceptional
            s recv_urgent -> X
            a send urgent Y -> Ok
            poll -> s readable|writable|exceptional
            s recv_urgent -> Y
            s recv_urgent -> InvalidInput
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn the_first_of_two_urgent_bytes_is_lost_to_a_reader_at_its_mark() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send_urgent(a, b'X');
            t.send_urgent(a, b'Y');
            t.poll();
            t.recv_urgent(s);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send urgent X -> Ok
            a send urgent Y -> Ok
            poll -> s readable|writable|exceptional
            s recv_urgent -> Y
            s recv -> WouldBlock
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn an_urgent_byte_unread_at_the_mark_is_lost_to_the_next_one() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"ab");
            t.send_urgent(a, b'X');
            t.poll();
            t.recv(s, 4096);
            t.send_urgent(a, b'Y');
            t.send(a, b"cd");
            t.poll();
            t.recv_urgent(s);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send ab -> 2
            a send urgent X -> Ok
            poll -> s readable|writable|exceptional
            s recv -> ab
            a send urgent Y -> Ok
            a send cd -> 2
            poll -> s readable|writable|exceptional
            s recv_urgent -> Y
            s recv -> cd
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn an_urgent_byte_received_early_is_in_the_stream_once_a_second_has_come() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"ab");
            t.send_urgent(a, b'X');
            t.send(a, b"cd");
            t.poll();
            t.recv_urgent(s);
            t.send_urgent(a, b'Y');
            t.send(a, b"ef");
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send ab -> 2
            a send urgent X -> Ok
            a send cd -> 2
            poll -> s readable|writable|exceptional
            s recv_urgent -> X
            a send urgent Y -> Ok
            a send ef -> 2
            poll -> s readable|writable|exceptional
            s recv -> abXcd
            s recv -> ef
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn all_but_the_last_of_urgent_bytes_in_a_row_are_lost_to_a_reader_at_the_first() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send_urgent(a, b'X');
            t.send_urgent(a, b'Y');
            t.send_urgent(a, b'Z');
            t.poll();
            t.recv_urgent(s);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send urgent X -> Ok
            a send urgent Y -> Ok
            a send urgent Z -> Ok
            poll -> s readable|writable|exceptional
            s recv_urgent -> Z
            s recv -> WouldBlock
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn data_behind_the_mark_is_not_lost_with_the_urgent_byte_there() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send_urgent(a, b'X');
            t.send(a, b"ab");
            t.send_urgent(a, b'Y');
            t.send(a, b"cd");
            t.poll();
            t.recv(s, 4096);
            t.recv_urgent(s);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a send urgent X -> Ok
            a send ab -> 2
            a send urgent Y -> Ok
            a send cd -> 2
            poll -> s readable|writable|exceptional
            s recv -> ab
            s recv_urgent -> Y
            s recv -> cd
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn urgent_bytes_go_both_ways_and_after_the_end_of_the_peer() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send_urgent(a, b'X');
            t.send_urgent(s, b'Y');
            t.poll();
            t.recv_urgent(s);
            t.recv_urgent(a);
            t.shutdown(a);
            t.poll();
            t.send_urgent(s, b'Z');
            t.poll();
            t.recv_urgent(a);
            t.recv(s, 4096);
        },
        "
            a send urgent X -> Ok
            s send urgent Y -> Ok
            poll -> a readable|writable|exceptional, s readable|writable|exceptional
            s recv_urgent -> X
            a recv_urgent -> Y
            a shutdown -> Ok
            poll -> a writable, s readable|writable|read_closed
            s send urgent Z -> Ok
            poll -> a readable|writable|exceptional
            a recv_urgent -> Z
            s recv -> end
        ",
    );
}
