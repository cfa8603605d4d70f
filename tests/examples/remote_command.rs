//! The example `remote_command` as a process: what it runs, and what it does not. The failure modes O, each by its id.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::server::{Server, TOKEN, call, read_to_any_end};
use crate::{PATIENCE, Running, example};

fn serve() -> Server {
    Server::serve("remote_command")
}

/// Runs a command by the example's own client: its exit code, the output, and the complaint.
fn run(server: &Server, words: &[&str]) -> (Option<i32>, String, String) {
    call("remote_command", server.address, words)
}

/// One block: its kind, and what is in it. `None` at the end.
fn block(client: &mut TcpStream) -> Option<(char, Vec<u8>)> {
    let mut size = [0; 5];
    // Not `read`: a socket with a timeout is interrupted by whatever stops the process for a moment.
    match client.read_exact(&mut size[..1]) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
        result => result.expect("a block, or an orderly end"),
    }
    client.read_exact(&mut size[1..]).expect("five digits");
    let size: usize = std::str::from_utf8(&size).expect("digits").parse().expect("a number");
    let mut block = vec![0; size];
    client.read_exact(&mut block).expect("as many as it says");
    Some((char::from(block[0]), block[1..].to_vec()))
}

fn text(block: Option<(char, Vec<u8>)>) -> (char, String) {
    let (kind, text) = block.expect("a block");
    (kind, String::from_utf8(text).expect("UTF-8"))
}

/// A connection that has read the greeting.
fn greeted(server: &Server) -> TcpStream {
    let mut client = server.connect();
    let (kind, greeting) = text(block(&mut client));
    assert_eq!((kind, greeting.starts_with("unencrypted")), ('!', true), "{greeting}");
    client
}

/// A connection that has asked for a command.
fn asked(server: &Server, command: &str) -> TcpStream {
    let mut client = greeted(server);
    client.write_all(format!("{}\n{command}\n", TOKEN.1).as_bytes()).expect("written");
    client
}

/// The output of a command, and how it ended.
fn all(client: &mut TcpStream) -> (Vec<u8>, String) {
    let mut output = Vec::new();
    loop {
        match block(client) {
            Some(('+', bytes)) => output.extend(bytes),
            Some(('=', end)) => return (output, String::from_utf8(end).expect("UTF-8")),
            other => panic!("{other:?} after {} bytes", output.len()),
        }
    }
}

/// The parent and the group of every process, by its number.
fn processes() -> BTreeMap<i32, (i32, i32)> {
    let entries = fs::read_dir("/proc").expect("it is there").filter_map(Result::ok);
    let stats = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // Behind the name, which may have anything in it: the state, the parent, the group.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
        Some((pid, (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)))
    });
    stats.collect()
}

/// Waits until the server has a child whose group has so many members, and answers with the group.
#[track_caller]
fn group_of(server: &Server, members: usize) -> i32 {
    let begin = Instant::now();
    let pid = server.pid().as_raw_nonzero().get();
    loop {
        let processes = processes();
        let child = processes.iter().find(|(child, (parent, group))| *parent == pid && group == *child);
        if let Some((&child, _)) = child {
            if processes.values().filter(|(_, group)| *group == child).count() == members {
                return child;
            }
        }
        assert!(begin.elapsed() < PATIENCE, "no such child");
        thread::yield_now();
    }
}

/// Waits until nobody is in a group any more: no zombie either.
#[track_caller]
fn is_gone(group: i32) {
    let begin = Instant::now();
    while processes().values().any(|(_, other)| *other == group) {
        assert!(begin.elapsed() < PATIENCE, "it is still there");
        thread::yield_now();
    }
}

