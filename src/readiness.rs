//! What a poll reported about one descriptor: readable, writable, exceptional, and the ends of either side.
//!
//! It knows bits and their names; it does not know which system reported them.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of conditions, as `select` knows them and a little finer.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const EMPTY: Readiness = Readiness(0);
    /// Bytes, a connection, or the end of input can be received.
    pub const READABLE: Readiness = Readiness(1);
    /// Bytes can be sent, or a connect has an outcome.
    pub const WRITABLE: Readiness = Readiness(1 << 1);
    /// Exceptional: TCP urgent data.
    pub const EXCEPTIONAL: Readiness = Readiness(1 << 2);
    /// The peer ended its side, or nothing can be received any more.
    pub const READ_CLOSED: Readiness = Readiness(1 << 3);
    /// Nothing can be sent any more.
    pub const WRITE_CLOSED: Readiness = Readiness(1 << 4);
    /// The descriptor has a pending error; which one, the next call on it says.
    pub const ERROR: Readiness = Readiness(1 << 5);

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: Readiness) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in this set.
    pub const fn intersects(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }

    /// This set and `other`, where an operator can't stand.
    #[must_use]
    pub const fn or(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: Readiness) -> Readiness {
        Readiness(self.0 & !other.0)
    }

    /// The set as a number.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// Whether nothing is in this set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Readiness {
    type Output = Readiness;

    fn bitor(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Readiness) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Readiness, &str); 6] = [
            (Readiness::READABLE, "readable"),
            (Readiness::WRITABLE, "writable"),
            (Readiness::EXCEPTIONAL, "exceptional"),
            (Readiness::READ_CLOSED, "read_closed"),
            (Readiness::WRITE_CLOSED, "write_closed"),
            (Readiness::ERROR, "error"),
        ];
        let mut first = true;
        for (set, name) in NAMES {
            if self.contains(set) {
                if !first {
                    f.write_str("|")?;
                }
                first = false;
                f.write_str(name)?;
            }
        }
        if first { f.write_str("nothing") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_names_its_members() {
        let set = Readiness::READABLE | Readiness::ERROR;
        assert_eq!(format!("{set:?}"), "readable|error");
        assert_eq!(format!("{:?}", Readiness::EMPTY), "nothing");
        assert!(set.contains(Readiness::ERROR) && !set.intersects(Readiness::WRITABLE));
        assert_eq!(set.without(Readiness::ERROR), Readiness::READABLE);
        let all = (0..6).map(|bit| Readiness(1 << bit)).fold(Readiness::EMPTY, Readiness::or);
        let names = "readable|writable|exceptional|read_closed|write_closed|error";
        assert_eq!(format!("{all:?}"), names);
    }

    #[test]
    fn a_set_contains_all_of_another_or_intersects_it_or_neither() {
        let (r, w, e) = (Readiness::READABLE, Readiness::WRITABLE, Readiness::ERROR);
        let set = r | w;
        assert!(set.contains(r) && set.contains(r | w) && !set.contains(r | e) && !set.contains(e));
        assert!(set.intersects(r | e) && set.intersects(set) && !set.intersects(e));
        assert!(Readiness::EMPTY.is_empty() && !set.is_empty());
        assert_eq!((set | r, set.or(r), set.without(w | e)), (set, set, r));
        let mut grown = r;
        grown |= set;
        assert_eq!(grown, set);
        assert_eq!((set.bits(), Readiness::EMPTY.bits()), (0b11, 0));
    }
}
