//! What came of a run: its report, or what went wrong.
//!
//! It knows results; it does not know how they came about.

use std::fmt;
use std::time::Duration;

use super::client::ClientReport;
use crate::stats::Stats;

/// What came of a run.
#[non_exhaustive]
pub struct Report<H> {
    /// The handler, as it is at the end.
    pub handler: H,
    /// The clients, in the order in which they were added.
    pub clients: Vec<ClientReport>,
    /// The reactor's counters.
    pub stats: Stats,
    /// How much simulated time it took.
    pub time: Duration,
    /// How many calls, events and callbacks there were.
    pub steps: u64,
    /// A number that is another one if anything happened in another way.
    pub hash: u64,
}

impl<H> fmt::Debug for Report<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("clients", &self.clients)
            .field("time", &self.time)
            .field("steps", &self.steps)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// What went wrong in a run.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// When, in simulated time.
    pub at: Duration,
    /// What.
    pub what: String,
    /// What happened before, oldest first. Empty in a search, which shows it for the run that it shrinks to.
    pub lines: Vec<String>,
}

impl Failure {
    pub(super) fn new(at: Duration, what: String) -> Failure {
        Failure { at, what, lines: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.at.is_zero() { Ok(()) } else { write!(f, "\n  after {:?} of simulated time", self.at) }
    }
}

/// The same text, and what led there.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        if self.lines.is_empty() { Ok(()) } else { write!(f, "\n\n{}", Led(&self.lines)) }
    }
}

impl std::error::Error for Failure {}

/// How many lines of what happened a failure shows.
const LINES_SHOWN: usize = 60;

/// The last lines of what happened.
pub(super) struct Led<'a>(pub(super) &'a [String]);

impl fmt::Display for Led<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.0.len().saturating_sub(LINES_SHOWN);
        match (self.0.len(), skipped) {
            (0, _) => return Ok(()),
            (_, 0) => writeln!(f, "what led there:")?,
            (all, _) => writeln!(f, "what led there (the last {LINES_SHOWN} of {all} lines):")?,
        }
        for line in &self.0[skipped..] {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}
