//! Races of the simulated network: how much of it there is in a second, beside the system's.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use switchboard::codec::Lines;
use switchboard::sim::{self, Faults, Script};
use switchboard::{Config, Handler, Reactor, each};

use super::race::{Race, Run};

pub(crate) fn races() -> Vec<Race> {
    vec![
        Race::new("lines exchanged on the simulated network, twice as for each seed", "line", 1000, |n| {
            Box::new(move || {
                let explored = sim::try_seeds(1..2, |sim| {
                    let mut script = Script::new();
                    for _ in 0..n {
                        script = script.send("hello\n").expect("hello\n");
                    }
                    sim.server(echo()).client(script.shutdown().expect_end()).run();
                });
                black_box(explored.expect("it breaks nothing"));
            })
        })
        .against("on loopback", loopback),
        Race::new("seeds of a scenario with three clients and all faults", "seed", 50, |n| {
            let mut seed = 0;
            Box::new(move || {
                let seeds = seed..seed + n as u64;
                seed += n as u64;
                let scenario = |sim: sim::Sim| {
                    let client = Script::new().send("hello\n").expect("hello\n").shutdown().expect_end();
                    let sim = sim.server(echo()).client(client.clone()).client(client.clone()).client(client);
                    sim.faults(Faults::swarm()).run();
                };
                black_box(sim::try_seeds(seeds, scenario).expect("it breaks nothing"));
            })
        }),
        Race::new("ways to split 12 bytes, each a run of its own", "way", 2048, |n| {
            let input = &b"hello\nworld\n"[..=n.ilog2() as usize];
            Box::new(move || {
                black_box(sim::every_split(echo, input));
            })
        }),
    ]
}

fn echo() -> impl Handler {
    each(Lines::new, |cx, line| {
        cx.send(line);
        cx.send(b"\n");
        Ok(())
    })
}

fn loopback(lines: usize) -> Run {
    let mut reactor = Reactor::new(echo(), Config::default()).expect("made");
    let listener = reactor.listen("127.0.0.1:0").expect("a free port");
    let addr = reactor.local_addr(listener).expect("bound").socket_addr().expect("IP");
    Box::new(move || {
        let mut client = TcpStream::connect(addr).expect("accepted");
        let mut answer = [0; 6];
        for _ in 0..lines {
            client.write_all(b"hello\n").expect("taken");
            let sent = reactor.stats().sent;
            while reactor.stats().sent == sent {
                reactor.turn(Some(Duration::from_secs(10))).expect("a turn in good order");
            }
            client.read_exact(&mut answer).expect("an answer");
        }
        drop(client);
        while reactor.stats().open > 0 {
            reactor.turn(Some(Duration::from_secs(10))).expect("a turn in good order");
        }
    })
}
