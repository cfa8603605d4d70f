//! What all examples do alike: arguments, an address that is taken, help, the second signal.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::server::Server;
use crate::{Running, example};

/// Every example, and the address it listens on unless told otherwise.
const EXAMPLES: [(&str, &str); 4] = [
    ("echo", "127.0.0.1:7000"),
    ("select_echo", "127.0.0.1:7001"),
    ("upper", "127.0.0.1:7002"),
    ("chat", "127.0.0.1:7003"),
];

fn run(name: &str, args: &[&OsStr]) -> Output {
    Command::new(example(name)).args(args).stdin(Stdio::null()).output().expect("it runs")
}

#[test]
fn bad_arguments_are_one_line_that_says_what_was_expected_and_exit_code_2() {
    let what = OsStr::new;
    for (name, default) in EXAMPLES {
        for args in [
            &[what("--listen"), what("nonsense")][..],
            &[what("--listen"), what("localhost:7000")],
            &[what("--listen"), what("127.0.0.1:70000")],
            &[what("--listen")],
            &[what("--listen=")],
            &[what("--what")],
            &[what("-x")],
            &[what("7000")],
            &[OsStr::from_bytes(b"--listen=\xff")],
        ] {
            let output = run(name, args);
            assert_eq!(output.status.code(), Some(2), "{name} {args:?}");
            assert!(output.stdout.is_empty(), "{name} {args:?}");
            let message = String::from_utf8(output.stderr).expect("UTF-8");
            let expected = format!("; expected --listen ADDR:PORT, such as --listen {default}\n");
            assert!(message.starts_with(&format!("{name}: ")), "{message}");
            assert!(message.ends_with(&expected) && message.lines().count() == 1, "{message}");
        }
    }
}

#[test]
fn help_is_printed_and_exit_code_0() {
    for (name, default) in EXAMPLES {
        for arg in ["--help", "-h"] {
            let output = run(name, &[OsStr::new(arg)]);
            assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
            let help = String::from_utf8(output.stdout).expect("UTF-8");
            assert!(help.contains(&format!("usage: {name} [--listen ADDR:PORT]")), "{help}");
            assert!(help.contains(&format!("default {default}")), "{help}");
        }
    }
}

#[test]
fn an_address_in_use_is_named_with_what_can_be_done() {
    for (name, _) in EXAMPLES {
        let server = Server::start(name);
        let address = server.address.to_string();
        let output = run(name, &[OsStr::new("--listen"), OsStr::new(&address)]);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(message.starts_with(&format!("{name}: cannot serve {address}: ")), "{message}");
        assert!(message.contains("--listen chooses another"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn an_address_of_another_machine_is_named() {
    for (name, _) in EXAMPLES {
        // Reserved for documentation: nobody's.
        let output = run(name, &[OsStr::new("--listen=192.0.2.1:7000")]);
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(message.contains("an address of this machine"), "{message}");
    }
}

#[test]
fn a_listener_on_ipv6_says_so() {
    for (name, _) in EXAMPLES {
        let mut command = Command::new(example(name));
        let mut server = Running::start(command.args(["--listen=[::1]:0"]));
        let address = server.address();
        assert!(address.is_ipv6() && address.port() != 0, "{address}");
        assert_eq!(server.terminate().0, Some(0));
    }
}

#[test]
fn a_signal_right_after_the_first_line_drains() {
    for (name, _) in EXAMPLES {
        for signal in [Signal::INT, Signal::TERM] {
            let mut command = Command::new(example(name));
            let mut server = Running::start(command.args(["--listen=127.0.0.1:0"]));
            server.address();
            server.signal(signal);
            let (code, rest) = server.end();
            assert_eq!(code, Some(0), "{name}");
            assert!(rest.lines().last().is_some_and(|line| line.starts_with("served 0 ")), "{name}: {rest}");
        }
    }
}
