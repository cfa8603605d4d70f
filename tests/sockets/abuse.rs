//! N: the process around the reactor: what its children inherit.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use switchboard::codec::Raw;
use switchboard::{Config, each};

use crate::server::Server;

/// The sockets, polls and wakers among open descriptors, from lines that end in `N -> target`.
fn of_the_reactor(listing: &str) -> BTreeSet<String> {
    listing
        .lines()
        .filter_map(|line| line.rsplit_once(" -> "))
        .map(|(_, target)| target.to_owned())
        .filter(|target| target.starts_with("socket:") || target.starts_with("anon_inode:"))
        .collect()
}

fn list(mut command: Command) -> BTreeSet<String> {
    // Its exit code says whether a descriptor went while it looked, and other tests run beside this one.
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("a child runs");
    let listing = String::from_utf8(output.stdout).expect("descriptors are plain text");
    assert!(listing.contains(" -> "), "nothing was listed");
    of_the_reactor(&listing)
}

// N1: the listener, both kinds of connections, the poll and the waker, each from its first moment on.
#[test]
fn n1_a_child_process_inherits_nothing_of_the_reactor() {
    let server = Server::start(Config::default(), || {
        each(Raw::new, |cx, bytes| {
            cx.send(bytes);
            Ok(())
        })
    });
    let mut client = server.connect();
    client.write_all(b"ping").expect("written");
    client.read_exact(&mut [0; 4]).expect("an answer");
    let addr = server.addr;
    server.with(move |_, cx| cx.connect(addr, 0).expect("room"));
    server.wait_until(|_, cx| cx.stats().open == 3);

    let mut ours = Command::new("ls");
    ours.args(["-l", &format!("/proc/{}/fd", std::process::id())]);
    let ours = list(ours);
    // A listener, and two ends of two connections.
    assert!(ours.iter().filter(|target| target.starts_with("socket:")).count() >= 5, "{ours:?}");
    assert!(ours.contains("anon_inode:[eventpoll]") && ours.contains("anon_inode:[eventfd]"), "{ours:?}");

    let mut theirs = Command::new("ls");
    theirs.args(["-l", "/proc/self/fd"]);
    let theirs = list(theirs);
    assert!(theirs.is_disjoint(&ours), "inherited: {:?}", theirs.intersection(&ours).collect::<Vec<_>>());

    drop(client);
    server.with(|_, cx| {
        let all: Vec<_> = cx.connections().map(|conn| conn.id).collect();
        for id in all {
            cx.close(id, switchboard::Close::Flush);
        }
    });
    server.stop();
}
