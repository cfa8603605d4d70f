//! The tape: every choice a simulation makes, one after the other.
//!
//! It knows numbers: how many ways there were and which was taken. It does not know what they decide. Whatever
//! is not determined by the program under test is one `choose` on one tape, so a tape is a run, and the same
//! tape is the same run. Way 0 is always the ordinary one: a tape of zeros is the quiet network.
//!
//! ```text
//!            ┌ seeded: at random, unusual ways by their weights
//!  choose ◀──┼ given: the values of another run, then an error, or zeros
//!            └ bytes: a fuzzer's input, then zeros
//! ```

use std::fmt;

/// The most choices on one tape: a run that needs more does not come to an end.
const CHOICES_MAX: usize = 1 << 26;

/// The certain weight: the unusual ways are taken every time.
pub const CERTAIN: u16 = 1024;

/// Where the choices of one run come from, and what they have been so far.
#[derive(Clone, Debug)]
pub struct Tape {
    source: Source,
    taken: Vec<Taken>,
    error: Option<TapeError>,
}

#[derive(Clone, Debug)]
enum Source {
    Seeded(Rng),
    Given { values: Vec<u32>, strict: bool },
    Bytes { bytes: Vec<u8>, at: usize },
}

/// One choice that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Taken {
    pub(crate) value: u32,
    pub(crate) of: u32,
}

impl Tape {
    /// Chooses at random, the same for the same seed.
    pub fn seeded(seed: u64) -> Tape {
        Tape::from(Source::Seeded(Rng::new(seed)))
    }

    /// Chooses what `text`, the [`Display`](fmt::Display) of another tape, says. A run that makes other or more
    /// choices fails, and says where.
    pub fn replay(text: &str) -> Result<Tape, TapeError> {
        Ok(Tape::from(Source::Given { values: parse(text)?, strict: true }))
    }

    /// Chooses as these bytes say, one or two of them for each choice, and the ordinary way after their end: for
    /// fuzzers.
    pub fn bytes(bytes: &[u8]) -> Tape {
        Tape::from(Source::Bytes { bytes: bytes.to_vec(), at: 0 })
    }

    /// Chooses the ordinary way always.
    pub fn quiet() -> Tape {
        Tape::values(Vec::new())
    }

    /// Chooses these values, cut to how many ways there are, and the ordinary way after their end.
    pub(crate) fn values(values: Vec<u32>) -> Tape {
        Tape::from(Source::Given { values, strict: false })
    }

    fn from(source: Source) -> Tape {
        Tape { source, taken: Vec::new(), error: None }
    }

    /// One of `ways` ways, each as likely as the others.
    ///
    /// `what` is for error messages. With no or one way there is nothing to choose and nothing is taken.
    pub fn choose(&mut self, what: &'static str, ways: usize) -> usize {
        if ways <= 1 {
            return 0;
        }
        let of = u32::try_from(ways).unwrap_or(u32::MAX);
        let value = match &mut self.source {
            Source::Seeded(rng) => rng.below(of),
            Source::Bytes { bytes, at } => next_byte(bytes, at, of) % of,
            Source::Given { .. } => self.given(what, of),
        };
        self.take(value, of)
    }

    /// One of `ways` ways, of which the first is the ordinary one: any other is taken with `weight` in
    /// [`CERTAIN`]. With no weight nothing is taken.
    #[inline]
    pub fn unusual(&mut self, what: &'static str, weight: u16, ways: usize) -> usize {
        if weight == 0 || ways <= 1 { 0 } else { self.unusual_way(what, weight, ways) }
    }

    fn unusual_way(&mut self, what: &'static str, weight: u16, ways: usize) -> usize {
        let of = u32::try_from(ways).unwrap_or(u32::MAX);
        let value = match &mut self.source {
            Source::Seeded(rng) => {
                if rng.below(u32::from(CERTAIN)) < u32::from(weight) {
                    1 + rng.below(of - 1)
                } else {
                    0
                }
            }
            Source::Bytes { bytes, at } => {
                // The largest byte takes an unusual way also where its weight is less than one byte can tell.
                let least = u32::from(CERTAIN.saturating_sub(weight)).clamp(1, 255 * 4);
                if next_byte(bytes, at, 256) * 4 >= least {
                    1 + next_byte(bytes, at, of - 1) % (of - 1)
                } else {
                    0
                }
            }
            Source::Given { .. } => self.given(what, of),
        };
        self.take(value, of)
    }

