//! ICMP echo, as `ping` does it: a socket of a kind the crate knows nothing of, registered as a descriptor.
//!
//! ```text
//! cargo run --release --example ping -- 127.0.0.1
//! cargo run --release --example ping -- --count 3 --interval 0.2 --timeout 1 ::1
//! ```
//!
//! The loop tells when the socket can be read or written, and lends it; what a packet is, is all here. A request is
//! written when its time has come and the socket takes it, so that one is of interest only then. The socket is one for
//! ICMP datagrams, which the system gives to the groups in `net.ipv4.ping_group_range`, or else a raw one, which is root's:
//! such a socket sees every ICMP packet of the machine, and each request carries a number by which we know ours again.
//! Ctrl-C prints what came of it so far.
//!
//! Exit codes: 0 if any answer came, 1 if none did, 2 if there was nothing to be tried.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use socket2::{Domain, Protocol, Socket, Type};
use switchboard::codec::Raw;
use switchboard::signals::{SIGINT, SIGTERM, Signals};
use switchboard::{
    Config, Conn, Context, Handler, Instant, Peer, Reactor, Readiness, Ready, Result, Source, SourceId, Stop,
};

const USAGE: &str = "ping [--count N] [--interval SECONDS] [--timeout SECONDS] HOST";

/// What a request carries behind its header of eight bytes.
const PAYLOAD: usize = 56;
/// Keys of the two descriptors, and of the alarm that sends. The alarm for an answer has the request's number.
const SOCKET: u64 = 1 << 32;
const SIGNAL: u64 = 2 << 32;
const SEND: u64 = 3 << 32;

/// What the arguments ask for.
struct Asked {
    to: IpAddr,
    /// How many requests; none: until Ctrl-C.
    count: Option<u16>,
    interval: Duration,
    timeout: Duration,
}

struct Ping {
    asked: Asked,
    /// There once it is registered.
    socket: Option<SourceId>,
    signals: Signals,
    /// Whether what is received begins with the header of IP.
    has_ip_header: bool,
    /// Tells our packets from those of others.
    ours: [u8; 8],
    sent: u16,
    /// Requests without an answer, and when they left.
    open: BTreeMap<u16, Instant>,
    times: Vec<Duration>,
}

impl Ping {
    fn echo_types(&self) -> (u8, u8) {
        if self.asked.to.is_ipv6() { (128, 129) } else { (8, 0) }
    }

    /// A request. The kernel writes the checksum for IPv6, and its own id and checksum for a datagram socket.
    fn request(&self, number: u16) -> [u8; 8 + PAYLOAD] {
        let mut packet = [0; 8 + PAYLOAD];
        packet[0] = self.echo_types().0;
        packet[4..6].copy_from_slice(&self.ours[..2]);
        packet[6..8].copy_from_slice(&number.to_be_bytes());
        packet[8..16].copy_from_slice(&self.ours);
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// The number of the request that a packet answers, if it is one of ours.
    fn answers(&self, packet: &[u8]) -> Option<u16> {
        let header = if self.has_ip_header { usize::from(packet.first()? & 0xf) * 4 } else { 0 };
        let packet = packet.get(header..)?;
        let is_answer = packet.first() == Some(&self.echo_types().1) && packet.get(8..16) == Some(&self.ours);
        let number = packet.get(6..8)?;
        is_answer.then(|| u16::from_be_bytes([number[0], number[1]]))
    }

    /// Sends the next request, and says so.
    fn send(&mut self, cx: &mut Context, socket: Ready<'_>) {
        match socket.write(&self.request(self.sent + 1)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => say(&format!("icmp_seq={} was not sent: {error}", self.sent + 1)),
            Ok(_) => drop(self.open.insert(self.sent + 1, cx.now())),
        }
        self.sent += 1;
        cx.set_interest(socket.id, Readiness::READABLE);
        // As many timers as there are requests without an answer: far below what the reactor takes.
        let _ = cx.set_alarm(self.asked.timeout, u64::from(self.sent));
        if self.asked.count.is_none_or(|count| self.sent < count) && self.sent < u16::MAX {
            let _ = cx.set_alarm(self.asked.interval, SEND);
        }
    }

    fn receive(&mut self, cx: &mut Context, socket: Ready<'_>) {
        let mut packet = [0; 2048];
        let received = match socket.read(&mut packet) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => return say(&format!("from the network: {error}")),
        };
        let Some(number) = self.answers(&packet[..received]) else { return };
        // One that comes twice, or too late, is open no more.
        let Some(sent) = self.open.remove(&number) else { return };
        let took = cx.now().since(sent);
        self.times.push(took);
        say(&format!(
            "{} bytes from {}: icmp_seq={number} time={} ms",
            8 + PAYLOAD,
            self.asked.to,
            millis(took)
        ));
        self.end_if_over(cx);
    }

    fn end_if_over(&self, cx: &mut Context) {
        if self.open.is_empty() && self.asked.count.is_some_and(|count| self.sent >= count) {
            cx.stop(Stop::Now);
        }
    }

