//! Parity of listeners: their edges, their queues, and what their close does to those in them.

use super::parity;
use crate::config::Listen;
use crate::net::Trigger;

#[test]
fn connects_between_two_polls_are_one_edge_of_the_listener() {
    parity(
        |t| {
            let l = t.listener("L");
            t.poll();
            t.connect("a", l);
            t.connect("b", l);
            t.poll();
            t.poll();
            t.accept("s", l);
            t.poll();
            t.accept("r", l);
            t.accept("none", l);
            t.poll();
        },
        "
            poll -> nothing
            a connect L -> Ok
            b connect L -> Ok
            poll -> L readable, a writable, b writable
            poll -> nothing
            L accept -> s, from a
            poll -> s writable
            L accept -> r, from b
            L accept -> WouldBlock
            poll -> r writable
        ",
    );
}

#[test]
fn every_connect_is_a_new_edge_though_others_wait() {
    parity(
        |t| {
            let l = t.listener("L");
            t.connect("a", l);
            t.poll();
            t.connect("b", l);
            t.poll();
            t.accept("s", l);
            t.connect("c", l);
            t.poll();
            t.poll();
        },
        "
            a connect L -> Ok
            poll -> L readable, a writable
            b connect L -> Ok
            poll -> L readable, b writable
            L accept -> s, from a
            c connect L -> Ok
            poll -> L readable, c writable, s writable
            poll -> nothing
        ",
    );
}

#[test]
fn a_listener_is_told_of_by_level_as_long_as_a_connect_waits() {
    parity(
        |t| {
            let l = t.listener("L");
            t.set_trigger(l, Trigger::Level);
            t.poll();
            t.connect("a", l);
            t.connect("b", l);
            t.poll();
            t.poll();
            t.accept_only("s", l);
            t.poll();
            t.accept_only("r", l);
            t.poll();
            t.connect("c", l);
            t.poll();
        },
        "
            L is told of by Level
            poll -> nothing
            a connect L -> Ok
            b connect L -> Ok
            poll -> L readable, a writable, b writable
            poll -> L readable
            L accept -> s, from a
            poll -> L readable
            L accept -> r, from b
            poll -> nothing
            c connect L -> Ok
            poll -> L readable, c writable
        ",
    );
}

#[test]
fn a_listener_is_told_of_once_more_whenever_its_trigger_is_set() {
    parity(
        |t| {
            let l = t.listener("L");
            t.connect("a", l);
            t.poll();
            t.poll();
            t.set_trigger(l, Trigger::Level);
            t.poll();
            t.poll();
            t.set_trigger(l, Trigger::Edge);
            t.poll();
            t.poll();
            t.connect("b", l);
            t.poll();
            t.poll();
            t.accept_only("s", l);
            t.accept_only("r", l);
            t.set_trigger(l, Trigger::Level);
            t.poll();
        },
        "
            a connect L -> Ok
            poll -> L readable, a writable
            poll -> nothing
            L is told of by Level
            poll -> L readable
            poll -> L readable
            L is told of by Edge
            poll -> L readable
            poll -> nothing
            b connect L -> Ok
            poll -> L readable, b writable
            poll -> nothing
            L accept -> s, from a
            L accept -> r, from b
            L is told of by Level
            poll -> nothing
        ",
    );
}

#[test]
fn connections_are_accepted_in_the_order_of_their_connects() {
    parity(
        |t| {
            let l = t.listener("L");
            let a = t.connect("a", l);
            let b = t.connect("b", l);
            t.connect("c", l);
            t.send(b, b"x");
            t.send(a, b"x");
            for name in ["1st", "2nd", "3rd", "none"] {
                t.accept_only(name, l);
            }
        },
        "
            a connect L -> Ok
            b connect L -> Ok
            c connect L -> Ok
            b send x -> 1
            a send x -> 1
            L accept -> 1st, from a
            L accept -> 2nd, from b
            L accept -> 3rd, from c
            L accept -> WouldBlock
        ",
    );
}

#[test]
fn a_connect_that_was_reset_keeps_its_place() {
    parity(
        |t| {
            let l = t.listener("L");
            let a = t.connect("a", l);
            t.connect("b", l);
            t.poll();
            t.reset(a);
            t.poll();
            for name in ["1st", "2nd", "none"] {
                t.accept_only(name, l);
            }
        },
        "
            a connect L -> Ok
            b connect L -> Ok
            poll -> L readable, a writable, b writable
            a reset
            poll -> nothing
            L accept -> 1st, from a
            L accept -> 2nd, from b
            L accept -> WouldBlock
        ",
    );
}

