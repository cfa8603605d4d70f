//! The counts as a process: what they say of our own servers, and what they say when something is missing.
//!
//! Figures that depend on the compiler are not held to numbers, only to each other. A test needs strace, or
//! valgrind, and passes where that is not installed.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// `count` with `arguments`.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard-bench"));
    command.arg("count").args(arguments);
    command
}

/// A path of the test `name`, where nothing is yet.
fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("count-{name}"));
    if path.is_dir() {
        fs::remove_dir_all(&path).expect("it is the test's own");
    } else if path.exists() {
        fs::remove_file(&path).expect("it is the test's own");
    }
    path
}

/// Runs `count` with `arguments` and reads what it wrote as JSON.
fn count(test: &str, arguments: &[&str]) -> Value {
    let path = fresh(test);
    let output = command(arguments).arg("--json").arg(&path).output().expect("the program is built");
    assert!(output.status.success(), "{}", both(&output));
    json(&path)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("it was written")).expect("it is JSON")
}

fn both(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// What was counted of `server` in `scenario`.
fn counted<'a>(results: &'a Value, server: &str, scenario: &str) -> &'a Value {
    let all = results["scenarios"].as_array().expect("a list");
    let one = all.iter().find(|one| one["server"] == server && one["scenario"] == scenario);
    one.unwrap_or_else(|| panic!("no {scenario} of {server} in {results:#}"))
}

/// Where `tool` is. Says so if it is not there.
fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|directory| directory.join(tool)).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("nothing was tested: {tool} is not installed");
    }
    found
}

/// Whether two figures are the same but for what a clock may add.
fn agree(one: &Value, other: &Value) -> bool {
    let (one, other) = (one.as_f64().expect("a number"), other.as_f64().expect("a number"));
    (one - other).abs() <= 1.0_f64.max(one / 100.0)
}

#[test]
fn an_echo_is_one_recv_and_one_send_and_a_connection_is_registered_once() {
    if find("strace").is_none() {
        return;
    }
    let servers = ["switchboard", "switchboard-lines", "switchboard-length"];
    let list = servers.join(",");
    let options = ["--figures", "calls", "--rounds", "5", "--servers", &list, "--scenarios", "echo,churn-1"];
    let results = count("calls", &options);
    for server in servers {
        let echo = &counted(&results, server, "echo")["calls"];
        assert_eq!(echo["recvfrom"], 1.0, "{server}: {echo}");
        assert_eq!(echo["sendto"], 1.0, "{server}: {echo}");
        assert_eq!(echo["epoll_wait"], 1.0 / 64.0, "{server}: {echo}");
        assert_eq!(echo.as_object().map(serde_json::Map::len), Some(3), "{server}: {echo}");
        let connection = &counted(&results, server, "churn-1")["calls"];
        assert_eq!(connection["epoll_ctl"], 1.0, "{server}: {connection}");
        assert_eq!(connection["close"], 1.0, "{server}: {connection}");
    }
}

#[test]
fn sixteen_messages_that_come_together_are_one_recv_and_one_send() {
    if find("strace").is_none() {
        return;
    }
    let servers = ["switchboard-lines", "switchboard-length"];
    let list = servers.join(",");
    let options = ["--figures", "calls", "--rounds", "5", "--servers", &list, "--scenarios", "pipelined"];
    let results = count("pipelined", &options);
    for server in servers {
        let calls = &counted(&results, server, "pipelined")["calls"];
        assert_eq!(calls["recvfrom"], 1.0 / 16.0, "{server}: {calls}");
        assert_eq!(calls["sendto"], 1.0 / 16.0, "{server}: {calls}");
    }
}

#[test]
fn neither_an_echo_nor_a_connection_nor_a_delivery_allocates() {
    if find("valgrind").is_none() {
        return;
    }
    let scenarios = "echo-limits,pipelined,churn-32,bulk,broadcast";
    let options = ["--figures", "allocations", "--rounds", "5", "--scenarios", scenarios];
    let results = count("allocations", &options);
    for one in results["scenarios"].as_array().expect("a list") {
        let blocks = one["allocations"]["blocks"].as_f64().expect("a number");
        // One message is encoded once, whoever it is for.
        let most = if one["scenario"] == "broadcast" { 0.01 } else { 0.0 };
        assert!(blocks <= most, "{one:#}");
    }
}

