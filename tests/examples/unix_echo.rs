//! The example `unix_echo` as a process, with peers of the standard library and `socat`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::server::pattern;
use crate::{PATIENCE, Running, example};

/// A path for the test's own socket.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        Place(std::env::temp_dir().join(format!("unix_echo-{}-{name}.sock", std::process::id())))
    }

    fn addr(&self) -> String {
        format!("unix:{}", self.0.display())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn serve(addr: &str, options: &[&str]) -> Running {
    let mut command = Command::new(example("unix_echo"));
    let mut server = Running::start(command.args(["serve", "--listen", addr]).args(options));
    assert_eq!(server.line(), format!("listening on {addr}"));
    assert_eq!(server.line(), format!("try: unix_echo call {addr} hello"));
    server
}

fn run(args: &[&str]) -> Output {
    Command::new(example("unix_echo")).args(args).stdin(Stdio::null()).output().expect("it runs")
}

fn echoes(path: &Path, length: usize) {
    let client = UnixStream::connect(path).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let sent = pattern(length, 7);
    let mut heard = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&client).write_all(&sent).expect("sent");
            client.shutdown(Shutdown::Write).expect("connected");
        });
        (&client).read_to_end(&mut heard).expect("all of it");
    });
    assert!(heard == sent);
}

#[test]
fn everything_comes_back_and_the_path_is_the_owners_and_goes_with_the_server() {
    let place = Place::new("served");
    let server = serve(&place.addr(), &[]);
    let mode = fs::metadata(&place.0).expect("bound").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    echoes(&place.0, 3_000_000);
    let (code, rest) = server.terminate();
    assert_eq!(code, Some(0));
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let who = format!("0.1: user {uid}, group {gid}, process {}", std::process::id());
    assert_eq!(rest, format!("{who}\nserved 1 connections, 3000000 bytes in, 3000000 bytes out\n"));
    assert!(!place.0.exists());
}

// K7: a server that was killed leaves its path, which the next one takes over; a third finds it in use.
#[test]
fn k7_a_server_takes_over_from_one_that_was_killed_and_not_from_one_that_runs() {
    let place = Place::new("killed");
    let server = serve(&place.addr(), &[]);
    server.signal(Signal::KILL);
    drop(server);
    assert!(place.0.exists());
    let server = serve(&place.addr(), &["--mode", "666"]);
    assert_eq!(fs::metadata(&place.0).expect("bound").permissions().mode() & 0o777, 0o666);
    let third = run(&["serve", "--listen", &place.addr()]);
    let message = String::from_utf8(third.stderr).expect("UTF-8");
    assert_eq!(third.status.code(), Some(1));
    assert!(message.starts_with(&format!("unix_echo: {} cannot be bound to", place.addr())), "{message}");
    assert!(message.contains("does it run already?") && message.lines().count() == 1, "{message}");
    echoes(&place.0, 1000);
    assert_eq!(server.terminate().0, Some(0));
}

#[test]
fn a_call_prints_what_comes_back_and_fails_where_nobody_listens() {
    let name = format!("unix:@unix_echo-{}", std::process::id());
    let server = serve(&name, &[]);
    let output = run(&["call", &name, "hello", "there"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"hello\nthere\n"[..]));
    assert_eq!(server.terminate().0, Some(0));
    let output = run(&["call", &name, "hello"]);
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(message.contains(&format!("{name}: Connection refused")), "{message}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn socat_gets_its_line_back() {
    let there = Command::new("socat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return;
    }
    let place = Place::new("socat");
    let server = serve(&place.addr(), &[]);
    let (read_end, mut typed) = std::io::pipe().expect("a pipe");
    let mut command = Command::new("socat");
    let connect = format!("UNIX-CONNECT:{}", place.0.display());
    let mut socat = Running::start(command.args(["-", &connect]).stdin(read_end));
    typed.write_all(b"hello\n").expect("written");
    assert_eq!(socat.line(), "hello");
    drop(socat);
    assert_eq!(server.terminate().0, Some(0));
}

#[test]
fn bad_arguments_of_unix_echo_are_one_line_that_says_what_was_expected() {
    for args in [
        &[][..],
        &["serve", "--listen", "127.0.0.1:7000"],
        &["serve", "--listen", "/tmp/some.sock"],
        &["serve", "--mode", "999"],
        &["call"],
        &["call", "unix:/tmp/some.sock"],
        &["what"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        let expected = "; expected unix_echo serve [--listen unix:PATH] [--mode OCTAL], or unix_echo call unix:PATH \
                        WORD..., such as call unix:/tmp/unix_echo.sock hello\n";
        assert!(message.starts_with("unix_echo: ") && message.ends_with(expected), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let output = run(&["--help"]);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
