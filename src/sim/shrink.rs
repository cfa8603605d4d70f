//! Shrinking: the least that is left of a failing run.
//!
//! It knows numbers and whether a run with them fails. Choices are dropped in blocks, made ordinary in blocks, and
//! halved, as long as the run still fails.

use super::scenario::Sim;
use super::search::{Attempt, attempt};
use super::tape::Tape;

/// How many runs, and how many steps in them, shrinking may take.
const RUNS_MAX: u32 = 4000;
const STEPS_MAX: u64 = 30_000_000;

struct Shrinker<'a, S> {
    scenario: &'a S,
    values: Vec<u32>,
    kind: (String, Option<String>),
    runs: u32,
    steps: u64,
}

/// The choices of a run that fails in the same way as `run` and is not larger.
pub(super) fn shrink<S: Fn(Sim)>(run: &Attempt, scenario: &S) -> Vec<u32> {
    let kind = kind(run).unwrap_or_default();
    let mut shrinker = Shrinker { scenario, values: run.values(), kind, runs: 0, steps: 0 };
    // What was found must fail as well when its end is left open.
    let values = shrinker.values.clone();
    if shrinker.try_values(values) {
        loop {
            let before = shrinker.values.clone();
            shrinker.cut_the_end();
            shrinker.blocks(true);
            shrinker.blocks(false);
            shrinker.smaller();
            if shrinker.values == before || shrinker.is_tired() {
                break;
            }
        }
    }
    shrinker.values
}

fn kind(run: &Attempt) -> Option<(String, Option<String>)> {
    let (what, place) = run.outcome.as_ref().err()?.kind();
    Some((what, place.map(String::from)))
}

impl<S: Fn(Sim)> Shrinker<'_, S> {
    fn is_tired(&self) -> bool {
        self.runs >= RUNS_MAX || self.steps >= STEPS_MAX
    }

    /// Takes `values` over if a run with them fails in the same way.
    fn try_values(&mut self, values: Vec<u32>) -> bool {
        if self.is_tired() {
            return false;
        }
        self.runs += 1;
        let run = attempt(Tape::values(values), false, self.scenario);
        self.steps += run.steps;
        let same = kind(&run).is_some_and(|kind| kind == self.kind);
        if same {
            self.values = run.values();
            // Zeros at the end need not be written down: they are what comes anyway.
            while self.values.last() == Some(&0) {
                self.values.pop();
            }
        }
        same
    }

    fn cut_the_end(&mut self) {
        // The shortest beginning that fails, looked for as if it were ordered; if not, it is only not the shortest.
        let mut too_short = 0;
        while too_short < self.values.len() {
            let keep = usize::midpoint(too_short, self.values.len());
            let values = self.values[..keep].to_vec();
            if !self.try_values(values) {
                too_short = keep + 1;
            }
        }
    }

    /// Drops blocks of choices, or makes them ordinary.
    fn blocks(&mut self, drop: bool) {
        let mut size = self.values.len().next_power_of_two() / 2;
        while size > 0 {
            let mut at = self.values.len();
            while at > 0 {
                let from = at.saturating_sub(size);
                at = at.min(self.values.len());
                if from < at && (drop || self.values[from..at].iter().any(|&value| value > 0)) {
                    let mut values = self.values.clone();
                    if drop {
                        values.drain(from..at);
                    } else {
                        values[from..at].fill(0);
                    }
                    self.try_values(values);
                }
                at = from;
            }
            size /= 2;
        }
    }

    /// Makes single choices smaller.
    fn smaller(&mut self) {
        for at in (0..self.values.len()).rev() {
            let mut low = 0;
            while at < self.values.len() && low < self.values[at] {
                let mut values = self.values.clone();
                values[at] = u32::midpoint(low, self.values[at]);
                let tried = values[at];
                if !self.try_values(values) {
                    low = tried + 1;
                }
            }
        }
    }
}
