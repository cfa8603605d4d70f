//! The example `offload` as a process: answers that take long, and clients who do not wait for them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;

use rustix::process::Signal;

use crate::server::{Server, reset};

/// Takes a worker some tenths of a second, and longer where it is not optimised.
const LONG: &str = "30000000\n";
const LONG_ANSWER: &str = "1857859 primes below 30000000\n";

#[test]
fn the_loop_answers_others_while_both_workers_work() {
    let server = Server::start("offload");
    let mut slow = server.connect();
    slow.write_all(LONG.repeat(2).as_bytes()).expect("written");
    let mut quick = BufReader::new(server.connect());
    // Refused by the loop itself, and no worker is free.
    quick.get_mut().write_all(b"not a number\n").expect("written");
    let mut answer = String::new();
    quick.read_line(&mut answer).expect("an answer");
    assert_eq!(answer, "? a number up to 1000000000\n");
    slow.set_nonblocking(true).expect("an option");
    let early = slow.read(&mut [0]);
    assert!(early.is_err(), "the workers were not busy, so that nothing was shown: {early:?}");
    slow.set_nonblocking(false).expect("an option");
    slow.shutdown(Shutdown::Write).expect("ended");
    // Its end does not cost it its answers.
    let mut answers = String::new();
    slow.read_to_string(&mut answers).expect("answers and their end");
    assert_eq!(answers, LONG_ANSWER.repeat(2));
}

#[test]
fn an_answer_for_a_connection_that_is_gone_reaches_nobody() {
    let server = Server::start("offload");
    let (mut busy, mut gone) = (server.connect(), server.connect());
    // Both workers have something to do before they come to what is asked next.
    busy.write_all(LONG.repeat(2).as_bytes()).expect("written");
    busy.write_all(b"x\n").expect("written");
    busy.read_exact(&mut [0; 28]).expect("an answer, so that the others were taken");
    gone.write_all(b"10\nx\n").expect("written");
    gone.read_exact(&mut [0; 28]).expect("an answer, so that the other was taken");
    reset(gone);
    server.waits_for_sockets(2);
    // Whoever comes next may get its slot, and must not get its answer.
    let mut next = BufReader::new(server.connect());
    next.get_mut().write_all(format!("100\n{LONG}").as_bytes()).expect("written");
    for expected in ["25 primes below 100\n", LONG_ANSWER] {
        let mut answer = String::new();
        next.read_line(&mut answer).expect("an answer");
        assert_eq!(answer, expected);
    }
    drop((next, busy));
    // On a machine that stands still for long enough, the worker was done before the client was gone.
    let summary = server.terminate();
    let expected = ["served 3 clients, 4 answers, 1 too late\n", "served 3 clients, 5 answers, 0 too late\n"];
    assert!(expected.contains(&summary.as_str()), "{summary}");
}

#[test]
fn what_there_is_no_room_for_is_refused_at_once() {
    let server = Server::start("offload");
    let mut client = BufReader::new(server.connect());
    client.get_mut().write_all("300000000\n".repeat(100).as_bytes()).expect("written");
    let mut answer = String::new();
    client.read_line(&mut answer).expect("an answer");
    assert_eq!(answer, "? 64 requests wait already, try again later\n");
    server.signal(Signal::TERM);
    // Two signals at once would be one. The drain has begun when the listener is gone.
    server.waits_for_sockets(1);
    // What was promised would take minutes: the second signal does not wait for it.
    server.ends_at(Signal::TERM, "served 1 clients, 0 answers, 0 too late");
}

#[test]
fn n4_a_drain_waits_for_answers() {
    let server = Server::start("offload");
    let mut client = server.connect();
    let mut idle = server.connect();
    client.write_all(LONG.as_bytes()).expect("written");
    // Taken, because another one behind it is answered.
    client.write_all(b"x\n").expect("written");
    let mut answer = [0; 28];
    client.read_exact(&mut answer).expect("an answer");
    server.signal(Signal::TERM);
    assert_eq!(idle.read(&mut [0]).expect("an end"), 0);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer and its end");
    assert_eq!(answer, LONG_ANSWER);
    server.ends_with("served 2 clients, 1 answers, 0 too late");
}

#[test]
fn the_primes_are_right_around_the_parts_of_the_sieve() {
    let server = Server::start("offload");
    let mut client = server.connect();
    // 262,139 is the last one in the first part.
    // 262,139 is the last one in the first part.
    let known = [
        (0, 0),
        (1, 0),
        (2, 0),
        (3, 1),
        (4, 2),
        (100, 25),
        (262_139, 22_999),
        (262_140, 23_000),
        (600_000, 49_098),
    ];
    for (below, primes) in known {
        writeln!(client, "{below}").expect("written");
        let mut answer = String::new();
        BufReader::new(&client).read_line(&mut answer).expect("an answer");
        assert_eq!(answer, format!("{primes} primes below {below}\n"));
    }
}
