//! The reactor on real sockets, with blocking peers of the standard library.
//!
//! One module per group of `docs/failure-modes.md`; a test that holds one of its entries begins with the id.
//! Nothing here sleeps: a test waits for an event, for at most [`server::PATIENCE`].

#![cfg(target_os = "linux")]

mod abuse;
mod accepting;
mod addresses;
mod backpressure;
mod basics;
mod broadcast;
mod callbacks;
mod closing;
mod codecs;
mod connecting;
mod datagram_callbacks;
mod datagram_sockets;
mod datagrams;
mod deferred;
mod drain;
mod errors;
mod fanout;
mod framing;
mod half_close;
mod handle;
mod last_word;
mod listeners;
mod logs;
mod looking;
mod memory;
mod options;
mod output;
mod panics;
mod peer;
mod proxy;
mod random;
mod readiness;
mod review;
mod script;
mod server;
mod several;
mod sources;
mod spin;
mod timers;
mod turns;
mod unix;
mod unix_connects;
mod unix_datagrams;
mod unix_paths;
mod urgent;
mod waits;
