//! The load generator as a process, against servers that are right and servers that are not.
//!
//! The servers that are right are those of `serve`; those that are not, and the one that broadcasts, are blocking
//! std sockets in this file.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_switchboard-bench");

/// A server of `serve`, ended when it is dropped.
struct Served {
    child: Child,
    addr: SocketAddr,
}

impl Served {
    fn start(name: &str) -> Served {
        let mut child = Command::new(BENCH)
            .args(["serve", name, "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program is built");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let addr = line.trim().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        Served { child, addr: addr.expect("a line with an address") }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server of one thread for each connection, each with what `serve` does, for as long as the test runs.
fn server(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(number, stream));
        }
    });
    addr
}

/// An echo of one connection, which hands each piece and its place in the stream to `change` before it goes back.
fn echo(mut stream: &TcpStream, mut change: impl FnMut(u64, &mut Vec<u8>)) {
    let (mut place, mut buffer) = (0, vec![0; 65536]);
    while let Ok(count) = stream.read(&mut buffer)
        && count > 0
    {
        let mut piece = buffer[..count].to_vec();
        change(place, &mut piece);
        place += count as u64;
        if stream.write_all(&piece).is_err() {
            return;
        }
    }
}

fn load(addr: SocketAddr, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(BENCH)
        .arg("load")
        .arg(addr.to_string())
        .args(arguments)
        .output()
        .expect("the program is built")
}

