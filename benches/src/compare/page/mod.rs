//! The results as one page that needs nothing but itself: plots, tables, and what to know to believe them.
//!
//! Every text is escaped by the template. It does not know how anything was computed.

mod figures;
mod tables;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::figures::{Drawing, Shown, figures};
use super::measure::{count, number};
use super::results::Results;
use super::text;

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(crate) fn page(results: &Results) -> String {
    let figures = figures(results);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Servers side by side" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Servers side by side" }
                    p.lead { (lead(results)) }
                    @for warning in results.warnings() {
                        p.warning { (warning) }
                    }
                }
                main {
                    (tables::glance(results))
                    @if !figures.is_empty() {
                        section.figures { @for shown in &figures { (figure(shown)) } }
                    }
                    h2 #scenarios { "Scenario by scenario" }
                    @for entry in &results.scenarios { (tables::scenario(results, entry)) }
                    (reading(results))
                    (missing(results))
                    (repeating(results))
                }
            }
        }
    };
    page.into_string()
}

fn lead(results: &Results) -> String {
    let machine = &results.machine;
    let date = results.started.split('T').next().unwrap_or_default();
    format!(
        "{} servers in {} scenarios, {} rounds each, on {} ({}), {date}.",
        results.servers.len(),
        results.scenarios.len(),
        results.settings.repeats,
        machine.processor,
        machine.kernel,
    )
}

fn figure(shown: &Shown) -> Markup {
    html! {
        figure {
            h3 { (shown.title) }
            (match &shown.drawing {
                Drawing::Lines(lines) => lines.draw(),
                Drawing::Bars(bars) => bars.draw(),
            })
            figcaption { (shown.caption) }
        }
    }
}

fn reading(results: &Results) -> Markup {
    let settings = &results.settings;
    html! {
        section {
            h2 #reading { "How to read it" }
            ul {
                li {
                    "Each run is a fresh server and a fresh load generator: " (settings.warm_up) " s to warm up, then "
                    (settings.seconds) " s measured, every byte verified; " (settings.cores.describe()) "."
                }
                li {
                    "Within a scenario all servers have their turn before any has its next. What slows the machine for \
                     longer than a round slows all of it, and drops out of the ratios."
                }
                @for note in text::notes(results) { li { (note) } }
                li {
                    "Most of the time of a request is the kernel's, and it is the same for all. Where servers lie close \
                     together, processor time per request says more than requests per second."
                }
            }
        }
    }
}

fn missing(results: &Results) -> Markup {
    html! {
        @if !(results.left_out.is_empty() && results.failures.is_empty()) {
            section {
                h2 #missing { "What is missing" }
                ul {
                    @for what in &results.left_out { li { (what) } }
                    @for failure in &results.failures {
                        li {
                            b { (failure.server) } " failed in round " (failure.round) " of " (failure.scenario) ": "
                            (failure.why)
                        }
                    }
                }
            }
        }
    }
}

fn repeating(results: &Results) -> Markup {
    let (machine, settings) = (&results.machine, &results.settings);
    let memory = machine.memory.map(|bytes| format!("{} MiB", number((count(bytes) / 1_048_576.0).round())));
    let timeout =
        settings.idle_timeout.map_or("none but where a scenario sets one".to_owned(), |s| format!("{s} s"));
    let facts = [
        ("Processor", Some(machine.processor.clone())),
        ("Processors used", Some(format!("{}: {}", machine.cores, settings.cores.describe()))),
        ("Under a hypervisor", Some((if machine.is_virtual { "yes" } else { "no" }).to_owned())),
        ("Clock rate", machine.governor.clone()),
        ("Memory", memory),
        ("Kernel", Some(machine.kernel.clone())),
        ("Load before", machine.load_before.map(|load| load.to_string())),
        ("Build", Some(machine.build.clone())),
        ("Version in git", machine.commit.clone()),
        ("Idle timeout", Some(timeout)),
        ("Began", Some(results.started.clone())),
        ("Took", Some(format!("{:.0} s", results.lasted))),
    ];
    html! {
        section {
            h2 #repeating { "What it ran on, and how to repeat it" }
            pre { code { (settings.command) } }
            dl {
                @for (what, value) in facts {
                    @if let Some(value) = value { div { dt { (what) } dd { (value) } } }
                }
            }
            div.scroll {
                table {
                    thead { tr { th { "server" } th { "library" } th { "what it is" } } }
                    tbody {
                        @for server in &results.servers {
                            tr.ours[server.is_ours] {
                                th scope="row" { (server.name) } td { (server.library) } td.words { (server.about) }
                            }
                        }
                    }
                }
            }
            p { "Every run is in results.json beside this page; " code { "compare --replot results.json" } " makes the page again." }
        }
    }
}
