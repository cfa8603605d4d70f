//! The context by itself: limits and marks to the byte, for every way to send, and what refusals say.

use bytes::Bytes;

use super::*;
use crate::addr::Addr;
use crate::codec::Put as _;

/// The low mark, the high mark and the limit of every connection here.
const MARKS: [usize; 3] = [1000, 4000, 12_000];

/// A context serving one of two open connections.
fn serving() -> (Context, ConnId, ConnId) {
    let [queued_bytes_low, queued_bytes_high, queued_bytes_max] = MARKS;
    let config = Config { queued_bytes_low, queued_bytes_high, queued_bytes_max, ..Config::default() };
    let mut cx = Context::new(config, Instant::START);
    let mut open = || cx.table.insert(Addr::Unnamed, State::Open, Instant::START).expect("there is room");
    let (id, other) = (open(), open());
    cx.begin(id);
    (cx, id, other)
}

/// Every way to send `n` bytes.
type Way = fn(&mut Context, ConnId, usize) -> Sent;

const WAYS: [Way; 5] = [
    |cx, id, n| cx.send_to(id, &vec![7; n]),
    |cx, id, n| cx.send_bytes_to(id, vec![7; n].into()),
    |cx, id, n| cx.out_to(id).write_fmt(format_args!("{}", "x".repeat(n))),
    |cx, id, n| cx.try_send(id, vec![7; n].into()).unwrap_or(Sent::Full),
    |cx, id, n| {
        let told = cx.broadcast([id], &vec![7; n].into(), OnSlow::Queue);
        assert_eq!(told.queued + told.skipped + told.closed, 1);
        match (told.closed, cx.queued(id) > MARKS[1]) {
            (1, _) => Sent::Full,
            (_, true) => Sent::OverHigh,
            (_, false) => Sent::Accepted,
        }
    },
];

#[test]
fn every_way_to_send_keeps_to_the_marks_to_the_byte() {
    let [_, high, max] = MARKS;
    for (way, send) in WAYS.into_iter().enumerate() {
        for to_other in [false, true] {
            for before in [0, 1, 2500] {
                for (n, expected) in [
                    (high - before, Sent::Accepted),
                    (high - before + 1, Sent::OverHigh),
                    (max - before, Sent::OverHigh),
                    (max - before + 1, Sent::Full),
                ] {
                    let (mut cx, id, other) = serving();
                    let to = if to_other { other } else { id };
                    cx.send_to(to, &vec![1; before]);
                    assert_eq!(send(&mut cx, to, n), expected, "way {way}: {n} after {before}");
                    let queued = before + if expected == Sent::Full { 0 } else { n };
                    assert_eq!(cx.queued(to), queued, "way {way}: {n} after {before}");
                }
            }
        }
    }
}

// A refused `try_send` is the caller's to deal with; every other way ends a connection that takes too little.
#[test]
fn what_does_not_fit_ends_the_connection_unless_it_was_only_tried() {
    for (way, send) in WAYS.into_iter().enumerate() {
        let (mut cx, _, other) = serving();
        assert_eq!(send(&mut cx, other, MARKS[2] + 1), Sent::Full);
        let is_over = cx.table.closing == [other];
        assert_eq!(is_over, way != 3, "way {way}");
        assert_eq!(cx.send_to(other, b"more") == Sent::Closed, is_over, "way {way}");
    }
}

#[test]
fn two_pieces_are_sent_as_they_would_be_one_by_one() {
    let [_, high, max] = MARKS;
    for head in [1, 4, high, max] {
        for body in [0, 1, high - head.min(high), high, max - head.min(max), max] {
            let told = [false, true].map(|both| {
                let (mut cx, id, other) = serving();
                for target in [id, other] {
                    let (head, body) = (vec![1; head], vec![2; body]);
                    let mut out = if target == id { cx.out() } else { cx.out_to(target) };
                    if both {
                        out.put_both(&head, &body);
                    } else {
                        out.put_slice(&head);
                        out.put_slice(&body);
                    }
                }
                let queued = [id, other].map(|id| (cx.queued(id), cx.info(id).map(|info| info.state)));
                (queued, cx.out.clone(), cx.halt)
            });
            assert_eq!(told[0], told[1], "{head} and {body} bytes");
        }
    }
}

#[test]
fn a_batch_stops_when_its_own_output_is_above_the_high_mark() {
    let (mut cx, id, other) = serving();
    assert_eq!(cx.send(&[7; MARKS[1]]), Sent::Accepted);
    assert_eq!(cx.send_to(other, &[7; MARKS[1] + 1]), Sent::OverHigh);
    assert!(!cx.halt);
    assert_eq!(cx.send(b"x"), Sent::OverHigh);
    assert!(cx.halt);
    assert!(cx.table.slots[id.slot()].odd.any(Odd::OWES_WRITABLE));
}

#[test]
fn what_is_sent_by_reference_keeps_its_place_between_copies() {
    let (mut cx, id, _) = serving();
    cx.send(b"before");
    cx.send_bytes(Bytes::from(vec![b'x'; 3000]));
    cx.out().put_slice(b"behind");
    assert_eq!((cx.queued(id), &*cx.out), (3012, &b"behind"[..]));
    cx.spill(id.slot());
    let queue = cx.table.slots[id.slot()].queue;
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    let count = cx.table.queues.slices(queue, &mut slices);
    let queued: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
    assert_eq!(queued, [&b"before"[..], &[b'x'; 3000], b"behind"].concat());
}

#[test]
fn a_timer_is_for_a_connection_that_is_open() {
    let (mut cx, id, other) = serving();
    cx.close(other, Close::Flush);
    let connecting = cx.table.insert(Addr::Unnamed, State::Connecting, Instant::START).expect("room");
    assert!(cx.set_timer(id, Duration::from_secs(1), 1).is_ok());
    assert_eq!(cx.set_timer(other, Duration::from_secs(1), 1), Err(TimerError::Closed));
    assert_eq!(cx.set_timer(ConnId::NONE, Duration::from_secs(1), 1), Err(TimerError::Closed));
    assert_eq!(cx.set_timer(connecting, Duration::from_secs(1), 1), Err(TimerError::NotOpen));
}

#[test]
fn reading_pauses_from_three_quarters_of_the_memory_on() {
    let config = Config { memory_bytes_max: 1000, ..Config::default() };
    assert_eq!(Context::new(config, Instant::START).memory_high(), 750);
}

#[test]
fn refusals_name_the_limit_that_was_reached() {
    let full = TimerError::Full { limit: 3 };
    assert_eq!(full.to_string(), "timer beyond the limit of 3 (timers_max)");
    assert_eq!(TimerError::Closed.to_string(), "timer for a connection that is gone");
    assert_eq!(TimerError::NotOpen.to_string(), "timer for a connection that is not open yet");
    let (mut cx, ..) = serving();
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    cx.connections_max = 2;
    let refused = cx.connect(addr, 0).map_err(|error| error.to_string());
    assert_eq!(refused, Err("connection beyond the limit of 2 (connections_max)".into()));
    cx.connections_max = 0;
    let refused = cx.connect(addr, 0).map_err(|error| error.to_string());
    assert_eq!(refused, Err("no more connects: the reactor stops".into()));
}

#[test]
fn the_debug_output_says_who_is_served_and_when() {
    let (cx, ..) = serving();
    assert_eq!(format!("{cx:?}"), "Context { id: ConnId(0.1), now: 0ns, open: 2, .. }");
}
