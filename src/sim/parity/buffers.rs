//! Parity of full buffers: their shape, not their sizes. What a send takes of how much, and which receive makes
//! the edge that ends the wait, depends on how a kernel accounts for its memory; the simulator need not
//! follow that. So these rows trace "some" where others trace a number.
//!
//! The peer may delay what says that it has received, up to 40 ms. Then some more bytes leave and arrive, which
//! makes some room: never enough for an edge of a large buffer, but for a few bytes. So no row says that a buffer
//! stays full, none says that its reader hears no more while it is, and one with small buffers asks for the edge
//! of its sender only where it is certain.

use super::parity;
use crate::config::Listen;

#[test]
fn a_full_sender_is_told_once_the_peer_has_read_enough() {
    parity(
        |t| {
            let (a, s) = t.pair();
            let sent = t.fill(a);
            t.wait_for(s);
            t.note_event(a);
            t.drain(s, 1);
            t.note_event(a);
            t.drain(s, sent - 1);
            t.recv(s, 4096);
            t.wait_for(a);
            t.poll();
            t.send(a, b"abc");
            t.recv(s, 4096);
            t.poll();
        },
        "
            a send -> some, then WouldBlock
            wait -> s readable|writable
            a has an event: false
            s recv -> some, then as asked
            a has an event: false
            s recv -> some, then as asked
            s recv -> WouldBlock
            wait -> a writable
            poll -> nothing
            a send abc -> 3
            s recv -> abc
            poll -> s writable
        ",
    );
}

#[test]
fn a_sender_that_was_never_refused_is_told_nothing() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.send(a, &[b'x'; 50]);
            t.poll();
            t.drain(s, 50);
            t.poll();
        },
        "
            a send xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx -> 50
            poll -> s readable|writable
            s recv -> some, then as asked
            poll -> nothing
        ",
    );
}

#[test]
fn events_of_a_full_sender_are_not_writable() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.fill(a);
            t.send(s, b"abc");
            t.wait_for(a);
            t.shutdown(s);
            t.wait_for(a);
            t.recv(a, 4096);
            t.recv(a, 4096);
        },
        "
            a send -> some, then WouldBlock
            s send abc -> 3
            wait -> a readable
            s shutdown -> Ok
            wait -> a readable|read_closed
            a recv -> abc
            a recv -> end
        ",
    );
}

#[test]
fn small_buffers_take_little_and_lose_nothing() {
    parity(
        |t| {
            let listen = Listen::from(([127, 0, 0, 1], 0)).recv_buffer_size(4096);
            let (a, s) = t.pair_named("a", "s", &listen);
            t.set_send_buffer(a, 4096);
            let sent = t.fill(a);
            t.note("less than 40,000 bytes", sent < 40_000);
            t.drain(s, sent);
            t.wait_for(a);
            let again = t.fill(a);
            t.drain(s, again);
            t.recv(s, 4096);
        },
        "
            a send -> some, then WouldBlock
            less than 40,000 bytes: true
            s recv -> some, then as asked
            wait -> a writable
            a send -> some, then WouldBlock
            s recv -> some, then as asked
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn a_vectored_send_is_cut_where_the_buffer_ends() {
    parity(
        |t| {
            let listen = Listen::from(([127, 0, 0, 1], 0)).recv_buffer_size(4096);
            let (a, s) = t.pair_named("a", "s", &listen);
            t.set_send_buffer(a, 4096);
            let sent = t.fill_vectored(a, &[b"abc", &vec![b'x'; 30_000], b"def"]);
            t.note("more than the first slice, less than all", sent > 3 && sent < 30_006);
            t.recv(s, 4);
            t.drain(s, sent - 4);
            t.recv(s, 4096);
            t.wait_for(a);
        },
        "
            a send -> some
            more than the first slice, less than all: true
            s recv -> abcx
            s recv -> some, then as asked
            s recv -> WouldBlock
            wait -> a writable
        ",
    );
}

#[test]
fn a_partial_send_is_told_when_there_is_room_again() {
    parity(
        |t| {
            let listen = Listen::from(([127, 0, 0, 1], 0)).recv_buffer_size(4096);
            let (a, s) = t.pair_named("a", "s", &listen);
            t.set_send_buffer(a, 4096);
            let sent = t.fill_vectored(a, &[&vec![b'x'; 60_000]]);
            t.note("some of it was taken", sent > 0 && sent < 60_000);
            t.drain(s, sent);
            t.recv(s, 4096);
            t.wait_for(a);
            t.send(a, b"abc");
        },
        "
            a send -> some
            some of it was taken: true
            s recv -> some, then as asked
            s recv -> WouldBlock
            wait -> a writable
            a send abc -> 3
        ",
    );
}

#[test]
fn a_peer_that_closes_with_unread_input_wakes_a_full_sender() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.fill(a);
            t.poll();
            t.close(s);
            t.poll();
            t.send(a, b"x");
            t.recv(a, 4096);
            t.recv(a, 4096);
        },
        "
            a send -> some, then WouldBlock
            poll -> s readable|writable
            s close
            poll -> a readable|writable|read_closed|write_closed|error
            a send x -> ConnectionReset
            a recv -> end
            a recv -> end
        ",
    );
}

