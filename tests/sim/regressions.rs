//! What the simulation has found: each failure by its name.

use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::sim::{self, CERTAIN, End, Fault, Faults, SERVER, Script, Sim};
use switchboard::{Close, CloseKind, CloseReason, Conn, Context, Handler, Peer, Result, Stop};

/// Waits with its half of a connection for as long as it takes.
struct Patient;

impl Handler for Patient {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn half_closed(&mut self, _: &mut Context, _: Conn<'_, Self>) -> Result {
        Ok(())
    }
}

// A14: the poll has no memory for one more. The client must not take that for an orderly end.
#[test]
fn a14_a_connection_that_cannot_be_registered_is_reset() {
    let faults = Faults::none().with(Fault::Unregistered, CERTAIN);
    let report = Sim::new(1).server(Patient).client(Script::new().expect_end()).faults(faults).run();
    assert_eq!((report.clients[0].end, report.stats.closed(CloseKind::Io)), (End::Reset, 1));
}

// F6: the end and a reset behind it come in one event, after which there is none.
#[test]
fn f6_a_reset_right_behind_the_end_is_told() {
    let client = Script::new().send(b"request").shutdown().reset();
    let report = Sim::new(1).server(Patient).client(client).run();
    assert_eq!((report.stats.frames, report.stats.closed(CloseKind::Reset)), (1, 1));
    assert!(report.time < Duration::from_secs(1), "it was noticed after {:?}", report.time);
}

// F6: the same some time later, while nobody reads or writes any more.
#[test]
fn f6_a_reset_some_time_behind_the_end_is_told() {
    let client = Script::new().send(b"request").shutdown().wait(Duration::from_millis(10)).reset();
    let report = Sim::new(1).server(Patient).client(client).run();
    assert_eq!((report.stats.frames, report.stats.closed(CloseKind::Reset)), (1, 1));
    assert!(report.time < Duration::from_secs(1), "it was noticed after {:?}", report.time);
}

/// Connects when the drain begins, and changes its mind.
#[derive(Default)]
struct Undecided {
    failed: Vec<CloseKind>,
}

impl Handler for Undecided {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn draining(&mut self, cx: &mut Context) {
        let id = cx.connect(SERVER, 0).expect("there is room");
        cx.close(id, Close::Abort);
    }

    fn connect_failed(&mut self, _: &mut Context, _: u64, why: &CloseReason) {
        self.failed.push(why.kind());
    }
}

// D11: the last callback before the closes of a turn asks for a connect and closes it. The reactor panicked.
#[test]
fn d11_a_connect_that_draining_asks_for_and_closes_fails_once() {
    let report =
        Sim::new(1).server(Undecided::default()).at(Duration::ZERO, |_, cx| cx.stop(Stop::Drain)).run();
    assert_eq!(report.handler.failed, [CloseKind::Aborted]);
}

// A client that waits for a time whenever it is called had one more turn under way after each byte that came.
#[test]
fn a_client_that_waits_again_and_again_is_called_once_each_time() {
    let mut calls = 0;
    let client = move |peer: &mut sim::Peer<'_>| {
        calls += 1;
        peer.recv(usize::MAX);
        if calls <= 20 {
            peer.send(b"x");
        }
        assert!(calls < 1_100, "{calls} calls until {:?}", peer.now());
        let over = peer.now().as_nanos() >= 10_000_000_000;
        if over { sim::Next::Done } else { sim::Next::WaitFor(Duration::from_millis(10)) }
    };
    let echo = switchboard::each(Raw::new, |cx, bytes| {
        cx.send(bytes);
        Ok(())
    });
    Sim::new(1).server(echo).client_fn(client).run();
}
