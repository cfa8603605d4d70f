//! Simulated pipes: what they hold, who has their ends, and the calls on them.
//!
//! It knows the rules of a pipe as Linux keeps them for non-blocking ends: a read takes what is there, a write what fits,
//! the end comes when the writer is closed, `EPIPE` when the reader is. Nothing takes time between the two ends.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use super::SimNet;
use super::calls::Result;
use super::socket::SockId;
use super::world::{What, World};
use crate::net::{Event, Token};
use crate::readiness::Readiness;
use crate::sim::errno::Errno;
use crate::sim::faults::Fault;
use crate::sim::trace::Shown;
use crate::source::{self, Io, Source};

/// The bit that tells the ends of pipes from sockets on the ready list of a host. An end has the number of its pipe
/// twice, and one more if it writes.
pub(super) const PIPE: SockId = 1 << 29;

/// What a pipe holds, as on Linux.
const CAPACITY: usize = 65_536;

/// How much of what is there a read or a write gets on with, under a fault.
const PIECES: [usize; 4] = [usize::MAX, 1, 2, 7];

/// One end of a pipe.
#[derive(Debug, Default)]
struct End {
    closed: bool,
    /// The host whose reactor has it.
    host: Option<usize>,
    /// Its name in the poll, and what is of interest; nothing: it is in none.
    token: Option<Token>,
    interest: Readiness,
    /// On the ready list of its host.
    pending: bool,
}

/// One pipe.
#[derive(Debug, Default)]
struct Between {
    bytes: VecDeque<u8>,
    /// The reader, the writer.
    ends: [End; 2],
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Pipes(Vec<Between>);

impl Pipes {
    fn of(&self, number: u32) -> &Between {
        &self.0[number as usize / 2]
    }

    fn end(&mut self, number: u32) -> &mut End {
        &mut self.0[number as usize / 2].ends[number as usize % 2]
    }

    /// What an end is ready for, whatever is of interest.
    fn readiness(&self, number: u32) -> Readiness {
        let Between { bytes, ends: [reader, writer] } = self.of(number);
        let only = |is: bool, set: Readiness| if is { set } else { Readiness::EMPTY };
        if number % 2 == 0 {
            // `EPOLLHUP`, which is the end of both directions.
            only(!bytes.is_empty(), Readiness::READABLE)
                | only(writer.closed, Readiness::READ_CLOSED.or(Readiness::WRITE_CLOSED))
        } else {
            // `EPOLLERR`.
            only(bytes.len() < CAPACITY, Readiness::WRITABLE)
                | only(reader.closed, Readiness::ERROR.or(Readiness::WRITE_CLOSED))
        }
    }

    /// What a poll says of an end.
    fn polled(&self, number: u32) -> Readiness {
        let interest = self.of(number).ends[number as usize % 2].interest;
        if interest.is_empty() {
            return Readiness::EMPTY;
        }
        let both = Readiness::READABLE.or(Readiness::WRITABLE);
        self.readiness(number).without(both.without(interest))
    }
}

fn name(number: u32) -> String {
    format!("pipe #{} {}", number / 2, if number % 2 == 0 { "reader" } else { "writer" })
}

impl World {
    /// An edge of an end: its reactor is told.
    fn wake_end(&mut self, number: u32) {
        if self.pipes.polled(number).is_empty() || mem::replace(&mut self.pipes.end(number).pending, true) {
            return;
        }
        let Some(host) = self.pipes.end(number).host else { return };
        self.note_wakes(host);
        self.hosts[host].ready.push_back(PIPE | number);
        if let Some(actor) = self.hosts[host].actor {
            self.act_in(actor, 0);
        }
    }

    /// What a poll says of an end on the ready list, which it leaves.
    pub(super) fn end_readiness(&mut self, id: SockId) -> Option<(Token, Readiness)> {
        let number = id & !PIPE;
        self.pipes.end(number).pending = false;
        let set = self.pipes.polled(number);
        let token = self.pipes.end(number).token?;
        self.note(What::Poll, id, u64::from(set.bits()), |_| format!("{}: {set:?}", name(number)));
        if set.is_empty() { None } else { Some((token, set)) }
    }

    /// An event of an end that nothing has happened to.
    pub(super) fn spurious_end(&mut self, host: usize) -> Option<Event> {
        if self.pipes.0.is_empty() {
            return None;
        }
        let numbers = 0..u32::try_from(2 * self.pipes.0.len()).unwrap_or(u32::MAX);
        let here = |number: &u32| {
            let end = &self.pipes.of(*number).ends[*number as usize % 2];
            if end.host == Some(host) { end.token.map(|token| (token, end.interest)) } else { None }
        };
        let polled: Vec<_> = numbers.filter_map(|number| here(&number)).collect();
        if polled.is_empty() {
            return None;
        }
        let way = self.faults.take(&mut self.tape, Fault::Spurious, 1 + polled.len());
        let (token, readiness) = polled[way.checked_sub(1)?];
        self.trace.note(self.now, What::Poll as u8, PIPE, way as u64);
        Some(Event { token, readiness })
    }

