//! Compares servers: scenarios over servers in alternation, a table, a page to look at, and all raw results.
//!
//! Each run is a fresh server and a fresh load generator, processes of this very program. Within a scenario every
//! server has its turn before any has its next, so that what changes on the machine in the meantime changes it for all.

mod machine;
mod measure;
mod page;
mod plan;
mod plot;
mod progress;
mod results;
mod runner;
mod scenario;
mod stats;
mod summary;
mod text;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::machine::Cores;
use self::plan::{Limits, Plan, Planned};
use self::progress::Progress;
use self::results::{Failure, Results, Run, Settings, replace};
use self::runner::{INTERRUPTED, Outcome, Runner};
use crate::process::pin;
use crate::serve::Name;

/// Which servers, at what, how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which servers: `known` ones, `all`, or names with commas; one without a protocol in its name stands for all of
    /// its library.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "known")]
    servers: Vec<plan::Choice>,
    /// Which scenarios: `quick` takes about two minutes, `full` a quarter of an hour; or names with commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "quick")]
    scenarios: Vec<scenario::Choice>,
    /// The server to compare with, which runs in any case; by default c-epoll, or mio without a C compiler.
    #[arg(long, value_name = "NAME", value_enum)]
    base: Option<Name>,
    /// How often each server is put to each scenario.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..=99))]
    repeats: u16,
    /// How long each time [default: 0.5 for scenarios of quick, 2 for others].
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// Give every connection an idle timeout of so many seconds, where the server has one.
    #[arg(long, value_name = "S")]
    idle_timeout: Option<u64>,
    /// The directory for report.html and results.json.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
    /// Measure nothing: make the table and the page again from this file, the page beside it.
    #[arg(long, value_name = "RESULTS.JSON", conflicts_with_all = ["servers", "scenarios", "base", "repeats", "seconds", "idle_timeout", "out"])]
    replot: Option<PathBuf>,
    /// Say what the scenarios are, and what each stands for.
    #[arg(long)]
    list: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=600.0).contains(&seconds) => Ok(seconds),
        Ok(seconds) => Err(format!("{seconds} is outside 0.05 to 600")),
        Err(error) => Err(format!("{error}")),
    }
}

