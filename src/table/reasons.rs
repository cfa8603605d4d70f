//! Why connections close, once that is decided.
//!
//! It knows which reason gives way to which. It does not know what follows from one.
//!
//! Nearly all connections end orderly, and those reasons have nothing to keep but their name. The others lie in a slab.

use slab::Slab;

use crate::error::CloseReason;

/// Which reason a connection has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReasonId(u32);

impl ReasonId {
    /// None is decided.
    pub(crate) const NONE: ReasonId = ReasonId(u32::MAX);
    const ENDED: ReasonId = ReasonId(u32::MAX - 1);
    const CLOSED: ReasonId = ReasonId(u32::MAX - 2);

    /// Whether the reason has its name only.
    fn is_name(self) -> bool {
        self.0 >= ReasonId::CLOSED.0
    }
}

/// The reasons that are more than a name.
#[derive(Debug, Default)]
pub(crate) struct Reasons(Slab<CloseReason>);

impl Reasons {
    /// Sets the reason of `id`. The first stays, unless it was an orderly one and this is not: then what was to be
    /// orderly has failed.
    #[inline]
    pub(crate) fn decide(&mut self, id: &mut ReasonId, reason: CloseReason) {
        let undecided = *id == ReasonId::NONE;
        match reason {
            CloseReason::Ended if undecided => *id = ReasonId::ENDED,
            CloseReason::Closed if undecided => *id = ReasonId::CLOSED,
            CloseReason::Ended | CloseReason::Closed => {}
            reason => self.decide_against(id, reason),
        }
    }

    /// Sets a reason that is not orderly.
    #[cold]
    fn decide_against(&mut self, id: &mut ReasonId, reason: CloseReason) {
        let stays = *id != ReasonId::NONE && wrong!(FirstReasonStays);
        if id.is_name() && !stays {
            let at = self.0.insert(reason);
            *id = ReasonId(u32::try_from(at).expect("no more reasons than slots"));
        }
    }

    /// Takes the reason of `id`: [`CloseReason::Closed`] if none was decided.
    #[inline]
    pub(crate) fn take(&mut self, id: &mut ReasonId) -> CloseReason {
        match std::mem::replace(id, ReasonId::NONE) {
            ReasonId::ENDED => CloseReason::Ended,
            ReasonId::CLOSED | ReasonId::NONE => CloseReason::Closed,
            ReasonId(at) => self.0.remove(at as usize),
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
            assert!(matches!(reasons.take(&mut id), CloseReason::Closed), "none was decided since");
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
