//! The results on a terminal: a table for each scenario, and what has to be known to read it.
//!
//! Styles come only where standard output is a terminal. It does not know how anything was computed.

use console::{measure_text_width, style};

use super::measure::{Measure, ratio};
use super::results::{Entry, Results};
use super::scenario::Scenario;
use super::stats::Ratio;
use super::summary::{self, Summary};

/// Marks a figure that is the load generator's.
pub(crate) const LOAD_BOUND: &str = "‡";
/// Marks a server some of whose exchanges failed.
pub(crate) const ERRORS: &str = "!";

/// Marks a server without the idle timeout that others have.
pub(crate) const NO_TIMEOUT: &str = "°";

/// All tables.
pub(crate) fn tables(results: &Results) -> String {
    let mut text = String::new();
    let mut line = |one: &str| {
        text.push_str(one);
        text.push('\n');
    };
    for warning in results.warnings() {
        line(&style(warning).yellow().bold().to_string());
    }
    for entry in &results.scenarios {
        let summaries = summary::of(results, entry);
        if summaries.is_empty() {
            continue;
        }
        line("");
        line(&format!("{}  {}", style(&entry.scenario.title).bold(), style(&entry.scenario.name).dim()));
        for row in table(results, entry, &summaries) {
            line(&row);
        }
    }
    line("");
    for note in notes(results) {
        line(&style(note).dim().to_string());
    }
    for what in &results.left_out {
        line(what);
    }
    for failure in &results.failures {
        let (server, scenario, round) = (&failure.server, &failure.scenario, failure.round);
        line(&format!("{server} failed in round {round} of {scenario}: {}", failure.why));
    }
    text
}

/// All marks that some row has.
fn all_marks(results: &Results) -> String {
    let of = |entry: &Entry| -> String {
        summary::of(results, entry).iter().map(|summary| marks_of(results, entry, summary)).collect()
    };
    results.scenarios.iter().map(of).collect()
}

/// What the scenarios are.
pub(crate) fn scenarios(table: &[Scenario]) -> String {
    let width = table.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    let lines = table.iter().map(|scenario| {
        let name = format!("{:width$}", scenario.name);
        format!("{}  {}\n", style(name).bold(), scenario.meaning)
    });
    lines.collect()
}

/// How figures are to be read.
pub(crate) fn notes(results: &Results) -> Vec<String> {
    let marks = all_marks(results);
    let rounds = results.settings.repeats;
    let mut notes = vec![
        format!(
            "Figures are medians of {rounds} rounds; spread is the largest less the smallest, as a part of the median."
        ),
        "A ratio to the base is the median of those of each round to the base's same round, and has their range; ≈ \
         where that range holds 1: the two cannot be told apart."
            .to_owned(),
        chance(rounds),
    ];
    if marks.contains(LOAD_BOUND) {
        notes.push(format!(
            "{LOAD_BOUND} the load generator was the bottleneck: rates and latencies are its own."
        ));
    }
    if marks.contains(ERRORS) {
        notes.push(format!("{ERRORS} some exchanges failed: results.json has how many."));
    }
    if marks.contains(NO_TIMEOUT) {
        notes.push(format!(
            "{NO_TIMEOUT} without the idle timeout that the others have: {}.",
            lacking(results)
        ));
    }
    notes
}

/// Who has no idle timeout, and why.
fn lacking(results: &Results) -> String {
    let mut reasons: Vec<&str> =
        results.servers.iter().filter_map(|server| server.lacks_idle_timeout.as_deref()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let of = |reason: &str| {
        let same =
            results.servers.iter().filter(|server| server.lacks_idle_timeout.as_deref() == Some(reason));
        let names: Vec<&str> = same.map(|server| server.name.as_str()).collect();
        format!("{} ({reason})", names.join(", "))
    };
    reasons.into_iter().map(of).collect::<Vec<_>>().join("; ")
}

/// How often chance alone sets two equal servers apart.
fn chance(rounds: usize) -> String {
    let odds = match rounds {
        ..=3 => "once in 4 times; more --repeats make that rarer",
        4 => "once in 8 times; more --repeats make that rarer",
        5.. => "at most once in 16 times",
    };
    let range =
        if rounds > 8 { "The range leaves off the outermost rounds as far as that allows. " } else { "" };
    format!("{range}Chance alone sets two equal servers apart {odds}.")
}

/// What is to be said of one row.
pub(crate) fn marks_of(results: &Results, entry: &Entry, summary: &Summary) -> String {
    let marks = [
        (summary.rounds_load_bound > 0, LOAD_BOUND),
        (summary.errors > 0, ERRORS),
        (results.is_without_timeout(&entry.scenario, &summary.server), NO_TIMEOUT),
    ];
    marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mark)| mark).collect()
}

