//! Random scripts: what nobody thought of writing a row for.
//!
//! A few connections, and calls on all their ends in any order. What the kernel does is right, whatever it is.

use super::kernel::Kernel;
use super::rig::{Host, On, Sock};
use super::script::Script;
use super::simulated::Simulated;
use super::{differences, run};
use crate::config::Listen;
use crate::net::Interest;

/// How many scripts, and how many calls in each.
const SCRIPTS: u64 = 300;
const CALLS: usize = 40;

/// What the ends of connections are called, in the order in which they come.
const CLIENTS: [&str; 4] = ["a", "b", "c", "d"];
const SERVERS: [&str; 4] = ["s", "r", "q", "p"];

#[test]
fn random_scripts_leave_the_same_traces() {
    compare_all(|t, seed| Play::new(t, seed).calls(t));
}

#[test]
fn random_scripts_on_unix_streams_leave_the_same_traces() {
    compare_all(|t, seed| Play::on_unix(t, seed).calls(t));
}

fn compare_all(play: impl Fn(&mut Script<'_>, u64)) {
    for seed in 0..SCRIPTS {
        let script = |t: &mut Script<'_>| play(t, seed);
        let kernel = run(&mut On::new(Kernel::new().expect("loopback sockets")), script);
        let simulated = run(&mut On::new(Simulated::new()), script);
        if let Some(lines) = differences(&simulated, &kernel) {
            panic!("script {seed}: left the simulated network, right the kernel\n{lines}");
        }
    }
}

/// Kinds of calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Poll,
    PollForOne,
    Recv,
    RecvLittle,
    RecvUrgent,
    Send,
    SendVectored,
    SendUrgent,
    Shutdown,
    TakeError,
    PeerAddr,
    Register,
    WatchOutput,
    Close,
    Reset,
    Connect,
    Accept,
    Unlisten,
}

use Kind::{
    Accept, Close, Connect, PeerAddr, Poll, PollForOne, Recv, RecvLittle, RecvUrgent, Register, Reset, Send,
    SendUrgent, SendVectored, Shutdown, TakeError, Unlisten, WatchOutput,
};

/// What every script has, and what some have.
const ALWAYS: [Kind; 5] = [Poll, Recv, RecvLittle, Send, Send];
const SOMETIMES: [Kind; 15] = [
    Poll,
    PollForOne,
    RecvUrgent,
    SendVectored,
    SendUrgent,
    SendUrgent,
    Shutdown,
    TakeError,
    PeerAddr,
    Register,
    WatchOutput,
    Close,
    Reset,
    Connect,
    Accept,
];

const SOMETIMES_ON_UNIX: [Kind; 10] =
    [Poll, PollForOne, SendVectored, Shutdown, TakeError, PeerAddr, Close, Reset, Connect, Accept];

/// A script under way.
struct Play {
    rng: fastrand::Rng,
    kinds: Vec<Kind>,
    /// One listener for all, so that no two clients have the same port.
    host: Option<Host>,
    open: Vec<Sock>,
    clients: usize,
    servers: usize,
    /// What polls tell of them.
    interest: Interest,
}

impl Play {
    fn new(t: &mut Script<'_>, seed: u64) -> Play {
        let host = t.listener("L");
        Play::on(t, seed, host, Interest::InputAndOutput, &SOMETIMES)
    }

    /// Of Unix streams polls tell the input only: when Linux says that there is room depends on how it keeps the bytes.
    fn on_unix(t: &mut Script<'_>, seed: u64) -> Play {
        let host = t.listener_with("L", &Listen::unix(super::unix::name()));
        Play::on(t, seed, host, Interest::Input, &SOMETIMES_ON_UNIX)
    }

    fn on(t: &mut Script<'_>, seed: u64, host: Host, interest: Interest, sometimes: &[Kind]) -> Play {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Each script leaves some kinds out, so that none hides what another would have shown.
        let mut kinds: Vec<Kind> = sometimes.iter().copied().filter(|_| rng.u32(..3) > 0).collect();
        kinds.extend(ALWAYS);
        if kinds.contains(&Accept) {
            kinds.push(Unlisten);
        }
        if kinds.contains(&Shutdown) {
            // Its second edge, early or late, changes the order of others.
            kinds.retain(|&kind| kind != PollForOne);
        }
        let host = Some(host);
        let mut play = Play { rng, kinds, host, open: Vec::new(), clients: 0, servers: 0, interest };
        play.connect(t);
        play.accept(t);
        t.poll();
        // The first connection has most of the calls: so more of them meet.
        play.open.extend_from_within(..);
        play
    }

    fn calls(mut self, t: &mut Script<'_>) {
        for _ in 0..CALLS {
            if self.open.is_empty() {
                break;
            }
            let kind = self.kinds[self.rng.usize(..self.kinds.len())];
            let sock = self.open[self.rng.usize(..self.open.len())];
            self.call(t, kind, sock);
        }
        t.poll();
    }

    fn call(&mut self, t: &mut Script<'_>, kind: Kind, sock: Sock) {
        const TEXT: &[u8] = b"abcdefgh";
        let rng = &mut self.rng;
        match kind {
            Poll => t.poll(),
            PollForOne => t.poll_in_order(1),
            Recv => t.recv(sock, 4096),
            RecvLittle => t.recv(sock, rng.usize(1..4)),
            RecvUrgent => t.recv_urgent(sock),
            Send => t.send(sock, &TEXT[..rng.usize(1..8)]),
            SendVectored => t.send_vectored(sock, &[&TEXT[..rng.usize(0..4)], &TEXT[..2]]),
            SendUrgent => t.send_urgent(sock, b"XYZ"[rng.usize(..3)]),
            Shutdown => t.shutdown(sock),
            TakeError => t.take_error(sock),
            PeerAddr => t.peer_addr(sock),
            Register => {
                let interest = if rng.bool() { Interest::Input } else { Interest::InputAndOutput };
                t.deregister(sock);
                t.register_for(sock, interest);
            }
            WatchOutput => t.watch_output(sock),
            Close | Reset => {
                // Not too soon.
                if rng.u32(..4) == 0 {
                    self.open.retain(|&other| other != sock);
                    if kind == Close { t.close(sock) } else { t.reset(sock) }
                }
            }
            Connect => self.connect(t),
            Accept => self.accept(t),
            Unlisten => {
                if rng.u32(..8) == 0 {
                    if let Some(host) = self.host.take() {
                        t.unlisten(host);
                    }
                }
            }
        }
    }

    fn connect(&mut self, t: &mut Script<'_>) {
        if let (Some(host), Some(name)) = (self.host, CLIENTS.get(self.clients)) {
            self.clients += 1;
            let sock = t.connect(name, host);
            self.watch(t, sock);
            self.open.push(sock);
        }
    }

    fn accept(&mut self, t: &mut Script<'_>) {
        if let (Some(host), Some(name)) = (self.host, SERVERS.get(self.servers)) {
            if let Some(sock) = t.accept(name, host) {
                self.servers += 1;
                self.watch(t, sock);
                self.open.push(sock);
            }
        }
    }

    fn watch(&self, t: &mut Script<'_>, sock: Sock) {
        if self.interest == Interest::Input {
            t.deregister(sock);
            t.register_for(sock, Interest::Input);
        }
    }
}
