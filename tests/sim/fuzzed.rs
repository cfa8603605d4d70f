//! What the fuzzer has found in the simulation itself: runs that failed or did not end, and nothing was wrong.

use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::sim::{Fault, Faults, SERVER, Script, Sim};
use switchboard::{CloseKind, Config, Handler, each};

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
