//! All that one comparison found, as it is written to a file and read again.
//!
//! It knows what was run and what each run said. What that amounts to is in `summary`; how it looks elsewhere.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::machine::{Cores, Machine};
use super::plan::family;
use super::scenario::Scenario;
use super::summary::{self, Summary};
use crate::report::Report;

/// The version of the file's format. One that adds fields with a default keeps it.
const FORMAT: u32 = 1;

/// Everything.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Results {
    /// The version of this format.
    pub(crate) format: u32,
    /// Whether the comparison has not come to its end: by Ctrl-C, or yet.
    pub(crate) partial: bool,
    /// When it began, in RFC 3339.
    pub(crate) started: String,
    /// How long it took, in seconds.
    pub(crate) lasted: f64,
    /// How it was asked to measure.
    pub(crate) settings: Settings,
    /// On what.
    pub(crate) machine: Machine,
    /// Who took part.
    pub(crate) servers: Vec<Server>,
    /// In which scenarios.
    pub(crate) scenarios: Vec<Entry>,
    /// What was left out, and why, one sentence each.
    pub(crate) left_out: Vec<String>,
    /// Every run that came to its end.
    pub(crate) runs: Vec<Run>,
    /// Every run that did not.
    pub(crate) failures: Vec<Failure>,
    /// What the runs amount to; for other programs, since this one computes it again.
    #[serde(default)]
    pub(crate) summaries: Vec<Summary>,
}

/// How it was measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Settings {
    /// The command line.
    pub(crate) command: String,
    /// How often each server was put to each scenario.
    pub(crate) repeats: usize,
    /// How long each time, in seconds.
    pub(crate) seconds: f64,
    /// How long it ran before that, in seconds.
    pub(crate) warm_up: f64,
    /// The idle timeout of the servers in seconds, where a scenario does not set it.
    pub(crate) idle_timeout: Option<u64>,
    /// Who ran where.
    pub(crate) cores: Cores,
}

/// A server that took part.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Server {
    /// What is typed for it.
    pub(crate) name: String,
    /// Its library and version.
    pub(crate) library: String,
    /// What it is, in half a sentence.
    pub(crate) about: String,
    /// Whether it is of the library that this is about.
    pub(crate) is_ours: bool,
    /// Why it has no idle timeout, if it has none and runs without where others have one.
    #[serde(default)]
    pub(crate) lacks_idle_timeout: Option<String>,
}

/// A scenario and who takes part in it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Entry {
    /// The scenario.
    pub(crate) scenario: Scenario,
    /// Those who speak its protocol, in the order in which they run.
    pub(crate) servers: Vec<String>,
    /// Which of them the others are compared with.
    pub(crate) base: Option<String>,
}

/// A server put to a scenario, once.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Run {
    /// The scenario.
    pub(crate) scenario: String,
    /// The server.
    pub(crate) server: String,
    /// In which round, from 1.
    pub(crate) round: usize,
    /// What came of it.
    pub(crate) report: Report,
}

/// A run that did not come to its end.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Failure {
    /// The scenario.
    pub(crate) scenario: String,
    /// The server.
    pub(crate) server: String,
    /// In which round, from 1.
    pub(crate) round: usize,
    /// What went wrong.
    pub(crate) why: String,
}

impl Results {
    /// Begins with nothing measured yet.
    pub(crate) fn new(settings: Settings, started: String) -> Results {
        Results {
            format: FORMAT,
            partial: true,
            started,
            lasted: 0.0,
            settings,
            machine: Machine::here(),
            servers: Vec::new(),
            scenarios: Vec::new(),
            left_out: Vec::new(),
            runs: Vec::new(),
            failures: Vec::new(),
            summaries: Vec::new(),
        }
    }

    /// The server of that name.
    pub(crate) fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// Whether `name` is of the library that this is about.
    pub(crate) fn is_ours(&self, name: &str) -> bool {
        self.server(name).is_some_and(|server| server.is_ours)
    }

    /// Whether `server` ran without an idle timeout in `scenario` though others had one.
    pub(crate) fn is_without_timeout(&self, scenario: &Scenario, server: &str) -> bool {
        let lacks_one = self.server(server).is_some_and(|server| server.lacks_idle_timeout.is_some());
        lacks_one && (scenario.idle_timeout.is_some() || self.settings.idle_timeout.is_some())
    }

    /// With which library the others are compared, wherever it takes part.
    pub(crate) fn base_family(&self) -> Option<&str> {
        self.scenarios.iter().find_map(|entry| entry.base.as_deref()).map(family)
    }

    /// What has to be known before a figure is believed, one sentence each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.partial {
            let servers: usize = self.scenarios.iter().map(|entry| entry.servers.len()).sum();
            let (done, wanted) = (self.runs.len() + self.failures.len(), servers * self.settings.repeats);
            warnings.push(format!("Partial: it ended early, after {done} of {wanted} runs."));
        }
        warnings.extend(self.machine.warnings());
        warnings.extend(self.settings.cores.warning().map(str::to_owned));
        warnings
    }

    /// Writes it to `path`, whole or not at all.
    pub(crate) fn write(&mut self, path: &Path) -> io::Result<()> {
        self.summaries = self.scenarios.iter().flat_map(|entry| summary::of(self, entry)).collect();
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        replace(path, &text)
    }

    /// Reads what was written.
    pub(crate) fn read(path: &Path) -> io::Result<Results> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| io::Error::other(format!("{name}: {error}")))?;
        let results: Results =
            serde_json::from_str(&text).map_err(|error| io::Error::other(format!("{name}: {error}")))?;
        if results.format != FORMAT {
            let format = results.format;
            return Err(io::Error::other(format!("{name} has format {format}, this program knows {FORMAT}")));
        }
        Ok(results)
    }
}

/// Puts `text` in the place of what is at `path`, so that there is never half of it.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let explain = |error| io::Error::other(format!("{}: {error}", path.display()));
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(explain)?;
    }
    let beside = path.with_extension("new");
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).map_err(explain)
}
