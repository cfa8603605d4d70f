//! One run: the warm-up, the measured time and what was read at its two edges.
//!
//! It knows when what is counted. It does not know what is done, nor how it is shown.
//!
//! ```text
//! for a time        warm-up ──▶│ measured ────────────────────▶│ what is on its way comes back
//! for requests      warm-up, all of it answered ──▶│ measured: so many are sent and answered │
//! ```

use std::io;

use super::book::{Book, ENDLESS, thread_cpu};
use super::drive::{Driver, Scenario, Until};
use super::schedule::{Counts, Schedule};
use crate::process::cpu_time;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Length {
    /// For so many nanoseconds.
    Time(u64),
    /// Until exactly so many requests are answered.
    Requests(u64),
}

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) warm_up_nanos: u64,
    pub(super) length: Length,
    /// Requests per second in an open loop.
    pub(super) rate: Option<f64>,
    pub(super) server_pid: Option<u32>,
}

/// What was measured. Latencies stay in the book.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) nanos: u64,
    pub(super) completed: u64,
    pub(super) bytes: u64,
    pub(super) failures: u64,
    pub(super) load_cpu_nanos: u64,
    pub(super) server_cpu_nanos: Option<u64>,
    pub(super) open_loop: Option<OpenLoop>,
    /// Whether Ctrl-C cut it short.
    pub(super) partial: bool,
}

/// What became of the requests of an open loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenLoop {
    pub(super) counts: Counts,
    /// Those that were due and had not been sent at the end.
    pub(super) unsent: u64,
}

/// What is read at an edge of the measured time.
#[derive(Clone, Copy, Debug)]
struct Edge {
    at: u64,
    completed: u64,
    bytes: u64,
    failures: u64,
    load_cpu_nanos: u64,
    server_cpu_nanos: Option<u64>,
}

impl Edge {
    fn read(plan: &Plan, book: &mut Book) -> io::Result<Edge> {
        let server_cpu_nanos = match plan.server_pid {
            Some(pid) => Some(server_cpu(pid)?),
            None => None,
        };
        Ok(Edge {
            load_cpu_nanos: thread_cpu(),
            at: book.tick(),
            completed: book.completed(),
            bytes: book.bytes(),
            failures: book.failures(),
            server_cpu_nanos,
        })
    }
}

fn server_cpu(pid: u32) -> io::Result<u64> {
    let time = cpu_time(pid).map_err(|error| {
        io::Error::other(format!(
            "the processor time of process {pid} (--server-pid) cannot be read: {error}"
        ))
    })?;
    Ok(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Runs what `plan` says on connections that are open.
pub(super) fn run<S: Scenario>(
    plan: &Plan,
    scenario: &mut S,
    driver: &mut Driver,
    book: &mut Book,
) -> io::Result<Measured> {
    let warms_up = plan.warm_up_nanos > 0;
    if warms_up {
        let begun = book.tick();
        restart(plan, begun, ENDLESS, scenario, driver, book)?;
        driver.turn_until(Until::Time(begun + plan.warm_up_nanos), scenario, book, |progress, book| {
            progress.show("warm-up", book.now() - begun, plan.warm_up_nanos);
        })?;
    }
    match plan.length {
        Length::Requests(count) => {
            // From rest to rest, so that the work is exactly what was asked for.
            book.set_quota(0);
            driver.turn_until(Until::Quiet, scenario, book, |_, _| ())?;
            let start = Edge::read(plan, book)?;
            book.measure_latency_since(0);
            restart(plan, start.at, count, scenario, driver, book)?;
            driver.turn_until(Until::Quiet, scenario, book, |progress, book| {
                progress.show("measuring", count - book.quota(), count);
            })?;
            finish(plan, start, driver, book)
        }
        Length::Time(nanos) => {
            let start = Edge::read(plan, book)?;
            if !warms_up {
                restart(plan, start.at, ENDLESS, scenario, driver, book)?;
            }
            // In a closed loop, all that is answered in the measured time; in an open one, all that is due in it.
            book.measure_latency_since(if plan.rate.is_some() { start.at } else { 0 });
            if let Some(schedule) = driver.schedule() {
                schedule.count_since(start.at);
            }
            driver.turn_until(Until::Time(start.at + nanos), scenario, book, |progress, book| {
                progress.show("measuring", book.now() - start.at, nanos);
            })?;
            let measured = finish(plan, start, driver, book)?;
            book.set_quota(0);
            driver.turn_until(Until::Quiet, scenario, book, |_, _| ())?;
            Ok(measured)
        }
    }
}

/// Begins anew, from rest.
fn restart<S: Scenario>(
    plan: &Plan,
    start: u64,
    quota: u64,
    scenario: &mut S,
    driver: &mut Driver,
    book: &mut Book,
) -> io::Result<()> {
    if driver.interrupted() {
        // Not all connections may be there.
        return Ok(());
    }
    *driver.schedule() = plan.rate.map(|rate| Schedule::new(start, rate));
    book.set_quota(quota);
    scenario.begin(book)
}

/// Reads the second edge.
fn finish(plan: &Plan, start: Edge, driver: &mut Driver, book: &mut Book) -> io::Result<Measured> {
    let end = Edge::read(plan, book)?;
    let open_loop = driver.schedule().as_ref().map(|schedule| {
        let mut unsent = 0;
        // With requests counted, those beyond the count are not due at all.
        if book.quota() > 0 {
            for due in schedule.unsent(end.at) {
                book.unsent(due, end.at);
                unsent += 1;
            }
        }
        OpenLoop { counts: schedule.counts(), unsent }
    });
    if open_loop.is_none() {
        book.stop_latency();
    }
    Ok(Measured {
        nanos: end.at - start.at,
        completed: end.completed - start.completed,
        bytes: end.bytes - start.bytes,
        failures: end.failures - start.failures,
        load_cpu_nanos: end.load_cpu_nanos - start.load_cpu_nanos,
        server_cpu_nanos: end
            .server_cpu_nanos
            .zip(start.server_cpu_nanos)
            .map(|(end, start)| end.saturating_sub(start)),
        open_loop,
        partial: driver.interrupted(),
    })
}
