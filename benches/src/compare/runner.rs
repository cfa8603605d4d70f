//! One run: a fresh server, a fresh load generator, each on its processor, and what came of it.
//!
//! It knows processes, pipes and Ctrl-C. It does not know what a figure means.

use std::io::{self, Read};
use std::mem;
use std::os::unix::process::CommandExt;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::machine::Cores;
use super::results::Settings;
use super::scenario::{Kind, Scenario};
use crate::process::{Served, pin};
use crate::report::Report;
use crate::serve::Name;

/// What a run came to.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Its end.
    Report(Box<Report>),
    /// Something else, which is not the end of the others.
    Failed(String),
    /// Ctrl-C.
    Interrupted,
}

enum Event {
    Interrupted,
    /// The load generator of this run has closed its output, and this is what it wrote.
    Ended(u64, io::Result<Vec<u8>>),
}

/// Starts runs, one after the other.
#[derive(Debug)]
pub(crate) struct Runner {
    events: Receiver<Event>,
    sender: Sender<Event>,
    runs: u64,
    is_interrupted: bool,
}

/// What a program ends with that Ctrl-C has ended: 128 and the number of the signal.
pub(crate) const INTERRUPTED: u8 = 130;

/// How long a run may take beyond what it is to take, before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

impl Runner {
    /// Catches Ctrl-C from now on.
    pub(crate) fn new() -> io::Result<Runner> {
        let (sender, events) = mpsc::channel();
        let interrupted = sender.clone();
        let mut is_first = true;
        ctrlc::set_handler(move || {
            // Who asks twice does not want to wait for the report; nor is there one to wait for if nobody listens.
            if !mem::replace(&mut is_first, false) || interrupted.send(Event::Interrupted).is_err() {
                process::exit(i32::from(INTERRUPTED));
            }
        })
        .map_err(io::Error::other)?;
        Ok(Runner { events, sender, runs: 0, is_interrupted: false })
    }

