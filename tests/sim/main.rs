//! The simulated network, as its users use it: scenarios, searches, failures that are found and replayed.

mod first;
mod guide;
mod messages;
