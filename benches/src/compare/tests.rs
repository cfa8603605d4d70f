//! Statistics, plans, files and pages, on numbers made up here: nothing is run.

mod numbers;
mod shown;

use serde_json::json;

use super::machine::{Cores, Machine};
use super::plan::{self, Limits, Plan};
use super::results::{Results, Run, Settings};
use super::scenario;
use crate::report::Report;
use crate::serve::Name;

fn settings() -> Settings {
    Settings {
        command: "switchboard-bench compare --servers all".to_owned(),
        repeats: 5,
        seconds: 0.5,
        warm_up: 0.125,
        idle_timeout: None,
        cores: Cores::Apart { server: 0, load: 1, siblings: false },
    }
}

/// A report of 50,000 requests in so many seconds, each of which cost the server `microseconds`.
fn report(seconds: f64, microseconds: f64) -> Report {
    serde_json::from_value(json!({
        "scenario": "ping-pong", "framing": "raw", "connections": 64, "idle_connections": 0, "size": 64,
        "depth": 1, "rate": null, "seconds": seconds, "requests": 50_000,
        "bytes": 50_000 * 64, "errors": 0,
        "latency": {"p50": 300.0, "p90": 400.0, "p99": 500.0, "p999": 900.0, "max": 2000.0},
        "load_cpu_seconds": 0.5, "load_bound": false, "server_cpu_seconds": microseconds * 0.05,
        "server_bytes_per_idle": null, "partial": false
    }))
    .expect("a report")
}

/// What one server did in one round of one scenario.
type Make = fn(Name, usize, &scenario::Scenario) -> Report;

/// Results of `servers` in all scenarios of `choices`, as if five rounds had been run.
fn results(servers: &[plan::Choice], choices: &[scenario::Choice], make: Make) -> Results {
    let plan = Plan::new(scenario::choose(choices), servers, Name::Mio, Limits { descriptors: None });
    let machine = Machine { load_before: Some(0.0), build: "optimized".to_owned(), ..Machine::here() };
    let mut results =
        Results { machine, partial: false, ..Results::new(settings(), "2026-01-02T03:04:05Z".to_owned()) };
    for planned in &plan.entries {
        results.scenarios.push(planned.entry());
        for &name in &planned.names {
            if results.server(&name.text()).is_none() {
                results.servers.push(plan::server(name));
            }
            results.runs.extend((1..=5).map(|round| Run {
                scenario: planned.scenario.name.clone(),
                server: name.text(),
                round,
                report: make(name, round, &planned.scenario),
            }));
        }
    }
    results
}

/// Ours and mio's at what the machine does, tokio's clearly slower; all slow in the third round.
fn usual(name: Name, round: usize, scenario: &scenario::Scenario) -> Report {
    let weather = if round == 3 { 2.0 } else { 1.0 };
    let wobble = 1.0 + 0.01 * [0.0, 1.0, -1.0, 0.5, -0.5][round - 1];
    let cost = match plan::family(&name.text()) {
        "switchboard" => 4.0 * wobble,
        "tokio" => 6.0 * wobble,
        _other => 4.0,
    };
    let mut report = report(cost * weather / 4.0, cost * weather);
    report.idle_connections = scenario.load.idle_connections;
    report.connections = scenario.load.connections;
    report.server_bytes_per_idle = (report.idle_connections > 0).then_some(100.0 * cost);
    report
}
