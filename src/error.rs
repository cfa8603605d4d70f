//! How connections end: what a handler says to end one, and what it is told when one has ended.
//!
//! It knows reasons and whose fault they are; it does not know how a close is carried out.

use std::error::Error;
use std::fmt;
use std::io;

/// A boxed error of any origin, as it travels from a handler or a codec to `closed`.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// What callbacks answer: `Ok(())`, or how their connection is to be closed.
///
/// `?` turns every `Error + Send + Sync + 'static` into a [`Close`] that lingers, so that an error reply
/// already sent still arrives.
pub type Result<T = (), E = Close> = std::result::Result<T, E>;

/// How a connection is to be closed, and why if that is an error.
///
/// Not an `Error` itself: then `?` could not turn every error into it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Close {
    /// Send what is queued, then close. Input still unread at that moment makes the system reset the
    /// connection, which destroys output that has not arrived: right when the peer has nothing more to say.
    Flush,
    /// Send what is queued, end our side, then read and drop what the peer still sends, for at most
    /// `Config::linger_timeout` and `Config::linger_bytes_max`, until it ends its side: the last reply arrives.
    Linger,
    /// Reset the connection at once; what is queued is dropped.
    Abort,
    /// As [`Close::Linger`], because of an error that `closed` is told.
    Failed(Failure),
}

impl Close {
    /// Closes, lingering, with a message as the cause: `return Err(Close::msg("login first"))`.
    pub fn msg(message: impl fmt::Display) -> Close {
        Close::from_boxed(message.to_string().into())
    }

    /// Closes, lingering, because of an error that is boxed already (`?` does not take those).
    pub fn from_boxed(error: BoxError) -> Close {
        Close::Failed(Failure(Box::new(error)))
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Close {
    // Out of the way of every `?` in a handler.
    #[cold]
    fn from(error: E) -> Close {
        Close::from_boxed(Box::new(error))
    }
}

/// The error behind a [`Close::Failed`].
// Boxed twice: a handler's `Result` stays two words and travels in registers.
#[derive(Debug)]
pub struct Failure(Box<BoxError>);

impl Failure {
    /// The error itself.
    pub fn into_error(self) -> BoxError {
        *self.0
    }
}

/// What a connection was waiting for when its time was over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Wait {
    /// The outcome of a connect: `Config::connect_timeout` or `Connect::timeout`.
    Connect,
    /// The same, while the name to connect to was still looked up.
    Lookup,
    /// The first frame: `Config::first_frame_timeout`.
    FirstFrame,
    /// A byte in either direction: `Config::idle_timeout`.
    Idle,
    /// The rest of a frame: `Config::frame_timeout`.
    Frame,
    /// The peer to take a byte of what is queued: `Config::write_timeout`.
    Write,
    /// The peer to end its side after a close that lingers: `Config::linger_timeout`. It ends the linger as
    /// planned, so no connection is reported closed for it.
    Linger,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wait::Connect => "the connect",
            Wait::Lookup => "the name to be looked up",
            Wait::FirstFrame => "the first frame",
            Wait::Idle => "any byte",
            Wait::Frame => "the rest of a frame",
            Wait::Write => "the peer to take output",
            Wait::Linger => "the end of the peer's side",
        })
    }
}

/// Why a connection ended, told once, to [`Handler::closed`](crate::Handler::closed).
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer ended its side, everything it sent was delivered, and everything queued for it was handed
    /// to the system: the orderly end.
    Ended,
    /// This program closed the connection, by [`Close::Flush`] or [`Close::Linger`] and without an error.
    Closed,
    /// This program reset the connection, by [`Close::Abort`].
    Aborted,
    /// A callback answered with this error.
    Failed(BoxError),
    /// The codec refused the input with this error.
    Frame(BoxError),
    /// The peer's stream ended, or was cut, within a frame of which `bytes` had arrived.
    Truncated {
        /// How many bytes of the unfinished frame there were.
        bytes: usize,
    },
    /// The codec asked to see more input at once than `Config::recv_bytes_max` allows.
    RecvLimit {
        /// How many bytes it asked for.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The peer reset the connection. What it sent before was delivered; what was queued for it is lost.
    Reset,
    /// The peer let a wait of the configuration run out.
    TimedOut(Wait),
    /// The peer took its output too slowly: a message did not fit below `Config::queued_bytes_max`, or found
    /// more than `Config::queued_bytes_high` waiting in a broadcast with `OnSlow::Close`.
    SlowConsumer {
        /// How many bytes were queued, the refused message not counted.
        queued: usize,
        /// Which of the two limits it was.
        limit: usize,
    },
    /// All connections together held `Config::memory_bytes_max`, and this one the most of it.
    MemoryLimit {
        /// How many bytes this connection held.
        bytes: usize,
        /// The limit of all together.
        limit: usize,
    },
    /// A callback panicked (only with `Config::isolate_panics`).
    Panicked,
    /// The reactor stopped.
    Stopped,
    /// The system reported an error on the socket.
    Io(io::Error),
}

