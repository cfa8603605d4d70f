//! The table by itself: what a slot is between two connections, who is on which list, what is waited for.

use std::net::SocketAddr;
use std::time::Duration;

use super::reasons::ReasonId;
use super::*;

const MS: Duration = Duration::from_millis(1);

/// The instant so many milliseconds after the start.
fn at(millis: u32) -> Instant {
    Instant::START + MS * millis
}

fn table() -> Table {
    Table::new(&Config::default())
}

fn insert(table: &mut Table, state: State) -> ConnId {
    table.insert(Addr::Unnamed, state, Instant::START).expect("there is room")
}

/// A table of one connection, open since the start, and its index.
fn one() -> (Table, usize) {
    let mut table = table();
    let index = insert(&mut table, State::Open).slot();
    (table, index)
}

// ---- Slots and ids ----

#[test]
fn an_id_is_stale_once_its_connection_is_removed() {
    let mut table = table();
    let first = insert(&mut table, State::Open);
    assert!(table.get(first).is_some() && table.get_mut(first).is_some());
    table.remove(first);
    assert!(table.get(first).is_none() && table.get_mut(first).is_none());
    let second = insert(&mut table, State::Open);
    assert_eq!((second.slot(), second.generation()), (first.slot(), first.generation() + 1));
    assert!(table.get(first).is_none() && table.get_mut(first).is_none());
    assert_eq!(table.open, 1);
}

#[test]
fn a_slot_out_of_generations_is_retired() {
    let mut table = table();
    let first = insert(&mut table, State::Open);
    table.remove(first);
    table.slots[0].id = ConnId::new(0, GENERATION_MAX - 1).vacant();
    let last_but_one = insert(&mut table, State::Open);
    table.remove(last_but_one);
    let last = insert(&mut table, State::Open);
    assert_eq!(last, ConnId::new(0, GENERATION_MAX));
    table.remove(last);
    assert!(table.get(last).is_none());
    assert_eq!(insert(&mut table, State::Open), ConnId::new(1, 1), "another slot, not the first id again");
}

#[test]
fn only_an_open_connection_begins_as_not_odd() {
    let mut table = table();
    let (connecting, open) = (insert(&mut table, State::Connecting), insert(&mut table, State::Open));
    assert_eq!(table.slots[connecting.slot()].odd, Odd::NOT_OPEN);
    assert_eq!(table.slots[open.slot()].odd, Odd::default());
    table.step(connecting.slot(), Step::Connected);
    assert_eq!(table.slots[connecting.slot()].odd, Odd::default());
}

#[test]
fn nothing_is_left_of_a_connection_that_is_removed() {
    let config = Config::default();
    let peer = Addr::from(SocketAddr::from(([127, 0, 0, 1], 7)));
    let mut table = Table::new(&config);
    assert!(table.admit(&peer, 1));
    let id = table.insert(peer, State::Open, Instant::START).expect("there is room");
    let index = id.slot();
    table.slots[index].counted = true;
    table.queue_copy(index, b"unsent", Instant::START);
    table.timers.set(id, 1, Instant::START, at(1)).expect("there is room");
    table.rearm(index, &config, Instant::START);
    table.end(index, CloseReason::Aborted);
    assert!(table.held() > 0);
    table.remove(id);
    assert_eq!((table.open, table.held(), table.timers.len(), table.reasons.len()), (0, 0, 0, 0));
    assert!(table.waits.is_empty() && table.per_address.is_empty());
    assert!(table.slots[index].queue.is_none() && table.slots[index].reason == ReasonId::NONE);
}

#[test]
fn what_is_held_is_what_queues_and_tails_occupy() {
    let (mut table, index) = one();
    table.queue_bytes(index, Bytes::from(vec![0; 5000]), Instant::START);
    table.tails_held += 300;
    assert_eq!(table.held(), 5300);
}

// ---- Addresses ----

#[test]
fn an_address_has_no_more_connections_than_it_may() {
    let mut table = table();
    let [one, same, other] = [([127, 0, 0, 1], 1), ([127, 0, 0, 1], 2), ([127, 0, 0, 2], 1)]
        .map(|addr| Addr::from(SocketAddr::from(addr)));
    assert!(table.admit(&one, 2) && table.admit(&same, 2) && !table.admit(&one, 2));
    assert!(table.admit(&other, 2));
    table.dismiss(&same);
    assert!(table.admit(&one, 2) && !table.admit(&same, 2));
    for peer in [&one, &one, &other] {
        table.dismiss(peer);
    }
    assert!(table.per_address.is_empty(), "who is gone is forgotten");
    assert!((0..3).all(|_| table.admit(&Addr::Unnamed, 2)), "no address, no limit");
}

