//! Races of codecs: frames cut out of what was received, whole and in pieces, and written.
//!
//! A contender that wants its input in a buffer of its own has it copied there in each run, which is little beside
//! the rest. What it makes of a frame, a slice or a value of its own, is its own choice and part of its cost.

use std::hint::black_box;
use std::io::{Cursor, Read};
use std::mem;

use bytes::{Bytes, BytesMut};
use switchboard::codec::{
    AsciiLength, ByteDecoder, ByteOrder, Decoder, Delimited, FixedLength, LengthPrefixed, Lines, Step, Typed,
    Varint, Width,
};
use tokio_util::codec::{self as tokio, Encoder as _};

use super::race::{Race, Run};

const FRAMES: usize = 1000;

pub(crate) fn races() -> Vec<Race> {
    let mut races = lines();
    races.extend(lengths());
    races.extend(others());
    races
}

fn lines() -> Vec<Race> {
    vec![
        Race::new("lines of 16 bytes, decoded", "line", FRAMES, |n| cut(Lines::new(), text(16).repeat(n)))
            .against("switchboard, Box<dyn>", |n| {
                cut(Box::new(Lines::new()) as Box<dyn ByteDecoder>, text(16).repeat(n))
            })
            .against("byte by byte", |n| bytewise(text(16).repeat(n)))
            .against("tokio-util LinesCodec", |n| tokio_cut(tokio::LinesCodec::new(), text(16).repeat(n))),
        Race::new("lines of 64 bytes, decoded", "line", FRAMES, |n| cut(Lines::new(), text(64).repeat(n)))
            .against("byte by byte", |n| bytewise(text(64).repeat(n)))
            .against("tokio-util LinesCodec", |n| tokio_cut(tokio::LinesCodec::new(), text(64).repeat(n))),
        Race::new("a line of 4 KiB in pieces of 64 bytes, decoded", "piece", 64, |n| {
            grow(Lines::new(), text(64 * n))
        })
        .against("looked through from its beginning", |n| {
            let input = text(64 * n);
            Box::new(move || {
                for end in (64..=input.len()).step_by(64) {
                    black_box(memchr::memchr(b'\n', black_box(&input[..end])));
                }
            })
        })
        .against("tokio-util LinesCodec", |n| tokio_grow(tokio::LinesCodec::new(), text(64 * n))),
        Race::new("lines of 16 bytes, encoded", "line", FRAMES, |n| {
            encode(n, |out| Lines::new().encode(black_box(&[b'x'; 15][..]), out).is_ok())
        })
        .against("tokio-util LinesCodec", |n| {
            tokio_encode(n, |out| tokio::LinesCodec::new().encode(black_box("xxxxxxxxxxxxxxx"), out).is_ok())
        }),
    ]
}

fn lengths() -> Vec<Race> {
    fn other_layout() -> LengthPrefixed {
        let builder = LengthPrefixed::builder().width(Width::Two).byte_order(ByteOrder::Little);
        builder.length_includes_header().build().expect("a possible layout")
    }
    vec![
        Race::new("length and 12 bytes, decoded", "frame", FRAMES, |n| {
            cut(LengthPrefixed::new(), message(12).repeat(n))
        })
        .against("read_exact into a vector", |n| read(message(12).repeat(n), read_length))
        .against("tokio-util LengthDelimitedCodec", |n| {
            tokio_cut(tokio::LengthDelimitedCodec::new(), message(12).repeat(n))
        }),
        Race::new("length and 60 bytes in 4 pieces, decoded", "frame", FRAMES, |n| {
            pieces(LengthPrefixed::new(), message(60).repeat(n), 16)
        })
        .against("tokio-util LengthDelimitedCodec", |n| {
            tokio_pieces(tokio::LengthDelimitedCodec::new(), message(60).repeat(n), 16)
        }),
        Race::new("length and 12 bytes, encoded", "frame", FRAMES, |n| {
            encode(n, |out| LengthPrefixed::new().encode(black_box(&[b'x'; 12][..]), out).is_ok())
        })
        .against("tokio-util LengthDelimitedCodec", |n| {
            tokio_encode(n, |out| {
                tokio::LengthDelimitedCodec::new()
                    .encode(black_box(Bytes::from_static(&[b'x'; 12])), out)
                    .is_ok()
            })
        }),
        Race::new("length of 2 bytes, little-endian, header included, decoded", "frame", FRAMES, |n| {
            cut(other_layout(), b"\x0e\0xxxxxxxxxxxx".repeat(n))
        })
        .against("read_exact into a vector", |n| {
            read(b"\x0e\0xxxxxxxxxxxx".repeat(n), |input| {
                let mut length = [0; 2];
                input.read_exact(&mut length).ok()?;
                usize::from(u16::from_le_bytes(length)).checked_sub(2)
            })
        })
        .against("tokio-util LengthDelimitedCodec", |n| {
            let mut builder = tokio::LengthDelimitedCodec::builder();
            let codec = builder.length_field_length(2).little_endian().length_adjustment(-2).new_codec();
            tokio_cut(codec, b"\x0e\0xxxxxxxxxxxx".repeat(n))
        }),
    ]
}