/// Compares. Answers with an error if a run failed, and with the code of Ctrl-C if that has ended it.
pub(crate) fn run(args: &Args) -> io::Result<ExitCode> {
    if args.list {
        print(&text::scenarios(&scenario::table()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = &args.replot {
        show(&Results::read(path)?, path)?;
        return Ok(ExitCode::SUCCESS);
    }
    let limits = Limits { descriptors: raise_descriptors()? };
    let base = args.base.unwrap_or_else(plan::default_base);
    if let Some(why) = base.missing() {
        return Err(io::Error::other(format!("{} is not in this build: {why}", base.text())));
    }
    let plan = Plan::new(scenario::choose(&args.scenarios), &args.servers, base, limits);
    if plan.entries.is_empty() {
        return Err(io::Error::other(format!("nothing is left to run. {}", plan.left_out.join(" "))));
    }
    let seconds = args.seconds.unwrap_or(if args.scenarios == [scenario::Choice::Quick] { 0.5 } else { 2.0 });
    let settings = Settings {
        command: command_line(),
        repeats: usize::from(args.repeats),
        seconds,
        warm_up: (seconds / 4.0).clamp(0.05, 0.5),
        idle_timeout: args.idle_timeout,
        cores: Cores::choose(),
    };
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let mut results = Results::new(settings, started);
    results.left_out.clone_from(&plan.left_out);
    for planned in &plan.entries {
        for &name in &planned.names {
            if results.server(&name.text()).is_none() {
                results.servers.push(plan::server(name));
            }
        }
        results.scenarios.push(planned.entry());
    }
    // What waits and draws is not to be on the server's processor.
    if let Cores::Apart { load, .. } = results.settings.cores {
        pin(load)?;
    }
    let path = args.out.join("results.json");
    let comparison = Comparison {
        runner: Runner::new()?,
        progress: Progress::new(&plan, &results.settings),
        began: Instant::now(),
        path,
        results,
    };
    comparison.run(&plan)
}

/// One comparison while it goes on.
struct Comparison {
    runner: Runner,
    progress: Progress,
    began: Instant,
    path: PathBuf,
    results: Results,
}

/// How often a server may fail in a scenario before it is left out of the rest of it.
const FAILURES_MAX: usize = 2;

impl Comparison {
    fn run(mut self, plan: &Plan) -> io::Result<ExitCode> {
        for line in &plan.left_out {
            self.progress.say(line);
        }
        // Where it cannot be written later, that is known now.
        self.write()?;
        for (place, planned) in plan.entries.iter().enumerate() {
            let flow = self.compare(planned);
            self.results.partial = flow.is_break() || place + 1 < plan.entries.len();
            // What there is by now survives whatever comes.
            self.write()?;
            if flow.is_break() {
                break;
            }
        }
        self.progress.finish();
        show(&self.results, &self.path)?;
        if self.results.partial {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let with_errors = self.results.runs.iter().filter(|run| run.report.errors > 0).count();
        match self.results.failures.len() + with_errors {
            0 => Ok(ExitCode::SUCCESS),
            failed => Err(io::Error::other(format!("runs with failures: {failed}, the report says which"))),
        }
    }

    /// Runs one scenario, round after round, until Ctrl-C.
    fn compare(&mut self, planned: &Planned) -> ControlFlow<()> {
        for round in 1..=self.results.settings.repeats {
            for &name in &planned.names {
                let (scenario, server) = (planned.scenario.name.clone(), name.text());
                let failed = self.results.failures.iter();
                let failed = failed.filter(|one| one.scenario == scenario && one.server == server).count();
                if failed >= FAILURES_MAX {
                    self.progress.skip(&planned.scenario);
                    continue;
                }
                self.progress.start(&planned.scenario, &server, round);
                match self.runner.run(name, &planned.scenario, &self.results.settings) {
                    Outcome::Report(report) => {
                        self.progress.done(&planned.scenario, &report);
                        self.results.runs.push(Run { scenario, server, round, report: *report });
                    }
                    Outcome::Failed(why) => {
                        self.progress.failed(&planned.scenario, &server, &why);
                        self.results.failures.push(Failure { scenario, server, round, why });
                    }
                    Outcome::Interrupted => return ControlFlow::Break(()),
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.results.lasted = self.began.elapsed().as_secs_f64();
        self.results.write(&self.path)
    }
}

/// What a stranger types to get the same.
fn command_line() -> String {
    let quote = |word: String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,/+:".contains(c);
        if word.chars().all(is_plain) { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    let words = std::env::args().skip(1).map(quote);
    let words: Vec<String> = words.collect();
    format!("cargo run --release -p switchboard-bench -- {}", words.join(" "))
}

/// Writes the page beside the file of `results` at `path`, then prints the tables.
fn show(results: &Results, path: &Path) -> io::Result<()> {
    let page = path.with_file_name("report.html");
    replace(&page, &page::page(results))?;
    let tables = text::tables(results);
    print(&format!("{tables}every run: {}\nto look at: {}\n", path.display(), page.display()))
}

/// Prints to whoever reads; that nobody does any more is no error.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Raises the number of descriptors of this process and those it starts to what the system allows, and answers it.
fn raise_descriptors() -> io::Result<Option<u64>> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum)
}

/// How long a run of `scenario` takes, roughly: to start both, to connect, to measure.
fn estimate(scenario: &scenario::Scenario, settings: &Settings) -> Duration {
    let connections = measure::count(scenario.connections() as u64);
    Duration::from_secs_f64(0.1 + connections * 60e-6 + settings.warm_up + settings.seconds)
}
