//! What may go wrong in a simulated network, and how often.
//!
//! It knows kinds and weights; the network knows how each is done. Every kind is something that Linux may really
//! do: a program that fails under one of them can fail in earnest.

use std::fmt;

use super::tape::Tape;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $what:literal $harm:ident,)*) => {
        /// A kind of fault, or of an order of events that is rare and allowed.
        ///
        /// The first group does no harm: a program under them must do exactly what it does without, only later.
        /// The second may end connections.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// All kinds.
            pub const ALL: [Fault; [$(Fault::$name),*].len()] = [$(Fault::$name),*];

            /// Whether a correct program is as good as not affected: nothing is lost and nobody is cut off.
            pub fn is_harmless(self) -> bool {
                match self { $(Fault::$name => Harm::$harm == Harm::None,)* }
            }

            /// Whether only some programs meet it: those with datagrams, those that connect by name.
            fn is_of_some(self) -> bool {
                matches!(self, Fault::Lost | Fault::Twice | Fault::Unresolved)
            }

            fn what(self) -> &'static str {
                match self { $(Fault::$name => $what,)* }
            }
        }
    };
}

#[derive(PartialEq, Eq)]
enum Harm {
    None,
    Some,
}

kinds! {
    /// Bytes, ends and connects arrive up to some milliseconds later.
    Latency "how long a segment takes" None,
    /// A segment carries only the first of the bytes that are on their way.
    Fragment "how many bytes a segment carries" None,
    /// An end arrives in an event of its own, not with the last bytes.
    FinApart "whether an end comes apart from the last bytes" None,
    /// The buffers of a connection hold a few bytes up to some hundred.
    SmallBuffers "how large the buffers of a connection are" None,
    /// A send takes only the first of the bytes it is given.
    PartialSend "how much a send takes" None,
    /// A send takes nothing for a while, as without memory for more.
    Squeeze "whether a send takes nothing" None,
    /// A call is interrupted by a signal.
    Interrupt "whether a call is interrupted" None,
    /// A send finds no buffer space, and no event says when there is some.
    NoBuffers "whether a send finds no buffer space" None,
    /// Something arrives between two calls of one turn.
    Preempt "what arrives between two calls" None,
    /// A poll reports only the first of the events that there are.
    CutBatch "how many events a poll reports" None,
    /// A poll reports events in another order than they came in.
    Reorder "in which order events are reported" None,
    /// A poll reports a connection that nothing has happened to.
    Spurious "what a poll reports without a reason" None,
    /// A poll reports a connection that is closed, as when another process has a copy of its descriptor.
    Stale "whether a closed connection is reported" None,
    /// A poll returns some milliseconds after its deadline.
    LatePoll "how much later a poll returns" None,
    /// A callback takes up to a second.
    Slow "how long a callback takes" None,
    /// The system has no descriptor or no memory for an accept.
    Exhausted "whether an accept finds no resources" None,
    /// What was to be accepted is gone: the accept fails because of this one connection.
    Aborted "whether an accept fails" Some,
    /// A connection cannot be registered in the poll.
    Unregistered "whether a connection can be registered" Some,
    /// A connect fails at once or later, or is never answered.
    ConnectFails "how a connect fails" Some,
    /// The peer, or something between, resets a connection: both sides learn of it, or only one.
    Reset "who is told of a reset" Some,
    /// The system gives a connection up: no answer, no route.
    Dies "of what a connection dies" Some,
    /// One direction stands still for seconds.
    Stall "how long a direction stands still" Some,
    /// The peer is gone without a word: nothing arrives any more.
    Vanishes "whether a peer vanishes" Some,
    /// A callback panics, if the reactor isolates panics.
    Panics "whether a callback panics" Some,
    /// The process stands still for up to a minute.
    Standstill "how long the process stands still" Some,
    /// A datagram is lost. With `Latency`, one may also overtake another. This kind and the next are in no swarm, because
    /// programs without datagrams have nothing of them: give them a weight.
    Lost "whether a datagram is lost" Some,
    /// A datagram arrives twice.
    Twice "whether a datagram arrives twice" Some,
    /// A name is not found, or looked up for seconds, or for ever. It is in no swarm either.
    Unresolved "what becomes of a lookup" Some,
}