// ---- Lists ----

#[test]
fn a_connection_is_on_each_list_once() {
    let (mut table, index) = one();
    let id = table.slots[index].id;
    for _ in 0..2 {
        table.ready_later(index);
        table.flush_later(index);
        table.end_with_reset(index, CloseReason::Reset);
    }
    assert!(table.ready.iter().eq([&id]));
    assert_eq!((&*table.flush, &*table.closing), (&[id][..], &[id][..]));
    let lists = Odd::ON_READY.or(Odd::ON_FLUSH).or(Odd::CLOSING);
    assert_eq!(table.slots[index].odd, lists.or(Odd::NOT_OPEN).or(Odd::RESET));
}

#[test]
fn who_is_let_go_is_visited_if_there_is_input_and_nothing_else_holds_it() {
    for (before, is_visited) in [
        (Odd::PAUSED, false),
        (Odd::PAUSED.or(Odd::QUEUED), false),
        (Odd::PAUSED.or(Odd::UNREAD), true),
        (Odd::PAUSED.or(Odd::DECODABLE), true),
        (Odd::PAUSED.or(Odd::TAIL), true),
        (Odd::PAUSED.or(Odd::TAIL).or(Odd::OVER_HIGH), false),
        (Odd::PAUSED.or(Odd::UNREAD).or(Odd::OVER_MEMORY), false),
    ] {
        let (mut table, index) = one();
        table.slots[index].odd = before;
        table.let_go(index, Odd::PAUSED);
        assert!(!table.slots[index].odd.any(Odd::PAUSED));
        assert_eq!(!table.ready.is_empty(), is_visited, "{before:?}");
    }
}

// ---- Output ----

#[test]
fn what_the_kernel_takes_is_counted_and_is_activity() {
    let (mut table, index) = one();
    table.queue_copy(index, b"hello", at(1));
    assert!(table.slots[index].odd.any(Odd::QUEUED));
    let state = |table: &Table| (table.slots[index].sent, table.slots[index].last_activity);
    table.sent(index, 0, at(2));
    assert_eq!(state(&table), (0, at(0)));
    table.sent(index, 3, at(3));
    assert_eq!(state(&table), (3, at(3)));
    assert!(table.slots[index].odd.any(Odd::QUEUED));
    table.sent(index, 2, at(4));
    assert_eq!(state(&table), (5, at(4)));
    assert_eq!(table.slots[index].odd, Odd::default());
}

#[test]
fn a_queue_that_is_dropped_holds_nothing() {
    let (mut table, index) = one();
    table.queue_copy(index, b"hello", at(1));
    table.drop_queue(index);
    assert_eq!((table.held(), table.slots[index].odd), (0, Odd::default()));
}

#[test]
fn the_largest_holds_the_most_in_queue_and_tail_together() {
    let mut table = table();
    assert_eq!(table.largest(|_| 9, Odd::CLOSING), None);
    for bytes in [4000, 6000, 9000] {
        let index = insert(&mut table, State::Open).slot();
        table.queue_bytes(index, Bytes::from(vec![0; bytes]), Instant::START);
    }
    table.slots[2].odd.set(Odd::CLOSING);
    assert_eq!(table.largest(|_| 0, Odd::default()), Some(2));
    assert_eq!(table.largest(|_| 0, Odd::CLOSING), Some(1));
    // As sums: 7000 and 6001.
    assert_eq!(table.largest(|index| [3000, 1, 0][index], Odd::CLOSING), Some(0));
    table.drop_queue(0);
    table.drop_queue(1);
    assert_eq!(table.largest(|index| [0, 1, 0][index], Odd::CLOSING), Some(1));
    assert_eq!(table.largest(|_| 0, Odd::CLOSING), None, "who holds nothing is not the largest");
}

// ---- Waits ----

/// Every wait has a time of its own, so that none is taken for another.
fn waits() -> Config {
    Config {
        connect_timeout: MS,
        first_frame_timeout: Some(2 * MS),
        frame_timeout: Some(3 * MS),
        write_timeout: 4 * MS,
        linger_timeout: 5 * MS,
        idle_timeout: Some(6 * MS),
        ..Config::default()
    }
}

/// What a connection in `state` waits for next that opened at 100 ms, is in its wait of the moment since
/// 200 ms, last saw a byte at 300 ms and, with `odd` saying that there is a queue, sent at 400 ms.
fn next_wait(state: State, odd: Odd, config: &Config) -> Option<(Instant, Wait)> {
    let (mut table, index) = one();
    if odd.any(Odd::QUEUED) {
        table.queue_copy(index, b"unsent", at(400));
    }
    let slot = &mut table.slots[index];
    (slot.state, slot.odd) = (state, odd);
    (slot.opened_at, slot.since, slot.last_activity) = (at(100), at(200), at(300));
    table.next_wait(index, config)
}

