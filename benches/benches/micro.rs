//! Micro-benchmarks: the parts of the library one by one, each beside the naive way to do the same.
//!
//! ```console
//! $ cargo bench -p switchboard-bench                       counts (valgrind must be installed), then times
//! $ cargo bench -p switchboard-bench -- count timers       only counts, and only of what has this in its name
//! $ cargo test -p switchboard-bench --bench micro          everything once, on little, whether it works at all
//! ```
//!
//! It knows how to measure; what is measured is in `micro/`. Counts come first: they are the same on a busy machine.
//! Times are taken in turns, a sample of each contender after the other, so that whatever the machine does meanwhile
//! happens to all of them.

#[path = "micro/count.rs"]
mod count;
#[path = "micro/time.rs"]
mod time;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use switchboard_micro::race::{Race, as_f64};
use switchboard_micro::races;

/// Measures the parts of the library, each beside the naive way to do the same.
#[derive(Debug, Parser)]
struct Args {
    /// What to do; counts and then times if nothing is said.
    #[arg(value_enum)]
    what: Option<What>,
    /// Only what has this in its name.
    filter: Option<String>,
    /// How many samples of each are timed.
    #[arg(long, default_value_t = 31)]
    samples: usize,
    /// Said by `cargo bench`; without it, and with nothing else said, everything runs once.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum What {
    /// Count instructions.
    Count,
    /// Take the time.
    Time,
    /// Run what is counted: how `count` calls this program under valgrind.
    #[value(hide = true)]
    Counted,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let wanted = args.filter.unwrap_or_default();
    let races: Vec<Race> = races().into_iter().filter(|race| race.what.contains(&wanted)).collect();
    let result = match args.what {
        Some(What::Count) => count::run(&races, &wanted),
        Some(What::Time) => time::run(&races, args.samples),
        Some(What::Counted) => {
            count::run_counted(&races);
            Ok(())
        }
        None if args.bench => count::run(&races, &wanted).and_then(|()| time::run(&races, args.samples)),
        None => {
            try_once(&races);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("micro: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything twice on few items: whether it works at all, also the second time.
fn try_once(races: &[Race]) {
    for race in races {
        for contender in &race.contenders {
            let mut run = (contender.start)(race.items.min(100));
            run();
            run();
        }
    }
}

/// Prints one race as rows of a table: each figure, and how many times ours it is.
fn print(race: &Race, figures: &[(f64, String)]) {
    let ours = figures.first().map_or(f64::NAN, |(figure, _)| *figure);
    for (i, (contender, (figure, more))) in race.contenders.iter().zip(figures).enumerate() {
        let what = if i == 0 { format!("{}, per {}", race.what, race.item) } else { String::new() };
        let times = if i == 0 { String::new() } else { format!("{:.1}", figure / ours) };
        println!("| {what:<72} | {:<34} | {figure:>9.1} | {times:>6} |{more}", contender.name);
    }
}
