//! What the command line asks for, checked, with what each scenario takes where nothing was said.
//!
//! It knows names, defaults and limits. It does not know how any of it is done.

use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

use super::measure::Length;
use super::pattern::Framing;

/// The longest that anything lasts, in seconds.
const DAY: f64 = 86_400.0;

/// Connections that may wait to be accepted: with more, handshakes are dropped and come again after a second.
const CHURN_MAX: usize = 1000;

/// What to do to which server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the server listens: host:port.
    addr: String,
    /// What is done.
    #[arg(long, value_enum, default_value_t = Scenario::PingPong)]
    scenario: Scenario,
    /// How messages are framed [default: raw, lines in broadcast].
    #[arg(long, value_enum)]
    framing: Option<Framing>,
    /// Connections that work at the same time [default: 64; churn 32, idle and bulk 8, broadcast 100].
    #[arg(long, value_parser = within(1, 1_000_000))]
    connections: Option<usize>,
    /// Connections that are open and silent besides, after one exchange each [default: 0; idle 10,000].
    #[arg(long, value_parser = within(0, 1_000_000))]
    idle_connections: Option<usize>,
    /// Bytes of one message, framing included [default: 64; bulk 65,536, with lines 4,096].
    #[arg(long, value_parser = within(1, 16 << 20))]
    size: Option<usize>,
    /// Messages of one connection on their way at a time; in churn, of one exchange; in broadcast, of all
    /// [default: 1; bulk 1 MiB of them].
    #[arg(long, value_parser = within(1, 1 << 16))]
    depth: Option<usize>,
    /// Open loop: so many requests per second in all, whatever has been answered (in broadcast, messages sent).
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// How long to measure [default: 5].
    #[arg(long, value_parser = some_time, conflicts_with = "requests")]
    seconds: Option<f64>,
    /// How long to run before that, unmeasured [default: 1, with --requests 0].
    #[arg(long, value_parser = time)]
    warm_up: Option<f64>,
    /// Measure exactly so many requests instead (in broadcast, messages sent).
    #[arg(long, value_parser = within(1, 1 << 40))]
    requests: Option<usize>,
    /// How long to wait for an answer, in seconds, before the run has failed.
    #[arg(long, default_value_t = 10.0, value_parser = some_time)]
    patience: f64,
    /// The process of the server: its processor time and memory are measured too.
    #[arg(long)]
    server_pid: Option<u32>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// What is done on the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Each connection sends, and sends again when the answer is there.
    PingPong,
    /// Connect, one exchange, close; the load generator ends first.
    Churn,
    /// A few connections exchange messages, thousands are silent.
    Idle,
    /// Streams of large messages, both directions at once.
    Bulk,
    /// The first connection sends, the server sends it to all, the first included.
    Broadcast,
}

impl Scenario {
    /// As it is written on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Scenario::PingPong => "ping-pong",
            Scenario::Churn => "churn",
            Scenario::Idle => "idle",
            Scenario::Bulk => "bulk",
            Scenario::Broadcast => "broadcast",
        }
    }

    fn connections(self) -> usize {
        match self {
            Scenario::PingPong => 64,
            Scenario::Churn => 32,
            Scenario::Idle | Scenario::Bulk => 8,
            Scenario::Broadcast => 100,
        }
    }
}

/// What is asked for, with nothing left open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) addr: SocketAddr,
    pub(super) scenario: Scenario,
    pub(super) framing: Framing,
    pub(super) connections: usize,
    pub(super) idle_connections: usize,
    pub(super) size: usize,
    pub(super) depth: usize,
    pub(super) rate: Option<f64>,
    pub(super) length: Length,
    pub(super) warm_up: Duration,
    pub(super) patience: Duration,
    pub(super) server_pid: Option<u32>,
    pub(super) json: bool,
}

impl Args {
    pub(super) fn checked(&self) -> io::Result<Wanted> {
        let scenario = self.scenario;
        let bulk = scenario == Scenario::Bulk;
        let framing = self.framing.unwrap_or(match scenario {
            Scenario::PingPong | Scenario::Churn | Scenario::Idle | Scenario::Bulk => Framing::Raw,
            Scenario::Broadcast => Framing::Lines,
        });
        let size = self.size.unwrap_or(match framing {
            // A line of 64 KiB is more than most servers take.
            Framing::Lines if bulk => 4096,
            Framing::Raw | Framing::Length if bulk => 65_536,
            Framing::Raw | Framing::Lines | Framing::Length => 64,
        });
        let least = framing.size_min();
        if size < least {
            return Err(io::Error::other(format!(
                "--size {size} is too short for this framing: {least} or more"
            )));
        }
        let idle_connections =
            self.idle_connections.unwrap_or(if scenario == Scenario::Idle { 10_000 } else { 0 });
        if idle_connections > 0 && matches!(scenario, Scenario::Churn | Scenario::Broadcast) {
            let name = scenario.name();
            return Err(io::Error::other(format!(
                "{name} has no idle connections: leave --idle-connections out"
            )));
        }
        let connections = self.connections.unwrap_or(scenario.connections());
        if scenario == Scenario::Churn && connections > CHURN_MAX {
            return Err(io::Error::other(format!(
                "{connections} at a time are more than a listener queues in churn: ask for {CHURN_MAX} at most"
            )));
        }
        let length = match (self.requests, self.seconds) {
            (Some(requests), _) => Length::Requests(requests as u64),
            (None, seconds) => Length::Time(nanos(seconds.unwrap_or(5.0))),
        };
        let default_warm_up = if self.requests.is_some() { 0.0 } else { 1.0 };
        Ok(Wanted {
            addr: resolve(&self.addr)?,
            scenario,
            framing,
            connections,
            idle_connections,
            size,
            depth: self.depth.unwrap_or(if bulk { (1 << 20) / size.min(1 << 20) } else { 1 }),
            rate: self.rate,
            length,
            warm_up: Duration::from_secs_f64(self.warm_up.unwrap_or(default_warm_up)),
            patience: Duration::from_secs_f64(self.patience),
            server_pid: self.server_pid,
            json: self.json,
        })
    }
}

fn resolve(addr: &str) -> io::Result<SocketAddr> {
    let found =
        addr.to_socket_addrs().and_then(|mut found| found.next().ok_or(io::ErrorKind::NotFound.into()));
    found.map_err(|error| {
        io::Error::other(format!("{addr} is no address to connect to, 127.0.0.1:7000 is one: {error}"))
    })
}

fn nanos(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds).as_nanos()).expect("a day at most")
}

/// Reads a number from `least` to `most`.
fn within(least: usize, most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| {
        let number = number(text)?;
        if (least..=most).contains(&number) {
            Ok(number)
        } else {
            Err(format!("{least} to {most} is possible"))
        }
    }
}

/// Reads requests per second.
fn rate(text: &str) -> Result<f64, String> {
    match number(text)? {
        rate if rate > 0.0 && rate <= 1e9 => Ok(rate),
        _ => Err(String::from("more than 0 is possible, up to 1e9")),
    }
}

/// Reads seconds, a day at most.
fn time(text: &str) -> Result<f64, String> {
    match number(text)? {
        seconds if (0.0..=DAY).contains(&seconds) => Ok(seconds),
        _ => Err(format!("0 to {DAY} is possible")),
    }
}

/// Reads seconds that are not none.
fn some_time(text: &str) -> Result<f64, String> {
    match time(text)? {
        seconds if seconds >= 0.001 => Ok(seconds),
        _ => Err(format!("0.001 to {DAY} is possible")),
    }
}

fn number<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
