//! Every scenario, with a few hundred seeds: without faults, with those that do no harm, with all.

use switchboard::sim;

use crate::scenarios;

fn swarm(name: &str, seeds: u64) {
    let (_, scenario) =
        scenarios::all().iter().find(|(one, _)| *one == name).expect("a scenario has this name");
    let explored = sim::seeds(seeds, scenario);
    println!("{name}: {explored:?}");
}

#[test]
fn any_program_and_any_clients_break_no_promise() {
    swarm("any", 200);
}

#[test]
fn a_proxy_passes_on_everything_in_order() {
    swarm("proxy", 100);
}

#[test]
fn everyone_in_a_room_hears_everything() {
    swarm("chat", 100);
}

#[test]
fn harmful_neighbours_change_nothing_for_the_others() {
    swarm("neighbours", 200);
}

#[test]
fn requests_are_answered_after_their_time_and_once() {
    swarm("timers", 200);
}

#[test]
fn frames_are_echoed_through_the_smallest_buffers() {
    swarm("pipelining", 20);
}

#[test]
fn answers_come_whole_after_a_half_close() {
    swarm("half_close", 200);
}

#[test]
fn a_client_that_retries_gets_there() {
    swarm("retry", 200);
}

#[test]
fn whoever_is_told_of_the_end_in_a_drain_has_all_answers() {
    swarm("drain", 200);
}

#[test]
fn what_is_told_from_elsewhere_arrives_without_a_gap() {
    swarm("calls", 200);
}

#[test]
fn everyone_is_served_with_few_descriptors() {
    swarm("descriptors", 200);
}

#[test]
fn memory_stays_within_its_limit() {
    swarm("memory", 50);
}

#[test]
fn the_cap_for_an_address_holds() {
    swarm("address_cap", 200);
}

#[test]
fn every_scenario_is_run_here() {
    let source = include_str!("swarm.rs");
    for (name, _) in scenarios::all() {
        assert!(source.contains(&format!("swarm(\"{name}\", ")), "nobody runs {name}");
    }
}