    fn hold_end(&mut self, host: usize, number: u32) -> Result<()> {
        if number as usize / 2 >= self.pipes.0.len() {
            return Err(Errno::EBADF);
        }
        if self.pipes.end(number).host.is_some() {
            return Err(Errno::EEXIST);
        }
        if self.pipes.end(number).closed {
            return Err(Errno::EBADF);
        }
        self.pipes.end(number).host = Some(host);
        self.hosts[host].descriptors += 1;
        Ok(())
    }

    fn watch_end(&mut self, number: u32, token: Token, before: Readiness, now: Readiness) -> Result<()> {
        self.note(What::Register, PIPE | number, u64::from(now.bits()), |_| {
            format!("{} is polled for {now:?}", name(number))
        });
        if before.is_empty() && self.faults.take(&mut self.tape, Fault::Unregistered, 2) == 1 {
            return Err(Errno::ENOSPC);
        }
        let end = self.pipes.end(number);
        end.interest = now;
        end.token = Some(token);
        if now.is_empty() {
            self.unwatch_end(number);
        }
        self.wake_end(number);
        Ok(())
    }

    fn unwatch_end(&mut self, number: u32) {
        let end = self.pipes.end(number);
        end.interest = Readiness::EMPTY;
        let (Some(token), Some(host)) = (end.token.take(), end.host) else { return };
        if mem::take(&mut end.pending) {
            self.hosts[host].ready.retain(|&ready| ready != PIPE | number);
        }
        let gone = &mut self.hosts[host].gone;
        if gone.len() == 4 {
            gone.pop_front();
        }
        gone.push_back(token);
    }

