//! The example `shards` as a process, with many clients at once.

use std::io::{Read, Write};

use rustix::process::Signal;

use crate::server::{Server, pattern};

/// How many each reactor served, by what the server says at its end.
fn served(summary: &str) -> (u64, Vec<u64>) {
    let rest = summary.strip_prefix("served ").expect(summary);
    let (all, each) = rest.trim_end().split_once(" connections, by reactor ").expect(summary);
    let each = each.trim_matches(['[', ']']).split(", ").map(|n| n.parse().expect(summary)).collect();
    (all.parse().expect(summary), each)
}

#[test]
fn every_client_is_served_by_one_of_them() {
    let server = Server::start_with("shards", &["--reactors", "3"]);
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    let bytes = pattern(10_000, 5);
    for client in &mut clients {
        client.write_all(&bytes).expect("written");
    }
    for client in &mut clients {
        let mut back = vec![0; bytes.len()];
        client.read_exact(&mut back).expect("read");
        assert!(back == bytes);
    }
    drop(clients);
    let (all, each) = served(&server.terminate());
    assert_eq!((all, each.len(), each.iter().sum::<u64>()), (60, 3, 60));
    // By a hash: that one of three gets none of sixty has odds of one in 10^10.
    assert!(each.iter().all(|&count| count > 0), "{each:?}");
}

// C10, N4: connections that wait to be accepted when the drain begins are accepted, by whichever of them has them.
#[test]
fn n4_all_of_them_drain_together() {
    let server = Server::start_with("shards", &["--reactors", "2"]);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(b"last words").expect("written");
    }
    server.signal(Signal::TERM);
    for client in &mut clients {
        let mut back = Vec::new();
        client.read_to_end(&mut back).expect("an orderly end");
        assert_eq!(back, b"last words");
    }
    drop(clients);
    let (code, rest) = server.end();
    assert_eq!((code, served(&rest).0), (Some(0), 20));
}
