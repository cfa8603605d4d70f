//! What the simulator says when something is wrong: with the program under test, with the scenario, with a tape.
//!
//! Each test makes one mistake and reads the answer as its user would.

use std::cell::Cell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use switchboard::codec::{Lines, Raw};
use switchboard::sim::{self, Failure, Fault, Faults, Found, Next, Received, Script, Sim};
use switchboard::{Close, Config, Conn, Context, Frame, Handler, Peer, Result, each};

fn echo() -> impl Handler {
    each(Raw::new, |cx, bytes| {
        cx.send(bytes);
        Ok(())
    })
}

/// The failure of an echo server with this client.
fn failure(script: Script) -> Failure {
    Sim::new(1).server(echo()).client(script).try_run().expect_err("it cannot go well")
}

fn found(scenario: impl Fn(Sim)) -> Found {
    sim::try_seeds(0..100, scenario).expect_err("it cannot go well")
}

#[test]
fn a_client_that_waits_in_vain_says_where_and_what_it_has() {
    let failure = failure(Script::new().send(b"abc").expect(b"abcd"));
    assert_eq!(failure.to_string(), "client 0 waits in step 2: expect \"abcd\"; it has received \"abc\"");
    assert!(
        failure.lines.iter().any(|line| line.contains("client: recv #1: 3 bytes \"abc\"")),
        "{failure:?}"
    );
    assert!(format!("{failure:?}").contains("what led there:"));
}

#[test]
fn wrong_bytes_are_shown_from_the_first_that_differs() {
    let failure = failure(Script::new().send(b"abc").expect(b"aXc"));
    assert!(
        failure.what.starts_with(
            "client 0 failed in step 2: expect \"aXc\": from byte 1 on it is \"bc\", not \"Xc\""
        ),
        "{failure}"
    );
}

#[test]
fn an_impossible_script_says_which_step() {
    let failure = failure(Script::new().send(b"a").shutdown().send(b"b"));
    assert_eq!(failure.what, "client 0: step 3 of the script is `send \"b\"`, after `shutdown`");
}

#[test]
fn a_wait_that_no_clock_can_show_is_an_impossible_step() {
    let failure = failure(Script::new().wait(Duration::MAX));
    assert!(failure.what.starts_with("client 0: step 1 of the script is `wait"), "{failure}");
}

#[test]
fn a_script_may_wait_for_a_year() {
    let year = Duration::from_secs(365 * 86_400);
    let client = Script::new().wait(year).send(b"abc").expect(b"abc");
    let report = Sim::new(1).server(echo()).client(client.clone()).client_at(year, client).run();
    assert_eq!(report.time, year * 2);
}

#[test]
fn a_run_longer_than_allowed_says_how_long_and_who_waits() {
    let client = Script::new().wait(Duration::from_secs(20)).expect(b"x");
    let scenario = Sim::new(1).server(echo()).client(client).at(Duration::from_secs(15), |_, _| {});
    let failure = scenario.time_max(Duration::from_secs(10)).try_run().expect_err("it takes longer");
    let text = "it is not over after 10s (`time_max` allows more): client 0 waits in step 1: wait 20s";
    assert!(failure.what.starts_with(text), "{failure}");
}

#[test]
fn a_send_to_a_server_that_has_closed_fails_as_on_linux() {
    let server = each(Raw::new, |cx, _| {
        cx.send(b"bye");
        Err(Close::Flush)
    });
    let client = Script::new().send(b"a").expect(b"bye").expect_end().send(b"b").send(b"c");
    let failure = Sim::new(1).server(server).client(client).try_run().expect_err("nobody is there");
    // The first goes out and brings the reset.
    assert!(failure.what.starts_with("client 0 failed in step 5: send \"c\": EPIPE"), "{failure}");
}

#[test]
fn clients_connect_where_the_server_listens() {
    let second: SocketAddr = "10.0.0.1:9000".parse().expect("an address");
    let client = Script::new().send(b"abc").expect(b"abc");
    let server = Sim::new(1).server(echo()).listen("127.0.0.1:0").listen(second);
    let report = server.client(client.clone()).client_to(second, client).run();
    assert_eq!(report.stats.accepted, 2);
}

#[test]
fn a_client_of_nobody_says_where_it_went() {
    let nobody: SocketAddr = "10.0.0.1:9".parse().expect("an address");
    let scenario = Sim::new(1).server(echo()).client_to(nobody, Script::new().send(b"a"));
    let failure = scenario.try_run().expect_err("nobody listens there");
    assert!(failure.what.starts_with("client 0 could not connect to 10.0.0.1:9: ECONNREFUSED"), "{failure}");
}

#[test]
fn an_address_that_is_not_the_servers_is_named() {
    let failure = Sim::new(1).server(echo()).listen("192.0.2.1:80").try_run().expect_err("not its address");
    assert!(failure.what.contains("cannot listen on 192.0.2.1:80: EADDRNOTAVAIL"), "{failure}");
}

