//! The long search: every scenario of the simulation, with new seeds, for as long as it is told to.
//!
//! It knows seeds and counts; what is run is in `tests/sim/scenarios`. A failure is shrunk and printed, with what
//! repeats it, and ends the search with an error.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use switchboard::sim::{Found, try_seeds};

use crate::scenarios::{self, Scenario};

/// How long, on what, from which seed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long the search lasts.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only this scenario.
    #[arg(long)]
    scenario: Option<String>,
    /// The first seed. By default one that nobody has seen.
    #[arg(long)]
    seed: Option<u64>,
    /// How many threads search, each with seeds of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,
}

/// What one scenario has come to so far.
#[derive(Default)]
struct Count {
    runs: AtomicU64,
    steps: AtomicU64,
    micros: AtomicU64,
}

struct Search {
    chosen: Vec<(&'static str, Scenario)>,
    counts: Vec<Count>,
    next_seed: AtomicU64,
    over: AtomicBool,
}

/// Searches, prints what was done, and answers with an error if something was found.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let chosen: Vec<_> = scenarios::all()
        .iter()
        .copied()
        .filter(|(name, _)| args.scenario.as_ref().is_none_or(|wanted| wanted == name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = scenarios::all().iter().map(|(name, _)| *name).collect();
        return Err(io::Error::other(format!("there is no such scenario; these are: {}", names.join(", "))));
    }
    let first = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    println!("searching {} scenarios for {} s, from seed {first}", chosen.len(), args.seconds);
    let counts = chosen.iter().map(|_| Count::default()).collect();
    let over = AtomicBool::new(false);
    let search = Arc::new(Search { chosen, counts, next_seed: AtomicU64::new(first), over });
    let interrupted = Arc::clone(&search);
    ctrlc::set_handler(move || interrupted.over.store(true, Ordering::Relaxed)).map_err(io::Error::other)?;
    let started = Instant::now();
    let until = started + Duration::from_secs(args.seconds);
    let threads: Vec<_> = (0..args.threads)
        .map(|_| {
            let search = Arc::clone(&search);
            thread::spawn(move || search.go(until))
        })
        .collect();
    let mut shown = Duration::ZERO;
    while threads.iter().any(|thread| !thread.is_finished()) {
        thread::park_timeout(Duration::from_millis(100));
        if started.elapsed() >= shown + Duration::from_secs(10) {
            shown = started.elapsed();
            println!("{:>5} s: {}", shown.as_secs(), search.total(first, shown));
            io::stdout().flush()?;
        }
    }
    let found: Vec<_> =
        threads.into_iter().filter_map(|thread| thread.join().expect("it does not panic")).collect();
    search.report();
    println!("in {:.1} s: {}", started.elapsed().as_secs_f64(), search.total(first, started.elapsed()));
    for (name, found) in &found {
        println!("\n{name}: {found}");
        println!(
            "  or: switchboard-bench search --scenario {name} --seed {} --seconds 1",
            found.seed.unwrap_or(0)
        );
    }
    if found.is_empty() { Ok(()) } else { Err(io::Error::other("the search has found something")) }
}

impl Search {
    /// Searches until it is time, or until something is found.
    fn go(&self, until: Instant) -> Option<(&'static str, Found)> {
        while Instant::now() < until && !self.over.load(Ordering::Relaxed) {
            let seed = self.next_seed.fetch_add(1, Ordering::Relaxed);
            for (&(name, scenario), count) in self.chosen.iter().zip(&self.counts) {
                let began = Instant::now();
                match try_seeds(seed..seed + 1, scenario) {
                    Ok(explored) => {
                        // Each seed is run twice, and must do the same.
                        count.runs.fetch_add(2 * explored.runs, Ordering::Relaxed);
                        count.steps.fetch_add(2 * explored.steps, Ordering::Relaxed);
                    }
                    Err(found) => {
                        self.over.store(true, Ordering::Relaxed);
                        return Some((name, found));
                    }
                }
                let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                count.micros.fetch_add(micros, Ordering::Relaxed);
            }
        }
        None
    }

    fn total(&self, first: u64, time: Duration) -> String {
        let sum = |of: fn(&Count) -> &AtomicU64| -> u64 {
            self.counts.iter().map(|count| of(count).load(Ordering::Relaxed)).sum()
        };
        let (runs, steps) = (sum(|count| &count.runs), sum(|count| &count.steps));
        let rate = per_second(steps, time);
        let last = self.next_seed.load(Ordering::Relaxed).saturating_sub(1);
        format!("{runs} runs, {steps} steps, {rate} a second, seeds {first} to {last}")
    }

    fn report(&self) {
        println!("{:<14} {:>12} {:>16} {:>14}", "scenario", "runs", "steps", "steps/s/core");
        for ((name, _), count) in self.chosen.iter().zip(&self.counts) {
            let (runs, steps) = (count.runs.load(Ordering::Relaxed), count.steps.load(Ordering::Relaxed));
            let time = Duration::from_micros(count.micros.load(Ordering::Relaxed));
            println!("{name:<14} {runs:>12} {steps:>16} {:>14}", per_second(steps, time));
        }
    }
}

fn per_second(steps: u64, time: Duration) -> u64 {
    steps.saturating_mul(1000) / u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
