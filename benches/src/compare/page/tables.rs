//! The tables of the page: one that says all about our library at a glance, and one for each scenario.
//!
//! It knows rows and columns. Ratios are drawn beside their numbers, on one axis for each column.

use maud::{Markup, html};

use super::super::measure::Measure;
use super::super::plan::family;
use super::super::plot::strip::{Dot, Strips};
use super::super::results::{Entry, Results};
use super::super::stats::Ratio;
use super::super::summary::{self, Summary};
use super::super::text::{marks_of, percent, range, verdict};
use super::figures::{class, others};

/// Our library relative to the base in every scenario, with the others around it.
pub(super) fn glance(results: &Results) -> Markup {
    let Some(base) = results.base_family() else { return html! {} };
    let rows: Vec<Row<'_>> = results.scenarios.iter().filter_map(|entry| Row::of(results, entry)).collect();
    let cells = rows.iter().flat_map(|row| [&row.cost, &row.speed]).flatten();
    let strips = Strips::new(220.0, 0.45, 2.2, cells.map(|cell| &cell.own));
    if rows.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 #glance { "At a glance: switchboard against " (base) }
            p {
                "Each dot is the median of ratios, round by round; the bar is their range. On the line both are equal; "
                "a hollow dot cannot be told from equal."
            }
            p.legend {
                span.ours { "switchboard" }
                @for other in others(results) { " " span.(class(results, other)) { (other) } }
            }
            div.glance {
                div.row.head {
                    span {}
                    span { b { "Processor time" } " ← less is better" }
                    span { b { "Speed" } " more is better →" }
                }
                @for row in &rows {
                    div.row {
                        span {
                            a href=(format!("#{}", row.entry.scenario.name)) { (row.entry.scenario.title) }
                            @if let Some(other) = row.entry.base.as_deref().filter(|own| family(own) != base) {
                                small { " against " (other) }
                            }
                        }
                        @for (cell, what) in [(&row.cost, "processor time"), (&row.speed, "speed")] {
                            span.cell.none[cell.is_none()] data-what=(what) { @if let Some(cell) = cell {
                                span.number { (cell.verdict) } (strips.draw(&cell.own, &cell.others))
                            } }
                        }
                    }
                }
                div.row.head.scale {
                    span {}
                    @for _ in 0..2 { span.cell data-what="" { span.number {} (strips.scale()) } }
                }
            }
        }
    }
}

/// One scenario at a glance.
struct Row<'r> {
    entry: &'r Entry,
    cost: Option<Cell>,
    speed: Option<Cell>,
}

/// Our ratio and everyone's.
struct Cell {
    verdict: String,
    own: Dot,
    others: Vec<Dot>,
}

impl Row<'_> {
    fn of<'r>(results: &Results, entry: &'r Entry) -> Option<Row<'r>> {
        let summaries = summary::of(results, entry);
        let cell = |is_wanted: fn(Measure) -> bool| {
            let mut measures = entry.scenario.measures.iter().copied();
            let measure = measures.find(|measure| is_wanted(*measure))?;
            let ratio =
                |summary: &Summary| Some((summary.server.clone(), summary.figures.get(&measure)?.ratio?));
            let ratios: Vec<_> = summaries.iter().filter_map(ratio).collect();
            let (server, own) = ratios.iter().find(|(server, _)| results.is_ours(server))?;
            let others = ratios.iter().filter(|(server, _)| !results.is_ours(server));
            Some(Cell {
                verdict: verdict(own),
                own: dot(results, entry, server, own),
                others: others.map(|(server, ratio)| dot(results, entry, server, ratio)).collect(),
            })
        };
        let (cost, speed) = (cell(is_cost), cell(is_speed));
        (cost.is_some() || speed.is_some()).then_some(Row { entry, cost, speed })
    }
}

