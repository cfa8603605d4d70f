//! A single-threaded event-loop reactor: you write a protocol, it owns the sockets.
//!
//! A program is one value that implements [`Handler`]. The [`Reactor`] calls it when a connection opened, a frame
//! arrived, a timer is due or a connection closed; what the handler answers is queued, limited, sent and flushed
//! by the reactor. There is one thread, so the handler is `&mut self`: no lock, no `Rc<RefCell>`, no `async`.
//!
//! ```text
//!                    ┌──────────────────────── Reactor ─────────────────────────┐
//!   bytes in         │  stream ─▶ receive buffer ─▶ codec ─▶ frame              │ ──▶ Handler::received
//!   (one poll)       │  listener ─▶ new connection                              │ ──▶ Handler::opened
//!                    │  timers, other threads' closures                         │ ──▶ Handler::timer, alarm
//!                    │                                                          │
//!   bytes out        │  stream ◀─ send queue ◀───────────────────────── Context │ ◀── cx.send, cx.close, …
//!                    └──────────────────────────────────────────────────────────┘
//! ```
//!
//! Bytes go one way: a handler never touches a socket, and a socket never calls a handler. Callbacks never nest, a
//! close takes effect after the callback that asked for it, and [`Handler::closed`] comes exactly once for each
//! connection. Everything has a limit: see [`Config`].
//!
//! # A first program
//!
//! It upper-cases lines. Here it serves one peer that is connected already, and stops listening, so that `run`
//! returns; a server would go on.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{Shutdown, TcpStream};
//! use switchboard::codec::Lines;
//! use switchboard::{Config, Reactor, each};
//!
//! let upper = each(Lines::new, |cx, line| {
//!     cx.send(&line.to_ascii_uppercase());
//!     cx.send(b"\n");
//!     Ok(())
//! });
//! let mut reactor = Reactor::new(upper, Config::default())?;
//! let listener = reactor.listen("127.0.0.1:0")?; // port 0: the system chooses
//! let addr = reactor.local_addr(listener)?;
//!
//! let mut peer = TcpStream::connect(addr.socket_addr().expect("an IP listener has an IP address"))?;
//! peer.write_all(b"hello\nworld\n")?;
//! peer.shutdown(Shutdown::Write)?;
//!
//! reactor.with(|_, cx| cx.close_listener(listener));
//! reactor.run()?;
//!
//! let mut answer = String::new();
//! peer.read_to_string(&mut answer)?;
//! assert_eq!(answer, "HELLO\nWORLD\n");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! With state, a program implements [`Handler`] itself: its page has the smallest one, and `examples/` has programs
//! to keep.
//!
//! # The tour
//!
//! What a program is written against, in reading order:
//!
//! 1. [`Handler`]: the callbacks, and what each may answer. [`Conn`] is one connection lent to a callback, [`Peer`]
//!    who is at its other end, of a Unix stream with its [`Credentials`]. [`each`] makes a handler of a codec and a
//!    function, [`Both`] one of two handlers.
//! 2. [`codec`]: cutting bytes into frames. Nine codecs, each with its encoder, and [`Decoder`](codec::Decoder) for
//!    one of your own.
//! 3. [`Context`]: what a callback may do. Send ([`Sent`] is the answer), broadcast, close ([`Close`] has the ways),
//!    pause, set timers, connect, listen, bind sockets for datagrams, register any other descriptor, stop.
//! 4. [`Reactor`]: listening, running, looking; [`serve`] is all of it in one line. [`Handle`] is the way in from
//!    other threads.
//! 5. [`Config`], [`Listen`], [`Connect`], [`Bind`] and [`Source`]: every limit, budget and wait, with its default.
//!    [`Options`] are what sockets can be told: keepalive, buffers, traffic class, …; [`Backoff`] says when to try again.
//! 6. [`CloseReason`], [`Stats`], [`ConnInfo`], [`State`]: how it went and how it goes.
//! 7. [`sim`]: the same program on a network in memory, under every split and every fault, from an ordinary test.
//!
//! What it is made of, from the bottom up (each file says in its first lines what it knows and refuses to know):
//!
//! | layer | it knows | rests on |
//! |---|---|---|
//! | words: `id`, `readiness`, `instant`, `addr`, `backoff`, `bind`, `connect`, `config`, `listen`, `error`, `options`, `socket`, `source`, `stats`, `wrong` | names, numbers, reasons | nothing |
//! | `codec` | bytes and frames | words |
//! | `conn` | one connection: its states, the tail of its input, its send queue | codec |
//! | `table` | all connections without their sockets: slots, timers, who needs attention | conn |
//! | `handler`, `context` | what users write against | table |
//! | `net` | the seam: sockets, readiness, names, the clock; `net::os` is the only part that names the system | words |
//! | `reactor` | the loop, and bytes between one stream and one connection | context, net |
//! | `sim` | a network in memory behind the same seam, with virtual time and faults, and the search for what breaks on it | reactor |
//! | `signals` | signals of the process as events; a leaf that nothing uses | reactor |
//! | `select` | the three sets of `select`; a leaf that nothing uses | words |
//!
//! To follow one request through the source: `reactor/turn.rs` (`one_turn`, `dispatch`), `reactor/driver/mod.rs`
//! (`serve_plain`), `reactor/driver/deliver.rs` (`deliver`), `context/send.rs` (`send`), and back in `serve_plain` the
//! one `send`. `docs/design.md` has the whole of it.
//!
//! # Errors
//!
//! An error says whose fault it is. The peer's closes that connection with a [`CloseReason`] and nothing else. The
//! caller's is an `Err` at the call, which gives the value back where there is one. The system's keeps its
//! [`io::Error`](std::io::Error); `WouldBlock` and `Interrupted` never leave the reactor. In callbacks `?` turns any
//! error into a [`Close`].
//!
//! # Cost
//!
//! - An idle connection has its slot, and its stream, codec and session beside it: no buffer and no allocation.
//! - A request takes one `recv` and one `send`, a batch of pipelined ones one of each, a connection one `epoll_ctl`.
//! - A frame is a slice of the receive buffer, which all connections share: nothing is copied between the kernel and
//!   the handler, unless a frame comes in more than one receive.
//! - In steady state nothing is allocated: not for a request, a connection, a timer or a receiver of a broadcast.
//! - Nothing wakes up without a reason: an idle reactor makes no system call.
//!
//! # Features
//!
//! | feature | what it adds | crates |
//! |---|---|---|
//! | `signals`, off | `signals`: SIGINT, SIGTERM and others as events of the loop | `signal-hook`, `signal-hook-registry`, `errno` |
//!
//! Everything else is in every build, and costs nothing where it is not used. Log lines go to the [`log`] facade.
//!
//! # Platforms
//!
//! TCP and UDP over IPv4 and IPv6, and Unix sockets for streams and datagrams ([`Listen::unix`], [`Bind::unix`]). TLS is
//! not there yet. The oldest Rust is 1.85. There is no `unsafe` in this crate.
//!
//! | system | state |
//! |---|---|
//! | Linux | compiled and tested |
//! | macOS, BSD | written for, never compiled |
//! | Windows | does not compile: the network (`net::os`) and `select` are not written |
//!
//! What is missing outside of Linux and Android: urgent data and [`Readiness::EXCEPTIONAL`], as mio cannot ask kqueue for
//! them; abstract names of Unix sockets and [`Peer::credentials`]; of [`Options`], `user_timeout`, `dont_fragment`, `mark`,
//! `device` and `not_sent_low_water`. What is asked for and missing is an error of kind `Unsupported`, but for the
//! first two: those are never told. A listener costs two `accept` for each connection there.
//!
//! # More
//!
//! In the repository and in the package: `docs/guide.md` comes from the Python Socket Programming HOWTO and leads
//! here, `docs/simulation.md` tests a protocol on the simulated network, `docs/design.md` is how it works and why,
//! `docs/failure-modes.md` what can go wrong and the test that holds it, `docs/testing.md` how to run those.
// A snippet may define what it only shows.
#![doc(test(attr(deny(warnings), allow(dead_code))))]

