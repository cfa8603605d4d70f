//! Any program: a handler that does anything legal in any callback, on two reactors, and clients that do anything.
//!
//! It knows the stage: who is there, when it ends, and what is compared then. What is done is in `program` and
//! `client`, what must come of it in `model`.
//!
//! ```text
//!  clients ── numbered frames ──▶ program ◀── numbers ──▶ program, on the other reactor
//!          ◀── numbers ──────────    └──▶ itself, nowhere
//! ```

mod client;
mod model;
mod program;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use switchboard::sim::{Fault, Sim};

use super::draw::{Draw, any_config, millis};
use client::Client;
use model::{Model, Shared};
use program::Program;

/// Where the other reactor listens.
const OTHER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 9000);
/// Where nobody listens.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 9999);
/// Where nothing is ever answered, and where there is no way to.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9)), 1);
const NO_WAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 9, 8)), 1);

/// Clients are on the hosts behind the server and the other reactor, in their order.
fn client_of(ip: IpAddr) -> Option<usize> {
    match ip {
        IpAddr::V4(ip) => usize::from(ip.octets()[3]).checked_sub(3),
        IpAddr::V6(_) => None,
    }
}

pub(super) fn run(sim: Sim) {
    let draw = Draw::new(&sim);
    // It panics by itself, where it knows what follows.
    let faults = draw.faults().without(Fault::Panics);
    let config = any_config(&draw);
    let clients = 1 + draw.below(5);
    let model: Shared =
        Rc::new(RefCell::new(Model::new(&[config.clone(), any_config(&draw)], faults.may_harm())));
    let other_config = model.borrow().configs[1].clone();
    let server = Program::new(0, draw.clone(), Rc::clone(&model));
    let other = Program::new(1, draw.clone(), Rc::clone(&model));
    let mut scenario = sim
        .server(server)
        .config(config)
        .faults(faults)
        .black_hole(NOWHERE)
        .unreachable(NO_WAY)
        .reactor(other, other_config, Program::begin)
        .at(millis(4000), Program::calm_down);
    // A client that vanished would keep the place of others for ever.
    for n in 1..=8 {
        scenario = scenario.at(millis(n * 100_000), Program::clear);
    }
    if draw.yes() {
        let buffers = [256 << 10, 4096, 300, 17, 1];
        scenario = scenario.buffers(draw.one_of(&buffers), draw.one_of(&buffers));
    }
    if draw.once_in(4) {
        scenario = scenario.descriptors(2 + draw.below(8));
    }
    for _ in 0..draw.below(3) {
        let at = millis(draw.below(2000) as u64);
        scenario = scenario.at(at, Program::called);
    }
    for number in 0..clients {
        let mut client = Client::new(number, draw.clone(), Rc::clone(&model));
        scenario = scenario.client_fn(move |peer| client.act(peer));
    }
    let report = scenario.run();
    report.handler.compare(&report.stats);
    let model = model.borrow();
    model.compare(&report.clients);
}