    fn read_end(&mut self, number: u32, buf: &mut [u8]) -> Result<usize> {
        let way = self.faults.take(&mut self.tape, Fault::Fragment, PIECES.len());
        let Between { bytes, ends } = &mut self.pipes.0[number as usize / 2];
        if number % 2 == 1 {
            return Err(Errno::EBADF);
        }
        if bytes.is_empty() && !buf.is_empty() {
            return if ends[1].closed { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let n = bytes.len().min(buf.len()).min(PIECES[way]);
        for (to, from) in buf.iter_mut().zip(bytes.drain(..n)) {
            *to = from;
        }
        if n > 0 {
            self.wake_end(number | 1);
        }
        Ok(n)
    }

    fn write_end(&mut self, number: u32, from: &[u8]) -> Result<usize> {
        let way = self.faults.take(&mut self.tape, Fault::PartialSend, PIECES.len());
        let Between { bytes, ends } = &mut self.pipes.0[number as usize / 2];
        if number % 2 == 0 {
            return Err(Errno::EBADF);
        }
        if ends[0].closed {
            return Err(Errno::EPIPE);
        }
        let n = from.len().min(CAPACITY - bytes.len()).min(PIECES[way]);
        if n == 0 && !from.is_empty() {
            return Err(Errno::EAGAIN);
        }
        bytes.extend(&from[..n]);
        self.wake_end(number & !1);
        Ok(n)
    }

    fn close_end(&mut self, number: u32) {
        self.unwatch_end(number);
        if mem::replace(&mut self.pipes.end(number).closed, true) {
            return;
        }
        self.note(What::Close, PIPE | number, 0, |_| format!("{} closed", name(number)));
        self.wake_end(number ^ 1);
    }

    fn note_moved(&mut self, what: What, number: u32, result: Result<usize>, bytes: &[u8], who: &str) {
        let moved = &bytes[..result.unwrap_or(0).min(bytes.len())];
        self.trace.note_bytes(moved);
        let value = result.map_or_else(|error| 1 << 40 | error as u64, |n| n as u64);
        self.note(what, PIPE | number, value, |_| match result {
            Ok(n) => format!("{who}{}: {n} bytes {}", name(number), Shown(moved)),
            Err(error) => format!("{who}{}: {error}", name(number)),
        });
    }
}

/// A pipe of the simulated network. One of its ends is for a handler to register, the other is held here; or both are
/// registered, and a reactor talks to itself or to another. Clones are the same pipe.
///
/// ```
/// use std::time::Duration;
/// use switchboard::codec::Raw;
/// use switchboard::sim::Sim;
/// use switchboard::{Conn, Context, Handler, Peer, Ready, Result};
///
/// #[derive(Default)]
/// struct Reading(Vec<u8>);
///
/// impl Handler for Reading {
///     type Codec = Raw;
///     type Session = ();
///
///     fn opened(&mut self, _: &mut Context, _: &Peer) -> Option<(Raw, ())> {
///         None
///     }
///
///     fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
///         Ok(())
///     }
///
///     fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
///         let mut bytes = [0; 3];
///         match source.read(&mut bytes) {
///             Ok(0) => cx.deregister(source.id),
///             Ok(n) => self.0.extend(&bytes[..n]),
///             Err(_) => {}
///         }
///     }
/// }
///
/// let sim = Sim::new(1);
/// let pipe = sim.pipe();
/// let reader = pipe.reader();
/// let report = sim
///     .server(Reading::default())
///     .at(Duration::ZERO, move |_, cx| {
///         cx.register(reader);
///     })
///     .at(Duration::from_secs(1), move |_, _| {
///         pipe.write(b"hello, pipe");
///         pipe.close_writer();
///     })
///     .run();
/// assert_eq!(report.handler.0, b"hello, pipe");
/// ```
#[derive(Clone)]
pub struct Pipe {
    world: Rc<RefCell<World>>,
    number: u32,
}

impl Pipe {
    pub(crate) fn new(world: &Rc<RefCell<World>>) -> Pipe {
        let pipes = &mut world.borrow_mut().pipes.0;
        pipes.push(Between::default());
        let number = u32::try_from(pipes.len() - 1).expect("there is no room for so many") * 2;
        Pipe { world: Rc::clone(world), number }
    }

    /// The end that reads, to be registered: of interest is when it is readable. It can be registered once.
    pub fn reader(&self) -> Source {
        Source::of(source::What::Simulated(self.number))
    }

    /// The end that writes, to be registered: of interest is when it is writable. It can be registered once.
    pub fn writer(&self) -> Source {
        Source::of(source::What::Simulated(self.number + 1)).interest(Readiness::WRITABLE)
    }

    /// Writes what fits, from outside, and answers how much that was. A pipe holds 65,536 bytes; one whose reader is
    /// closed takes nothing.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let mut world = self.world.borrow_mut();
        let result = world.write_end(self.number + 1, bytes);
        world.note_moved(What::Send, self.number + 1, result, bytes, "outside: ");
        result.unwrap_or(0)
    }

    /// Reads what is there, at most `max` bytes, from outside.
    pub fn read(&self, max: usize) -> Vec<u8> {
        let mut world = self.world.borrow_mut();
        let there = world.pipes.of(self.number).bytes.len();
        let mut bytes = vec![0; max.min(there)];
        let result = world.read_end(self.number, &mut bytes);
        bytes.truncate(result.unwrap_or(0));
        world.note_moved(What::Recv, self.number, result, &bytes, "outside: ");
        bytes
    }

    /// Closes the end that writes, which is held here: the reader has its end behind what was written.
    pub fn close_writer(&self) {
        self.world.borrow_mut().close_end(self.number + 1);
    }

    /// Closes the end that reads, which is held here: writes fail.
    pub fn close_reader(&self) {
        self.world.borrow_mut().close_end(self.number);
    }

    /// Whether the end that reads is closed.
    pub fn is_reader_closed(&self) -> bool {
        self.world.borrow().pipes.of(self.number).ends[0].closed
    }

    /// Whether the end that writes is closed.
    pub fn is_writer_closed(&self) -> bool {
        self.world.borrow().pipes.of(self.number).ends[1].closed
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipe(#{})", self.number / 2)
    }
}

/// An end of a pipe that a reactor has.
pub struct SimSource {
    net: SimNet,
    number: u32,
}

impl SimSource {
    pub(super) fn open(net: &SimNet, source: &Source) -> io::Result<SimSource> {
        let source::What::Simulated(number) = source.what else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the simulated network has no descriptors of the system: `Sim::pipe` is one of its own",
            ));
        };
        net.world.borrow_mut().hold_end(net.host, number)?;
        Ok(SimSource { net: net.clone(), number })
    }

    pub(super) fn watch(&self, token: Token, before: Readiness, now: Readiness) -> io::Result<()> {
        Ok(self.net.world.borrow_mut().watch_end(self.number, token, before, now)?)
    }

    /// Whether it is ready for what it is polled for and no edge to come will announce it.
    pub(crate) fn is_forgotten(&self) -> bool {
        let mut world = self.net.world.borrow_mut();
        let ready = !world.pipes.polled(self.number).is_empty();
        ready && !world.pipes.end(self.number).pending
    }
}

impl Drop for SimSource {
    fn drop(&mut self) {
        // It is borrowed only while something in it has panicked, and unwinds.
        if let Ok(mut world) = self.net.world.try_borrow_mut() {
            world.close_end(self.number);
            let host = self.net.host;
            world.hosts[host].descriptors -= 1;
        }
    }
}

impl fmt::Debug for SimSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimSource({})", name(self.number))
    }
}

impl Io for SimSource {
    // A read of a pipe is not interrupted; those of terminals and other devices are.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.net.preempt();
        let mut world = self.net.world.borrow_mut();
        let result = world.interrupted().and_then(|()| world.read_end(self.number, buf));
        world.note_moved(What::Recv, self.number, result, buf, "");
        Ok(result?)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.net.preempt();
        let mut world = self.net.world.borrow_mut();
        let result = world.interrupted().and_then(|()| world.write_end(self.number, bytes));
        world.note_moved(What::Send, self.number, result, bytes, "");
        Ok(result?)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
