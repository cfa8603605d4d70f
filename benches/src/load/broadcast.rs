//! One sender, and everyone receives: `broadcast`.
//!
//! It knows messages, who sent them and who has yet to receive them. It does not know when a run begins or ends,
//! nor a rate. The server sends each message to every connection, the sender included.
//! Invariant: `open` holds, from `oldest` on, every message that someone has not received whole.
//!
//! A connection that the kernel has set up is not yet one that the server knows. Listeners accept in the order in
//! which connections were set up: so when the last of a batch, opened after all others were set up, sends and
//! receives a message, everyone in the batch receives it too.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::book::Book;
use super::drive::{Driver, Issued, Scenario, Until};
use super::echo::Pace;
use super::fault::{Fault, Kind};
use super::pattern::{Pattern, Place};
use super::sockets::{Poll, Received, Target, receive, send_some, set_nodelay};

/// Connections that are opened at once: fewer than fit into the queue of any listener.
const OPENING_MAX: usize = 100;

const INTEREST: EventFlags = EventFlags::IN.union(EventFlags::OUT);
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// All connections, the first of which sends once they are open.
#[derive(Debug)]
pub(super) struct Broadcast {
    poll: Poll,
    pattern: Pattern,
    pace: Pace,
    depth: usize,
    receivers: Vec<Receiver>,
    /// Receivers that are not connected yet.
    connecting: u64,
    sender: usize,
    /// Where in the stream of all messages the sender is, and what the kernel has not taken of it.
    send_at: Place,
    unsent: usize,
    /// The number of the next message.
    next: u64,
    oldest: u64,
    open: VecDeque<Message>,
    buffer: Vec<u8>,
}

/// One that has not reached everyone.
#[derive(Debug)]
struct Message {
    due: u64,
    missing: usize,
}

#[derive(Debug)]
struct Receiver {
    socket: OwnedFd,
    connected: bool,
    recv_at: Place,
    /// The message it receives next, and how much of it has come.
    message: u64,
    partial: usize,
    received: u64,
    heard: u64,
}

impl Broadcast {
    pub(super) fn new(poll: Poll, pattern: Pattern, pace: Pace, depth: usize) -> Broadcast {
        let buffer = vec![0; pattern.piece_max()];
        let send_at = pattern.start(0);
        Broadcast {
            poll,
            pattern,
            pace,
            depth,
            receivers: Vec::new(),
            connecting: 0,
            sender: 0,
            send_at,
            unsent: 0,
            next: 0,
            oldest: 0,
            open: VecDeque::new(),
            buffer,
        }
    }

    /// Opens `count` connections.
    pub(super) fn open(
        &mut self,
        target: Target,
        count: usize,
        driver: &mut Driver,
        book: &mut Book,
    ) -> io::Result<()> {
        while self.receivers.len() < count && !driver.interrupted() {
            driver.progress().show("opening", self.receivers.len() as u64, count as u64);
            let last = count.min(self.receivers.len() + OPENING_MAX) - 1;
            while self.receivers.len() < last {
                self.connect(target, book)?;
            }
            driver.turn_until(Until::Quiet, self, book, |_, _| ())?;
            self.connect(target, book)?;
            driver.turn_until(Until::Quiet, self, book, |_, _| ())?;
            self.sender = last;
            self.send(1, book.now(), book)?;
            driver.turn_until(Until::Quiet, self, book, |_, _| ())?;
        }
        self.sender = 0;
        Ok(())
    }

    fn connect(&mut self, target: Target, book: &mut Book) -> io::Result<()> {
        let serial = self.receivers.len() as u64;
        let lost = |errno| Fault { connection: serial, offset: 0, kind: Kind::Lost { missing: 0, errno } };
        let socket = target.connect(serial).map_err(lost)?;
        set_nodelay(&socket).map_err(lost)?;
        self.poll.add(&socket, serial, INTEREST)?;
        self.connecting += 1;
        self.receivers.push(Receiver {
            socket,
            connected: false,
            recv_at: self.send_at,
            message: self.next,
            partial: 0,
            received: 0,
            heard: book.tick(),
        });
        Ok(())
    }

