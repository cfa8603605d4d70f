//! Unix streams on the simulated network: the checks that TCP passes, and what is not like TCP.

use std::time::Duration;

use switchboard::codec::Lines;
use switchboard::sim::{self, CERTAIN, Fault, Faults, Script, Sim};
use switchboard::{
    Close, CloseReason, Config, Conn, Context, Frame, Handler, Listen, Peer, Result, UnixAddr, each,
};

use crate::scenarios;

const NAME: &str = "unix:/run/server.sock";

fn name() -> UnixAddr {
    UnixAddr::from_path("/run/server.sock").expect("a short path")
}

/// A scenario of the swarm, with a server that listens on a Unix socket.
///
/// Not for "drain" and "calls": there, a client that was cut off must not take it for an orderly end, and over a Unix
/// socket it has nothing else to take it for.
fn swarm(name: &str, seeds: u64) {
    let (_, scenario) =
        scenarios::all().iter().find(|(one, _)| *one == name).expect("a scenario has this name");
    sim::seeds(seeds, |sim| scenario(sim.listen(NAME)));
}

#[test]
fn harmful_neighbours_on_a_unix_socket_change_nothing_for_the_others() {
    swarm("neighbours", 100);
}

#[test]
fn everyone_in_a_room_behind_a_unix_socket_hears_everything() {
    swarm("chat", 50);
}

#[test]
fn requests_over_a_unix_socket_are_answered_after_their_time_and_once() {
    swarm("timers", 100);
}

#[test]
fn frames_are_echoed_over_a_unix_socket_through_the_smallest_buffers() {
    swarm("pipelining", 10);
}

#[test]
fn answers_come_whole_over_a_unix_socket_after_a_half_close() {
    swarm("half_close", 100);
}

#[test]
fn everyone_is_served_over_a_unix_socket_with_few_descriptors() {
    swarm("descriptors", 100);
}

#[test]
fn memory_stays_within_its_limit_with_a_unix_socket() {
    swarm("memory", 30);
}

fn upper() -> impl Handler {
    each(Lines::new, |cx, line| {
        cx.send(&line.to_ascii_uppercase());
        cx.send(b"\n");
        Ok(())
    })
}

fn talk() -> Script {
    Script::new().send(b"hello\nworld\n").expect(b"HELLO\nWORLD\n").shutdown().expect_end()
}

#[test]
fn a_unix_stream_is_simulated_under_every_fault() {
    sim::seeds(300, |sim| {
        let client = Script::new().send(b"one\n").expect(b"ONE\n").expect_end();
        let closing = each(Lines::new, |cx, line| {
            cx.send(&line.to_ascii_uppercase());
            cx.send(b"\n");
            Err(Close::Linger)
        });
        let scenario = sim.server(closing).listen(NAME).faults(Faults::swarm());
        scenario.client(client.clone()).client(client).run();
    });
}

// K7: nobody connects to what a process that is gone has left; who listens there replaces it; a file stays.
#[test]
fn k7_a_name_that_is_left_over_is_replaced_and_a_file_is_not() {
    let report = Sim::new(1).server(upper()).listen(NAME).left_over(name()).client(talk()).run();
    assert_eq!(report.stats.accepted, 1);
    let failure = Sim::new(1).server(upper()).listen(NAME).file_at(name()).try_run().expect_err("a file");
    assert!(failure.what.contains("cannot listen on unix:/run/server.sock: EADDRINUSE"), "{failure}");
    let twice = Sim::new(1).server(upper()).listen(NAME).listen(NAME).try_run().expect_err("in use");
    assert!(twice.what.contains("EADDRINUSE"), "{twice}");
    let scenario = Sim::new(1).server(upper()).left_over(name()).client_to(name(), talk());
    let failure = scenario.try_run().expect_err("nobody listens there");
    assert!(failure.what.contains("could not connect to unix:/run/server.sock: ECONNREFUSED"), "{failure}");
    let failure = Sim::new(1).server(upper()).client_to(name(), talk()).try_run().expect_err("nothing");
    assert!(failure.what.contains("could not connect to unix:/run/server.sock: ENOENT"), "{failure}");
}

// D9: more clients than the backlog holds. Each of them gets in.
#[test]
fn d9_clients_wait_for_room_in_the_backlog() {
    let mut scenario = Sim::new(1).server(upper()).listen(Listen::unix(name()).backlog(0));
    for _ in 0..20 {
        scenario = scenario.client(talk());
    }
    assert_eq!(scenario.run().stats.accepted, 20);
}

// K8: a handler may ask who is there.
#[test]
fn k8_credentials_are_simulated() {
    struct Known;

    impl Handler for Known {
        type Codec = Lines;
        type Session = ();

        fn opened(&mut self, _: &mut Context, peer: &Peer<'_>) -> Option<(Lines, ())> {
            assert_eq!(peer.credentials().expect("a Unix stream").uid, 1000);
            Some((Lines::new(), ()))
        }

        fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
            cx.send(line);
            Ok(())
        }
    }

    Sim::new(1).server(Known).listen(NAME).client(Script::new().send(b"a\n").expect(b"a")).run();
}

/// Connects to its own listener, as often as it takes, and says something there.
#[derive(Default)]
struct Both {
    told: Vec<String>,
    heard: Vec<u8>,
}

impl Handler for Both {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, _: &mut Context, peer: &Peer<'_>) -> Option<(Lines, ())> {
        self.told.push(format!("{:?} {}", peer.origin, peer.addr));
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        self.heard.extend_from_slice(line);
        cx.send(b"bye\n");
        Err(Close::Linger)
    }

    fn connect_failed(&mut self, cx: &mut Context, key: u64, why: &CloseReason) {
        assert!(matches!(why, CloseReason::Io(_) | CloseReason::TimedOut(_)), "{why}");
        say(cx, key);
    }
}

fn say(cx: &mut Context, key: u64) {
    let id = cx.connect(name(), key).expect("room");
    assert!(cx.send_to(id, b"hello\n").is_queued());
}

// D3, D9: whatever a connect fails with, at once or because there is no room, it is told by the loop and once.
#[test]
fn d9_a_reactor_connects_to_a_unix_socket_under_every_fault() {
    sim::seeds(200, |sim| {
        let mut config = Config::default();
        config.connect_timeout = Duration::from_secs(1);
        let scenario = sim.server(Both::default()).listen(Listen::unix(name()).backlog(0)).config(config);
        let scenario = scenario.at(Duration::ZERO, |_, cx| (0..4).for_each(|key| say(cx, key)));
        scenario.faults(Faults::none().with(Fault::ConnectFails, CERTAIN / 2)).run();
    });
    let scenario = Sim::new(1).server(Both::default()).listen(Listen::unix(name()).backlog(0));
    let report = scenario.at(Duration::ZERO, |_, cx| (0..4).for_each(|key| say(cx, key))).run();
    assert_eq!((report.stats.connected, report.stats.accepted, report.stats.connects_failed), (4, 4, 0));
}

// K11: a client that leaves what it was sent unread has reset the connection; one that has read all has ended it.
#[test]
fn k11_a_close_with_input_unread_is_a_reset_and_no_other_is() {
    for (client, reset) in [
        (Script::new().send(b"a\n").wait(Duration::from_secs(1)), true),
        (Script::new().send(b"a\n").expect(b"A\n"), false),
    ] {
        let report = Sim::new(1).server(upper()).listen(NAME).client(client).run();
        let kind = if reset { switchboard::CloseKind::Reset } else { switchboard::CloseKind::Ended };
        assert_eq!(report.stats.closed(kind), 1, "{:?}", report.stats);
    }
}