#[test]
fn bad_options_are_a_failure_with_their_reason() {
    let mut config = Config::default();
    config.recv_buffer_bytes = 0;
    let failure = Sim::new(1).server(echo()).config(config).try_run().expect_err("no buffer");
    assert!(failure.what.contains("recv_buffer_bytes of 0"), "{failure}");
}

#[test]
fn nobody_and_nothing_are_no_failure() {
    let report = Sim::new(1).server(echo()).run();
    assert_eq!((report.clients.len(), report.stats.accepted), (0, 0));
    let nothing = Script::new().send(b"").expect(b"").recv(0);
    Sim::new(1).server(echo()).client(Script::new()).client(nothing).run();
    let splits = sim::every_split(echo, b"");
    assert_eq!((splits.to_string().as_str(), splits.all), ("1 split: all there are", true));
}

#[test]
fn an_input_that_fails_in_one_piece_is_said_to() {
    let make = || each(Raw::new, |_, bytes| panic!("{} bytes", bytes.len()));
    let differs = sim::try_every_split(make, b"abc").expect_err("it panics");
    let text = differs.to_string();
    assert!(text.starts_with("the input fails in one piece: \"abc\"\n  3 bytes\n"), "{text}");
    assert!(text.contains("at tests/sim/messages.rs:"), "{text}");
}

/// Answers each byte and leaves it to its peer to close, which waits for the same.
struct Patient;

impl Handler for Patient {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: Frame<'_, Self>) -> Result {
        cx.send(bytes);
        Ok(())
    }

    fn half_closed(&mut self, _: &mut Context, _: Conn<'_, Self>) -> Result {
        Ok(())
    }
}

#[test]
fn a_server_that_never_closes_is_compared_all_the_same() {
    let splits = sim::every_split(|| Patient, b"abcdef");
    assert_eq!(splits.count, 32);
    let scenario = Sim::new(1).server(Patient).client(Script::new().shutdown().expect_end());
    let failure = scenario.try_run().expect_err("both wait");
    assert!(failure.what.starts_with("client 0 waits in step 2: expect the end"), "{failure}");
}

/// Sets a timer of zero for ever.
struct Restless;

impl Handler for Restless {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.alarm(cx, 0);
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: Frame<'_, Self>) -> Result {
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        cx.set_alarm(Duration::ZERO, key).expect("there is room for one");
    }
}

#[test]
fn a_handler_that_always_sets_a_timer_of_zero_is_stopped() {
    let scenario = Sim::new(1).server(Restless).client(Script::new().expect(b"x"));
    let failure = scenario.try_run().expect_err("time never passes");
    assert!(failure.what.contains("no time passed") && failure.what.contains("timer of zero"), "{failure}");
}

#[test]
fn a_simulation_runs_inside_another() {
    let outer = each(Lines::new, |cx, line| {
        let inner = Sim::new(2).server(echo()).client(Script::new().send(line).expect(line)).run();
        cx.send(&inner.clients[0].received);
        Ok(())
    });
    Sim::new(1).server(outer).client(Script::new().send(b"abc\n").expect(b"abc")).run();
}

#[test]
fn a_panic_of_the_handler_is_shown_with_its_place_and_what_led_there() {
    let found = found(|sim| {
        let server = each(Raw::new, |cx, bytes| {
            assert!(bytes.len() > 1, "a single byte");
            cx.send(bytes);
            Ok(())
        });
        sim.server(server).client(Script::new().send(b"ab").expect(b"ab")).faults(Faults::harmless()).run();
    });
    assert!(found.what.starts_with("a single byte\n  at tests/sim/messages.rs:"), "{found}");
    assert!(found.lines.iter().any(|line| line.contains("recv #2: 1 bytes \"a\"")), "{found}");
}

#[test]
fn an_assertion_in_a_client_is_shown_like_one_in_the_handler() {
    let found = found(|sim| {
        let mut sent = 0;
        let client = move |peer: &mut sim::Peer<'_>| {
            sent += peer.send(&b"abcd"[sent..]);
            match peer.recv(100) {
                Received::Bytes(n) => assert_eq!(n, 4, "all at once"),
                Received::Nothing => return Next::Wait,
                Received::End | Received::Failed(_) => {}
            }
            Next::Done
        };
        sim.server(echo()).client_fn(client).faults(Faults::harmless()).run();
    });
    assert!(found.what.starts_with("assertion `left == right` failed: all at once\n"), "{found}");
    assert!(found.what.contains("at tests/sim/messages.rs:") && !found.lines.is_empty(), "{found}");
}

#[test]
fn a_client_function_that_is_never_done_is_told_how_to_be() {
    let failure = Sim::new(1).server(echo()).client_fn(|_| Next::Wait).try_run().expect_err("never done");
    assert!(failure.what.contains("has not answered `Next::Done`"), "{failure}");
}

/// Answers with the bytes of a line in the order of a hash set.
fn unordered() -> impl Handler {
    each(Lines::new, |cx, line| {
        let bytes: HashSet<u8> = line.iter().copied().collect();
        cx.send(&bytes.into_iter().collect::<Vec<u8>>());
        Ok(())
    })
}