    #[inline]
    fn take(&mut self, value: u32, of: u32) -> usize {
        if self.taken.len() < CHOICES_MAX {
            self.taken.push(Taken { value, of });
        } else if self.error.is_none() {
            self.error = Some(TapeError::Endless);
        }
        value as usize
    }

    fn given(&mut self, what: &'static str, of: u32) -> u32 {
        let Source::Given { values, strict } = &self.source else { return 0 };
        let at = self.taken.len();
        match values.get(at) {
            Some(&value) if value < of => value,
            Some(_) if !strict => of - 1,
            None if !strict => 0,
            found => {
                let error = match found {
                    Some(&value) => TapeError::NoSuchWay { at, value, of, what },
                    None => TapeError::Ended { at, what },
                };
                self.error.get_or_insert(error);
                0
            }
        }
    }

    /// What is wrong with the tape, if anything: it was given, and this is not the run it was made in.
    pub fn error(&self) -> Option<&TapeError> {
        self.error.as_ref()
    }

    /// How many choices have been made.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether no choice has been made yet.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// The choices made, with how many ways there were.
    pub(crate) fn taken(&self) -> &[Taken] {
        &self.taken
    }

    /// Takes the room of the choices made, to be used for another tape.
    pub(crate) fn into_room(self) -> Vec<Taken> {
        self.taken
    }

    /// Takes over the room of another tape's choices.
    pub(crate) fn with_room(mut self, mut room: Vec<Taken>) -> Tape {
        room.clear();
        self.taken = room;
        self
    }
}

/// The choices made so far, in the form that [`Tape::replay`] reads: `12x0,3,x1` is twelve zeros, a three and a
/// one.
impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.taken.iter().map(|taken| taken.value);
        write_values(f, values)
    }
}

fn write_values(f: &mut fmt::Formatter<'_>, values: impl Iterator<Item = u32>) -> fmt::Result {
    let mut values = values.peekable();
    let mut first = true;
    while let Some(value) = values.next() {
        let mut count = 1_u32;
        while values.next_if_eq(&value).is_some() {
            count += 1;
        }
        if !first {
            f.write_str(",")?;
        }
        first = false;
        if count > 1 {
            write!(f, "{count}x{value}")?;
        } else {
            write!(f, "{value}")?;
        }
    }
    if first { f.write_str("-") } else { Ok(()) }
}

fn parse(text: &str) -> Result<Vec<u32>, TapeError> {
    let text = text.trim();
    let mut values = Vec::new();
    if text == "-" {
        return Ok(values);
    }
    for (at, part) in text.split(',').enumerate() {
        let wrong = || TapeError::Syntax { part: at + 1, text: part.chars().take(40).collect() };
        let (count, value) = part.split_once('x').unwrap_or(("1", part));
        let count: usize = count.trim().parse().map_err(|_| wrong())?;
        let value: u32 = value.trim().parse().map_err(|_| wrong())?;
        if count == 0 || count > CHOICES_MAX - values.len() {
            return Err(wrong());
        }
        values.resize(values.len() + count, value);
    }
    Ok(values)
}

/// The next one or two bytes, by how many ways they must tell apart. Zero after the end.
fn next_byte(bytes: &[u8], at: &mut usize, of: u32) -> u32 {
    let mut value = 0;
    let mut reach = 1_u64;
    while reach < u64::from(of) && reach < 1 << 32 {
        value = value << 8 | u32::from(bytes.get(*at).copied().unwrap_or(0));
        *at += 1;
        reach <<= 8;
    }
    value
}

/// Why a tape cannot be read, or does not belong to the run.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TapeError {
    /// A part of the text is not `VALUE` or `COUNTxVALUE`.
    Syntax {
        /// Which part, counted from one.
        part: usize,
        /// The part.
        text: String,
    },
    /// The run makes more choices than are on the tape.
    Ended {
        /// How many are on the tape.
        at: usize,
        /// What was to be chosen.
        what: &'static str,
    },
    /// The value on the tape is none of the ways there are.
    NoSuchWay {
        /// Which choice, counted from zero.
        at: usize,
        /// What the tape says.
        value: u32,
        /// How many ways there are.
        of: u32,
        /// What was to be chosen.
        what: &'static str,
    },
    /// The run makes more choices than any tape holds: it does not end.
    Endless,
}

