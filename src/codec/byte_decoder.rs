//! Codecs chosen at run time: a box around any decoder whose frames are byte slices.
//!
//! It knows that frames are `&[u8]`, which is what makes a trait object possible, since [`Decoder`] with its
//! frame type has none. It costs an indirect call for each frame; [`Either`](super::Either) does without.

use std::error::Error;
use std::fmt;

use super::{Decoder, Step};

/// A [`Decoder`] of byte slices without its associated types, so that `Box<dyn ByteDecoder>` exists.
///
/// Implemented for every decoder whose frame is `&[u8]`; there is nothing to implement by hand.
/// `Box<dyn ByteDecoder>` is a `Decoder` again.
///
/// ```
/// use switchboard::codec::{ByteDecoder, Decoder, Delimited, LengthPrefixed, Lines};
///
/// fn by_name(name: &str) -> Result<Box<dyn ByteDecoder>, Box<dyn std::error::Error>> {
///     Ok(match name {
///         "lines" => Box::new(Lines::new()),
///         "prefixed" => Box::new(LengthPrefixed::new()),
///         "nul" => Box::new(Delimited::new("\0")?),
///         name => return Err(format!("no codec is called {name}").into()),
///     })
/// }
///
/// let mut codec = by_name("lines")?;
/// assert_eq!(codec.decode(b"abc\n")?, by_name("nul")?.decode(b"abc\0")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ByteDecoder {
    /// [`Decoder::decode`], with the error boxed.
    fn decode_bytes<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, BoxedError>;

    /// [`Decoder::end`], with the error boxed.
    fn end_bytes<'a>(&mut self, input: &'a [u8]) -> Result<Option<&'a [u8]>, BoxedError>;
}

impl<D> ByteDecoder for D
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8]>,
{
    fn decode_bytes<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, BoxedError> {
        self.decode(input).map_err(BoxedError::new)
    }

    fn end_bytes<'a>(&mut self, input: &'a [u8]) -> Result<Option<&'a [u8]>, BoxedError> {
        self.end(input).map_err(BoxedError::new)
    }
}

/// For `Box<dyn ByteDecoder>`, with `+ Send` or without, and for any other box around one.
impl<D: ByteDecoder + ?Sized> Decoder for Box<D> {
    type Frame<'a> = &'a [u8];
    type Error = BoxedError;

    #[inline]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, BoxedError> {
        (**self).decode_bytes(input)
    }

    #[inline]
    fn end<'a>(&mut self, input: &'a [u8]) -> Result<Option<&'a [u8]>, BoxedError> {
        (**self).end_bytes(input)
    }
}

impl fmt::Debug for dyn ByteDecoder + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dyn ByteDecoder")
    }
}

/// The error of a boxed decoder: whatever its own error is.
///
/// It reads as the error inside, which [`BoxedError::get_ref`] gives back.
#[derive(Debug)]
pub struct BoxedError(Box<dyn Error + Send + Sync>);

impl BoxedError {
    fn new(error: impl Error + Send + Sync + 'static) -> BoxedError {
        BoxedError(Box::new(error))
    }

    /// The error inside, to `downcast_ref` it.
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for BoxedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for BoxedError {
    // Not the error inside: it is this one, and would be told twice.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{Caused, End, run};
    use crate::codec::{FrameError, Lines, Raw, ToEnd};

    #[test]
    fn a_boxed_codec_decodes_and_ends_as_the_codec_in_it() {
        let boxed: Vec<Box<dyn ByteDecoder>> =
            vec![Box::new(Lines::new()), Box::new(Raw), Box::new(ToEnd::new())];
        let counts = [2, 1, 1];
        for (codec, count) in boxed.into_iter().zip(counts) {
            let got = run(codec, &[b"a\nb\n"], <[u8]>::to_vec);
            assert_eq!(got.frames.len(), count);
            assert!(matches!(got.end, End::Clean));
        }
    }

    #[test]
    fn a_boxed_codec_may_be_replaced_by_another() {
        let mut codec: Box<dyn ByteDecoder + Send> = Box::new(Lines::new());
        let input = b"a\nb\n";
        assert!(matches!(codec.decode(input), Ok(Step::Frame { frame: b"a", used: 2 })));
        codec = Box::new(Raw);
        assert!(matches!(codec.decode(&input[2..]), Ok(Step::Frame { frame: b"b\n", used: 2 })));
    }

    #[test]
    fn the_error_reads_as_the_one_inside_and_gives_it_back() {
        let mut codec: Box<dyn ByteDecoder> = Box::new(Lines::new().frame_bytes_max(1));
        let error = codec.decode(b"abc\n").expect_err("a line of 3 bytes");
        let inside = FrameError::Unended { limit: 1 };
        assert_eq!(error.to_string(), inside.to_string());
        assert_eq!(error.get_ref().downcast_ref(), Some(&inside));
        assert!(error.source().is_none());
    }

    #[test]
    fn the_cause_of_the_error_inside_is_the_cause_and_not_the_error_itself() {
        let error = BoxedError::new(Caused(FrameError::VarintOverflow));
        assert_eq!(error.source().and_then(<dyn Error>::downcast_ref), Some(&FrameError::VarintOverflow));
    }

    #[test]
    fn a_boxed_codec_can_be_part_of_what_derives_debug() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "only its debug output matters")]
        struct Session(Box<dyn ByteDecoder>);
        assert_eq!(format!("{:?}", Session(Box::new(Raw))), "Session(dyn ByteDecoder)");
    }
}
