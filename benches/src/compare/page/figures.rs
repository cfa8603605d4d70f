//! The plots of the page: which scenarios belong together in one, and what each says in a sentence.
//!
//! It does not know how a plot is drawn.

use std::collections::BTreeMap;

use super::super::measure::{Measure, count, figure, number};
use super::super::plan::family;
use super::super::plot::bars::{Bar, Bars};
use super::super::plot::lines::{Lines, Point, Series};
use super::super::plot::scale::Scale;
use super::super::results::{Entry, Results};
use super::super::scenario::{Framing, Kind, Scenario};
use super::super::stats::Figure;
use super::super::summary::{self, Summary};
use super::super::text::NO_TIMEOUT;

/// A plot with what stands above and below it.
#[derive(Debug)]
pub(crate) struct Shown {
    /// What it shows.
    pub(crate) title: String,
    /// How to look at it.
    pub(crate) caption: String,
    /// The plot.
    pub(crate) drawing: Drawing,
}

/// One kind of plot or the other.
#[derive(Debug)]
pub(crate) enum Drawing {
    /// Lines.
    Lines(Lines),
    /// Bars.
    Bars(Bars),
}

/// All plots for which there are results.
pub(crate) fn figures(results: &Results) -> Vec<Shown> {
    let all = [throughput(results), latency(results), cost(results), memory(results)];
    all.into_iter().flatten().collect()
}

/// How the style sheet knows `server`: one library has one look in all plots.
pub(crate) fn class(results: &Results, server: &str) -> String {
    let own = family(server);
    if results.is_ours(server) {
        return "ours".to_owned();
    }
    let base = results.base_family();
    if base == Some(own) {
        return "base".to_owned();
    }
    let others = others(results);
    let place = others.iter().position(|other| *other == own).unwrap_or(0);
    let again = if place < COLOURS { "" } else { " again" };
    format!("other-{}{again}", place % COLOURS)
}

/// How many colours the style sheet has for the others.
const COLOURS: usize = 6;

/// The libraries that are neither ours nor the base's.
pub(super) fn others(results: &Results) -> Vec<&str> {
    let base = results.base_family();
    let mut others: Vec<&str> = Vec::new();
    for server in results.servers.iter().filter(|server| !server.is_ours) {
        let family = family(&server.name);
        if base != Some(family) && !others.contains(&family) {
            others.push(family);
        }
    }
    others
}

/// Exchanges of one message at a time that nothing else disturbs.
fn is_plain(scenario: &Scenario) -> bool {
    let load = &scenario.load;
    load.framing == Framing::Raw && load.depth == 1 && load.rate.is_none() && scenario.idle_timeout.is_none()
}

fn throughput(results: &Results) -> Option<Shown> {
    let wanted = |entry: &&Entry| {
        let load = &entry.scenario.load;
        is_plain(&entry.scenario) && load.kind == Kind::PingPong && load.idle_connections == 0
    };
    let entries: Vec<&Entry> = results.scenarios.iter().filter(wanted).collect();
    let places = |scenario: &Scenario| scenario.load.connections;
    let lines = over(results, &entries, Measure::Rate, "connections", places)?;
    let title = "Requests per second against connections";
    let caption = "64 bytes there and back, one at a time on each connection. Higher is better.";
    Some(shown(
        title,
        caption.to_owned(),
        Lines {
            title: title.to_owned(),
            x_label: "connections".to_owned(),
            x_scale: Scale::Log,
            y_label: "requests/s".to_owned(),
            write: short,
            ..lines
        },
    ))
}

