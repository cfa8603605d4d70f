//! Tests of the length prefix: every layout by hand, at its limits, and against a twin that cannot overflow.

use fastrand::Rng;

use super::*;
use crate::codec::testing::{End, Run, in_random_pieces, run_every_split, seeds};

const WIDTHS: [Width; 5] = [Width::One, Width::Two, Width::Three, Width::Four, Width::Eight];

fn frames(codec: &LengthPrefixed, stream: &[u8]) -> Run<Vec<u8>, FrameError> {
    run_every_split(codec, stream, <[u8]>::to_vec)
}

fn built(builder: LengthPrefixedBuilder) -> LengthPrefixed {
    builder.build().expect("a possible layout")
}

#[test]
fn four_bytes_in_network_order_are_the_default() {
    let got = frames(&LengthPrefixed::new(), b"\0\0\0\x05hello\0\0\0\0\0\0\0\x01x");
    assert_eq!(got.frames, [&b"hello"[..], b"", b"x"]);
    assert_eq!(got.end, End::Clean);
    assert_eq!(built(LengthPrefixed::builder()), LengthPrefixed::default());
}

#[test]
fn a_frame_cut_off_is_truncated() {
    assert_eq!(frames(&LengthPrefixed::new(), b"\0\0\0").end, End::Truncated(3));
    assert_eq!(frames(&LengthPrefixed::new(), b"\0\0\0\x02").end, End::Truncated(4));
    assert_eq!(frames(&LengthPrefixed::new(), b"\0\0\0\x02x").end, End::Truncated(5));
}

#[test]
fn every_width_is_read_in_both_orders() {
    for width in WIDTHS {
        let n = usize::from(width.bytes());
        let mut stream = vec![0; n];
        stream[n - 1] = 3;
        stream.extend_from_slice(b"abc");
        assert_eq!(frames(&built(LengthPrefixed::builder().width(width)), &stream).frames, [b"abc"]);
        stream[..n].reverse();
        let little = LengthPrefixed::builder().width(width).byte_order(ByteOrder::Little);
        assert_eq!(frames(&built(little), &stream).frames, [b"abc"]);
    }
}

// The layouts that the documentation of Netty's LengthFieldBasedFrameDecoder draws.
#[test]
fn the_layouts_others_document_are_read_as_they_say() {
    let two = || LengthPrefixed::builder().width(Width::Two);
    let three = || LengthPrefixed::builder().width(Width::Three);
    for (builder, stream, frame) in [
        (two().strip(0), &b"\0\x02hi"[..], &b"\0\x02hi"[..]),
        (two(), b"\0\x02hi", b"hi"),
        (two().adjustment(-2).strip(0), b"\0\x04hi", b"\0\x04hi"),
        (two().length_includes_header(), b"\0\x04hi", b"hi"),
        (three().offset(2).strip(0), b"\xca\xfe\0\0\x02hi", b"\xca\xfe\0\0\x02hi"),
        (three().adjustment(2).strip(0), b"\0\0\x02\xca\xfehi", b"\0\0\x02\xca\xfehi"),
        (two().offset(1).adjustment(1).strip(3), b"\xca\0\x02\xfehi", b"\xfehi"),
        (two().offset(1).adjustment(-3).strip(3), b"\xca\0\x06\xfehi", b"\xfehi"),
        (two().offset(1).adjustment(1).strip(4), b"\xca\0\x02\xfehi", b"hi"),
    ] {
        let got = frames(&built(builder.clone()), stream);
        assert_eq!(got.frames, [frame], "{builder:?}");
        assert_eq!(got.end, End::Clean, "{builder:?}");
    }
}

#[test]
fn a_body_of_the_limit_is_read_and_one_byte_more_is_an_error() {
    let codec = LengthPrefixed::new().frame_bytes_max(4);
    assert_eq!(frames(&codec, b"\0\0\0\x03abc").frames, [b"abc"]);
    assert_eq!(frames(&codec, b"\0\0\0\x04abcd").frames, [b"abcd"]);
    let too_long = FrameError::TooLong { length: 5, limit: 4 };
    assert_eq!(frames(&codec, b"\0\0\0\x05").end, End::Failed(too_long));
    let header = (1_u32 << 20).to_be_bytes();
    let at_least = (1 << 20) + 4;
    assert_eq!(LengthPrefixed::new().decode(&header), Ok(Step::NeedMore { at_least }));
    let header = ((1_u32 << 20) + 1).to_be_bytes();
    let too_long = FrameError::TooLong { length: 1_048_577, limit: 1_048_576 };
    assert_eq!(LengthPrefixed::new().decode(&header), Err(too_long));
}

