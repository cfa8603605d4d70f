//! One client of the soak: a non-blocking socket that follows its plan and compares every byte.
//!
//! It knows what may happen to it and calls everything else a fault. It does not know other clients, and
//! it shares no code with the reactor: the peer must be someone else's.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use fastrand::Rng;
use mio::event::Event;
use mio::net::TcpStream;
use rustix::net::SendFlags;
use socket2::{Domain, SockRef, Socket, Type};

use super::mix::{End, Kind, Leave, Pace, Plan};
use super::stream::Stream;

/// The most that one visit reads, and writes.
const VISIT_BYTES: usize = 256 << 10;

/// How long a client waits that has something coming. Twice the write timeout of the echo server, and far
/// more than a crowd takes to leave.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The write timeout of the echo server is 30 s; nobody may be given up earlier.
const CUT_AFTER: Duration = Duration::from_secs(29);

/// Addresses of loopback that clients connect from: 16, so that the ports of the closed ones suffice.
const SOURCES: u8 = 16;

/// What all clients share: buffers, chance, and the sums.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) rng: Rng,
    pub(super) send: Vec<u8>,
    pub(super) recv: Vec<u8>,
    pub(super) sums: Sums,
}

/// What was done in all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// How often everything that a client had sent had come back.
    pub(super) exchanges: u64,
    pub(super) urgent: u64,
    pub(super) resets: u64,
    /// The longest that a client which reads waited for its first byte.
    pub(super) first_byte: Duration,
}

impl Desk {
    pub(super) fn new(seed: u64) -> Desk {
        let rng = Rng::with_seed(seed);
        Desk { rng, send: vec![0; 64 << 10], recv: vec![0; 64 << 10], sums: Sums::default() }
    }
}

/// How a connection came to an end that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Everything came back.
    Served,
    /// It left amid its work, as it set out to.
    Left,
    /// The server gave it up, as it must.
    Cut,
}

/// What must not happen.
#[derive(Debug)]
pub(super) enum Fault {
    /// A byte came back that was not sent.
    WrongByte(String),
    /// A reset, a refusal, an end or a standstill that was not to be.
    Fate(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Open,
    /// Our side has ended.
    Ended,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    plan: Plan,
    tcp: TcpStream,
    stream: Stream,
    stage: Stage,
    sent: u64,
    received: u64,
    /// How far the exchange that is under way goes ([`Pace::Turns`]).
    turn_end: u64,
    /// The place of the latest urgent byte.
    urgent_at: Option<u64>,
    readable: bool,
    writable: bool,
    /// The kernel has an error or an end to tell.
    news: bool,
    started: Instant,
    progress: Instant,
    answered: Option<Instant>,
    read_at: Instant,
    write_at: Instant,
}

impl Client {
    /// Begins to connect.
    pub(super) fn start(plan: Plan, addr: SocketAddr, now: Instant, rng: &mut Rng) -> io::Result<Client> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        if let Some(bytes) = plan.recv_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.set_tcp_nodelay(true)?;
        let source = Ipv4Addr::new(127, 0, 0, 2 + rng.u8(..SOURCES));
        socket.bind(&SocketAddrV4::new(source, 0).into())?;
        match socket.connect(&addr.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        Ok(Client {
            plan,
            tcp: TcpStream::from_std(socket.into()),
            stream: Stream::new(rng.u64(..)),
            stage: Stage::Connecting,
            sent: 0,
            received: 0,
            turn_end: 0,
            urgent_at: None,
            readable: false,
            writable: false,
            news: false,
            started: now,
            progress: now,
            answered: None,
            read_at: now,
            write_at: now,
        })
    }

    pub(super) fn kind(&self) -> Kind {
        self.plan.kind
    }