#[test]
fn megabytes_come_whole_with_their_sizes_first() {
    let server = serve();
    let (code, output, complaint) = run(&server, &["count", "500000"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    let numbers = output.lines().map(|line| line.parse::<u32>().expect("a number"));
    assert!(output.ends_with('\n') && numbers.eq(1..=500_000), "{} bytes", output.len());
    assert_eq!(server.terminate(), "served 1 clients, 1 commands\n");
}

// O1: what a shell would run is no name of the list, or no number.
#[test]
fn o1_nothing_of_a_line_reaches_a_shell() {
    let server = serve();
    let proof = std::env::temp_dir().join(format!("switchboard-o1-{}", std::process::id()));
    let touch = format!("touch {}", proof.display());
    for line in [
        format!("date; {touch}"),
        format!("date|{touch}"),
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("count 1; {touch}"),
        format!("count $({touch})"),
        format!("date && {touch}"),
        format!("date\r{touch}"),
        touch.clone(),
        "/bin/date".into(),
        "../bin/date".into(),
        String::new(),
    ] {
        let mut client = asked(&server, &line);
        let (kind, why) = text(block(&mut client));
        assert_eq!(kind, '!', "{line:?}: {why}");
        assert!(block(&mut client).is_none());
    }
    // A second line is no second command.
    let mut client = asked(&server, "slow\ndate");
    let (kind, why) = text(block(&mut client));
    assert_eq!((kind, why.as_str()), ('!', "one command for each connection"));
    assert!(!proof.exists());
    assert_eq!(server.terminate(), "served 13 clients, 1 commands\n");
}

// O2: what comes from outside is a number, of digits only, and stands behind `--` and other words.
#[test]
fn o2_what_looks_like_an_option_is_refused() {
    let server = serve();
    for line in
        ["count -f%n", "count --help", "count -1", "count +1", "count 1 -w", "count  1", "count", "date -u"]
    {
        let mut client = asked(&server, line);
        let (kind, why) = text(block(&mut client));
        assert_eq!((kind, why.contains(" takes ")), ('!', true), "{line:?}: {why}");
    }
    assert_eq!(run(&server, &["count", "3"]).1, "1\n2\n3\n");
    assert_eq!(server.terminate(), "served 9 clients, 1 commands\n");
}

// O3: other programs of the same names lie in front, and the environment of the server is no child's.
#[test]
fn o3_neither_path_nor_environment_reach_a_command() {
    let evil = std::env::temp_dir().join(format!("switchboard-o3-{}", std::process::id()));
    fs::create_dir_all(&evil).expect("a folder");
    for name in ["seq", "env", "date"] {
        let path = evil.join(name);
        fs::write(&path, "#!/bin/sh\necho evil\n").expect("written");
        let made = Command::new("chmod").arg("+x").arg(&path).status().expect("it runs");
        assert!(made.success());
    }
    let mut command = Command::new(example("remote_command"));
    command.args(["serve", "--listen=127.0.0.1:0"]).env(TOKEN.0, TOKEN.1);
    let mut running = Running::start(command.env("PATH", &evil).env("EVIL", "yes").current_dir(&evil));
    let address = running.address();
    assert_eq!(call("remote_command", address, &["count", "2"]).1, "1\n2\n");
    assert_eq!(call("remote_command", address, &["env"]), (Some(0), String::new(), String::new()));
    assert_eq!(running.terminate().0, Some(0));
    fs::remove_dir_all(&evil).expect("removed");
}

// O4, N1: of all that the server has open, a child gets its three.
#[test]
fn o4_a_command_gets_none_of_the_servers_sockets() {
    let server = serve();
    let clients = [greeted(&server), greeted(&server), asked(&server, "slow")];
    let open = |number: &str, pid: &str| fs::read_link(format!("/proc/{pid}/fd/{number}")).ok();
    let pid = server.pid().as_raw_nonzero().to_string();
    let (code, output, _) = run(&server, &["descriptors"]);
    assert_eq!(code, Some(0));
    let mut given: Vec<_> = output.lines().collect();
    // What whoever runs the tests left open for everyone is not the server's.
    given.retain(|number| {
        let (ours, servers) = (open(number, "self"), open(number, &pid));
        number.parse::<u32>().is_ok_and(|number| number < 4) || ours.is_none() || ours != servers
    });
    // The fourth is the folder that it lists.
    assert_eq!(given, ["0", "1", "2", "3"]);
    drop(clients);
}

// O5: a command that does not end is killed in its time, with what it has started, and waited for.
#[test]
fn o5_a_command_that_never_ends_is_killed_with_its_children() {
    let server = serve();
    let mut client = asked(&server, "slow");
    let group = group_of(&server, 2);
    let (output, end) = all(&mut client);
    assert_eq!((output.len(), end.as_str()), (0, "killed: it took too long"));
    assert!(block(&mut client).is_none());
    is_gone(group);
    assert_eq!(server.terminate(), "served 1 clients, 1 commands\n");
}

// O5: nor does one outlive whoever has asked for it, or the server.
#[test]
fn o5_nothing_runs_for_nobody() {
    let server = serve();
    let client = asked(&server, "endless");
    let group = group_of(&server, 1);
    drop(client);
    is_gone(group);

    let client = asked(&server, "endless");
    let group = group_of(&server, 1);
    server.signal(rustix::process::Signal::TERM);
    // The drain waits for it; the second signal does not. It does not read, so that it is told by the end alone.
    server.waits_for_sockets(1);
    server.ends_at(rustix::process::Signal::TERM, "served 2 clients, 2 commands");
    is_gone(group);
    drop(client);
}

// O6: output has an end, and until then whoever does not read it holds the command up, not the server's memory. The loop
// goes on for everyone else meanwhile, for so many turns that the server could have read far more than it may queue.
#[test]
fn o6_output_is_cut_off_and_waits_for_its_reader() {
    let server = serve();
    let mut slow = asked(&server, "endless");
    assert_eq!(block(&mut slow).map(|(kind, _)| kind), Some('+'));
    for _ in 0..20 {
        assert_eq!(run(&server, &["count", "30000"]).0, Some(0));
    }
    // What the kernel's buffers hold, and little more: the output is 16 MiB.
    let status =
        fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero())).expect("it runs");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    assert!(peak.is_some_and(|kib| kib < 32 << 10), "{peak:?} KiB");
    let (output, end) = all(&mut slow);
    assert!(output.len() > 15 << 20, "{} bytes", output.len());
    assert_eq!(end, "killed: more than 16777216 bytes");
    let (code, output, complaint) = run(&server, &["endless"]);
    assert_eq!((code, output.len()), (Some(1), 16 << 20));
    assert!(complaint.contains("killed: more than 16777216 bytes"), "{complaint}");
    assert_eq!(server.terminate(), "served 22 clients, 22 commands\n");
}

