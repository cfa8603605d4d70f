//! What is written: the file of results, the tables, the page.

use std::fs;
use std::path::PathBuf;

use super::super::page::page;
use super::super::plan::Choice;
use super::super::results::{Failure, Results};
use super::super::scenario;
use super::super::text;
use super::{results, usual};

fn full() -> Results {
    results(&[Choice::Known], &[scenario::Choice::Full], usual)
}

/// A place for files that is gone when it is dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let place = std::env::temp_dir().join(format!("switchboard-compare-{}-{name}", std::process::id()));
        Place(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn results_are_read_as_they_were_written() {
    let place = Place::new("round-trip");
    let path = place.0.join("deeper").join("results.json");
    let mut results = full();
    results.write(&path).expect("it is written");
    let read = Results::read(&path).expect("it is read");
    assert!(read == results);
    assert!(!read.summaries.is_empty(), "summaries are there for other programs");
    assert!(page(&read) == page(&results));
}

#[test]
fn a_file_of_another_format_is_refused_with_its_name() {
    let place = Place::new("format");
    let path = place.0.join("results.json");
    let mut results = Results { format: 7, ..full() };
    results.write(&path).expect("it is written");
    let error = Results::read(&path).expect_err("it is not known").to_string();
    assert!(error.ends_with("results.json has format 7, this program knows 1"), "{error}");
    let error = Results::read(&place.0.join("none.json")).expect_err("it is not there").to_string();
    assert!(error.contains("none.json: "), "{error}");
}

#[test]
fn a_table_holds_every_server_and_says_what_cannot_be_told_apart() {
    let tables = text::tables(&results(&[Choice::Known], &["ping-pong-64".parse().expect("a name")], usual));
    let row = |name: &str| {
        let line = tables.lines().find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{tables}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    // Requests, spread, ratio and range, processor time, ratio and range, latencies.
    assert_eq!(
        row("switchboard"),
        "switchboard 49,751 50 % ≈ 1.00 0.99–1.01 4.02 ≈ 1.00 0.99–1.01 300 500 900"
    );
    assert_eq!(row("mio"), "mio 50,000 50 % base 4.00 base 300 500 900");
    assert!(row("tokio").contains(" 0.67 0.66–0.67 "), "{}", row("tokio"));
    assert!(!tables.contains('\u{1b}'), "no colours where there is no terminal");
}

#[test]
fn what_is_missing_and_what_casts_doubt_is_said() {
    let mut results = full();
    results.partial = true;
    results.runs.truncate(7);
    results.runs[0].report.load_bound = true;
    results.runs[1].report.errors = 3;
    results.left_out.push("The scenario of all scenarios was left out: nobody can run it.".to_owned());
    results.failures.push(Failure {
        scenario: "churn".to_owned(),
        server: "mio".to_owned(),
        round: 2,
        why: "connection reset by peer".to_owned(),
    });
    for shown in [text::tables(&results), page(&results)] {
        assert!(shown.contains("Partial: it ended early, after 8 of "), "{shown}");
        assert!(shown.contains("nobody can run it"), "{shown}");
        assert!(shown.contains("failed in round 2 of churn: connection reset by peer"), "{shown}");
        assert!(shown.contains("‡ the load generator was the bottleneck"), "{shown}");
        assert!(shown.contains("! some exchanges failed"), "{shown}");
    }
}

#[test]
fn a_server_without_an_idle_timeout_is_marked_where_others_have_one() {
    let choices = ["memory", "idle-1000"].map(|name| name.parse().expect("a name"));
    let results = results(&[Choice::Known], &choices, usual);
    let tables = text::tables(&results);
    let rows = |name: &str| tables.lines().filter(|line| line.trim_start().starts_with(name)).count();
    assert_eq!((rows("mio °"), rows("mio ")), (1, 2), "in one of two scenarios: {tables}");
    assert!(tables.contains("mio (mio has no timers)"), "{tables}");
    assert!(page(&results).contains(">mio°<"), "it is marked in plot and table");
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let page = page(&full());
    for outside in ["http:", "https:", "url(", "@import", " src=", "<link", "<script", "<iframe"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
}

#[test]
fn the_page_holds_every_server_scenario_and_plot() {
    let results = full();
    let page = page(&results);
    for server in &results.servers {
        assert!(
            page.contains(&format!(">{}<", server.name)) || page.contains(&format!(">{} <", server.name))
        );
    }
    for entry in &results.scenarios {
        assert!(page.contains(&format!("id=\"{}\"", entry.scenario.name)), "{}", entry.scenario.name);
    }
    for plot in [
        "Requests per second against connections",
        "Latency: steady 20,000 requests per second",
        "Cost of a request against idle connections",
        "Memory per idle connection",
    ] {
        assert!(page.contains(&format!("aria-label=\"{plot}\"")), "{plot}");
    }
    assert!(page.contains(&results.machine.kernel) && page.contains(&results.settings.command));
}

#[test]
fn every_element_of_the_page_is_closed() {
    let mut open = Vec::new();
    let page = page(&full());
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("it says what it is");
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        let name = tag.split(' ').next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "before {}", &rest[..start.min(200)]),
            // The one element that has no end here.
            None if name == "meta" => {}
            None => open.push(name),
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        rest = &rest[end + 1..];
        if name == "style" {
            rest = &rest[rest.find("</style>").expect("the style ends")..];
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn names_and_texts_are_escaped_on_the_page() {
    let mut results = full();
    let nasty = "a<b>&\"c\"'";
    results.settings.command = nasty.to_owned();
    results.servers[0].about = nasty.to_owned();
    results.left_out.push(nasty.to_owned());
    let first = results.servers[0].name.clone();
    for entry in &mut results.scenarios {
        entry.scenario.title = nasty.to_owned();
        for server in entry.servers.iter_mut().filter(|server| **server == first) {
            nasty.clone_into(server);
        }
    }
    for run in results.runs.iter_mut().filter(|run| run.server == first) {
        nasty.clone_into(&mut run.server);
    }
    nasty.clone_into(&mut results.servers[0].name);
    let page = page(&results);
    assert!(!page.contains("<b>&"), "it is markup");
    assert!(page.contains("a&lt;b&gt;&amp;&quot;c&quot;'"), "it is text");
}

#[test]
fn a_page_with_nothing_measured_is_a_page() {
    let mut results = full();
    results.runs.clear();
    assert!(page(&results).contains("Scenario by scenario"));
    results.scenarios.clear();
    results.servers.clear();
    assert!(page(&results).contains("Scenario by scenario"));
}
