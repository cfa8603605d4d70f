//! Exact counts: instructions in user space by valgrind, system calls by strace, memory by the kernel.
//!
//! Nothing here reads a clock. Each scenario runs with a number of rounds and with twice as many; the
//! difference, divided by the rounds, is what one costs, and what starting and stopping cost drops out.

mod callgrind;
mod clients;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use self::callgrind::Profile;
use self::clients::Exchange;
use crate::process::{Served, resident};
use crate::serve::Name;

/// What to count.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rounds of each scenario; more only smooth out how events fall into turns.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// Connections held open without traffic to measure their memory.
    #[arg(long, default_value_t = 8000)]
    idle: usize,
    /// Leave the instructions out: they need valgrind and take a minute.
    #[arg(long)]
    no_instructions: bool,
    /// Only the scenarios with this in their name.
    #[arg(long)]
    scenario: Option<String>,
    /// Instead of counting everything, print the most expensive functions and lines of each scenario.
    #[arg(long)]
    profile: bool,
    /// How many functions and lines a profile prints.
    #[arg(long, default_value_t = 25)]
    top: usize,
}

impl Args {
    fn picks(&self, scenario: &Scenario) -> bool {
        self.scenario.as_deref().is_none_or(|part| scenario.name.contains(part))
    }
}

/// What is done to a server, and how many requests one round of it is.
struct Scenario {
    name: &'static str,
    server: Name,
    per_round: usize,
    what: &'static str,
    run: fn(SocketAddr, usize) -> io::Result<()>,
}

const SCENARIOS: [Scenario; 8] = [
    Scenario {
        name: "raw echo, 64 bytes, 64 connections",
        server: Name::Switchboard,
        per_round: 64,
        what: "request",
        run: |addr, rounds| {
            let mut streams = Exchange::connect(addr, 64)?;
            Exchange::new(vec![b'x'; 64]).ping_pong(&mut streams, rounds)
        },
    },
    Scenario {
        name: "raw echo, 64 bytes, 1 connection",
        server: Name::Switchboard,
        per_round: 1,
        what: "request",
        run: |addr, rounds| {
            let mut streams = Exchange::connect(addr, 1)?;
            Exchange::new(vec![b'x'; 64]).ping_pong(&mut streams, rounds)
        },
    },
    Scenario {
        name: "line echo, 64 bytes, 64 connections",
        server: Name::SwitchboardLines,
        per_round: 64,
        what: "request",
        run: |addr, rounds| {
            let mut streams = Exchange::connect(addr, 64)?;
            Exchange::new(line(64)).ping_pong(&mut streams, rounds)
        },
    },
    Scenario {
        name: "length echo, 64 bytes, 64 connections",
        server: Name::SwitchboardLength,
        per_round: 64,
        what: "request",
        run: |addr, rounds| {
            let mut streams = Exchange::connect(addr, 64)?;
            Exchange::new(message(60)).ping_pong(&mut streams, rounds)
        },
    },
    Scenario {
        name: "16 lines of 16 bytes pipelined, 16 connections",
        server: Name::SwitchboardLines,
        per_round: 256,
        what: "message",
        run: |addr, rounds| {
            let mut streams = Exchange::connect(addr, 16)?;
            Exchange::new(line(16).repeat(16)).ping_pong(&mut streams, rounds)
        },
    },
    Scenario {
        name: "16 lengths of 16 bytes pipelined, 16 connections",
        server: Name::SwitchboardLength,
        per_round: 256,
        what: "message",
        run: |addr, rounds| {
            let mut streams = Exchange::connect(addr, 16)?;
            Exchange::new(message(12).repeat(16)).ping_pong(&mut streams, rounds)
        },
    },
    Scenario {
        name: "connect, echo, close, one at a time",
        server: Name::Switchboard,
        per_round: 1,
        what: "connection",
        run: |addr, rounds| Exchange::new(vec![b'x'; 64]).churn(addr, rounds, 1),
    },
    Scenario {
        name: "connect, echo, close, 32 at once",
        server: Name::Switchboard,
        per_round: 32,
        what: "connection",
        run: |addr, rounds| Exchange::new(vec![b'x'; 64]).churn(addr, rounds, 32),
    },
];

fn line(length: usize) -> Vec<u8> {
    let mut line = vec![b'x'; length - 1];
    line.push(b'\n');
    line
}

fn message(body: u8) -> Vec<u8> {
    let mut message = vec![0, 0, 0, body];
    message.resize(4 + usize::from(body), b'x');
    message
}

