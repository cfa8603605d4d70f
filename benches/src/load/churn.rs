//! Connections that come and go: connect, one exchange, close.
//!
//! It knows the life of one connection. It does not know when a run begins or ends, nor a rate.
//!
//! ```text
//! connect ──▶ messages ──▶ answers ──▶ our end ──▶ the server's end ──▶ closed
//! ├─────────────────────────── one request ──────────────────────────▶│
//! ```
//!
//! This side ends first, and reads the server's end before it closes. So the ports in `TIME_WAIT` are those of this
//! side, spread over 254 loopback addresses, and the server keeps nothing of a connection that is over.

use std::io;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::book::Book;
use super::drive::{Issued, Scenario};
use super::echo::Pace;
use super::fault::{Fault, Kind};
use super::pattern::{Pattern, Place};
use super::sockets::{Poll, Received, Target, end, receive, send_some};

/// So many failures in a row are not those of one connection.
const FAILURES_MAX: u32 = 16;

const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// As many connections at a time as there are places.
#[derive(Debug)]
pub(super) struct Churn {
    poll: Poll,
    pattern: Pattern,
    pace: Pace,
    target: Target,
    /// Messages of one exchange.
    depth: usize,
    places: Vec<Option<Connection>>,
    /// Places without a connection.
    free: Vec<usize>,
    /// The number of the next connection.
    serial: u64,
    failures_in_row: u32,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    serial: u64,
    send_at: Place,
    recv_at: Place,
    unsent: usize,
    awaited: usize,
    received: u64,
    due: u64,
    heard: u64,
}

impl Churn {
    /// `places` connections at a time to `target`, each with `depth` messages.
    pub(super) fn new(
        poll: Poll,
        pattern: Pattern,
        pace: Pace,
        target: Target,
        places: usize,
        depth: usize,
    ) -> Churn {
        let buffer = vec![0; pattern.piece_max()];
        Churn {
            poll,
            pattern,
            pace,
            target,
            depth,
            places: (0..places).map(|_| None).collect(),
            free: (0..places).rev().collect(),
            serial: 0,
            failures_in_row: 0,
            buffer,
        }
    }

    /// Opens a connection at `place`, and sends on it if that goes already.
    fn open(&mut self, place: usize, due: u64, book: &mut Book) -> io::Result<()> {
        let serial = self.serial;
        self.serial += 1;
        let start = self.pattern.start(serial);
        let bytes = self.depth * self.pattern.size();
        let connected = self.target.connect(serial).and_then(|socket| {
            let mut connection = Connection {
                socket,
                serial,
                send_at: start,
                recv_at: start,
                unsent: bytes,
                awaited: bytes,
                received: 0,
                due,
                heard: book.now(),
            };
            connection.flush(&self.pattern)?;
            // Only who waits to send asks for that.
            let interest =
                if connection.unsent > 0 { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            self.poll.add(&connection.socket, place as u64, interest)?;
            Ok(connection)
        });
        match connected {
            Ok(connection) => {
                self.places[place] = Some(connection);
                Ok(())
            }
            Err(errno) => {
                let kind = Kind::Lost { missing: bytes as u64, errno };
                self.failed(place, Fault { connection: serial, offset: 0, kind }, book)
            }
        }
    }

    /// The exchange at `place` came to nothing; the run goes on, unless that is all that happens.
    #[cold]
    fn failed(&mut self, place: usize, fault: Fault, book: &mut Book) -> io::Result<()> {
        self.failures_in_row += 1;
        let local = matches!(fault.kind, Kind::Lost { errno: Errno::ADDRNOTAVAIL | Errno::MFILE, .. });
        if fault.kind.is_corruption() || local || self.failures_in_row == FAILURES_MAX {
            return Err(fault.into());
        }
        book.failed(fault);
        self.places[place] = None;
        self.free.push(place);
        Ok(())
    }

    /// The connection at `place` is over, and was as it is to be.
    fn over(&mut self, place: usize, book: &mut Book) {
        if let Some(connection) = self.places[place].take() {
            book.done(connection.due, 1);
        }
        self.failures_in_row = 0;
        self.free.push(place);
    }

    /// In a closed loop, puts new connections where others were.
    fn refill(&mut self, book: &mut Book) -> io::Result<()> {
        if self.pace == Pace::Open {
            return Ok(());
        }
        // Of those that fail at once, not more than there are places in a turn: the next turn goes on.
        for _ in 0..self.places.len() {
            let Some(place) = self.free.pop() else { break };
            if book.take(1) == 0 {
                self.free.push(place);
                break;
            }
            let now = book.tick();
            self.open(place, now, book)?;
        }
        Ok(())
    }

    fn serve(&mut self, place: usize, flags: EventFlags, book: &mut Book) -> io::Result<()> {
        let Some(connection) = &mut self.places[place] else { return Ok(()) };
        connection.heard = book.now();
        let progress = connection.progress(&self.pattern, &mut self.buffer, flags, book);
        match progress {
            Ok(Progress::Waiting) => Ok(()),
            Ok(Progress::Over) => {
                self.over(place, book);
                Ok(())
            }
            Err(fault) => self.failed(place, fault, book),
        }
    }
}

impl Scenario for Churn {
    fn ready(&mut self, token: u64, flags: EventFlags, book: &mut Book) -> io::Result<()> {
        let place = usize::try_from(token).expect("it was an index");
        book.tick();
        self.serve(place, flags, book)?;
        self.refill(book)
    }