#[test]
fn the_order_of_a_hash_set_is_told_apart_from_a_bug_of_the_protocol() {
    let scenario = |sim: Sim| {
        sim.server(unordered()).client(Script::new().send(b"abcdefghijkl\n").recv(12)).run();
    };
    for found in [found(scenario), sim::try_deviations(1, 10, scenario).expect_err("it differs")] {
        assert!(found.what.contains("ran in two ways") && found.what.contains("HashMap"), "{found}");
        assert!(found.what.contains("once: ") && found.what.contains("send #2: 12 of 12 bytes"), "{found}");
        assert_eq!(found.tape, "", "no tape brings it back");
    }
}

#[test]
fn a_failure_that_does_not_come_again_is_shown_with_the_reason() {
    // As a clock or another thread would have it: only the first of all runs fails.
    let first = Cell::new(true);
    let found = found(|sim| {
        let answer = if first.replace(false) { b"b" } else { b"a" };
        let server = each(Raw::new, move |cx, _| {
            cx.send(answer);
            Ok(())
        });
        sim.server(server).client(Script::new().send(b"x").expect(b"a")).run();
    });
    assert!(found.what.starts_with("client 0 failed in step 2"), "{found}");
    assert!(found.what.contains("it does not fail each time: the same seed ran in two ways"), "{found}");
}

fn one_echo(sim: Sim) {
    sim.server(echo()).client(Script::new().send(b"a").expect(b"a")).faults(Faults::swarm()).run();
}

#[test]
fn a_tape_that_ends_early_says_after_how_many_choices() {
    let found = sim::replay("3x0", one_echo).expect_err("it is too short");
    assert!(found.what.starts_with("the tape ends after 3 choices, and the weight of a fault"), "{found}");
    assert!(found.what.contains("another scenario or of other code"), "{found}");
}

#[test]
fn a_tape_of_another_scenario_says_which_choice_it_does_not_have() {
    let found = sim::replay("2x0,99", one_echo).expect_err("there is no such way");
    assert!(found.what.starts_with("choice 2 of the tape is 99, but for the weight of a fault"), "{found}");
}

#[test]
fn text_that_is_no_tape_is_a_failure_that_says_which_part() {
    let found = sim::replay("1,2,x", one_echo).expect_err("it is no tape");
    assert_eq!(found.to_string().trim_end(), "part 3 of the tape is `x`, not a number or COUNTxNUMBER");
}

// A client that polls by time is no way around the limits of a run.
#[test]
fn a_client_that_polls_for_ever_is_stopped() {
    let server = || each(Raw::new, |_, _| Ok(()));
    let failure = Sim::new(1)
        .server(server())
        .client_fn(|_| Next::WaitFor(Duration::from_millis(10)))
        .time_max(Duration::from_secs(60))
        .try_run()
        .expect_err("it never ends");
    assert!(failure.to_string().contains("it is not over after 60s"), "{failure}");
    assert!(failure.at < Duration::from_secs(62), "{failure}");
}

// A fault that cuts a client off explains why something is missing, and not that something is wrong.
#[test]
fn wrong_bytes_are_a_failure_also_for_a_client_that_is_cut_off_later() {
    let found = sim::try_deviations(1, 1000, |sim| {
        let wrong = each(Lines::new, |cx, _| {
            cx.send(b"WRONG");
            Ok(())
        });
        let client = Script::new().send(b"a\n").expect(b"right");
        sim.server(wrong).client(client).faults(Faults::none().with(Fault::Reset, 1)).run();
    });
    assert!(found.expect_err("it is wrong").what.contains("not \"right\""));
    let cut = Sim::new(1)
        .server(each(Lines::new, |cx, _| {
            cx.send(b"WRONG");
            Ok(())
        }))
        .client_fn(|peer| {
            peer.send(b"a\n");
            if peer.received().is_empty() && peer.recv(5) == Received::Nothing {
                return Next::Wait;
            }
            peer.wrong("this is wrong");
            Next::Done
        })
        .try_run();
    assert!(cut.is_err());
}

// Limits that mean "none" are no accident of arithmetic.
#[test]
fn the_largest_values_of_everything_are_no_overflow() {
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::MAX);
    config.drain_timeout = Duration::MAX;
    let echo = each(Lines::new, |cx, line| {
        cx.send(line);
        Ok(())
    });
    let client = Script::new().send(b"a\n").expect(b"a").shutdown().expect_end();
    Sim::new(1).server(echo).config(config).buffers(usize::MAX, usize::MAX).client(client).run();
}

// The script that was looked at beforehand is the first one that is played.
#[test]
fn an_acceptor_makes_one_script_for_each_connection() {
    let mut made = 0;
    let report = Sim::new(1)
        .server(each(Raw::new, |_, _| Ok(())))
        .acceptor(80, move || {
            made += 1;
            Script::new().send([b'0' + made])
        })
        .at(Duration::ZERO, |_, cx| {
            for _ in 0..2 {
                cx.connect("10.0.0.2:80".parse::<switchboard::Addr>().expect("an address"), 0)
                    .expect("there is room");
            }
        })
        .run();
    assert_eq!((report.stats.connected, report.stats.received), (2, 2));
}
