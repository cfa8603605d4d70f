//! Parity of connects: how one ends, and what is there at once.

use super::parity;
use super::rig::Odd;
use crate::config::Listen;

#[test]
fn a_connect_that_succeeds_is_one_edge_without_an_error() {
    parity(
        |t| {
            let l = t.listener("L");
            let a = t.connect("a", l);
            t.poll();
            t.take_error(a);
            t.local_addr(a);
            t.peer_addr(a);
            t.recv(a, 4096);
            t.poll();
        },
        "
            a connect L -> Ok
            poll -> L readable, a writable
            a take_error -> none
            a local_addr -> a
            a peer_addr -> L
            a recv -> WouldBlock
            poll -> nothing
        ",
    );
}

#[test]
fn a_client_may_send_before_it_is_accepted() {
    parity(
        |t| {
            let l = t.listener("L");
            let a = t.connect("a", l);
            t.poll();
            t.send(a, b"abc");
            t.shutdown(a);
            t.poll();
            let Some(s) = t.accept("s", l) else { return };
            t.local_addr(s);
            t.peer_addr(s);
            t.poll();
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a connect L -> Ok
            poll -> L readable, a writable
            a send abc -> 3
            a shutdown -> Ok
            poll -> a writable
            L accept -> s, from a
            s local_addr -> L
            s peer_addr -> a
            poll -> s readable|writable|read_closed
            s recv -> abc
            s recv -> end
        ",
    );
}

#[test]
fn a_server_may_send_and_close_before_the_client_polls() {
    parity(
        |t| {
            let l = t.listener("L");
            let a = t.connect("a", l);
            let Some(s) = t.accept_only("s", l) else { return };
            t.send(s, b"welcome");
            t.close(s);
            t.poll();
            t.take_error(a);
            t.peer_addr(a);
            t.recv(a, 4096);
            t.recv(a, 4096);
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            s send welcome -> 7
            s close
            poll -> a readable|writable|read_closed
            a take_error -> none
            a peer_addr -> L
            a recv -> welcome
            a recv -> end
        ",
    );
}

#[test]
fn a_connect_to_nobody_is_refused_with_every_flag() {
    parity(
        |t| {
            let l = t.listener("L");
            let addr = t.addr(l);
            t.unlisten(l);
            let a = t.connect_only("a", addr);
            t.register(a);
            t.poll();
            t.local_addr(a);
            t.peer_addr(a);
            t.take_error(a);
            t.take_error(a);
            t.recv(a, 4096);
            t.send(a, b"x");
            t.poll();
        },
        "
            L close
            a connect L -> Ok
            poll -> a readable|writable|read_closed|write_closed|error
            a local_addr -> a
            a peer_addr -> NotConnected
            a take_error -> ConnectionRefused
            a take_error -> none
            a recv -> end
            a send x -> BrokenPipe
            poll -> nothing
        ",
    );
}

#[test]
fn a_refused_connect_is_told_by_the_first_call_too() {
    parity(
        |t| {
            let l = t.listener("L");
            let addr = t.addr(l);
            t.unlisten(l);
            let a = t.connect_only("a", addr);
            t.register(a);
            t.recv(a, 4096);
            t.recv(a, 4096);
            t.poll();
            let b = t.connect_only("b", addr);
            t.register(b);
            t.poll();
            t.send(b, b"x");
            t.send(b, b"x");
            t.shutdown(b);
        },
        "
            L close
            a connect L -> Ok
            a recv -> ConnectionRefused
            a recv -> end
            poll -> a readable|writable|read_closed|write_closed
            b connect L -> Ok
            poll -> b readable|writable|read_closed|write_closed|error
            b send x -> ConnectionRefused
            b send x -> BrokenPipe
            b shutdown -> NotConnected
        ",
    );
}

#[test]
fn what_was_reset_before_the_accept_is_accepted_without_a_peer() {
    parity(
        |t| {
            let l = t.listener("L");
            let a = t.connect("a", l);
            t.poll();
            t.send(a, b"abc");
            t.reset(a);
            t.poll();
            let Some(s) = t.accept("s", l) else { return };
            t.poll();
            t.local_addr(s);
            t.peer_addr(s);
            t.recv(s, 4096);
            t.recv(s, 4096);
            t.recv(s, 4096);
        },
        "
            a connect L -> Ok
            poll -> L readable, a writable
            a send abc -> 3
            a reset
            poll -> nothing
            L accept -> s, from a
            poll -> s readable|writable|read_closed|write_closed|error
            s local_addr -> L
            s peer_addr -> NotConnected
            s recv -> abc
            s recv -> ConnectionReset
            s recv -> end
        ",
    );
}

#[test]
fn what_was_closed_before_the_accept_is_accepted_with_its_end() {
    parity(
        |t| {
            let l = t.listener("L");
            let a = t.connect("a", l);
            t.poll();
            t.close(a);
            t.poll();
            let Some(s) = t.accept("s", l) else { return };
            t.poll();
            t.peer_addr(s);
            t.recv(s, 4096);
        },
        "
            a connect L -> Ok
            poll -> L readable, a writable
            a close
            poll -> nothing
            L accept -> s, from a
            poll -> s readable|writable|read_closed
            s peer_addr -> a
            s recv -> end
        ",
    );
}

#[test]
fn a_listener_of_both_families_names_peers_canonically() {
    parity(
        |t| {
            let l = t.listener_with("L", &Listen::from(([0u16; 8], 0)).only_v6(false));
            let addr = t.here(l);
            t.call("L by IPv4", addr);
            let a = t.connect_only("a", addr);
            t.register(a);
            t.poll();
            let Some(s) = t.accept("s", l) else { return };
            t.local_addr(s);
            t.peer_addr(s);
            t.peer_addr(a);
        },
        "
            a connect L by IPv4 -> Ok
            poll -> L readable, a writable
            L accept -> s, from a
            s local_addr -> L by IPv4
            s peer_addr -> a
            a peer_addr -> L by IPv4
        ",
    );
}

#[test]
fn a_taken_address_is_an_error_of_listen() {
    parity(
        |t| {
            let l = t.listener("L");
            let addr = t.addr(l);
            t.try_listen(&Listen::from(addr));
            t.unlisten(l);
            t.try_listen(&Listen::from(addr));
        },
        "
            listen L -> AddrInUse
            L close
            listen L -> Ok
        ",
    );
}

#[test]
fn a_listener_of_both_families_takes_the_port_of_both() {
    parity(
        |t| {
            let any = Listen::from(([0u16; 8], 0)).only_v6(false);
            let l = t.listener_with("L", &any);
            let addr = ([0, 0, 0, 0], t.addr(l).port()).into();
            t.call("its port in IPv4", addr);
            t.try_listen(&Listen::from(addr));
        },
        "
            listen its port in IPv4 -> AddrInUse
        ",
    );
}

#[test]
fn what_a_listener_of_every_address_accepts_has_the_one_that_was_asked_for() {
    parity(
        |t| {
            let l = t.listener_with("L", &Listen::from(([0, 0, 0, 0], 0)));
            let addr = t.here(l);
            t.call("L by its address", addr);
            t.connect_only("a", addr);
            let Some(s) = t.accept("s", l) else { return };
            t.local_addr(s);
            t.peer_addr(s);
        },
        "
            a connect L by its address -> Ok
            L accept -> s, from a
            s local_addr -> L by its address
            s peer_addr -> a
        ",
    );
}

#[test]
fn every_name_of_the_host_itself_leads_to_its_listener() {
    parity(
        |t| {
            let l = t.listener_with("L", &Listen::from(([0, 0, 0, 0], 0)));
            let port = t.addr(l).port();
            for (client, server, ip) in [("a", "s", [127, 0, 0, 1]), ("b", "r", [0, 0, 0, 0])] {
                t.call("L", (ip, port).into());
                t.connect_only(client, (ip, port).into());
                t.accept(server, l);
            }
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            b connect L -> Ok
            L accept -> r, from b
        ",
    );
}

#[test]
fn connections_to_one_listener_have_ports_of_their_own() {
    parity(
        |t| {
            let l = t.listener("L");
            for (client, server) in [("a", "s"), ("b", "r"), ("c", "q")] {
                t.connect(client, l);
                let Some(s) = t.accept(server, l) else { return };
                t.peer_addr(s);
                t.local_addr(s);
            }
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            s peer_addr -> a
            s local_addr -> L
            b connect L -> Ok
            L accept -> r, from b
            r peer_addr -> b
            r local_addr -> L
            c connect L -> Ok
            L accept -> q, from c
            q peer_addr -> c
            q local_addr -> L
        ",
    );
}

#[test]
fn a_stream_connected_to_its_own_address_is_its_own_peer() {
    parity(
        |t| {
            let a = t.odd("a", Odd::ToItself);
            t.poll();
            t.local_addr(a);
            t.peer_addr(a);
            t.send(a, b"abc");
            t.poll();
            t.send_urgent(a, b'X');
            t.poll();
            t.recv_urgent(a);
            t.recv(a, 4096);
            t.recv(a, 4096);
            t.shutdown(a);
            t.poll();
            t.recv(a, 4096);
            t.send(a, b"x");
            t.take_error(a);
        },
        "
            poll -> a writable
            a local_addr -> a
            a peer_addr -> a
            a send abc -> 3
            poll -> a readable|writable
            a send urgent X -> Ok
            poll -> a readable|writable|exceptional
            a recv_urgent -> X
            a recv -> abc
            a recv -> WouldBlock
            a shutdown -> Ok
            poll -> a readable|writable|read_closed|write_closed
            a recv -> end
            a send x -> BrokenPipe
            a take_error -> none
        ",
    );
}