impl CloseReason {
    /// The reason without its details, for counting.
    pub fn kind(&self) -> CloseKind {
        match self {
            CloseReason::Ended => CloseKind::Ended,
            CloseReason::Closed => CloseKind::Closed,
            CloseReason::Aborted => CloseKind::Aborted,
            CloseReason::Failed(_) => CloseKind::Failed,
            CloseReason::Frame(_) => CloseKind::Frame,
            CloseReason::Truncated { .. } => CloseKind::Truncated,
            CloseReason::RecvLimit { .. } => CloseKind::RecvLimit,
            CloseReason::Reset => CloseKind::Reset,
            CloseReason::TimedOut(_) => CloseKind::TimedOut,
            CloseReason::SlowConsumer { .. } => CloseKind::SlowConsumer,
            CloseReason::MemoryLimit { .. } => CloseKind::MemoryLimit,
            CloseReason::Panicked => CloseKind::Panicked,
            CloseReason::Stopped => CloseKind::Stopped,
            CloseReason::Io(_) => CloseKind::Io,
        }
    }

    /// Whether nothing was lost in either direction as far as this side can know: `Ended` or `Closed`.
    pub fn is_orderly(&self) -> bool {
        matches!(self, CloseReason::Ended | CloseReason::Closed)
    }

    /// What an error of the socket means: a reset is one however the system says it.
    pub(crate) fn from_io(error: io::Error) -> CloseReason {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                CloseReason::Reset
            }
            _ => CloseReason::Io(error),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Ended => f.write_str("ended by the peer"),
            CloseReason::Closed => f.write_str("closed by this program"),
            CloseReason::Aborted => f.write_str("aborted by this program"),
            CloseReason::Failed(error) => write!(f, "failed: {error}"),
            CloseReason::Frame(error) => write!(f, "bad frame: {error}"),
            CloseReason::Truncated { bytes } => write!(f, "ended {bytes} bytes into a frame"),
            CloseReason::RecvLimit { bytes, limit } => {
                write!(f, "frame needs {bytes} bytes of input, limit is {limit} (recv_bytes_max)")
            }
            CloseReason::Reset => f.write_str("reset by the peer"),
            CloseReason::TimedOut(wait) => write!(f, "timed out waiting for {wait}"),
            CloseReason::SlowConsumer { queued, limit } => {
                write!(f, "slow consumer: {queued} bytes queued, limit is {limit}")
            }
            CloseReason::MemoryLimit { bytes, limit } => {
                write!(f, "held {bytes} bytes when all connections reached {limit} (memory_bytes_max)")
            }
            CloseReason::Panicked => f.write_str("a callback panicked"),
            CloseReason::Stopped => f.write_str("the reactor stopped"),
            CloseReason::Io(error) => write!(f, "socket error: {error}"),
        }
    }
}

/// The kinds of [`CloseReason`], in the order of its variants; `Stats::closed` counts by them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the variant of CloseReason with its name")]
pub enum CloseKind {
    Ended,
    Closed,
    Aborted,
    Failed,
    Frame,
    Truncated,
    RecvLimit,
    Reset,
    TimedOut,
    SlowConsumer,
    MemoryLimit,
    Panicked,
    Stopped,
    Io,
}

impl CloseKind {
    /// All kinds, in order.
    pub const ALL: [CloseKind; 14] = [
        CloseKind::Ended,
        CloseKind::Closed,
        CloseKind::Aborted,
        CloseKind::Failed,
        CloseKind::Frame,
        CloseKind::Truncated,
        CloseKind::RecvLimit,
        CloseKind::Reset,
        CloseKind::TimedOut,
        CloseKind::SlowConsumer,
        CloseKind::MemoryLimit,
        CloseKind::Panicked,
        CloseKind::Stopped,
        CloseKind::Io,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_the_system_says_reset_is_a_reset() {
        for kind in
            [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionAborted]
        {
            assert!(matches!(CloseReason::from_io(kind.into()), CloseReason::Reset));
        }
        assert!(matches!(CloseReason::from_io(io::ErrorKind::TimedOut.into()), CloseReason::Io(_)));
    }

    #[test]
    fn a_question_mark_makes_any_error_a_close() {
        fn parse(text: &str) -> Result<u32> {
            Ok(text.parse::<u32>()?)
        }
        let Err(Close::Failed(failure)) = parse("x") else { panic!("an error closes") };
        assert_eq!(failure.into_error().to_string(), "invalid digit found in string");
        assert_eq!(size_of::<Result>(), 16, "travels in two registers");
    }

    #[test]
    fn kinds_are_counted_in_their_own_place() {
        for (place, kind) in CloseKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }
}
