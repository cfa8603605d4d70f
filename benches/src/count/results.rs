//! What was counted: for the table, and as JSON.
//!
//! It knows the figures and their units. It does not know how they came about.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::table::number;

/// Everything that one run has counted.
#[derive(Debug, Default, Serialize)]
pub(super) struct Results {
    /// Whether it was interrupted, so that something is missing.
    pub(super) partial: bool,
    /// Rounds of each scenario in the shorter run; the longer has twice as many.
    pub(super) rounds: usize,
    /// What each server is made with, and its version.
    pub(super) libraries: BTreeMap<String, String>,
    /// What requests and connections cost.
    pub(super) scenarios: Vec<Counted>,
    /// What idle connections hold.
    pub(super) memory: Vec<Memory>,
    /// What could not be counted, and why.
    pub(super) failures: Vec<String>,
}

/// What one server's part in one scenario costs, for one of its unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Counted {
    /// The server.
    pub(super) server: String,
    /// The scenario.
    pub(super) scenario: String,
    /// What it is the cost of: `request`, `message`, `connection`, `MiB`, `delivery`.
    pub(super) unit: String,
    /// Instructions in user space.
    pub(super) instructions: Option<f64>,
    /// Reads of the clock, which cost more instructions than are counted, and no system call.
    pub(super) clock_reads: Option<f64>,
    /// System calls, by name.
    pub(super) calls: Option<BTreeMap<String, f64>>,
    /// Memory allocated.
    pub(super) allocations: Option<Allocations>,
}

/// Memory that is allocated for one request or connection, whether it is freed again or not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Allocations {
    /// How often.
    pub(super) blocks: f64,
    /// How many bytes.
    pub(super) bytes: f64,
}

/// What one idle connection holds in user space.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Memory {
    /// The server.
    pub(super) server: String,
    /// How many there were.
    pub(super) connections: usize,
    /// Whether each had an idle timeout.
    pub(super) idle_timeout: bool,
    /// Bytes of memory that are resident for it.
    pub(super) resident: f64,
    /// Bytes allocated for it and not freed.
    pub(super) heap: Option<f64>,
}

impl Results {
    /// What was counted of `server` in `scenario`.
    pub(super) fn counted(&self, server: &str, scenario: &str) -> Option<&Counted> {
        self.scenarios.iter().find(|one| one.server == server && one.scenario == scenario)
    }

    /// The servers that have a figure, in the order in which they were counted.
    pub(super) fn servers(&self) -> Vec<&str> {
        let mut servers = Vec::new();
        let counted = self.scenarios.iter().map(|one| one.server.as_str());
        for server in counted.chain(self.memory.iter().map(|one| one.server.as_str())) {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers
    }
}

impl Counted {
    /// System calls of all names together.
    pub(super) fn calls_in_all(&self) -> Option<f64> {
        Some(self.calls.as_ref()?.values().sum())
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}, for each {}:", self.server, self.scenario, self.unit)?;
        if let Some(instructions) = self.instructions {
            writeln!(f, "  {:>11} instructions", number(instructions))?;
        }
        if let Some(reads) = self.clock_reads.filter(|reads| *reads >= 0.0005) {
            writeln!(f, "  {:>11} reads of the clock", number(reads))?;
        }
        for (name, count) in self.calls.iter().flatten() {
            writeln!(f, "  {:>11} {name}", number(*count))?;
        }
        if let Some(Allocations { blocks, bytes }) = self.allocations {
            writeln!(f, "  {:>11} allocations of {} bytes in all", number(blocks), number(bytes))?;
        }
        Ok(())
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = if self.idle_timeout { ", with an idle timeout" } else { "" };
        writeln!(f, "{}, each of {} idle connections{with}:", self.server, self.connections)?;
        writeln!(f, "  {:>11} bytes resident", number(self.resident))?;
        match self.heap {
            Some(heap) => writeln!(f, "  {:>11} bytes on the heap", number(heap)),
            None => Ok(()),
        }
    }
}
