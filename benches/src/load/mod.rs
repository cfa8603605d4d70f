//! The load generator: any TCP echo server under a load of one's choice, every byte that comes back verified.
//!
//! One thread, because the servers that it measures have one: on two processors, each has its own. It says in its
//! report when it was the bottleneck itself.
//!
//! ```text
//! args ──▶ measure: warm-up, edges ──▶ drive: epoll, schedule ──▶ echo | churn | broadcast ──▶ sockets
//!              │                                                     │ pattern: what is sent and expected
//!              ▼                                                     ▼
//!            report ◀──────────────────────────────────────────── book: counts, latencies
//! ```

mod args;
mod book;
mod broadcast;
mod churn;
mod drive;
mod echo;
mod fault;
mod latency;
mod measure;
mod pattern;
mod progress;
mod schedule;
mod show;
mod sockets;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::ValueEnum;

pub(crate) use self::args::Args;
use self::args::{Scenario, Wanted};
use self::book::Book;
use self::broadcast::Broadcast;
use self::churn::Churn;
use self::drive::Driver;
use self::echo::{Echo, Pace};
use self::latency::Latencies;
use self::measure::{Measured, Plan};
use self::pattern::{PIECE_MAX, Pattern};
use self::sockets::{Target, raise_limit};
use crate::process::resident;
use crate::report::{OpenLoop, Report};

/// What a program ends with that SIGINT has ended: 128 and the number of the signal.
const INTERRUPTED: u8 = 130;

/// Busier than that, a core has no time to wait for the other side.
const BUSY: f64 = 0.95;

/// More late requests than that, and the load was not the one that was asked for.
const LATE: f64 = 0.01;

/// Of the idle connections, the first few bring in what a server has but once: these are not counted.
const PRIMERS_MAX: usize = 64;

