//! Every kind of thing that a program may do, done in every callback of a run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sets::callbacks::{self, Act, Live, PANIC, acts};

/// How many callbacks there are if nothing is done in any.
fn callbacks() -> usize {
    let report = callbacks::run(Act::Resume, usize::MAX, true, &Live::default());
    let callbacks = report.handler.callbacks;
    assert!(callbacks >= 20, "only {callbacks} callbacks");
    callbacks
}

// A10, A11, A12, F8, F11, G1, G3, G12, H9, J11: closing, pausing, finishing, sending, timers and stops, in every
// callback, to the connection itself, to another and to all.
#[test]
fn g1_whatever_is_done_in_a_callback_takes_effect_after_it_and_once() {
    for at in 0..callbacks() {
        for act in acts() {
            callbacks::run(act, at, true, &Live::default());
        }
    }
}

// G7: without isolation a panic leaves the reactor, and every session is dropped once.
#[test]
fn g7_a_panic_in_any_callback_leaves_the_reactor_with_nothing_left() {
    for at in 0..callbacks() {
        let live = Live::default();
        let result = catch_unwind(AssertUnwindSafe(|| callbacks::run(Act::Panic, at, false, &live)));
        let payload = result.expect_err("nobody holds it up");
        assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some(PANIC));
        assert_eq!(live.count(), 0, "sessions are left behind a panic in callback {at}");
    }
}
