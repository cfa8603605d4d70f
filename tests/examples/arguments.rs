//! What all examples do alike: arguments, an address that is taken, help, the second signal.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::server::{Server, TOKEN, call, nobody};
use crate::{Running, example};

/// Every server, the address it listens on unless told otherwise, and its other options.
const EXAMPLES: [(&str, &str, &str); 8] = [
    ("echo", "127.0.0.1:7000", ""),
    ("select_echo", "127.0.0.1:7001", ""),
    ("upper", "127.0.0.1:7002", ""),
    ("chat", "127.0.0.1:7003", ""),
    ("offload", "127.0.0.1:7004", ""),
    ("proxy", "127.0.0.1:7005", " [--to HOST:PORT]"),
    ("shards", "127.0.0.1:7006", " [--reactors COUNT]"),
    ("udp_echo", "127.0.0.1:7007", ""),
];

/// Those that are a client, too, and what is called with.
const TWO_SIDED: [(&str, &str, &str); 5] = [
    ("fixed_length", "127.0.0.1:7010", "[COUNT]"),
    ("typed_messages", "127.0.0.1:7011", "[move X Y | where]..."),
    ("ascii_length", "127.0.0.1:7012", "[MESSAGE]..."),
    ("one_shot", "127.0.0.1:7013", "WORD..."),
    ("remote_command", "127.0.0.1:7014", "COMMAND [NUMBER]"),
];

fn run(name: &str, args: &[&OsStr]) -> Output {
    let mut command = Command::new(example(name));
    command.env(TOKEN.0, TOKEN.1).args(args).stdin(Stdio::null()).output().expect("it runs")
}

#[test]
fn bad_arguments_are_one_line_that_says_what_was_expected_and_exit_code_2() {
    let what = OsStr::new;
    for (name, default, options) in EXAMPLES {
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
            let expected = format!("; expected [--listen ADDR:PORT]{options}, such as --listen {default}\n");
            assert!(message.starts_with(&format!("{name}: ")), "{message}");
            assert!(message.ends_with(&expected) && message.lines().count() == 1, "{message}");
        }
    }
}

#[test]
fn help_is_printed_and_exit_code_0() {
    for (name, default, options) in EXAMPLES {
        for arg in ["--help", "-h"] {
            let output = run(name, &[OsStr::new(arg)]);
            assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
            let help = String::from_utf8(output.stdout).expect("UTF-8");
            assert!(help.contains(&format!("usage: {name} [--listen ADDR:PORT]{options}")), "{help}");
            assert!(help.contains(&format!("default {default}")), "{help}");
        }
    }
}

// B4: `--help | head -1`, of which nobody reads anything.
#[test]
fn b4_help_that_nobody_reads_is_no_panic() {
    let names =
        EXAMPLES.iter().chain(&TWO_SIDED).map(|(name, ..)| *name).chain(["client", "ping", "unix_echo"]);
    for name in names {
        let (read_end, write_end) = std::io::pipe().expect("a pipe");
        drop(read_end);
        let output = Command::new(example(name)).arg("--help").stdout(write_end).output().expect("it runs");
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{name}");
    }
}

#[test]
fn an_address_in_use_is_named_with_what_can_be_done() {
    // A second `shards` would join the first one on its port.
    for (name, ..) in EXAMPLES.into_iter().filter(|(name, ..)| *name != "shards") {
        let server = if name == "udp_echo" { Server::start_udp(name) } else { Server::start(name) };
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
    for (name, ..) in EXAMPLES {
        // Reserved for documentation: nobody's.
        let output = run(name, &[OsStr::new("--listen=192.0.2.1:7000")]);
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(message.contains("an address of this machine"), "{message}");
    }
}

#[test]
fn a_listener_on_ipv6_says_so() {
    for (name, ..) in EXAMPLES {
        let mut command = Command::new(example(name));
        let mut server = Running::start(command.args(["--listen=[::1]:0"]));
        let address = server.address();
        assert!(address.is_ipv6() && address.port() != 0, "{address}");
        assert_eq!(server.terminate().0, Some(0));
    }
}

#[test]
fn a_signal_right_after_the_first_line_drains() {
    for (name, ..) in EXAMPLES {
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

#[test]
fn bad_options_are_one_line_that_says_what_was_expected_and_exit_code_2() {
    for (name, option, complaint) in [
        ("proxy", "--to=nowhere", "proxy: --to \"nowhere\" is no address"),
        ("shards", "--reactors=0", "shards: --reactors \"0\" is neither auto nor 1 to 1024"),
        ("shards", "--reactors=many", "shards: --reactors \"many\" is neither"),
    ] {
        let output = run(name, &[OsStr::new("--listen=127.0.0.1:0"), OsStr::new(option)]);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(message.starts_with(complaint), "{message}");
        assert!(message.contains("; expected [--listen") && message.lines().count() == 1, "{message}");
    }
}

#[test]
fn bad_arguments_of_either_side_say_what_was_expected() {
    let what = OsStr::new;
    for (name, default, words) in TWO_SIDED {
        for args in [
            &[][..],
            &[what("nonsense")],
            &[what("--listen"), what("127.0.0.1:0")],
            &[what("serve"), what("--listen"), what("nonsense")],
            &[what("serve"), what("7000")],
            &[what("serve"), what("--what")],
            &[what("call")],
            &[what("call"), what("localhost")],
            &[what("call"), what("--what")],
            &[what("call"), what("127.0.0.1:1"), OsStr::from_bytes(b"\xff")],
        ] {
            let output = run(name, args);
            assert_eq!(output.status.code(), Some(2), "{name} {args:?}");
            assert!(output.stdout.is_empty(), "{name} {args:?}");
            let message = String::from_utf8(output.stderr).expect("UTF-8");
            let expected = format!(
                "; expected {name} serve [--listen ADDR:PORT], or {name} call ADDR:PORT {words}, such as call {default}\n"
            );
            assert!(message.starts_with(&format!("{name}: ")), "{message}");
            assert!(message.ends_with(&expected) && message.lines().count() == 1, "{message}");
        }
        for args in
            [&[what("--help")][..], &[what("-h")], &[what("serve"), what("-h")], &[what("call"), what("-h")]]
        {
            let output = run(name, args);
            assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
            let help = String::from_utf8(output.stdout).expect("UTF-8");
            assert!(help.contains(&format!("usage: {name} serve [--listen ADDR:PORT]")), "{help}");
            assert!(help.contains(&format!("{name} call ADDR:PORT {words}")), "{help}");
        }
    }
}

#[test]
fn d4_a_call_that_is_refused_says_so_and_what_can_be_done() {
    for (name, ..) in TWO_SIDED {
        // Every one of them takes this.
        let words: &[&str] = if matches!(name, "one_shot" | "remote_command") { &["a"] } else { &[] };
        let address = nobody();
        let (code, stdout, stderr) = call(name, address, words);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        let expected = format!("{name}: call {address}: socket error: Connection refused");
        assert!(stderr.starts_with(&expected) && stderr.ends_with("with serve\n"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn a_server_that_is_called_drains_at_a_signal_and_says_when_its_address_is_taken() {
    for (name, ..) in TWO_SIDED {
        let server = Server::serve(name);
        let address = format!("--listen={}", server.address);
        let output = run(name, &[OsStr::new("serve"), OsStr::new(&address)]);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(message.contains("--listen chooses another") && message.lines().count() == 1, "{message}");
        let summary = server.terminate();
        assert!(summary.starts_with("served 0 clients, 0 "), "{summary}");
    }
}
