//! What the fuzz targets are made of: bytes in, a panic out if a promise of the library does not hold.
//!
//! It knows the public API of the library only. Each target is a function of the input bytes, which choose the
//! options, the stream and how it is split; whatever they are, they are a valid case. It does not know which
//! engine calls it: see [`target!`].

pub mod codecs;
pub mod feed;
pub mod heap;
pub mod input;
pub mod reactor;
pub mod twin;

#[cfg(fuzzing)]
pub use libfuzzer_sys;

/// A target: what it is called, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("lines", codecs::lines::check),
    ("delimited", codecs::delimited::check),
    ("length_prefixed", codecs::length_prefixed::check),
    ("ascii_length", codecs::ascii_length::check),
    ("varint", codecs::varint::check),
    ("typed", codecs::typed::check),
    ("unframed", codecs::unframed::check),
    ("switching", codecs::switching::check),
    ("reactor", reactor::check),
];

/// Makes the program of a target: the engine's, or without one a program that replays the files named.
#[macro_export]
macro_rules! target {
    ($check:path) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $check(data));

        #[cfg(not(fuzzing))]
        fn main() -> ::std::io::Result<()> {
            $crate::replay($check)
        }
    };
}

/// Gives each file named on the command line to `check`.
#[cfg(not(fuzzing))]
pub fn replay(check: fn(&[u8])) -> std::io::Result<()> {
    for path in std::env::args_os().skip(1).map(std::path::PathBuf::from) {
        println!("{}", path.display());
        check(&std::fs::read(path)?);
    }
    Ok(())
}
