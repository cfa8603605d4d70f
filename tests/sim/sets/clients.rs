//! Clients that put up with anything: what they must not see is checked when the run is over.
//!
//! They know bytes; when they are cut off, they are done.

use std::time::Duration;

use switchboard::sim::{Next, Peer, Received};

/// What a client does once everything is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// It ends its side.
    Ends,
    /// It waits for the server to end its own.
    Stays,
}

/// How a client sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// As much as there is room for.
    AtOnce,
    /// A byte each millisecond.
    ByByte,
}

/// Sends `bytes` as there is room, receives whatever comes, and is done when the server ends or the connection fails.
pub(crate) fn talks(bytes: impl Into<Vec<u8>>, then: Then) -> impl FnMut(&mut Peer<'_>) -> Next {
    paced(bytes, then, Pace::AtOnce)
}

/// As [`talks`], at a pace. It sends everything also when the server has ended its side.
pub(crate) fn paced(bytes: impl Into<Vec<u8>>, then: Then, pace: Pace) -> impl FnMut(&mut Peer<'_>) -> Next {
    let (bytes, mut sent, mut next, mut ended) = (bytes.into(), 0, None, then == Then::Stays);
    move |peer| {
        if peer.refused().is_some() {
            return Next::Done;
        }
        if !peer.is_connected() {
            return Next::Wait;
        }
        let millisecond = Duration::from_millis(1);
        while sent < bytes.len() && next.is_none_or(|next| next <= peer.now()) {
            let upto = if pace == Pace::ByByte { sent + 1 } else { bytes.len() };
            match peer.send(&bytes[sent..upto]) {
                0 => break,
                n => sent += n,
            }
            if pace == Pace::ByByte {
                next = Some(peer.now() + millisecond);
            }
        }
        // Due to send and not taken: there is nobody to take it any more, once the server has ended.
        let waits = sent < bytes.len() && next.is_some_and(|next| next > peer.now());
        // The server sees the last byte before the end.
        if sent == bytes.len() && !ended && next.is_none_or(|next| next <= peer.now()) {
            ended = true;
            peer.shutdown();
        }
        loop {
            match peer.recv(usize::MAX) {
                Received::Bytes(_) => {}
                Received::End if waits => return Next::WaitFor(millisecond),
                Received::Nothing if next.is_some() && !(ended && sent == bytes.len()) => {
                    return Next::WaitFor(millisecond);
                }
                Received::Nothing => return Next::Wait,
                Received::End | Received::Failed(_) => return Next::Done,
            }
        }
    }
}