/// The report of a run that must succeed.
fn report(addr: SocketAddr, arguments: &str) -> Value {
    let output = load(addr, &format!("{arguments} --json"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {}: {stderr}", output.status);
    assert_eq!(stderr, "", "{arguments}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// The one line that a run must fail with.
fn failure(addr: SocketAddr, arguments: &str) -> String {
    let output = load(addr, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{arguments}: {stderr}");
    stderr.trim_end().strip_prefix("switchboard-bench: ").expect("it says who speaks").to_owned()
}

const FRAMINGS: [(&str, &str); 3] =
    [("raw", "switchboard"), ("lines", "switchboard-lines"), ("length", "switchboard-length")];

/// Runs `arguments` on each framing and checks the counts.
fn on_each_framing(arguments: &str, requests: u64, size: u64) {
    for (framing, name) in FRAMINGS {
        let served = Served::start(name);
        let report = report(
            served.addr,
            &format!("{arguments} --framing {framing} --requests {requests} --size {size}"),
        );
        assert_eq!(report["framing"], framing);
        assert_eq!(report["requests"], requests, "{report}");
        assert_eq!(report["errors"], 0);
        assert_eq!(report["partial"], false);
    }
}

#[test]
fn ping_pong_does_exactly_what_was_asked_for() {
    for depth in [1, 5] {
        on_each_framing(&format!("--connections 7 --depth {depth}"), 1000, 33);
    }
    let served = Served::start("switchboard");
    let report = report(served.addr, "--connections 3 --requests 100 --size 10");
    assert_eq!(report["bytes"], 1000);
    assert!(report["latency"]["p50"].as_f64().expect("a number") > 0.0);
    assert_eq!(report["open_loop"], Value::Null);
}

#[test]
fn churn_ends_every_connection() {
    on_each_framing("--scenario churn --connections 5", 200, 64);
    on_each_framing("--scenario churn --connections 2 --depth 3", 20, 5000);
}

#[test]
fn bulk_moves_large_messages_both_ways() {
    on_each_framing("--scenario bulk --connections 3 --depth 64", 2000, 8000);
    // More on its way than the buffers of the kernel hold.
    let served = Served::start("switchboard");
    let arguments = "--scenario bulk --connections 2 --depth 8 --size 4000000 --requests 24";
    let report = report(served.addr, arguments);
    assert_eq!(report["bytes"], 96_000_000);
    assert_eq!(report["latency"], Value::Null);
}

#[test]
fn idle_connections_are_silent_and_weighed() {
    on_each_framing("--scenario idle --connections 2 --idle-connections 100", 50, 64);
    let served = Served::start("switchboard");
    let pid = served.child.id();
    let arguments = format!("--scenario idle --idle-connections 500 --server-pid {pid}");
    // Time, so that the kernel's account of the server has moved on.
    let report = report(served.addr, &format!("{arguments} --seconds 0.2 --warm-up 0.05"));
    assert_eq!(report["idle_connections"], 500);
    assert!(report["server_bytes_per_idle"].is_number(), "{report}");
    assert!(report["server_cpu_seconds"].as_f64().expect("a number") > 0.0, "{report}");
    assert!(report["load_cpu_seconds"].as_f64().expect("a number") > 0.0, "{report}");
    assert!(report["seconds"].as_f64().expect("a number") >= 0.2, "{report}");
}

#[test]
fn a_broadcast_reaches_everyone() {
    let everyone = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            everyone
                .lock()
                .expect("no test panics with it")
                .push(stream.try_clone().expect("a descriptor is free"));
            let everyone = Arc::clone(&everyone);
            thread::spawn(move || {
                echo(&stream, |_, piece| {
                    let mut everyone = everyone.lock().expect("no test panics with it");
                    // Who has left is no longer told.
                    everyone.retain_mut(|one: &mut TcpStream| one.write_all(piece).is_ok());
                    piece.clear();
                });
            });
        }
    });
    for arguments in [
        "--requests 50",
        "--requests 50 --framing raw --depth 3",
        "--requests 50 --framing length",
        "--requests 20 --rate 500",
    ] {
        // More than one batch of connections.
        let report = report(addr, &format!("--scenario broadcast --connections 130 {arguments}"));
        let messages = if arguments.contains("rate") { 20 } else { 50 };
        assert_eq!(report["requests"], messages * 130, "{report}");
        assert_eq!(report["bytes"], messages * 130 * 64, "{report}");
    }
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let served = Served::start("switchboard");
    for scenario in ["ping-pong", "churn"] {
        let arguments = format!("--scenario {scenario} --connections 20 --rate 2000 --requests 200");
        let report = report(served.addr, &arguments);
        assert_eq!(report["requests"], 200);
        assert_eq!(report["rate"], 2000.0);
        // The last of them is due after 199 intervals.
        assert!(report["seconds"].as_f64().expect("a number") >= 0.0995, "{report}");
        assert_eq!(report["open_loop"]["unsent"], 0);
    }
}

#[test]
fn a_server_that_stands_still_delays_all_that_is_due() {
    let stall = Duration::from_millis(300);
    // It echoes, but stands still once: what it waits for never comes.
    let addr = server(move |_, stream| {
        echo(&stream, |place, _| {
            if place == 64 * 100 {
                let (_never, waits): (_, Receiver<()>) = channel();
                let _ = waits.recv_timeout(stall);
            }
        });
    });
    let report = report(addr, "--connections 1 --rate 1000 --requests 600");
    // A closed loop would have seen one slow answer of 600.
    let p90 = report["latency"]["p90"].as_f64().expect("a number");
    assert!(p90 > 100_000.0, "{report}");
    assert!(report["latency"]["max"].as_f64().expect("a number") >= 299_000.0, "{report}");
    let open = &report["open_loop"];
    let delayed = open["waited"].as_u64().expect("a count") + open["late"].as_u64().expect("a count");
    assert!(delayed >= 250, "{report}");
}

#[test]
fn what_was_due_and_never_sent_is_not_left_out() {
    // It answers nothing after the first message on a connection for half a second.
    let addr = server(|_, stream| {
        echo(&stream, |place, _| {
            if place == 64 {
                let (_never, waits): (_, Receiver<()>) = channel();
                let _ = waits.recv_timeout(Duration::from_millis(500));
            }
        });
    });
    let report = report(addr, "--connections 1 --rate 1000 --seconds 0.3 --warm-up 0");
    assert!(report["open_loop"]["unsent"].as_u64().expect("a count") >= 200, "{report}");
    assert!(report["latency"]["p50"].as_f64().expect("a number") > 50_000.0, "{report}");
}

#[test]
fn a_wrong_byte_is_named() {
    let addr = server(|_, stream| {
        echo(&stream, |place, piece| {
            if (place..place + piece.len() as u64).contains(&1000) {
                let at = usize::try_from(1000 - place).expect("it is in the piece");
                piece[at] ^= 0x20;
            }
        });
    });
    let wrong = failure(addr, "--connections 1 --requests 100");
    assert!(wrong.starts_with("connection 0: byte 1000 that came back is 0x"), "{wrong}");
    let wrong = failure(addr, "--scenario bulk --size 65536 --connections 1 --requests 10");
    assert!(wrong.starts_with("connection 0: byte 1000 that came back is 0x"), "{wrong}");
    let wrong = failure(addr, "--scenario churn --size 2000 --connections 1 --requests 10");
    assert!(wrong.starts_with("connection 0: byte 1000 that came back is 0x"), "{wrong}");
    let wrong = failure(addr, "--scenario broadcast --connections 1 --requests 100");
    assert!(wrong.starts_with("connection 0: byte 1000 that came back is 0x"), "{wrong}");
}

#[test]
fn an_answer_of_another_connection_is_a_wrong_byte() {
    // The first two connections get each other's answers, from their second message on.
    let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let addr = server(move |_, stream| {
        let number = {
            let mut streams = streams.lock().expect("no test panics with it");
            streams.push(stream.try_clone().expect("a descriptor is free"));
            streams.len() - 1
        };
        echo(&stream, |place, piece| {
            if place >= 64 {
                let streams = streams.lock().expect("no test panics with it");
                let _ = (&streams[1 - number]).write_all(piece);
                piece.clear();
            }
        });
    });
    let wrong = failure(addr, "--connections 2 --requests 100");
    assert!(wrong.contains("byte 64 that came back is 0x"), "{wrong}");
}

#[test]
fn bytes_that_nobody_sent_are_named() {
    let addr = server(|_, stream| echo(&stream, |_, piece| piece.extend_from_slice(b"more!")));
    let wrong = failure(addr, "--connections 1 --requests 100");
    assert_eq!(wrong, "connection 0: 5 bytes more came back than were sent, from byte 64 on");
    let wrong = failure(addr, "--scenario churn --connections 1 --requests 100");
    assert_eq!(wrong, "connection 0: 5 bytes more came back than were sent, from byte 64 on");
}

#[test]
fn a_server_that_closes_early_is_named() {
    let addr = server(|_, stream| {
        // All but the first 100 bytes is read and not answered; the end is orderly.
        echo(&stream, |place, piece| {
            let wanted = usize::try_from(100_u64.saturating_sub(place)).expect("it is small");
            if piece.len() > wanted {
                piece.truncate(wanted);
                let _ = (&stream).write_all(piece);
                let _ = stream.shutdown(Shutdown::Write);
            }
        });
    });
    let early = "the server ended it at byte 100, 28 bytes before the end of the answers";
    assert_eq!(failure(addr, "--connections 1 --requests 100"), format!("connection 0: {early}"));
}

#[test]
fn an_idle_connection_that_is_ended_fails_the_run() {
    // Only the first connection stays; the others end after what each does when it is opened.
    let addr = server(|number, stream| {
        echo(&stream, |_, piece| {
            if number > 0 {
                let _ = (&stream).write_all(piece);
                piece.clear();
                let _ = stream.shutdown(Shutdown::Write);
            }
        });
    });
    let ended = failure(addr, "--scenario idle --connections 1 --idle-connections 1 --seconds 60");
    assert_eq!(ended, "connection 1: the server ended it at byte 64, though it was to stay open");
}

#[test]
fn connections_that_fail_in_churn_are_counted_and_the_run_fails() {
    // Every tenth is ended without an answer.
    let addr = server(|number, stream| {
        if number % 10 == 9 {
            let _ = stream.shutdown(Shutdown::Write);
        }
        echo(&stream, |_, _| ());
    });
    let output = load(addr, "--scenario churn --connections 1 --requests 100 --json");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((&report["requests"], &report["errors"]), (&Value::from(90), &Value::from(10)), "{report}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("10 exchanges failed, the first on connection 9: the server ended it at byte 0"),
        "{stderr}"
    );
}

#[test]
fn a_server_that_never_answers_is_named() {
    let addr = server(|_, stream| echo(&stream, |_, piece| piece.clear()));
    for scenario in ["ping-pong", "churn", "idle", "bulk", "broadcast"] {
        let silent = failure(addr, &format!("--scenario {scenario} --connections 1 --patience 0.2"));
        let (connection, what) = silent.split_once(": ").expect("it names the connection");
        assert!(connection.starts_with("connection "), "{scenario}: {silent}");
        assert!(what.starts_with("byte 0 has not come for 0.2 s, "), "{scenario}: {silent}");
    }
}

#[test]
fn nobody_there_is_said_in_one_line() {
    // Bound and never listening: the port stays ours, and who connects is refused.
    let nobody = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    nobody.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port is free");
    let addr = nobody.local_addr().ok().and_then(|addr| addr.as_socket()).expect("it is bound");
    for scenario in ["ping-pong", "churn", "broadcast"] {
        let refused = failure(addr, &format!("--scenario {scenario} --connections 1"));
        assert!(refused.contains("refused at byte 0: start the server first"), "{scenario}: {refused}");
    }
}

#[test]
fn ctrl_c_leaves_a_partial_report() {
    let (told, enough) = channel();
    let addr = server(move |_, stream| {
        let told = told.clone();
        echo(&stream, |place, _| {
            if place > 64 * 100 {
                let _ = told.send(());
            }
        });
    });
    let mut child = Command::new(BENCH)
        .args([
            "load",
            &addr.to_string(),
            "--connections",
            "1",
            "--seconds",
            "600",
            "--warm-up",
            "0",
            "--json",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program is built");
    enough.recv_timeout(Duration::from_secs(60)).expect("a hundred exchanges take no minute");
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let mut json = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut json).expect("it prints text");
    assert_eq!(child.wait().expect("it was started").code(), Some(130));
    let report: Value = serde_json::from_str(&json).expect("one JSON object");
    assert_eq!(report["partial"], true);
    assert!(report["requests"].as_u64().expect("a count") > 50, "{report}");
}

#[test]
fn too_few_descriptors_are_said_before_anything_is_done() {
    let limited =
        format!("ulimit -Sn 64 && ulimit -Hn 64 && exec '{BENCH}' load 127.0.0.1:1 --connections 100");
    let output = Command::new("sh").args(["-c", &limited]).output().expect("there is a shell");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("100 connections need 132 descriptors, the hard limit is 64: raise it"),
        "{stderr}"
    );
    // The soft limit is its own to raise.
    let served = Served::start("switchboard");
    let addr = served.addr;
    let limited = format!("ulimit -Sn 64 && exec '{BENCH}' load {addr} --connections 100 --requests 100");
    let output = Command::new("sh").args(["-c", &limited]).output().expect("there is a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_table_is_for_people() {
    let served = Served::start("switchboard");
    let output = load(served.addr, "--requests 100");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("exchanges     100, ") && text.contains("every byte verified"), "{text}");
}

#[test]
fn what_cannot_be_is_refused_with_what_can() {
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let size = failure(addr, "--framing length --size 4");
    assert_eq!(size, "--size 4 is too short for this framing: 5 or more");
    let idle = failure(addr, "--scenario churn --idle-connections 5");
    assert_eq!(idle, "churn has no idle connections: leave --idle-connections out");
    let many = failure(addr, "--scenario churn --connections 1001");
    assert_eq!(many, "1001 at a time are more than a listener queues in churn: ask for 1000 at most");
    for wrong in ["--connections 0", "--rate 0", "--seconds 0", "--depth 0", "--requests 5 --seconds 1"] {
        assert_eq!(load(addr, wrong).status.code(), Some(2), "{wrong}");
    }
    let output = Command::new(BENCH).args(["load", "nowhere"]).output().expect("the program is built");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("nowhere is no address to connect to, 127.0.0.1:7000 is one"), "{stderr}");
}
