//! Parity of readiness: what makes an event, what does not, and in which order they come.

use super::parity;
use crate::config::Listen;

#[test]
fn every_segment_is_a_fresh_edge_even_with_unread_data() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.poll();
            t.poll();
            t.send(a, b"def");
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.poll();
        },
        "
            a send abc -> 3
            poll -> s readable|writable
            poll -> nothing
            a send def -> 3
            poll -> s readable|writable
            s recv -> abcdef
            s recv -> WouldBlock
            poll -> nothing
        ",
    );
}

#[test]
fn segments_between_two_polls_are_one_event() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.send(a, b"def");
            t.poll();
            t.poll();
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            a send def -> 3
            poll -> s readable|writable
            poll -> nothing
            s recv -> abcdef
        ",
    );
}

#[test]
fn a_short_receive_makes_no_event() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abcd");
            t.poll();
            t.recv(s, 1);
            t.poll();
            t.recv(s, 1);
            t.recv(s, 1);
            t.poll();
            t.recv(s, 1);
            t.recv(s, 1);
            t.poll();
        },
        "
            a send abcd -> 4
            poll -> s readable|writable
            s recv -> a
            poll -> nothing
            s recv -> b
            s recv -> c
            poll -> nothing
            s recv -> d
            s recv -> WouldBlock
            poll -> nothing
        ",
    );
}

#[test]
fn data_received_before_the_poll_leaves_an_event_without_it() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.recv(s, 4096);
            t.poll();
            t.poll();
        },
        "
            a send abc -> 3
            s recv -> abc
            poll -> s writable
            poll -> nothing
        ",
    );
}

#[test]
fn a_send_that_was_taken_whole_makes_no_event_for_its_sender() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.send(a, b"def");
            t.recv(s, 4096);
            t.poll();
            t.send_vectored(a, &[b"gh", b"", b"ijk"]);
            t.send(a, b"");
            t.send_vectored(a, &[]);
            t.poll();
            t.recv(s, 4);
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            a send def -> 3
            s recv -> abcdef
            poll -> s writable
            a send gh++ijk -> 5
            a send  -> 0
            a send  -> 0
            poll -> s readable|writable
            s recv -> ghij
            s recv -> k
        ",
    );
}

#[test]
fn registering_a_stream_tells_what_it_is_ready_for() {
    parity(
        |t| {
            let l = t.listener("L");
            t.connect("a", l);
            let b = t.connect("b", l);
            let c = t.connect("c", l);
            t.poll();
            t.accept("idle", l);
            t.poll();
            t.send(b, b"abc");
            t.accept("data", l);
            t.poll();
            t.send(c, b"abc");
            t.shutdown(c);
            t.accept("ended", l);
            t.poll();
            t.poll();
        },
        "
            a connect L -> Ok
            b connect L -> Ok
            c connect L -> Ok
            poll -> L readable, a writable, b writable, c writable
            L accept -> idle, from a
            poll -> idle writable
            b send abc -> 3
            L accept -> data, from b
            poll -> data readable|writable
            c send abc -> 3
            c shutdown -> Ok
            L accept -> ended, from c
            poll -> c writable, ended readable|writable|read_closed
            poll -> nothing
        ",
    );
}

#[test]
fn events_come_in_the_order_of_their_causes() {
    parity(
        |t| {
            let listen = Listen::from(([127, 0, 0, 1], 0));
            let (a1, _) = t.pair_named("a1", "s1", &listen);
            let (a2, _) = t.pair_named("a2", "s2", &listen);
            let (a3, _) = t.pair_named("a3", "s3", &listen);
            t.send(a2, b"x");
            t.send(a3, b"x");
            t.send(a1, b"x");
            t.send(a2, b"y");
            t.poll_in_order(64);
            t.send(a3, b"y");
            t.send(a2, b"z");
            t.poll_in_order(64);
            t.poll_in_order(64);
        },
        "
            a2 send x -> 1
            a3 send x -> 1
            a1 send x -> 1
            a2 send y -> 1
            poll -> s2 readable|writable, s3 readable|writable, s1 readable|writable
            a3 send y -> 1
            a2 send z -> 1
            poll -> s3 readable|writable, s2 readable|writable
            poll -> nothing
        ",
    );
}

