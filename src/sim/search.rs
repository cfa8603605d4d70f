//! The search: one scenario under many tapes, and what a failing one comes down to.
//!
//! It knows engines: seeds, everything there is, everything with few deviations, a fuzzer's bytes, a replay. All of
//! them run the same function, which takes a [`Sim`], builds a scenario on it and runs it. It does not know what is
//! in the scenario; a panic in it is a failure.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use super::caught::{Caught, catch};
use super::network::World;
use super::scenario::Sim;
use super::shrink::shrink;
use super::tape::{Taken, Tape};
use super::trace::Line;

/// How many lines of what happened a failure shows.
const LINES_SHOWN: usize = 60;

/// What a search has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Explored {
    /// How many runs there were. Those made only to see whether a run can be repeated are not counted.
    pub runs: u64,
    /// How many steps they took together.
    pub steps: u64,
    /// The most choices that one of them made.
    pub choices_max: usize,
    /// Whether that was all there is to explore.
    pub complete: bool,
}

/// A run that failed, shrunk.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// What went wrong in the shrunk run.
    pub what: String,
    /// The seed that led to it, if it was one.
    pub seed: Option<u64>,
    /// The shrunk run, for [`Tape::replay`] and `SWITCHBOARD_TAPE`.
    pub tape: String,
    /// How many choices the run made when it was found, and how many of those left are not the ordinary way.
    pub choices: usize,
    /// As many, in the shrunk run.
    pub deviations: usize,
    /// What happened in the shrunk run, oldest first.
    pub lines: Vec<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        let skipped = self.lines.len().saturating_sub(LINES_SHOWN);
        writeln!(f, "\nwhat led there ({} lines, {skipped} not shown):", self.lines.len())?;
        for line in &self.lines[skipped..] {
            writeln!(f, "  {line}")?;
        }
        let (choices, deviations) = (self.choices, self.deviations);
        writeln!(f, "\nshrunk from {choices} choices to {deviations} that are not the ordinary way; again:")?;
        let test = test_name();
        if let Some(seed) = self.seed {
            writeln!(f, "  SWITCHBOARD_SEED={seed} cargo test {test}")?;
        }
        write!(f, "  SWITCHBOARD_TAPE={} cargo test {test}", self.tape)
    }
}

/// The same text, so that a test that answers with it is readable.
impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Found {}

/// The test that runs: its thread has its name.
fn test_name() -> String {
    std::thread::current().name().filter(|&name| name != "main").unwrap_or_default().into()
}

/// Runs `scenario` with `count` seeds, each twice, and panics with the [`Found`] of the first that fails.
///
/// A run fails if it panics, if anything the reactor promises does not hold, if a client does not get what it
/// expects, or if it runs in another way the second time. With `SWITCHBOARD_SEED` set only that seed is run, with
/// `SWITCHBOARD_TAPE` only that tape.
///
/// ```
/// use switchboard::codec::LengthPrefixed;
/// use switchboard::each;
/// use switchboard::sim::{self, Faults, Script};
///
/// sim::seeds(20, |sim| {
///     let echo = each(LengthPrefixed::new, |cx, frame| {
///         LengthPrefixed::new().encode(frame, &mut cx.out())?;
///         Ok(())
///     });
///     let client = Script::new().send(b"\0\0\0\x02hi").expect(b"\0\0\0\x02hi").shutdown().expect_end();
///     sim.server(echo).client(client).faults(Faults::swarm()).run();
/// });
/// ```
#[track_caller]
pub fn seeds(count: u64, scenario: impl Fn(Sim)) -> Explored {
    let given = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
    if let Some(text) = given("SWITCHBOARD_TAPE") {
        return or_panic(replay(&text, scenario));
    }
    if let Some(text) = given("SWITCHBOARD_SEED") {
        let Ok(seed) = text.trim().parse() else {
            panic!("SWITCHBOARD_SEED is `{text}`, not a number from 0 to {}", u64::MAX)
        };
        return or_panic(try_seeds(seed..seed + 1, scenario));
    }
    or_panic(try_seeds(0..count, scenario))
}

