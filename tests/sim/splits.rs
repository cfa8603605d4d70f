//! Every split of inputs for every codec: what comes of them is the same however they are cut.

use crate::sets::LONG;
use crate::sets::splits::{self, Case};

/// How many bytes are split in every way in a reactor. The long search does all twenty.
const BYTES: usize = 13;

// J8: pieces of a frame arrive in every way there is, through the whole reactor.
fn in_a_reactor(cases: &[Case]) {
    for case in cases {
        assert_eq!(case.in_a_reactor(BYTES), 1 << (BYTES - 1), "{}", case.name);
    }
}

#[test]
fn j8_lines_are_the_same_at_every_split() {
    in_a_reactor(&splits::lines());
}

#[test]
fn j8_delimited_frames_are_the_same_at_every_split() {
    in_a_reactor(&splits::delimited());
}

#[test]
fn j8_length_prefixed_frames_are_the_same_at_every_split() {
    in_a_reactor(&splits::lengths());
}

#[test]
fn j8_frames_with_other_lengths_are_the_same_at_every_split() {
    in_a_reactor(&splits::numbers());
}

#[test]
fn j8_typed_and_unframed_input_is_the_same_at_every_split() {
    in_a_reactor(&splits::others());
}

#[test]
fn j8_a_codec_that_is_switched_in_mid_stream_is_the_same_at_every_split() {
    in_a_reactor(&splits::switching());
}

// J8: the same with the codecs alone, and all bytes of the inputs, which are twenty at least.
#[test]
fn j8_every_codec_alone_is_the_same_at_every_split_of_twenty_bytes_and_more() {
    for case in splits::cases() {
        assert_eq!(case.alone(), 1 << (case.input.len() - 1), "{}", case.name);
    }
}

// What the long search runs has names to tell apart, and is there: each is the set of a test here, only larger.
#[test]
fn the_sets_of_the_long_search_have_names_of_their_own() {
    let names: std::collections::BTreeSet<&str> = LONG.iter().map(|&(name, _)| name).collect();
    assert_eq!(names.len(), LONG.len());
}
