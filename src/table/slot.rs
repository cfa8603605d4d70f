//! One slot of the table: what the reactor keeps for a connection besides its socket, codec and session.
//!
//! It knows plain data; it decides nothing. A slot is what an idle connection costs, so every field earns its
//! bytes: what only some connections need (queues, timers, reasons) lives elsewhere behind a small index.

use crate::addr::Addr;
use crate::conn::send_queue::QueueId;
use crate::conn::state::State;
use crate::id::ConnId;
use crate::instant::Instant;
use crate::table::reasons::ReasonId;

/// What is odd about a connection. Empty for one that is open and has nothing pending: the fast path tests
/// for that once and then looks at nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Odd(u32);

impl Odd {
    /// The state is not `Open`.
    pub(crate) const NOT_OPEN: Odd = Odd(1);
    /// The program paused reading.
    pub(crate) const PAUSED: Odd = Odd(1 << 1);
    /// Its own output is above the high mark, which pauses reading.
    pub(crate) const OVER_HIGH: Odd = Odd(1 << 2);
    /// All connections together hold too much, this one the most output: reading is paused while it has any.
    pub(crate) const OVER_MEMORY: Odd = Odd(1 << 3);
    /// There is undecoded input in a tail.
    pub(crate) const TAIL: Odd = Odd(1 << 4);
    /// Decoding stopped before the codec asked for more: go on without receiving.
    pub(crate) const DECODABLE: Odd = Odd(1 << 5);
    /// The kernel may have input that was not received: no further event will say so.
    pub(crate) const UNREAD: Odd = Odd(1 << 6);
    /// A short receive does not mean drained: an urgent mark, an end or an error may be behind it.
    pub(crate) const READ_AGAIN: Odd = Odd(1 << 7);
    /// The peer's end was read.
    pub(crate) const ENDED: Odd = Odd(1 << 8);
    /// There is a send queue.
    pub(crate) const QUEUED: Odd = Odd(1 << 9);
    /// The kernel took less than it was offered; an event will say when it takes more.
    pub(crate) const BLOCKED: Odd = Odd(1 << 10);
    /// Sending failed for good; what was received before is still delivered.
    pub(crate) const SEND_DEAD: Odd = Odd(1 << 11);
    /// In the ready queue.
    pub(crate) const ON_READY: Odd = Odd(1 << 12);
    /// On the flush list.
    pub(crate) const ON_FLUSH: Odd = Odd(1 << 13);
    /// On the list of what closes at the end of the turn.
    pub(crate) const CLOSING: Odd = Odd(1 << 14);
    /// The socket is to be reset, not closed.
    pub(crate) const RESET: Odd = Odd(1 << 15);
    /// No whole frame has arrived yet, and the configuration limits how long that may last.
    pub(crate) const FIRST: Odd = Odd(1 << 16);
    /// The reactor drains: to be closed as soon as it has nothing pending.
    pub(crate) const DRAIN: Odd = Odd(1 << 17);
    /// The system had no memory for a send; no event will say when it has, so a timer does.
    pub(crate) const RETRY_SEND: Odd = Odd(1 << 18);
    /// Our side is to end as soon as the connect succeeds and the queue is flushed.
    pub(crate) const FINISH: Odd = Odd(1 << 19);
    /// A send answered `OverHigh`: `writable` is owed once the queue is at its low mark, also when the kernel
    /// takes everything at once and reading never paused.
    pub(crate) const OWES_WRITABLE: Odd = Odd(1 << 20);
    /// An event said that the socket has an error. Behind the peer's end only asking tells which.
    pub(crate) const ERROR: Odd = Odd(1 << 21);

    /// Any of these keeps input from being received and decoded.
    pub(crate) const HELD_BACK: Odd = Odd::PAUSED.or(Odd::OVER_HIGH).or(Odd::OVER_MEMORY);

    /// Any of these is a reason to visit the connection again without an event.
    pub(crate) const PENDING_INPUT: Odd = Odd::DECODABLE.or(Odd::UNREAD);

    /// Nothing is odd.
    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn any(self, of: Odd) -> bool {
        self.0 & of.0 != 0
    }

    /// Either.
    pub(crate) const fn or(self, other: Odd) -> Odd {
        Odd(self.0 | other.0)
    }

    pub(crate) fn set(&mut self, odd: Odd) {
        self.0 |= odd.0;
    }

    pub(crate) fn clear(&mut self, odd: Odd) {
        self.0 &= !odd.0;
    }

    pub(crate) fn put(&mut self, odd: Odd, on: bool) {
        if on {
            self.set(odd);
        } else {
            self.clear(odd);
        }
    }

    /// Removes `odd` and says whether any of it was there.
    pub(crate) fn take(&mut self, odd: Odd) -> bool {
        let was = self.any(odd);
        self.clear(odd);
        was
    }
}