#[test]
fn the_limit_counts_the_body_however_it_is_announced_and_stripped() {
    let codec = built(LengthPrefixed::builder().length_includes_header().strip(0)).frame_bytes_max(2);
    assert_eq!(frames(&codec, b"\0\0\0\x06hi").frames, [b"\0\0\0\x06hi"]);
    let too_long = FrameError::TooLong { length: 3, limit: 2 };
    assert_eq!(frames(&codec, b"\0\0\0\x07").end, End::Failed(too_long));
}

#[test]
fn huge_lengths_are_refused_without_overflow() {
    let limit = isize::MAX.unsigned_abs();
    for adjustment in [0, 1, -1, i64::MAX, i64::MIN] {
        let builder = LengthPrefixed::builder().width(Width::Eight).adjustment(adjustment);
        let mut codec = built(builder).frame_bytes_max(usize::MAX);
        for below in 0..20 {
            let length = u64::MAX - below;
            let body = length.saturating_add_signed(adjustment);
            let expected = match usize::try_from(body) {
                Ok(body) if body <= limit => Ok(Step::NeedMore { at_least: 8 + body }),
                _ => Err(FrameError::TooLong { length: body, limit }),
            };
            assert_eq!(codec.decode(&length.to_be_bytes()), expected);
        }
    }
}

#[test]
fn a_length_that_does_not_even_cover_the_header_is_an_error() {
    let codec = built(LengthPrefixed::builder().length_includes_header());
    let too_short = FrameError::TooShort { length: 3, least: 4 };
    assert_eq!(frames(&codec, b"\0\0\0\x03abc").end, End::Failed(too_short));
    assert_eq!(frames(&codec, b"\0\0\0\x04").frames, [b""]);
    // Stripped are the header and two bytes of body, so a body of one byte is none.
    let codec = built(LengthPrefixed::builder().strip(6));
    assert_eq!(frames(&codec, b"\0\0\0\x02ab\0\0\0\x03abc").frames, [&b""[..], b"c"]);
    let too_short = FrameError::TooShort { length: 1, least: 2 };
    assert_eq!(frames(&codec, b"\0\0\0\x01a").end, End::Failed(too_short));
}

#[test]
fn a_layout_that_never_makes_a_frame_is_refused() {
    let one = || LengthPrefixed::builder().width(Width::One);
    assert!(one().adjustment(-255).build().is_ok());
    let error = BuildError::LengthField { largest: 255, least: 256 };
    assert_eq!(one().adjustment(-256).build(), Err(error));
    assert_eq!(one().strip(257).build(), Err(error));
    let eight = LengthPrefixed::builder().width(Width::Eight);
    assert!(eight.adjustment(i64::MIN).length_includes_header().build().is_err());
    let far = built(LengthPrefixed::builder().offset(u16::MAX));
    assert_eq!(far.layout.described().strip, 65_539);
}

/// A layout with nothing about it certain but that it can be built; now and then the plain one.
fn any_layout(rng: &mut Rng) -> LengthPrefixedBuilder {
    if rng.u8(..) < 64 {
        return LengthPrefixed::builder();
    }
    let mut builder = LengthPrefixed::builder()
        .width(WIDTHS[rng.usize(..5)])
        .byte_order([ByteOrder::Big, ByteOrder::Little][rng.usize(..2)])
        .offset(rng.u16(..4))
        .adjustment(rng.i64(-12..12));
    if rng.bool() {
        builder = builder.length_includes_header();
    }
    if rng.bool() {
        builder = builder.strip(rng.u16(..16));
    }
    builder
}

/// The same in the plainest arithmetic, that of numbers which cannot overflow.
fn twin(builder: &LengthPrefixedBuilder, limit: usize, mut stream: &[u8]) -> Run<Vec<u8>, ()> {
    let mut frames = Vec::new();
    let offset = usize::from(builder.offset);
    let header = offset + usize::from(builder.width.bytes());
    let strip = builder.strip.map_or(header, usize::from);
    loop {
        if stream.is_empty() {
            return Run { frames, end: End::Clean };
        }
        if stream.len() < header {
            return Run { frames, end: End::Truncated(stream.len()) };
        }
        let mut field = stream[offset..header].to_vec();
        if builder.order == ByteOrder::Little {
            field.reverse();
        }
        let mut body = i128::from(builder.adjustment);
        body += field.iter().fold(0, |n, &byte| n * 256 + i128::from(byte));
        if builder.length_includes_header {
            body -= header as i128;
        }
        let used = header as i128 + body;
        if body < 0 || used < strip as i128 || body > limit as i128 {
            return Run { frames, end: End::Failed(()) };
        }
        let used = usize::try_from(used).expect("not negative, and limited");
        if stream.len() < used {
            return Run { frames, end: End::Truncated(stream.len()) };
        }
        frames.push(stream[strip..used].to_vec());
        stream = &stream[used..];
    }
}

