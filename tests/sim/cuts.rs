//! An end and a reset at every byte, on each side.

use crate::sets::clients::{Pace, Then};
use crate::sets::cuts::{self, LEAVES, QUITS, REQUEST};

const PACES: [Pace; 2] = [Pace::AtOnce, Pace::ByByte];

// B3, J7, A2: the client resets, closes or ends behind each byte of its request.
#[test]
fn b3_a_request_that_is_cut_at_any_byte_is_delivered_up_to_there() {
    for bytes in 0..=REQUEST.len() {
        for pace in PACES {
            for how in LEAVES {
                // With one frame a turn, a reply fails while more of the request is still to be delivered.
                cuts::request(bytes, pace, 1, how);
                cuts::request(bytes, pace, 1024, how);
            }
        }
    }
}

// F6, B2: the client resets, closes or ends behind each byte of the reply, through buffers of all sizes.
#[test]
fn b2_a_reply_that_is_cut_at_any_byte_was_asked_for_and_the_cut_is_told() {
    for bytes in 0..=REQUEST.len() {
        for buffers in (1..=20).chain([1 << 16]) {
            for how in LEAVES {
                cuts::reply(bytes, buffers, how);
            }
        }
    }
}

// F1, F5, F7: the server aborts, flushes, lingers, fails or finishes behind each byte.
#[test]
fn f1_a_server_that_leaves_at_any_byte_has_said_all_until_there() {
    for bytes in 1..=REQUEST.len() {
        for pace in PACES {
            for then in [Then::Ends, Then::Stays] {
                for how in QUITS {
                    cuts::server(bytes, pace, then, how);
                }
            }
        }
    }
}
