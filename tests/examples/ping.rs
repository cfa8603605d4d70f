//! The example `ping` as a process, on loopback. Where the system forbids it, it must say so.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::{Running, example};

fn ping(args: &[&str]) -> Output {
    Command::new(example("ping")).args(args).stdin(Stdio::null()).output().expect("it runs")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// Whether the system forbids it, which must be said in one line that names what would allow it.
fn is_forbidden(output: &Output) -> bool {
    let forbidden = output.status.code() == Some(2);
    if forbidden {
        let message = text(output.stderr.clone());
        assert!(message.starts_with("ping: the system forbids it"), "{message}");
        assert!(
            message.contains("net.ipv4.ping_group_range") && message.contains("CAP_NET_RAW"),
            "{message}"
        );
        assert_eq!((message.lines().count(), output.stdout.len()), (1, 0));
    }
    forbidden
}

#[test]
fn each_request_is_answered_and_counted() {
    for to in ["127.0.0.1", "::1"] {
        let output = ping(&["--count", "3", "--interval", "0.01", "--timeout", "30", to]);
        if is_forbidden(&output) {
            continue;
        }
        assert_eq!((output.status.code(), text(output.stderr).as_str()), (Some(0), ""), "{to}");
        let printed = text(output.stdout);
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines[0], format!("PING {to}: 56 data bytes"));
        for number in 1..=3 {
            let begin = format!("64 bytes from {to}: icmp_seq={number} time=");
            assert!(
                lines[1..4].iter().any(|line| line.starts_with(&begin) && line.ends_with(" ms")),
                "{printed}"
            );
        }
        assert_eq!(lines[4..6], ["", &format!("--- {to} ping statistics ---")]);
        assert_eq!(lines[6], "3 packets transmitted, 3 received, 0% packet loss");
        let times = lines[7].strip_prefix("rtt min/avg/max = ").and_then(|times| times.strip_suffix(" ms"));
        let times: Vec<f64> =
            times.expect("times").split('/').map(|time| time.parse().expect("a time")).collect();
        assert!(times.len() == 3 && times.is_sorted(), "{printed}");
        assert_eq!(lines.len(), 8);
    }
}

// A user whom the system gives no such socket: here the one that has no rights at all.
#[test]
fn where_it_is_forbidden_it_says_what_would_allow_it() {
    let mut command = Command::new(example("ping"));
    let nobody = command.args(["--count=1", "127.0.0.1"]).uid(65_534).gid(65_534).output();
    // It takes root to become somebody else, and the program must lie where others may run it.
    let Ok(output) = nobody else { return };
    // Where the setting names all groups, it is not forbidden.
    assert!(is_forbidden(&output) || output.status.success(), "{output:?}");
}

#[test]
fn several_at_once_do_not_take_each_others_answers() {
    if is_forbidden(&ping(&["--count", "1", "127.0.0.1"])) {
        return;
    }
    let running: Vec<_> = (0..4)
        .map(|_| {
            let mut command = Command::new(example("ping"));
            Running::start(command.args(["--count=20", "--interval=0.01", "--timeout=30", "127.0.0.1"]))
        })
        .collect();
    for one in running {
        let (code, printed) = one.end();
        assert_eq!(code, Some(0));
        assert!(printed.contains("20 packets transmitted, 20 received, 0% packet loss"), "{printed}");
        assert_eq!(printed.matches("icmp_seq=").count(), 20, "{printed}");
    }
}

#[test]
fn ctrl_c_prints_what_came_of_it_so_far() {
    let mut command = Command::new(example("ping"));
    let mut running = Running::start(command.args(["--interval=3600", "127.0.0.1"]));
    if running.line().is_empty() {
        assert_eq!(running.end().0, Some(2), "it is forbidden");
        return;
    }
    assert!(running.line().starts_with("64 bytes from 127.0.0.1: icmp_seq=1 "));
    running.signal(Signal::INT);
    let (code, rest) = running.end();
    assert_eq!(code, Some(0));
    assert!(rest.contains("1 packets transmitted, 1 received, 0% packet loss\nrtt "), "{rest}");
}

#[test]
fn bad_arguments_are_one_line_that_says_what_was_expected() {
    for args in [
        &[][..],
        &["--count"],
        &["--count", "0", "127.0.0.1"],
        &["--count", "many", "127.0.0.1"],
        &["--interval", "0.001", "127.0.0.1"],
        &["--timeout", "-1", "127.0.0.1"],
        &["127.0.0.1", "127.0.0.2"],
        &["--flood", "127.0.0.1"],
    ] {
        let output = ping(args);
        let message = text(output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(message.starts_with("ping: ") && message.lines().count() == 1, "{message}");
        assert!(message.contains("; expected ping [--count N]"), "{message}");
    }
}