/// Which faults there are in a run, and with which weights.
///
/// ```
/// use switchboard::sim::{Fault, Faults};
///
/// let some = Faults::none().with(Fault::Fragment, 300).with(Fault::Latency, 100);
/// assert_eq!(some.weight(Fault::Fragment), 300);
/// assert_eq!(some.weight(Fault::Reset), 0);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Faults {
    weights: [u16; Fault::ALL.len()],
    /// Kinds whose weight the tape chooses at the beginning of the run.
    drawn: [bool; Fault::ALL.len()],
}

/// What the weight of a kind may be in a swarm: as often none as any. One that ends connections is taken less often,
/// because nothing happens any more behind it.
const SWARM: [u16; 6] = [0, 4, 0, 20, 0, 120];
const SWARM_HARMLESS: [u16; 6] = [0, 20, 0, 100, 0, 500];

impl Faults {
    /// The quiet network: what is sent has arrived when the call returns, as on loopback.
    pub fn none() -> Faults {
        Faults { weights: [0; Fault::ALL.len()], drawn: [false; Fault::ALL.len()] }
    }

    /// Everything that does no harm, each kind with a weight that differs from run to run and is as often none:
    /// so that no kind hides what another would have shown.
    pub fn harmless() -> Faults {
        let mut faults = Faults::none();
        for fault in Fault::ALL {
            faults.drawn[fault as usize] = fault.is_harmless() && !fault.is_of_some();
        }
        faults
    }

    /// Everything, each kind with a weight that differs from run to run and is as often none.
    pub fn swarm() -> Faults {
        Faults { weights: [0; Fault::ALL.len()], drawn: Fault::ALL.map(|fault| !fault.is_of_some()) }
    }

    /// The same with this weight for this kind, in 1,024: how often it happens where it can.
    #[must_use]
    pub fn with(mut self, fault: Fault, weight: u16) -> Faults {
        self.weights[fault as usize] = weight;
        self.drawn[fault as usize] = false;
        self
    }

    /// The same without this kind.
    #[must_use]
    pub fn without(self, fault: Fault) -> Faults {
        self.with(fault, 0)
    }

    /// The weight of a kind, as far as it is fixed.
    pub fn weight(&self, fault: Fault) -> u16 {
        self.weights[fault as usize]
    }

    /// Whether any kind that can end connections may happen.
    pub fn may_harm(&self) -> bool {
        let may = |fault: &Fault| self.drawn[*fault as usize] || self.weight(*fault) > 0;
        Fault::ALL.iter().any(|fault| !fault.is_harmless() && may(fault))
    }

    /// The weights of one run, drawn from its tape.
    pub(crate) fn draw(&self, tape: &mut Tape) -> Faults {
        let mut faults = self.clone();
        for fault in Fault::ALL {
            if self.drawn[fault as usize] {
                let weights = if fault.is_harmless() { SWARM_HARMLESS } else { SWARM };
                faults = faults.with(fault, weights[tape.choose("the weight of a fault", weights.len())]);
            }
        }
        faults
    }

    /// Takes one of `ways` ways for a fault of this kind; the first is that it does not happen.
    #[inline]
    pub(crate) fn take(&self, tape: &mut Tape, fault: Fault, ways: usize) -> usize {
        tape.unusual(fault.what(), self.weights[fault as usize], ways)
    }
}

/// None.
impl Default for Faults {
    fn default() -> Faults {
        Faults::none()
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for fault in Fault::ALL {
            if self.drawn[fault as usize] {
                map.entry(&fault, &"drawn");
            } else if self.weight(fault) > 0 {
                map.entry(&fault, &self.weight(fault));
            }
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swarm_has_each_kind_in_some_runs_and_not_in_others() {
        for fault in Fault::ALL.into_iter().filter(|fault| !fault.is_of_some()) {
            let with = (0..100)
                .filter(|&seed| Faults::swarm().draw(&mut Tape::seeded(seed)).weight(fault) > 0)
                .count();
            assert!((20..80).contains(&with), "{fault:?} in {with} of 100 runs");
        }
    }

    #[test]
    fn what_is_harmless_draws_nothing_that_harms() {
        assert!(!Faults::harmless().may_harm() && Faults::swarm().may_harm());
        let drawn = Faults::harmless().draw(&mut Tape::seeded(3));
        assert!(Fault::ALL.iter().all(|&fault| fault.is_harmless() || drawn.weight(fault) == 0));
    }

    #[test]
    fn a_tape_of_zeros_has_no_faults() {
        assert_eq!(Faults::swarm().draw(&mut Tape::quiet()), Faults::none());
    }
}
