//! Races of slots: connections put into the table, found by their ids, and taken out.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;

use super::race::Race;
use crate::addr::Addr;
use crate::config::Config;
use crate::conn::state::State;
use crate::id::ConnId;
use crate::instant::Instant;
use crate::table::Table;
use crate::table::slot::Slot;

const CONNECTIONS: usize = 10_000;

pub(crate) fn races() -> Vec<Race> {
    vec![
        Race::new("slots taken and freed", "connection", CONNECTIONS, |n| {
            let mut table = Table::new(&Config::default());
            let mut ids = Vec::with_capacity(n);
            Box::new(move || {
                ids.extend((0..n).map(|_| open(&mut table)));
                for id in ids.drain(..) {
                    table.remove(black_box(id));
                }
            })
        })
        .against("HashMap by a number", |n| {
            let mut table: HashMap<u64, Slot> = HashMap::new();
            let mut count = 0;
            Box::new(move || {
                let first = count;
                for _ in 0..n {
                    table.insert(count, connection());
                    count += 1;
                }
                for id in first..count {
                    black_box(table.remove(&id));
                }
            })
        })
        .against("HashMap by a number, boxed", |n| {
            let mut table: HashMap<u64, Box<Slot>> = HashMap::new();
            let mut count = 0;
            Box::new(move || {
                let first = count;
                for _ in 0..n {
                    table.insert(count, Box::new(connection()));
                    count += 1;
                }
                for id in first..count {
                    black_box(table.remove(&id));
                }
            })
        }),
        Race::new("ids looked up, one in ten of them stale", "id", CONNECTIONS, |n| {
            let mut table = Table::new(&Config::default());
            let mut ids: Vec<_> = (0..n).map(|_| open(&mut table)).collect();
            for &id in ids.iter().step_by(10) {
                table.remove(id);
                open(&mut table);
            }
            fastrand::Rng::with_seed(1).shuffle(&mut ids);
            Box::new(move || {
                let found = ids.iter().filter(|&&id| table.get(black_box(id)).is_some()).count();
                assert_eq!(found, ids.len() - ids.len() / 10);
            })
        })
        .against("HashMap by a number", |n| {
            let numbers = || 0..n as u64;
            let mut table: HashMap<u64, Slot> = numbers().map(|id| (id, connection())).collect();
            for id in numbers().step_by(10) {
                table.remove(&id);
                table.insert(n as u64 + id, connection());
            }
            let mut ids: Vec<_> = numbers().collect();
            fastrand::Rng::with_seed(1).shuffle(&mut ids);
            Box::new(move || {
                let found = ids.iter().filter(|&id| table.contains_key(black_box(id))).count();
                assert_eq!(found, ids.len() - ids.len() / 10);
            })
        }),
    ]
}

fn peer() -> Addr {
    Addr::from(SocketAddr::from(([127, 0, 0, 1], 7000)))
}

fn open(table: &mut Table) -> ConnId {
    table.insert(peer(), State::Open, Instant::START).expect("a slot")
}

/// As much as the table keeps for a connection.
fn connection() -> Slot {
    Slot { peer: peer(), state: State::Open, ..Slot::vacant(ConnId::new(0, 1)) }
}
