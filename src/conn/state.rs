//! The states of a connection and every way from one to another.
//!
//! It knows the order of a connection's life; it does not know what makes it change. One function changes a
//! state, and its table is tested in full.
//!
//! ```text
//!  Connecting ──▶ Open ──peer's end──▶ HalfClosed ──finish, close──▶ Flushing ──flushed──▶ Closed
//!                  │
//!                  ├─finish──▶ Finishing ──flushed──▶ Finished ──peer's end──▶ Closed
//!                  │            └─peer's end─▶ Flushing
//!                  ├─close(Flush)───▶ Flushing
//!                  └─close(Linger)──▶ Draining ──flushed──▶ Lingering ──peer's end──▶ Closed
//!                                      └─peer's end─▶ Flushing
//! ```
//!
//! Any state goes to `Closed` on a reset, a failure, an abort or a time-out.

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum State {
    /// A connect is under way; what is sent waits in the queue.
    Connecting,
    /// Both sides may send.
    Open,
    /// The peer ended its side; we may still send.
    HalfClosed,
    /// We end our side once the queue is flushed; frames still arrive.
    Finishing,
    /// We ended our side; frames still arrive.
    Finished,
    /// Closing with a flush: nothing is delivered any more, and the socket closes when the queue is empty.
    Flushing,
    /// Closing with a linger: the queue is flushed first, input is read and dropped.
    Draining,
    /// Our side has ended; the peer's input is read and dropped until it ends, within bounds.
    Lingering,
    /// Over.
    Closed,
}

/// What happens to a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The connect succeeded.
    Connected,
    /// The peer's end was read.
    PeerEnded,
    /// The program ends our side.
    Finish,
    /// The program closes with a flush.
    CloseFlush,
    /// The program closes with a linger.
    CloseLinger,
    /// The send queue is empty, and everything in it was taken by the kernel.
    Flushed,
    /// A reset, a failure, an abort, a time-out.
    Over,
}

impl State {
    /// Whether frames are decoded and delivered.
    pub(crate) const fn delivers(self) -> bool {
        matches!(self, State::Open | State::Finishing | State::Finished)
    }

    /// Whether input is read only to be dropped.
    pub(crate) const fn drops_input(self) -> bool {
        matches!(self, State::Draining | State::Lingering)
    }

    /// Whether the program may send.
    pub(crate) const fn accepts_output(self) -> bool {
        matches!(self, State::Connecting | State::Open | State::HalfClosed)
    }

    /// Whether the program has closed it already, or it is over.
    pub(crate) const fn is_closing(self) -> bool {
        matches!(self, State::Flushing | State::Draining | State::Lingering | State::Closed)
    }

    /// Whether an empty send queue moves it on.
    pub(crate) const fn waits_for_flush(self) -> bool {
        matches!(self, State::Finishing | State::Flushing | State::Draining)
    }

    /// Where `step` leads from here. A step that means nothing here changes nothing.
    #[inline]
    pub(crate) fn after(self, step: Step) -> State {
        AFTER[self as usize][step as usize]
    }

    #[expect(clippy::match_same_arms, reason = "one row for each state, to be read as a table")]
    const fn leads_to(self, step: Step) -> State {
        match (self, step) {
            (State::Closed, _) | (_, Step::Over) => State::Closed,

            (State::Connecting, Step::Connected) => State::Open,
            (State::Connecting, Step::CloseFlush | Step::CloseLinger) => State::Closed,
            (State::Connecting, Step::PeerEnded | Step::Finish | Step::Flushed) => State::Connecting,

            (State::Open, Step::PeerEnded) => State::HalfClosed,
            (State::Open, Step::Finish) => State::Finishing,
            (State::Open, Step::CloseFlush) => State::Flushing,
            (State::Open, Step::CloseLinger) => State::Draining,
            (State::Open, Step::Flushed | Step::Connected) => State::Open,

            // The peer has nothing more to say, so there is nothing to linger for.
            (State::HalfClosed, Step::Finish | Step::CloseFlush | Step::CloseLinger) => State::Flushing,
            (State::HalfClosed, Step::PeerEnded | Step::Flushed | Step::Connected) => State::HalfClosed,

            (State::Finishing, Step::PeerEnded | Step::CloseFlush) => State::Flushing,
            (State::Finishing, Step::CloseLinger) => State::Draining,
            (State::Finishing, Step::Flushed) => State::Finished,
            (State::Finishing, Step::Finish | Step::Connected) => State::Finishing,

            (State::Finished, Step::PeerEnded | Step::CloseFlush) => State::Closed,
            (State::Finished, Step::CloseLinger) => State::Lingering,
            (State::Finished, Step::Finish | Step::Flushed | Step::Connected) => State::Finished,

            (State::Flushing, Step::Flushed) => State::Closed,
            (
                State::Flushing,
                Step::PeerEnded | Step::Finish | Step::CloseFlush | Step::CloseLinger | Step::Connected,
            ) => State::Flushing,

            (State::Draining, Step::PeerEnded) => State::Flushing,
            (State::Draining, Step::Flushed) => State::Lingering,
            (State::Draining, Step::Finish | Step::CloseFlush | Step::CloseLinger | Step::Connected) => {
                State::Draining
            }

            (State::Lingering, Step::PeerEnded) => State::Closed,
            (
                State::Lingering,
                Step::Finish | Step::CloseFlush | Step::CloseLinger | Step::Flushed | Step::Connected,
            ) => State::Lingering,
        }
    }
}