    /// Puts `name` to `scenario`, once.
    pub(crate) fn run(&mut self, name: Name, scenario: &Scenario, settings: &Settings) -> Outcome {
        self.runs += 1;
        match self.try_run(name, scenario, settings) {
            _ if self.is_interrupted => Outcome::Interrupted,
            Ok(report) => Outcome::Report(Box::new(report)),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    fn try_run(&mut self, name: Name, scenario: &Scenario, settings: &Settings) -> io::Result<Report> {
        let timeout = scenario.idle_timeout.or(settings.idle_timeout);
        let timeout =
            timeout.filter(|_| name.lacks_idle_timeout().is_none()).map(|seconds| seconds.to_string());
        let arguments = timeout.as_deref().map_or(Vec::new(), |seconds| vec!["--idle-timeout", seconds]);
        // Processes inherit the processor of who starts them, and so do all threads that they will ever have.
        if let Cores::Apart { server, .. } = settings.cores {
            pin(server)?;
        }
        let served = Served::start(&[], name, &arguments);
        if let Cores::Apart { load, .. } = settings.cores {
            pin(load)?;
        }
        let served = served?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("load").arg(served.addr.to_string()).args(arguments_of(scenario, settings));
        command.args(["--server-pid", &served.pid().to_string(), "--json"]);
        let result = self.load(command, settings);
        let stopped = served.stop();
        // Why the load generator failed says less than that the server was gone.
        match (result, stopped) {
            (result, Ok(())) => result,
            (Ok(_), Err(error)) => Err(error),
            (Err(error), Err(end)) => Err(io::Error::other(format!("{end}; {error}"))),
        }
    }

    /// Waits for a load generator and reads its report.
    fn load(&mut self, mut command: Command, settings: &Settings) -> io::Result<Report> {
        // A Ctrl-C is for this program, which then ends the other.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let complaint = self.read(&mut child)?;
        let time = Duration::from_secs_f64(settings.warm_up + settings.seconds) + PATIENCE;
        let text = self.wait(time);
        if text.is_err() {
            // Without effect if it has ended.
            let _ = child.kill();
        }
        let status = child.wait()?;
        let complaint = complaint.join().unwrap_or_default();
        let text = text?;
        // One that counted failed exchanges says so by its status, too.
        let found = parse(&text);
        if !status.success() && !found.as_ref().is_ok_and(|report| report.errors > 0) {
            let complaint = String::from_utf8_lossy(&complaint);
            let last = complaint.lines().rfind(|line| !line.trim().is_empty());
            let why = last.map_or_else(|| format!("load ended with {status}"), |line| line.trim().to_owned());
            return Err(io::Error::other(why));
        }
        found
    }

    /// Reads both outputs of `child` from threads: the report into [`Event::Ended`], the complaint as an answer.
    fn read(&self, child: &mut Child) -> io::Result<thread::JoinHandle<Vec<u8>>> {
        let none = || io::Error::other("no output of the load generator");
        let mut stdout = child.stdout.take().ok_or_else(none)?;
        let mut stderr = child.stderr.take().ok_or_else(none)?;
        let (sender, run) = (self.sender.clone(), self.runs);
        thread::spawn(move || {
            let mut text = Vec::new();
            let result = stdout.read_to_end(&mut text).map(|_| text);
            // Nobody waits for it if the run was given up.
            let _ = sender.send(Event::Ended(run, result));
        });
        Ok(thread::spawn(move || {
            let mut text = Vec::new();
            // Half a complaint is better than none.
            let _ = stderr.read_to_end(&mut text);
            text
        }))
    }

    fn wait(&mut self, time: Duration) -> io::Result<Vec<u8>> {
        loop {
            match self.events.recv_timeout(time) {
                Ok(Event::Ended(run, result)) if run == self.runs => return result,
                // Of a run that was given up.
                Ok(Event::Ended(..)) => {}
                Ok(Event::Interrupted) => {
                    self.is_interrupted = true;
                    return Err(io::Error::other("interrupted"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::other(format!("given up after {} s", time.as_secs())));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("nobody left to wait for"));
                }
            }
        }
    }
}

/// What the load generator is told of `scenario`.
fn arguments_of(scenario: &Scenario, settings: &Settings) -> Vec<String> {
    let load = &scenario.load;
    let mut arguments = vec!["--scenario".to_owned(), load.kind.text().to_owned()];
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add("--framing", load.framing.text().to_owned());
    add("--connections", load.connections.to_string());
    // Others than `idle` have none, and some refuse to be asked.
    if load.kind == Kind::Idle || load.idle_connections > 0 {
        add("--idle-connections", load.idle_connections.to_string());
    }
    add("--size", load.size.to_string());
    add("--depth", load.depth.to_string());
    if let Some(rate) = load.rate {
        add("--rate", rate.to_string());
    }
    add("--seconds", settings.seconds.to_string());
    add("--warm-up", settings.warm_up.to_string());
    arguments
}

/// Reads what the load generator printed.
fn parse(text: &[u8]) -> io::Result<Report> {
    let report: Report = serde_json::from_slice(text)
        .map_err(|error| io::Error::other(format!("the load generator's report: {error}")))?;
    if report.partial {
        return Err(io::Error::other("the load generator was interrupted"));
    }
    if report.requests == 0 && report.bytes == 0 {
        return Err(io::Error::other(format!("nothing was completed, {} exchanges failed", report.errors)));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::super::scenario;
    use super::*;

    const REPORT: &str = r#"{
        "scenario": "ping-pong", "framing": "raw", "connections": 64, "idle_connections": 0, "size": 64,
        "depth": 1, "rate": null, "seconds": 1.0, "requests": 100, "bytes": 6400, "errors": 0,
        "latency": {"p50": 1.0, "p90": 2.0, "p99": 3.0, "p999": 4.0, "max": 5.0},
        "load_cpu_seconds": 0.5, "load_bound": false, "server_cpu_seconds": 0.25,
        "server_bytes_per_idle": null, "partial": false }"#;

    #[test]
    fn a_report_is_read_and_one_without_a_result_is_refused() {
        let report = parse(REPORT.as_bytes()).expect("a report");
        assert_eq!(report.requests, 100);
        assert_eq!(report.latency.map(|latency| latency.p999), Some(4.0));
        let fails = |text: &str| parse(text.as_bytes()).expect_err("no result").to_string();
        assert!(fails("listening").starts_with("the load generator's report: "), "{}", fails("listening"));
        let cut = REPORT.replace(r#""partial": false"#, r#""partial": true"#);
        assert_eq!(fails(&cut), "the load generator was interrupted");
        let none = REPORT.replace(
            r#""requests": 100, "bytes": 6400, "errors": 0"#,
            r#""requests": 0, "bytes": 0, "errors": 7"#,
        );
        assert_eq!(fails(&none), "nothing was completed, 7 exchanges failed");
    }

    #[test]
    fn the_load_generator_is_told_all_of_a_scenario() {
        let settings = Settings {
            command: String::new(),
            repeats: 3,
            seconds: 0.5,
            warm_up: 0.25,
            idle_timeout: None,
            cores: Cores::Shared,
        };
        let said = |name: &str| {
            let choice = name.parse().expect("a scenario");
            arguments_of(&scenario::choose(&[choice])[0], &settings).join(" ")
        };
        assert_eq!(
            said("steady"),
            "--scenario ping-pong --framing raw --connections 64 --size 64 --depth 1 --rate 20000 \
             --seconds 0.5 --warm-up 0.25"
        );
        assert_eq!(
            said("idle-0"),
            "--scenario idle --framing raw --connections 64 --idle-connections 0 --size 64 --depth 1 \
             --seconds 0.5 --warm-up 0.25"
        );
    }
}
