//! The scenarios: what is done to a server, what it stands for, and what is read off.
//!
//! They are values. This file does not know how one is run.

use serde::{Deserialize, Serialize};

use super::measure::Measure;
use crate::serve::Protocol;

/// What the load generator does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A message there and back, then the next.
    PingPong,
    /// Connect, one exchange, close.
    Churn,
    /// Some work while many are silent.
    Idle,
    /// Streams, as fast as they go.
    Bulk,
    /// One line to all.
    Broadcast,
}

/// How messages are told apart.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Framing {
    /// Not at all.
    Raw,
    /// By `\n`.
    Lines,
    /// By a length of four bytes in front.
    Length,
}

/// What the load generator is told.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Load {
    /// What it does.
    pub(crate) kind: Kind,
    /// How its messages are framed.
    pub(crate) framing: Framing,
    /// Connections that work.
    pub(crate) connections: usize,
    /// Connections that are silent.
    pub(crate) idle_connections: usize,
    /// Bytes of a message, framing included.
    pub(crate) size: usize,
    /// Messages of one connection on their way at a time.
    pub(crate) depth: usize,
    /// Requests per second in all; as fast as they are answered if there is none.
    pub(crate) rate: Option<u32>,
}

/// One scenario.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Scenario {
    /// What is typed for it.
    pub(crate) name: String,
    /// What stands above its table.
    pub(crate) title: String,
    /// What it stands for, in a sentence.
    pub(crate) meaning: String,
    /// What is done.
    pub(crate) load: Load,
    /// What one of its requests is.
    pub(crate) request: String,
    /// What is read off, the figure that decides the order first.
    pub(crate) measures: Vec<Measure>,
    /// The idle timeout that servers are given, whatever the command line says.
    pub(crate) idle_timeout: Option<u64>,
}

impl Scenario {
    /// One of exchanges that wait for each other, each a `request`.
    fn new(name: &str, load: Load, request: &str) -> Scenario {
        Scenario {
            name: name.to_owned(),
            title: String::new(),
            meaning: String::new(),
            load,
            request: request.to_owned(),
            measures: vec![Measure::Rate, Measure::CpuPerRequest, Measure::P50, Measure::P99, Measure::P999],
            idle_timeout: None,
        }
    }

    fn titled(self, title: &str) -> Scenario {
        Scenario { title: title.to_owned(), ..self }
    }

    fn stands_for(self, meaning: &str) -> Scenario {
        Scenario { meaning: meaning.to_owned(), ..self }
    }

    /// Which servers can be put to it.
    pub(crate) fn protocol(&self) -> Protocol {
        match (self.load.kind, self.load.framing) {
            (Kind::Broadcast, _) => Protocol::Broadcast,
            (_, Framing::Raw) => Protocol::Raw,
            (_, Framing::Lines) => Protocol::Lines,
            (_, Framing::Length) => Protocol::Length,
        }
    }

    /// Whether the ratio of `measure` to that of the base is shown: of what decides and of processor time. Memory of
    /// the base may be none.
    pub(crate) fn compares(&self, measure: Measure) -> bool {
        match measure {
            Measure::BytesPerIdle => false,
            Measure::CpuPerRequest | Measure::CpuPerMebibyte => true,
            Measure::Rate
            | Measure::Throughput
            | Measure::P50
            | Measure::P90
            | Measure::P99
            | Measure::P999
            | Measure::Slowest => self.measures.first() == Some(&measure),
        }
    }

    /// How many connections are open at a time.
    pub(crate) fn connections(&self) -> usize {
        self.load.connections + self.load.idle_connections
    }
}

impl Kind {
    /// What the load generator calls it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Kind::PingPong => "ping-pong",
            Kind::Churn => "churn",
            Kind::Idle => "idle",
            Kind::Bulk => "bulk",
            Kind::Broadcast => "broadcast",
        }
    }
}

impl Framing {
    /// What the load generator calls it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Framing::Raw => "raw",
            Framing::Lines => "lines",
            Framing::Length => "length",
        }
    }
}

/// A choice of scenarios, as it is typed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    /// A few that say the most, in about two minutes.
    Quick,
    /// All of them.
    Full,
    /// The one with this place in the table.
    One(usize),
}

/// Those of `quick`.
const QUICK: [&str; 6] = ["ping-pong-1", "ping-pong-64", "ping-pong-1000", "lines", "churn", "idle-15000"];

/// The scenarios that `choices` name, each once, in the order of the table.
pub(crate) fn choose(choices: &[Choice]) -> Vec<Scenario> {
    let wanted = |place: usize, name: &str| {
        choices.iter().any(|choice| match choice {
            Choice::Quick => QUICK.contains(&name),
            Choice::Full => true,
            Choice::One(one) => *one == place,
        })
    };
    let table = table().into_iter().enumerate();
    table.filter(|(place, scenario)| wanted(*place, &scenario.name)).map(|(_, scenario)| scenario).collect()
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "quick" => Ok(Choice::Quick),
            "full" => Ok(Choice::Full),
            name => {
                let table = table();
                let place = table.iter().position(|scenario| scenario.name == name);
                place.map(Choice::One).ok_or_else(|| {
                    let names: Vec<_> = table.iter().map(|scenario| scenario.name.as_str()).collect();
                    format!("there are quick, full, {}", names.join(", "))
                })
            }
        }
    }
}

