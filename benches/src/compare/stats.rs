//! What repeated figures say: medians, how far they lie apart, and ratios of one server to another.
//!
//! It knows numbers and rounds. It does not know what was measured.

use serde::{Deserialize, Serialize};

/// One figure over all rounds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// The one in the middle, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
    /// How many there are.
    pub(crate) rounds: usize,
}

impl Figure {
    /// Sums `values` up; none if there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Figure> {
        let sorted = sort(values);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return None };
        Some(Figure { median: middle(&sorted), min, max, rounds: sorted.len() })
    }

    /// How far the rounds lie apart: the largest less the smallest, as a part of the median.
    pub(crate) fn spread(&self) -> Option<f64> {
        (self.median > 0.0 && self.rounds > 1).then(|| (self.max - self.min) / self.median)
    }
}

/// One figure of a server relative to that of the base, round against round.
///
/// Both were measured within the same seconds, so whatever slows the machine for longer than one round slows both
/// and drops out.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Ratio {
    /// The middle one of the ratios.
    pub(crate) median: f64,
    /// The smallest ratio.
    pub(crate) min: f64,
    /// The largest ratio.
    pub(crate) max: f64,
    /// The lower end of the range that holds the true median fifteen times in sixteen.
    pub(crate) low: f64,
    /// The upper end of that range.
    pub(crate) high: f64,
    /// How many rounds both have.
    pub(crate) rounds: usize,
}

/// The fewest rounds from which anything is concluded.
pub(crate) const ROUNDS_MIN: usize = 3;

impl Ratio {
    /// Sums up the quotients of `pairs`, each a figure of the server and that of the base in the same round.
    pub(crate) fn of(pairs: &[(f64, f64)]) -> Option<Ratio> {
        let usable = pairs.iter().filter(|(_, base)| *base > 0.0);
        let quotients: Vec<f64> = usable.map(|(value, base)| value / base).collect();
        let sorted = sort(&quotients);
        let Figure { median, min, max, rounds } = Figure::of(&sorted)?;
        let outside = outside(rounds);
        Some(Ratio { median, min, max, low: sorted[outside], high: sorted[rounds - 1 - outside], rounds })
    }

    /// Whether the two can be told apart: there are enough rounds, and the range lies on one side of 1.
    pub(crate) fn is_told_apart(&self) -> bool {
        self.rounds >= ROUNDS_MIN && (self.low > 1.0 || self.high < 1.0)
    }
}

/// How many of `rounds` sorted values may be left off at either end so that what remains still holds the true median
/// fifteen times in sixteen.
///
/// Each value lies below it with a chance of one half, as a coin falls, whatever the noise looks like. Up to eight
/// values none can be left off: five reach fifteen in sixteen exactly, three only three in four.
fn outside(rounds: usize) -> usize {
    let mut ways = 1.0;
    let mut tail = 1.0;
    let mut outside = 0;
    let all = (0..rounds).fold(1.0, |all, _| all * 2.0);
    // `tail` counts the ways in which at most `outside` values lie below it.
    while outside < rounds / 2 {
        ways *= small(rounds - outside) / small(outside + 1);
        tail += ways;
        if 2.0 * tail > all / 16.0 {
            break;
        }
        outside += 1;
    }
    outside
}

fn small(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

fn sort(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}