/// All states, in order.
const STATES: [State; 9] = [
    State::Connecting,
    State::Open,
    State::HalfClosed,
    State::Finishing,
    State::Finished,
    State::Flushing,
    State::Draining,
    State::Lingering,
    State::Closed,
];

/// All steps, in order.
const STEPS: [Step; 7] = [
    Step::Connected,
    Step::PeerEnded,
    Step::Finish,
    Step::CloseFlush,
    Step::CloseLinger,
    Step::Flushed,
    Step::Over,
];

/// The table, looked up where it would be walked through.
const AFTER: [[State; STEPS.len()]; STATES.len()] = {
    let mut table = [[State::Closed; STEPS.len()]; STATES.len()];
    let mut at = 0;
    while at < STATES.len() * STEPS.len() {
        let (state, step) = (STATES[at / STEPS.len()], STEPS[at % STEPS.len()]);
        table[state as usize][step as usize] = state.leads_to(step);
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::State::*;
    use super::*;

    #[test]
    fn the_whole_table_is_as_drawn() {
        // Columns in the order of STEPS.
        let table = [
            (Connecting, [Open, Connecting, Connecting, Closed, Closed, Connecting, Closed]),
            (Open, [Open, HalfClosed, Finishing, Flushing, Draining, Open, Closed]),
            (HalfClosed, [HalfClosed, HalfClosed, Flushing, Flushing, Flushing, HalfClosed, Closed]),
            (Finishing, [Finishing, Flushing, Finishing, Flushing, Draining, Finished, Closed]),
            (Finished, [Finished, Closed, Finished, Closed, Lingering, Finished, Closed]),
            (Flushing, [Flushing, Flushing, Flushing, Flushing, Flushing, Closed, Closed]),
            (Draining, [Draining, Flushing, Draining, Draining, Draining, Lingering, Closed]),
            (Lingering, [Lingering, Closed, Lingering, Lingering, Lingering, Lingering, Closed]),
            (Closed, [Closed; 7]),
        ];
        assert_eq!(table.map(|(state, _)| state), STATES);
        for (state, row) in table {
            assert_eq!(STEPS.map(|step| state.after(step)), row, "from {state:?}");
        }
    }

    #[test]
    fn what_is_done_in_each_state_is_as_its_name_says() {
        // Delivers, drops input, takes output, is closing, waits for the flush.
        let table = [
            (Connecting, [false, false, true, false, false]),
            (Open, [true, false, true, false, false]),
            (HalfClosed, [false, false, true, false, false]),
            (Finishing, [true, false, false, false, true]),
            (Finished, [true, false, false, false, false]),
            (Flushing, [false, false, false, true, true]),
            (Draining, [false, true, false, true, true]),
            (Lingering, [false, true, false, true, false]),
            (Closed, [false, false, false, true, false]),
        ];
        assert_eq!(table.map(|(state, _)| state), STATES);
        for (state, row) in table {
            let is = [
                state.delivers(),
                state.drops_input(),
                state.accepts_output(),
                state.is_closing(),
                state.waits_for_flush(),
            ];
            assert_eq!(is, row, "in {state:?}");
        }
    }

    #[test]
    fn no_step_leads_back_to_delivering_or_sending() {
        for state in STATES {
            for step in STEPS {
                let next = state.after(step);
                assert!(!next.delivers() || state.delivers() || state == Connecting, "{state:?} {step:?}");
                assert!(!next.accepts_output() || state.accepts_output(), "{state:?} {step:?}");
                assert!(next.is_closing() || !state.is_closing(), "{state:?} {step:?}");
            }
        }
    }

    #[test]
    fn every_state_ends_after_finitely_many_ends_and_flushes() {
        for state in STATES {
            let closed = [Step::Connected, Step::CloseLinger, Step::Flushed, Step::PeerEnded, Step::Flushed]
                .into_iter()
                .fold(state, State::after);
            assert_eq!(closed, Closed, "from {state:?}");
        }
    }
}