/// Counts everything and prints it.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    if args.profile {
        need("valgrind", "--version")?;
        for scenario in SCENARIOS.iter().filter(|scenario| args.picks(scenario)) {
            print_profile(scenario, args)?;
        }
        return Ok(());
    }
    need("strace", "--version")?;
    if !args.no_instructions {
        need("valgrind", "--version")?;
    }
    for scenario in SCENARIOS.iter().filter(|scenario| args.picks(scenario)) {
        println!("{}, per {}:", scenario.name, scenario.what);
        if !args.no_instructions {
            let once = instructions(scenario, args.rounds)?.total;
            let twice = instructions(scenario, 2 * args.rounds)?.total;
            println!("  {:>9.1} instructions", per_request(once, twice, scenario, args.rounds));
        }
        let once = system_calls(scenario, args.rounds)?;
        let twice = system_calls(scenario, 2 * args.rounds)?;
        for (name, count) in &twice {
            let before = once.get(name).copied().unwrap_or(0);
            let each = per_request(before, *count, scenario, args.rounds);
            if each >= 0.001 {
                println!("  {each:>9.3} {name}");
            }
        }
    }
    for (server, timeout) in [(Name::Switchboard, None), (Name::Switchboard, Some("60"))] {
        let with = if timeout.is_some() { "with an idle timeout" } else { "without one" };
        let bytes = idle_memory(server, timeout, args.idle)?;
        println!("memory per idle connection, {} of them, {with}: {bytes:.0} bytes", args.idle);
    }
    Ok(())
}

fn need(tool: &str, argument: &str) -> io::Result<()> {
    match Command::new(tool).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::other(format!("{tool} is needed (apt-get install {tool}): {error}"))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn per_request(once: u64, twice: u64, scenario: &Scenario, rounds: usize) -> f64 {
    (twice as f64 - once as f64) / (rounds * scenario.per_round) as f64
}

/// What the functions and lines of the server cost in one scenario.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn print_profile(scenario: &Scenario, args: &Args) -> io::Result<()> {
    let once = instructions(scenario, args.rounds)?;
    let twice = instructions(scenario, 2 * args.rounds)?;
    let each = |count: i64| count as f64 / (args.rounds * scenario.per_round) as f64;
    let total = per_request(once.total, twice.total, scenario, args.rounds);
    println!("{}: {total:.1} instructions per {}", scenario.name, scenario.what);
    println!("  by function, with what is inlined in it:");
    for (function, count) in twice.functions_beyond(&once).into_iter().take(args.top) {
        println!("  {:>9.1}  {function}", each(count));
    }
    println!("  by line of source, wherever it is inlined:");
    for ((file, line), count) in twice.lines_beyond(&once).into_iter().take(args.top) {
        println!("  {:>9.1}  {file}:{line}", each(count));
    }
    Ok(())
}

/// Instructions in user space that the server executes.
fn instructions(scenario: &Scenario, rounds: usize) -> io::Result<Profile> {
    let out = std::env::temp_dir().join(format!("switchboard-count-{}.callgrind", std::process::id()));
    let out_option = format!("--callgrind-out-file={}", out.display());
    let served = Served::start(&["valgrind", "-q", "--tool=callgrind", &out_option], scenario.server, &[])?;
    (scenario.run)(served.addr, rounds)?;
    served.stop()?;
    let text = fs::read_to_string(&out)?;
    fs::remove_file(&out)?;
    let mut profile = Profile::default();
    profile.read(&text)?;
    Ok(profile)
}

/// System calls of the server, by name.
fn system_calls(scenario: &Scenario, rounds: usize) -> io::Result<BTreeMap<String, u64>> {
    let out = std::env::temp_dir().join(format!("switchboard-count-{}.strace", std::process::id()));
    let path = out.display().to_string();
    let served = Served::start(&["strace", "-f", "-c", "-o", &path], scenario.server, &[])?;
    (scenario.run)(served.addr, rounds)?;
    served.stop()?;
    let text = fs::read_to_string(&out)?;
    fs::remove_file(&out)?;
    // % time  seconds  usecs/call  calls  [errors]  name
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let [_, _, _, count, .., name] = words[..] {
            if let (Ok(count), true) = (count.parse(), name != "total") {
                calls.insert(name.to_owned(), count);
            }
        }
    }
    Ok(calls)
}

/// Bytes of resident memory that each idle connection adds.
#[expect(clippy::cast_precision_loss, reason = "bytes of one process stay far below 2^52")]
fn idle_memory(which: Name, timeout: Option<&str>, connections: usize) -> io::Result<f64> {
    let options = timeout.map_or(Vec::new(), |seconds| vec!["--idle-timeout", seconds]);
    let served = Served::start(&[], which, &options)?;
    let mut ping = Exchange::new(vec![b'x'; 64]);
    // The first few bring in what is there once: buffers, pages of code.
    let mut first = Exchange::connect(served.addr, 64)?;
    ping.ping_pong(&mut first, 4)?;
    let before = resident(served.pid())?;
    let mut idle = Exchange::connect(served.addr, connections)?;
    ping.ping_pong(&mut idle, 1)?;
    let after = resident(served.pid())?;
    drop((first, idle));
    served.stop()?;
    Ok((after as f64 - before as f64) / connections as f64)
}
