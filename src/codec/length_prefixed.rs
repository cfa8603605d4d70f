//! Frames with a binary length before them.
//!
//! It knows where the length field is, how to read it and what it counts; it refuses to know the rest of the
//! header. All arithmetic is checked, and a length is compared with its limits before anything else is done.
//!
//! ```text
//!     ├─ offset ─▶├─ width ─▶│
//!     [ ......... | length   | body ........................... ]
//!     ├────── header ───────▶├── length + adjustment ──────────▶│
//!     ├────── strip ────────▶├── frame ────────────────────────▶│
//! ```

use super::body::{body_behind, clamp_limit, limited};
use super::{BuildError, Decoder, EncodeError, FrameError, Put, Step};

/// How many bytes a length field has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// One byte: up to 255.
    One,
    /// Two bytes: up to 65,535.
    Two,
    /// Three bytes: up to 16,777,215.
    Three,
    /// Four bytes: up to 4,294,967,295.
    Four,
    /// Eight bytes.
    Eight,
}

impl Width {
    const fn bytes(self) -> u16 {
        match self {
            Width::One => 1,
            Width::Two => 2,
            Width::Three => 3,
            Width::Four => 4,
            Width::Eight => 8,
        }
    }

    /// The largest number it can hold.
    const fn largest(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }
}

/// Which byte of a length field comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByteOrder {
    /// The most significant one: network byte order.
    Big,
    /// The least significant one.
    Little,
}

/// Cuts out frames that say their length in a binary field before them.
///
/// By default the field is four bytes in network byte order, counts the bytes behind it, and is taken off the
/// frame; [`builder`](LengthPrefixed::builder) knows every other layout. A body, which is what follows the
/// length field, has at most 1 MiB by default.
///
/// ```
/// use switchboard::codec::{Decoder, LengthPrefixed, Step};
///
/// let mut codec = LengthPrefixed::new();
/// let mut out = Vec::new();
/// codec.encode(b"hello", &mut out)?;
/// assert_eq!(out, b"\0\0\0\x05hello");
/// assert_eq!(codec.decode(&out)?, Step::Frame { frame: &b"hello"[..], used: 9 });
/// assert_eq!(codec.decode(&out[..6])?, Step::NeedMore { at_least: 9 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LengthPrefixed {
    body_bytes_max: usize,
    layout: Layout,
}

/// Where the length stands, and what it counts.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Layout {
    /// Four bytes in network byte order that count what follows them. It is the layout of most protocols and
    /// the only one whose cost shows, so it has a way of its own: 42 instructions a frame less than `Described`.
    Plain,
    /// Any other.
    Described(Described),
}

impl Layout {
    fn described(&self) -> &Described {
        match self {
            Layout::Plain => &Described::PLAIN,
            Layout::Described(described) => described,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Described {
    /// What is added to the number in the field to get the length of the body.
    adjustment: i64,
    /// The smallest number in the field that makes a frame.
    least: u64,
    strip: u32,
    offset: u16,
    width: Width,
    order: ByteOrder,
}

impl Described {
    const PLAIN: Described =
        Described { adjustment: 0, least: 0, strip: 4, offset: 0, width: Width::Four, order: ByteOrder::Big };

    // Out of line, here and in encoding, so that the plain layout is small enough to stand where it is used.
    #[inline(never)]
    fn decode<'a>(&self, input: &'a [u8], limit: usize) -> Result<Step<&'a [u8]>, FrameError> {
        let offset = usize::from(self.offset);
        let header = offset + usize::from(self.width.bytes());
        let header =
            if wrong!(LengthAssumedWhole) && input.len() > offset { header.min(input.len()) } else { header };
        let Some(field) = input.get(offset..header) else {
            return Ok(Step::NeedMore { at_least: header });
        };
        let length = match self.order {
            ByteOrder::Big => field.iter().fold(0, |n, &byte| n << 8 | u64::from(byte)),
            ByteOrder::Little => field.iter().rfold(0, |n, &byte| n << 8 | u64::from(byte)),
        };
        if length < self.least {
            return Err(FrameError::TooShort { length, least: self.least });
        }
        // Not below zero, because `length` is not below `least`; saturated, it is above every limit.
        let body = length.saturating_add_signed(self.adjustment);
        let used = header + limited(body, limit)?;
        match input.get(self.strip as usize..used) {
            Some(frame) => Ok(Step::Frame { frame, used }),
            None => Ok(Step::NeedMore { at_least: used }),
        }
    }

    #[inline(never)]
    fn encode_header(
        &self,
        before: &[u8],
        body_bytes: usize,
        limit: usize,
        out: &mut impl Put,
    ) -> Result<(), EncodeError> {
        let offset = usize::from(self.offset);
        if before.len() != offset {
            return Err(EncodeError::WrongLength { length: before.len(), expected: offset });
        }
        let length = self.length_of(body_bytes, limit)?;
        out.put_slice(before);
        let width = usize::from(self.width.bytes());
        match self.order {
            ByteOrder::Big => out.put_slice(&length.to_be_bytes()[8 - width..]),
            ByteOrder::Little => out.put_slice(&length.to_le_bytes()[..width]),
        }
        Ok(())
    }

    /// The number that goes into the field for a body.
    fn length_of(&self, body_bytes: usize, limit: usize) -> Result<u64, EncodeError> {
        if body_bytes > limit {
            return Err(EncodeError::TooLong { length: body_bytes, limit });
        }
        let length = i128::from(body_bytes as u64) - i128::from(self.adjustment);
        let body_of = |length: u64| {
            let body = i128::from(length) + i128::from(self.adjustment);
            usize::try_from(body.max(0)).unwrap_or(usize::MAX)
        };
        if length < i128::from(self.least) {
            return Err(EncodeError::TooShort { length: body_bytes, least: body_of(self.least) });
        }
        match u64::try_from(length) {
            Ok(length) if length <= self.width.largest() => Ok(length),
            Ok(_) | Err(_) => {
                Err(EncodeError::TooLong { length: body_bytes, limit: body_of(self.width.largest()) })
            }
        }
    }
}

impl LengthPrefixed {
    /// Reads four bytes, big-endian, and allows bodies of 1 MiB.
    pub const fn new() -> LengthPrefixed {
        LengthPrefixed { body_bytes_max: 1 << 20, layout: Layout::Plain }
    }

