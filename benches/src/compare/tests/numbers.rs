//! What figures amount to, and who is put to what.

use super::super::measure::{Measure, figure, number, ratio};
use super::super::plan::{Choice, Limits, Plan};
use super::super::results::{Entry, Results};
use super::super::scenario;
use super::super::stats::{Figure, Ratio};
use super::super::summary::{self, Summary};
use super::{report, results, usual};
use crate::serve::Name;

/// Counts are whole, so that figures are off by a part in ten thousand.
fn is_near(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() <= wanted.abs() / 1e4
}

fn entry<'r>(results: &'r Results, name: &str) -> &'r Entry {
    results.scenarios.iter().find(|entry| entry.scenario.name == name).expect("a scenario")
}

fn of(results: &Results, scenario: &str, server: &str) -> Summary {
    let summaries = summary::of(results, entry(results, scenario));
    summaries.into_iter().find(|summary| summary.server == server).expect("a summary")
}

fn names(text: &str) -> Vec<Choice> {
    text.split(',').map(|name| name.parse().expect("a server")).collect()
}

fn scenarios(text: &str) -> Vec<scenario::Choice> {
    text.split(',').map(|name| name.parse().expect("a scenario")).collect()
}

fn servers(plan: &Plan, scenario: &str) -> Vec<String> {
    let planned =
        plan.entries.iter().find(|planned| planned.scenario.name == scenario).expect("it is planned");
    planned.names.iter().map(|name| name.text()).collect()
}

#[test]
fn the_median_is_the_middle_one_or_the_mean_of_the_two_in_the_middle() {
    let median = |values: &[f64]| Figure::of(values).map(|figure| figure.median);
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median(&[7.0]), Some(7.0));
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[1.0, f64::NAN, f64::INFINITY]), Some(1.0), "what is no number does not count");
}

#[test]
fn the_spread_is_the_range_as_a_part_of_the_median() {
    let spread = |values: &[f64]| Figure::of(values).and_then(|figure| figure.spread());
    assert_eq!(spread(&[90.0, 100.0, 120.0]), Some(0.3));
    assert_eq!(spread(&[100.0]), None, "one round has no spread");
    assert_eq!(spread(&[0.0, 0.0]), None);
}

#[test]
fn noise_that_lasts_a_round_drops_out_of_paired_ratios() {
    // Each round has a machine half as fast as the one before; the server is 2 % slower than the base in all.
    let pairs: Vec<_> = [16.0, 8.0, 4.0, 2.0, 1.0].map(|base| (base * 0.98, base)).into();
    let ratio = Ratio::of(&pairs).expect("rounds");
    assert!(is_near(ratio.min, 0.98) && is_near(ratio.max, 0.98), "{ratio:?}");
    assert!(ratio.is_told_apart());
}

#[test]
fn a_range_that_holds_one_cannot_be_told_apart() {
    let of = |quotients: &[f64]| {
        let pairs: Vec<_> = quotients.iter().map(|quotient| (*quotient, 1.0)).collect();
        Ratio::of(&pairs).expect("rounds")
    };
    assert!(!of(&[0.99, 1.02, 1.03, 1.04, 1.05]).is_told_apart());
    assert!(of(&[1.01, 1.02, 1.03, 1.04, 1.05]).is_told_apart());
    assert!(of(&[0.95, 0.96, 0.97]).is_told_apart());
    assert!(!of(&[1.0, 1.0, 1.0]).is_told_apart(), "equal is not apart");
    assert!(!of(&[2.0, 2.0]).is_told_apart(), "two rounds prove nothing");
    assert_eq!(Ratio::of(&[(1.0, 0.0)]), None, "nothing is a multiple of nothing");
}

#[test]
fn more_rounds_leave_outliers_off() {
    let range = |rounds: u32| {
        let pairs: Vec<_> = (1..=rounds).map(|place| (f64::from(place), 1.0)).collect();
        let ratio = Ratio::of(&pairs).expect("rounds");
        (ratio.low, ratio.high)
    };
    // From the binomial distribution: the greatest k with 2 P(X < k) <= 1/16.
    assert_eq!(range(3), (1.0, 3.0));
    assert_eq!(range(5), (1.0, 5.0));
    assert_eq!(range(8), (1.0, 8.0));
    assert_eq!(range(9), (2.0, 8.0));
    assert_eq!(range(11), (2.0, 10.0));
    assert_eq!(range(12), (3.0, 10.0));
    assert_eq!(range(99), (40.0, 60.0));
}

#[test]
fn servers_are_paired_with_the_base_of_the_same_round() {
    let results = results(&names("switchboard,tokio"), &scenarios("ping-pong-64"), usual);
    let ours = of(&results, "ping-pong-64", "switchboard");
    let cost = ours.figures[&Measure::CpuPerRequest];
    assert!(cost.figure.max > 1.9 * cost.figure.median, "one round was slow: {cost:?}");
    let ratio = cost.ratio.expect("a ratio");
    assert!(is_near(ratio.low, 0.99) && is_near(ratio.high, 1.01), "{ratio:?}");
    assert!(!ratio.is_told_apart());
    let tokio = of(&results, "ping-pong-64", "tokio").figures[&Measure::CpuPerRequest];
    assert!(
        tokio.ratio.is_some_and(|ratio| ratio.is_told_apart() && is_near(ratio.median, 1.5)),
        "{tokio:?}"
    );
    let base = of(&results, "ping-pong-64", "mio");
    assert!(base.figures.values().all(|one| one.ratio.is_none()), "the base is not compared with itself");
}

