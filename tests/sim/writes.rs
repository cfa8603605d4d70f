//! What each write accepts, tried in every way: the client gets exactly the bytes that were sent.

use switchboard::sim::{self, Faults, Sim};

use crate::sets::{self, writes};

/// Every way to take `bytes` bytes in parts: between any two of them there is a cut or none.
fn in_every_part(bytes: u32, scenario: fn(Sim, Faults)) {
    let explored = sim::exhaust(1 << 20, |sim| scenario(sim, writes::parts()));
    assert!(explored.complete, "{explored:?}");
    assert_eq!(explored.runs, 1 << (bytes - 1));
}

// E5: the kernel takes any part of what is offered, at each call.
#[test]
fn e5_a_small_reply_arrives_however_each_send_takes_it() {
    in_every_part(10, writes::small);
}

#[test]
fn e5_framed_replies_arrive_however_each_send_takes_them() {
    in_every_part(15, writes::framed);
}

#[test]
fn e5_pipelined_replies_arrive_however_each_send_takes_them() {
    in_every_part(8, writes::pipelined);
}

// F7: what follows a reply waits until all of it is taken.
#[test]
fn f7_a_reply_arrives_before_a_close_however_each_send_takes_it() {
    in_every_part(8, writes::closed_behind);
    in_every_part(8, writes::lingering_behind);
    in_every_part(8, writes::finished_behind);
}

// E5: copied and shared chunks in one queue, sent by vectored calls; two receivers at once.
#[test]
fn e5_vectored_queues_arrive_however_each_send_takes_them() {
    in_every_part(11, writes::vectored);
}

// E5: a cut at each byte of chunks that are sent by reference.
#[test]
fn e5_shared_chunks_arrive_with_a_cut_at_every_byte() {
    let explored = sim::deviations(1, 10_000, |sim| writes::shared(sim, writes::parts()));
    assert!(explored.complete && explored.runs > 4_100, "{explored:?}");
}

// B5, B6, B9, E5: a send takes nothing, some or all, is interrupted or finds no memory, at any two calls.
#[test]
fn e5_replies_arrive_when_any_two_sends_take_nothing_or_a_part() {
    for scenario in [writes::small, writes::pipelined, writes::vectored, writes::lingering_behind] {
        sets::parts(2, scenario);
    }
}
