//! What a user tries first.

use std::time::Duration;

use switchboard::codec::{LengthPrefixed, Lines, Raw};
use switchboard::sim::{self, End, Fault, Faults, Script, Sim};
use switchboard::{CloseKind, Config, each};

fn echo() -> impl switchboard::Handler {
    each(Raw::new, |cx, bytes| {
        cx.send(bytes);
        Ok(())
    })
}

#[test]
fn an_echo_server_echoes_on_the_quiet_network() {
    let report = Sim::new(1)
        .server(echo())
        .client(Script::new().send(b"hello").expect(b"hello").shutdown().expect_end())
        .run();
    assert_eq!(report.clients[0].end, End::Ended);
    assert_eq!(report.stats.closed(CloseKind::Ended), 1);
}

#[test]
fn kilobytes_come_back_under_harmless_faults() {
    sim::seeds(30, |sim| {
        let bytes: Vec<u8> = (0..6_000_u32).map(|n| (n % 251) as u8).collect();
        let client = Script::new()
            .send(&bytes[..2_000])
            .expect(&bytes[..2_000])
            .send(&bytes[2_000..6_000])
            .expect(&bytes[2_000..6_000])
            .shutdown()
            .expect_end();
        sim.server(echo()).client(client.clone()).client(client).faults(Faults::harmless()).run();
    });
}

#[test]
fn a_minute_of_waiting_takes_no_time() {
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_secs(60));
    let report = Sim::new(1).server(echo()).config(config).client(Script::new().expect_end()).run();
    assert_eq!(report.stats.closed(CloseKind::TimedOut), 1);
    assert!(
        report.time >= Duration::from_secs(60) && report.time < Duration::from_secs(61),
        "{:?}",
        report.time
    );
}

#[test]
fn a_swarm_of_faults_breaks_no_promise() {
    sim::seeds(300, |sim| {
        let echo = each(Lines::new, |cx, line| {
            cx.send(line);
            cx.send(b"\n");
            Ok(())
        });
        let client = Script::new()
            .send(b"hello\n")
            .expect(b"hello\n")
            .send(b"a\nb\n")
            .expect(b"a\nb\n")
            .shutdown()
            .expect_end();
        sim.server(echo)
            .client(client.clone())
            .client(client.clone())
            .client(client)
            .faults(Faults::swarm())
            .run();
    });
}

#[test]
fn a_length_prefix_is_read_the_same_however_it_is_split() {
    let splits = sim::every_split(
        || {
            each(LengthPrefixed::new, |cx, frame| {
                cx.send(frame);
                Ok(())
            })
        },
        b"\0\0\0\x03abc\0\0\0\0\0\0\0\x02xy",
    );
    assert!(splits.all);
}

#[test]
fn one_fault_at_every_place_breaks_no_promise() {
    let faults = Fault::ALL.into_iter().fold(Faults::none(), |faults, fault| faults.with(fault, 1));
    let explored = sim::deviations(1, 100_000, |sim| {
        let client = Script::new().send(b"hello\n").expect(b"hello\n").shutdown().expect_end();
        sim.server(echo()).client(client).faults(faults.clone()).run();
    });
    assert!(explored.complete, "{explored:?}");
    println!("{explored:?}");
}

#[test]
fn a_client_that_is_reset_is_told_so() {
    let reset = each(Lines::new, |cx, _| {
        cx.send_to(cx.id(), b"bye");
        Err(switchboard::Close::Abort)
    });
    let report = Sim::new(1).server(reset).client(Script::new().send(b"hello\n").expect_reset()).run();
    assert_eq!(report.clients[0].end, End::Reset);
}

// G7: whichever callback panics, only its own connection ends.
#[test]
fn g7_a_panic_at_every_callback_ends_one_connection_only() {
    let explored = sim::deviations(1, 10_000, |sim| {
        let mut config = Config::default();
        config.isolate_panics = true;
        let client = Script::new().send(b"a\nb\n").recv(4).shutdown().expect_end();
        let echo = each(Lines::new, |cx, line| {
            cx.send(line);
            cx.send(b"\n");
            Ok(())
        });
        let faults = Faults::none().with(Fault::Panics, 1);
        sim.server(echo).config(config).client(client.clone()).client(client).faults(faults).run();
    });
    assert!(explored.complete && explored.runs > 8, "{explored:?}");
}
