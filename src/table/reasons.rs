//! Why connections close, once that is decided.
//!
//! It knows which reason gives way to which. It does not know what follows from one.
//!
//! Nearly all connections end orderly, and those reasons have nothing to keep but their name. The others lie in a slab.

use std::ops::Deref;

use slab::Slab;

use crate::error::CloseReason;

/// Which reason a connection has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReasonId(u32);

impl ReasonId {
    /// None is decided.
    pub(crate) const NONE: ReasonId = ReasonId(u32::MAX);
    /// [`CloseReason::Ended`].
    pub(crate) const ENDED: ReasonId = ReasonId(u32::MAX - 1);
    /// [`CloseReason::Closed`].
    pub(crate) const CLOSED: ReasonId = ReasonId(u32::MAX - 2);

    /// Sets the reason, an orderly one, unless there is one.
    #[inline]
    pub(crate) fn decide(&mut self, orderly: ReasonId) {
        debug_assert!(orderly.is_name());
        if *self == ReasonId::NONE {
            *self = orderly;
        }
    }

    /// Whether the reason has its name only.
    fn is_name(self) -> bool {
        self.0 >= ReasonId::CLOSED.0
    }
}

/// A reason that was taken out.
#[derive(Debug)]
pub(crate) enum Reason {
    /// One with nothing to keep, and nothing to drop.
    Named(&'static CloseReason),
    Kept(CloseReason),
}

impl Deref for Reason {
    type Target = CloseReason;

    #[inline]
    fn deref(&self) -> &CloseReason {
        match self {
            Reason::Named(reason) => reason,
            Reason::Kept(reason) => reason,
        }
    }
}

/// The reasons that are more than a name.
#[derive(Debug, Default)]
pub(crate) struct Reasons(Slab<CloseReason>);

impl Reasons {
    /// Sets the reason of `id`. The first stays, unless it was an orderly one and this is not: then what was to be
    /// orderly has failed.
    pub(crate) fn decide(&mut self, id: &mut ReasonId, reason: CloseReason) {
        match reason {
            CloseReason::Ended => id.decide(ReasonId::ENDED),
            CloseReason::Closed => id.decide(ReasonId::CLOSED),
            _ if !id.is_name() || *id != ReasonId::NONE && wrong!(FirstReasonStays) => {}
            reason => {
                let at = self.0.insert(reason);
                *id = ReasonId(u32::try_from(at).expect("no more reasons than slots"));
            }
        }
    }

    /// Forgets the reason of `id`.
    #[inline]
    pub(crate) fn forget(&mut self, id: &mut ReasonId) {
        if !id.is_name() {
            self.0.remove(id.0 as usize);
        }
        *id = ReasonId::NONE;
    }

    /// Takes the reason of `id`: [`CloseReason::Closed`] if none was decided.
    #[inline]
    pub(crate) fn take(&mut self, id: &mut ReasonId) -> Reason {
        match std::mem::replace(id, ReasonId::NONE) {
            ReasonId::ENDED => Reason::Named(&CloseReason::Ended),
            ReasonId::CLOSED | ReasonId::NONE => Reason::Named(&CloseReason::Closed),
            ReasonId(at) => Reason::Kept(self.0.remove(at as usize)),
        }
    }

    /// How many are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays_unless_an_orderly_end_failed() {
        for (first, then, told) in [
            (CloseReason::Ended, CloseReason::Closed, "ended by the peer"),
            (CloseReason::Closed, CloseReason::Ended, "closed by this program"),
            (CloseReason::Ended, CloseReason::Reset, "reset by the peer"),
            (CloseReason::Closed, CloseReason::Aborted, "aborted by this program"),
            (CloseReason::Aborted, CloseReason::Closed, "aborted by this program"),
            (CloseReason::Aborted, CloseReason::Reset, "aborted by this program"),
        ] {
            let (mut reasons, mut id) = (Reasons::default(), ReasonId::NONE);
            reasons.decide(&mut id, first);
            reasons.decide(&mut id, then);
            assert_eq!(reasons.take(&mut id).to_string(), told);
            assert_eq!((reasons.len(), id), (0, ReasonId::NONE));
            assert!(matches!(*reasons.take(&mut id), CloseReason::Closed), "none was decided since");
        }
    }

    #[test]
    fn an_orderly_end_keeps_nothing() {
        let (mut reasons, mut ids) = (Reasons::default(), [ReasonId::NONE; 3]);
        for (id, reason) in ids.iter_mut().zip([CloseReason::Ended, CloseReason::Closed, CloseReason::Reset])
        {
            reasons.decide(id, reason);
        }
        assert_eq!(reasons.len(), 1);
    }
}
