//! A report as a person reads it.
//!
//! It knows words and units. What the figures are it takes from the report.

use std::fmt::Write;
use std::net::SocketAddr;

use super::args::Scenario;
use super::schedule::LATE_NANOS;
use crate::report::{Latency, Report};

/// The report as lines of text.
pub(super) fn text(report: &Report, scenario: Scenario, server: SocketAddr) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut text, report, scenario, server);
    text
}

#[expect(clippy::cast_precision_loss, reason = "rates are shown with a few digits")]
fn write_text(out: &mut String, report: &Report, scenario: Scenario, server: SocketAddr) -> std::fmt::Result {
    let Report { connections, idle_connections, size, depth, framing, seconds, .. } = report;
    write!(out, "{} of {server}: {connections} connections", report.scenario)?;
    if *idle_connections > 0 {
        write!(out, " and {} idle ones", grouped(idle_connections))?;
    }
    write!(out, ", messages of {size} bytes ({framing}), {depth} at a time")?;
    match report.rate {
        Some(rate) => writeln!(out, ", {rate} requests due per second")?,
        None => writeln!(out)?,
    }
    if report.partial {
        writeln!(out, "  partial: Ctrl-C cut it short")?;
    }
    writeln!(out, "  measured      {seconds:.3} s")?;
    let per_second = |amount: f64| if *seconds > 0.0 { amount / seconds } else { 0.0 };
    let what = done_is(scenario);
    writeln!(
        out,
        "  {what:<13} {}, {} per second, {} failed",
        grouped(&report.requests),
        grouped(&format!("{:.0}", per_second(report.requests as f64))),
        grouped(&report.errors)
    )?;
    let megabytes = report.bytes as f64 / 1e6;
    writeln!(
        out,
        "  came back     {megabytes:.1} MB, {:.1} MB/s, every byte verified",
        per_second(megabytes)
    )?;
    if let Some(latency) = &report.latency {
        writeln!(out, "  latency, µs        p50       p90       p99     p99.9       max")?;
        let Latency { p50, p90, p99, p999, max } = latency;
        writeln!(out, "            {p50:>12.1}{p90:>10.1}{p99:>10.1}{p999:>10.1}{max:>10.1}")?;
    }
    if let Some(open) = &report.open_loop {
        writeln!(
            out,
            "  open loop     {} left more than {} µs late, {} waited for a free connection, {} were never sent",
            grouped(&open.late),
            LATE_NANOS / 1000,
            grouped(&open.waited),
            grouped(&open.unsent)
        )?;
        writeln!(out, "                latency counts from when a request was due")?;
    }
    let cores = |cpu: f64| if *seconds > 0.0 { cpu / seconds } else { 0.0 };
    let each = |cpu: f64| if report.requests > 0 { 1e6 * cpu / report.requests as f64 } else { 0.0 };
    let load = report.load_cpu_seconds;
    writeln!(out, "  load          {:.2} of a core, {:.2} µs each", cores(load), each(load))?;
    if let Some(server) = report.server_cpu_seconds {
        writeln!(out, "  server        {:.2} of a core, {:.2} µs each", cores(server), each(server))?;
    }
    if let Some(bytes) = report.server_bytes_per_idle {
        writeln!(out, "  server        {bytes:.0} resident bytes for each idle connection")?;
    }
    if report.load_bound {
        let why = match (report.rate, report.server_cpu_seconds) {
            (Some(_), _) => "it sent more than one request in a hundred late, by its own fault",
            (None, Some(_)) => "it had no time to spare, and the server had",
            (None, None) => "it had no time to spare, and nothing is known of the server (--server-pid)",
        };
        writeln!(out, "  The load generator was the bottleneck: {why}.")?;
    }
    Ok(())
}

/// A number with its digits in groups of three.
fn grouped(number: &impl ToString) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// What is counted as done.
fn done_is(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::PingPong | Scenario::Idle => "exchanges",
        Scenario::Churn => "connections",
        Scenario::Bulk => "messages",
        Scenario::Broadcast => "deliveries",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::OpenLoop;

    fn report() -> Report {
        Report {
            scenario: String::from("ping-pong"),
            framing: String::from("raw"),
            connections: 64,
            idle_connections: 0,
            size: 64,
            depth: 1,
            rate: None,
            seconds: 2.0,
            requests: 200_000,
            bytes: 12_800_000,
            errors: 0,
            latency: Some(Latency { p50: 600.0, p90: 700.0, p99: 800.0, p999: 900.0, max: 1000.0 }),
            load_cpu_seconds: 1.0,
            load_bound: false,
            server_cpu_seconds: Some(1.9),
            server_bytes_per_idle: None,
            open_loop: None,
            partial: false,
        }
    }

    fn shown(report: &Report) -> String {
        text(report, Scenario::PingPong, SocketAddr::from(([127, 0, 0, 1], 7000)))
    }

    #[test]
    fn a_report_says_what_was_done_and_what_it_took() {
        let text = shown(&report());
        for part in [
            "ping-pong of 127.0.0.1:7000: 64 connections, messages of 64 bytes (raw), 1 at a time\n",
            "exchanges     200,000, 100,000 per second, 0 failed\n",
            "12.8 MB, 6.4 MB/s, every byte verified\n",
            "       600.0     700.0     800.0     900.0    1000.0\n",
            "load          0.50 of a core, 5.00 µs each\n",
            "server        0.95 of a core, 9.50 µs each\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("bottleneck") && !text.contains("partial"), "{text}");
    }

    #[test]
    fn a_report_says_when_the_load_was_the_bottleneck() {
        let bound = Report { load_bound: true, ..report() };
        assert!(shown(&bound).contains("it had no time to spare, and the server had"));
        let open_loop = Some(OpenLoop { late: 2001, waited: 5, unsent: 7 });
        let late = Report { rate: Some(1e5), open_loop, ..bound };
        let text = shown(&late);
        assert!(text.contains("one request in a hundred late"), "{text}");
        assert!(
            text.contains("2,001 left more than 100 µs late, 5 waited for a free connection, 7 were never"),
            "{text}"
        );
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (number, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(&number), shown);
        }
    }

    #[test]
    fn a_partial_report_of_nothing_divides_by_nothing() {
        let nothing =
            Report { seconds: 0.0, requests: 0, bytes: 0, latency: None, partial: true, ..report() };
        let text = shown(&nothing);
        assert!(text.contains("partial: Ctrl-C") && !text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
