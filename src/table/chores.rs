//! What a turn has to do besides its events, as one word: nothing to do is one test.
//!
//! It knows that there may be something, not what. Whoever adds to a list, or asks the loop for anything, sets the bit
//! of it; the part of a turn that works it off says what is left. So a bit may be set for nothing, which costs a look,
//! and what there is always has its bit.

/// A set of chores.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Chores(u8);

impl Chores {
    /// Someone is in the ready queue.
    pub(crate) const READY: Chores = Chores(1);
    /// Someone is on the flush list.
    pub(crate) const FLUSH: Chores = Chores(1 << 1);
    /// Someone is on the list of what closes.
    pub(crate) const CLOSE: Chores = Chores(1 << 2);
    /// Callbacks have asked for listeners, connects or a stop.
    pub(crate) const WISHES: Chores = Chores(1 << 3);
    /// Connections may be waiting at a listener.
    pub(crate) const ACCEPT: Chores = Chores(1 << 4);
    /// The reactor drains or has stopped.
    pub(crate) const DRAIN: Chores = Chores(1 << 5);
    /// Datagrams were put aside until their receivers have room.
    pub(crate) const ASIDE: Chores = Chores(1 << 6);

    /// Any of these is reason enough for a poll not to wait.
    pub(crate) const AT_ONCE: Chores = Chores::READY.or(Chores::FLUSH).or(Chores::CLOSE).or(Chores::WISHES);

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn any(self, of: Chores) -> bool {
        self.0 & of.0 != 0
    }

    /// Either.
    pub(crate) const fn or(self, other: Chores) -> Chores {
        Chores(self.0 | other.0)
    }

    /// These but not those.
    pub(crate) const fn without(self, those: Chores) -> Chores {
        Chores(self.0 & !those.0)
    }

    pub(crate) fn set(&mut self, chores: Chores) {
        *self = self.or(chores);
    }

    pub(crate) fn put(&mut self, chores: Chores, on: bool) {
        *self = if on { self.or(chores) } else { self.without(chores) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chore_is_a_bit_of_its_own_and_can_be_put_in_and_taken_out() {
        let all = [
            Chores::READY,
            Chores::FLUSH,
            Chores::CLOSE,
            Chores::WISHES,
            Chores::ACCEPT,
            Chores::DRAIN,
            Chores::ASIDE,
        ];
        let mut set = Chores::default();
        for chore in all {
            assert!(!set.any(chore) && !chore.is_none(), "{chore:?}");
            set.set(chore);
            assert!(set.any(chore));
        }
        for chore in all {
            set.put(chore, true);
            assert!(set.any(chore));
            set.put(chore, false);
            assert!(!set.any(chore), "{chore:?}");
        }
        assert!(set.is_none());
    }
}
