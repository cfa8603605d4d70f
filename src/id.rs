//! Names for connections, listeners and timers: a slot and how often it was reused.
//!
//! It knows how to pack and compare them; it does not know what lives in a slot. A name outlives what it
//! names, and a slot's generation goes up each time it is freed, so a name kept too long is recognised as
//! stale instead of reaching whoever came next.

use std::fmt;

/// How many bits of an id say the slot; the rest is the generation.
const SLOT_BITS: u32 = 24;

/// How many bits the generation has. One bit of the 64 stays free: a token uses it to tell a connection
/// from everything else.
const GENERATION_BITS: u32 = 39;

/// The one bit of 64 that no id has that anyone was given.
const VACANT: u64 = 1 << 63;

/// The most slots a table can have: 16,777,216.
pub(crate) const SLOTS_MAX: usize = 1 << SLOT_BITS;

/// The last generation of a slot; a slot that reaches it is retired rather than wrapped around.
pub(crate) const GENERATION_MAX: u64 = (1 << GENERATION_BITS) - 1;

/// The name of one connection, valid in the reactor that gave it and nowhere else.
///
/// It stays unique after the connection is gone: whatever is asked of a stale id is answered
/// (`Sent::Closed`, `None`, no effect), and never reaches the connection that has its slot now.
/// Eight bytes, `Copy`, and hashable, so it is what programs keep in their own tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u64);

impl ConnId {
    /// The id that no connection has: what [`Context::id`](crate::Context::id) is outside a connection's callback.
    pub const NONE: ConnId = ConnId(0);

    /// Generations start at one, so that no connection is ever `NONE`.
    pub(crate) fn new(slot: usize, generation: u64) -> ConnId {
        debug_assert!(slot < SLOTS_MAX && (1..=GENERATION_MAX).contains(&generation));
        ConnId(slot as u64 | generation << SLOT_BITS)
    }

    /// The id that [`to_bits`](ConnId::to_bits) made a number of, as a proxy keeps one in the key of a connect.
    ///
    /// Any number will do: one that names no live connection is answered as a stale id is.
    pub const fn from_bits(bits: u64) -> ConnId {
        ConnId(bits & !VACANT)
    }

    /// The mark of an id that a slot will give out and has not yet: no other id is equal to it.
    pub(crate) const fn vacant(self) -> ConnId {
        ConnId(self.0 | VACANT)
    }

    /// The whole id as one number, for programs that keep ids in foreign structures, such as the key of a
    /// connect or a timer.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Which slot: small numbers, reused; two live connections never share one.
    ///
    /// Useful as the index of a program's own array; check the whole id before trusting what is there.
    #[expect(clippy::cast_possible_truncation, reason = "24 bits: nothing is cut off")]
    pub const fn slot(self) -> usize {
        (self.0 % SLOTS_MAX as u64) as usize
    }

    /// How often the slot was used up to this connection, from one.
    pub const fn generation(self) -> u64 {
        self.0 >> SLOT_BITS
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnId({self})")
    }
}

/// `slot.generation`, as log lines show it: `17.3` is the third connection in slot 17.
impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == ConnId::NONE {
            return f.write_str("none");
        }
        write!(f, "{}.{}", self.slot(), self.generation())
    }
}

/// The name of one listener, valid in the reactor that gave it and nowhere else. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListenerId(pub(crate) u32);

/// The name of one socket for datagrams, valid in the reactor that gave it and nowhere else. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DatagramId(pub(crate) u32);

/// The name of one registered descriptor, valid in the reactor that gave it and nowhere else. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub(crate) u32);

/// The name of one timer, valid in the reactor that gave it and nowhere else.
///
/// A timer that has fired or was cancelled leaves a stale id behind; cancelling it does nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl fmt::Debug for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerId({}.{})", self.slot, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_and_generation_come_back_from_an_id() {
        for (slot, generation) in [(0, 1), (SLOTS_MAX - 1, GENERATION_MAX), (17, 3)] {
            let id = ConnId::new(slot, generation);
            assert_eq!((id.slot(), id.generation()), (slot, generation));
            assert_ne!(id, ConnId::NONE);
            assert_eq!(ConnId::from_bits(id.to_bits()), id);
            assert_eq!(id.to_bits() >> 63, 0, "the top bit stays free for tokens");
        }
    }

    #[test]
    fn no_number_makes_the_id_of_a_vacant_slot() {
        let next = ConnId::new(5, 2).vacant();
        assert_ne!(ConnId::from_bits(next.to_bits()), next);
        assert_eq!(ConnId::from_bits(next.to_bits()), ConnId::new(5, 2));
        assert_eq!(next.vacant(), next);
    }

    #[test]
    fn an_id_reads_as_slot_and_generation() {
        assert_eq!(ConnId::new(17, 3).to_string(), "17.3");
        assert_eq!(format!("{:?}", ConnId::NONE), "ConnId(none)");
    }
}