/// Puts the load on the server, and prints what it found.
pub(crate) fn run(args: &Args) -> io::Result<ExitCode> {
    let wanted = args.checked()?;
    raise_limit(wanted.connections + wanted.idle_connections)?;
    let interrupts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&interrupts);
    ctrlc::set_handler(move || {
        // Who asks twice does not want to wait for the report.
        if counted.fetch_add(1, Ordering::Relaxed) > 0 {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })
    .map_err(io::Error::other)?;
    let mut driver = Driver::new(interrupts, wanted.patience)?;
    let mut book = Book::new((wanted.scenario != Scenario::Bulk).then(Latencies::new));
    let ran = run_scenario(&wanted, &mut driver, &mut book);
    driver.progress().clear();
    let (measured, bytes_per_idle) = ran?;
    let report = report(&wanted, &measured, &book, bytes_per_idle);
    print(&wanted, &report)?;
    if measured.partial {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    match book.first_failure() {
        None => Ok(ExitCode::SUCCESS),
        Some(fault) => {
            let failures = book.failures();
            Err(io::Error::other(format!("{failures} exchanges failed, the first on {fault}")))
        }
    }
}

fn run_scenario(
    wanted: &Wanted,
    driver: &mut Driver,
    book: &mut Book,
) -> io::Result<(Measured, Option<f64>)> {
    // One byte more than can be on its way shows what is too much.
    let piece_max = (wanted.depth * wanted.size + 1).clamp(4096, PIECE_MAX);
    let pattern = Pattern::new(wanted.framing, wanted.size, piece_max);
    let pace = if wanted.rate.is_some() { Pace::Open } else { Pace::Closed };
    let target = Target(wanted.addr);
    let poll = driver.poll().clone();
    let plan = Plan {
        warm_up_nanos: u64::try_from(wanted.warm_up.as_nanos()).expect("a day at most"),
        length: wanted.length,
        rate: wanted.rate,
        server_pid: wanted.server_pid,
    };
    match wanted.scenario {
        Scenario::PingPong | Scenario::Idle | Scenario::Bulk => {
            let mut echo = Echo::new(poll, pattern, pace, wanted.depth, wanted.connections);
            let bytes_per_idle = open_echo(wanted, target, &mut echo, driver, book)?;
            Ok((measure::run(&plan, &mut echo, driver, book)?, bytes_per_idle))
        }
        Scenario::Churn => {
            let mut churn = Churn::new(poll, pattern, pace, target, wanted.connections, wanted.depth);
            Ok((measure::run(&plan, &mut churn, driver, book)?, None))
        }
        Scenario::Broadcast => {
            let mut broadcast = Broadcast::new(poll, pattern, pace, wanted.depth);
            broadcast.open(target, wanted.connections, driver, book)?;
            Ok((measure::run(&plan, &mut broadcast, driver, book)?, None))
        }
    }
}

/// Opens all connections, and answers what each idle one costs the server.
#[expect(clippy::cast_precision_loss, reason = "bytes of one process stay far below 2^52")]
fn open_echo(
    wanted: &Wanted,
    target: Target,
    echo: &mut Echo,
    driver: &mut Driver,
    book: &mut Book,
) -> io::Result<Option<f64>> {
    let primers = PRIMERS_MAX.min(wanted.idle_connections / 8);
    let counted = wanted.idle_connections - primers;
    echo.open(target, wanted.connections + primers, driver, book)?;
    let Some(pid) = wanted.server_pid.filter(|_| counted > 0) else {
        echo.open(target, wanted.connections + wanted.idle_connections, driver, book)?;
        return Ok(None);
    };
    let memory = || {
        resident(pid).map_err(|error| {
            io::Error::other(format!("the memory of process {pid} (--server-pid) cannot be read: {error}"))
        })
    };
    let before = memory()?;
    echo.open(target, wanted.connections + wanted.idle_connections, driver, book)?;
    let after = memory()?;
    Ok(Some((after as f64 - before as f64) / counted as f64))
}

fn report(wanted: &Wanted, measured: &Measured, book: &Book, server_bytes_per_idle: Option<f64>) -> Report {
    let seconds = seconds(measured.nanos);
    let load_cpu_seconds = self::seconds(measured.load_cpu_nanos);
    let server_cpu_seconds = measured.server_cpu_nanos.map(self::seconds);
    let load_bound = match &measured.open_loop {
        Some(open) => is_late(open.counts.late, open.counts.sent),
        None => is_bound(seconds, load_cpu_seconds, server_cpu_seconds),
    };
    Report {
        scenario: String::from(wanted.scenario.name()),
        framing: name(&wanted.framing),
        connections: wanted.connections,
        idle_connections: wanted.idle_connections,
        size: wanted.size,
        depth: wanted.depth,
        rate: wanted.rate,
        seconds,
        requests: measured.completed,
        bytes: measured.bytes,
        errors: measured.failures,
        latency: book.latencies().and_then(Latencies::percentiles),
        load_cpu_seconds,
        load_bound,
        server_cpu_seconds,
        server_bytes_per_idle,
        open_loop: measured.open_loop.map(|open| OpenLoop {
            late: open.counts.late,
            waited: open.counts.waited,
            unsent: open.unsent,
        }),
        partial: measured.partial,
    }
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// In a closed loop: whether this side had no time to spare, while the other had, or is not known.
fn is_bound(seconds: f64, load_cpu: f64, server_cpu: Option<f64>) -> bool {
    let busy = |cpu: f64| cpu >= BUSY * seconds;
    seconds > 0.0 && busy(load_cpu) && !server_cpu.is_some_and(busy)
}

/// In an open loop: whether this side did not keep to its schedule.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn is_late(late: u64, sent: u64) -> bool {
    late as f64 > LATE * sent as f64
}

#[expect(clippy::cast_precision_loss, reason = "a day in nanoseconds is below 2^52")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn print(wanted: &Wanted, report: &Report) -> io::Result<()> {
    let text = if wanted.json {
        serde_json::to_string(report)? + "\n"
    } else {
        show::text(report, wanted.scenario, wanted.addr)
    };
    io::stdout().lock().write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_the_bottleneck_if_only_it_has_no_time_to_spare() {
        assert!(is_bound(2.0, 1.95, Some(1.2)));
        assert!(is_bound(2.0, 1.95, None), "a server that is not known may have been idle");
        assert!(!is_bound(2.0, 1.95, Some(1.96)), "both were busy");
        assert!(!is_bound(2.0, 1.8, Some(0.5)));
        assert!(!is_bound(0.0, 0.0, None), "nothing was measured");
    }

    #[test]
    fn the_load_is_the_bottleneck_if_it_sends_late() {
        assert!(is_late(11, 1000));
        assert!(!is_late(10, 1000));
        assert!(!is_late(0, 0));
    }
}
