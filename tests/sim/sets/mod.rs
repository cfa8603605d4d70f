//! The exhaustive sets: scenarios of which everything is tried, for the tests here and for the long search.

pub(crate) mod callbacks;
pub(crate) mod clients;
pub(crate) mod cuts;
mod noting;
pub(crate) mod splits;
