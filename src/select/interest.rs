//! Which of the three sets, and what the bits of `poll` and the interests of mio are in these words.
//!
//! It knows the sets of Linux's `select`; it does not know descriptors.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub};

use rustix::event::PollFlags;

/// What ready means to the readers, and what `poll` is asked for; errors and hang-ups it reports unasked.
pub(super) const POLL_IN: PollFlags = PollFlags::IN.union(PollFlags::RDNORM).union(PollFlags::RDBAND);

/// The same for the writers.
const POLL_OUT: PollFlags = PollFlags::OUT.union(PollFlags::WRNORM).union(PollFlags::WRBAND);

/// Which of the three sets a descriptor is in: any of them together, or none.
///
/// ```
/// use switchboard::select::Interest;
///
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.contains(Interest::WRITABLE));
/// assert_eq!(both - Interest::WRITABLE, Interest::READABLE);
/// assert_eq!(format!("{both:?}"), "READABLE | WRITABLE");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interest(u8);

impl Interest {
    /// In none of the sets: kept, and not waited for.
    pub const NONE: Interest = Interest(0);
    /// Among the readers.
    pub const READABLE: Interest = Interest(1);
    /// Among the writers.
    pub const WRITABLE: Interest = Interest(2);
    /// Among those that wait for priority data.
    pub const EXCEPTIONAL: Interest = Interest(4);

    /// In all three sets.
    pub const ALL: Interest = Interest(7);

    /// Answers whether this is in every set that `other` is in.
    pub const fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }

    /// Answers whether this is in none of the sets.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds `other` if `condition` holds.
    pub(super) fn or_if(self, condition: bool, other: Interest) -> Interest {
        if condition { self | other } else { self }
    }

    /// What `poll` is asked for.
    pub(super) fn to_poll(self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(POLL_IN, self.contains(Interest::READABLE));
        flags.set(POLL_OUT, self.contains(Interest::WRITABLE));
        flags.set(PollFlags::PRI, self.contains(Interest::EXCEPTIONAL));
        flags
    }

    /// What the answer of `poll` means for the three sets.
    pub(super) fn from_poll(flags: PollFlags) -> Interest {
        let error = flags.contains(PollFlags::ERR);
        let hang_up = flags.contains(PollFlags::HUP);
        let readable = flags.intersects(POLL_IN) || hang_up || error;
        let writable = flags.intersects(POLL_OUT) || error;
        Interest::NONE
            .or_if(readable, Interest::READABLE)
            .or_if(writable, Interest::WRITABLE)
            .or_if(flags.contains(PollFlags::PRI), Interest::EXCEPTIONAL)
    }

    /// What mio is asked for; `None` if that is nothing, or nothing it can wait for on this system.
    pub(super) fn to_mio(self) -> Option<mio::Interest> {
        let names = [
            (Interest::READABLE, mio::Interest::READABLE),
            (Interest::WRITABLE, mio::Interest::WRITABLE),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            (Interest::EXCEPTIONAL, mio::Interest::PRIORITY),
        ];
        let asked = names.into_iter().filter(|&(ours, _)| self.contains(ours));
        asked.map(|(_, mios)| mios).reduce(|all, one| all | one)
    }
}

/// In the sets of either.
impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

impl BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Interest) {
        *self = *self | other;
    }
}

/// In the sets of both.
impl BitAnd for Interest {
    type Output = Interest;

    fn bitand(self, other: Interest) -> Interest {
        Interest(self.0 & other.0)
    }
}

/// In the sets of the first without those of the second.
impl Sub for Interest {
    type Output = Interest;

    fn sub(self, other: Interest) -> Interest {
        Interest(self.0 & !other.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Interest::READABLE, "READABLE"),
            (Interest::WRITABLE, "WRITABLE"),
            (Interest::EXCEPTIONAL, "EXCEPTIONAL"),
        ];
        let names = names.into_iter().filter(|&(one, _)| self.contains(one));
        let names: Vec<&str> = names.map(|(_, name)| name).collect();
        f.write_str(if names.is_empty() { "NONE" } else { "" })?;
        f.write_str(&names.join(" | "))
    }
}