impl fmt::Display for TapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const OTHER: &str = "the tape is of another scenario or of other code";
        match self {
            TapeError::Syntax { part, text } => {
                write!(f, "part {part} of the tape is `{text}`, not a number or COUNTxNUMBER")
            }
            TapeError::Ended { at, what } => {
                write!(f, "the tape ends after {at} choices, and {what} is to be chosen: {OTHER}")
            }
            TapeError::NoSuchWay { at, value, of, what } => {
                write!(f, "choice {at} of the tape is {value}, but for {what} there are {of} ways: {OTHER}")
            }
            TapeError::Endless => write!(f, "more than {CHOICES_MAX} choices: the run does not end"),
        }
    }
}

impl std::error::Error for TapeError {}

/// A small generator of random numbers (`SplitMix64`: Steele, Lea and Flood, 2014). Enough for choices.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `of`, which is not zero.
    pub(crate) fn below(&mut self, of: u32) -> u32 {
        // The high half of a product: the bias is below one in four thousand million.
        let high = ((self.next() >> 32) * u64::from(of)) >> 32;
        u32::try_from(high).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_choices(tape: &mut Tape) -> Vec<usize> {
        let mut all = Vec::new();
        for ways in [2, 300, 70_000, 1, 5] {
            all.push(tape.choose("a number", ways));
            all.push(tape.unusual("an odd number", 300, ways));
        }
        all
    }

    #[test]
    fn the_same_seed_makes_the_same_choices_and_another_one_others() {
        let all = some_choices(&mut Tape::seeded(7));
        assert_eq!(all, some_choices(&mut Tape::seeded(7)));
        assert_ne!(all, some_choices(&mut Tape::seeded(8)));
    }

    #[test]
    fn a_tape_read_back_is_the_same_run() {
        for seed in 0..50 {
            let mut tape = Tape::seeded(seed);
            let all = some_choices(&mut tape);
            let mut again = Tape::replay(&tape.to_string()).expect("it was just written");
            assert_eq!(some_choices(&mut again), all);
            assert_eq!((again.error(), again.to_string()), (None, tape.to_string()));
        }
    }

    #[test]
    fn a_tape_that_ends_early_says_where_and_what_was_to_be_chosen() {
        let mut tape = Tape::replay("2x1").expect("it is well formed");
        assert_eq!((tape.choose("a", 2), tape.choose("b", 2), tape.choose("c", 2)), (1, 1, 0));
        let error = tape.error().expect("it has ended").to_string();
        assert!(error.starts_with("the tape ends after 2 choices, and c is to be chosen"), "{error}");
    }

    #[test]
    fn a_value_that_is_no_way_is_an_error_with_its_place() {
        let mut tape = Tape::replay("0,7").expect("it is well formed");
        tape.choose("a", 2);
        tape.choose("b", 3);
        let error = TapeError::NoSuchWay { at: 1, value: 7, of: 3, what: "b" };
        assert_eq!(tape.error(), Some(&error));
    }

    #[test]
    fn text_that_is_no_tape_is_refused_with_its_place() {
        for (text, part, shown) in [("", 1, ""), ("1,x", 2, "x"), ("1,2,0x4", 3, "0x4"), ("1,-3", 2, "-3")] {
            let error = Tape::replay(text).expect_err("it is no tape");
            assert_eq!(error, TapeError::Syntax { part, text: shown.into() });
        }
        assert!(Tape::replay("99999999999x0").is_err(), "a count is no reason to reserve memory");
        assert!(Tape::replay("-").expect("an empty tape").is_empty());
    }

    #[test]
    fn bytes_are_choices_and_then_the_ordinary_way() {
        let mut tape = Tape::bytes(&[5, 1, 2]);
        assert_eq!(tape.choose("a", 4), 1);
        assert_eq!(tape.choose("b", 1000), 258);
        assert_eq!((tape.choose("c", 4), tape.unusual("d", 1000, 9)), (0, 0));
        for weight in [1, 10, CERTAIN] {
            let mut tape = Tape::bytes(&[255, 3]);
            assert_eq!(tape.unusual("a", weight, 9), 4, "with a weight of {weight}");
        }
    }

    #[test]
    fn unusual_ways_are_taken_by_their_weight() {
        let mut tape = Tape::seeded(1);
        let count = (0..10_000).filter(|_| tape.unusual("a", 102, 5) != 0).count();
        assert!((800..1200).contains(&count), "{count} of 10,000 with a weight of a tenth");
        assert_eq!(tape.unusual("a", 0, 5), 0);
        assert_eq!(tape.len(), 10_000, "no weight, no choice");
        assert!((0..100).all(|_| tape.unusual("a", CERTAIN, 5) != 0));
    }
}