/// One connection's place in the table.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The connection that lives here, or the id the next one will get.
    pub(crate) id: ConnId,
    pub(crate) odd: Odd,
    pub(crate) state: State,
    pub(crate) queue: QueueId,
    /// Why it closes, once that is decided.
    pub(crate) reason: ReasonId,
    /// When bytes last went in or out.
    pub(crate) last_activity: Instant,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) opened_at: Instant,
    /// When the wait of the moment began: a frame's first byte, or the linger. While it connects: when that is over, or
    /// goes on with another address.
    pub(crate) since: Instant,
    /// Closing: the count of received bytes at which input is not read and dropped any more.
    pub(crate) drop_until: u64,
    pub(crate) peer: Addr,
    /// Whether it counts for the cap of its peer's address.
    pub(crate) counted: bool,
    /// Whether it is read however much output of its own waits.
    pub(crate) read_when_over_high: bool,
    /// Whether polls tell when it takes output: from when it first did not.
    pub(crate) watched: bool,
}

impl Slot {
    /// An empty slot whose first connection will be `id`.
    pub(crate) fn vacant(id: ConnId) -> Slot {
        Slot {
            id,
            odd: Odd::NOT_OPEN,
            state: State::Closed,
            queue: QueueId::NONE,
            reason: ReasonId::NONE,
            last_activity: Instant::START,
            received: 0,
            sent: 0,
            opened_at: Instant::START,
            since: Instant::START,
            drop_until: 0,
            peer: Addr::Unnamed,
            counted: false,
            read_when_over_high: false,
            watched: false,
        }
    }

    /// Whether the program may still send to it.
    pub(crate) fn accepts_output(&self) -> bool {
        self.state.accepts_output() && !self.odd.any(Odd::SEND_DEAD.or(Odd::CLOSING).or(Odd::FINISH))
    }

    /// Whether frames are delivered to it, now or once it is not held back any more.
    pub(crate) fn delivers(&self) -> bool {
        self.state.delivers() && !self.odd.any(Odd::CLOSING)
    }

    /// Whether frames may be delivered to it now.
    pub(crate) fn delivers_now(&self) -> bool {
        self.delivers() && !self.odd.any(Odd::HELD_BACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_its_slot() {
        assert!(size_of::<Slot>() <= 120, "{} bytes", size_of::<Slot>());
    }

    #[test]
    fn every_oddity_is_a_bit_of_its_own() {
        let all = [
            Odd::NOT_OPEN,
            Odd::PAUSED,
            Odd::OVER_HIGH,
            Odd::OVER_MEMORY,
            Odd::TAIL,
            Odd::DECODABLE,
            Odd::UNREAD,
            Odd::READ_AGAIN,
            Odd::ENDED,
            Odd::QUEUED,
            Odd::BLOCKED,
            Odd::SEND_DEAD,
            Odd::ON_READY,
            Odd::ON_FLUSH,
            Odd::CLOSING,
            Odd::RESET,
            Odd::FIRST,
            Odd::DRAIN,
            Odd::RETRY_SEND,
            Odd::FINISH,
            Odd::OWES_WRITABLE,
            Odd::ERROR,
        ];
        let mut seen = Odd::default();
        for odd in all {
            assert!(!odd.is_none() && !seen.any(odd), "{odd:?}");
            seen.set(odd);
        }
        assert_eq!(seen, Odd((1 << all.len()) - 1));
    }

    #[test]
    fn a_set_has_what_was_put_in_and_not_taken_out() {
        let (a, b) = (Odd::PAUSED, Odd::TAIL);
        let mut set = a.or(b);
        assert_eq!((set.or(a), set.any(a), set.any(Odd::QUEUED)), (set, true, false));
        assert!(set.take(a) && !set.take(a));
        assert_eq!(set, b);
        set.put(a, true);
        set.put(b, false);
        assert_eq!(set, a);
        set.clear(a.or(b));
        assert!(set.is_none());
    }

    #[test]
    fn an_oddity_can_forbid_what_the_state_allows_but_not_allow_it() {
        let slot = |state, odd| Slot { odd, state, ..Slot::vacant(ConnId::new(0, 1)) };
        let may = |slot: Slot| (slot.accepts_output(), slot.delivers(), slot.delivers_now());
        assert_eq!(may(slot(State::Open, Odd::default())), (true, true, true));
        for (odd, expected) in [
            (Odd::CLOSING, (false, false, false)),
            (Odd::SEND_DEAD, (false, true, true)),
            (Odd::FINISH, (false, true, true)),
            (Odd::PAUSED, (true, true, false)),
            (Odd::OVER_HIGH, (true, true, false)),
            (Odd::OVER_MEMORY, (true, true, false)),
        ] {
            assert_eq!(may(slot(State::Open, odd)), expected, "{odd:?}");
            assert_eq!(may(slot(State::Flushing, odd)), (false, false, false), "{odd:?}");
        }
        assert_eq!(may(slot(State::Flushing, Odd::default())), (false, false, false));
    }

    #[test]
    fn a_vacant_slot_is_odd_so_that_no_fast_path_takes_it() {
        assert!(!Slot::vacant(ConnId::new(0, 1)).odd.is_none());
    }
}
