//! Pipes: one script on both ends, on the kernel's and on the simulated one.
//!
//! The calls are those of the seam for registered descriptors. Nothing is under way between the two ends of a pipe, so
//! that a call can follow at once on the one before.

use std::time::Duration;

use super::{compare, lines};
use crate::id::SourceId;
use crate::net::os::Os;
use crate::net::{Network, Token};
use crate::readiness::Readiness;
use crate::sim::Sim;
use crate::sim::network::SimNet;
use crate::sim::tape::Tape;
use crate::source::{Io, Source};

const R: Readiness = Readiness::READABLE;
const W: Readiness = Readiness::WRITABLE;
const NONE: Readiness = Readiness::EMPTY;

/// Both ends of a pipe on one network, and what they did.
struct Ends<N: Network> {
    net: N,
    reader: Option<N::Source>,
    writer: Option<N::Source>,
    trace: Vec<String>,
}

const READER: SourceId = SourceId(0);
const WRITER: SourceId = SourceId(1);

impl<N: Network> Ends<N> {
    fn new(mut net: N, reader: Source, writer: Source) -> Ends<N> {
        let reader = Some(net.open_source(reader).expect("a pipe"));
        let writer = Some(net.open_source(writer).expect("a pipe"));
        Ends { net, reader, writer, trace: Vec::new() }
    }

    fn watch(&mut self, id: SourceId, before: Readiness, now: Readiness) {
        let end = if id == READER { &self.reader } else { &self.writer };
        let end = end.as_ref().expect("it is open");
        self.net.watch_source(end, id, before, now).expect("it can be polled");
    }

    fn poll(&mut self) {
        let mut events = self.net.events(8);
        self.net.poll(&mut events, Some(Duration::ZERO)).expect("a poll");
        let mut told: Vec<_> = N::iter(&events)
            .map(|event| {
                let who = if event.token == Token::source(READER) { "reader" } else { "writer" };
                format!("{who} {:?}", event.readiness)
            })
            .collect();
        told.sort();
        self.trace.push(format!("poll -> {}", told.join(", ")));
    }

    fn read(&mut self, max: usize) {
        let mut buf = vec![0; max];
        let result = self.reader.as_ref().expect("it is open").read(&mut buf);
        let result = result.map_err(|error| error.kind());
        self.trace.push(match result {
            Ok(n) if n <= 8 => format!("read {max} -> {:?}", String::from_utf8_lossy(&buf[..n])),
            Ok(n) => format!("read {max} -> {n}"),
            Err(kind) => format!("read {max} -> {kind:?}"),
        });
    }

    fn write(&mut self, bytes: &[u8]) {
        let result = self.writer.as_ref().expect("it is open").write(bytes).map_err(|error| error.kind());
        self.trace.push(format!("write {} -> {result:?}", bytes.len()));
    }

    fn close(&mut self, id: SourceId, polled: Readiness) {
        self.watch(id, polled, NONE);
        let end = if id == READER { self.reader.take() } else { self.writer.take() };
        drop(self.net.close_source(end.expect("it is open"), std::iter::empty()));
        self.trace.push(format!("close {}", if id == READER { "reader" } else { "writer" }));
    }
}

/// Edges, levels by asking anew, and the end of the writer.
fn reading<N: Network>(ends: &mut Ends<N>) {
    ends.watch(READER, NONE, R);
    ends.poll();
    ends.read(8);
    ends.write(b"hello");
    ends.poll();
    ends.poll();
    ends.watch(READER, R, R);
    ends.poll();
    ends.read(2);
    ends.poll();
    ends.watch(READER, R, NONE);
    ends.write(b"!");
    ends.poll();
    ends.watch(READER, NONE, R);
    ends.poll();
    ends.close(WRITER, NONE);
    ends.poll();
    ends.read(8);
    ends.watch(READER, R, R);
    ends.poll();
    ends.read(8);
    ends.watch(READER, R, NONE);
    ends.poll();
    ends.watch(READER, NONE, W);
    ends.poll();
}

const READING: &str = r#"
    poll ->
    read 8 -> WouldBlock
    write 5 -> Ok(5)
    poll -> reader readable
    poll ->
    poll -> reader readable
    read 2 -> "he"
    poll ->
    write 1 -> Ok(1)
    poll ->
    poll -> reader readable
    close writer
    poll -> reader readable|read_closed|write_closed
    read 8 -> "llo!"
    poll -> reader read_closed|write_closed
    read 8 -> ""
    poll ->
    poll -> reader read_closed|write_closed
"#;

/// A full pipe, room in it, and the end of the reader.
fn writing<N: Network>(ends: &mut Ends<N>) {
    ends.watch(WRITER, NONE, W);
    ends.poll();
    ends.write(&vec![7; 100_000]);
    ends.write(b"x");
    ends.watch(WRITER, W, W);
    ends.poll();
    ends.read(70_000);
    ends.poll();
    ends.watch(WRITER, W, R);
    ends.poll();
    ends.watch(WRITER, R, W);
    ends.poll();
    ends.close(READER, NONE);
    ends.poll();
    ends.write(b"x");
    ends.watch(WRITER, W, R);
    ends.poll();
}

const WRITING: &str = "
    poll -> writer writable
    write 100000 -> Ok(65536)
    write 1 -> Err(WouldBlock)
    poll ->
    read 70000 -> 65536
    poll -> writer writable
    poll ->
    poll -> writer writable
    close reader
    poll -> writer writable|write_closed|error
    write 1 -> Err(BrokenPipe)
    poll -> writer write_closed|error
";

fn on_the_kernel() -> Ends<Os> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    Ends::new(Os::new().expect("a poll"), Source::new(reader), Source::new(writer))
}

fn simulated() -> Ends<SimNet> {
    let sim = Sim::on(Tape::quiet());
    let pipe = sim.pipe();
    Ends::new(SimNet::new(&sim.world, true), pipe.reader(), pipe.writer())
}

fn trimmed(trace: &[String]) -> Vec<String> {
    trace.iter().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_reader_is_told_of_edges_and_again_when_it_asks_and_of_the_end() {
    let (mut kernel, mut sim) = (on_the_kernel(), simulated());
    reading(&mut kernel);
    reading(&mut sim);
    compare("the kernel", &trimmed(&kernel.trace), &lines(READING));
    compare("the simulated network", &trimmed(&sim.trace), &lines(READING));
}

#[test]
fn a_writer_is_told_of_room_and_of_a_reader_that_is_gone() {
    let (mut kernel, mut sim) = (on_the_kernel(), simulated());
    writing(&mut kernel);
    writing(&mut sim);
    compare("the kernel", &trimmed(&kernel.trace), &lines(WRITING));
    compare("the simulated network", &trimmed(&sim.trace), &lines(WRITING));
}
