//! Where the instructions of one request are: the functions and lines of source that they belong to.
//!
//! It knows how a profile is counted and shown. It does not know the format of the files it comes from.

use std::fmt::Write;
use std::io;

use super::callgrind::Profile;
use super::client::Clients;
use super::each;
use super::scenario::Scenario;
use super::tool::Bench;
use crate::serve::Name;

/// What a scenario costs, by place.
pub(super) struct Places {
    head: String,
    once: Profile,
    twice: Profile,
    units: usize,
}

/// Counts `rounds` rounds and twice as many.
pub(super) fn of(bench: &Bench<'_>, name: Name, scenario: &Scenario, rounds: usize) -> io::Result<Places> {
    let once = bench.instructions(name, scenario.options, &|clients: &mut Clients<'_>| {
        clients.run(scenario, rounds, rounds)
    })?;
    let twice = bench.instructions(name, scenario.options, &|clients: &mut Clients<'_>| {
        clients.run(scenario, 2 * rounds, 0)
    })?;
    let units = rounds * scenario.units();
    let total = each(once.total, twice.total, units);
    let head =
        format!("{}, {}: {total:.1} instructions for each {}", name.text(), scenario.key, scenario.unit);
    Ok(Places { head, once, twice, units })
}

impl Places {
    /// The `top` most expensive functions, and as many lines of source.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(super) fn show(&self, top: usize) -> String {
        let each = |count: i64| count as f64 / self.units as f64;
        let mut out = format!("{}\n  by function, with what is inlined into it:\n", self.head);
        for (function, count) in self.twice.functions_beyond(&self.once).into_iter().take(top) {
            writeln!(out, "  {:>9.1}  {function}", each(count)).expect("a string takes all");
        }
        out.push_str("  by line of source, wherever it is inlined:\n");
        for ((file, line), count) in self.twice.lines_beyond(&self.once).into_iter().take(top) {
            writeln!(out, "  {:>9.1}  {}:{line}", each(count), short(&file)).expect("a string takes all");
        }
        out
    }
}

/// A path without what is the same for all files of a crate or of the standard library.
fn short(path: &str) -> &str {
    let start = |mark: &str| path.find(mark).map(|at| at + mark.len());
    if let Some(at) = start("/registry/src/") {
        // The registry's name, then the crate's.
        return path[at..].split_once('/').map_or(path, |(_, rest)| rest);
    }
    if let Some(at) = start("/rustc/") {
        return path[at..].split_once('/').map_or(path, |(_, rest)| rest);
    }
    path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/"))
        .or_else(|| {
            let workspace = env!("CARGO_MANIFEST_DIR").strip_suffix("benches")?;
            path.strip_prefix(workspace)
        })
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_what_is_the_same_for_all() {
        assert_eq!(
            short("/home/u/.cargo/registry/src/index.crates.io-19/mio-1.2.4/src/poll.rs"),
            "mio-1.2.4/src/poll.rs"
        );
        assert_eq!(short("/rustc/59807616e1/library/core/src/option.rs"), "library/core/src/option.rs");
        assert_eq!(short("./string/memmove.S"), "./string/memmove.S");
    }
}
