//! What the runs of one scenario amount to: for each server its figures, and their ratios to the base.
//!
//! It knows rounds and pairs. It does not know how they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::measure::{ALL, Better, Measure};
use super::results::{Entry, Results, Run};
use super::stats::{Figure, Ratio};

/// One server in one scenario.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// The scenario.
    pub(crate) scenario: String,
    /// The server.
    pub(crate) server: String,
    /// How many rounds came to their end.
    pub(crate) rounds: usize,
    /// In how many of them the load generator was the bottleneck.
    pub(crate) rounds_load_bound: usize,
    /// Exchanges that failed, in all rounds.
    pub(crate) errors: u64,
    /// What was read off.
    pub(crate) figures: BTreeMap<Measure, Compared>,
}

/// A figure and how it compares.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Compared {
    /// The figure.
    pub(crate) figure: Figure,
    /// Its ratio to that of the base, unless this is the base or there is none.
    pub(crate) ratio: Option<Ratio>,
}

impl Summary {
    /// The median of `measure`.
    pub(crate) fn median(&self, measure: Measure) -> Option<f64> {
        Some(self.figures.get(&measure)?.figure.median)
    }
}

/// Sums up `entry`: all servers with a run to show, the best first by what decides.
pub(crate) fn of(results: &Results, entry: &Entry) -> Vec<Summary> {
    let runs: Vec<&Run> = results.runs.iter().filter(|run| run.scenario == entry.scenario.name).collect();
    let of_server =
        |name: &str| -> Vec<&Run> { runs.iter().copied().filter(|run| run.server == name).collect() };
    let base = entry.base.as_ref().map_or(Vec::new(), |base| of_server(base));
    let mut summaries: Vec<Summary> = entry
        .servers
        .iter()
        .map(|server| {
            let own = of_server(server);
            let others = if entry.base.as_ref() == Some(server) { &[][..] } else { &base[..] };
            Summary {
                scenario: entry.scenario.name.clone(),
                server: server.clone(),
                rounds: own.len(),
                rounds_load_bound: own.iter().filter(|run| run.report.load_bound).count(),
                errors: own.iter().map(|run| run.report.errors).sum(),
                figures: ALL
                    .into_iter()
                    .filter_map(|measure| Some((measure, compare(measure, &own, others)?)))
                    .collect(),
            }
        })
        .filter(|summary| summary.rounds > 0)
        .collect();
    if let Some(&first) = entry.scenario.measures.first() {
        // What has no figure comes last.
        let key = |summary: &Summary| match (summary.median(first), first.better()) {
            (Some(median), Better::Less) => median,
            (Some(median), Better::More) => -median,
            (None, _) => f64::INFINITY,
        };
        summaries.sort_by(|one, other| key(one).total_cmp(&key(other)));
    }
    summaries
}

fn compare(measure: Measure, own: &[&Run], base: &[&Run]) -> Option<Compared> {
    let values: Vec<f64> = own.iter().filter_map(|run| measure.of(&run.report)).collect();
    let pairs: Vec<(f64, f64)> = own
        .iter()
        .filter_map(|run| {
            let twin = base.iter().find(|twin| twin.round == run.round)?;
            Some((measure.of(&run.report)?, measure.of(&twin.report)?))
        })
        .collect();
    Some(Compared { figure: Figure::of(&values)?, ratio: Ratio::of(&pairs) })
}
