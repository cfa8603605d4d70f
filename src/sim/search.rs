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
use super::report::Led;
use super::scenario::Sim;
use super::shrink::shrink;
use super::tape::{Taken, Tape};
use super::trace::Line;

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
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Found {
    /// What went wrong in the shrunk run.
    pub what: String,
    /// The seed that led to it, if it was one.
    pub seed: Option<u64>,
    /// The shrunk run, for [`replay`] and `SWITCHBOARD_TAPE`. Empty if no tape brings it back.
    pub tape: String,
    /// How many choices the run made when it was found.
    pub choices: usize,
    /// How many choices of the shrunk run are unusual ones: not the first way.
    pub deviations: usize,
    /// What happened in the shrunk run, oldest first.
    pub lines: Vec<String>,
    shrunk: bool,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        write!(f, "\n{}", Led(&self.lines))?;
        let (choices, deviations) = (self.choices, self.deviations);
        if self.shrunk {
            write!(f, "\nshrunk from {choices} choices to {deviations} unusual ones; again:")?;
        } else if self.seed.is_some() || !self.tape.is_empty() {
            write!(f, "\n{choices} choices, {deviations} of them unusual; again:")?;
        }
        let test = test_name();
        if let Some(seed) = self.seed {
            write!(f, "\n  SWITCHBOARD_SEED={seed} cargo test{test}")?;
        }
        if !self.tape.is_empty() {
            write!(f, "\n  SWITCHBOARD_TAPE={} cargo test{test}", self.tape)?;
        }
        Ok(())
    }
}

/// The same text, so that a test that answers with it is readable.
impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Found {}

/// What chooses the test that runs: its thread has its name.
fn test_name() -> String {
    match std::thread::current().name() {
        Some(name) if name != "main" => format!(" {name} -- --exact"),
        _ => String::new(),
    }
}

/// What a variable of the environment says, if anything.
fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

/// Runs `scenario` with `count` seeds, each twice, and panics with the [`Found`] of the first that fails.
///
/// A run fails if it panics, if anything the reactor promises does not hold, if a client does not get what it
/// expects, or if it runs in another way the second time. With `SWITCHBOARD_SEED` set only that seed is run, with
/// `SWITCHBOARD_TAPE` only that tape: in every search of the test, so a test with one search is replayed most easily.
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
    if let Some(text) = given("SWITCHBOARD_TAPE") {
        return or_panic(replay(&text, scenario));
    }
    if let Some(text) = given("SWITCHBOARD_SEED") {
        let Ok(seed) = text.trim().parse() else {
            panic!("SWITCHBOARD_SEED is `{text}`, not a number from 0 to {}", u64::MAX)
        };
        return or_panic(try_each(std::iter::once(seed), scenario));
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
    try_each(seeds, scenario)
}

fn try_each(seeds: impl Iterator<Item = u64>, scenario: impl Fn(Sim)) -> Result<Explored, Found> {
    let mut explored = Explored { complete: true, ..Explored::default() };
    for seed in seeds {
        let first = attempt(Tape::seeded(seed), false, &scenario);
        explored.add(&first);
        if first.outcome.is_err() {
            return Err(found(&first, Some(seed), &scenario));
        }
        let second = attempt(Tape::seeded(seed), false, &scenario);
        if second.hash != first.hash || second.outcome.is_err() {
            return Err(undetermined(|| Tape::seeded(seed), Some(seed), &scenario));
        }
    }
    Ok(explored)
}