#[test]
fn a_round_that_one_of_the_two_lacks_is_left_out_of_the_ratio() {
    let mut results = results(&names("switchboard"), &scenarios("churn"), usual);
    results.runs.retain(|run| run.server != "mio" || run.round != 2);
    let ours = of(&results, "churn", "switchboard");
    assert_eq!(ours.rounds, 5);
    assert_eq!(ours.figures[&Measure::Rate].ratio.map(|ratio| ratio.rounds), Some(4));
}

#[test]
fn the_best_comes_first_and_what_has_no_figure_last() {
    let mut results = results(&names("switchboard,tokio"), &scenarios("idle-1000"), usual);
    let order = |results: &Results| {
        let summaries = summary::of(results, entry(results, "idle-1000"));
        summaries.into_iter().map(|summary| summary.server).collect::<Vec<_>>()
    };
    assert_eq!(order(&results)[2], "tokio");
    for run in &mut results.runs {
        if run.server == "mio" {
            run.report.server_cpu_seconds = None;
        }
    }
    assert_eq!(order(&results), ["switchboard", "tokio", "mio"]);
    results.runs.retain(|run| run.server != "tokio");
    assert_eq!(order(&results), ["switchboard", "mio"], "one without a run is not shown");
}

#[test]
fn a_run_that_says_nothing_of_a_figure_has_none() {
    let mut one = report(1.0, 4.0);
    assert!(Measure::CpuPerRequest.of(&one).is_some_and(|cost| is_near(cost, 4.0)));
    assert_eq!(Measure::BytesPerIdle.of(&one), None);
    one.requests = 0;
    assert_eq!(Measure::CpuPerRequest.of(&one), None);
    one.latency = None;
    assert_eq!(Measure::P99.of(&one), None);
}

#[test]
fn figures_have_three_digits_and_counts_no_more_than_they_need() {
    assert_eq!(
        [4.214, 4.0, 42.14, 99.96, 1_234_567.4].map(figure),
        ["4.21", "4.00", "42.1", "100", "1,234,567"]
    );
    assert_eq!([0.0, 64.0, 2.5, 15_000.0, 0.004].map(number), ["0", "64", "2.5", "15,000", "0"]);
    assert_eq!([0.0621, 0.984, 1.0, 13.24, 123.4].map(ratio), ["0.062", "0.98", "1.00", "13.2", "123"]);
}

#[test]
fn a_scenario_takes_the_servers_that_speak_its_protocol() {
    let all = scenario::choose(&scenarios("full"));
    let plan = Plan::new(all, &names("switchboard,tokio-lines"), Name::Mio, Limits { descriptors: None });
    assert_eq!(servers(&plan, "ping-pong-64"), ["switchboard", "mio"]);
    assert_eq!(servers(&plan, "lines"), ["switchboard-lines", "tokio-lines"]);
    assert_eq!(servers(&plan, "length"), ["switchboard-length"]);
    assert_eq!(servers(&plan, "broadcast"), ["switchboard-broadcast", "mio-broadcast"]);
    let base = |name: &str| {
        let planned = plan.entries.iter().find(|planned| planned.scenario.name == name);
        planned.and_then(|planned| planned.base).map(Name::text)
    };
    assert_eq!(base("ping-pong-64").as_deref(), Some("mio"));
    assert_eq!(base("lines").as_deref(), Some("tokio-lines"), "the nearest to a floor where mio has none");
    assert_eq!(base("length"), None, "one alone is compared with nobody");
}

#[test]
fn a_scenario_beyond_the_descriptor_limit_is_left_out_in_one_line() {
    let quick = scenario::choose(&scenarios("quick"));
    let plan = Plan::new(quick, &names("switchboard"), Name::Mio, Limits { descriptors: Some(4096) });
    assert!(plan.entries.iter().all(|planned| planned.scenario.name != "idle-15000"));
    assert_eq!(
        plan.left_out,
        [
            "The scenario idle-15000 was left out: 15,064 connections need 16,132 descriptors in each process, the hard \
         limit is 4,096 (ulimit -Hn)."
        ]
    );
}

#[test]
fn every_scenario_can_be_named_and_says_what_it_stands_for() {
    for scenario in scenario::table() {
        let choice = scenario.name.parse().expect("a name");
        assert_eq!(scenario::choose(&[choice]), std::slice::from_ref(&scenario));
        assert!(!scenario.title.is_empty() && scenario.meaning.ends_with(['.', '?']), "{}", scenario.name);
        assert!(!scenario.measures.is_empty(), "{}", scenario.name);
    }
    assert_eq!(scenario::choose(&scenarios("quick")).len(), 6, "all names of quick exist");
    let error = "pong".parse::<scenario::Choice>().expect_err("there is none");
    assert!(error.contains("ping-pong-64"), "{error}");
}
