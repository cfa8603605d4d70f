//! Parity: each row is one script, run on the kernel and on the simulated network, and both traces are compared
//! with what the row says.
//!
//! So the simulated network cannot drift from Linux, and Linux cannot change without being noticed. It knows the
//! calls of the seam and nothing of the reactor. A row reads as follows; a call starts once everything that the
//! calls before it caused has happened, as if the way between two sockets took no time:
//!
//!     a send abc -> 3
//!     a shutdown -> Ok
//!     poll -> a writable, s readable|writable|read_closed
//!     s recv -> abc
//!
//! `a` is the client and `s` the server of a connection, `L` the listener. A poll lists events by name, where the
//! row is not about their order. Errors are compared by kind.
//!
//! | file | its rows |
//! |---|---|
//! | `edges` | what makes an event and what does not, the order of events, polls with little room, the waker |
//! | `urgent` | an urgent byte: the mark, the order of receives, with an end or a reset behind it |
//! | `urgent_twice` | several urgent bytes: which are lost, which are in the stream |
//! | `ends` | half-closes, hang-ups, sends after an end, what was taken before a close |
//! | `resets` | who takes the error, data before it, the end and then a reset |
//! | `late` | closes with input unread, input after a close |
//! | `connects` | success, refusal, what is accepted too late, names of both families |
//! | `accepting` | edges and order of a listener, its close, its queue when it is full |
//! | `interest` | streams of which a poll tells only the input, and those watched for output later |
//! | `buffers` | full buffers, by their shape |
//! | `datagrams` | sockets for datagrams: what is cut, lost, refused and told |
//! | `pipes` | both ends of a pipe, as registered descriptors |
//! | `options` | what options are answered with, at first and once they were set |
//! | `unix` | Unix streams: ends, closes, input left unread |
//! | `outside` | what no call of the seam leads to: the kernel alone is held to it |
//! | `random` | scripts that nobody wrote, where the kernel is right |
//!
//! What Linux does and no row can show here, because it takes a packet that is dropped, delayed or forged, and
//! that takes root in a namespace of its own: a SYN that nobody answers, a peer that is dead while data or
//! keepalives are unacknowledged, a route that ICMP says is closed, ends and resets that cross on their way, an
//! urgent mark that arrives before its byte. A range of four ephemeral ports is a setting of the namespace, too.
//! Two listeners with `SO_REUSEPORT` share connects by a hash that no script can foresee. Unix sockets for datagrams
//! have no row yet.

mod accepting;
mod buffers;
mod connects;
mod datagram_row;
mod datagrams;
mod edges;
mod ends;
mod interest;
mod kernel;
mod late;
mod local;
mod once_more;
mod options;
mod outside;
mod pipes;
mod random;
mod resets;
mod rig;
mod script;
mod simulated;
mod unix;
mod urgent;
mod urgent_twice;

use self::kernel::Kernel;
use self::rig::{On, Rig};
use self::script::Script;
use self::simulated::Simulated;

/// Runs `script` on the kernel and on the simulated network; both must do what `expected` says.
fn parity(script: impl Fn(&mut Script<'_>), expected: &str) {
    kernel_only(&script, expected);
    compare("the simulated network", &run(&mut On::new(Simulated::new()), &script), &lines(expected));
}

/// Runs `script` on the kernel, which must do what `expected` says.
fn kernel_only(script: impl Fn(&mut Script<'_>), expected: &str) {
    let mut kernel = On::new(Kernel::new().expect("loopback sockets"));
    compare("the kernel", &run(&mut kernel, &script), &lines(expected));
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect()
}

fn run(rig: &mut dyn Rig, script: impl Fn(&mut Script<'_>)) -> Vec<String> {
    let mut run = Script::new(rig);
    script(&mut run);
    run.into_trace()
}

/// Panics with both traces side by side, unless they are the same.
fn compare(who: &str, trace: &[String], expected: &[String]) {
    if let Some(lines) = differences(trace, expected) {
        panic!("{who} does not do what the row says (left: what it did, right: what the row says)\n{lines}");
    }
}

/// Two traces side by side, unless they are the same.
fn differences(left: &[String], right: &[String]) -> Option<String> {
    if left == right {
        return None;
    }
    let mut lines = String::new();
    for at in 0..left.len().max(right.len()) {
        let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_default();
        let (left, right) = (line(left), line(right));
        let mark = if left == right { ' ' } else { '!' };
        lines.extend([&format!("{mark} {left:50} | {right}"), "\n"]);
    }
    Some(lines)
}
