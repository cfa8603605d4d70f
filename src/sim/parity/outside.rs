//! Rows that the kernel alone is held to: no call of the seam leads there, or a simulated host has not what they
//! take, because it has one address, of IPv4.
//!
//! The first are why the seam has no such call, or what the reactor would meet if a program handed it such a
//! socket.

use super::kernel_only;
use super::rig::Odd;
use crate::config::Listen;

#[test]
fn a_stream_that_was_never_connected_is_hung_up_at_once() {
    kernel_only(
        |t| {
            let a = t.odd("a", Odd::NeverConnected);
            t.poll();
            t.peer_addr(a);
            t.take_error(a);
            t.recv(a, 4096);
            t.send(a, b"x");
            t.shutdown(a);
            t.poll();
        },
        "
            poll -> a writable|read_closed|write_closed
            a peer_addr -> NotConnected
            a take_error -> none
            a recv -> NotConnected
            a send x -> BrokenPipe
            a shutdown -> NotConnected
            poll -> a writable|read_closed|write_closed
        ",
    );
}

#[test]
fn a_closed_stream_with_another_holder_keeps_its_events() {
    kernel_only(
        |t| {
            let (a, s) = t.pair();
            t.copy(s);
            t.close(s);
            t.poll();
            t.send(a, b"abc");
            t.poll();
        },
        "
            s close
            poll -> nothing
            a send abc -> 3
            poll -> s readable|writable
        ",
    );
}

#[test]
fn a_stream_taken_out_of_the_poll_before_its_close_has_no_events_whoever_holds_it() {
    kernel_only(
        |t| {
            let (a, s) = t.pair();
            t.copy(s);
            t.deregister(s);
            t.close(s);
            t.send(a, b"abc");
            t.poll();
        },
        "
            s close
            a send abc -> 3
            poll -> nothing
        ",
    );
}

#[test]
fn an_urgent_byte_left_in_the_stream_is_received_in_its_place() {
    kernel_only(
        |t| {
            let (a, s) = t.pair();
            t.set_urgent_inline(s);
            t.send(a, b"ab");
            t.send_urgent(a, b'X');
            t.send(a, b"cd");
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
            poll -> s readable|writable|exceptional
            s recv_urgent -> InvalidInput
            s recv -> ab
            s recv -> Xcd
            s recv -> WouldBlock
        ",
    );
}

#[test]
fn a_listener_of_both_families_has_peers_of_both() {
    kernel_only(
        |t| {
            let l = t.listener_with("L", &Listen::from(([0u16; 8], 0)).only_v6(false));
            let port = t.addr(l).port();
            let (v4, v6) = (([127, 0, 0, 1], port).into(), ([0u16, 0, 0, 0, 0, 0, 0, 1], port).into());
            t.call("L by IPv4", v4);
            t.call("L by IPv6", v6);
            for (client, server, addr) in [("a", "s", v4), ("b", "r", v6)] {
                let a = t.connect_only(client, addr);
                let Some(s) = t.accept(server, l) else { return };
                t.local_addr(s);
                t.peer_addr(s);
                t.peer_addr(a);
            }
        },
        "
            a connect L by IPv4 -> Ok
            L accept -> s, from a
            s local_addr -> L by IPv4
            s peer_addr -> a
            a peer_addr -> L by IPv4
            b connect L by IPv6 -> Ok
            L accept -> r, from b
            r local_addr -> L by IPv6
            r peer_addr -> b
            b peer_addr -> L by IPv6
        ",
    );
}

#[test]
fn listeners_of_one_family_each_share_a_port() {
    kernel_only(
        |t| {
            let four = t.listener("L4");
            let port = t.addr(four).port();
            let six = t.listener_with("L6", &Listen::from(([0u16; 8], port)).only_v6(true));
            let v6 = ([0u16, 0, 0, 0, 0, 0, 0, 1], port).into();
            t.call("L6 by its address", v6);
            t.connect_only("a", t.addr(four));
            t.connect_only("b", v6);
            t.poll();
            for host in [four, six] {
                t.accept_only("s", host);
                t.accept_only("none", host);
            }
        },
        "
            a connect L4 -> Ok
            b connect L6 by its address -> Ok
            poll -> L4 readable, L6 readable
            L4 accept -> s, from a
            L4 accept -> WouldBlock
            L6 accept -> s, from b
            L6 accept -> WouldBlock
        ",
    );
}
