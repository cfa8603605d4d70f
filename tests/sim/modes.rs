//! Failure modes that sockets rarely show, each by its id, on the simulated network.

use std::net::SocketAddr;
use std::time::Duration;

use switchboard::codec::{Lines, Raw};
use switchboard::sim::{self, CERTAIN, Fault, Faults, Script, Sim};
use switchboard::{CloseKind, CloseReason, Config, Conn, Context, Handler, Peer, Result, each};

fn echo() -> impl Handler {
    each(Lines::new, |cx, line| {
        cx.send(line);
        cx.send(b"\n");
        Ok(())
    })
}

fn talk() -> Script {
    Script::new().send(b"one\ntwo\n").expect(b"one\ntwo\n").shutdown().expect_end()
}

/// Runs two clients of an echo server with so many faults of one kind, at every place where they can happen.
fn everywhere(fault: Fault, count: usize) -> sim::Explored {
    let explored = sim::deviations(count, 1_000_000, |sim| {
        let faults = Faults::none().with(fault, 1);
        sim.server(echo()).client(talk()).client(talk()).faults(faults).run();
    });
    assert!(explored.complete && explored.runs > 4, "{explored:?}");
    explored
}

// A15, B5: a signal comes during any poll, receive, send or accept, or during any two of them.
#[test]
fn a15_interrupted_calls_and_polls_change_nothing() {
    everywhere(Fault::Interrupt, 2);
}

// A8: a poll reports only some of what there is, and the rest the next time.
#[test]
fn a8_a_poll_cut_short_anywhere_loses_nobody() {
    everywhere(Fault::CutBatch, 3);
}

// B6, E5: no buffer space, or a send that is taken in part, at any two places.
#[test]
fn b6_sends_without_buffer_space_are_tried_again() {
    everywhere(Fault::NoBuffers, 2);
    everywhere(Fault::PartialSend, 2);
    everywhere(Fault::Squeeze, 2);
}

// B7: a connection dies of any error, at any place. The other client gets all of its answers.
#[test]
fn b7_any_error_ends_its_own_connection_only() {
    everywhere(Fault::Dies, 1);
}

// C3: ENFILE, ENOBUFS, ENOMEM and EMFILE at any two accepts. Both clients are served in the end.
#[test]
fn c3_accepting_goes_on_after_every_shortage() {
    everywhere(Fault::Exhausted, 2);
}

// C4: an accept fails because of the connection it was for. The other one is served.
#[test]
fn c4_an_accept_that_fails_costs_one_connection() {
    everywhere(Fault::Aborted, 1);
}

/// Connects to one address many times, and notes what became of it.
#[derive(Default)]
struct Caller {
    opened: usize,
    failed: Vec<String>,
    /// When the last one failed.
    failed_at: switchboard::Instant,
}

impl Handler for Caller {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.opened += 1;
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, why: &CloseReason) {
        self.failed_at = cx.now();
        self.failed.push(why.to_string());
    }
}

/// Where an acceptor, or nobody, is.
const THERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 80);

fn connect(times: usize) -> impl FnOnce(&mut Caller, &mut Context) {
    move |_, cx| {
        for _ in 0..times {
            cx.connect(THERE, 0).expect("there is room");
        }
    }
}

// D5: nothing ever answers. The kernel would wait for two minutes.
#[test]
fn d5_a_connect_into_a_black_hole_ends_at_its_timeout() {
    let report = Sim::new(1).server(Caller::default()).black_hole(THERE).at(Duration::ZERO, connect(1)).run();
    assert_eq!(report.handler.opened, 0);
    assert_eq!(report.handler.failed, ["timed out waiting for the connect"]);
    let took = report.handler.failed_at.since(switchboard::Instant::START);
    let timeout = Config::default().connect_timeout;
    assert!(took >= timeout && took < timeout + Duration::from_secs(1), "{took:?}");
}

// D6: the network knows no way, and says so at once or later.
#[test]
fn d6_a_connect_that_the_network_refuses_fails_with_its_reason() {
    let report =
        Sim::new(1).server(Caller::default()).unreachable(THERE).at(Duration::ZERO, connect(1)).run();
    assert_eq!(report.handler.failed, ["socket error: EHOSTUNREACH: no route to host"]);
    let explored = sim::deviations(1, 1000, |sim| {
        let faults = Faults::none().with(Fault::ConnectFails, 1);
        let sim = sim.server(Caller::default()).acceptor(80, Script::new).faults(faults);
        let report = sim.at(Duration::ZERO, connect(2)).run();
        assert_eq!(report.handler.opened + report.handler.failed.len(), 2, "one outcome each");
    });
    assert!(explored.complete && explored.runs > 10, "{explored:?}");
}

