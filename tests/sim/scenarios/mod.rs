//! Scenarios: programs and peers for the simulated network, each of which leaves to the tape whatever may vary.
//!
//! It knows programs and what must come of them; it does not know who runs them: the tests do with a few hundred
//! seeds, the search of the bench package for as long as it is told to.

mod any;
mod drains;
mod draw;
mod limits;
mod peers;
mod proxy;
mod rooms;
mod talks;

use switchboard::sim::Sim;

/// Builds something on the network and runs it.
pub(crate) type Scenario = fn(Sim);

/// All scenarios, by their names.
pub(crate) fn all() -> &'static [(&'static str, Scenario)] {
    &[
        ("any", any::run),
        ("proxy", proxy::run),
        ("chat", rooms::chat),
        ("neighbours", rooms::neighbours),
        ("timers", talks::timers),
        ("pipelining", talks::pipelining),
        ("half_close", talks::half_close),
        ("retry", talks::retry),
        ("drain", drains::under_traffic),
        ("calls", drains::calls),
        ("descriptors", limits::descriptors),
        ("memory", limits::memory),
        ("address_cap", limits::address_cap),
    ]
}
