//! Fuzzes `codecs::length_prefixed`, or replays files there.
#![cfg_attr(fuzzing, no_main)]

switchboard_fuzz::target!(switchboard_fuzz::codecs::length_prefixed::check);
