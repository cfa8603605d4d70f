//! The example `echo` as a process.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use rustix::process::Signal;

use crate::server::{Server, pattern, reset};

#[test]
fn every_byte_of_twenty_clients_comes_back_in_order() {
    const CLIENTS: usize = 20;
    const LENGTH: usize = 3 * 1024 * 1024 + 7;
    let server = Server::start("echo");
    // All are connected before the first byte is sent.
    let clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for (number, client) in clients.iter().enumerate() {
            scope.spawn(move || {
                let sent = pattern(LENGTH, number as u64);
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let mut client = client;
                        let mut random = fastrand::Rng::with_seed(number as u64);
                        let mut rest = &sent[..];
                        while !rest.is_empty() {
                            // Pieces of all sizes, from a byte to 128 KiB.
                            let (piece, behind) = rest.split_at(rest.len().min(1 << random.u32(..18)));
                            client.write_all(piece).expect("written");
                            rest = behind;
                        }
                        client.shutdown(Shutdown::Write).expect("our side ends");
                    });
                    let (mut client, mut echo) = (client, Vec::with_capacity(LENGTH));
                    client.read_to_end(&mut echo).expect("the echo, and its end");
                    assert!(echo == sent, "client {number}: {} of {LENGTH} bytes, or others", echo.len());
                });
            });
        }
    });
    let bytes = CLIENTS * LENGTH;
    let summary = format!("served {CLIENTS} connections, {bytes} bytes in, {bytes} bytes out");
    server.ends_at(Signal::TERM, &summary);
}

#[test]
fn resets_in_the_middle_harm_nobody_else() {
    let server = Server::start("echo");
    let mut client = server.connect();
    let mut echo = [0; 5];
    for _ in 0..20 {
        let mut broken = server.connect();
        broken.write_all(&vec![1; 100_000]).expect("written");
        broken.read_exact(&mut echo).expect("the first bytes are back");
        reset(broken);
        client.write_all(b"alive").expect("written");
        client.read_exact(&mut echo).expect("an echo");
        assert_eq!(&echo, b"alive");
    }
    drop(server);
}

#[test]
fn ctrl_c_ends_the_idle_in_order() {
    let server = Server::start("echo");
    let mut clients = [server.connect(), server.connect(), server.connect()];
    for client in &mut clients {
        client.write_all(b"x").expect("written");
        client.read_exact(&mut [0]).expect("an echo");
    }
    server.signal(Signal::INT);
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).expect("an orderly end"), 0);
    }
    drop(clients);
    server.ends_with("served 3 connections, 3 bytes in, 3 bytes out");
}
