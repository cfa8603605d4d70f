//! A single-threaded event-loop reactor.
// A snippet may define what it only shows.
#![doc(test(attr(deny(warnings), allow(dead_code))))]

pub mod codec;
pub mod net;
#[cfg(unix)]
pub mod select;

mod addr;
mod config;
mod conn;
mod context;
mod error;
mod handler;
mod id;
mod instant;
mod reactor;
mod readiness;
mod stats;
mod table;

pub use addr::Addr;
pub use config::{Config, ConfigError, IntoListen, Listen, OnCap};
pub use conn::state::State;
pub use context::{Broadcast, ConnInfo, ConnectError, Context, OnSlow, Out, Sent, Stop, TimerError};
pub use error::{BoxError, Close, CloseKind, CloseReason, Failure, Result, Wait};
pub use handler::{Both, Conn, Each, Frame, Handler, Origin, Peer, Side, each};
pub use id::{ConnId, ListenerId, TimerId};
pub use instant::Instant;
pub use reactor::{Handle, PostError, Reactor, serve};
pub use readiness::Readiness;
pub use stats::{Calls, Stats};
