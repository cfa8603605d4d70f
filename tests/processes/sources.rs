//! Registered descriptors, of which none may be left open, however they came to their end.

use std::fs::File;
use std::io::Write;

use switchboard::codec::Raw;
use switchboard::signals;
use switchboard::{
    Config, Conn, Context, Handler, Peer, Reactor, Readiness, Ready, Result, Source, SourceId, Stop,
};

use crate::{in_a_process, turn_until};

/// Reads each to its end.
struct Reading;

impl Handler for Reading {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
        if source.read(&mut [0; 16]).is_ok_and(|n| n == 0) {
            cx.deregister(source.id);
        }
    }
}

/// A reactor with as many sources as there are ways to end: read to the end, closed by a callback, paused, taken back,
/// refused, never registered, and just left there.
#[expect(clippy::incompatible_msrv, reason = "tests are built with the current compiler")]
fn reactor_with_all_kinds() -> (Reactor<Reading>, Vec<SourceId>) {
    let mut reactor = Reactor::new(Reading, Config::default()).expect("a reactor can be made");
    let mut left = Vec::new();
    for way in 0..70 {
        let (reading, mut writing) = std::io::pipe().expect("a pipe");
        let id = match way % 7 {
            0 => {
                assert!(
                    reactor.register(Source::new(File::open("Cargo.toml").expect("it is there"))).is_err()
                );
                continue;
            }
            1 => {
                reactor.with(|_, cx| {
                    let id = cx.register(Source::new(reading));
                    cx.deregister(id);
                });
                continue;
            }
            _ => reactor.register(Source::new(reading)).expect("registered"),
        };
        match way % 7 {
            2 => writing.write_all(b"and then the end").expect("written"),
            3 => reactor.with(|_, cx| cx.deregister(id)),
            4 => reactor.with(|_, cx| cx.set_interest(id, Readiness::EMPTY)),
            5 => drop(reactor.take_source(id)),
            _ => {
                reactor.with(|_, cx| cx.set_interest(id, Readiness::EMPTY));
                left.push(id);
            }
        }
    }
    signals::drain(&mut reactor).expect("caught");
    (reactor, left)
}

#[test]
fn f11_no_registered_descriptor_is_left_open() {
    in_a_process("sources::f11_no_registered_descriptor_is_left_open", || {
        for stop in [None, Some(Stop::Now), Some(Stop::Drain)] {
            let (mut reactor, left) = reactor_with_all_kinds();
            turn_until(&mut reactor, |reactor| reactor.stats().ready >= 10);
            match stop {
                None => drop(reactor),
                Some(stop) => {
                    reactor.with(|_, cx| cx.stop(stop));
                    reactor.run().expect("it stops");
                    assert!(left.iter().all(|&id| reactor.take_source(id).is_none()));
                }
            }
        }
    });
}
