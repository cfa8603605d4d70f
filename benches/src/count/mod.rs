//! Exact counts: instructions and allocations in user space by valgrind, system calls by strace, memory by the
//! kernel.
//!
//! It does not read a clock, and does not know how any server is written. Three rules make a count the same
//! each time, on a busy machine too:
//!
//! 1. Only differences count. Each scenario runs with a number of rounds and with twice as many; the
//!    difference, divided by what was done in those rounds, is what one costs. Starting, connecting and
//!    stopping are in both runs and drop out.
//! 2. A round is one turn of the server. It is stopped while its clients send, so that it finds all of a round
//!    at once, and the next round begins when it rests ([`hold`]). Otherwise it would find one to all of the
//!    requests in each turn, as the system's scheduler has it, and what a turn costs would be divided by that.
//! 3. Both runs stop it equally often. A stop interrupts its wait for events; the shorter run is stopped for
//!    rounds that nobody sends in, and that cost drops out as well.
//!
//! What is counted is what happens in user space. One thing is not: reading the clock is a call into a page that
//! the kernel shares with every process, and valgrind hides that page. Programs then make a system call in its
//! place, of a few instructions; and strace does not see it, because without valgrind it does not happen. So the
//! reads are counted and shown by themselves.

mod callgrind;
mod client;
mod dhat;
mod hold;
mod profile;
mod results;
mod scenario;
mod strace;
mod table;
mod tool;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, RangedU64ValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::client::Clients;
use self::hold::Held;
use self::results::{Allocations, Counted, Memory, Results};
use self::scenario::{SCENARIOS, Scenario};
use self::strace::Calls;
use self::tool::Bench;
use crate::process::{Served, resident};
use crate::serve::Name;

/// What to count.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The servers: `ours`, `all`, or their names with commas between them
    #[arg(long, value_name = "LIST", default_value = "ours", value_parser = parse_servers)]
    servers: Servers,
    /// The scenarios, with commas between them; all if none is named
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = scenario_keys())]
    scenarios: Vec<String>,
    /// The figures, with commas between them; all if none is named
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    figures: Vec<Figure>,
    /// Rounds of each scenario in the shorter of two runs
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one())]
    rounds: usize,
    /// Connections held open without traffic to see what they hold
    #[arg(long, value_name = "N", default_value_t = 8000, value_parser = at_least_one())]
    idle_connections: usize,
    /// Write what was counted to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print which functions and lines the instructions are in, instead of counting
    #[arg(long, conflicts_with_all = ["json", "figures"])]
    profile: bool,
    /// How many functions and lines a profile has
    #[arg(long, value_name = "N", default_value_t = 25)]
    top: usize,
}

/// What can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// Instructions in user space, by valgrind
    Instructions,
    /// System calls by name, by strace
    Calls,
    /// Memory allocated, by valgrind
    Allocations,
    /// Memory of idle connections, by the kernel and by valgrind
    Memory,
}

/// The servers that were asked for.
#[derive(Clone, Debug)]
struct Servers(Vec<Name>);

fn scenario_keys() -> PossibleValuesParser {
    PossibleValuesParser::new(SCENARIOS.map(|one| PossibleValue::new(one.key).help(one.title)))
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn parse_servers(list: &str) -> Result<Servers, String> {
    let mut servers = Vec::new();
    for word in list.split(',') {
        match word {
            "all" => servers.extend(Name::all()),
            "ours" => servers.extend(Name::all().iter().filter(|name| scenario::is_ours(**name))),
            word => servers.push(Name::from_str(word, false).map_err(|_| {
                let names: Vec<_> = Name::all().iter().map(|name| name.text()).collect();
                format!("{word} is no server; these are: ours, all, {}", names.join(", "))
            })?),
        }
    }
    servers.sort();
    servers.dedup();
    Ok(Servers(servers))
}

/// How long a connection may be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// As long as it likes.
    Forever,
    /// Longer than a count takes, but the server must know how long it was.
    Timeout,
}

/// Something that is counted in one go.
#[derive(Clone, Copy, Debug)]
enum Item {
    Scenario(Name, &'static Scenario),
    Memory(Name, Idle),
}

/// Counts everything that was asked for and prints it.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&interrupted);
    ctrlc::set_handler(move || handler.store(true, Ordering::Relaxed)).map_err(io::Error::other)?;
    let servers = available(&args.servers.0)?;
    let figures = args.figures_to_count()?;
    let bench = Bench { interrupted: &interrupted };
    raise_limit(2 * args.idle_connections + 200)?;

