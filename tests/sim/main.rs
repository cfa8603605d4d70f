//! The simulated network, as its users use it: scenarios, searches, failures that are found and replayed.

mod apart;
mod callbacks;
mod connects;
mod cuts;
mod datagrams;
mod faults;
mod first;
mod fuzzed;
mod guide;
mod messages;
mod modes;
mod options;
mod regressions;
mod scenarios;
mod sets;
mod sources;
mod splits;
mod swarm;
mod unix;
mod unix_datagrams;
mod writes;