// O7: while one command takes its second, others come and go.
#[test]
fn o7_nobody_waits_for_another_ones_command() {
    let server = serve();
    let mut slow = asked(&server, "slow");
    let group = group_of(&server, 2);
    for _ in 0..3 {
        assert_eq!(run(&server, &["count", "1"]), (Some(0), "1\n".into(), String::new()));
    }
    assert_eq!(all(&mut slow).1, "killed: it took too long");
    is_gone(group);
    drop(server);
}

// O8: an address that others can reach is refused, whatever it is called.
#[test]
fn o8_it_listens_on_loopback_only() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let mut command = Command::new(example("remote_command"));
        let command = command.args(["serve", "--listen", address]).env(TOKEN.0, TOKEN.1).stdin(Stdio::null());
        let output = command.output().expect("it runs");
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{message}");
        assert!(message.contains("a loopback address only") && message.lines().count() == 1, "{message}");
    }
}

// O9, N11: what a browser can be made to send is not answered, also where the token and a command are in it.
#[test]
fn o9_http_is_not_answered() {
    let server = serve();
    for verb in ["GET", "POST", "PUT", "OPTIONS", "CONNECT"] {
        let mut client = greeted(&server);
        let request = format!("{verb} / HTTP/1.1\r\nHost: localhost\r\n\r\n{}\ndate\n", TOKEN.1);
        client.write_all(request.as_bytes()).expect("written");
        assert_eq!(read_to_any_end(&mut client), b"", "{verb}");
    }
    assert_eq!(server.terminate(), "served 5 clients, 0 commands\n");
}

