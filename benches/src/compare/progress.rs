//! How far a comparison is: a bar with the time left on a terminal, a line for each run elsewhere.
//!
//! It writes to standard error. It does not know what is measured.

use std::fmt;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use super::estimate;
use super::measure::Measure;
use super::plan::Plan;
use super::results::Settings;
use super::scenario::Scenario;
use crate::report::Report;

/// What is shown while it runs.
pub(crate) struct Progress {
    bar: ProgressBar,
    settings: Settings,
    runs: usize,
    run: usize,
    label: String,
}

impl Progress {
    /// Shows that nothing is done yet.
    pub(crate) fn new(plan: &Plan, settings: &Settings) -> Progress {
        // In expected milliseconds, since runs differ in length.
        let repeats = u32::try_from(settings.repeats).unwrap_or(u32::MAX);
        let each = plan.entries.iter().map(|planned| {
            let servers = u32::try_from(planned.names.len()).unwrap_or(u32::MAX);
            estimate(&planned.scenario, settings) * servers * repeats
        });
        let expected = each.sum();
        let bar = ProgressBar::new(milliseconds(expected));
        let style = ProgressStyle::with_template("{bar:32.cyan/dim} {percent:>3} %  {left} left  {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("left", write_left));
        // Twice a second is enough, and costs the load generator nothing to speak of.
        bar.enable_steady_tick(Duration::from_millis(500));
        let runs = plan.runs(settings.repeats);
        let progress = Progress { bar, settings: settings.clone(), runs, run: 0, label: String::new() };
        progress.say(&format!("{runs} runs, about {}", HumanDuration(expected)));
        progress
    }

    /// Says a line that stays.
    pub(crate) fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Shows what begins.
    pub(crate) fn start(&mut self, scenario: &Scenario, server: &str, round: usize) {
        self.run += 1;
        let repeats = self.settings.repeats;
        self.label = format!("{}, round {round} of {repeats}: {server}", scenario.name);
        self.bar.set_message(self.label.clone());
    }

    /// Shows that it is done.
    pub(crate) fn done(&self, scenario: &Scenario, report: &Report) {
        self.skip(scenario);
        if self.bar.is_hidden() {
            let first = scenario.measures.iter().find_map(|&measure| Some((measure, measure.of(report)?)));
            let figure = first.map_or_else(String::new, |(measure, value)| figure(measure, value, scenario));
            eprintln!("{:>4}/{} {}{figure}", self.run, self.runs, self.label);
        }
    }

    /// Says that it went wrong.
    pub(crate) fn failed(&self, scenario: &Scenario, server: &str, why: &str) {
        self.skip(scenario);
        self.say(&format!("{}: {server} failed: {why}", scenario.name));
    }

    /// Shows that one run of `scenario` less is to come.
    pub(crate) fn skip(&self, scenario: &Scenario) {
        self.bar.inc(milliseconds(estimate(scenario, &self.settings)));
    }

    /// Shows nothing any more.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Writes the time left: as expected until there is something to go by.
fn write_left(state: &ProgressState, out: &mut dyn fmt::Write) {
    let expected = Duration::from_millis(state.len().unwrap_or(0));
    let left = if state.pos() == 0 { expected } else { state.eta() };
    // There is nobody to tell.
    let _ = write!(out, "{}", HumanDuration(left));
}

fn figure(measure: Measure, value: f64, scenario: &Scenario) -> String {
    format!(", {} {}", measure.write(value), measure.title(&scenario.request))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
