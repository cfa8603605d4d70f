//! Counts and benchmarks of the reactor, in a package of its own so that the library's dependencies stay few.

fn main() {}
