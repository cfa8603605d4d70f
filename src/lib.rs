//! A single-threaded event-loop reactor.
// A snippet may define what it only shows.
#![doc(test(attr(deny(warnings), allow(dead_code))))]

pub mod codec;
#[cfg(unix)]
pub mod select;