fn others() -> Vec<Race> {
    fn delimited(delimiter: &[u8]) -> Delimited {
        Delimited::new(delimiter).expect("not empty")
    }
    fn digits(input: &mut Cursor<Vec<u8>>) -> Option<usize> {
        let mut digits = [0; 5];
        input.read_exact(&mut digits).ok()?;
        std::str::from_utf8(&digits).ok()?.parse().ok()
    }
    fn varint(input: &mut Cursor<Vec<u8>>) -> Option<usize> {
        let mut length = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            input.read_exact(&mut byte).ok()?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Some(length);
            }
        }
        None
    }
    fn kind(input: &mut Cursor<Vec<u8>>) -> Option<usize> {
        let mut kind = [0];
        input.read_exact(&mut kind).ok()?;
        length_of(kind[0])
    }
    vec![
        Race::new("NUL and 15 bytes before it, decoded", "frame", FRAMES, |n| {
            cut(delimited(b"\0"), b"xxxxxxxxxxxxxxx\0".repeat(n))
        })
        .against("tokio-util AnyDelimiterCodec", |n| {
            let codec = tokio::AnyDelimiterCodec::new(b"\0".to_vec(), b"\0".to_vec());
            tokio_cut(codec, b"xxxxxxxxxxxxxxx\0".repeat(n))
        }),
        Race::new("a blank line and 60 bytes before it, decoded", "frame", FRAMES, |n| {
            cut(delimited(b"\r\n\r\n"), blank_line(n))
        })
        .against("windows(4)", |n| {
            let input = blank_line(n);
            Box::new(move || {
                let mut rest = black_box(&input[..]);
                while let Some(at) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
                    black_box(rest[..at].to_vec());
                    rest = &rest[at + 4..];
                }
                assert!(rest.is_empty());
            })
        }),
        Race::new("varint and 15 bytes, decoded", "frame", FRAMES, |n| {
            cut(Varint::new(), b"\x0fxxxxxxxxxxxxxxx".repeat(n))
        })
        .against("read_exact into a vector", |n| read(b"\x0fxxxxxxxxxxxxxxx".repeat(n), varint)),
        Race::new("5 digits and 11 bytes, decoded", "frame", FRAMES, |n| {
            cut(AsciiLength::new(), b"00011xxxxxxxxxxx".repeat(n))
        })
        .against("read_exact into a vector", |n| read(b"00011xxxxxxxxxxx".repeat(n), digits)),
        Race::new("16 bytes, decoded", "frame", FRAMES, |n| {
            cut(FixedLength::new(16).expect("not zero"), b"xxxxxxxxxxxxxxxx".repeat(n))
        })
        .against("read_exact into a vector", |n| read(b"xxxxxxxxxxxxxxxx".repeat(n), |_| Some(16))),
        Race::new("a type and 15 bytes, decoded", "frame", FRAMES, |n| {
            cut(Typed::new(length_of), b"Txxxxxxxxxxxxxxx".repeat(n))
        })
        .against("read_exact into a vector", |n| read(b"Txxxxxxxxxxxxxxx".repeat(n), kind)),
    ]
}

// ---- Ours ----

/// Cuts an input into all its frames.
fn cut<D: Decoder + 'static>(mut codec: D, input: Vec<u8>) -> Run {
    Box::new(move || {
        let mut rest = black_box(&input[..]);
        while let Ok(Step::Frame { frame, used }) = codec.decode(rest) {
            black_box(frame);
            rest = &rest[used..];
        }
        assert!(rest.is_empty());
    })
}

/// Cuts frames of 64 bytes, each of which comes in pieces.
fn pieces<D: Decoder + 'static>(mut codec: D, input: Vec<u8>, piece: usize) -> Run {
    Box::new(move || {
        for frame in input.chunks_exact(64) {
            for end in (piece..=64).step_by(piece) {
                let step = codec.decode(black_box(&frame[..end]));
                assert_eq!(matches!(step, Ok(Step::Frame { .. })), end == 64);
            }
        }
    })
}

