//! Fuzzes `codecs::ascii_length`, or replays files there.
#![cfg_attr(fuzzing, no_main)]

switchboard_fuzz::target!(switchboard_fuzz::codecs::ascii_length::check);
