//! The codecs of the library, each with its twin.

pub mod ascii_length;
pub mod delimited;
pub mod length_prefixed;
pub mod lines;
pub mod switching;
pub mod typed;
pub mod unframed;
pub mod varint;
