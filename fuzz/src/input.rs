//! An input of the engine, read as choices.
//!
//! ```text
//!     [ options ][ cuts ][ stream ............ ]
//!     │          └ how many, and each a length
//!     └ bytes, one or more for each option
//! ```
//!
//! It knows bytes; it does not know what they choose. An input that is over goes on with zeros, so that every input
//! is a case and a shorter one is a plainer case.

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub struct Input<'s> {
    rest: &'s [u8],
}

impl<'s> Input<'s> {
    /// Reads `data` from its beginning.
    pub fn new(data: &'s [u8]) -> Input<'s> {
        Input { rest: data }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        byte
    }

    /// The next `n` bytes, or those that are left.
    pub fn bytes(&mut self, n: usize) -> &'s [u8] {
        let (bytes, rest) = self.rest.split_at(n.min(self.rest.len()));
        self.rest = rest;
        bytes
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// One of `choices`.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// A limit on the size of a frame: mostly one that a stream of this size reaches, and now and then a great one.
    pub fn limit(&mut self) -> usize {
        match self.byte() {
            n @ 0..=239 => n.into(),
            n @ 240..=247 => 1 << (n - 232),
            n @ 248..=251 => isize::MAX.unsigned_abs() - 1 + usize::from(n - 248),
            n @ 252..=255 => usize::MAX - usize::from(255 - n),
        }
    }

    /// How the rest is split, and the rest.
    pub fn stream(mut self) -> Stream<'s> {
        let count = usize::from(self.byte() % 16);
        let cuts = self.bytes(count);
        // Pieces that are all empty would never end.
        let cuts = if cuts.iter().all(|&cut| cut == 0) { &[] } else { cuts };
        Stream { bytes: self.rest, cuts }
    }
}

/// A stream, and the lengths of the pieces in which it comes.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'s> {
    /// All of it.
    pub bytes: &'s [u8],
    cuts: &'s [u8],
}

impl<'s> Stream<'s> {
    /// The pieces, the first of them empty: a codec may be asked before anything has come. The lengths drawn are
    /// used over and over.
    pub fn pieces(self) -> impl Iterator<Item = &'s [u8]> {
        let mut left = self.bytes;
        let mut cuts = self.cuts.iter().cycle();
        let drawn = std::iter::from_fn(move || {
            if left.is_empty() {
                return None;
            }
            let cut = cuts.next().map_or(left.len(), |&cut| usize::from(cut).min(left.len()));
            let (piece, rest) = left.split_at(cut);
            left = rest;
            Some(piece)
        });
        std::iter::once(&[][..]).chain(drawn)
    }

    /// Other bytes, in pieces of the same lengths.
    #[must_use]
    pub fn with(self, bytes: &'s [u8]) -> Stream<'s> {
        Stream { bytes, cuts: self.cuts }
    }

    /// The same in one piece.
    #[must_use]
    pub fn whole(self) -> Stream<'s> {
        Stream { cuts: &[], ..self }
    }

    /// The same byte by byte.
    #[must_use]
    pub fn byte_by_byte(self) -> Stream<'s> {
        Stream { cuts: &[1], ..self }
    }
}