// D7: four local ports and five connects.
#[test]
fn d7_without_a_local_port_a_connect_fails_and_the_others_do_not() {
    let sim = Sim::new(1).server(Caller::default()).ports(40_000, 40_003);
    let report =
        sim.acceptor(80, || Script::new().wait(Duration::from_secs(1))).at(Duration::ZERO, connect(5)).run();
    assert_eq!(report.handler.opened, 4);
    let failed = &report.handler.failed[..];
    assert!(matches!(failed, [one] if one.starts_with("socket error: EADDRNOTAVAIL: ")), "{failed:?}");
    assert!(failed[0].contains("connect from more addresses"), "{failed:?}");
}

// F12: the peer is gone without a word, before it has said anything or behind its first line.
#[test]
fn f12_a_peer_that_vanishes_is_closed_at_the_idle_timeout() {
    let timed_out = std::cell::Cell::new(0);
    let explored = sim::deviations(1, 1000, |sim| {
        let mut config = Config::default();
        config.idle_timeout = Some(Duration::from_secs(60));
        let faults = Faults::none().with(Fault::Vanishes, 1);
        let report = sim.server(echo()).config(config).client(talk()).faults(faults).run();
        assert_eq!(report.stats.closed_total(), 1);
        timed_out.set(timed_out.get() + report.stats.closed(CloseKind::TimedOut));
    });
    assert!(explored.complete && timed_out.get() >= 3, "{explored:?}");
}

// F12: without a timeout the system gives up in the end, if there is anything to be answered.
#[test]
fn f12_without_timeouts_output_to_a_vanished_peer_ends_with_the_systems_error() {
    struct Greeter;
    impl Handler for Greeter {
        type Codec = Raw;
        type Session = ();

        fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
            cx.send(b"welcome");
            Some((Raw::new(), ()))
        }

        fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
            Ok(())
        }
    }
    let faults = Faults::none().with(Fault::Vanishes, CERTAIN);
    let report = Sim::new(1).server(Greeter).client(Script::new().recv_to_end()).faults(faults).run();
    assert_eq!(report.stats.closed(CloseKind::Io), 1);
    assert!(report.time > Duration::from_secs(900), "{:?}", report.time);
}

// F13: of a reset only one side hears. The other one is found out by the idle timeout, or by what it is sent.
#[test]
fn f13_a_reset_that_only_one_side_hears_of_leaves_nothing_open() {
    let explored = sim::deviations(1, 1000, |sim| {
        let mut config = Config::default();
        config.idle_timeout = Some(Duration::from_secs(60));
        let faults = Faults::none().with(Fault::Reset, 1);
        let report = sim.server(echo()).config(config).client(talk()).client(talk()).faults(faults).run();
        assert!(report.time < Duration::from_secs(62), "{:?}", report.time);
    });
    assert!(explored.complete && explored.runs > 10, "{explored:?}");
}

// G9, H6, H12: a callback takes its time, anywhere. Timers and data that came meanwhile are as if it had not.
#[test]
fn g9_slow_callbacks_end_nobody() {
    let explored = sim::deviations(2, 1_000_000, |sim| {
        let mut config = Config::default();
        config.idle_timeout = Some(Duration::from_millis(900));
        config.frame_timeout = Some(Duration::from_millis(900));
        let faults = Faults::none().with(Fault::Slow, 1);
        let report = sim.server(echo()).config(config).client(talk()).client(talk()).faults(faults).run();
        assert_eq!(report.stats.closed(CloseKind::Ended), 2);
    });
    assert!(explored.complete && explored.runs > 100, "{explored:?}");
}

// Virtual time does not pass while a loop spins: it would never get out of it.
#[test]
fn a_loop_that_is_to_spin_does_not_in_virtual_time() {
    let run = |seed, spin| {
        let mut config = Config::default();
        config.idle_timeout = Some(Duration::from_secs(60));
        config.spin = spin;
        let wait = Script::new().send(b"one\n").expect(b"one\n").wait(Duration::from_secs(90)).expect_end();
        let faults = Faults::harmless();
        let report =
            Sim::new(seed).server(echo()).config(config).client(talk()).client(wait).faults(faults).run();
        (report.hash, report.time, report.stats.calls)
    };
    for seed in 0..20 {
        assert_eq!(run(seed, Some(Duration::from_millis(1))), run(seed, None), "seed {seed}");
    }
}
