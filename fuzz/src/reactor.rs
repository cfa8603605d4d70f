//! The whole reactor on the simulated network: an input is the tape of a run.
//!
//! It decides the limits, what the program does in each callback, what its peers do, and what the network does to
//! both. The simulation itself checks the reactor around every turn; this checks what a program may rely on: see
//! [`ledger`]. There is a second reactor on the network, which connects to the first.

pub mod cutter;
pub mod ledger;
pub mod peer;
pub mod program;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use switchboard::sim::{self, Choices, Faults, SERVER, Sim};
use switchboard::{Config, Listen, OnCap, Stop};

use ledger::Ledger;
use program::Program;

/// Where the second reactor is.
pub const OTHER: SocketAddr = addr(2, 7001);

/// Where nobody listens.
pub const NOBODY: SocketAddr = addr(2, 9);

/// Where nothing is ever answered.
pub const BLACK_HOLE: SocketAddr = addr(99, 7000);

/// When the reactor begins to drain. All clients have left by then.
const TIME_MAX: Duration = Duration::from_secs(600);

const fn addr(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, host)), port)
}

/// The entry of the target.
pub fn check(data: &[u8]) {
    sim::bytes(data, run);
}

/// One run.
pub fn run(sim: Sim) {
    let choices = sim.choices();
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let faults = match choices.choose("which faults", 3) {
        0 => Faults::none(),
        1 => Faults::harmless(),
        _ => Faults::swarm(),
    };
    let config = config(&choices);
    let isolates_panics = config.isolate_panics;
    let server = Program::new(0, &choices, &ledger);
    let mut scenario = sim.server(server).config(config).faults(faults).black_hole(BLACK_HOLE);
    if choices.choose("small buffers", 2) == 1 {
        scenario = scenario.buffers(2000, 3000);
    }
    if choices.choose("few descriptors", 4) == 1 {
        scenario = scenario.descriptors(6);
    }
    for _ in 0..=choices.choose("clients", 4) {
        let source = ledger.borrow_mut().add_source();
        scenario = scenario.client_fn(peer::client(source, &ledger));
    }
    for call in 0..choices.choose("calls from outside", 4) {
        let at = Duration::from_millis([0, 3, 40, 2000][call]);
        scenario = scenario.at(at, Program::act_some);
    }
    let connects = choices.choose("connections of the other reactor", 4);
    if connects > 0 {
        let other = Program::new(1, &choices, &ledger);
        scenario = scenario.reactor(other, self::config(&choices), move |other, cx| {
            cx.listen(Listen::new(OTHER));
            for _ in 1..connects {
                other.connect(cx, SERVER);
            }
        });
    }
    // Two of its own connections may keep each other and all descriptors for ever.
    scenario.at(TIME_MAX, |_, cx| cx.stop(Stop::Drain)).run();
    ledger.borrow().check_end(isolates_panics);
}

/// Limits that are soon reached.
fn config(choices: &Choices) -> Config {
    let one_of = |values: &[usize]| values[choices.choose("a limit", values.len())];
    let wait = |millis: &[u64]| {
        let millis = millis[choices.choose("a wait", millis.len())];
        (millis > 0).then(|| Duration::from_millis(millis))
    };
    let mut config = Config::default();
    config.recv_buffer_bytes = one_of(&[4096, 512, 600]);
    config.recv_bytes_max = 4096;
    config.queued_bytes_low = one_of(&[1000, 0]);
    config.queued_bytes_high = one_of(&[4000, 1000]);
    config.queued_bytes_max = 20_000;
    config.memory_bytes_max = one_of(&[1 << 20, 40_000]);
    config.connections_max = [None, Some(2), Some(4)][choices.choose("a cap", 3)];
    config.on_cap = [OnCap::Wait, OnCap::Refuse][choices.choose("what happens at the cap", 2)];
    config.connections_per_address_max = [None, Some(1)][choices.choose("a cap for each address", 2)];
    config.accepts_per_turn = one_of(&[16, 1]);
    config.bytes_per_turn = one_of(&[5000, 100]);
    config.frames_per_turn = one_of(&[100, 1, 3]);
    config.timers_per_turn = one_of(&[100, 1]);
    config.timers_max = one_of(&[1000, 3]);
    config.posts_per_turn = one_of(&[100, 1]);
    config.events_per_poll = one_of(&[64, 1]);
    config.linger_bytes_max = one_of(&[10_000, 100, 0]);
    config.write_timeout = Duration::from_millis([30_000, 1000][choices.choose("a wait", 2)]);
    config.idle_timeout = wait(&[0, 1000]);
    config.first_frame_timeout = wait(&[0, 500]);
    config.frame_timeout = wait(&[0, 700]);
    config.half_close = choices.choose("no half-close", 2) == 0;
    config.urgent = choices.choose("urgent bytes are wanted", 2) == 1;
    config.isolate_panics = choices.choose("panics are isolated", 2) == 1;
    config
}