#[test]
fn each_wait_counts_from_what_began_it() {
    let config = waits();
    let no_idle = Config { idle_timeout: None, ..waits() };
    for (state, odd, expected) in [
        (State::Connecting, Odd::NOT_OPEN, (at(200), Wait::Connect)),
        (State::Open, Odd::FIRST, (at(102), Wait::FirstFrame)),
        (State::Open, Odd::TAIL, (at(203), Wait::Frame)),
        (State::Lingering, Odd::NOT_OPEN, (at(205), Wait::Linger)),
        (State::Open, Odd::default(), (at(306), Wait::Idle)),
        (State::Flushing, Odd::QUEUED, (at(404), Wait::Write)),
    ] {
        assert_eq!(next_wait(state, odd, &config), Some(expected), "{state:?}");
        let without = if state == State::Open && odd.is_none() { None } else { Some(expected) };
        assert_eq!(next_wait(state, odd, &no_idle), without, "{state:?}");
    }
    assert_eq!(next_wait(State::Closed, Odd::FIRST.or(Odd::TAIL).or(Odd::QUEUED), &config), None);
    assert_eq!(next_wait(State::Connecting, Odd::QUEUED, &config), Some((at(200), Wait::Connect)));
}

#[test]
fn of_several_waits_the_earliest_is_next() {
    let all = Odd::FIRST.or(Odd::TAIL).or(Odd::QUEUED);
    let mut config = waits();
    let mut order = Vec::new();
    while let Some((_, wait)) = next_wait(State::Open, all, &config) {
        order.push(wait);
        match wait {
            Wait::FirstFrame => config.first_frame_timeout = None,
            Wait::Frame => config.frame_timeout = None,
            Wait::Idle => config.idle_timeout = None,
            _ => break,
        }
    }
    assert_eq!(order, [Wait::FirstFrame, Wait::Frame, Wait::Idle, Wait::Write]);
}

// Who takes no output is reset; who is merely silent may get a last word.
#[test]
fn of_two_waits_over_at_once_the_one_for_output_counts() {
    let config = Config { idle_timeout: Some(104 * MS), ..waits() };
    assert_eq!(next_wait(State::Open, Odd::QUEUED, &config), Some((at(404), Wait::Write)));
}

#[test]
fn who_is_held_back_is_waited_for_only_to_take_output() {
    let config = waits();
    for held in [Odd::PAUSED, Odd::OVER_HIGH, Odd::OVER_MEMORY] {
        assert_eq!(next_wait(State::Open, held.or(Odd::FIRST).or(Odd::TAIL), &config), None);
        let write = Some((at(404), Wait::Write));
        assert_eq!(next_wait(State::Open, held.or(Odd::FIRST).or(Odd::TAIL).or(Odd::QUEUED), &config), write);
    }
}

#[test]
fn a_whole_frame_waits_for_the_program_and_not_for_the_peer() {
    let idle = Some((at(306), Wait::Idle));
    assert_eq!(next_wait(State::Open, Odd::TAIL.or(Odd::DECODABLE), &waits()), idle);
}

#[test]
fn who_closes_is_waited_for_neither_by_frame_nor_by_byte() {
    for state in [State::Flushing, State::Draining] {
        assert_eq!(next_wait(state, Odd::FIRST.or(Odd::TAIL), &waits()), None, "{state:?}");
    }
    let idle = Some((at(306), Wait::Idle));
    assert_eq!(next_wait(State::HalfClosed, Odd::FIRST.or(Odd::TAIL), &waits()), idle);
}

#[test]
fn a_wait_is_linked_where_it_ends_moves_with_it_and_keeps_its_place_otherwise() {
    let config = waits();
    let mut table = table();
    for _ in 0..2 {
        let index = insert(&mut table, State::Open).slot();
        table.rearm(index, &config, at(0));
    }
    assert_eq!((table.waits.deadline(0), table.waits.deadline(1)), (Some(at(6)), Some(at(6))));
    // Unchanged: still before the other, though armed again after it.
    table.rearm(0, &config, at(1));
    let mut due = Vec::new();
    table.waits.expire(at(6), &mut due);
    assert_eq!(due, [0, 1]);
    table.rearm(0, &config, at(6));
    table.slots[0].last_activity = at(2);
    table.rearm(0, &config, at(6));
    assert_eq!(table.waits.deadline(0), Some(at(8)));
    table.step(0, Step::CloseFlush);
    table.rearm(0, &config, at(6));
    assert!(table.waits.is_empty(), "it waits for nothing any more");
}
