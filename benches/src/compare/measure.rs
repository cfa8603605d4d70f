//! What is read off a run: how it is computed, which way is better, and how it is written.

use serde::{Deserialize, Serialize};

use crate::report::Report;

/// One figure of a run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Measure {
    /// Requests per second.
    Rate,
    /// Bytes per second that came back.
    Throughput,
    /// Processor time of the server for one request, in microseconds.
    CpuPerRequest,
    /// Processor time of the server for a mebibyte that went there and back, in microseconds.
    CpuPerMebibyte,
    /// The latency that half do not pass, in microseconds, and so on.
    P50,
    /// Nine of ten.
    P90,
    /// 99 of 100.
    P99,
    /// 999 of 1,000.
    P999,
    /// The largest latency.
    Slowest,
    /// Resident bytes of the server for each idle connection.
    BytesPerIdle,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Better {
    /// More of it.
    More,
    /// Less of it.
    Less,
}

/// All of them.
pub(crate) const ALL: [Measure; 10] = [
    Measure::Rate,
    Measure::Throughput,
    Measure::CpuPerRequest,
    Measure::CpuPerMebibyte,
    Measure::P50,
    Measure::P90,
    Measure::P99,
    Measure::P999,
    Measure::Slowest,
    Measure::BytesPerIdle,
];

const MEBIBYTE: f64 = 1024.0 * 1024.0;

impl Measure {
    /// Reads it off `report`, if it says so.
    pub(crate) fn of(self, report: &Report) -> Option<f64> {
        let latency = report.latency.as_ref();
        let value = match self {
            Measure::Rate => count(report.requests) / report.seconds,
            Measure::Throughput => count(report.bytes) / report.seconds,
            Measure::CpuPerRequest => report.server_cpu_seconds? * 1e6 / count(report.requests),
            Measure::CpuPerMebibyte => report.server_cpu_seconds? * 1e6 / (count(report.bytes) / MEBIBYTE),
            Measure::P50 => latency?.p50,
            Measure::P90 => latency?.p90,
            Measure::P99 => latency?.p99,
            Measure::P999 => latency?.p999,
            Measure::Slowest => latency?.max,
            Measure::BytesPerIdle => report.server_bytes_per_idle?,
        };
        value.is_finite().then_some(value)
    }

    /// Which way is better.
    pub(crate) fn better(self) -> Better {
        match self {
            Measure::Rate | Measure::Throughput => Better::More,
            Measure::CpuPerRequest
            | Measure::CpuPerMebibyte
            | Measure::P50
            | Measure::P90
            | Measure::P99
            | Measure::P999
            | Measure::Slowest
            | Measure::BytesPerIdle => Better::Less,
        }
    }

    /// What stands above its column, where one request is a `request`.
    pub(crate) fn title(self, request: &str) -> String {
        match self {
            Measure::Rate => format!("{}/s", plural(request)),
            Measure::Throughput => "MiB/s".to_owned(),
            Measure::CpuPerRequest => format!("µs/{request}"),
            Measure::CpuPerMebibyte => "µs/MiB".to_owned(),
            Measure::P50 => "p50 µs".to_owned(),
            Measure::P90 => "p90 µs".to_owned(),
            Measure::P99 => "p99 µs".to_owned(),
            Measure::P999 => "p99.9 µs".to_owned(),
            Measure::Slowest => "max µs".to_owned(),
            Measure::BytesPerIdle => "B/idle".to_owned(),
        }
    }

    /// What that means, in words.
    pub(crate) fn meaning(self, request: &str) -> String {
        match self {
            Measure::Rate => format!("{} completed per second", plural(request)),
            Measure::Throughput => "mebibytes per second that came back".to_owned(),
            Measure::CpuPerRequest => format!("the server's processor time per {request}, in microseconds"),
            Measure::CpuPerMebibyte => {
                "the server's processor time per mebibyte there and back, in microseconds".to_owned()
            }
            Measure::P50 => "the latency that half do not pass, in microseconds".to_owned(),
            Measure::P90 => "the latency that nine of ten do not pass".to_owned(),
            Measure::P99 => "the latency that 99 of 100 do not pass".to_owned(),
            Measure::P999 => "the latency that 999 of 1,000 do not pass".to_owned(),
            Measure::Slowest => "the slowest".to_owned(),
            Measure::BytesPerIdle => {
                "bytes of the server's memory per idle connection, without the kernel's".to_owned()
            }
        }
    }

    /// Writes a value of it.
    pub(crate) fn write(self, value: f64) -> String {
        match self {
            Measure::Throughput => figure(value / MEBIBYTE),
            Measure::BytesPerIdle => number(value.round().max(0.0)),
            Measure::Rate => number(value.round()),
            Measure::CpuPerRequest
            | Measure::CpuPerMebibyte
            | Measure::P50
            | Measure::P90
            | Measure::P99
            | Measure::P999
            | Measure::Slowest => figure(value),
        }
    }
}

fn plural(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{noun}s"),
    }
}

/// Writes `value` with three digits at least, and with commas: `4.20`, `42.1`, `421`, `42,100`.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 99.95 {
        group(&format!("{value:.0}"))
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Writes a count, or a number of an axis: `0`, `2.5`, `64`, `15,000`.
pub(crate) fn number(value: f64) -> String {
    let text = figure(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Writes a ratio: `0.062`, `0.98`, `1.18`, `13.2`, `120`.
pub(crate) fn ratio(value: f64) -> String {
    if value >= 99.95 {
        group(&format!("{value:.0}"))
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else if value >= 0.0995 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

fn group(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of one run stay far below 2^52")]
pub(crate) fn count(n: u64) -> f64 {
    n as f64
}