    /// Starts from the default layout to describe another one.
    pub const fn builder() -> LengthPrefixedBuilder {
        LengthPrefixedBuilder {
            width: Width::Four,
            order: ByteOrder::Big,
            offset: 0,
            adjustment: 0,
            strip: None,
            length_includes_header: false,
        }
    }

    /// Sets the most bytes that may follow a length field, whatever the field counts and whatever is stripped.
    #[must_use]
    pub const fn frame_bytes_max(mut self, bytes: usize) -> LengthPrefixed {
        self.body_bytes_max = clamp_limit(bytes);
        self
    }

    /// Writes the length field and `body`, for layouts whose header is the length field alone.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call costs as much as what is done here")]
    pub fn encode(&self, body: &[u8], out: &mut impl Put) -> Result<(), EncodeError> {
        self.encode_with(&[], body, out)
    }

    /// Writes `before`, the length field and `body`.
    ///
    /// `before` is the part of the header in front of the length field, `offset` bytes exactly.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call costs as much as what is done here")]
    pub fn encode_with(&self, before: &[u8], body: &[u8], out: &mut impl Put) -> Result<(), EncodeError> {
        if let Some(field) = self.plain_field(before, body.len()) {
            out.put_both(&field, body);
            return Ok(());
        }
        self.described_header(before, body.len(), out)?;
        out.put_slice(body);
        Ok(())
    }

    /// Writes `before` and the length field for a body of `body_bytes` bytes, which the caller sends itself.
    ///
    /// So a large body can be sent by reference behind a header of a few bytes.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call costs as much as what is done here")]
    pub fn encode_header(
        &self,
        before: &[u8],
        body_bytes: usize,
        out: &mut impl Put,
    ) -> Result<(), EncodeError> {
        if let Some(field) = self.plain_field(before, body_bytes) {
            out.put_slice(&field);
            return Ok(());
        }
        self.described_header(before, body_bytes, out)
    }

    /// The length field of the plain layout for a body, if that is the layout and nothing is wrong.
    #[inline]
    fn plain_field(&self, before: &[u8], body_bytes: usize) -> Option<[u8; 4]> {
        match (&self.layout, u32::try_from(body_bytes)) {
            (Layout::Plain, Ok(length)) if before.is_empty() && body_bytes <= self.body_bytes_max => {
                Some(length.to_be_bytes())
            }
            (Layout::Plain | Layout::Described(_), _) => None,
        }
    }