#[test]
fn an_accept_before_the_poll_leaves_no_event_of_the_listener() {
    parity(
        |t| {
            let l = t.listener("L");
            t.connect("a", l);
            t.accept_only("s", l);
            t.poll();
            t.poll();
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            poll -> a writable
            poll -> nothing
        ",
    );
}

#[test]
fn closing_a_listener_resets_those_in_its_queue_only() {
    parity(
        |t| {
            let l = t.listener("L");
            let a = t.connect("a", l);
            let b = t.connect("b", l);
            let c = t.connect("c", l);
            t.poll();
            let Some(served) = t.accept("s", l) else { return };
            t.poll();
            t.send(b, b"abc");
            t.unlisten(l);
            t.poll();
            t.recv(b, 4096);
            t.recv(b, 4096);
            t.send(c, b"x");
            t.send(a, b"still here");
            t.poll();
            t.recv(served, 4096);
            t.local_addr(served);
        },
        "
            a connect L -> Ok
            b connect L -> Ok
            c connect L -> Ok
            poll -> L readable, a writable, b writable, c writable
            L accept -> s, from a
            poll -> s writable
            b send abc -> 3
            L close
            poll -> b readable|writable|read_closed|write_closed|error, c readable|writable|read_closed|write_closed|error
            b recv -> ConnectionReset
            b recv -> end
            c send x -> ConnectionReset
            a send still here -> 10
            poll -> s readable|writable
            s recv -> still here
            s local_addr -> L
        ",
    );
}

#[test]
fn a_full_queue_leaves_a_connect_without_an_event_until_there_is_room() {
    parity(
        |t| {
            let l = t.listener_with("L", &Listen::from(([127, 0, 0, 1], 0)).backlog(1));
            t.connect("a", l);
            t.connect("b", l);
            let c = t.connect("c", l);
            t.poll();
            t.poll();
            t.recv(c, 4096);
            t.send(c, b"x");
            t.local_addr(c);
            t.peer_addr(c);
            t.take_error(c);
            t.accept_only("1st", l);
            t.wait_for(c);
            t.peer_addr(c);
            t.accept_only("2nd", l);
            t.accept_only("3rd", l);
        },
        "
            a connect L -> Ok
            b connect L -> Ok
            c connect L -> Ok
            poll -> L readable, a writable, b writable
            poll -> nothing
            c recv -> WouldBlock
            c send x -> WouldBlock
            c local_addr -> c
            c peer_addr -> NotConnected
            c take_error -> none
            L accept -> 1st, from a
            wait -> c writable
            c peer_addr -> L
            L accept -> 2nd, from b
            L accept -> 3rd, from c
        ",
    );
}

#[test]
fn a_connect_given_up_while_the_queue_is_full_leaves_nothing() {
    parity(
        |t| {
            let l = t.listener_with("L", &Listen::from(([127, 0, 0, 1], 0)).backlog(1));
            t.connect("a", l);
            t.connect("b", l);
            let c = t.connect("c", l);
            t.poll();
            t.close(c);
            t.poll();
            for name in ["1st", "2nd", "none"] {
                t.accept_only(name, l);
            }
            t.poll();
        },
        "
            a connect L -> Ok
            b connect L -> Ok
            c connect L -> Ok
            poll -> L readable, a writable, b writable
            c close
            poll -> nothing
            L accept -> 1st, from a
            L accept -> 2nd, from b
            L accept -> WouldBlock
            poll -> nothing
        ",
    );
}

#[test]
fn a_connect_that_waits_for_a_full_queue_is_refused_once_the_listener_is_closed() {
    parity(
        |t| {
            let l = t.listener_with("L", &Listen::from(([127, 0, 0, 1], 0)).backlog(1));
            t.connect("a", l);
            t.connect("b", l);
            let c = t.connect("c", l);
            t.poll();
            t.unlisten(l);
            t.poll();
            t.wait_for(c);
            t.take_error(c);
            t.recv(c, 4096);
        },
        "
            a connect L -> Ok
            b connect L -> Ok
            c connect L -> Ok
            poll -> L readable, a writable, b writable
            L close
            poll -> a readable|writable|read_closed|write_closed|error, b readable|writable|read_closed|write_closed|error
            wait -> c readable|writable|read_closed|write_closed|error
            c take_error -> ConnectionRefused
            c recv -> end
        ",
    );
}

#[test]
fn a_shutdown_takes_back_a_connect_under_way() {
    parity(
        |t| {
            let l = t.listener_with("L", &Listen::from(([127, 0, 0, 1], 0)).backlog(1));
            t.connect("a", l);
            t.connect("b", l);
            let c = t.connect("c", l);
            t.poll();
            t.shutdown(c);
            t.poll();
            t.take_error(c);
            t.recv(c, 4096);
            t.send(c, b"x");
            t.peer_addr(c);
        },
        "
            a connect L -> Ok
            b connect L -> Ok
            c connect L -> Ok
            poll -> L readable, a writable, b writable
            c shutdown -> Ok
            poll -> c writable|read_closed|write_closed|error
            c take_error -> ConnectionReset
            c recv -> NotConnected
            c send x -> BrokenPipe
            c peer_addr -> NotConnected
        ",
    );
}

#[test]
fn a_queue_for_none_has_room_for_one() {
    parity(
        |t| {
            let l = t.listener_with("L", &Listen::from(([127, 0, 0, 1], 0)).backlog(0));
            t.connect("a", l);
            t.connect("b", l);
            t.poll();
            t.accept_only("s", l);
            t.accept_only("none", l);
        },
        "
            a connect L -> Ok
            b connect L -> Ok
            poll -> L readable, a writable
            L accept -> s, from a
            L accept -> WouldBlock
        ",
    );
}

#[test]
fn an_address_with_connections_can_be_listened_on_again() {
    parity(
        |t| {
            let l = t.listener("L");
            let addr = t.addr(l);
            let a = t.connect("a", l);
            let Some(s) = t.accept("s", l) else { return };
            t.unlisten(l);
            t.try_listen(&Listen::from(addr));
            t.close(s);
            t.close(a);
            t.try_listen(&Listen::from(addr));
        },
        "
            a connect L -> Ok
            L accept -> s, from a
            L close
            listen L -> Ok
            s close
            a close
            listen L -> Ok
        ",
    );
}
