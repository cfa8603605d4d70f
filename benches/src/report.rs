//! What one run of the load generator found, as it is printed with `--json` and read again by `compare`.
//!
//! It knows the figures and their units. It does not know how they came about nor how they are shown.

use serde::{Deserialize, Serialize};

/// One run against one server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Report {
    /// The scenario: `ping-pong`, `churn`, `idle`, `bulk` or `broadcast`.
    pub(crate) scenario: String,
    /// How messages were framed: `raw`, `lines` or `length`.
    pub(crate) framing: String,
    /// Connections that worked at the same time.
    pub(crate) connections: usize,
    /// Connections that were open and silent besides.
    pub(crate) idle_connections: usize,
    /// Bytes of one message, framing included.
    pub(crate) size: usize,
    /// Messages of one connection on their way at a time.
    pub(crate) depth: usize,
    /// Requests per second that were asked for in all; none in a closed loop.
    pub(crate) rate: Option<f64>,
    /// How long was measured, after the warm-up.
    pub(crate) seconds: f64,
    /// What was completed in that time: exchanges, connections in `churn`, deliveries in `broadcast`.
    pub(crate) requests: u64,
    /// Bytes that came back in that time, each of them verified.
    pub(crate) bytes: u64,
    /// Exchanges that failed: refused, reset, timed out. A wrong byte ends the run instead.
    pub(crate) errors: u64,
    /// The latency of one exchange; none where it means nothing (`bulk`).
    pub(crate) latency: Option<Latency>,
    /// Processor time of the load generator, in seconds.
    pub(crate) load_cpu_seconds: f64,
    /// Whether the load generator was the bottleneck, so that the figures are its own.
    pub(crate) load_bound: bool,
    /// Processor time of the server in the measured time, in seconds, if its process is known.
    pub(crate) server_cpu_seconds: Option<f64>,
    /// Resident bytes of the server for each idle connection, if its process is known and there are any.
    pub(crate) server_bytes_per_idle: Option<f64>,
    /// What became of the requests of an open loop; none in a closed one.
    #[serde(default)]
    pub(crate) open_loop: Option<OpenLoop>,
    /// Whether the run was cut short by Ctrl-C.
    pub(crate) partial: bool,
}

/// Requests that were due in the measured time and did not leave when they were due.
///
/// The latency of each counts from the time at which it was due. Of those that never left it is how long they had
/// waited at the end, which is less than it would have been.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct OpenLoop {
    /// They left late though a connection was free: the doing of the load generator.
    pub(crate) late: u64,
    /// They waited because every connection had as many on their way as it may: the doing of the server.
    pub(crate) waited: u64,
    /// They had not left at the end.
    pub(crate) unsent: u64,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// Half were no slower.
    pub(crate) p50: f64,
    /// Nine of ten were no slower.
    pub(crate) p90: f64,
    /// 99 of 100 were no slower.
    pub(crate) p99: f64,
    /// 999 of 1,000 were no slower.
    pub(crate) p999: f64,
    /// The slowest.
    pub(crate) max: f64,
}