#[test]
fn a_second_count_says_the_same() {
    if find("valgrind").is_none() {
        return;
    }
    let options = ["--figures", "instructions", "--rounds", "20", "--servers", "switchboard"];
    let scenarios = ["--scenarios", "echo,churn-32"];
    let [one, other] =
        ["first", "second"].map(|test| count(test, &[options.as_slice(), &scenarios].concat()));
    for scenario in ["echo", "churn-32"] {
        let of = |results| &counted(results, "switchboard", scenario)["instructions"];
        assert!(agree(of(&one), of(&other)), "{scenario}: {} and {}", of(&one), of(&other));
    }
}

#[test]
fn an_echo_costs_the_same_beside_four_thousand_idle_connections() {
    if find("valgrind").is_none() {
        return;
    }
    let options = ["--figures", "instructions", "--rounds", "20", "--servers", "switchboard"];
    let results = count("flat", &[options.as_slice(), &["--scenarios", "echo,echo-idle"]].concat());
    let of = |scenario| &counted(&results, "switchboard", scenario)["instructions"];
    assert!(agree(of("echo"), of("echo-idle")), "{} and {}", of("echo"), of("echo-idle"));
}

#[test]
fn a_profile_names_functions_and_lines() {
    if find("valgrind").is_none() {
        return;
    }
    let options = ["--profile", "--servers", "switchboard", "--scenarios", "echo", "--rounds", "5"];
    let output = command(&options).output().expect("the program is built");
    let text = both(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("instructions for each request"), "{text}");
    assert!(text.contains("switchboard::reactor::"), "no function: {text}");
    assert!(text.contains("src/reactor/"), "no line: {text}");
}

#[test]
fn without_valgrind_the_calls_are_counted_and_valgrind_is_named() {
    let Some(strace) = find("strace") else { return };
    let path = fresh("path");
    fs::create_dir(&path).expect("there is room");
    symlink(strace, path.join("strace")).expect("there is room");
    let options = ["--servers", "switchboard", "--scenarios", "echo", "--rounds", "2"];
    let output = command(&options).env("PATH", &path).output().expect("the program is built");
    let text = both(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("apt-get install valgrind"), "{text}");
    assert!(text.contains("recvfrom") && !text.contains("instructions"), "{text}");
}

#[test]
fn without_any_tool_both_are_named_and_memory_is_still_counted() {
    let path = fresh("no-path");
    fs::create_dir(&path).expect("there is room");
    let options = ["--servers", "switchboard", "--idle-connections", "100"];
    let output = command(&options).env("PATH", &path).output().expect("the program is built");
    let text = both(&output);
    assert!(output.status.success(), "{text}");
    for tool in ["valgrind", "strace"] {
        assert!(text.contains(&format!("apt-get install {tool}")), "{text}");
    }
    assert!(text.contains("bytes resident"), "{text}");
}

#[test]
fn an_unknown_server_is_answered_with_those_there_are() {
    let output = command(&["--servers", "nobody"]).output().expect("the program is built");
    let text = both(&output);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("nobody is no server") && text.contains("switchboard-lines"), "{text}");
}

#[test]
fn an_interrupt_leaves_what_was_counted_so_far() {
    if find("strace").is_none() {
        return;
    }
    let path = fresh("partial");
    let mut command = command(&["--servers", "switchboard", "--figures", "calls", "--rounds", "2"]);
    let mut process = command
        .args(["--scenarios", "echo,echo-idle,churn-1,churn-32,bulk", "--json"])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program is built");
    let mut stdout = BufReader::new(process.stdout.take().expect("it is piped"));
    let mut text = String::new();
    // The first line says that one is counted; the others take longer than a signal.
    stdout.read_line(&mut text).expect("it counts");
    kill_process(Pid::from_child(&process), Signal::INT).expect("it runs");
    stdout.read_to_string(&mut text).expect("it ends");
    assert!(process.wait().expect("it was started").success(), "{text}");
    assert!(text.contains("partial"), "{text}");
    let results = json(&path);
    assert_eq!(results["partial"], true);
    counted(&results, "switchboard", "echo");
    assert!(results["scenarios"].as_array().is_some_and(|all| all.len() < 5), "{results:#}");
}