    let items = args.items(&servers, &figures);
    let bar = ProgressBar::new(items.len() as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
    bar.set_style(style.map_err(io::Error::other)?);
    bar.enable_steady_tick(Duration::from_secs(1));
    let libraries = servers.iter().map(|name| (name.text(), name.library().to_owned())).collect();
    let mut results = Results { rounds: args.rounds, libraries, ..Results::default() };
    for item in items {
        bar.set_message(item.to_string());
        let done = match item {
            Item::Scenario(name, scenario) if args.profile => {
                profile::of(&bench, name, scenario, args.rounds).map(|profile| profile.show(args.top))
            }
            Item::Scenario(name, scenario) => {
                count(&bench, name, scenario, args.rounds, &figures).map(|counted| {
                    results.scenarios.push(counted.clone());
                    counted.to_string()
                })
            }
            Item::Memory(name, idle) => memory(&bench, name, idle, args.idle_connections).map(|memory| {
                results.memory.push(memory.clone());
                memory.to_string()
            }),
        };
        match done {
            Ok(text) => bar.suspend(|| print!("{text}")),
            Err(_) if interrupted.load(Ordering::Relaxed) => break,
            Err(error) => {
                let failure = format!("{item}: {error}");
                bar.suspend(|| eprintln!("switchboard-bench: {failure}"));
                results.failures.push(failure);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    results.partial = interrupted.load(Ordering::Relaxed);
    print!("{}", table::tables(&results));
    if results.partial {
        println!("\npartial: interrupted before everything was counted");
    }
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_string_pretty(&results)? + "\n")?;
    }
    match results.failures.len() {
        0 => Ok(()),
        failed => Err(io::Error::other(format!("{failed} could not be counted"))),
    }
}

/// Those of `servers` that are in this build. Says what the others need.
fn available(servers: &[Name]) -> io::Result<Vec<Name>> {
    let (there, absent): (Vec<Name>, Vec<Name>) =
        servers.iter().copied().partition(|name| name.missing().is_none());
    for name in absent {
        eprintln!("switchboard-bench: {} is left out: {}", name.text(), name.missing().unwrap_or_default());
    }
    if there.is_empty() { Err(io::Error::other("none of these servers is in this build")) } else { Ok(there) }
}

impl Args {
    /// The figures that were asked for and that there is a tool for. Says which tool is not there.
    fn figures_to_count(&self) -> io::Result<Vec<Figure>> {
        let mut figures = match self.figures.as_slice() {
            _ if self.profile => vec![Figure::Instructions],
            [] => Figure::value_variants().to_vec(),
            chosen => chosen.to_vec(),
        };
        for (tool, needed_by, used_by) in [
            // Without it, what idle connections hold is known in part.
            ("valgrind", [Figure::Instructions, Figure::Allocations].as_slice(), Figure::Memory),
            ("strace", [Figure::Calls].as_slice(), Figure::Calls),
        ] {
            let wanted = figures.iter().any(|figure| needed_by.contains(figure) || *figure == used_by);
            if let (true, Some(why)) = (wanted, tool::missing(tool)) {
                eprintln!("switchboard-bench: {why}");
                figures.retain(|figure| !needed_by.contains(figure));
            }
        }
        if figures.is_empty() { Err(io::Error::other("nothing can be counted")) } else { Ok(figures) }
    }

    fn items(&self, servers: &[Name], figures: &[Figure]) -> Vec<Item> {
        let chosen = |scenario: &&Scenario| {
            self.scenarios.is_empty() || self.scenarios.iter().any(|key| key == scenario.key)
        };
        let of_scenarios = figures.iter().any(|figure| *figure != Figure::Memory);
        let mut items = Vec::new();
        for &name in servers {
            if of_scenarios {
                let suits = SCENARIOS.iter().filter(chosen).filter(|scenario| scenario.suits(name));
                items.extend(suits.map(|scenario| Item::Scenario(name, scenario)));
            }
            // It is no scenario, so naming some leaves it out.
            let wanted = figures.contains(&Figure::Memory) && (self.scenarios.is_empty() || !of_scenarios);
            if wanted && scenario::can_be_idle(name) {
                items.push(Item::Memory(name, Idle::Forever));
                if name.lacks_idle_timeout().is_none() {
                    items.push(Item::Memory(name, Idle::Timeout));
                }
            }
        }
        items
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Scenario(name, scenario) => write!(f, "{}, {}", name.text(), scenario.key),
            Item::Memory(name, Idle::Forever) => write!(f, "{}, idle connections", name.text()),
            Item::Memory(name, Idle::Timeout) => {
                write!(f, "{}, idle connections with a timeout", name.text())
            }
        }
    }
}

/// What one of the scenario's unit costs, in the figures that are wanted.
fn count(
    bench: &Bench<'_>,
    name: Name,
    scenario: &Scenario,
    rounds: usize,
    figures: &[Figure],
) -> io::Result<Counted> {
    let short = |clients: &mut Clients<'_>| clients.run(scenario, rounds, rounds);
    let long = |clients: &mut Clients<'_>| clients.run(scenario, 2 * rounds, 0);
    let units = rounds * scenario.units();
    let options = scenario.options;
    let mut counted = Counted {
        server: name.text(),
        scenario: scenario.key.to_owned(),
        unit: scenario.unit.to_owned(),
        instructions: None,
        clock_reads: None,
        calls: None,
        allocations: None,
    };
    if figures.contains(&Figure::Instructions) {
        let once = bench.instructions(name, options, &short)?;
        let twice = bench.instructions(name, options, &long)?;
        counted.instructions = Some(each(once.total, twice.total, units));
        counted.clock_reads = Some(each(once.clock_reads, twice.clock_reads, units));
    }
    if figures.contains(&Figure::Calls) {
        let once = bench.calls(name, options, &short)?;
        let twice = bench.calls(name, options, &long)?;
        counted.calls = Some(calls_each(&once, &twice, units));
    }
    if figures.contains(&Figure::Allocations) {
        let once = bench.heap(name, options, &short)?;
        let twice = bench.heap(name, options, &long)?;
        counted.allocations = Some(Allocations {
            blocks: each(once.blocks, twice.blocks, units),
            bytes: each(once.bytes, twice.bytes, units),
        });
    }
    Ok(counted)
}

/// What each of `units` costs, if without them it is `once` and with them `twice`.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn each(once: u64, twice: u64, units: usize) -> f64 {
    (twice as f64 - once as f64) / units as f64
}

