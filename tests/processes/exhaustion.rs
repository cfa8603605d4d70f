//! Out of descriptors: accepting pauses without spinning, says so once, and goes on by itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use switchboard::{Config, Handler, Reactor};

use crate::{Logged, PATIENCE, allow_descriptors, in_a_process, line_echo, turn_until};

/// A reactor with a cap far above the descriptors there are, and where it listens.
fn start(change: impl FnOnce(&mut Config)) -> (Reactor<impl Handler>, SocketAddr) {
    let mut config = Config::default();
    config.connections_max = Some(10_000);
    config.slow_callback = None;
    change(&mut config);
    let mut reactor = line_echo(config);
    let listener = reactor.listen("127.0.0.1:0").expect("a free port");
    let addr = reactor.local_addr(listener).expect("open").socket_addr().expect("an IP address");
    (reactor, addr)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("the kernel takes the connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// Asks and waits for the answer.
fn ping<H: Handler>(reactor: &mut Reactor<H>, mut client: &TcpStream) {
    let frames = reactor.stats().frames;
    client.write_all(b"ping\n").expect("written");
    turn_until(reactor, |reactor| reactor.stats().frames > frames);
    let mut answer = [0; 5];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"ping\n");
}

// C1, C2: accept fails with EMFILE while clients wait. Nothing spins, those who are in are served, and
// each close of one of them lets one in that waits, at once.
#[test]
fn c1_out_of_descriptors_accepting_goes_on_with_each_close() {
    in_a_process("exhaustion::c1_out_of_descriptors_accepting_goes_on_with_each_close", || {
        Logged::start();
        let (mut reactor, addr) = start(|config| {
            // Only a close ends the pause.
            config.accept_retry_min = Duration::from_secs(3600);
            config.accept_retry_max = Duration::from_secs(3600);
        });
        let mut clients: Vec<_> = (0..20).map(|_| connect(addr)).collect();
        let _filled = allow_descriptors(10);
        turn_until(&mut reactor, |reactor| reactor.stats().accepted == 10);
        turn_until(&mut reactor, |reactor| reactor.stats().accept_pauses == 1);
        for _ in 0..50 {
            ping(&mut reactor, &clients[0]);
        }
        assert_eq!(reactor.stats().calls.accept, 11, "it was tried again for no reason");

        // The client's end frees a descriptor too: whoever is let in, the process is out of them again.
        let patience = Instant::now();
        while reactor.stats().accepted < 20 {
            let accepted = reactor.stats().accepted;
            drop(clients.remove(0));
            turn_until(&mut reactor, |reactor| reactor.stats().accepted > accepted);
            assert!(patience.elapsed() < PATIENCE);
        }
        for client in &clients {
            ping(&mut reactor, client);
        }
        let logged = Logged::lines();
        assert_eq!(logged.len(), 1, "{logged:?}");
        assert!(logged[0].starts_with("accepting pauses with 10 connections open"), "{logged:?}");
        assert!(logged[0].ends_with("Too many open files (os error 24)"), "{logged:?}");
    });
}

// C1: the descriptors were taken by something else, so no close of ours tells when there are some again:
// a timer does, after pauses that double, so that waiting costs nothing.
#[test]
fn c1_out_of_descriptors_accepting_goes_on_by_itself() {
    in_a_process("exhaustion::c1_out_of_descriptors_accepting_goes_on_by_itself", || {
        Logged::start();
        let (mut reactor, addr) = start(|config| {
            config.accept_retry_max = Duration::from_millis(40);
        });
        let client = connect(addr);
        let _filled = allow_descriptors(3);
        let hoard: Vec<_> = (0..3).map(|_| std::fs::File::open("/dev/null").expect("room")).collect();
        turn_until(&mut reactor, |reactor| reactor.stats().accept_pauses == 8);
        let stats = reactor.stats();
        // Each pause costs the poll that waits for its end and one accept. Half of the polls may be early:
        // they are cut at 10 ms by the test.
        assert_eq!(stats.calls.accept, 8);
        assert!(stats.calls.poll <= 8 * 6, "{} polls", stats.calls.poll);
        drop(hoard);
        turn_until(&mut reactor, |reactor| reactor.stats().accepted == 1);
        ping(&mut reactor, &client);
        let logged = Logged::lines();
        assert_eq!(logged.len(), 1, "{logged:?}");
    });
}