    fn begin(&mut self, book: &mut Book) -> io::Result<()> {
        self.refill(book)
    }

    fn issue(&mut self, due: u64, book: &mut Book) -> io::Result<Issued> {
        let Some(place) = self.free.pop() else { return Ok(Issued::NoneFree) };
        self.open(place, due, book)?;
        Ok(Issued::Sent)
    }

    fn outstanding(&self) -> u64 {
        (self.places.len() - self.free.len()) as u64
    }

    fn give_up(&mut self, before: u64, patience: Duration, book: &mut Book) -> io::Result<()> {
        for place in 0..self.places.len() {
            let Some(connection) = &self.places[place] else { continue };
            if connection.heard < before {
                let kind = Kind::Silent { missing: connection.awaited as u64, patience };
                let fault = connection.fault(kind);
                self.failed(place, fault, book)?;
            }
        }
        self.refill(book)
    }
}

/// What has become of a connection.
enum Progress {
    Waiting,
    Over,
}

impl Connection {
    /// Sends and receives what goes, and ends our side after the last answer.
    fn progress(
        &mut self,
        pattern: &Pattern,
        buffer: &mut [u8],
        flags: EventFlags,
        book: &mut Book,
    ) -> Result<Progress, Fault> {
        if self.unsent > 0 && flags.contains(EventFlags::OUT) && !flags.intersects(ENDED) {
            self.flush(pattern).map_err(|errno| self.lost(errno))?;
        }
        if !flags.intersects(EventFlags::IN | ENDED) {
            return Ok(Progress::Waiting);
        }
        loop {
            match receive(&self.socket, buffer) {
                Ok(Received::Bytes(count)) => {
                    self.verify(pattern, &buffer[..count], book)?;
                    if self.awaited == 0 {
                        end(&self.socket).map_err(|errno| self.lost(errno))?;
                    }
                    // What comes later, bytes or the server's end, has an event of its own.
                    if count < buffer.len() && !flags.intersects(ENDED) {
                        return Ok(Progress::Waiting);
                    }
                }
                Ok(Received::Later) => return Ok(Progress::Waiting),
                Ok(Received::End) if self.awaited == 0 => return Ok(Progress::Over),
                Ok(Received::End) => return Err(self.fault(Kind::Ended { missing: self.awaited as u64 })),
                Err(errno) => return Err(self.lost(errno)),
            }
        }
    }

    fn flush(&mut self, pattern: &Pattern) -> Result<(), Errno> {
        while self.unsent > 0 {
            let piece = pattern.slice(self.send_at, self.unsent);
            let sent = send_some(&self.socket, piece)?;
            self.unsent -= sent;
            self.send_at = pattern.after(self.send_at, sent);
            if sent < piece.len() {
                break;
            }
        }
        Ok(())
    }

    fn verify(&mut self, pattern: &Pattern, bytes: &[u8], book: &mut Book) -> Result<(), Fault> {
        let expected = &bytes[..bytes.len().min(self.awaited)];
        if let Some(wrong) = pattern.first_wrong(self.recv_at, expected) {
            return Err(Fault::wrong(self.serial, self.received, wrong));
        }
        self.recv_at = pattern.after(self.recv_at, expected.len());
        self.received += expected.len() as u64;
        self.awaited -= expected.len();
        book.received(expected.len());
        match bytes.len() - expected.len() {
            0 => Ok(()),
            bytes => Err(self.fault(Kind::Extra { bytes })),
        }
    }

    fn lost(&self, errno: Errno) -> Fault {
        self.fault(Kind::Lost { missing: self.awaited as u64, errno })
    }

    fn fault(&self, kind: Kind) -> Fault {
        Fault { connection: self.serial, offset: self.received, kind }
    }
}
