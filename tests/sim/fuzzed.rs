//! What the fuzzer has found: in the reactor, and in the simulation, where nothing was wrong and a run failed.

use std::time::Duration;

use switchboard::codec::{FixedLength, Raw};
use switchboard::sim::{self, CERTAIN, End, Errno, Fault, Faults, Next, Received, SERVER, Script, Sim};
use switchboard::{
    Close, CloseKind, CloseReason, Config, Conn, ConnId, Context, Handler, Peer, Result, each,
};

fn echo() -> impl Handler {
    each(Raw::new, |cx, bytes| {
        cx.send(bytes);
        Ok(())
    })
}

#[test]
fn a_call_from_outside_may_send_between_two_turns() {
    let report = Sim::new(1)
        .server(echo())
        .client(Script::new().expect(b"x").shutdown().expect_end())
        .at(Duration::from_millis(1), |_, cx| {
            let all: Vec<_> = cx.connections().map(|info| info.id).collect();
            for id in all {
                assert!(cx.send_to(id, b"x").is_queued());
            }
        })
        .run();
    assert_eq!(report.stats.closed(CloseKind::Ended), 1);
}

#[test]
fn a_reactor_that_stands_still_is_called_once_when_it_goes_on() {
    for seed in 0..20 {
        let other = each(Raw::new, |_, _| Ok(()));
        let client = Script::new().send(b"hello").expect(b"hello").shutdown().expect_end();
        Sim::new(seed)
            .server(echo())
            .client(client)
            .reactor(other, Config::default(), |_, cx| {
                let id = cx.connect(SERVER, 0).expect("there is room for one");
                cx.send_to(id, b"hello");
            })
            .faults(Faults::none().with(Fault::Standstill, 100).with(Fault::Latency, 500))
            .run();
    }
}

/// Turns all but the first away, and never looks at what it has connected to.
struct OnlyOne(u32);

impl Handler for OnlyOne {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.0 += 1;
        if cx.config().idle_timeout.is_some() {
            cx.pause(cx.id());
        }
        (self.0 == 1).then_some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, _: u64) {
        cx.connect(SERVER, 0).expect("there is room for one");
    }
}

#[test]
fn a_reset_on_one_host_is_not_taken_for_one_on_another() {
    // Both connections have the same name, each in its reactor.
    let mut other = Config::default();
    other.idle_timeout = Some(Duration::from_secs(1000));
    let report = Sim::new(1)
        .server(OnlyOne(0))
        .client(Script::new().wait(Duration::from_millis(50)).shutdown().expect_end())
        .reactor(OnlyOne(0), other, |_, cx| {
            cx.set_alarm(Duration::from_millis(10), 0).expect("there is room for one");
        })
        .run();
    assert_eq!(report.stats.closed(CloseKind::Ended), 1);
}

#[test]
fn a_client_that_sends_into_a_reset_still_receives_the_error() {
    let abort = each(Raw::new, |_, _| Err(Close::Abort));
    let mut deeds = 0;
    let report = Sim::new(1)
        .server(abort)
        .client_fn(move |peer| {
            deeds += 1;
            match deeds {
                1 => assert_eq!(peer.send(b"a"), 1),
                2 => return Next::WaitFor(Duration::from_millis(10)),
                3 => assert_eq!(peer.send(b"b"), 0),
                _ => {
                    assert_eq!(peer.recv(1), Received::Failed(Errno::ECONNRESET));
                    return Next::Done;
                }
            }
            Next::WaitFor(Duration::from_millis(1))
        })
        .run();
    assert_eq!(report.clients[0].end, End::Reset);
}

/// Waits for a frame that does not come, and says so.
struct Late;

impl Handler for Late {
    type Codec = FixedLength;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(FixedLength, ())> {
        Some((FixedLength::new(5000).expect("not zero"), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn refused(&mut self, cx: &mut Context, _: Conn<'_, Self>, _: &CloseReason) {
        cx.send(b"too late");
    }
}

#[test]
fn a_wait_that_is_over_in_the_ready_queue_leaves_one_entry_there() {
    let mut config = Config::default();
    config.accepts_per_turn = 1;
    config.recv_buffer_bytes = 512;
    config.bytes_per_turn = 100;
    config.first_frame_timeout = Some(Duration::from_millis(500));
    // The first is in the ready queue by its budget when `opened` of the second takes a second.
    sim::seeds(20, |sim| {
        sim.server(Late)
            .config(config.clone())
            .client(Script::new().send([0; 4500]).recv_to_end())
            .client(Script::new().recv_to_end())
            .faults(Faults::none().with(Fault::Slow, CERTAIN))
            .run();
    });
}

/// Connects when the reactor begins to drain, and thinks better of it.
#[derive(Default)]
struct Fickle {
    failed: u32,
}

impl Handler for Fickle {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn draining(&mut self, cx: &mut Context) {
        let id = cx.connect(SERVER, 0).expect("there is room for one");
        cx.close(id, Close::Abort);
    }

    fn connect_failed(&mut self, _: &mut Context, _: u64, why: &CloseReason) {
        assert!(matches!(why, CloseReason::Aborted), "{why}");
        self.failed += 1;
    }
}

#[test]
fn a_connect_closed_again_in_draining_is_reported_once() {
    let report = Sim::new(1).server(Fickle::default()).run();
    assert_eq!(report.handler.failed, 1);
}

/// Has timers that come due one by one while their connection lingers.
struct Outlived(ConnId);

impl Handler for Outlived {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.0 = cx.id();
        for key in 0..10 {
            cx.set_timer(self.0, Duration::from_millis(10), key).ok()?;
        }
        cx.set_alarm(Duration::from_millis(5), 0).ok()?;
        Some((Raw::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn alarm(&mut self, cx: &mut Context, _: u64) {
        cx.close(self.0, Close::Linger);
    }
}

#[test]
fn timers_of_a_connection_that_lingers_are_no_turns_that_do_nothing() {
    let mut config = Config::default();
    config.timers_per_turn = 1;
    let client = Script::new().wait(Duration::from_millis(50)).shutdown().expect_end();
    let report = Sim::new(1).server(Outlived(ConnId::NONE)).config(config).client(client).run();
    assert_eq!(report.stats.closed(CloseKind::Closed), 1);
}
