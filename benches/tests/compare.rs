//! The comparison as a process: what it runs and in which order, what it writes, and how Ctrl-C ends it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_switchboard-bench");

/// A directory that is gone when it is dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        Place(std::env::temp_dir().join(format!("switchboard-compare-{}-{name}", std::process::id())))
    }

    fn results(&self) -> Value {
        let text = fs::read_to_string(self.0.join("results.json")).expect("there are results");
        serde_json::from_str(&text).expect("they are JSON")
    }

    fn page(&self) -> String {
        fs::read_to_string(self.0.join("report.html")).expect("there is a page")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn compare(arguments: &str, out: &Path) -> Command {
    let mut command = Command::new(BENCH);
    command.arg("compare").args(arguments.split(' ')).arg("--out").arg(out).stdin(Stdio::null());
    command
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn two_servers_take_turns_and_are_compared() {
    let place = Place::new("turns");
    let arguments = "--servers switchboard --base mio --scenarios ping-pong-1 --repeats 3 --seconds 0.25";
    let output = compare(arguments, &place.0).output().expect("the program is built");
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    // Each run is announced where there is no terminal for a bar.
    let runs = stderr.lines().filter(|line| line.contains("/6 ping-pong-1, round "));
    let order: Vec<&str> =
        runs.map(|line| line.split([':', ',']).nth(2).unwrap_or_default().trim()).collect();
    assert_eq!(order, ["switchboard", "mio"].repeat(3), "{stderr}");
    for name in ["switchboard", "mio"] {
        assert!(stdout.lines().any(|line| line.trim_start().starts_with(&format!("{name} "))), "{stdout}");
        assert!(place.page().contains(&format!(">{name}<")), "it is not on the page");
    }
    let results = place.results();
    assert_eq!(results["partial"], false);
    let runs = results["runs"].as_array().expect("an array");
    assert_eq!(runs.len(), 6);
    for (place, run) in runs.iter().enumerate() {
        assert_eq!(run["server"], ["switchboard", "mio"][place % 2]);
        assert_eq!(run["round"], place / 2 + 1);
        assert_eq!(run["report"]["errors"], 0);
        assert!(run["report"]["requests"].as_u64() > Some(0), "{run}");
        assert!(run["report"]["server_cpu_seconds"].as_f64() > Some(0.0), "{run}");
    }
    let summaries = results["summaries"].as_array().expect("an array");
    let ours = summaries.iter().find(|summary| summary["server"] == "switchboard").expect("a summary");
    assert_eq!(ours["figures"]["cpu-per-request"]["ratio"]["rounds"], 3);

    // The same again from the file alone.
    let page = place.page();
    fs::remove_file(place.0.join("report.html")).expect("it is there");
    let mut again = Command::new(BENCH);
    again.args(["compare", "--replot"]).arg(place.0.join("results.json"));
    let (again, complaints) = texts(&again.output().expect("the program is built"));
    assert_eq!(complaints, "");
    assert!(place.page() == page, "another page");
    assert_eq!(again, stdout);
}

#[test]
fn ctrl_c_ends_it_with_a_report_that_says_partial_and_leaves_no_process() {
    let place = Place::new("partial");
    let arguments = "--servers switchboard --base mio --scenarios ping-pong-1 --repeats 99 --seconds 0.25";
    let mut command = compare(arguments, &place.0);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut first = String::new();
    while !first.contains("1/198") {
        first.clear();
        assert!(
            stderr.read_line(&mut first).expect("it says what it does") > 0,
            "it ended before the first run did"
        );
    }
    assert!(first.contains("1/198 ping-pong-1, round 1 of 99: switchboard, "), "{first}");
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let (sender, ended) = channel();
    thread::spawn(move || {
        let mut rest = String::new();
        // Servers and load generators have this pipe, too: it ends when all of them have.
        let read = stderr.read_to_string(&mut rest);
        let _ = sender.send(read.map(|_| rest));
    });
    let rest = ended.recv_timeout(Duration::from_secs(60)).expect("all processes end").expect("text");
    let output = child.wait_with_output().expect("it has ended");
    let (stdout, _) = texts(&output);
    assert_eq!(output.status.code(), Some(130), "{rest}");
    assert!(stdout.contains("Partial: it ended early, after "), "{stdout}");
    assert!(stdout.contains("Ping-pong, 1 connection"), "{stdout}");
    let results = place.results();
    assert_eq!(results["partial"], true);
    let runs = results["runs"].as_array().expect("an array").len();
    assert!((1..198).contains(&runs), "{runs} runs");
    assert_eq!(results["failures"].as_array().map(Vec::len), Some(0), "{rest}");
    assert!(place.page().contains("Partial: "));
}

#[test]
fn a_limit_that_is_too_low_leaves_the_scenario_out_in_one_line() {
    let place = Place::new("limit");
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 256 && exec \"$0\" compare --scenarios ping-pong-1000 --out \"$1\"", BENCH]);
    let output = shell.arg(&place.0).output().expect("there is a shell");
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let missing = "The scenario ping-pong-1000 was left out: 1,000 connections need 1,130 descriptors in each process, \
                   the hard limit is 256 (ulimit -Hn).";
    assert!(stderr.contains("nothing is left to run. ") && stderr.contains(missing), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    let fails = |arguments: &str| {
        let output = Command::new(BENCH).arg("compare").args(arguments.split(' ')).output();
        let output = output.expect("the program is built");
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        texts(&output).1
    };
    assert!(fails("--servers nginx").contains("there are known, all, switchboard, "));
    assert!(fails("--scenarios pong").contains("there are quick, full, ping-pong-1, "));
    assert!(fails("--repeats 2").contains("2 is not in 3..=99"));
    assert!(fails("--replot x.json --repeats 3").contains("cannot be used with"));
}