/// Cuts one frame that comes 64 bytes at a time.
fn grow<D: Decoder + 'static>(mut codec: D, input: Vec<u8>) -> Run {
    Box::new(move || {
        for end in (64..=input.len()).step_by(64) {
            let step = codec.decode(black_box(&input[..end]));
            assert_eq!(matches!(step, Ok(Step::Frame { .. })), end == input.len());
        }
    })
}

fn encode(frames: usize, encode: fn(&mut Vec<u8>) -> bool) -> Run {
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        for _ in 0..frames {
            assert!(encode(&mut out));
        }
        black_box(&out);
    })
}

// ---- Naive ----

/// Lines by a vector for each, and one look for each byte.
fn bytewise(input: Vec<u8>) -> Run {
    Box::new(move || {
        let mut line = Vec::new();
        for &byte in black_box(&input) {
            if byte == b'\n' {
                black_box(mem::take(&mut line));
            } else {
                line.push(byte);
            }
        }
        assert!(line.is_empty());
    })
}

/// A header, and then a vector for each body.
fn read(input: Vec<u8>, header: fn(&mut Cursor<Vec<u8>>) -> Option<usize>) -> Run {
    let mut input = Cursor::new(input);
    Box::new(move || {
        input.set_position(0);
        while input.position() < input.get_ref().len() as u64 {
            let mut body = vec![0; header(black_box(&mut input)).expect("a header")];
            input.read_exact(&mut body).expect("a body");
            black_box(body);
        }
    })
}

fn read_length(input: &mut Cursor<Vec<u8>>) -> Option<usize> {
    let mut length = [0; 4];
    input.read_exact(&mut length).ok()?;
    usize::try_from(u32::from_be_bytes(length)).ok()
}

// ---- tokio-util ----

fn tokio_cut<D: tokio::Decoder + 'static>(mut codec: D, input: Vec<u8>) -> Run {
    let mut buffer = BytesMut::new();
    Box::new(move || {
        buffer.extend_from_slice(black_box(&input));
        while let Ok(Some(frame)) = codec.decode(&mut buffer) {
            black_box(frame);
        }
        assert!(buffer.is_empty());
    })
}

fn tokio_pieces<D: tokio::Decoder + 'static>(mut codec: D, input: Vec<u8>, piece: usize) -> Run {
    let mut buffer = BytesMut::new();
    Box::new(move || {
        for frame in input.chunks_exact(64) {
            for (i, piece) in frame.chunks(piece).enumerate() {
                buffer.extend_from_slice(black_box(piece));
                let decoded = codec.decode(&mut buffer);
                assert_eq!(matches!(decoded, Ok(Some(_))), i == 64 / piece.len() - 1);
            }
        }
    })
}

fn tokio_grow<D: tokio::Decoder + 'static>(mut codec: D, input: Vec<u8>) -> Run {
    let mut buffer = BytesMut::new();
    Box::new(move || {
        let last = input.len() / 64 - 1;
        for (i, piece) in input.chunks(64).enumerate() {
            buffer.extend_from_slice(black_box(piece));
            let decoded = codec.decode(&mut buffer);
            assert_eq!(matches!(decoded, Ok(Some(_))), i == last);
        }
    })
}

fn tokio_encode(frames: usize, encode: fn(&mut BytesMut) -> bool) -> Run {
    let mut out = BytesMut::new();
    Box::new(move || {
        out.clear();
        for _ in 0..frames {
            assert!(encode(&mut out));
        }
        black_box(&out);
    })
}

// ---- Inputs ----

/// A line of `length` bytes, its end included.
fn text(length: usize) -> Vec<u8> {
    let mut line = vec![b'x'; length - 1];
    line.push(b'\n');
    line
}

/// A body of `length` bytes behind four bytes that say so.
fn message(length: u8) -> Vec<u8> {
    let mut message = vec![0, 0, 0, length];
    message.resize(4 + usize::from(length), b'x');
    message
}

/// Frames of 60 bytes with blank lines behind them, and the end of a line in their middle.
fn blank_line(frames: usize) -> Vec<u8> {
    let mut frame = [b'x'; 64];
    frame[30..32].copy_from_slice(b"\r\n");
    frame[60..].copy_from_slice(b"\r\n\r\n");
    frame.repeat(frames)
}

fn length_of(kind: u8) -> Option<usize> {
    (kind == b'T').then_some(15)
}