// O10: few tries for each connection, few for all of them, and little time.
#[test]
fn o10_a_token_cannot_be_tried_out() {
    let server = serve();
    let nearly = &TOKEN.1[..TOKEN.1.len() - 1];
    let longer = format!("{}x", TOKEN.1);
    let twice = TOKEN.1.repeat(2);
    for wrong in [["", nearly, &longer], [&twice, "x", &TOKEN.1.to_uppercase()], ["a", "b", "c"]] {
        let mut client = greeted(&server);
        for guess in wrong {
            client.write_all(format!("{guess}\n").as_bytes()).expect("written");
            assert_eq!(text(block(&mut client)), ('!', "wrong token".into()), "{guess:?}");
        }
        assert!(block(&mut client).is_none(), "three are enough");
    }
    assert_eq!(run(&server, &["count", "1"]).0, Some(0), "nine are not yet too many");
    let mut client = greeted(&server);
    client.write_all(b"the tenth\n").expect("written");
    assert_eq!(text(block(&mut client)), ('!', "wrong token".into()));
    let (code, _, complaint) = run(&server, &["count", "1"]);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("too many wrong tokens: come back in a minute"), "{complaint}");
    drop(server);
}

// O10: the example's own client does not wait for the end of the time for a login, and says what is wrong.
#[test]
fn o10_a_wrong_token_is_said_to_be_wrong() {
    let server = serve();
    let mut client = Command::new(example("remote_command"));
    client.args(["call", &server.address.to_string(), "count", "1"]);
    let output = client.env(TOKEN.0, TOKEN.1.to_uppercase()).output().expect("it runs");
    let complaint = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.ends_with(": wrong token\n"), "{complaint}");
    assert_eq!(server.terminate(), "served 1 clients, 0 commands\n");
}

// O10: whoever is silent, or has said only half of it, is not waited for; a byte now and then changes nothing.
#[test]
fn o10_a_login_has_its_time() {
    let server = serve();
    let mut silent = greeted(&server);
    let mut half = greeted(&server);
    half.write_all(format!("{}\n", TOKEN.1).as_bytes()).expect("written");
    let mut trickle = greeted(&server);
    let begin = Instant::now();
    while trickle.write_all(b"x").is_ok() {
        trickle.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        if let Ok(n) = trickle.peek(&mut [0]) {
            assert!(n == 1, "it says why");
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "it is waited for");
    }
    for client in [&mut silent, &mut half] {
        assert_eq!(text(block(client)), ('!', "too slow".into()));
        assert!(block(client).is_none());
    }
    drop(server);
}

// O11: it does not promise what it has not: its first words are that it is unencrypted.
#[test]
fn o11_its_first_line_says_that_it_is_unencrypted() {
    let mut command = Command::new(example("remote_command"));
    let output = command.arg("--help").stdin(Stdio::null()).output().expect("it runs");
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(help.lines().next().is_some_and(|line| line.contains("unencrypted")), "{help}");
    assert!(!help.to_lowercase().contains("ssh") && !help.to_lowercase().contains("secure"), "{help}");
    // `greeted` sees that the first line on the wire does, too.
    drop(greeted(&serve()));
}

#[test]
fn without_a_secret_neither_side_begins() {
    for token in [None, Some("too short")] {
        for side in [&["serve", "--listen=127.0.0.1:0"][..], &["call", "127.0.0.1:1", "date"]] {
            let mut command = Command::new(example("remote_command"));
            command.args(side).stdin(Stdio::null()).env_remove(TOKEN.0);
            command.envs(token.map(|token| (TOKEN.0, token)));
            let output = command.output().expect("it runs");
            let message = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{message}");
            assert!(message.contains(TOKEN.0) && message.lines().count() == 1, "{message}");
        }
    }
}
