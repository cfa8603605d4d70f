//! Every split: one input, cut in every way, must lead to one result.
//!
//! It knows cuts, and what a client sees of a server. It does not know the protocol: what is right is what comes
//! of the input in one piece.

use std::fmt;
use std::time::Duration;

use super::caught::catch;
use super::client::{ClientReport, End};
use super::scenario::Sim;
use super::script::Script;
use super::tape::{Rng, Tape};
use super::trace::Shown;
use crate::config::Config;
use crate::handler::Handler;

/// Up to how many bytes every split is tried.
const EVERY_MAX: usize = 20;

/// Up to how many bytes every pair of cuts is tried.
const PAIRS_MAX: usize = 200;

/// How many random splits are tried of longer inputs.
const RANDOM: usize = 10_000;

/// What [`every_split`] has tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Splits {
    /// How many ways to split the input were tried.
    pub count: usize,
    /// Whether those were all.
    pub all: bool,
    pairs: bool,
}

impl fmt::Display for Splits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = match (self.all, self.pairs) {
            (true, _) => "all there are",
            (false, true) => "every single and double cut, and random ones",
            (false, false) => "every single cut, and random ones",
        };
        let s = if self.count == 1 { "" } else { "s" };
        write!(f, "{} split{s}: {which}", self.count)
    }
}

/// Sends `input` to a server in every way in which it can be split, then ends the client's side, and panics unless
/// the client sees the same each time: the same bytes, and the same end.
///
/// A server that keeps the connection open is drained when nothing happens any more.
///
/// Up to 20 bytes every split is tried, 2^(n-1) of them. Beyond that every single cut, every pair of cuts up to 200
/// bytes, and 10,000 random splits. The answer says which it did. `make` makes a new handler for each run. A run takes
/// some 15 microseconds with optimizations and ten times as long without, which is a minute and more at 20 bytes.
///
/// ```
/// use switchboard::codec::Lines;
/// use switchboard::{each, sim};
///
/// let splits = sim::every_split(
///     || each(Lines::new, |cx, line| { cx.send(&line.to_ascii_uppercase()); Ok(()) }),
///     b"hello\nyou",
/// );
/// assert_eq!((splits.count, splits.all), (256, true));
/// ```
#[track_caller]
pub fn every_split<H: Handler + 'static>(make: impl Fn() -> H, input: &[u8]) -> Splits {
    match try_every_split(make, input) {
        Ok(splits) => splits,
        Err(differs) => panic!("{differs}"),
    }
}

/// As [`every_split`], with the split that differs as a value.
pub fn try_every_split<H: Handler + 'static>(make: impl Fn() -> H, input: &[u8]) -> Result<Splits, Differs> {
    let tried = Trier { make: &make, input, whole: None };
    let n = input.len();
    if n <= EVERY_MAX {
        let tried = tried.begin()?;
        let count = 1_usize << n.saturating_sub(1);
        for mask in 1..count {
            let cuts: Vec<usize> = (1..n).filter(|cut| mask >> (cut - 1) & 1 == 1).collect();
            tried.with_cuts(&cuts)?;
        }
        return Ok(Splits { count, all: true, pairs: true });
    }
    let tried = tried.begin()?;
    let mut count = 1;
    for one in 1..n {
        tried.with_cuts(&[one])?;
        count += 1;
        if n <= PAIRS_MAX {
            for other in one + 1..n {
                tried.with_cuts(&[one, other])?;
                count += 1;
            }
        }
    }
    let mut rng = Rng::new(n as u64);
    for _ in 0..RANDOM {
        // From every byte apart to a few cuts.
        let one_in = 1 << (rng.next() % 8);
        let cuts: Vec<usize> = (1..n).filter(|_| rng.next() % one_in == 0).collect();
        tried.with_cuts(&cuts)?;
        count += 1;
    }
    Ok(Splits { count, all: false, pairs: n <= PAIRS_MAX })
}

struct Trier<'a, F> {
    make: &'a F,
    input: &'a [u8],
    whole: Option<(Vec<u8>, End)>,
}

impl<H: Handler + 'static, F: Fn() -> H> Trier<'_, F> {
    fn begin(mut self) -> Result<Self, Differs> {
        let report = self.run(&[])?;
        self.whole = Some((report.received, report.end));
        Ok(self)
    }

    fn with_cuts(&self, cuts: &[usize]) -> Result<(), Differs> {
        let report = self.run(cuts)?;
        let Some((whole, end)) = &self.whole else { return Ok(()) };
        if (&report.received, &report.end) == (whole, end) {
            return Ok(());
        }
        Err(self.differs(cuts, came(whole, *end), came(&report.received, report.end)))
    }

    fn differs(&self, cuts: &[usize], whole: String, split: String) -> Differs {
        let mut pieces = Vec::new();
        let mut from = 0;
        for &cut in cuts.iter().chain([&self.input.len()]) {
            pieces.push(self.input[from..cut].to_vec());
            from = cut;
        }
        Differs { pieces, whole, split }
    }

    fn run(&self, cuts: &[usize]) -> Result<ClientReport, Differs> {
        let mut script = Script::new();
        let mut from = 0;
        for &cut in cuts.iter().chain([&self.input.len()]) {
            // The server has seen one piece before the next is sent.
            script = script.send(&self.input[from..cut]).wait(Duration::from_millis(1));
            from = cut;
        }
        let config = Config { recv_buffer_bytes: 16 << 10, ..Config::default() };
        let scenario = Sim::unrecorded(Tape::quiet()).server((self.make)()).config(config);
        let scenario = scenario.client(script.shutdown().recv_to_end());
        match catch(|| scenario.try_run_until_quiet()) {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(failure)) => Err(self.failed(cuts, failure.to_string())),
            Err(caught) => Err(self.failed(cuts, caught.to_string())),
        }
    }

    fn failed(&self, cuts: &[usize], how: String) -> Differs {
        match &self.whole {
            Some((bytes, end)) => self.differs(cuts, came(bytes, *end), how),
            None => self.differs(cuts, how, String::new()),
        }
    }
}

/// What a client has seen, as text.
fn came(bytes: &[u8], end: End) -> String {
    let end = match end {
        End::Open => "nothing more",
        End::Ended => "the end",
        End::Reset => "a reset",
        End::Failed(error) => return format!("{}, then {error}", Shown(bytes)),
    };
    format!("{}, then {end}", Shown(bytes))
}

/// A split that leads to another result than the whole input, or an input that fails in one piece.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Differs {
    /// The input, as it was split: in one piece if that fails already.
    pub pieces: Vec<Vec<u8>>,
    /// What came of the input in one piece: the bytes of the server, its end; or how the run failed.
    pub whole: String,
    /// What came of it in these pieces. Empty if there is only one.
    pub split: String,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What failed may take more than one line.
        let text = |text: &str| text.replace('\n', "\n                ");
        if let [all] = self.pieces.as_slice() {
            return write!(f, "the input fails in one piece: {}\n  {}", Shown(all), self.whole);
        }
        f.write_str("the result depends on how the input is split\n  split:       ")?;
        for piece in &self.pieces {
            write!(f, " {}", Shown(piece))?;
        }
        write!(f, "\n  in one piece: {}\n  in these:     {}", text(&self.whole), text(&self.split))
    }
}

impl fmt::Debug for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Differs {}