fn cost(results: &Results) -> Option<Shown> {
    let mut entries: Vec<&Entry> = results
        .scenarios
        .iter()
        .filter(|entry| {
            let load = &entry.scenario.load;
            let is_alike = load.connections == 64 && matches!(load.kind, Kind::Idle | Kind::PingPong);
            is_plain(&entry.scenario) && is_alike
        })
        .collect();
    // Two with as many idle connections are the same work; that made for this comparison comes last and stays.
    entries
        .sort_by_key(|entry| (entry.scenario.load.idle_connections, entry.scenario.load.kind == Kind::Idle));
    let places = |scenario: &Scenario| scenario.load.idle_connections;
    let mut lines = over(results, &entries, Measure::CpuPerRequest, "idle connections", places)?;
    let beyond = take_outliers(&mut lines);
    let title = "Cost of a request against idle connections";
    let mut caption = vec![
        "The server's processor time per request of 64 busy connections. Lower and flat is better."
            .to_owned(),
    ];
    for ours in lines.series.iter().filter(|series| results.is_ours(&series.name)) {
        if let [first, .., last] = &ours.points[..] {
            let [none, many] =
                [first.x, last.x].map(|idle| if idle > 0.0 { number(idle) } else { "none".to_owned() });
            let [before, after] = [first.y, last.y].map(figure);
            let factor = last.y / first.y;
            let name = &ours.name;
            caption.push(format!("{name}: {before} µs with {none}, {after} µs with {many} (×{factor:.2})."));
        }
    }
    if !beyond.is_empty() {
        caption.push(format!("Far beyond the top: {}.", beyond.join(", ")));
    }
    Some(shown(
        title,
        caption.join(" "),
        Lines {
            title: title.to_owned(),
            x_label: "idle connections".to_owned(),
            x_scale: Scale::Linear,
            y_label: "µs of processor time per request".to_owned(),
            write: number,
            ..lines
        },
    ))
}

/// Takes out the lines next to which nothing could be seen of the others, and answers how far up each goes.
fn take_outliers(lines: &mut Lines) -> Vec<String> {
    let top = |series: &Series| series.points.iter().map(|point| point.y).fold(0.0, f64::max);
    let tops: Vec<f64> = lines.series.iter().map(top).collect();
    let Some(usual) = Figure::of(&tops) else { return Vec::new() };
    let is_outlier = |series: &Series| top(series) > 4.0 * usual.median && series.class != "ours";
    let outliers = lines.series.iter().filter(|series| is_outlier(series));
    let said = outliers.map(|series| format!("{}, up to {} µs", series.name, figure(top(series)))).collect();
    lines.series.retain(|series| !is_outlier(series));
    said
}

fn latency(results: &Results) -> Option<Shown> {
    let has_runs = |entry: &&Entry| results.runs.iter().any(|run| run.scenario == entry.scenario.name);
    let steady = results.scenarios.iter().find(|entry| entry.scenario.load.rate.is_some()).filter(has_runs);
    let busy = |entry: &&Entry| is_plain(&entry.scenario) && entry.scenario.load.connections == 64;
    let entry = steady.or_else(|| results.scenarios.iter().filter(busy).find(has_runs))?;
    let percentiles = [
        (Measure::P50, "half"),
        (Measure::P90, "90 %"),
        (Measure::P99, "99 %"),
        (Measure::P999, "99.9 %"),
        (Measure::Slowest, "slowest"),
    ];
    let places = (0_u32..).map(f64::from);
    let ticks: Vec<(f64, String)> =
        places.clone().zip(percentiles).map(|(place, (_, text))| (place, text.to_owned())).collect();
    let series = series(results, &summary::of(results, entry), |summary| {
        let points = places.clone().zip(percentiles).filter_map(|(x, (measure, text))| {
            let figure = summary.figures.get(&measure)?.figure;
            Some(point(x, &figure, format!("{}, {text}: {}", summary.server, said(measure, &figure, "µs"))))
        });
        points.collect()
    });
    let title = format!("Latency: {}", entry.scenario.title.to_lowercase());
    let is_shown = series.iter().any(|series| !series.points.is_empty());
    is_shown.then(|| {
        let caption = "The time within which so many of the requests were answered. Lower is better.";
        shown(
            &title,
            caption.to_owned(),
            Lines {
                title: title.clone(),
                x_label: "share of the requests".to_owned(),
                x_scale: Scale::Linear,
                x_ticks: ticks,
                y_label: "µs, logarithmic".to_owned(),
                y_scale: Scale::Log,
                write: short,
                series,
            },
        )
    })
}

