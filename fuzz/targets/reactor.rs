//! Fuzzes `reactor`, or replays files there.
#![cfg_attr(fuzzing, no_main)]

switchboard_fuzz::target!(switchboard_fuzz::reactor::check);