#[track_caller]
fn or_panic(result: Result<Explored, Found>) -> Explored {
    match result {
        Ok(explored) => explored,
        Err(found) => panic!("{found}"),
    }
}

/// As [`seeds`], with these seeds, whatever the environment says, and the failure as a value.
pub fn try_seeds(seeds: Range<u64>, scenario: impl Fn(Sim)) -> Result<Explored, Found> {
    let mut explored = Explored { complete: true, ..Explored::default() };
    for seed in seeds {
        let first = attempt(Tape::seeded(seed), false, &scenario);
        explored.add(&first);
        if first.outcome.is_err() {
            return Err(found(&first, Some(seed), &scenario));
        }
        let second = attempt(Tape::seeded(seed), false, &scenario);
        if second.hash != first.hash || second.outcome.is_err() {
            return Err(undetermined(seed, &first, &scenario));
        }
    }
    Ok(explored)
}

/// Runs `scenario` once, with the choices of `text`: the replay of a run that was printed.
pub fn replay(text: &str, scenario: impl Fn(Sim)) -> Result<Explored, Found> {
    let mut explored = Explored { complete: true, ..Explored::default() };
    let tape = match Tape::replay(text) {
        Ok(tape) => tape,
        Err(error) => panic!("SWITCHBOARD_TAPE: {error}"),
    };
    let run = attempt(tape, true, &scenario);
    explored.add(&run);
    if run.outcome.is_ok() { Ok(explored) } else { Err(run.into_found(None, text.into())) }
}

/// Runs `scenario` with the choices that `bytes` make: for fuzzers.
///
/// Panics if it fails, with the failure and with the tape of the run, which is not shrunk: the fuzzer does that.
#[track_caller]
pub fn bytes(bytes: &[u8], scenario: impl Fn(Sim)) -> Explored {
    let mut explored = Explored { complete: true, ..Explored::default() };
    let run = attempt(Tape::bytes(bytes), false, &scenario);
    explored.add(&run);
    if run.outcome.is_err() {
        let again = attempt(Tape::values(run.values()), true, &scenario);
        let text = again.tape.to_string();
        panic!("{}", again.into_found(None, text));
    }
    explored
}

/// Runs `scenario` with every tape there is, at most `runs_max` of them, and panics with the [`Found`] of the first
/// that fails.
///
/// For small scenarios: with `n` choices between two ways there are 2^n.
#[track_caller]
pub fn exhaust(runs_max: u64, scenario: impl Fn(Sim)) -> Explored {
    or_panic(try_deviations(usize::MAX, runs_max, scenario))
}

/// Runs `scenario` with every tape on which at most `deviations` choices are not the ordinary way, at most
/// `runs_max` of them, and panics with the [`Found`] of the first that fails.
///
/// One deviation is every single fault at every place where it can happen, two are all pairs of them.
#[track_caller]
pub fn deviations(deviations: usize, runs_max: u64, scenario: impl Fn(Sim)) -> Explored {
    or_panic(try_deviations(deviations, runs_max, scenario))
}

/// As [`deviations`], with the failure as a value.
pub fn try_deviations(deviations: usize, runs_max: u64, scenario: impl Fn(Sim)) -> Result<Explored, Found> {
    let mut explored = Explored::default();
    let mut values = Vec::new();
    let mut room = Vec::new();
    loop {
        let planned = values.len();
        let tape = Tape::values(std::mem::take(&mut values)).with_room(std::mem::take(&mut room));
        let run = attempt(tape, false, &scenario);
        explored.add(&run);
        if run.outcome.is_err() {
            return Err(found(&run, None, &scenario));
        }
        if run.tape.len() < planned {
            return Err(undetermined(0, &run, &scenario));
        }
        let taken = run.tape.into_room();
        let Some(tape) = next(&taken, deviations) else {
            explored.complete = true;
            return Ok(explored);
        };
        values = tape;
        if explored.runs >= runs_max {
            return Ok(explored);
        }
        room = taken;
    }
}

