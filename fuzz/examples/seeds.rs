//! Writes the seeds: `cargo run --example seeds` in `fuzz/`.
//!
//! Those of the codecs are in the table. Each is a case that a person would think of, and a place for the engine to start from. The bytes are the options
//! as the target draws them, then the cuts (how many, and each a length), then the stream. Those of the reactor are
//! tapes of random bytes, and one without any.

use std::fs;
use std::io;
use std::path::Path;

/// The target, the name of the seed, its options, cuts and stream.
type Seed = (&'static str, &'static str, &'static [u8], &'static [u8], &'static [u8]);

const SEEDS: &[Seed] = &[
    // Flags (1 CRLF is written, 2 the last line needs no ending), limit.
    ("lines", "both_endings", &[0, 80], &[1, 3], b"a\nbc\r\n\n\r\nd\n"),
    ("lines", "a_cr_elsewhere_stays", &[1, 80], &[2, 1, 4], b"a\rb\n\rc\r\r\n"),
    ("lines", "the_end_cut_off", &[0, 80], &[0], b"ab\ncd\r"),
    ("lines", "the_end_taken_for_a_line", &[2, 80], &[1, 2], b"ab\ncd\r"),
    ("lines", "at_the_limit", &[0, 4], &[1, 5], b"abcd\r\nabcd\nabc\r\r\n"),
    ("lines", "over_the_limit_by_a_cr", &[3, 4], &[1, 6], b"abc\nabcd\r\r\n"),
    ("lines", "longer_than_a_word", &[0, 240], &[1, 70], b"\x0b\x8a23456701234567012345670123456701234567012345670123456701234567012345\nx\n"),
    // Flags (1 keep, number of delimiters times 2), limit, delimiters (length, bytes).
    ("delimited", "by_nul", &[2, 80, 1, 0], &[1, 2], b"ab\0\0c\0d"),
    ("delimited", "by_a_blank_line", &[2, 80, 4, 13, 10, 13, 10], &[1, 3], b"a\r\n\r\r\n\r\nb\r\n\r\n"),
    ("delimited", "by_lf_or_crlf", &[4, 80, 1, 10, 2, 13, 10], &[2, 1, 2], b"a\r\nb\nc\rd\n"),
    ("delimited", "kept", &[3, 80, 2, b'-', b'-'], &[1, 3], b"a----b--"),
    ("delimited", "by_four", &[8, 80, 1, b'1', 1, b'2', 1, b'3', 2, b'0', b'4'], &[1, 1], b"a1b2c3d04e4"),
    ("delimited", "one_hides_another", &[4, 80, 1, 13, 2, 13, 10], &[0], b"a\r\nb"),
    ("delimited", "an_end_that_makes_another", &[4, 80, 1, b'b', 2, b'a', b'b'], &[2, 1, 2], b"xaxbab"),
    ("delimited", "over_the_limit", &[4, 4, 2, b'-', b'-', 1, b'+'], &[1, 7], b"abcd--abcd+abcd-+"),
    // Flags (1 little-endian, 2 includes the header, 4 far offset, 8 wide adjustment, 16 strip, 32 far strip),
    // width, limit, offset, adjustment, strip.
    ("length_prefixed", "by_default", &[0, 3, 80, 0, 0], &[1, 3], b"\0\0\0\x05hello\0\0\0\0\0\0\0\x01x"),
    ("length_prefixed", "magic_and_a_little_endian_total", &[19, 1, 80, 2, 0, 0], &[1, 4], b"\xca\xfe\x06\0hi\xca\xfe\x04\0"),
    ("length_prefixed", "more_header_behind", &[16, 1, 80, 1, 1, 3], &[2, 2, 5], b"\xca\0\x02\xfehi\xca\0\0\xfe"),
    ("length_prefixed", "strip_reaches_into_the_body", &[16, 0, 80, 0, 0, 3], &[1, 2], b"\x02ab\x03abc\x01a"),
    ("length_prefixed", "less_than_the_header", &[2, 0, 80, 0, 0], &[0], b"\x03ab\0"),
    ("length_prefixed", "three_bytes_at_the_limit", &[1, 2, 4, 0, 0], &[1, 5], b"\x04\0\0abcd\x05\0\0abcde"),
    ("length_prefixed", "eight_bytes_and_all_of_them", &[8, 4, 255, 0, 127, 255, 255, 255, 255, 255, 255, 255], &[0], b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("length_prefixed", "an_adjustment_that_no_length_makes_up_for", &[0, 0, 80, 0, 129], &[0], b"\xff\x80"),
    ("length_prefixed", "the_smallest_adjustment", &[10, 4, 255, 0, 128, 0, 0, 0, 0, 0, 0, 0], &[0], b"\xff\xff"),
    // Digits, limit.
    ("ascii_length", "five_digits", &[5, 80], &[1, 3], b"00005hello000000000112345"),
    ("ascii_length", "a_sign", &[2, 80], &[1, 1], b"02hi+7"),
    ("ascii_length", "a_space", &[2, 80], &[0], b" 7"),
    ("ascii_length", "all_the_digits", &[19, 255], &[1, 10], b"9999999999999999999"),
    ("ascii_length", "one_more_than_all_the_digits", &[20, 255], &[0], b"99999999999999999999"),
    ("ascii_length", "at_the_limit", &[1, 4], &[1, 3], b"4abcd5abcde"),
    // Limit.
    ("varint", "plain", &[80], &[1, 2], b"\x02hi\0\x05hello"),
    ("varint", "longer_than_it_needs_to_be", &[80], &[1, 1], b"\x82\x80\x80\x80\x80\x80\x80\x80\x80\0hi"),
    ("varint", "all_64_bits", &[255], &[1, 4], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    ("varint", "a_bit_too_many", &[255], &[1, 9], b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"),
    ("varint", "at_the_limit", &[4], &[0], b"\x04abcd\x05abcde"),
    ("varint", "a_length_of_two_bytes", &[241], &[2, 1, 100], b"\x81\x01.................................................................................................................................\x80\x01"),
    // How many lengths less one, lengths (255 is no type), limit.
    ("typed", "two_lengths", &[1, 0, 2, 80], &[1, 2], b"\x01ab\0\x03cd\x02"),
    ("typed", "an_unknown_type", &[2, 1, 255, 0, 80], &[0], b"\0a\x02\x01"),
    ("typed", "an_absurd_length", &[1, 254, 0, 255], &[1, 1], b"\x01\0"),
    ("typed", "at_the_limit", &[1, 4, 5, 4], &[1, 3], b"\0abcd\x01abcde"),
    // Which one, length or limit.
    ("unframed", "records", &[0, 3], &[1, 4], b"abcdefghi"),
    ("unframed", "a_record_cut_off", &[0, 3], &[1, 3], b"abcde"),
    ("unframed", "no_record", &[0, 0], &[0], b"abc"),
    ("unframed", "one_message", &[1, 80], &[1, 4], b"two\nlines\n"),
    ("unframed", "a_message_too_long", &[1, 4], &[1, 3], b"abcde"),
    ("unframed", "as_it_comes", &[2], &[3, 4, 0, 1], b"abcdefghi"),
    // How many turns less one, turns (0 lines, 1 delimited, 2 length-prefixed, 3 boxed, 4 raw, more: stay), what is in
    // the box and its options, the options of lines, delimited and length-prefixed.
    ("switching", "lines_to_a_counted_body_and_back", &[1, 0, 3, 2, 3, 0, 80, 2, 80, 1, 0, 0, 3, 80, 0, 0], &[1, 4], b"DATA\nabcQUIT\nx\nyQ\n"),
    ("switching", "lines_to_raw", &[2, 0, 5, 4, 1, 80, 0, 80, 2, 80, 1, 0, 0, 3, 80, 0, 0], &[1, 5], b"a\nraw\nb\n\rcd\r\ne\n"),
    ("switching", "all_in_turn", &[3, 0, 1, 2, 3, 0, 2, 80, 0, 80, 2, 80, 1, 0, 0, 0, 80, 0, 0], &[2, 1, 6], b"line\r\nnul\0\x03one02hiline\nnul\0"),
    ("switching", "an_error_in_the_box", &[1, 0, 3, 3, 0, 1, 0, 80, 2, 80, 1, 0, 0, 3, 80, 0, 0], &[1, 2], b"a\nbcd\n"),
];

/// How many tapes, and how long they are.
const TAPES: u8 = 24;
const TAPE_BYTES: u32 = 300;

/// A tape of random bytes. The first one chooses which faults there are.
fn tape(number: u8) -> Vec<u8> {
    let mut state = u32::from(number) + 1;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..TAPE_BYTES).map(|at| if at == 0 { number % 3 } else { byte() }).collect()
}

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (target, name, options, cuts, stream) in SEEDS {
        let folder = root.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), [*options, *cuts, *stream].concat())?;
    }
    let folder = root.join("reactor");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("quiet"), [])?;
    for number in 0..TAPES {
        fs::write(folder.join(format!("random_{number:02}")), tape(number))?;
    }
    Ok(())
}
