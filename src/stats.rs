//! Counters: what the reactor has done so far, always on.
//!
//! It knows numbers; each is one addition where the thing happens. Nothing here reads a clock.

use std::time::Duration;

use crate::error::{CloseKind, CloseReason};

/// Counters since the reactor was made. All but `open` only grow.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the loop.
    pub turns: u64,
    /// Connections open now, those still connecting, draining or lingering included.
    pub open: usize,
    /// Connections accepted.
    pub accepted: u64,
    /// Connects that succeeded.
    pub connected: u64,
    /// Connects that failed, were closed before, or took too long.
    pub connects_failed: u64,
    /// Connections adopted from elsewhere.
    pub adopted: u64,
    /// Connections turned away before `opened`: at the cap with `OnCap::Refuse`, or by the per-address cap.
    pub refused: u64,
    /// Connections turned away by `opened`. They were counted as accepted, connected or adopted before.
    pub turned_away: u64,
    /// Connections closed, by kind of reason; [`Stats::closed`] reads it.
    pub closed_by: [u64; CloseKind::ALL.len()],
    /// Frames given to handlers.
    pub frames: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes the kernel took.
    pub sent: u64,
    /// Datagrams given to handlers.
    pub datagrams_received: u64,
    /// Datagrams the kernel took.
    pub datagrams_sent: u64,
    /// Datagrams that were not sent: the queue was full, the kernel refused them, or their socket was closed first.
    pub datagrams_dropped: u64,
    /// Errors told with `datagram_failed`.
    pub datagram_errors: u64,
    /// Times a registered descriptor was told ready.
    pub ready: u64,
    /// System calls, by kind.
    pub calls: Calls,
    /// Events of connections that were gone, or of nothing known: dropped.
    pub stale_events: u64,
    /// Times a connection was stopped by its byte or frame budget.
    pub budget_stops: u64,
    /// Times reading paused because a connection's own output was above the high mark.
    pub over_high: u64,
    /// Times reading paused or a connection closed because all of them together held too much.
    pub memory_stops: u64,
    /// Times accepting paused because the system had no descriptor or no memory left.
    pub accept_pauses: u64,
    /// Times accepting stopped at `connections_max`.
    pub cap_stops: u64,
    /// User timers fired.
    pub timers_fired: u64,
    /// Posted closures run.
    pub posts_run: u64,
    /// Callbacks that panicked and were isolated.
    pub panics: u64,
    /// Times the callbacks of one connection took longer in a row than `Config::slow_callback`.
    pub slow_callbacks: u64,
    /// The longest that the callbacks of one connection took in a row, its own socket calls included.
    /// Measured with a resolution of a few milliseconds while `Config::slow_callback` is set.
    pub slowest_callback: Duration,
}

impl Stats {
    /// How many connections were closed for this kind of reason.
    pub fn closed(&self, kind: CloseKind) -> u64 {
        self.closed_by[kind as usize]
    }

    /// How many connections were closed, whatever the reason.
    pub fn closed_total(&self) -> u64 {
        self.closed_by.iter().sum()
    }

    pub(crate) fn count_close(&mut self, reason: &CloseReason) {
        self.closed_by[reason.kind() as usize] += 1;
    }
}

/// System calls the reactor has made, by kind; those that failed or would have blocked are counted too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Calls {
    /// Polls (`epoll_wait`).
    pub poll: u64,
    /// Receives (`recv`).
    pub recv: u64,
    /// Receives of urgent data (`recv` with `MSG_OOB`).
    pub recv_urgent: u64,
    /// Sends (`send`, `sendmsg`).
    pub send: u64,
    /// Receives of datagrams (`recvfrom`).
    pub recv_datagram: u64,
    /// Sends of datagrams (`sendto`).
    pub send_datagram: u64,
    /// Accepts (`accept4`).
    pub accept: u64,
    /// Registrations of connections (`epoll_ctl`): one each, and one more for those that were blocked.
    pub register: u64,
    /// Registrations of other descriptors (`epoll_ctl`): one, and one after each `ready`.
    pub register_source: u64,
    /// Ends of our own side (`shutdown`).
    pub shutdown: u64,
    /// Closes of connections (`close`).
    pub close: u64,
}