/// The tape after this one, in the order of an odometer whose last wheel turns first, with at most so many choices
/// that are not zero.
fn next(taken: &[Taken], deviations: usize) -> Option<Vec<u32>> {
    let mut before = taken.iter().filter(|taken| taken.value > 0).count();
    for (at, one) in taken.iter().enumerate().rev() {
        before -= usize::from(one.value > 0);
        if one.value + 1 < one.of && before < deviations {
            let mut values: Vec<u32> = taken[..at].iter().map(|taken| taken.value).collect();
            values.push(one.value + 1);
            return Some(values);
        }
    }
    None
}

impl Explored {
    fn add(&mut self, run: &Attempt) {
        self.runs += 1;
        self.steps += run.steps;
        self.choices_max = self.choices_max.max(run.tape.len());
    }
}

/// One run, over.
pub(super) struct Attempt {
    pub(super) tape: Tape,
    pub(super) outcome: Result<(), Caught>,
    pub(super) hash: u64,
    pub(super) steps: u64,
    lines: Vec<Line>,
}

impl Attempt {
    pub(super) fn values(&self) -> Vec<u32> {
        self.tape.taken().iter().map(|taken| taken.value).collect()
    }

    fn into_found(self, seed: Option<u64>, tape: String) -> Found {
        let deviations = self.values().iter().filter(|&&value| value > 0).count();
        Found {
            what: self.outcome.err().map_or_else(String::new, |caught| caught.to_string()),
            seed,
            choices: self.tape.len(),
            deviations,
            tape,
            lines: self.lines.iter().map(Line::to_string).collect(),
        }
    }
}

/// Runs `scenario` once.
pub(super) fn attempt(tape: Tape, record: bool, scenario: &impl Fn(Sim)) -> Attempt {
    let world = Rc::new(RefCell::new(World::new(tape)));
    if record {
        world.borrow_mut().trace.record();
    }
    let sim = Sim { world: Rc::clone(&world) };
    let result = catch(|| scenario(sim));
    let actors = world.borrow_mut().take_actors();
    drop(actors);
    let mut world = world.borrow_mut();
    let tape = std::mem::replace(&mut world.tape, Tape::quiet());
    let outcome = match tape.error() {
        Some(error) => Err(Caught::no_panic(error.to_string())),
        None => result,
    };
    let (hash, steps, lines) = (world.trace.hash(), world.trace.steps(), world.trace.lines().to_vec());
    Attempt { tape, outcome, hash, steps, lines }
}

/// What a failing run comes down to.
fn found(run: &Attempt, seed: Option<u64>, scenario: &impl Fn(Sim)) -> Found {
    let choices = run.tape.len();
    let values = shrink(run, scenario);
    let last = attempt(Tape::values(values), true, scenario);
    let text = last.tape.to_string();
    Found { choices, ..last.into_found(seed, text) }
}

fn undetermined(seed: u64, run: &Attempt, scenario: &impl Fn(Sim)) -> Found {
    // Twice more, with lines, to show where they part.
    let one = attempt(Tape::seeded(seed), true, scenario);
    let other = attempt(Tape::seeded(seed), true, scenario);
    let parts = one.lines.iter().zip(&other.lines).position(|(one, other)| one != other);
    let at = parts.unwrap_or(one.lines.len().min(other.lines.len()));
    let show = |lines: &[Line]| lines.get(at).map_or_else(|| "nothing".into(), Line::to_string);
    let what = format!(
        "the same seed ran in two ways: something in the handler is not determined by its input, such as the \
         order of a HashMap, a clock or a random number (use `Sim::choices`)\n  once:  {}\n  again: {}",
        show(&one.lines),
        show(&other.lines)
    );
    let lines = one.lines[..at].iter().map(Line::to_string).collect();
    let tape = run.tape.to_string();
    Found { what, seed: Some(seed), tape, choices: run.tape.len(), deviations: 0, lines }
}