    /// Issues `count` messages that were due at `due`.
    fn send(&mut self, count: usize, due: u64, book: &Book) -> io::Result<()> {
        if self.open.is_empty() {
            for receiver in &mut self.receivers {
                receiver.heard = book.now();
            }
        }
        let missing = self.receivers.len();
        self.open.extend((0..count).map(|_| Message { due, missing }));
        self.next += count as u64;
        self.unsent += count * self.pattern.size();
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.unsent > 0 {
            let piece = self.pattern.slice(self.send_at, self.unsent);
            let socket = &self.receivers[self.sender].socket;
            let sent = send_some(socket, piece).map_err(|errno| self.lost(self.sender, errno))?;
            let length = piece.len();
            self.unsent -= sent;
            self.send_at = self.pattern.after(self.send_at, sent);
            if sent < length {
                break;
            }
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, flags: EventFlags, book: &mut Book) -> io::Result<()> {
        loop {
            let awaited = self.awaited(index);
            let receiver = &mut self.receivers[index];
            let count = match receive(&receiver.socket, &mut self.buffer) {
                Ok(Received::Bytes(count)) => count,
                Ok(Received::Later) => return Ok(()),
                Ok(Received::End) => return Err(self.fault(index, Kind::Ended { missing: awaited })),
                Err(errno) => return Err(self.lost(index, errno).into()),
            };
            receiver.heard = book.tick();
            let expected = count.min(usize::try_from(awaited).unwrap_or(usize::MAX));
            if let Some(wrong) = self.pattern.first_wrong(receiver.recv_at, &self.buffer[..expected]) {
                return Err(Fault::wrong(index as u64, receiver.received, wrong).into());
            }
            receiver.recv_at = self.pattern.after(receiver.recv_at, expected);
            receiver.received += expected as u64;
            book.received(expected);
            let whole = receiver.partial + expected;
            receiver.partial = whole % self.pattern.size();
            self.delivered(index, whole / self.pattern.size(), book);
            if count > expected {
                return Err(self.fault(index, Kind::Extra { bytes: count - expected }));
            }
            if count < self.buffer.len() && !flags.intersects(ENDED) {
                return Ok(());
            }
        }
    }

    /// Bytes that a receiver has yet to get, of all that were issued.
    fn awaited(&self, index: usize) -> u64 {
        let receiver = &self.receivers[index];
        (self.next - receiver.message) * self.pattern.size() as u64 - receiver.partial as u64
    }

    /// So many messages have reached a receiver whole.
    fn delivered(&mut self, index: usize, count: usize, book: &mut Book) {
        let receiver = &mut self.receivers[index];
        let first = usize::try_from(receiver.message - self.oldest).expect("it is one of those open");
        receiver.message += count as u64;
        for message in self.open.range_mut(first..first + count) {
            message.missing -= 1;
            book.done(message.due, 1);
        }
    }

    /// Takes what has reached everyone off the list, and lets as many follow in a closed loop.
    fn settle(&mut self, book: &mut Book) -> io::Result<()> {
        let mut done = 0;
        while self.open.front().is_some_and(|message| message.missing == 0) {
            self.open.pop_front();
            done += 1;
        }
        self.oldest += done;
        self.follow(if self.pace == Pace::Closed { done } else { 0 }, book)
    }

    /// Issues up to `wanted` messages now.
    fn follow(&mut self, wanted: u64, book: &mut Book) -> io::Result<()> {
        match usize::try_from(book.take(wanted)).expect("it is at most the depth") {
            0 => Ok(()),
            count => self.send(count, book.now(), book),
        }
    }

    #[cold]
    fn lost(&self, index: usize, errno: Errno) -> Fault {
        let kind = Kind::Lost { missing: self.awaited(index), errno };
        Fault { connection: index as u64, offset: self.receivers[index].received, kind }
    }

    #[cold]
    fn fault(&self, index: usize, kind: Kind) -> io::Error {
        Fault { connection: index as u64, offset: self.receivers[index].received, kind }.into()
    }
}

impl Scenario for Broadcast {
    fn ready(&mut self, token: u64, flags: EventFlags, book: &mut Book) -> io::Result<()> {
        let index = usize::try_from(token).expect("it was an index");
        if flags.intersects(EventFlags::IN | ENDED) {
            self.receive(index, flags, book)?;
            self.settle(book)?;
        }
        if flags.contains(EventFlags::OUT) {
            let receiver = &mut self.receivers[index];
            if !receiver.connected {
                receiver.connected = true;
                self.connecting -= 1;
            }
            if index == self.sender && self.unsent > 0 {
                book.tick();
                self.flush()?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, book: &mut Book) -> io::Result<()> {
        book.tick();
        self.follow(if self.pace == Pace::Closed { self.depth as u64 } else { 0 }, book)
    }

    fn issue(&mut self, due: u64, book: &mut Book) -> io::Result<Issued> {
        if self.open.len() == self.depth {
            return Ok(Issued::NoneFree);
        }
        self.send(1, due, book)?;
        Ok(Issued::Sent)
    }

    fn outstanding(&self) -> u64 {
        self.open.len() as u64 + self.connecting
    }

    fn give_up(&mut self, before: u64, patience: Duration, _: &mut Book) -> io::Result<()> {
        let silent = |receiver: &Receiver| {
            let late = receiver.message < self.next && receiver.heard < before;
            late || (!receiver.connected && receiver.heard < before)
        };
        match self.receivers.iter().position(silent) {
            Some(index) => Err(self.fault(index, Kind::Silent { missing: self.awaited(index), patience })),
            None => Ok(()),
        }
    }
}
