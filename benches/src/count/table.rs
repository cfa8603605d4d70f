//! Tables of the results: servers downwards, figures across, in Markdown, so that they can be put into a page.
//!
//! It knows which figures belong together and how a number is written. It does not know how they were counted.

use std::fmt::{self, Write};

use super::results::{Counted, Memory, Results};

/// All tables that have a figure in them.
pub(super) fn tables(results: &Results) -> String {
    let kinds: [(&str, Vec<Column>); 6] = [
        ("Instructions for each request", instructions()),
        ("Calls and allocations for each request", requests()),
        ("For each connection", connections()),
        ("Bytes for each idle connection", memory()),
        ("For each MiB of bulk", of_one("bulk")),
        ("For each delivery of a broadcast", of_one("broadcast")),
    ];
    let mut out = String::new();
    for (title, columns) in kinds {
        if let Some(table) = table(results, &columns) {
            write!(out, "\n{title}\n\n{table}").expect("a string takes all");
        }
    }
    out
}

/// A column: its head, and where its figures are.
struct Column {
    head: &'static str,
    figure: Figure,
}

/// Where a figure of one server is, if it was counted.
enum Figure {
    /// In what was counted of this scenario.
    Of(&'static str, fn(&Counted) -> Option<f64>),
    /// In what idle connections hold, with a timeout or without.
    Idle { timeout: bool, of: fn(&Memory) -> Option<f64> },
}

impl Figure {
    fn find(&self, results: &Results, server: &str) -> Option<f64> {
        match *self {
            Figure::Of(scenario, of) => of(results.counted(server, scenario)?),
            Figure::Idle { timeout, of } => {
                of(results.memory.iter().find(|one| one.server == server && one.idle_timeout == timeout)?)
            }
        }
    }
}

fn column(head: &'static str, scenario: &'static str, of: fn(&Counted) -> Option<f64>) -> Column {
    Column { head, figure: Figure::Of(scenario, of) }
}

fn instructions() -> Vec<Column> {
    vec![
        column("64 connections", "echo", |one| one.instructions),
        column("1 connection", "echo-1", |one| one.instructions),
        column("beside idle ones", "echo-idle", |one| one.instructions),
        column("idle timeout", "echo-timeout", |one| one.instructions),
        column("all limits", "echo-limits", |one| one.instructions),
        column("16 pipelined", "pipelined", |one| one.instructions),
        column("clock reads", "echo", |one| one.clock_reads),
        column("with 1 connection", "echo-1", |one| one.clock_reads),
    ]
}

fn requests() -> Vec<Column> {
    vec![
        column("system calls", "echo", Counted::calls_in_all),
        column("1 connection", "echo-1", Counted::calls_in_all),
        column("16 pipelined", "pipelined", Counted::calls_in_all),
        column("allocations", "echo", |one| Some(one.allocations?.blocks)),
        column("bytes", "echo", |one| Some(one.allocations?.bytes)),
        column("16 pipelined", "pipelined", |one| Some(one.allocations?.blocks)),
    ]
}

fn connections() -> Vec<Column> {
    vec![
        column("instructions", "churn-1", |one| one.instructions),
        column("32 at once", "churn-32", |one| one.instructions),
        column("all limits", "churn-limits", |one| one.instructions),
        column("system calls", "churn-1", Counted::calls_in_all),
        column("32 at once", "churn-32", Counted::calls_in_all),
        column("epoll_ctl", "churn-1", |one| {
            Some(one.calls.as_ref()?.get("epoll_ctl").copied().unwrap_or(0.0))
        }),
        column("allocations", "churn-1", |one| Some(one.allocations?.blocks)),
        column("bytes", "churn-1", |one| Some(one.allocations?.bytes)),
    ]
}

fn memory() -> Vec<Column> {
    let column = |head, timeout, of| Column { head, figure: Figure::Idle { timeout, of } };
    vec![
        column("resident", false, |one| Some(one.resident)),
        column("on the heap", false, |one| one.heap),
        column("resident, idle timeout", true, |one| Some(one.resident)),
        column("on the heap, idle timeout", true, |one| one.heap),
    ]
}

fn of_one(scenario: &'static str) -> Vec<Column> {
    vec![
        column("instructions", scenario, |one| one.instructions),
        column("system calls", scenario, Counted::calls_in_all),
        column("allocations", scenario, |one| Some(one.allocations?.blocks)),
        column("bytes allocated", scenario, |one| Some(one.allocations?.bytes)),
    ]
}

/// A table of the columns that have a figure, and of the servers that have one in them.
fn table(results: &Results, columns: &[Column]) -> Option<Grid> {
    let servers = results.servers();
    let mut lines: Vec<Vec<Option<f64>>> = servers
        .iter()
        .map(|server| columns.iter().map(|column| column.figure.find(results, server)).collect())
        .collect();
    let used: Vec<_> = (0..columns.len()).filter(|i| lines.iter().any(|line| line[*i].is_some())).collect();
    if used.is_empty() {
        return None;
    }
    let mut rows = vec![
        std::iter::once("server".to_owned())
            .chain(used.iter().map(|i| columns[*i].head.to_owned()))
            .collect::<Vec<_>>(),
    ];
    for (server, line) in servers.iter().zip(&mut lines) {
        if line.iter().any(Option::is_some) {
            let cells = used.iter().map(|i| line[*i].map_or_else(|| "–".to_owned(), number));
            rows.push(std::iter::once((*server).to_owned()).chain(cells).collect());
        }
    }
    Some(Grid(rows))
}

/// Rows of cells, the first of them the heads.
struct Grid(Vec<Vec<String>>);

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |i: usize| self.0.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.0[0].len()).map(width).collect();
        for (n, row) in self.0.iter().enumerate() {
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if i == 0 { write!(f, "| {cell:<width$} |")? } else { write!(f, " {cell:>width$} |")? }
            }
            writeln!(f)?;
            if n == 0 {
                for (i, width) in widths.iter().enumerate() {
                    let dashes = "-".repeat(*width);
                    if i == 0 { write!(f, "|-{dashes}-|")? } else { write!(f, "-{dashes}:|")? }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// Writes `n` with what can be told of it: `14,725`, `211`, `93.1`, `0.125`, `0`.
pub(super) fn number(n: f64) -> String {
    let digits = match n.abs() {
        big if big >= 99.95 => 0,
        middle if middle >= 9.995 => 1,
        small if small >= 0.0005 => 3,
        _ => 0,
    };
    let text = format!("{:.digits$}", if digits == 0 && n.abs() < 1.0 { 0.0 } else { n });
    let text = if digits == 3 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut out = sign.to_owned();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::count::results::Allocations;

    #[test]
    fn numbers_are_written_with_what_can_be_told_of_them() {
        let written =
            [14_725.3, 1_000_000.0, 999.6, 211.4, 93.14, 10.0, 2.0, 0.125, 0.0156, 0.0001, -3.5].map(number);
        let wanted =
            ["14,725", "1,000,000", "1,000", "211", "93.1", "10.0", "2", "0.125", "0.016", "0", "-3.5"];
        assert_eq!(written, wanted);
    }

    #[test]
    fn a_table_has_only_what_was_counted() {
        let allocations = Some(Allocations { blocks: 0.0, bytes: 0.0 });
        let calls = |n| Some(BTreeMap::from([("recvfrom".to_owned(), n), ("sendto".to_owned(), 1.0)]));
        let mut results = Results::default();
        for (server, calls, allocations) in [("ours", calls(1.0), allocations), ("theirs", calls(1.5), None)]
        {
            let scenario = "echo".to_owned();
            let (server, unit) = (server.to_owned(), "request".to_owned());
            results.scenarios.push(Counted {
                server,
                scenario,
                unit,
                instructions: None,
                clock_reads: None,
                calls,
                allocations,
            });
        }
        assert_eq!(
            tables(&results),
            "\nCalls and allocations for each request\n\n\
             | server | system calls | allocations | bytes |\n\
             |--------|-------------:|------------:|------:|\n\
             | ours   |            2 |           0 |     0 |\n\
             | theirs |          2.5 |           – |     – |\n"
        );
    }
}