/// A message of 64 bytes there and back on 64 connections, which the other scenarios differ from.
const ECHO: Load = Load {
    kind: Kind::PingPong,
    framing: Framing::Raw,
    connections: 64,
    idle_connections: 0,
    size: 64,
    depth: 1,
    rate: None,
};

/// All scenarios.
pub(crate) fn table() -> Vec<Scenario> {
    let mut table = Vec::from(ping_pong());
    table.extend(pipelined());
    table.push(
        Scenario::new("churn", Load { kind: Kind::Churn, connections: 32, ..ECHO }, "connection")
            .titled("Churn")
            .stands_for("Clients that come for one exchange and go: accept, echo, close, 32 at a time."),
    );
    table.extend(idle());
    table.extend(others());
    table
}

fn ping_pong() -> [Scenario; 4] {
    let ping_pong = |name: &str, connections| Scenario::new(name, Load { connections, ..ECHO }, "request");
    [
        ping_pong("ping-pong-1", 1).titled("Ping-pong, 1 connection").stands_for(
            "One client that waits for each answer: what a single round trip costs, sleep and wake-up included.",
        ),
        ping_pong("ping-pong-64", 64)
            .titled("Ping-pong, 64 connections")
            .stands_for("A busy small service: 64 clients, each sends 64 bytes and waits until they are back."),
        ping_pong("ping-pong-1000", 1_000)
            .titled("Ping-pong, 1,000 connections")
            .stands_for("A busy service: a thousand clients, as many at once as a poll returns, or more."),
        ping_pong("ping-pong-10000", 10_000)
            .titled("Ping-pong, 10,000 connections")
            .stands_for("The old question of ten thousand clients, all of them busy."),
    ]
}

fn pipelined() -> [Scenario; 2] {
    let pipelined =
        |framing: Framing| Scenario::new(framing.text(), Load { framing, depth: 16, ..ECHO }, "message");
    [
        pipelined(Framing::Lines).titled("Pipelined lines, 16 deep").stands_for(
            "A text protocol whose clients do not wait: 64 of them, each with 16 lines of 64 bytes on their way.",
        ),
        pipelined(Framing::Length).titled("Pipelined length-prefixed messages, 16 deep").stands_for(
            "A binary protocol whose clients do not wait: 64 of them, each with 16 messages of 64 bytes on their way.",
        ),
    ]
}

fn idle() -> [Scenario; 4] {
    let idle = |name: &str, idle_connections| {
        let load = Load { kind: Kind::Idle, idle_connections, ..ECHO };
        let measures =
            [Measure::CpuPerRequest, Measure::Rate, Measure::P50, Measure::P99, Measure::BytesPerIdle];
        Scenario { measures: measures.to_vec(), ..Scenario::new(name, load, "request") }
    };
    [
        idle("idle-0", 0)
            .titled("64 at work, none idle")
            .stands_for("What the next ones are compared with: the same work with nobody else connected."),
        idle("idle-1000", 1_000).titled("64 at work, 1,000 idle").stands_for(
            "A service most of whose clients say nothing: does the work of the few cost more for it?",
        ),
        idle("idle-15000", 15_000)
            .titled("64 at work, 15,000 idle")
            .stands_for("A push service: a crowd that is connected and silent, and a few who work."),
        Scenario {
            measures: vec![Measure::BytesPerIdle, Measure::CpuPerRequest, Measure::Rate],
            idle_timeout: Some(600),
            ..idle("memory", 10_000).titled("Memory of 10,000 idle connections").stands_for(
                "What a silent client costs in the server's memory if it is dropped after ten minutes.",
            )
        },
    ]
}

fn others() -> [Scenario; 3] {
    // A mebibyte of each stream on its way.
    let bulk = Load { kind: Kind::Bulk, connections: 8, size: 65_536, depth: 16, ..ECHO };
    let broadcast = Load { kind: Kind::Broadcast, framing: Framing::Lines, connections: 1_000, ..ECHO };
    let steady = Load { rate: Some(20_000), ..ECHO };
    [
        Scenario {
            measures: vec![Measure::Throughput, Measure::CpuPerMebibyte],
            ..Scenario::new("bulk", bulk, "exchange")
                .titled("Bulk, 8 streams")
                .stands_for("A proxy or a file server: eight streams as fast as they go, there and back.")
        },
        Scenario::new("broadcast", broadcast, "delivery")
            .titled("Broadcast to 1,000")
            .stands_for("A chat room or a ticker: each line of 64 bytes goes to a thousand connections."),
        Scenario {
            measures: vec![
                Measure::P99,
                Measure::P50,
                Measure::P90,
                Measure::P999,
                Measure::Slowest,
                Measure::CpuPerRequest,
            ],
            ..Scenario::new("steady", steady, "request")
                .titled("Steady 20,000 requests per second")
                .stands_for(
                    "Clients that come when they come: 20,000 requests per second over 64 connections, whether or not \
                     the last one is answered, waiting counted from when each was due.",
                )
        },
    ]
}