/// Runs `scenario` once, with the choices of `text`: the replay of a run that was printed.
///
/// Fails as that run did; or because `text` is no tape, or one of another scenario, with the place.
pub fn replay(text: &str, scenario: impl Fn(Sim)) -> Result<Explored, Found> {
    let mut explored = Explored { complete: true, ..Explored::default() };
    let tape = match Tape::replay(text) {
        Ok(tape) => tape,
        Err(error) => return Err(Found { what: error.to_string(), ..Found::default() }),
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
/// For small scenarios: with `n` choices between two ways there are 2^n. [`Explored::complete`] says whether those
/// were all. With `SWITCHBOARD_TAPE` set only that tape is run.
#[track_caller]
pub fn exhaust(runs_max: u64, scenario: impl Fn(Sim)) -> Explored {
    deviations(usize::MAX, runs_max, scenario)
}

/// Runs `scenario` with every tape on which at most `deviations` choices are not the ordinary way, at most
/// `runs_max` of them, and panics with the [`Found`] of the first that fails.
///
/// One deviation is every single fault at every place where it can happen, two are all pairs of them. A fault can
/// happen where it has a weight: how much does not matter here, so 1 will do, and [`Faults::swarm`] will not, as it
/// draws its weights as choices of their own. With `SWITCHBOARD_TAPE` set only that tape is run.
///
/// [`Faults::swarm`]: super::Faults::swarm
#[track_caller]
pub fn deviations(deviations: usize, runs_max: u64, scenario: impl Fn(Sim)) -> Explored {
    if let Some(text) = given("SWITCHBOARD_TAPE") {
        return or_panic(replay(&text, scenario));
    }
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
        // The quiet run is made twice: whoever keeps to no order mostly shows it there.
        let again = || Tape::values(run.values());
        let differs = || attempt(again(), false, &scenario).hash != run.hash;
        if run.tape.len() < planned || (explored.runs == 1 && differs()) {
            return Err(undetermined(again, None, &scenario));
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
            shrunk: false,
        }
    }
}

/// Runs `scenario` once.
pub(super) fn attempt(tape: Tape, record: bool, scenario: &impl Fn(Sim)) -> Attempt {
    let world = Rc::new(RefCell::new(World::new(tape)));
    if record {
        world.borrow_mut().trace.record();
    }
    let sim = Sim { world: Rc::clone(&world), listens: None };
    let result = catch(|| scenario(sim));
    let actors = world.borrow_mut().take_actors();
    // What programs do when they are dropped may panic too. The first panic is the one to tell of.
    let result = result.and(catch(|| drop(actors)));
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
    let values = shrink(run, scenario);
    let last = attempt(Tape::values(values), true, scenario);
    if last.outcome.is_err() {
        let text = last.tape.to_string();
        return Found { choices: run.tape.len(), shrunk: true, ..last.into_found(seed, text) };
    }
    let mut found = undetermined(|| Tape::values(run.values()), seed, scenario);
    if let Err(caught) = &run.outcome {
        found.what = format!("{caught}\n\nit does not fail each time: {}", found.what);
    }
    found
}

/// What there is to say of choices that do not make a run.
fn undetermined(again: impl Fn() -> Tape, seed: Option<u64>, scenario: &impl Fn(Sim)) -> Found {
    // Twice more, with lines, to show where they part.
    let one = attempt(again(), true, scenario);
    let mut other = attempt(again(), true, scenario);
    let parts = one.lines.iter().zip(&other.lines).position(|(one, other)| one != other);
    let at = parts.unwrap_or(one.lines.len().min(other.lines.len()));
    let show = |run: &Attempt| match (run.lines.get(at), &run.outcome) {
        (Some(line), _) => line.to_string(),
        (None, Ok(())) => "it comes to a good end".into(),
        (None, Err(caught)) => caught.what.lines().next().unwrap_or_default().into(),
    };
    let which = if seed.is_some() { "seed" } else { "tape" };
    let what = format!(
        "the same {which} ran in two ways: something in the handler or in a client is not determined by its input, \
         such as the order of a HashMap, a clock or a random number (use `Context::now` and `Sim::choices`)\n  \
         once:  {}\n  again: {}",
        show(&one),
        show(&other)
    );
    other.lines.truncate(at);
    Found { what, ..other.into_found(seed, String::new()) }
}
