//! The kinds of clients and what each of them sets out to do.
//!
//! It knows numbers and chance; it does not know sockets or time that passes.

use std::time::Duration;

use fastrand::Rng;

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A few exchanges, each waited for, then the end.
    Churn,
    /// Open for long, always with some requests under way.
    Pipeline,
    /// As much as there is, then its end.
    Bulk,
    /// Everything is sent, its side ended, everything read.
    HalfClose,
    /// A small receive buffer, read a little now and then.
    Slow,
    /// Urgent bytes amid the stream.
    Urgent,
    /// Says nothing.
    Silent,
    /// Sends all it can, reads nothing, leaves.
    Deaf,
    /// The same, but stays until the server gives it up.
    Stuck,
    /// Resets at a random byte or moment.
    Reset,
    /// One of many more than there are descriptors: one exchange, stays a little, leaves.
    Crowd,
}

/// How many kinds there are.
pub(super) const KINDS: usize = 11;

impl Kind {
    pub(super) const ALL: [Kind; KINDS] = [
        Kind::Churn,
        Kind::Pipeline,
        Kind::Bulk,
        Kind::HalfClose,
        Kind::Slow,
        Kind::Urgent,
        Kind::Silent,
        Kind::Deaf,
        Kind::Stuck,
        Kind::Reset,
        Kind::Crowd,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Churn => "churn",
            Kind::Pipeline => "pipelining",
            Kind::Bulk => "bulk",
            Kind::HalfClose => "half-close",
            Kind::Slow => "slow reader",
            Kind::Urgent => "urgent bytes",
            Kind::Silent => "silent",
            Kind::Deaf => "reads nothing",
            Kind::Stuck => "stays stuck",
            Kind::Reset => "reset",
            Kind::Crowd => "crowd",
        }
    }

    /// The most of this kind at a time, and how long after one of them the next may start, in milliseconds.
    ///
    /// About 110 at a time and 450 a second. A crowd is not in it, it comes as a whole.
    pub(super) fn rate(self) -> (usize, u64) {
        match self {
            Kind::Churn => (24, 4),
            Kind::Pipeline => (16, 100),
            Kind::Bulk => (2, 700),
            Kind::HalfClose => (8, 15),
            Kind::Slow => (12, 100),
            Kind::Urgent => (6, 50),
            Kind::Silent => (24, 100),
            Kind::Deaf => (8, 300),
            Kind::Stuck => (2, 5000),
            Kind::Reset => (12, 10),
            Kind::Crowd => (0, 0),
        }
    }
}

/// What one client sets out to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// How many bytes it sends.
    pub(super) total: u64,
    /// How many bytes may be under way, and how it waits for them.
    pub(super) window: u64,
    pub(super) pace: Pace,
    /// The most that one write offers and one read takes, and the longest wait after each.
    pub(super) write_bytes: usize,
    pub(super) write_pause: Duration,
    pub(super) read_bytes: usize,
    pub(super) read_pause: Duration,
    /// A receive buffer other than the system's.
    pub(super) recv_buffer: Option<usize>,
    pub(super) end: End,
}

/// How a client waits for what is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Sends a window full, then waits for all of it.
    Turns,
    /// Sends whenever less than the window is under way.
    Pipeline,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// By a close, so long after everything came back.
    Close { hold: Duration },
    /// Its side first; then the rest must come back, and an orderly end.
    HalfClose,
    /// At this moment or byte, whatever is under way.
    Leave { how: Leave, after: Duration, after_bytes: u64 },
    /// By the server, which waits in vain for it to read.
    Cut,
}

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Close,
    Reset,
}

/// What a client sends that is to be stuck: more than all buffers on the way hold.
const MORE_THAN_FITS: u64 = 1 << 40;

impl Plan {
    pub(super) fn new(kind: Kind, rng: &mut Rng) -> Plan {
        let ms = Duration::from_millis;
        let plan = Plan {
            kind,
            total: 0,
            window: 64 << 10,
            pace: Pace::Pipeline,
            write_bytes: 64 << 10,
            write_pause: Duration::ZERO,
            read_bytes: 64 << 10,
            read_pause: Duration::ZERO,
            recv_buffer: None,
            end: End::HalfClose,
        };
        match kind {
            Kind::Churn => {
                let window = rng.u64(1..=4096);
                let end = End::Close { hold: Duration::ZERO };
                Plan { total: window * rng.u64(1..=5), window, pace: Pace::Turns, end, ..plan }
            }
            Kind::Pipeline => Plan {
                total: rng.u64(1 << 20..=16 << 20),
                write_bytes: 16 << 10,
                write_pause: ms(40),
                end: End::Close { hold: Duration::ZERO },
                ..plan
            },
            Kind::Bulk => Plan { total: rng.u64(4 << 20..=32 << 20), window: 16 << 20, ..plan },
            Kind::HalfClose => {
                // Much of it is still to come back when our side ends.
                Plan { total: rng.u64(0..=256 << 10), window: 1 << 20, ..plan }
            }
            Kind::Slow => Plan {
                total: rng.u64(1..=48 << 10),
                window: 1 << 20,
                read_bytes: 2048,
                read_pause: ms(40),
                recv_buffer: Some(4096),
                ..plan
            },
            // Behind more than 64 KiB that wait to be sent, Linux cannot say where the urgent byte is: the
            // field in the header has 16 bits.
            Kind::Urgent => Plan {
                total: rng.u64(16 << 10..=128 << 10),
                window: 8 << 10,
                write_bytes: 2048,
                write_pause: ms(4),
                ..plan
            },
            Kind::Silent => {
                let how = if rng.bool() { Leave::Close } else { Leave::Reset };
                let end = if rng.u8(..3) == 0 {
                    End::Close { hold: ms(rng.u64(0..3000)) }
                } else {
                    End::Leave { how, after: ms(rng.u64(0..5000)), after_bytes: u64::MAX }
                };
                Plan { end, ..plan }
            }
            Kind::Deaf => Plan {
                total: MORE_THAN_FITS,
                window: MORE_THAN_FITS,
                recv_buffer: Some(16 << 10),
                end: End::Leave {
                    how: if rng.bool() { Leave::Close } else { Leave::Reset },
                    after: ms(rng.u64(0..4000)),
                    after_bytes: u64::MAX,
                },
                ..plan
            },
            Kind::Stuck => Plan {
                total: MORE_THAN_FITS,
                window: MORE_THAN_FITS,
                recv_buffer: Some(16 << 10),
                end: End::Cut,
                ..plan
            },
            Kind::Reset => {
                let most = 1 << rng.u32(0..20);
                // Some at once, some before the server knows of them.
                let after_bytes = if rng.bool() { rng.u64(0..=most) } else { u64::MAX };
                Plan {
                    total: after_bytes.min(1 << 20),
                    window: 1 << rng.u32(6..20),
                    write_bytes: 1 << rng.u32(4..16),
                    end: End::Leave {
                        how: Leave::Reset,
                        after: Duration::from_micros(rng.u64(0..100_000)),
                        after_bytes,
                    },
                    ..plan
                }
            }
            Kind::Crowd => {
                let window = rng.u64(1..=2048);
                let end = End::Close { hold: ms(rng.u64(300..600)) };
                Plan { total: window, window, pace: Pace::Turns, end, ..plan }
            }
        }
    }
}
