//! Options: both networks answer for what was set in the same way, and begin with the same.
//!
//! Not compared are sizes of buffers that were left alone, which adapt on the kernel, and the most that can be asked for,
//! which is a setting of the machine.

use std::time::Duration;

use super::kernel::Kernel;
use super::rig::Beside;
use super::simulated::Simulated;
use crate::bind::Bind;
use crate::config::Listen;
use crate::connect::Connect;
use crate::id::{DatagramId, ListenerId};
use crate::net::{Listener as _, Network};
use crate::options::{Keepalive, Options};
use crate::socket::Socket as _;

fn sizes(recv: usize, send: usize) -> Options {
    Options::new().recv_buffer_size(recv).send_buffer_size(send)
}

/// Each is set on a socket that has those before it.
fn all() -> Vec<Options> {
    vec![
        sizes(1, 1),
        sizes(2000, 2304),
        sizes(30_000, 40_000),
        Options::new().keepalive(Keepalive::new(Duration::from_secs(5), Duration::from_secs(6), 7)),
        Options::new().keepalive(Keepalive::Off).user_timeout(Duration::from_millis(77)),
        Options::new().user_timeout(Duration::ZERO).nodelay(false),
        Options::new().nodelay(true).traffic_class(0xff),
        Options::new().traffic_class(0x21).hop_limit(255),
        Options::new().hop_limit(1).dont_fragment(true),
        Options::new().dont_fragment(false).not_sent_low_water(5),
        Options::new().not_sent_low_water(0).device("lo"),
    ]
}

/// Those that datagrams have too.
fn of_datagrams() -> Vec<Options> {
    let of_ip = |options: Options| Options {
        keepalive: None,
        user_timeout: None,
        nodelay: None,
        not_sent_low_water: None,
        ..options
    };
    all().into_iter().map(of_ip).collect()
}

/// Without what is not compared.
fn compared(mut options: Options) -> Options {
    options.recv_buffer_size = None;
    options.send_buffer_size = None;
    options
}

/// What a connection answers at first, and after each of them; at both ends of it.
fn of_a_connection<B: Beside>(mut beside: B) -> Vec<String> {
    let ip = beside.ip();
    let listen = Listen::from((ip, 0)).options(Options::new().hop_limit(33).traffic_class(0x40));
    let net = beside.network();
    let listener = net.listen(&listen, ListenerId(0)).expect("a free port");
    let to = listener.local_addr().expect("bound");
    let how = Connect::to(to.clone()).options(sizes(10_000, 10_000).nodelay(false));
    let client = net.connect(&to, &how).expect("begun");
    beside.settle();
    let (server, _) = listener.accept().expect("it waits");
    let mut answers = Vec::new();
    for stream in [&client, &server] {
        answers.push(format!("{:?}", compared(stream.options().expect("read"))));
    }
    answers.push(format!("{:?}", client.options().expect("read")));
    for options in all() {
        for stream in [&client, &server] {
            stream.set_options(&options).expect("set");
        }
        answers.push(format!("{:?}", client.options().expect("read")));
        answers.push(format!("{:?}", compared(server.options().expect("read"))));
    }
    answers
}

fn of_datagram_sockets<B: Beside>(mut beside: B) -> Vec<String> {
    let bind = Bind::from(std::net::SocketAddr::new(beside.ip(), 0));
    let socket = beside.network().bind(&bind, DatagramId(0)).expect("a free port");
    let mut answers = vec![format!("{:?}", compared(socket.options().expect("read")))];
    for options in of_datagrams() {
        socket.set_options(&options).expect("set");
        answers.push(format!("{:?}", socket.options().expect("read")));
    }
    answers
}

#[test]
fn options_of_connections_are_answered_as_the_kernel_answers() {
    let kernel = of_a_connection(Kernel::new().expect("loopback sockets"));
    assert_eq!(of_a_connection(Simulated::new()), kernel);
}

#[test]
fn options_of_sockets_for_datagrams_are_answered_as_the_kernel_answers() {
    let kernel = of_datagram_sockets(Kernel::new().expect("loopback sockets"));
    assert_eq!(of_datagram_sockets(Simulated::new()), kernel);
}