    fn statistics(&self) {
        let (sent, received) = (usize::from(self.sent), self.times.len());
        let lost = (sent - received) * 100 / sent.max(1);
        say(&format!("\n--- {} ping statistics ---", self.asked.to));
        say(&format!("{sent} packets transmitted, {received} received, {lost}% packet loss"));
        if let (Some(min), Some(max)) = (self.times.iter().min(), self.times.iter().max()) {
            let sum: Duration = self.times.iter().sum();
            let mean = sum / u32::try_from(received).unwrap_or(u32::MAX);
            say(&format!("rtt min/avg/max = {}/{}/{} ms", millis(*min), millis(mean), millis(*max)));
        }
    }
}

impl Handler for Ping {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
        if source.key == SIGNAL {
            if self.signals.take(source).count() > 0 {
                cx.stop(Stop::Now);
            }
            return;
        }
        if source.readiness.contains(Readiness::READABLE) {
            self.receive(cx, source);
        }
        if source.readiness.contains(Readiness::WRITABLE) {
            self.send(cx, source);
        }
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        if key == SEND {
            if let Some(socket) = self.socket {
                cx.set_interest(socket, Readiness::READABLE | Readiness::WRITABLE);
            }
            return;
        }
        if u16::try_from(key).is_ok_and(|number| self.open.remove(&number).is_some()) {
            say(&format!("no answer from {}: icmp_seq={key}", self.asked.to));
        }
        self.end_if_over(cx);
    }
}

/// Says something. Nobody may be there to read it any more, which ends nothing.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn millis(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1000.0)
}

/// The checksum of the Internet protocols: RFC 1071.
fn checksum(packet: &[u8]) -> u16 {
    let sum: u32 =
        packet.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(*two.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

/// A socket for ICMP and whether it is a raw one, of which the kernel gives away the header of IPv4 too.
fn icmp_socket(to: IpAddr) -> io::Result<(Socket, bool)> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let forbidden = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    let (socket, is_raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, false),
        Err(error) => match Socket::new(domain, Type::RAW, Some(protocol)) {
            Ok(socket) => (socket, true),
            Err(raw) if forbidden(&raw) => {
                let message = format!(
                    "the system forbids it ({error}): net.ipv4.ping_group_range names no group of this user, \
                     and a raw socket needs root or CAP_NET_RAW"
                );
                return Err(io::Error::new(ErrorKind::PermissionDenied, message));
            }
            Err(raw) => return Err(raw),
        },
    };
    // Connected, so that reading and writing is all it takes; and nobody else's packets arrive.
    socket.connect(&SocketAddr::new(to, 0).into())?;
    Ok((socket, is_raw))
}

fn ping(asked: Asked) -> io::Result<ExitCode> {
    let (socket, is_raw) = icmp_socket(asked.to)?;
    let (signals, caught) = Signals::new([SIGINT, SIGTERM])?;
    let has_ip_header = is_raw && asked.to.is_ipv4();
    say(&format!("PING {}: {PAYLOAD} data bytes", asked.to));

    let ours = RandomState::new().build_hasher().finish().to_be_bytes();
    let (open, times) = (BTreeMap::new(), Vec::new());
    let ping = Ping { asked, socket: None, signals, has_ip_header, ours, sent: 0, open, times };
    let mut reactor = Reactor::new(ping, Config::default())?;
    reactor.register(caught.key(SIGNAL))?;
    // Writable from the beginning: that is the first request.
    let interest = Readiness::READABLE | Readiness::WRITABLE;
    let socket = reactor.register(Source::new(socket).key(SOCKET).interest(interest))?;
    reactor.with(|ping, _| ping.socket = Some(socket));
    reactor.run()?;

    let ping = reactor.handler();
    ping.statistics();
    Ok(if ping.times.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The arguments; `None` when asked for help.
fn arguments() -> Result<Option<Asked>, lexopt::Error> {
    let (mut to, mut count) = (None, None);
    let (mut interval, mut timeout) = (Duration::from_secs(1), Duration::from_secs(2));
    let mut args = Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("count") => count = Some(args.value()?.parse()?),
            Arg::Long("interval") => interval = seconds(&args.value()?.string()?)?,
            Arg::Long("timeout") => timeout = seconds(&args.value()?.string()?)?,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Value(value) if to.is_none() => to = Some(value.string()?),
            arg => return Err(arg.unexpected()),
        }
    }
    let name = to.ok_or("whom?")?;
    if count == Some(0) {
        return Err("--count 0 is nothing to do".into());
    }
    // It blocks, and may: the loop does not run yet.
    let found = (name.as_str(), 0).to_socket_addrs().ok().and_then(|mut found| found.next());
    let to = found.ok_or_else(|| format!("{name:?} is no address and no name that is known"))?.ip();
    Ok(Some(Asked { to, count, interval, timeout }))
}

fn seconds(text: &str) -> Result<Duration, lexopt::Error> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // Faster than this is a flood.
    let seconds = seconds.filter(|seconds| *seconds >= Duration::from_millis(10));
    Ok(seconds.ok_or_else(|| format!("{text:?} is no number of seconds from 0.01 on"))?)
}

fn main() -> ExitCode {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    match arguments() {
        Ok(Some(asked)) => ping(asked).unwrap_or_else(|error| {
            eprintln!("ping: {error}");
            ExitCode::from(2)
        }),
        Ok(None) => {
            say(&format!("Sends ICMP echo requests and says what comes back.\n\nusage: {USAGE}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ping: {error}; expected {USAGE}, such as ping --count 3 127.0.0.1");
            ExitCode::from(2)
        }
    }
}
