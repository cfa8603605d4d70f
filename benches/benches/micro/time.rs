//! Times: the median of many samples, taken in turns.
//!
//! It knows a clock and the spread of what it says. A sample is as many runs as take ten milliseconds. The spread is
//! half the distance between the quartiles: half of all samples are within it.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use switchboard_micro::race::Run;

use super::{Race, as_f64, print};

const SAMPLE: Duration = Duration::from_millis(10);

/// Times everything and prints it as a table.
pub(crate) fn run(races: &[Race], samples: usize) -> io::Result<()> {
    println!("\n| what | who | nanoseconds | times ours | spread |\n|---|---|---|---|---|");
    for race in races {
        let mut lanes: Vec<Lane> =
            race.contenders.iter().map(|it| Lane::new((it.start)(race.items))).collect();
        for _ in 0..samples.max(1) {
            for lane in &mut lanes {
                lane.sample();
            }
        }
        let figures: Vec<_> = lanes.iter_mut().map(|lane| lane.figure(as_f64(race.items))).collect();
        print(race, &figures);
        io::stdout().flush()?;
    }
    Ok(())
}

/// One contender and what it took so far.
struct Lane {
    run: Run,
    /// How many runs are a sample.
    runs: u32,
    samples: Vec<f64>,
}

impl Lane {
    /// Warms it up, and finds out how often it is to run.
    fn new(mut run: Run) -> Lane {
        run();
        let mut runs = 1;
        loop {
            let took = time(&mut run, runs);
            if took >= SAMPLE || runs > 1 << 24 {
                return Lane { run, runs, samples: Vec::new() };
            }
            runs *= 2;
        }
    }

    fn sample(&mut self) {
        let took = time(&mut self.run, self.runs);
        self.samples.push(took.as_secs_f64() * 1e9 / f64::from(self.runs));
    }

    /// The median for one item, and the spread in per cent of it.
    fn figure(&mut self, items: f64) -> (f64, String) {
        self.samples.sort_by(f64::total_cmp);
        let at = |quarter: usize| self.samples[(self.samples.len() - 1) * quarter / 4];
        let spread = (at(3) - at(1)) / 2.0 / at(2) * 100.0;
        (at(2) / items, format!(" {spread:>4.1} % |"))
    }
}

fn time(run: &mut Run, runs: u32) -> Duration {
    let began = Instant::now();
    for _ in 0..runs {
        run();
    }
    began.elapsed()
}