#[test]
fn random_streams_in_random_layouts_are_cut_as_the_twin_cuts_them() {
    for (seed, mut rng) in seeds(5000) {
        let builder = any_layout(&mut rng);
        let limit = rng.usize(..30);
        let codec = built(builder.clone()).frame_bytes_max(limit);
        // Small bytes, so that lengths often make sense.
        let largest = [2, 20, 255][rng.usize(..3)];
        let stream: Vec<u8> = (0..rng.usize(..200)).map(|_| rng.u8(..=largest)).collect();
        let got = in_random_pieces(codec, &stream, <[u8]>::to_vec, &mut rng);
        let end = match got.end {
            End::Clean => End::Clean,
            End::Truncated(left) => End::Truncated(left),
            End::Failed(_) => End::Failed(()),
        };
        let got = Run { frames: got.frames, end };
        assert_eq!(got, twin(&builder, limit, &stream), "seed {seed}");
    }
}

#[test]
fn random_bodies_in_random_layouts_are_read_as_they_were_written() {
    for (seed, mut rng) in seeds(2000) {
        let builder = any_layout(&mut rng);
        let codec = built(builder.clone()).frame_bytes_max(300);
        let layout = codec.layout.described().clone();
        let (mut sent, mut stream) = (Vec::new(), Vec::new());
        for _ in 0..rng.usize(..10) {
            let before = vec![rng.u8(..); usize::from(layout.offset)];
            let longest = [5, 310][rng.usize(..2)];
            let body: Vec<u8> = (0..rng.usize(..longest)).map(|_| rng.u8(..)).collect();
            let start = stream.len();
            if codec.encode_with(&before, &body, &mut stream).is_ok() {
                sent.push(stream[start + layout.strip as usize..].to_vec());
            } else {
                // What is refused could not have been read either.
                assert_eq!(stream.len(), start, "seed {seed}");
                let length = body.len() as i128 - i128::from(layout.adjustment);
                let fits = u64::try_from(length).is_ok_and(|n| n <= layout.width.largest());
                let header = u32::from(layout.offset) + u32::from(layout.width.bytes());
                let least = layout.strip as usize - layout.strip.min(header) as usize;
                assert!(body.len() > 300 || body.len() < least || !fits, "seed {seed}");
            }
        }
        let got = in_random_pieces(codec, &stream, <[u8]>::to_vec, &mut rng);
        assert_eq!(got, Run { frames: sent, end: End::Clean }, "seed {seed}");
    }
}

#[test]
fn a_body_the_field_cannot_announce_is_not_written() {
    let mut out = Vec::new();
    let one = built(LengthPrefixed::builder().width(Width::One));
    let too_long = EncodeError::TooLong { length: 256, limit: 255 };
    assert_eq!(one.encode(&[0; 256], &mut out), Err(too_long));
    let one = built(LengthPrefixed::builder().width(Width::One).length_includes_header());
    let too_long = EncodeError::TooLong { length: 255, limit: 254 };
    assert_eq!(one.encode(&[0; 255], &mut out), Err(too_long));
    let four = LengthPrefixed::new().frame_bytes_max(2);
    assert_eq!(four.encode(b"abc", &mut out), Err(EncodeError::TooLong { length: 3, limit: 2 }));
    let adjusted = built(LengthPrefixed::builder().adjustment(2));
    assert_eq!(adjusted.encode(b"a", &mut out), Err(EncodeError::TooShort { length: 1, least: 2 }));
    let behind = built(LengthPrefixed::builder().offset(2));
    let wrong = EncodeError::WrongLength { length: 0, expected: 2 };
    assert_eq!(behind.encode(b"a", &mut out), Err(wrong));
    assert_eq!(out, b"");
}

#[test]
fn a_header_alone_announces_a_body_sent_by_other_means() {
    let mut out = Vec::new();
    let builder = LengthPrefixed::builder().offset(1).width(Width::Three).byte_order(ByteOrder::Little);
    assert_eq!(built(builder).encode_header(b"\xca", 70_000, &mut out), Ok(()));
    assert_eq!(out, b"\xca\x70\x11\x01");
}