#[test]
fn the_edge_for_room_waits_for_more_than_a_little_of_it() {
    parity(
        |t| {
            let (a, s) = t.pair();
            let sent = t.fill(a);
            t.poll();
            let mut received = 0;
            while received < sent && !t.has_event(a) {
                received += t.drain_quietly(s, 1000);
            }
            t.note("more than a tenth was received before", received > sent / 10);
            t.note("less than all of it", received < sent);
            let more = t.fill(a);
            t.note("and more than a tenth fits in", more > sent / 10);
        },
        "
            a send -> some, then WouldBlock
            poll -> s readable|writable
            more than a tenth was received before: true
            less than all of it: true
            a send -> some, then WouldBlock
            and more than a tenth fits in: true
        ",
    );
}

#[test]
fn the_end_comes_after_what_was_full() {
    parity(
        |t| {
            let listen = Listen::from(([127, 0, 0, 1], 0)).recv_buffer_size(4096);
            let (a, s) = t.pair_named("a", "s", &listen);
            t.set_send_buffer(a, 4096);
            let sent = t.fill(a);
            t.shutdown(a);
            let received = t.drain(s, usize::MAX);
            t.note("all of it arrived", sent == received);
        },
        "
            a send -> some, then WouldBlock
            a shutdown -> Ok
            s recv -> some, then end
            all of it arrived: true
        ",
    );
}

#[test]
fn an_urgent_byte_behind_much_data_comes_in_its_place() {
    parity(
        |t| {
            let (a, s) = t.pair();
            let sent = t.fill(a);
            t.drain(s, sent);
            t.wait_for(a);
            t.send(a, &[b'y'; 3000]);
            t.send_urgent(a, b'X');
            t.send(a, b"abc");
            t.drain(s, 3000);
            t.recv_urgent(s);
            t.recv(s, 4096);
        },
        "
            a send -> some, then WouldBlock
            s recv -> some, then as asked
            wait -> a writable
            a send yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy -> 3000
            a send urgent X -> Ok
            a send abc -> 3
            s recv -> some, then as asked
            s recv_urgent -> X
            s recv -> abc
        ",
    );
}

#[test]
fn the_edge_for_room_waits_for_a_third_of_a_large_buffer() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.set_send_buffer(a, 1 << 20);
            let sent = t.fill(a);
            t.poll();
            let mut received = 0;
            while received < sent && !t.has_event(a) {
                received += t.drain_quietly(s, 1000);
            }
            t.note("more than a fifth was received before", received > sent / 5);
            t.note("less than all of it", received < sent);
        },
        "
            a send -> some, then WouldBlock
            poll -> s readable|writable
            more than a fifth was received before: true
            less than all of it: true
        ",
    );
}

#[test]
fn an_ended_side_is_writable_though_it_is_full() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.fill(a);
            t.shutdown(a);
            t.wait_for(a);
            t.send(s, b"abc");
            t.wait_for(a);
            t.send(a, b"x");
        },
        "
            a send -> some, then WouldBlock
            a shutdown -> Ok
            wait -> a writable
            s send abc -> 3
            wait -> a readable|writable
            a send x -> BrokenPipe
        ",
    );
}

#[test]
fn both_ends_are_a_hang_up_though_ours_waits_for_room() {
    parity(
        |t| {
            let (a, s) = t.pair();
            let sent = t.fill(a);
            t.shutdown(a);
            t.shutdown(s);
            t.wait_for(a);
            t.peer_addr(a);
            t.recv(a, 4096);
            let received = t.drain(s, usize::MAX);
            t.note("all of it arrived", sent == received);
            t.peer_addr(a);
            t.peer_addr(s);
        },
        "
            a send -> some, then WouldBlock
            a shutdown -> Ok
            s shutdown -> Ok
            wait -> a readable|writable|read_closed|write_closed
            a peer_addr -> L
            a recv -> end
            s recv -> some, then end
            all of it arrived: true
            a peer_addr -> NotConnected
            s peer_addr -> NotConnected
        ",
    );
}

#[test]
fn an_event_without_room_promises_one_for_the_room() {
    parity(
        |t| {
            let (a, s) = t.pair();
            t.set_send_buffer(a, 1 << 20);
            let sent = t.fill(a);
            t.poll();
            let mut received = 0;
            while received < sent && !t.has_event(a) {
                received += t.drain_quietly(s, 1000);
            }
            // A third of the buffer is free. This takes a part of it, and all of it is taken.
            let more = t.fill_vectored(a, &[&vec![b'x'; sent / 5]]);
            t.note("all of it was taken", more == sent / 5);
            t.send(s, b"abc");
            t.wait_for(a);
            t.drain(s, sent + more - received);
            t.wait_for(a);
            t.poll();
        },
        "
            a send -> some, then WouldBlock
            poll -> s readable|writable
            a send -> some
            all of it was taken: true
            s send abc -> 3
            wait -> a readable
            s recv -> some, then as asked
            wait -> a readable|writable
            poll -> nothing
        ",
    );
}
