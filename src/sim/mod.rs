//! A deterministic network in memory: the same reactor, with virtual time, under every fragmentation and fault.
//!
//! It knows tapes, worlds, clients and searches, and what a run must keep to. The reactor and the handlers on it are
//! those that run on sockets; they do not know that they are simulated.
//!
//! ```text
//!   your handler                        scripts, functions, other reactors
//!        │                                             │
//!     Reactor ── calls of net::Network ──▶  hosts, sockets, segments, a clock
//!                                                      │
//!                                            choose(n) │ whatever nobody determines
//!                                                      ▼
//!              a seed, every value, a fuzzer's bytes, a replay ──▶ one tape = one run
//! ```
//!
//! # One line
//!
//! [`every_split`] sends an input in every way in which it can be cut, and compares what the client sees. Here with a
//! decoder that takes it for granted that a prefix of two bytes arrives whole, and [`try_every_split`] to look at the
//! answer:
//!
//! ```
//! use std::convert::Infallible;
//! use switchboard::codec::{Decoder, Step};
//! use switchboard::{each, sim};
//!
//! #[derive(Clone)]
//! struct Messages;
//!
//! impl Decoder for Messages {
//!     type Frame<'a> = &'a [u8];
//!     type Error = Infallible;
//!
//!     fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, Infallible> {
//!         if input.is_empty() {
//!             return Ok(Step::NeedMore { at_least: 2 });
//!         }
//!         let end = 2 + usize::from(u16::from_be_bytes([input[0], input[1]])); // the bug
//!         match input.get(2..end) {
//!             Some(frame) => Ok(Step::Frame { frame, used: end }),
//!             None => Ok(Step::NeedMore { at_least: end }),
//!         }
//!     }
//! }
//!
//! let shout = || each(|| Messages, |cx, message| { cx.send(&message.to_ascii_uppercase()); Ok(()) });
//!
//! let differs = sim::try_every_split(shout, b"\0\x05hello").expect_err("it has a bug");
//! assert_eq!(differs.pieces, [&b"\0"[..], b"\x05hello"]);
//! assert_eq!(differs.whole, "\"HELLO\", then the end");
//! assert!(differs.split.starts_with("index out of bounds: the len is 1 but the index is 1"));
//! ```
//!
//! # A scenario
//!
//! [`Sim`] begins one, [`Scenario`] is what there is in it: the handler, clients, other reactors, faults, limits. It is
//! run once by [`Scenario::run`], or as often as an engine wants:
//!
//! ```
//! use switchboard::codec::Lines;
//! use switchboard::each;
//! use switchboard::sim::{self, Faults, Script};
//!
//! sim::seeds(20, |sim| {
//!     let echo = each(Lines::new, |cx, line| { cx.send(line); cx.send(b"\n"); Ok(()) });
//!     let client = Script::new().send("hello\n").expect("hello\n").shutdown().expect_end();
//!     sim.server(echo).client(client.clone()).client(client).faults(Faults::swarm()).run();
//! });
//! ```
//!
//! | engine | runs | for |
//! |---|---|---|
//! | [`seeds`] | at random, the same for the same seed, each twice | everything |
//! | [`exhaust`] | every tape there is | small scenarios |
//! | [`deviations`] | every tape with at most `n` unusual choices | each fault at each place; with 2, all pairs |
//! | [`bytes()`] | as an input says | fuzzers |
//! | [`replay`] | what was printed | one run again |
//!
//! # What a failing run prints
//!
//! ```text
//! client 0 waits in step 2: expect "hello"; it has received "hell"     what, and by whom
//!   after 7ms of simulated time
//!   at tests/echo.rs:12:5                                              where in your code
//!
//! what led there:                                                      every call, event and callback
//!        0.000 ms  #1 connects to 10.0.0.1:7000
//!        …
//!
//! shrunk from 157 choices to 2 unusual ones; again:
//!   SWITCHBOARD_SEED=7 cargo test echo -- --exact
//!   SWITCHBOARD_TAPE=3x0,1,13x0,1 cargo test echo -- --exact
//! ```
//!
//! The tape is shrunk before it is shown: choices are dropped and made ordinary as long as the run fails in the same
//! way, so that what is left has to do with the failure.
//!
//! # Determinism
//!
//! The same tape is the same run as long as the handler depends on nothing but its callbacks. Time is
//! [`Context::now`](crate::Context::now), chance is [`Sim::choices`], and whatever is sent does not depend on the order
//! of a `HashMap`. A run that differs the second time is a failure that says so.
//!
//! `docs/simulation.md` is the guide, with every fault and what it is on Linux.

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
pub use network::{Pipe, Received, SERVER, SimNet};
pub use report::{Failure, Report};
pub use scenario::{Choices, Scenario, Sim};
pub use script::Script;
pub use search::{Explored, Found, bytes, deviations, exhaust, replay, seeds, try_deviations, try_seeds};
pub use split::{Differs, Splits, every_split, try_every_split};
pub use tape::{CERTAIN, Tape, TapeError};
