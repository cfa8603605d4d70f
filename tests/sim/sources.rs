//! Registered descriptors on the simulated network: pipes that are cut, full, interrupted and closed.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use switchboard::codec::Raw;
use switchboard::sim::{self, Fault, Faults, Pipe, Sim};
use switchboard::{Conn, Context, Handler, Peer, Readiness, Ready, Result, Source, SourceId};

const IN: u64 = 1;
const OUT: u64 = 2;

/// The most that waits to be written.
const WAITING_MAX: usize = 1000;

/// Copies one pipe into another, and reads no more than it can write.
#[derive(Default)]
struct Relay {
    ids: Option<(SourceId, SourceId)>,
    waiting: Vec<u8>,
    ended: bool,
    most: usize,
    failed: Vec<SourceId>,
}

impl Relay {
    fn begin(&mut self, cx: &mut Context, reader: Source, writer: Source) {
        let writer = writer.key(OUT).interest(Readiness::EMPTY);
        self.ids = Some((cx.register(reader.key(IN)), cx.register(writer)));
    }

    fn settle(&mut self, cx: &mut Context) {
        let Some((reader, writer)) = self.ids else { return };
        self.most = self.most.max(self.waiting.len());
        let only = |is: bool, set: Readiness| if is { set } else { Readiness::EMPTY };
        cx.set_interest(reader, only(self.waiting.len() < WAITING_MAX && !self.ended, Readiness::READABLE));
        cx.set_interest(writer, only(!self.waiting.is_empty(), Readiness::WRITABLE));
        if self.ended && self.waiting.is_empty() {
            cx.deregister(reader);
            cx.deregister(writer);
        }
    }
}

impl Handler for Relay {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
        assert!(source.fd().is_none());
        if source.key == IN {
            let mut bytes = [0; 300];
            match source.read(&mut bytes) {
                Ok(0) => self.ended = true,
                Ok(n) => self.waiting.extend(&bytes[..n]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        } else {
            match source.write(&self.waiting) {
                Ok(n) => drop(self.waiting.drain(..n)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        self.settle(cx);
    }

    fn register_failed(&mut self, cx: &mut Context, source: SourceId, _: &std::io::Error) {
        self.failed.push(source);
        if let Some((reader, writer)) = self.ids {
            cx.deregister(reader);
            cx.deregister(writer);
        }
    }
}

/// What the test holds.
struct Ends {
    there: Pipe,
    back: Pipe,
    left: Vec<u8>,
    got: Vec<u8>,
}

impl Ends {
    /// Writes what fits and reads what is there, if it reads.
    fn pump(&mut self, reads: bool) {
        loop {
            let n = self.there.write(&self.left);
            self.left.drain(..n);
            let read = if reads { self.back.read(usize::MAX) } else { Vec::new() };
            self.got.extend(&read);
            if n == 0 && read.is_empty() {
                break;
            }
        }
        if self.left.is_empty() {
            self.there.close_writer();
        }
    }
}

/// Sends so many bytes through a relay: what came out, and the relay.
fn run(sim: Sim, bytes: usize, faults: Faults) -> (Vec<u8>, Relay) {
    let sent: Vec<u8> = (0..=250).cycle().take(bytes).collect();
    let (there, back) = (sim.pipe(), sim.pipe());
    let (reader, writer) = (there.reader(), back.writer());
    let ends = Rc::new(RefCell::new(Ends { there, back: back.clone(), left: sent.clone(), got: Vec::new() }));
    let mut scenario = sim.server(Relay::default()).at(Duration::ZERO, move |relay, cx| {
        relay.begin(cx, reader, writer);
    });
    for n in 0..30 {
        let ends = Rc::clone(&ends);
        scenario = scenario.at(Duration::from_secs(n), move |_, _| ends.borrow_mut().pump(n % 3 == 2));
    }
    let report = scenario.at(Duration::from_secs(100), |_, _| ()).faults(faults).run();
    ends.borrow_mut().pump(true);
    assert!(back.is_writer_closed() || !report.handler.failed.is_empty());
    let got = std::mem::take(&mut ends.borrow_mut().got);
    assert!(sent.starts_with(&got));
    (got, report.handler)
}

#[test]
fn without_faults_all_that_goes_in_comes_out_and_little_waits() {
    sim::seeds(1, |sim| {
        let (got, relay) = run(sim, 300_000, Faults::none());
        assert_eq!((got.len(), relay.failed.len()), (300_000, 0));
        assert!((WAITING_MAX..WAITING_MAX + 300).contains(&relay.most), "{}", relay.most);
    });
}

// A6, A15, B5: short reads and writes, interruptions, events for nothing, at any two places.
#[test]
fn a15_a_fault_at_any_two_calls_changes_nothing() {
    for fault in [Fault::Fragment, Fault::PartialSend, Fault::Interrupt, Fault::Spurious, Fault::CutBatch] {
        let explored = sim::deviations(2, 200_000, |sim| {
            let (got, _) = run(sim, 20, Faults::none().with(fault, 1));
            assert_eq!(got.len(), 20);
        });
        assert!(explored.complete && explored.runs > 1, "{fault:?}: {explored:?}");
    }
}

#[test]
fn all_that_goes_in_comes_out_whatever_happens_meanwhile() {
    sim::seeds(100, |sim| {
        let faults =
            Faults::swarm().without(Fault::Panics).without(Fault::Unregistered).without(Fault::Standstill);
        assert_eq!(run(sim, 3000, faults).0.len(), 3000);
    });
}

// A14: a descriptor that cannot be registered, at first or when it goes on, is told once and closed.
#[test]
fn a14_a_source_that_cannot_be_registered_is_told_and_closed() {
    let explored = sim::deviations(1, 1000, |sim| {
        let (got, relay) = run(sim, 20, Faults::none().with(Fault::Unregistered, 1));
        assert_eq!(relay.failed.is_empty(), got.len() == 20);
        assert!(relay.failed.len() <= 1);
    });
    assert!(explored.complete && explored.runs > 2, "{explored:?}");
}

#[test]
fn a_descriptor_of_the_system_cannot_be_registered_on_a_network_that_has_none() {
    sim::seeds(1, |sim| {
        let report = sim
            .server(Relay::default())
            .at(Duration::ZERO, |_, cx| {
                let (reading, _writing) = std::io::pipe().expect("a pipe");
                cx.register(Source::new(reading));
            })
            .run();
        assert_eq!(report.handler.failed.len(), 1);
    });
}

// A handler that never reads what it is told of is a spin, which a run does not take for work.
#[test]
fn a_source_that_nobody_reads_is_called_a_spin() {
    struct Deaf;

    impl Handler for Deaf {
        type Codec = Raw;
        type Session = ();

        fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
            None
        }

        fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
            Ok(())
        }

        fn ready(&mut self, _: &mut Context, _: Ready<'_>) {}
    }

    let sim = Sim::new(1);
    let pipe = sim.pipe();
    let reader = pipe.reader();
    pipe.write(b"hello?");
    let failure = sim
        .server(Deaf)
        .at(Duration::ZERO, move |_, cx| {
            cx.register(reader);
        })
        .at(Duration::from_secs(1), |_, _| ())
        .try_run()
        .expect_err("it spins");
    assert!(failure.what.contains("no time passed"), "{failure}");
}