#[test]
fn a_poll_with_little_room_loses_nobody_and_puts_the_hot_one_last() {
    const NAMES: [(&str, &str); 6] =
        [("a1", "s1"), ("a2", "s2"), ("a3", "s3"), ("a4", "s4"), ("a5", "s5"), ("a6", "s6")];
    parity(
        |t| {
            let listen = Listen::from(([127, 0, 0, 1], 0));
            let pairs = NAMES.map(|(client, server)| t.pair_named(client, server, &listen));
            for (a, _) in pairs {
                t.send(a, b"x");
            }
            t.poll_in_order(2);
            t.poll_in_order(2);
            t.poll_in_order(2);
            t.poll_in_order(2);
            for (a, _) in pairs {
                t.send(a, b"y");
            }
            t.poll_in_order(2);
            t.send(pairs[0].0, b"z");
            t.poll_in_order(2);
            t.poll_in_order(2);
            t.poll_in_order(2);
            t.poll_in_order(2);
        },
        "
            a1 send x -> 1
            a2 send x -> 1
            a3 send x -> 1
            a4 send x -> 1
            a5 send x -> 1
            a6 send x -> 1
            poll -> s1 readable|writable, s2 readable|writable
            poll -> s3 readable|writable, s4 readable|writable
            poll -> s5 readable|writable, s6 readable|writable
            poll -> nothing
            a1 send y -> 1
            a2 send y -> 1
            a3 send y -> 1
            a4 send y -> 1
            a5 send y -> 1
            a6 send y -> 1
            poll -> s1 readable|writable, s2 readable|writable
            a1 send z -> 1
            poll -> s3 readable|writable, s4 readable|writable
            poll -> s5 readable|writable, s6 readable|writable
            poll -> s1 readable|writable
            poll -> nothing
        ",
    );
}

#[test]
fn a_closed_stream_has_no_event() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.close(s);
            t.poll();
            let (b, c) = t.pair_named("b", "c", &Listen::from(([127, 0, 0, 1], 0)));
            t.send(b, b"abc");
            t.send(c, b"def");
            t.close(c);
            t.poll();
            t.poll();
        },
        "
            a send abc -> 3
            s close
            poll -> a readable|writable|read_closed|write_closed|error
            b send abc -> 3
            c send def -> 3
            c close
            poll -> b readable|writable|read_closed|write_closed|error
            poll -> nothing
        ",
    );
}

#[test]
fn wakes_between_polls_are_one_event() {
    parity(
        |t| {
            let waker = t.waker();
            for _ in 0..3 {
                t.wake(&*waker);
                t.poll();
            }
            for _ in 0..3 {
                t.wake(&*waker);
            }
            t.poll();
            t.poll();
        },
        "
            wake -> Ok
            poll -> waker readable
            wake -> Ok
            poll -> waker readable
            wake -> Ok
            poll -> waker readable
            wake -> Ok
            wake -> Ok
            wake -> Ok
            poll -> waker readable
            poll -> nothing
        ",
    );
}

#[test]
fn a_wake_takes_its_place_among_the_others() {
    parity(
        |t| {
            let waker = t.waker();
            let listen = Listen::from(([127, 0, 0, 1], 0));
            let (a1, _) = t.pair_named("a1", "s1", &listen);
            let (a2, _) = t.pair_named("a2", "s2", &listen);
            t.send(a2, b"x");
            t.wake(&*waker);
            t.send(a1, b"x");
            t.wake(&*waker);
            t.poll_in_order(64);
        },
        "
            a2 send x -> 1
            wake -> Ok
            a1 send x -> 1
            wake -> Ok
            poll -> s2 readable|writable, waker readable, s1 readable|writable
        ",
    );
}

#[test]
fn a_stream_out_of_the_poll_has_no_event_until_it_is_registered_again() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, b"abc");
            t.deregister(s);
            t.poll();
            t.send(a, b"def");
            t.poll();
            t.register(s);
            t.poll();
            t.recv(s, 4096);
        },
        "
            a send abc -> 3
            poll -> nothing
            a send def -> 3
            poll -> nothing
            poll -> s readable|writable
            s recv -> abcdef
        ",
    );
}
