//! Exchanges with an echo server on connections that stay: `ping-pong`, `idle` and `bulk`.
//!
//! It knows messages and where each connection is in its stream. It does not know when a run begins or ends, nor
//! a rate: it is told when a request is due.
//! Invariant: `awaited` bytes are the whole messages of all `batches` less what is `partial`.
//!
//! ```text
//! stream of one connection
//!                     ├──────────── awaited ──────────▶│
//! ├──── received ────▶├── on its way ──▶├── unsent ───▶│
//! verified            recv_at           send_at: the kernel's buffer was full
//! ```

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::book::Book;
use super::drive::{Driver, Issued, Scenario, Until};
use super::fault::{Fault, Kind};
use super::pattern::{Pattern, Place};
use super::sockets::{Poll, Received, Target, receive, send_some, set_nodelay};

/// Connections that are opened at once: fewer than fit into the queue of any listener.
const OPENING_MAX: usize = 64;

/// Receives of one connection in a row that fill the buffer; then it is the turn of others.
const RECEIVES_MAX: usize = 4;

const INTEREST: EventFlags = EventFlags::IN.union(EventFlags::OUT);
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// What makes a request follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// The answer to one before it.
    Closed,
    /// The time.
    Open,
}

/// All connections, those that work before those that are idle.
#[derive(Debug)]
pub(super) struct Echo {
    connections: Vec<Connection>,
    working: usize,
    depth: usize,
    desk: Desk,
}

/// What connections share.
#[derive(Debug)]
struct Desk {
    poll: Poll,
    pattern: Pattern,
    pace: Pace,
    /// Messages on their way, on all connections.
    outstanding: u64,
    /// In an open loop, a connection for every message that it may send besides.
    free: VecDeque<usize>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    index: usize,
    send_at: Place,
    recv_at: Place,
    /// Bytes that were issued and the kernel has not taken.
    unsent: usize,
    /// Bytes that were issued and have not come back.
    awaited: usize,
    /// Bytes of the first message on its way that have come back.
    partial: usize,
    /// The messages on their way, the first one first.
    batches: VecDeque<Batch>,
    received: u64,
    /// When something came, or something was sent after all had come.
    heard: u64,
}

/// Messages that were due at the same time.
#[derive(Clone, Copy, Debug)]
struct Batch {
    due: u64,
    count: usize,
}

impl Echo {
    /// Connections yet to be [opened](Echo::open), of which `working` will work.
    pub(super) fn new(poll: Poll, pattern: Pattern, pace: Pace, depth: usize, working: usize) -> Echo {
        let buffer = vec![0; pattern.piece_max()];
        let desk = Desk { poll, pattern, pace, outstanding: 0, free: VecDeque::new(), buffer };
        Echo { connections: Vec::new(), working, depth, desk }
    }

    /// Opens connections until there are `count`; each does one exchange, which proves that it was accepted.
    pub(super) fn open(
        &mut self,
        target: Target,
        count: usize,
        driver: &mut Driver,
        book: &mut Book,
    ) -> io::Result<()> {
        while self.connections.len() < count && !driver.interrupted() {
            let batch = self.connections.len()..count.min(self.connections.len() + OPENING_MAX);
            driver.progress().show("opening", batch.start as u64, count as u64);
            for index in batch {
                let mut connection = Connection::open(index, target, &self.desk, book)?;
                connection.send(1, book.now(), book.now(), &mut self.desk)?;
                self.connections.push(connection);
            }
            driver.turn_until(Until::Quiet, self, book, |_, _| ())?;
        }
        Ok(())
    }
}

impl Scenario for Echo {
    #[inline]
    fn ready(&mut self, token: u64, flags: EventFlags, book: &mut Book) -> io::Result<()> {
        let connection = &mut self.connections[usize::try_from(token).expect("it was an index")];
        if flags.intersects(EventFlags::IN | ENDED) {
            connection.receive(flags, &mut self.desk, book)?;
        }
        if connection.unsent > 0 && flags.contains(EventFlags::OUT) {
            book.tick();
            connection.flush(&self.desk.pattern)?;
        }
        Ok(())
    }

    fn begin(&mut self, book: &mut Book) -> io::Result<()> {
        self.desk.free.clear();
        match self.desk.pace {
            Pace::Closed => {
                for connection in &mut self.connections[..self.working] {
                    let now = book.tick();
                    let count =
                        usize::try_from(book.take(self.depth as u64)).expect("it is at most the depth");
                    if count > 0 {
                        connection.send(count, now, now, &mut self.desk)?;
                    }
                }
            }
            // Every connection comes before any has its second.
            Pace::Open => self.desk.free.extend((0..self.depth).flat_map(|_| 0..self.working)),
        }
        Ok(())
    }

    fn issue(&mut self, due: u64, book: &mut Book) -> io::Result<Issued> {
        let Some(index) = self.desk.free.pop_front() else { return Ok(Issued::NoneFree) };
        self.connections[index].send(1, due, book.now(), &mut self.desk)?;
        Ok(Issued::Sent)
    }

    fn outstanding(&self) -> u64 {
        self.desk.outstanding
    }

