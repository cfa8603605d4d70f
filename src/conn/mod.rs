//! One connection without its socket: its states, the bytes that came too early, the bytes that wait to go.
//!
//! Pure: it knows bytes and counts and imports only codecs and words. It does not know descriptors, time or
//! other connections.

pub(crate) mod send_queue;
pub(crate) mod state;
pub(crate) mod tail;