    pub(super) fn source(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Takes note of what the kernel says.
    pub(super) fn notice(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.news |= event.is_error() || event.is_read_closed() || event.is_write_closed();
    }

    /// Sends nothing new from here on and ends soon.
    pub(super) fn wind_down(&mut self, now: Instant) {
        self.plan.total = self.sent;
        match &mut self.plan.end {
            End::Close { .. } | End::HalfClose => {}
            End::Leave { after, .. } => {
                *after = (*after).min(now - self.started + Duration::from_millis(500));
            }
            End::Cut => {
                self.plan.end = End::Leave { how: Leave::Close, after: Duration::ZERO, after_bytes: 0 };
            }
        }
    }

    /// Does what can be done now. Answers how it ended, if it did.
    pub(super) fn visit(&mut self, now: Instant, desk: &mut Desk) -> Result<Option<Fate>, Fault> {
        if let End::Leave { how, after, after_bytes } = self.plan.end {
            if now >= self.started + after || self.sent >= after_bytes {
                self.leave(how, desk);
                return Ok(Some(Fate::Left));
            }
        }
        if self.stage == Stage::Connecting {
            if !self.writable {
                return self.wait(now);
            }
            self.connected()?;
        }
        if let Some(fate) = self.read(now, desk)? {
            return Ok(Some(fate));
        }
        self.write(now, desk)?;
        if self.is_answered() {
            let answered = *self.answered.get_or_insert(now);
            match self.plan.end {
                End::Close { hold } if now >= answered + hold => return Ok(Some(Fate::Served)),
                End::HalfClose if self.stage == Stage::Open => self.end_our_side(now)?,
                End::Close { .. } | End::HalfClose | End::Leave { .. } | End::Cut => {}
            }
        }
        self.wait(now)
    }

    fn is_answered(&self) -> bool {
        match self.plan.end {
            // The rest comes back after our end.
            End::HalfClose => self.sent == self.plan.total,
            End::Close { .. } => self.sent == self.plan.total && self.received == self.sent,
            End::Leave { .. } | End::Cut => false,
        }
    }

    fn leave(&mut self, how: Leave, desk: &mut Desk) {
        if how == Leave::Reset {
            let done = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
            desk.sums.resets += u64::from(done.is_ok());
        }
    }

    fn connected(&mut self) -> Result<(), Fault> {
        match self.tcp.take_error() {
            Ok(None) => self.stage = Stage::Open,
            Ok(Some(error)) | Err(error) => return Err(self.fate(&format!("connect: {error}"))),
        }
        Ok(())
    }

    fn end_our_side(&mut self, now: Instant) -> Result<(), Fault> {
        self.tcp
            .shutdown(std::net::Shutdown::Write)
            .map_err(|error| self.fate(&format!("shutdown: {error}")))?;
        self.stage = Stage::Ended;
        self.progress = now;
        Ok(())
    }

    fn read(&mut self, now: Instant, desk: &mut Desk) -> Result<Option<Fate>, Fault> {
        let deaf = matches!(self.plan.kind, Kind::Deaf | Kind::Stuck);
        let reads = !deaf || self.news;
        let mut budget = VISIT_BYTES;
        while reads && self.readable && budget > 0 && now >= self.read_at {
            match self.tcp.read(&mut desk.recv[..self.plan.read_bytes]) {
                Ok(0) if self.stage == Stage::Ended && self.received == self.sent => {
                    return Ok(Some(Fate::Served));
                }
                Ok(0) => return Err(self.fate("an end that was not to be")),
                Ok(n) => {
                    self.compare(n, desk)?;
                    if self.received == 0 && !deaf {
                        desk.sums.first_byte = desk.sums.first_byte.max(now - self.started);
                    }
                    self.received += n as u64;
                    desk.sums.received += n as u64;
                    desk.sums.exchanges += u64::from(self.received == self.sent);
                    self.progress = now;
                    self.read_at = now + pause(self.plan.read_pause, &mut desk.rng);
                    budget = budget.saturating_sub(n);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset && self.may_be_cut(now) => {
                    return Ok(Some(Fate::Cut));
                }
                Err(error) => return Err(self.fate(&format!("receive: {error}"))),
            }
        }
        Ok(None)
    }

    /// Compares the first `n` bytes of the receive buffer with what was sent.
    fn compare(&self, n: usize, desk: &mut Desk) -> Result<(), Fault> {
        let (bytes, end) = (&desk.recv[..n], self.received + n as u64);
        let wrong = self.stream.first_wrong(self.received, bytes, &mut desk.send);
        match wrong {
            Some(place) => Err(Fault::WrongByte(self.describe(&format!("byte {place} is wrong")))),
            None if end > self.sent => {
                let more = end - self.sent;
                Err(Fault::WrongByte(self.describe(&format!("{more} bytes more than were sent"))))
            }
            None => Ok(()),
        }
    }

    fn may_be_cut(&self, now: Instant) -> bool {
        matches!(self.plan.end, End::Cut) && now >= self.started + CUT_AFTER
    }

    fn write(&mut self, now: Instant, desk: &mut Desk) -> Result<(), Fault> {
        let given_up = matches!(self.plan.end, End::Cut) && self.news;
        if self.stage != Stage::Open || given_up {
            return Ok(());
        }
        let mut budget = VISIT_BYTES;
        while self.writable && budget > 0 && now >= self.write_at {
            let room = self.room().min(self.plan.write_bytes as u64).min(desk.send.len() as u64);
            let room = usize::try_from(room).expect("a buffer is no longer");
            if room == 0 {
                break;
            }
            // A write of any length up to what is allowed, so that the cuts fall everywhere.
            let length = if self.plan.pace == Pace::Pipeline { desk.rng.usize(1..=room) } else { room };
            let length = if self.plan.kind == Kind::Bulk { room } else { length };
            let bytes = &mut desk.send[..length];
            self.stream.fill(self.sent, bytes);
            match self.tcp.write(bytes) {
                Ok(n) => {
                    self.sent += n as u64;
                    desk.sums.sent += n as u64;
                    budget = budget.saturating_sub(n);
                    self.progress = now;
                    self.write_at = now + pause(self.plan.write_pause, &mut desk.rng);
                    if self.plan.kind == Kind::Urgent {
                        self.send_urgent(desk)?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What came before is read first, and then the reason.
                Err(_) if matches!(self.plan.end, End::Cut) => {
                    self.news = true;
                    break;
                }
                Err(error) => return Err(self.fate(&format!("send: {error}"))),
            }
        }
        Ok(())
    }

    /// How many bytes its plan lets it send now.
    fn room(&mut self) -> u64 {
        let left = self.plan.total - self.sent;
        match self.plan.pace {
            Pace::Pipeline => (self.plan.window.saturating_sub(self.sent - self.received)).min(left),
            Pace::Turns => {
                if self.received == self.sent && self.sent == self.turn_end {
                    self.turn_end += self.plan.window.min(left);
                }
                self.turn_end - self.sent
            }
        }
    }

    /// Sends an urgent byte now and then, one at a time: of two that were not received yet the first may be
    /// left in the stream. Once a byte behind it has come back, it is over.
    fn send_urgent(&mut self, desk: &mut Desk) -> Result<(), Fault> {
        let over = self.urgent_at.is_none_or(|place| self.received > place);
        if !over || desk.rng.u8(..4) != 0 {
            return Ok(());
        }
        match rustix::net::send(&self.tcp, b"!", SendFlags::OOB | SendFlags::NOSIGNAL) {
            Ok(_) => {
                self.urgent_at = Some(self.sent);
                desk.sums.urgent += 1;
                Ok(())
            }
            Err(error) if error == rustix::io::Errno::AGAIN || error == rustix::io::Errno::INTR => Ok(()),
            Err(error) => Err(self.fate(&format!("send urgent: {error}"))),
        }
    }

    /// Nothing to do now, which is a fault if it is so for too long.
    fn wait(&self, now: Instant) -> Result<Option<Fate>, Fault> {
        let since = match self.plan.end {
            End::Close { .. } | End::HalfClose => self.progress,
            End::Cut => self.started + CUT_AFTER,
            End::Leave { .. } => return Ok(None),
        };
        if now > since + PATIENCE {
            return Err(self.fate("nothing happens any more"));
        }
        Ok(None)
    }

    /// What it says of itself when it is still there at the end.
    pub(super) fn fate(&self, what: &str) -> Fault {
        Fault::Fate(self.describe(what))
    }

    fn describe(&self, what: &str) -> String {
        format!(
            "{}: {what} ({:?}, {} of {} bytes sent, {} received, {:.3} s old)",
            self.plan.kind.name(),
            self.stage,
            self.sent,
            self.plan.total,
            self.received,
            self.started.elapsed().as_secs_f64(),
        )
    }
}

/// A wait of at most `longest`.
fn pause(longest: Duration, rng: &mut Rng) -> Duration {
    longest.mul_f64(rng.f64())
}
