//! The core scenarios: small programs of every kind, under whatever faults they are given.
//!
//! They know what must hold at their end, whatever went wrong: frames in order and whole, nothing that was not sent,
//! and everything where nobody was cut off. What holds of any run the simulation checks by itself.

use std::time::Duration;

use switchboard::codec::{LengthPrefixed, Lines, Raw, ToEnd};
use switchboard::sim::{ClientReport, Fault, Faults, Report, Script, Sim};
use switchboard::{CloseKind, Config, Context, Handler, Result, Stop};

use super::clients::{Then, talks};
use super::noting::Noting;

/// A scenario: it runs on what it is given, and panics if it went wrong.
pub(crate) type Scenario = fn(Sim, Faults);

/// Every kind of fault, each as soon as an engine asks for it.
pub(crate) fn every_fault() -> Faults {
    Fault::ALL.into_iter().fold(Faults::none(), |faults, fault| faults.with(fault, 1))
}

const SECOND: Duration = Duration::from_secs(1);

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    config.recv_buffer_bytes = 512;
    change(&mut config);
    config
}

/// What a client got must be the first of `reply`, and all of it unless a fault cut it off.
#[track_caller]
fn check_reply(client: &ClientReport, reply: &[u8]) {
    assert!(reply.starts_with(&client.received), "{client:?}");
    assert!(client.cut || client.received == reply, "{client:?}");
}

#[expect(clippy::unnecessary_wraps, reason = "it is an answer to a frame, and those may fail")]
fn echo_line(cx: &mut Context, line: &[u8]) -> Result {
    cx.send(line);
    cx.send(b"\n");
    Ok(())
}

/// One line there and back: the smallest there is.
pub(crate) fn one_line(sim: Sim, faults: Faults) {
    let client = Script::new().send(b"hello\n").expect(b"hello\n").shutdown().expect_end();
    let server = Noting::new(Lines::new(), echo_line);
    let config = config(|config| config.isolate_panics = true);
    let report = sim.server(server).config(config).client(client).faults(faults).run();
    report.handler.check(&[b"hello"]);
    check_reply(&report.clients[0], b"hello\n");
}

/// Lines, answered one by one.
pub(crate) fn echo_lines(sim: Sim, faults: Faults) {
    let client = Script::new()
        .send(b"hel")
        .send(b"lo\n\nworld\n")
        .expect(b"hello\n\nworld\n")
        .send(b"you\n")
        .expect(b"you\n")
        .shutdown()
        .expect_end();
    let server = Noting::new(Lines::new(), echo_line);
    let report = sim.server(server).client(client).faults(faults).run();
    report.handler.check(&[b"hello", b"", b"world", b"you"]);
    check_reply(&report.clients[0], b"hello\n\nworld\nyou\n");
}

/// Frames one behind the other, through buffers smaller than they are.
pub(crate) fn backpressure(sim: Sim, faults: Faults) {
    let frames: [&[u8]; 5] = [b"one", b"", b"the third frame", b"4", b"and the last one"];
    let mut stream = Vec::new();
    for frame in frames {
        LengthPrefixed::new().encode(frame, &mut stream).expect("it is short");
    }
    let server = Noting::new(LengthPrefixed::new(), |cx: &mut Context, frame: &[u8]| {
        LengthPrefixed::new().encode(frame, &mut cx.out())?;
        Ok(())
    });
    let config = config(|config| {
        config.isolate_panics = true;
        (config.queued_bytes_low, config.queued_bytes_high) = (2, 8);
        (config.frames_per_turn, config.bytes_per_turn) = (2, 8);
    });
    let client = talks(stream.clone(), Then::Ends);
    let scenario = sim.server(server).config(config).client_fn(client).buffers(11, 7);
    let report = scenario.faults(faults).run();
    report.handler.check(&frames);
    check_reply(&report.clients[0], &stream);
}

/// A request that ends with its sender's side, and the answer.
pub(crate) fn half_close(sim: Sim, faults: Faults) {
    let server = Noting::new(ToEnd::new(), |cx: &mut Context, request: &[u8]| {
        cx.send(b"answer to ");
        cx.send(request);
        Ok(())
    });
    let client = Script::new().send(b"a request").shutdown().expect(b"answer to a request").expect_end();
    let report = sim.server(server).client(client).faults(faults).run();
    report.handler.check(&[b"a request"]);
    check_reply(&report.clients[0], b"answer to a request");
}