#[macro_use]
mod wrong;

pub mod codec;
pub mod net;
#[cfg(unix)]
pub mod select;
#[cfg(feature = "signals")]
pub mod signals;
pub mod sim;

mod addr;
mod backoff;
mod bind;
mod config;
mod conn;
mod connect;
mod context;
mod error;
mod handler;
mod id;
mod instant;
mod listen;
mod options;
mod reactor;
mod readiness;
mod socket;
mod source;
mod stats;
mod table;

pub use addr::{Addr, UnixAddr};
pub use backoff::Backoff;
pub use bind::{Bind, IntoBind};
/// What is sent to many without being copied: the type of the crate `bytes`, which `send_bytes` and `broadcast` take.
pub use bytes::Bytes;
pub use config::{Config, ConfigError, Listen, OnCap};
pub use conn::state::State;
pub use connect::Connect;
pub use context::{Broadcast, ConnInfo, ConnectError, Context, OnSlow, Out, Sent, Stop, TimerError};
pub use error::{BoxError, Close, CloseKind, CloseReason, Failure, Result, Wait};
pub use handler::{
    Both, Conn, Datagram, Datagrams, Each, Frame, Handler, Origin, Peer, Ready, Side, datagrams, each,
};
pub use id::{ConnId, DatagramId, ListenerId, SourceId, TimerId};
pub use instant::Instant;
pub use listen::IntoListen;
pub use options::{Keepalive, Options};
pub use reactor::{Handle, PostError, Reactor, serve};
pub use readiness::Readiness;
pub use socket::Credentials;
pub use source::Source;
pub use stats::{Calls, Stats};

// The programs in these pages compile and run as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/guide.md")]
    struct Guide;

    #[doc = include_str!("../docs/simulation.md")]
    struct Simulation;
}
