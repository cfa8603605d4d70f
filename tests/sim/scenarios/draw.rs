//! Drawing from the tape: numbers, ways, faults, configurations.
//!
//! It knows that way 0 is the plain one, so that a shrunk run is a plain run. It does not know what is drawn for.

use std::time::Duration;

use switchboard::sim::{Choices, Faults, Sim};
use switchboard::{Config, OnCap};

/// What draws from the tape of a run.
#[derive(Clone)]
pub(super) struct Draw(Choices);

impl Draw {
    pub(super) fn new(sim: &Sim) -> Draw {
        Draw(sim.choices())
    }

    /// A number below `n`; 0 is the plain one.
    pub(super) fn below(&self, n: usize) -> usize {
        self.0.choose("a number", n)
    }

    /// One of `ways`; the first is the plain one.
    pub(super) fn one_of<T: Copy>(&self, ways: &[T]) -> T {
        ways[self.0.choose("one of some ways", ways.len())]
    }

    /// Whether something unusual is done, about once in `n` times.
    pub(super) fn once_in(&self, n: usize) -> bool {
        self.0.choose("whether to", n) == n - 1
    }

    pub(super) fn yes(&self) -> bool {
        self.once_in(2)
    }

    /// None, those that do no harm, or all: each as likely as the others.
    pub(super) fn faults(&self) -> Faults {
        match self.0.choose("which faults", 3) {
            0 => Faults::none(),
            1 => Faults::harmless(),
            _ => Faults::swarm(),
        }
    }
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Any configuration: tiny limits and budgets, timeouts on or off.
pub(super) fn any_config(draw: &Draw) -> Config {
    let mut config = Config::default();
    config.recv_buffer_bytes = draw.one_of(&[4096, 512, 600]);
    config.isolate_panics = draw.yes();
    config.urgent = draw.yes();
    config.half_close = !draw.once_in(4);
    if draw.yes() {
        config.recv_bytes_max = draw.one_of(&[4096, 500, 64]);
        config.queued_bytes_high = draw.one_of(&[4000, 100, 1]);
        config.queued_bytes_low = draw.one_of(&[1000, 60, 0]).min(config.queued_bytes_high);
        let least = config.recv_bytes_max + config.queued_bytes_high;
        config.queued_bytes_max = least + draw.one_of(&[20_000, 1000, 0]);
        config.memory_bytes_max = config.queued_bytes_max + draw.one_of(&[1 << 20, 40_000, 0]);
    }
    if draw.yes() {
        config.bytes_per_turn = draw.one_of(&[5000, 100, 1]);
        config.frames_per_turn = draw.one_of(&[100, 3, 1]);
        config.accepts_per_turn = draw.one_of(&[16, 2, 1]);
        config.timers_per_turn = draw.one_of(&[1024, 2, 1]);
        config.events_per_poll = draw.one_of(&[1024, 2, 1]);
        config.timers_max = draw.one_of(&[1000, 3, 1]);
    }
    if draw.yes() {
        config.connections_max = draw.one_of(&[None, Some(5), Some(2), Some(1)]);
        config.on_cap = draw.one_of(&[OnCap::Wait, OnCap::Refuse]);
        config.connections_per_address_max = draw.one_of(&[None, Some(2), Some(1)]);
    }
    if draw.yes() {
        config.idle_timeout = draw.one_of(&[None, Some(millis(1000)), Some(millis(20))]);
        config.frame_timeout = draw.one_of(&[None, Some(millis(1000)), Some(millis(20))]);
        config.first_frame_timeout = draw.one_of(&[None, Some(millis(1000)), Some(millis(20))]);
        config.write_timeout = draw.one_of(&[millis(30_000), millis(1000), millis(20)]);
        config.connect_timeout = draw.one_of(&[millis(10_000), millis(20)]);
        config.linger_timeout = draw.one_of(&[millis(2000), millis(100), Duration::ZERO]);
        config.linger_bytes_max = draw.one_of(&[64 << 10, 100, 0]);
        config.drain_timeout = draw.one_of(&[millis(30_000), millis(1000), Duration::ZERO]);
        config.slow_callback = draw.one_of(&[Some(millis(100)), None]);
    }
    config
}