/// A drain while requests come in: what was answered was asked, and whole.
pub(crate) fn drain(sim: Sim, faults: Faults) {
    let server = Noting::new(Lines::new(), echo_line);
    let lines = b"one\ntwo\nthree\n";
    let report = sim
        .server(server)
        .client_fn(talks(lines, Then::Stays))
        .client_fn(talks(lines, Then::Ends))
        .at(Duration::from_millis(1), |_, cx| cx.stop(Stop::Drain))
        .faults(faults)
        .run();
    report.handler.check(&[b"one", b"two", b"three"]);
    for client in &report.clients {
        let whole = client.received.is_empty() || client.received.ends_with(b"\n");
        assert!(lines.starts_with(&client.received) && (client.cut || whole), "{client:?}");
    }
}

/// A client that says one thing and then nothing. Its time is more than callbacks may take.
pub(crate) fn idle(sim: Sim, faults: Faults) {
    let config = config(|config| config.idle_timeout = Some(5 * SECOND));
    let server = Noting::new(Lines::new(), echo_line);
    let report =
        sim.server(server).config(config).client_fn(talks(b"hello\n", Then::Stays)).faults(faults).run();
    report.handler.check(&[b"hello"]);
    waited(&report, b"hello\n", b"!timed out waiting for any byte");
}

/// A client that begins a frame and does not end it.
pub(crate) fn half_a_frame(sim: Sim, faults: Faults) {
    let config = config(|config| config.frame_timeout = Some(5 * SECOND));
    let server = Noting::new(Lines::new(), echo_line);
    let report =
        sim.server(server).config(config).client_fn(talks(b"hello\nyo", Then::Stays)).faults(faults).run();
    report.handler.check(&[b"hello"]);
    waited(&report, b"hello\n", b"!timed out waiting for the rest of a frame");
}

/// After a wait that only the server can have ended: it said so, behind `reply`.
#[track_caller]
fn waited<H>(report: &Report<H>, reply: &[u8], word: &[u8]) {
    let client = &report.clients[0];
    // A client that is refused, or whose accept fails, was never there.
    let met = report.stats.accepted > 0 && !client.cut;
    assert!(!met || report.stats.closed(CloseKind::TimedOut) == 1, "{client:?}, {:?}", report.stats);
    // What stood still on its way came too late.
    if !client.cut || client.received.starts_with(reply) {
        check_reply(client, &[reply, word].concat());
    } else {
        assert!(word.starts_with(&client.received) || reply.starts_with(&client.received), "{client:?}");
    }
}

/// A client that asks and does not take the answer.
pub(crate) fn untaken(sim: Sim, faults: Faults) {
    let config = config(|config| config.write_timeout = SECOND);
    let server = Noting::new(Raw::new(), |cx: &mut Context, _: &[u8]| {
        cx.send(&[b'x'; 100]);
        Ok(())
    });
    let client = Script::new().send(b"?").wait(300 * SECOND).expect_reset();
    let scenario = sim.server(server).config(config).client(client).buffers(16, 16);
    // Larger buffers would take all of it.
    let report = scenario.faults(faults.without(Fault::SmallBuffers)).run();
    report.handler.check(&[b"?"]);
    let client = &report.clients[0];
    assert!(client.received.iter().all(|&byte| byte == b'x') && client.received.len() < 100, "{client:?}");
    assert!(client.cut || report.stats.closed(CloseKind::TimedOut) == 1, "{client:?}, {:?}", report.stats);
}

/// Bad input with more behind it: the last word arrives although nobody reads on.
pub(crate) fn last_word(sim: Sim, faults: Faults) {
    let server = Noting::new(Lines::new().frame_bytes_max(4), echo_line);
    let sent = [&b"ok\n"[..], b"too long", &[b'x'; 300]].concat();
    let report = sim.server(server).client_fn(talks(sent, Then::Ends)).faults(faults).run();
    report.handler.check(&[b"ok"]);
    check_reply(&report.clients[0], b"ok\n!bad frame: no end of the frame in sight, limit is 4 bytes");
}

/// Checks that every connection that was opened was closed, which the handlers below do not note.
pub(super) fn all_closed<H: Handler>(report: &Report<H>) {
    let stats = &report.stats;
    let opened = stats.accepted + stats.connected - stats.turned_away;
    assert_eq!((stats.open, stats.closed_total()), (0, opened), "{stats:?}");
}
