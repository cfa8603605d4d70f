//! The exhaustive sets: scenarios of which everything is tried, for the tests here and for the long search.
//!
//! They use what a user of the crate can use. [`LONG`] is what takes too long for a test.

pub(crate) mod callbacks;
pub(crate) mod clients;
pub(crate) mod core;
pub(crate) mod cuts;
mod noting;
pub(crate) mod several;
pub(crate) mod splits;
pub(crate) mod writes;

use switchboard::sim::{self, Sim};

/// A set that is tried whole: its name, and what tries it and answers how many runs there were.
pub(crate) type Long = (&'static str, fn() -> u64);

/// Sets for a program built for speed: minutes altogether.
pub(crate) const LONG: &[Long] = &[
    ("every split of twenty bytes, for every codec", every_split),
    ("two faults at any calls of one line", || faults(2, core::one_line)),
    ("two faults at any calls of a half-closed request", || faults(2, core::half_close)),
    ("two faults at any calls of a line echo", || faults(2, core::echo_lines)),
    ("two faults at any calls of an idle connection", || faults(2, core::idle)),
    ("two faults at any calls of a peer that takes nothing", || faults(2, core::untaken)),
    ("two faults at any calls of a client that tries again", || faults(2, several::retry)),
    ("three sends that take nothing or a part, of a small reply", || parts(3, writes::small)),
    ("three sends that take nothing or a part, of pipelined replies", || parts(3, writes::pipelined)),
];

fn every_split() -> u64 {
    splits::cases().iter().map(|case| case.in_a_reactor(20) as u64).sum()
}

/// Runs `scenario` with so many faults at most, of all kinds, in all ways and at all places.
pub(crate) fn faults(count: usize, scenario: core::Scenario) -> u64 {
    whole(count, |sim| scenario(sim, core::every_fault()))
}

/// Runs `scenario` with so many sends at most that take nothing, or a part of any length.
pub(crate) fn parts(count: usize, scenario: core::Scenario) -> u64 {
    whole(count, |sim| scenario(sim, writes::nothing_parts_or_all()))
}

fn whole(count: usize, scenario: impl Fn(Sim)) -> u64 {
    let explored = sim::deviations(count, u64::MAX, scenario);
    assert!(explored.complete, "{explored:?}");
    explored.runs
}
