//! Ten thousand connections at once, as far as the descriptors of the machine go.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use switchboard::{Config, Listen};

use crate::{PATIENCE, descriptors, in_a_process, line_echo, turn_until};

/// More are not tried.
const CONNECTIONS_MAX: usize = 10_000;

// G13, J12: each of ten thousand is served, costs nothing while it is idle, and all close in one go.
#[test]
fn ten_thousand_connections_are_open_at_once_and_each_is_served() {
    in_a_process("many::ten_thousand_connections_are_open_at_once_and_each_is_served", || {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the hard limit");
        let room = maximum.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        // Both ends live in this process.
        let count = CONNECTIONS_MAX.min((room - descriptors() - 32) / 2);
        println!("{count} connections");

        let mut config = Config::default();
        config.connections_max = Some(count);
        let mut reactor = line_echo(config);
        let listener = reactor.listen(Listen::from(([127, 0, 0, 1], 0)).backlog(64)).expect("a free port");
        let addr = reactor.local_addr(listener).expect("open").socket_addr().expect("an IP address");
        let mut clients = Vec::new();
        while clients.len() < count {
            for _ in 0..50.min(count - clients.len()) {
                let client = TcpStream::connect_timeout(&addr, PATIENCE).expect("the kernel takes it");
                client.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
                clients.push(client);
            }
            turn_until(&mut reactor, |reactor| reactor.stats().accepted == clients.len() as u64);
        }
        assert_eq!(reactor.stats().open, count);
        for round in 1..=2 {
            for client in &mut clients {
                client.write_all(b"here\n").expect("written");
            }
            turn_until(&mut reactor, |reactor| reactor.stats().frames == round * count as u64);
            for client in &mut clients {
                let mut answer = [0; 5];
                client.read_exact(&mut answer).expect("an answer");
                assert_eq!(&answer, b"here\n");
            }
        }
        let calls = reactor.stats().calls;
        assert_eq!(calls.send, 2 * count as u64);
        assert_eq!(calls.register, count as u64);
        drop(clients);
        turn_until(&mut reactor, |reactor| reactor.stats().open == 0);
    });
}