/// One scenario: what it stands for, and every server in it.
pub(super) fn scenario(results: &Results, entry: &Entry) -> Markup {
    let scenario = &entry.scenario;
    let summaries = summary::of(results, entry);
    if summaries.is_empty() {
        return html! {};
    }
    let measures: Vec<Measure> = scenario
        .measures
        .iter()
        .copied()
        .filter(|measure| summaries.iter().any(|summary| summary.figures.contains_key(measure)))
        .collect();
    let compares = |measure: Measure| entry.base.is_some() && scenario.compares(measure);
    let base = entry.base.as_deref().unwrap_or_default();
    let request = &scenario.request;
    html! {
        section.scenario id=(scenario.name) {
            h3 { (scenario.title) " " code { (scenario.name) } }
            p { (scenario.meaning) }
            div.scroll {
                table {
                    thead { tr {
                        th { "server" }
                        @for (place, &measure) in measures.iter().enumerate() {
                            th.number title=(measure.meaning(request)) { (measure.title(request)) }
                            @if place == 0 { th.number title="largest less smallest, as a part of the median" { "spread" } }
                            @if compares(measure) { th colspan="3" { "× " (base) } }
                        }
                    } }
                    tbody {
                        @for summary in &summaries {
                            tr.(class(results, &summary.server)) {
                                th scope="row" { (summary.server) (marks_of(results, entry, summary)) }
                                @for (place, &measure) in measures.iter().enumerate() {
                                    (figure_cells(summary, measure, place == 0))
                                    @if compares(measure) {
                                        @let ratio = summary.figures.get(&measure).and_then(|one| one.ratio);
                                        @let strips = strips_of(results, entry, &summaries, measure);
                                        (ratio_cells(results, entry, summary, ratio.as_ref(), &strips))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn figure_cells(summary: &Summary, measure: Measure, is_first: bool) -> Markup {
    let figure = summary.figures.get(&measure).map(|one| one.figure);
    html! {
        @match figure {
            Some(figure) => {
                td.number title=(format!("{} to {}", measure.write(figure.min), measure.write(figure.max))) {
                    (measure.write(figure.median))
                }
            }
            None => td.number { "–" }
        }
        @if is_first {
            td.number.spread { (figure.and_then(|figure| figure.spread()).map_or("–".to_owned(), percent)) }
        }
    }
}

/// The number and its drawing.
fn ratio_cells(
    results: &Results,
    entry: &Entry,
    summary: &Summary,
    ratio: Option<&Ratio>,
    strips: &Strips,
) -> Markup {
    let is_base = entry.base.as_ref() == Some(&summary.server);
    html! {
        @match ratio {
            Some(ratio) => {
                td.number { (verdict(ratio)) }
                td.range { (range(ratio)) }
                td.drawn { (strips.draw(&dot(results, entry, &summary.server, ratio), &[])) }
            }
            None => { td.number { (if is_base { "base" } else { "–" }) } td.range {} td.drawn {} }
        }
    }
}

fn strips_of(results: &Results, entry: &Entry, summaries: &[Summary], measure: Measure) -> Strips {
    let ratios =
        summaries.iter().filter_map(|summary| Some((summary, summary.figures.get(&measure)?.ratio?)));
    let dots: Vec<Dot> =
        ratios.map(|(summary, ratio)| dot(results, entry, &summary.server, &ratio)).collect();
    // One that is far off is not to press all others together.
    let is_near = |dot: &&Dot| dot.class.starts_with("ours") || (dot.low > 0.25 && dot.high < 4.0);
    Strips::new(120.0, 0.8, 1.25, dots.iter().filter(is_near))
}

fn dot(results: &Results, entry: &Entry, server: &str, ratio: &Ratio) -> Dot {
    let class = class(results, server);
    let base = entry.base.as_deref().unwrap_or_default();
    let equal = if ratio.is_told_apart() { "" } else { " equal" };
    Dot {
        low: ratio.low,
        middle: ratio.median,
        high: ratio.high,
        class: format!("{class}{equal}"),
        hint: format!(
            "{server}: {} times {base} ({}), {} rounds",
            verdict(ratio),
            range(ratio),
            ratio.rounds
        ),
    }
}

fn is_cost(measure: Measure) -> bool {
    matches!(measure, Measure::CpuPerRequest | Measure::CpuPerMebibyte)
}

fn is_speed(measure: Measure) -> bool {
    matches!(measure, Measure::Rate | Measure::Throughput)
}