/// The same for each name, without those that are not worth a line: fewer than one in two thousand.
fn calls_each(once: &Calls, twice: &Calls, units: usize) -> BTreeMap<String, f64> {
    let names = once.keys().chain(twice.keys()).cloned();
    names
        .map(|name| {
            let of = |calls: &Calls| calls.get(&name).copied().unwrap_or(0);
            let count = each(of(once), of(twice), units);
            (name, count)
        })
        .filter(|(_, count)| count.abs() >= 0.0005)
        .collect()
}

/// Bytes that each of `connections` idle connections holds.
#[expect(clippy::cast_precision_loss, reason = "bytes of one process stay far below 2^52")]
fn memory(bench: &Bench<'_>, name: Name, idle: Idle, connections: usize) -> io::Result<Memory> {
    let options: &[&str] = match idle {
        Idle::Forever => &[],
        Idle::Timeout => &["--idle-timeout", "60"],
    };
    let served = Served::start(&[], name, options)?;
    let held = Held::itself(served.pid());
    let mut clients = Clients::new(served.addr, name.protocol(), &held, bench.interrupted);
    // The first few bring in what is there once: buffers, pages of code.
    clients.open_idle(64)?;
    let before = resident(served.pid())?;
    clients.open_idle(connections)?;
    let after = resident(served.pid())?;
    served.stop()?;
    drop(clients);
    let mut heap = None;
    if tool::missing("valgrind").is_none() && scenario::takes_thousands_in_valgrind(name) {
        let half = bench.heap(name, options, &|clients| clients.open_idle(connections / 2))?;
        let whole = bench.heap(name, options, &|clients| clients.open_idle(connections))?;
        heap = Some(each(half.left, whole.left, connections - connections / 2));
    }
    let resident = (after as f64 - before as f64) / connections as f64;
    Ok(Memory { server: name.text(), connections, idle_timeout: idle == Idle::Timeout, resident, heap })
}

/// Makes room for so many descriptors, here and in the servers, if there is less.
fn raise_limit(wanted: usize) -> io::Result<()> {
    let own = getrlimit(Resource::Nofile);
    if own.current.is_none_or(|current| current >= wanted as u64) {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted as u64), maximum: own.maximum })
        .map_err(|error| io::Error::other(format!("{wanted} descriptors are needed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_one_by_one_or_together() {
        let names = |list| parse_servers(list).map(|servers| servers.0);
        assert_eq!(names("mio,c-epoll,mio"), Ok(vec![Name::Mio, Name::CEpoll]));
        assert_eq!(names("all").map(|all| all.len()), Ok(Name::all().len()));
        let ours = names("ours").expect("there are some");
        assert!(ours.contains(&Name::Switchboard) && !ours.contains(&Name::Mio), "{ours:?}");
        assert!(names("mio,nobody").is_err_and(|error| error.contains("nobody is no server")));
    }

    #[test]
    fn what_is_in_both_runs_drops_out() {
        let calls = |counts: [(&str, u64); 3]| counts.map(|(name, count)| (name.to_owned(), count)).into();
        let once = calls([("accept4", 5), ("recvfrom", 100), ("gone", 10)]);
        let twice = calls([("accept4", 5), ("recvfrom", 200), ("sendto", 50)]);
        let wanted = [("gone", -0.1), ("recvfrom", 1.0), ("sendto", 0.5)];
        assert_eq!(calls_each(&once, &twice, 100), wanted.map(|(name, each)| (name.to_owned(), each)).into());
    }
}