/// A ratio and whether it means anything: `≈ 1.01`, `1.18`.
pub(crate) fn verdict(ratio_to_base: &Ratio) -> String {
    let sign = if ratio_to_base.is_told_apart() { "" } else { "≈ " };
    format!("{sign}{}", ratio(ratio_to_base.median))
}

/// The range of a ratio: `0.97–1.03`.
pub(crate) fn range(of: &Ratio) -> String {
    format!("{}–{}", ratio(of.low), ratio(of.high))
}

/// A spread: `3 %`.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

fn table(results: &Results, entry: &Entry, summaries: &[Summary]) -> Vec<String> {
    let scenario = &entry.scenario;
    let measures: Vec<Measure> = scenario
        .measures
        .iter()
        .copied()
        .filter(|measure| summaries.iter().any(|summary| summary.figures.contains_key(measure)))
        .collect();
    let mut rows = vec![head(entry, &measures)];
    for summary in summaries {
        let mut row =
            vec![format!("{} {}", summary.server, marks_of(results, entry, summary)).trim_end().to_owned()];
        let is_base = entry.base.as_ref() == Some(&summary.server);
        for (place, &measure) in measures.iter().enumerate() {
            let compared = summary.figures.get(&measure);
            row.push(compared.map_or_else(dash, |one| measure.write(one.figure.median)));
            if place == 0 {
                row.push(compared.and_then(|one| one.figure.spread()).map_or_else(dash, percent));
            }
            if entry.base.is_some() && scenario.compares(measure) {
                let ratio = compared.and_then(|one| one.ratio.as_ref());
                row.push(if is_base { "base".to_owned() } else { ratio.map_or_else(dash, verdict) });
                row.push(ratio.map_or_else(String::new, range));
            }
        }
        rows.push(row);
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    // Names and ranges, which have no title of their own, stand to the left, figures to the right.
    let is_left = |column: usize| column == 0 || rows[0][column].is_empty();
    let lines = rows.iter().enumerate().map(|(place, row)| {
        let line = align(row, &widths, is_left);
        match place.checked_sub(1).and_then(|place| summaries.get(place)) {
            None => style(line).dim().to_string(),
            Some(summary) if results.is_ours(&summary.server) => style(line).bold().cyan().to_string(),
            Some(_) => line,
        }
    });
    lines.collect()
}

fn head(entry: &Entry, measures: &[Measure]) -> Vec<String> {
    let mut head = vec!["server".to_owned()];
    for (place, &measure) in measures.iter().enumerate() {
        head.push(measure.title(&entry.scenario.request));
        if place == 0 {
            head.push("spread".to_owned());
        }
        if entry.base.is_some() && entry.scenario.compares(measure) {
            head.push("×base".to_owned());
            head.push(String::new());
        }
    }
    head
}

fn dash() -> String {
    "–".to_owned()
}

fn align(row: &[String], widths: &[usize], is_left: impl Fn(usize) -> bool) -> String {
    let mut line = String::from(" ");
    for (column, (cell, &width)) in row.iter().zip(widths).enumerate() {
        let gap = " ".repeat(width - measure_text_width(cell));
        line.push_str(if column > 0 { "  " } else { " " });
        let parts = if is_left(column) { [cell, &gap] } else { [&gap, cell] };
        line.extend(parts.map(String::as_str));
    }
    line.trim_end().to_owned()
}
