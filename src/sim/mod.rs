//! A deterministic network in memory: the same reactor, with virtual time, under every fragmentation and fault.
//!
//! It knows tapes, worlds, clients and searches, and what a run must keep to. The reactor and the handlers on it are
//! those that run on sockets; they do not know that they are simulated.

mod caught;
mod client;
mod errno;
mod faults;
mod host;
mod network;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod parity;
mod report;
mod run;
mod scenario;
mod script;
mod search;
mod shrink;
mod split;
mod tape;
mod trace;
mod watch;

pub use client::{ClientReport, End, Next, Peer};
pub use errno::Errno;
pub use faults::{Fault, Faults};
pub use network::{Received, SERVER, SimNet};
pub use report::{Failure, Report};
pub use scenario::{Choices, Scenario, Sim};
pub use script::Script;
pub use search::{Explored, Found, bytes, deviations, exhaust, replay, seeds, try_deviations, try_seeds};
pub use split::{Differs, Splits, every_split, try_every_split};
pub use tape::{CERTAIN, Tape, TapeError};
