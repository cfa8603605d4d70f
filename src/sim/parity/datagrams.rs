//! Rows about sockets for datagrams: what is cut, lost, refused and told, and what makes an event.
//!
//! A row reads as those of connections do. `a`, `b`, … are sockets in the order in which they were bound.

use std::net::{Ipv4Addr, SocketAddr};

use super::datagram_row::{Row, outcome};
use super::kernel::Kernel;
use super::rig::Beside;
use super::simulated::Simulated;
use super::{compare, lines};
use crate::bind::{Bind, Group, Membership};
use crate::net::Datagram as _;
use crate::options::Options;

/// Makes two functions of one row, one for each network, and compares both with what it says.
macro_rules! parity {
    (|$row:ident| $script:block, $expected:literal) => {{
        fn script<B: Beside>($row: &mut Row<B>) $script
        let mut kernel = Row::new(Kernel::new().expect("loopback sockets"));
        script(&mut kernel);
        compare("the kernel", &kernel.trace, &lines($expected));
        let mut simulated = Row::new(Simulated::new());
        script(&mut simulated);
        compare("the simulated network", &simulated.trace, &lines($expected));
    }};
}

#[test]
fn what_does_not_fit_is_cut_and_the_next_one_is_whole() {
    parity!(
        |row| {
            let (a, b) = (row.bind(&row.local()), row.bind(&row.local()));
            row.send(a, b, b"0123456789");
            row.send(a, b, b"next");
            row.recv(b, 4);
            row.recv(b, 4);
            row.recv(b, 4);
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        a send "0123456789" -> Ok
        a send "next" -> Ok
        b recv -> "0123", cut from a
        b recv -> "next" from a
        b recv -> WouldBlock
        "#
    );
}

#[test]
fn an_empty_datagram_is_one() {
    parity!(
        |row| {
            let (a, b) = (row.bind(&row.local()), row.bind(&row.local()));
            row.poll();
            row.send(a, b, b"");
            row.poll();
            row.recv(b, 4);
            row.recv(b, 4);
            row.poll();
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        poll -> nothing
        a send "" -> Ok
        poll -> b readable
        b recv -> "" from a
        b recv -> WouldBlock
        poll -> nothing
        "#
    );
}

#[test]
fn each_arrival_is_an_edge_and_what_waits_is_none() {
    parity!(
        |row| {
            let (a, b) = (row.bind(&row.local()), row.bind(&row.local()));
            row.send(a, b, b"one");
            row.poll();
            row.poll();
            row.send(a, b, b"two");
            row.poll();
            row.recv(b, 8);
            row.poll();
            row.recv(b, 8);
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        a send "one" -> Ok
        poll -> b readable
        poll -> nothing
        a send "two" -> Ok
        poll -> b readable
        b recv -> "one" from a
        poll -> nothing
        b recv -> "two" from a
        "#
    );
}

#[test]
fn one_that_is_watched_for_room_is_told_at_once_of_all_that_there_is() {
    parity!(
        |row| {
            let (a, b) = (row.bind(&row.local()), row.bind(&row.local()));
            row.watch_room(b, true);
            row.poll();
            row.poll();
            row.send(a, b, b"one");
            row.poll();
            row.watch_room(b, false);
            row.poll();
            row.recv(b, 8);
            row.watch_room(b, true);
            row.poll();
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        b watched for room: true
        poll -> b writable
        poll -> nothing
        a send "one" -> Ok
        poll -> b readable|writable
        b watched for room: false
        poll -> b readable
        b recv -> "one" from a
        b watched for room: true
        poll -> b writable
        "#
    );
}

#[test]
fn a_refusal_is_told_once_to_a_connected_socket_by_a_receive() {
    parity!(
        |row| {
            let a = row.bind(&row.local());
            let b = row.bind(&row.local().connect(row.addr(a)));
            row.close(a);
            row.send_on(b, b"anyone?");
            row.poll();
            row.recv(b, 8);
            row.recv(b, 8);
            row.poll();
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        a close
        b send "anyone?" -> Ok
        poll -> b write_closed|error
        b recv -> ConnectionRefused
        b recv -> WouldBlock
        poll -> nothing
        "#
    );
}

#[test]
fn a_refusal_is_told_once_by_the_next_send_which_then_does_not_send() {
    parity!(
        |row| {
            let a = row.bind(&row.local());
            let b = row.bind(&row.local().connect(row.addr(a)));
            row.close(a);
            row.send_on(b, b"one");
            row.send_on(b, b"two");
            row.recv(b, 8);
            row.send_on(b, b"three");
            row.recv(b, 8);
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        a close
        b send "one" -> Ok
        b send "two" -> ConnectionRefused
        b recv -> WouldBlock
        b send "three" -> Ok
        b recv -> ConnectionRefused
        "#
    );
}

#[test]
fn a_refusal_is_not_told_to_a_socket_that_is_not_connected() {
    parity!(
        |row| {
            let (a, b) = (row.bind(&row.local()), row.bind(&row.local()));
            row.close(a);
            row.send(b, a, b"anyone?");
            row.poll();
            row.recv(b, 8);
            row.send(b, a, b"anyone?");
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        a close
        b send "anyone?" -> Ok
        poll -> nothing
        b recv -> WouldBlock
        b send "anyone?" -> Ok
        "#
    );
}

#[test]
fn an_error_comes_before_the_data_that_was_there_first() {
    parity!(
        |row| {
            let a = row.bind(&row.local());
            let b = row.bind(&row.local().connect(row.addr(a)));
            row.send(a, b, b"data");
            row.close(a);
            row.send_on(b, b"still there?");
            row.poll();
            row.recv(b, 8);
            row.recv(b, 8);
            row.recv(b, 8);
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        a send "data" -> Ok
        a close
        b send "still there?" -> Ok
        poll -> b readable|error
        b recv -> ConnectionRefused
        b recv -> "data" from a
        b recv -> WouldBlock
        "#
    );
}

#[test]
fn a_connected_socket_hears_nobody_else() {
    parity!(
        |row| {
            let (a, b) = (row.bind(&row.local()), row.bind(&row.local()));
            let c = row.bind(&row.local().connect(row.addr(a)));
            row.send(b, c, b"stranger");
            row.poll();
            row.send(a, c, b"friend");
            row.recv(c, 8);
            row.recv(c, 8);
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        bind c -> Ok
        b send "stranger" -> Ok
        poll -> nothing
        a send "friend" -> Ok
        c recv -> "friend" from a
        c recv -> WouldBlock
        "#
    );
}

#[test]
fn a_full_buffer_loses_the_last_and_says_so_to_nobody() {
    parity!(
        |row| {
            let a = row.bind(&row.local());
            let small = Options::new().recv_buffer_size(20_000);
            let b = row.bind(&row.local().options(small));
            let to = row.addrs[b].clone();
            let sent = (0..200_u8).filter(|&n| row.socket(a).send(&[n; 100], &to).is_ok()).count();
            row.beside.settle();
            let mut buf = [0; 128];
            let mut received: Vec<u8> = Vec::new();
            while row.socket(b).recv(&mut buf).is_ok() {
                received.push(buf[0]);
            }
            let in_order = received.iter().copied().eq(0..u8::try_from(received.len()).expect("not all"));
            row.say(format!("{sent} sent, some arrive: {}", (5..100).contains(&received.len())));
            row.say(format!("the first ones, in order: {in_order}"));
            row.send(a, b, b"room again");
            row.recv(b, 16);
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        200 sent, some arrive: true
        the first ones, in order: true
        a send "room again" -> Ok
        b recv -> "room again" from a
        "#
    );
}

#[test]
fn what_cannot_be_sent_is_refused_alone() {
    parity!(
        |row| {
            let (a, b) = (row.bind(&row.local()), row.bind(&row.local()));
            let too_long = row.socket(a).send(&vec![0; 65_508], &row.addrs[b]);
            row.say(format!("a sends too much -> {}", outcome(&too_long)));
            row.send_on(a, b"to nobody");
            row.send_to(a, SocketAddr::from((Ipv4Addr::BROADCAST, 9)), b"to all");
            row.send(a, b, b"to one");
            row.recv(b, 8);
            row.recv(b, 8);
        },
        r#"
        bind a -> Ok
        bind b -> Ok
        a sends too much -> an error
        a send "to nobody" -> an error
        a send "to all" -> PermissionDenied
        a send "to one" -> Ok
        b recv -> "to one" from a
        b recv -> WouldBlock
        "#
    );
}

#[test]
fn an_address_has_one_socket_until_it_closes() {
    parity!(
        |row| {
            let a = row.bind(&row.local());
            let again = Bind::new(row.addr(a));
            row.bind(&again);
            row.close(a);
            row.bind(&again);
        },
        r"
        bind a -> Ok
        bind b -> AddrInUse
        a close
        bind c -> Ok
        "
    );
}

#[test]
fn a_group_is_joined_once_and_left_once() {
    parity!(
        |row| {
            let a = row.bind(&Bind::new(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))));
            let group = Group::v4(Ipv4Addr::new(239, 255, 77, 3), Ipv4Addr::LOCALHOST);
            for membership in [
                Membership::Leave(group),
                Membership::Join(group),
                Membership::Join(group),
                Membership::Leave(group),
                Membership::Leave(group),
            ] {
                row.change(a, &membership);
            }
        },
        r"
        bind a -> Ok
        a leaves -> AddrNotAvailable
        a joins -> Ok
        a joins -> AddrInUse
        a leaves -> Ok
        a leaves -> AddrNotAvailable
        "
    );
}
