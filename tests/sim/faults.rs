//! Every single fault at every place where it can happen, and pairs of them on the smallest programs.
//!
//! What must hold in each run is said with the scenarios; every run is checked for the reactor's own promises too.

use crate::sets::core::{self, Scenario};
use crate::sets::{self, several};

/// Runs `scenario` with each fault, in each of its ways, at each place.
fn each_fault(scenario: Scenario) {
    let runs = sets::faults(1, scenario);
    assert!(runs > 200, "only {runs} runs: there are more faults and calls than that");
}

// B12: whatever call fails, with whatever error, only its connection is concerned.
#[test]
fn b12_one_fault_at_each_call_of_a_line_echo() {
    each_fault(core::echo_lines);
}

#[test]
fn b12_two_faults_at_any_calls_of_one_line() {
    sets::faults(2, core::one_line);
}

#[test]
fn b12_one_fault_at_each_call_under_backpressure() {
    each_fault(core::backpressure);
}

#[test]
fn b12_one_fault_at_each_call_of_a_half_closed_request() {
    each_fault(core::half_close);
}

#[test]
fn b12_one_fault_at_each_call_of_a_proxy() {
    each_fault(several::proxy);
}

#[test]
fn b12_one_fault_at_each_call_of_a_client_that_tries_again() {
    each_fault(several::retry);
}

#[test]
fn b12_one_fault_at_each_call_of_a_chat() {
    each_fault(several::chat);
}

// F10: the drain ends, and what was answered is whole.
#[test]
fn f10_one_fault_at_each_call_of_a_drain() {
    each_fault(core::drain);
}

// H12, N7: whoever is silent is told so, and nobody else.
#[test]
fn h12_one_fault_at_each_call_of_what_waits() {
    each_fault(core::idle);
    each_fault(core::half_a_frame);
}

// E2: who takes nothing is let go.
#[test]
fn e2_two_faults_at_any_calls_of_a_peer_that_takes_nothing() {
    sets::faults(2, core::untaken);
}

// F1, J9: the error reply arrives, although its peer goes on sending.
#[test]
fn f1_one_fault_at_each_call_of_a_last_word() {
    each_fault(core::last_word);
}
