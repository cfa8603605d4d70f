//! What the micro-benchmarks measure: the parts of switchboard one by one, each beside the naive way to do the same.
//!
//! It knows which parts there are. What is private is compiled here once more, from the same files under the same
//! paths: a public way to it would be a promise to users. What is public is used as everyone uses it. A program is
//! linked with its libraries as a whole, so the code is the same.

mod broadcast;
mod codecs;
pub mod race;
mod reactor;
mod send_queue;
mod simulator;
mod slots;
mod timers;

#[macro_use]
#[path = "../../src/wrong.rs"]
mod wrong;
#[expect(dead_code, reason = "as the library has it, and only part of it is measured")]
#[path = "../../src/addr.rs"]
pub mod addr;
#[expect(dead_code, reason = "as the library has it, and only part of it is measured")]
#[path = "../../src/config.rs"]
pub mod config;
#[expect(dead_code, unreachable_pub, reason = "as the library has it, and only part of it is measured")]
#[path = "../../src/conn/mod.rs"]
pub mod conn;
#[expect(dead_code, reason = "as the library has it, and only part of it is measured")]
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/id.rs"]
pub mod id;
#[path = "../../src/instant.rs"]
pub mod instant;
#[path = "../../src/listen.rs"]
pub mod listen;
#[expect(dead_code, reason = "as the library has it, and only part of it is measured")]
#[path = "../../src/options.rs"]
pub mod options;
#[expect(dead_code, reason = "as the library has it, and only part of it is measured")]
#[path = "../../src/table/mod.rs"]
pub mod table;

use race::Race;

/// Everything there is to measure, in the order of the library's layers.
pub fn races() -> Vec<Race> {
    [
        codecs::races(),
        send_queue::races(),
        timers::races(),
        slots::races(),
        broadcast::races(),
        reactor::races(),
        simulator::races(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
