//! Signals as events of the loop. They belong to the process: each test has one of its own, and what ends a process is
//! tried on a child.

#![cfg(target_os = "linux")]

use std::env;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};
use switchboard::codec::Raw;
use switchboard::signals::{self, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, Signals};
use switchboard::{Config, Conn, Context, Handler, Peer, Reactor, Ready, Result, each};

/// How long a test waits for anything: what takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Caught {
    signals: Signals,
    taken: Vec<i32>,
}

impl Handler for Caught {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn ready(&mut self, _: &mut Context, source: Ready<'_>) {
        self.taken.extend(self.signals.take(source));
    }
}

fn reactor(signals: &[i32]) -> Reactor<Caught> {
    let (signals, source) = Signals::new(signals.iter().copied()).expect("they can be caught");
    let caught = Caught { signals, taken: Vec::new() };
    let mut reactor = Reactor::new(caught, Config::default()).expect("a reactor can be made");
    reactor.register(source).expect("registered");
    reactor
}

/// Turns until so many were taken.
#[track_caller]
fn until(reactor: &mut Reactor<Caught>, count: usize) {
    let begin = Instant::now();
    while reactor.handler().taken.len() < count {
        assert!(begin.elapsed() < PATIENCE, "it never comes");
        reactor.turn(Some(Duration::from_millis(100))).expect("a turn");
    }
}

#[test]
fn a_signal_is_an_event_that_says_which() {
    let mut reactor = reactor(&[SIGWINCH, SIGUSR1]);
    for n in 1..=3 {
        kill_process(getpid(), Signal::USR1).expect("sent");
        until(&mut reactor, n);
    }
    kill_process(getpid(), Signal::WINCH).expect("sent");
    until(&mut reactor, 4);
    assert_eq!(reactor.handler().taken, [SIGUSR1, SIGUSR1, SIGUSR1, SIGWINCH]);
}

#[test]
fn each_reactor_of_a_process_is_told() {
    let mut both = [reactor(&[SIGUSR2]), reactor(&[SIGUSR2])];
    kill_process(getpid(), Signal::USR2).expect("sent");
    for reactor in &mut both {
        until(reactor, 1);
    }
}

#[test]
fn a_signal_that_is_none_or_cannot_be_caught_is_refused() {
    for signal in [9, 11, 19, 0, -1, 12345] {
        let error = Signals::new([signal]).expect_err("not to be caught");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{signal}: {error}");
    }
}

#[test]
fn to_drain_at_a_signal_keeps_nothing_running() {
    let mut reactor = Reactor::new(each(Raw::new, |_, _| Ok(())), Config::default()).expect("made");
    signals::drain(&mut reactor).expect("caught");
    reactor.run().expect("nothing is left");
}

/// Runs this test again, in a child whose output is piped.
fn child(test: &str) -> Child {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args([test, "--exact", "--nocapture"]).env("SWITCHBOARD_CHILD", test);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs")
}

fn is_child() -> bool {
    env::var_os("SWITCHBOARD_CHILD").is_some()
}

/// Waits until the child has said that it is there.
fn hears(child: &mut Child, word: &str) -> BufReader<impl io::Read + use<>> {
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert!(output.read_line(&mut line).expect("UTF-8") > 0, "it never says {word}");
    }
    output
}

// A callback that hangs does not make the process one that only SIGKILL ends.
#[test]
fn a_second_signal_ends_a_process_whose_loop_is_stuck() {
    if is_child() {
        let mut reactor = Reactor::new(each(Raw::new, |_, _| Ok(())), Config::default()).expect("made");
        signals::drain(&mut reactor).expect("caught");
        println!("\nstuck");
        // For ever: nobody writes.
        reactor.with(|_, _| io::stdin().read_line(&mut String::new())).expect("never");
        unreachable!("it is still there");
    }
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = child("a_second_signal_ends_a_process_whose_loop_is_stuck");
        let _output = hears(&mut child, "stuck");
        let pid = Pid::from_child(&child);
        let begin = Instant::now();
        let status = loop {
            assert!(begin.elapsed() < PATIENCE, "it never ends");
            // Two at once may be one, so that it takes two or a few more.
            kill_process(pid, signal).expect("nobody has waited for it yet");
            if let Some(status) = child.try_wait().expect("a status") {
                break status;
            }
            std::thread::yield_now();
        };
        assert_eq!(status.signal(), Some(signal.as_raw()));
    }
}

// Once the reactor is gone, nobody would look: what follows it in `main` can be ended as ever.
#[test]
fn when_the_reactor_is_gone_a_signal_does_what_it_always_did() {
    if is_child() {
        let mut reactor = Reactor::new(each(Raw::new, |_, _| Ok(())), Config::default()).expect("made");
        signals::drain(&mut reactor).expect("caught");
        drop(reactor);
        println!("\ngone");
        io::stdin().read_line(&mut String::new()).expect("never");
        unreachable!("it is still there");
    }
    for (signal, number) in [(Signal::INT, SIGINT), (Signal::TERM, SIGTERM)] {
        let mut child = child("when_the_reactor_is_gone_a_signal_does_what_it_always_did");
        let _output = hears(&mut child, "gone");
        // `wait` would close it, and the child would go on.
        let _input = child.stdin.take();
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        assert_eq!(child.wait().expect("a status").signal(), Some(number));
    }
}

// The process is told of a signal as long as anyone catches it, whoever did so before.
#[test]
fn a_reactor_is_told_when_another_that_was_told_is_gone() {
    if is_child() {
        let tell = |mut reactor: Reactor<Caught>| {
            kill_process(getpid(), Signal::TERM).expect("sent");
            until(&mut reactor, 1);
        };
        let (gone, beside) = (reactor(&[SIGTERM]), reactor(&[SIGTERM]));
        drop(gone);
        tell(beside);
        tell(reactor(&[SIGTERM]));
        println!("\nboth were told");
        io::stdin().read_line(&mut String::new()).expect("never");
        unreachable!("it is still there");
    }
    let mut child = child("a_reactor_is_told_when_another_that_was_told_is_gone");
    let _output = hears(&mut child, "both were told");
    let _input = child.stdin.take();
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("a status").signal(), Some(SIGTERM));
}