    #[inline]
    fn described_header(
        &self,
        before: &[u8],
        body_bytes: usize,
        out: &mut impl Put,
    ) -> Result<(), EncodeError> {
        self.layout.described().encode_header(before, body_bytes, self.body_bytes_max, out)
    }
}

impl Default for LengthPrefixed {
    fn default() -> LengthPrefixed {
        LengthPrefixed::new()
    }
}

impl Decoder for LengthPrefixed {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    const FRAMES_FROM_NOTHING: bool = false;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call costs as much as what is done here")]
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<&'a [u8]>, FrameError> {
        match &self.layout {
            Layout::Plain if !wrong!(LengthAssumedWhole) => {
                let Some((field, rest)) = input.split_first_chunk() else {
                    return Ok(Step::NeedMore { at_least: 4 });
                };
                body_behind(field.len(), rest, u32::from_be_bytes(*field).into(), self.body_bytes_max)
            }
            // Taken apart, or every frame would be passed through memory for its sake.
            Layout::Plain | Layout::Described(_) => {
                match self.layout.described().decode(input, self.body_bytes_max)? {
                    Step::Frame { frame, used } => Ok(Step::Frame { frame, used }),
                    Step::NeedMore { at_least } => Ok(Step::NeedMore { at_least }),
                }
            }
        }
    }
}

/// Describes the layout of [`LengthPrefixed`] frames, starting from the default one.
///
/// Two bytes of magic, a little-endian length that counts the whole frame, all of it handed out:
///
/// ```
/// use switchboard::codec::{ByteOrder, Decoder, LengthPrefixed, Step, Width};
///
/// let mut codec = LengthPrefixed::builder()
///     .offset(2)
///     .width(Width::Two)
///     .byte_order(ByteOrder::Little)
///     .length_includes_header()
///     .strip(0)
///     .build()?
///     .frame_bytes_max(512);
/// let frame = b"\xca\xfe\x06\x00hi";
/// assert_eq!(codec.decode(frame).unwrap(), Step::Frame { frame: &frame[..], used: 6 });
/// # Ok::<(), switchboard::codec::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LengthPrefixedBuilder {
    width: Width,
    order: ByteOrder,
    offset: u16,
    adjustment: i64,
    strip: Option<u16>,
    length_includes_header: bool,
}

impl LengthPrefixedBuilder {
    /// Sets how many bytes the length field has; four by default.
    #[must_use]
    pub const fn width(mut self, width: Width) -> Self {
        self.width = width;
        self
    }

    /// Sets the byte order of the length field; big-endian by default.
    #[must_use]
    pub const fn byte_order(mut self, order: ByteOrder) -> Self {
        self.order = order;
        self
    }

    /// Sets how many bytes of header come before the length field; none by default.
    #[must_use]
    pub const fn offset(mut self, bytes: u16) -> Self {
        self.offset = bytes;
        self
    }

    /// Sets what is added to the number in the field to get how many bytes follow the field; zero by default.
    ///
    /// Positive where more header follows that the number does not count, negative where it counts bytes that
    /// came before.
    #[must_use]
    pub const fn adjustment(mut self, bytes: i64) -> Self {
        self.adjustment = bytes;
        self
    }

    /// Says that the number counts the header too, up to the end of the length field: the same as an
    /// adjustment of minus its size, and added to the one that is set.
    #[must_use]
    pub const fn length_includes_header(mut self) -> Self {
        self.length_includes_header = true;
        self
    }

    /// Sets how many bytes are taken off the front; by default everything up to the end of the length field.
    #[must_use]
    pub const fn strip(mut self, bytes: u16) -> Self {
        self.strip = Some(bytes);
        self
    }

    /// Makes the codec. Refuses a layout that could never make a frame: with this adjustment and strip even
    /// the largest number in the field is too small.
    pub fn build(self) -> Result<LengthPrefixed, BuildError> {
        let header = u32::from(self.offset) + u32::from(self.width.bytes());
        let strip = self.strip.map_or(header, u32::from);
        // Strip may reach into the body; a body shorter than that is none.
        let body_least = strip.saturating_sub(header);
        let included = if self.length_includes_header { header } else { 0 };
        let adjustment = i128::from(self.adjustment) - i128::from(included);
        let least = u64::try_from(i128::from(body_least) - adjustment).unwrap_or(0);
        let largest = self.width.largest();
        let Ok(adjustment) = i64::try_from(adjustment) else {
            return Err(BuildError::LengthField { largest, least });
        };
        if least > largest {
            return Err(BuildError::LengthField { largest, least });
        }
        let Self { offset, width, order, .. } = self;
        let described = Described { adjustment, least, strip, offset, width, order };
        let layout = if described == Described::PLAIN { Layout::Plain } else { Layout::Described(described) };
        Ok(LengthPrefixed { layout, ..LengthPrefixed::new() })
    }
}

#[cfg(test)]
mod tests;