    fn give_up(&mut self, before: u64, patience: Duration, _: &mut Book) -> io::Result<()> {
        let silent = |connection: &&Connection| connection.awaited > 0 && connection.heard < before;
        match self.connections.iter().find(silent) {
            Some(silent) => {
                Err(silent.fault(Kind::Silent { missing: silent.awaited as u64, patience }).into())
            }
            None => Ok(()),
        }
    }
}

impl Connection {
    fn open(index: usize, target: Target, desk: &Desk, book: &mut Book) -> io::Result<Connection> {
        let serial = index as u64;
        let lost = |errno| Fault { connection: serial, offset: 0, kind: Kind::Lost { missing: 0, errno } };
        let socket = target.connect(serial).map_err(lost)?;
        set_nodelay(&socket).map_err(lost)?;
        desk.poll.add(&socket, serial, INTEREST)?;
        let start = desk.pattern.start(serial);
        Ok(Connection {
            socket,
            index,
            send_at: start,
            recv_at: start,
            unsent: 0,
            awaited: 0,
            partial: 0,
            batches: VecDeque::new(),
            received: 0,
            heard: book.tick(),
        })
    }

    /// Issues `count` messages that were due at `due`, and sends what the kernel takes.
    #[inline]
    fn send(&mut self, count: usize, due: u64, now: u64, desk: &mut Desk) -> io::Result<()> {
        if self.awaited == 0 {
            self.heard = now;
        }
        self.batches.push_back(Batch { due, count });
        let bytes = count * desk.pattern.size();
        self.awaited += bytes;
        self.unsent += bytes;
        desk.outstanding += count as u64;
        self.flush(&desk.pattern)
    }

    /// Sends what the kernel takes. It says when it takes more.
    #[inline]
    fn flush(&mut self, pattern: &Pattern) -> io::Result<()> {
        while self.unsent > 0 {
            let piece = pattern.slice(self.send_at, self.unsent);
            let sent = send_some(&self.socket, piece).map_err(|errno| self.lost(errno))?;
            self.unsent -= sent;
            self.send_at = pattern.after(self.send_at, sent);
            if sent < piece.len() {
                break;
            }
        }
        Ok(())
    }

    /// Receives what has come, and answers it with what may follow.
    #[inline]
    fn receive(&mut self, flags: EventFlags, desk: &mut Desk, book: &mut Book) -> io::Result<()> {
        for _ in 0..RECEIVES_MAX {
            let count = match receive(&self.socket, &mut desk.buffer) {
                Ok(Received::Bytes(count)) => count,
                Ok(Received::Later) => return Ok(()),
                Ok(Received::End) => {
                    return Err(self.fault(Kind::Ended { missing: self.awaited as u64 }).into());
                }
                Err(errno) => return Err(self.lost(errno).into()),
            };
            self.heard = book.tick();
            let expected = &desk.buffer[..count.min(self.awaited)];
            if let Some(wrong) = desk.pattern.first_wrong(self.recv_at, expected) {
                return Err(Fault::wrong(self.index as u64, self.received, wrong).into());
            }
            if count > self.awaited {
                return Err(self.extra(count).into());
            }
            self.recv_at = desk.pattern.after(self.recv_at, count);
            self.received += count as u64;
            self.awaited -= count;
            book.received(count);
            let whole = self.partial + count;
            let messages = whole / desk.pattern.size();
            self.partial = whole % desk.pattern.size();
            if messages > 0 {
                self.answered(messages, desk, book)?;
            }
            // A buffer that was not filled has emptied the socket, and what comes later is a new edge. Only an end
            // that came with the bytes has no edge of its own.
            if count < desk.buffer.len() && !flags.intersects(ENDED) {
                return Ok(());
            }
        }
        Ok(desk.poll.again(&self.socket, self.index as u64, INTEREST)?)
    }

    /// So many messages have come back whole.
    #[inline]
    fn answered(&mut self, count: usize, desk: &mut Desk, book: &mut Book) -> io::Result<()> {
        let mut left = count;
        while let Some(first) = self.batches.front_mut() {
            let done = left.min(first.count);
            book.done(first.due, done as u64);
            left -= done;
            if done < first.count {
                first.count -= done;
                break;
            }
            self.batches.pop_front();
            if left == 0 {
                break;
            }
        }
        desk.outstanding -= count as u64;
        match desk.pace {
            Pace::Closed => {
                let follow =
                    usize::try_from(book.take(count as u64)).expect("it is no more than was answered");
                if follow > 0 {
                    return self.send(follow, book.now(), book.now(), desk);
                }
            }
            Pace::Open => desk.free.extend(std::iter::repeat_n(self.index, count)),
        }
        Ok(())
    }

    #[cold]
    fn lost(&self, errno: Errno) -> Fault {
        self.fault(Kind::Lost { missing: self.awaited as u64, errno })
    }

    /// `count` bytes came, more than were awaited.
    #[cold]
    fn extra(&self, count: usize) -> Fault {
        let kind = Kind::Extra { bytes: count - self.awaited };
        Fault { connection: self.index as u64, offset: self.received + self.awaited as u64, kind }
    }

    #[cold]
    fn fault(&self, kind: Kind) -> Fault {
        Fault { connection: self.index as u64, offset: self.received, kind }
    }
}