fn memory(results: &Results) -> Option<Shown> {
    let measured = results.scenarios.iter().filter_map(|entry| {
        let mut summaries = summary::of(results, entry);
        summaries.retain(|summary| summary.figures.contains_key(&Measure::BytesPerIdle));
        (!summaries.is_empty()).then_some((entry, summaries))
    });
    let (entry, mut summaries) = measured.max_by_key(|(entry, _)| {
        (entry.scenario.idle_timeout.is_some(), entry.scenario.load.idle_connections)
    })?;
    let bytes = |summary: &Summary| summary.median(Measure::BytesPerIdle).unwrap_or(0.0);
    summaries.sort_by(|one, other| bytes(one).total_cmp(&bytes(other)));
    let bars = summaries.iter().filter_map(|summary| {
        let figure = summary.figures.get(&Measure::BytesPerIdle)?.figure;
        let is_without = results.is_without_timeout(&entry.scenario, &summary.server);
        Some(Bar {
            name: format!("{}{}", summary.server, if is_without { NO_TIMEOUT } else { "" }),
            class: class(results, &summary.server),
            value: figure.median.max(0.0),
            text: format!("{} B", Measure::BytesPerIdle.write(figure.median)),
            hint: format!("{}: {}", summary.server, said(Measure::BytesPerIdle, &figure, "bytes")),
        })
    });
    let title = "Memory per idle connection";
    let timeout = match entry.scenario.idle_timeout {
        Some(_) => format!(", each with an idle timeout ({NO_TIMEOUT} has none)"),
        None => String::new(),
    };
    let idle = number(count(entry.scenario.load.idle_connections as u64));
    let bars = bars.collect();
    Some(Shown {
        title: title.to_owned(),
        caption: format!(
            "Bytes that the server's process grew by for each of {idle}{timeout}. What the kernel keeps for a socket \
             is the same for all and not in it. Shorter is better."
        ),
        drawing: Drawing::Bars(Bars { title: title.to_owned(), bars }),
    })
}

fn shown(title: &str, caption: String, lines: Lines) -> Shown {
    Shown { title: title.to_owned(), caption, drawing: Drawing::Lines(lines) }
}

/// A line for each server over `entries`, if there are at least two places to join.
fn over(
    results: &Results,
    entries: &[&Entry],
    measure: Measure,
    what: &str,
    place: fn(&Scenario) -> usize,
) -> Option<Lines> {
    // By place, so that of two entries at the same one the latter stays.
    let mut columns: BTreeMap<usize, Vec<Summary>> = BTreeMap::new();
    for entry in entries {
        let summaries = summary::of(results, entry);
        if summaries.iter().any(|summary| summary.figures.contains_key(&measure)) {
            columns.insert(place(&entry.scenario), summaries);
        }
    }
    if columns.len() < 2 {
        return None;
    }
    let mut merged: Vec<Summary> = Vec::new();
    for summary in columns.values().flatten() {
        if !merged.iter().any(|other| other.server == summary.server) {
            merged.push(summary.clone());
        }
    }
    let series = series(results, &merged, |wanted| {
        let points = columns.iter().filter_map(|(&x, summaries)| {
            let own = summaries.iter().find(|summary| summary.server == wanted.server)?;
            let figure = own.figures.get(&measure)?.figure;
            let x = count(x as u64);
            let figure_said = said(measure, &figure, &measure.title("request"));
            Some(point(x, &figure, format!("{}, {} {what}: {figure_said}", own.server, number(x))))
        });
        points.collect()
    });
    let ticks = columns.keys().map(|&x| (count(x as u64), number(count(x as u64)))).collect();
    Some(Lines {
        title: String::new(),
        x_label: String::new(),
        x_scale: Scale::Linear,
        x_ticks: ticks,
        y_label: String::new(),
        y_scale: Scale::Linear,
        write: number,
        series,
    })
}

/// A series for each of `summaries`: ours above the base's, and that above all others.
fn series(results: &Results, summaries: &[Summary], points: impl Fn(&Summary) -> Vec<Point>) -> Vec<Series> {
    let all = summaries.iter().map(|summary| Series {
        name: summary.server.clone(),
        class: class(results, &summary.server),
        points: points(summary),
    });
    let mut series: Vec<Series> = all.filter(|series| !series.points.is_empty()).collect();
    series.sort_by_key(|series| match series.class.as_str() {
        "ours" => 2,
        "base" => 1,
        _other => 0,
    });
    series
}

fn point(x: f64, figure: &Figure, hint: String) -> Point {
    Point { x, y: figure.median, low: figure.min, high: figure.max, hint }
}

/// A figure with its range: `4.21 µs (4.15 to 4.30)`.
fn said(measure: Measure, figure: &Figure, unit: &str) -> String {
    let [median, min, max] = [figure.median, figure.min, figure.max].map(|value| measure.write(value));
    format!("{median} {unit} ({min} to {max})")
}

/// A number for an axis: `150k`.
fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", number(value / 1e6)),
        1e4.. => format!("{}k", number(value / 1e3)),
        _ => number(value),
    }
}
