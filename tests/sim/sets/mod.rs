//! The exhaustive sets: scenarios of which everything is tried, for the tests here and for the long search.

pub(crate) mod splits;
