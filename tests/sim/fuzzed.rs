//! What the fuzzer has found in the simulation itself: runs that failed or did not end, and nothing was wrong.

use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::sim::{Script, Sim};
use switchboard::{CloseKind, Handler, each};

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
