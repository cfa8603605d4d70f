//! Signals of the process as events of the loop: Ctrl-C, `kill`, a terminal that is gone. With the feature `signals`.
//!
//! It knows that they come through a registered descriptor, and what the usual ones are for. How one is caught is
//! [`net::os`](crate::net::os)'s business.
//!
//! A server that drains at the first SIGINT or SIGTERM and stops at the second needs one line:
//!
//! ```no_run
//! use switchboard::{Config, Reactor, codec::Raw, each, signals};
//!
//! fn main() -> std::io::Result<()> {
//!     let mut reactor = Reactor::new(each(Raw::new, |cx, bytes| { cx.send(bytes); Ok(()) }), Config::default())?;
//!     reactor.listen("127.0.0.1:7000")?;
//!     signals::drain(&mut reactor)?;
//!     reactor.run()
//! }
//! ```
//!
//! One that does something else at a signal has [`Signals`].

use std::io;
use std::mem;

use crate::context::Stop;
use crate::handler::{Handler, Ready};
use crate::net::os::Caught;
use crate::reactor::Reactor;
use crate::source::Source;

pub use crate::net::os::signal_numbers::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};

/// Signals that are caught as long as this is there.
///
/// It comes with a [`Source`] to be registered. When that is ready, [`take`](Signals::take) says which came:
///
/// ```
/// use switchboard::codec::Raw;
/// use switchboard::signals::{SIGHUP, Signals};
/// use switchboard::{Config, Conn, Context, Handler, Peer, Reactor, Ready, Result};
///
/// struct Server {
///     signals: Signals,
///     reloads: u32,
/// }
///
/// impl Handler for Server {
///     type Codec = Raw;
///     type Session = ();
///
///     fn opened(&mut self, _: &mut Context, _: &Peer) -> Option<(Raw, ())> {
///         Some((Raw::new(), ()))
///     }
///
///     fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: &[u8]) -> Result {
///         cx.send(bytes);
///         Ok(())
///     }
///
///     fn ready(&mut self, _: &mut Context, source: Ready<'_>) {
///         for signal in self.signals.take(source) {
///             if signal == SIGHUP {
///                 self.reloads += 1;
///             }
///         }
///     }
/// }
///
/// let (signals, source) = Signals::new([SIGHUP])?;
/// let mut reactor = Reactor::new(Server { signals, reloads: 0 }, Config::default())?;
/// reactor.register(source)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A signal that comes before the one before of its kind was taken does what it would do uncaught: SIGINT and SIGTERM
/// end the process. So a loop that is stuck in a callback can be ended with a second Ctrl-C. The same is so from when
/// this is dropped.
///
/// Signals belong to the process: every thread and every reactor that catches one is told, and a program that also
/// catches them in another way than with the crate `signal-hook` takes them away from here.
#[derive(Debug)]
pub struct Signals(Caught);

impl Signals {
    /// Catches these signals from now on, by their numbers; the usual ones are constants of this module. Fails with
    /// [`io::ErrorKind::InvalidInput`] for one that is none or that cannot be caught.
    pub fn new(signals: impl IntoIterator<Item = i32>) -> io::Result<(Signals, Source)> {
        let signals: Vec<_> = signals.into_iter().collect();
        let (caught, reading) = Caught::new(&signals)?;
        Ok((Signals(caught), Source::new(reading)))
    }

    /// Which of them came since the last time, each once. `source` is that of [`Signals::new`], in
    /// [`Handler::ready`].
    pub fn take(&self, source: Ready<'_>) -> impl Iterator<Item = i32> {
        // How many bytes there are says nothing; should some be left, it is called again.
        let _ = source.read(&mut [0; 64]);
        self.0.take()
    }
}

/// Has the reactor drain at the first SIGINT or SIGTERM ([`Stop::Drain`]) and stop at the second ([`Stop::Now`]).
///
/// It needs no callback, and does not keep [`run`](Reactor::run) from returning when nothing else is left.
pub fn drain<H: Handler>(reactor: &mut Reactor<H>) -> io::Result<()> {
    let (signals, source) = Signals::new([SIGINT, SIGTERM])?;
    let mut stop = Stop::Drain;
    reactor.register_own(source, move |cx, source| {
        for _ in signals.take(source) {
            cx.stop(mem::replace(&mut stop, Stop::Now));
        }
    })
}
