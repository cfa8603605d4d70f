//! The soak: the echo example under every kind of client at once, on real sockets, for minutes.
//!
//! The clients are one thread and one poll, which share no code with the reactor. Three times: warm-up, load,
//! and the time after it, in which the server must fall idle. `docs/testing.md` says what is asked of it.

mod client;
mod clients;
mod crowds;
mod mix;
mod server;
mod stream;
mod verdict;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::PATIENCE;
use clients::Clients;
use crowds::Crowds;
use mix::Kind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::{Sample, Server};
use verdict::Check;

/// How long, on what, and with which chance.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long the load lasts, warm-up included.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    seconds: u64,
    /// The seed of what clients set out to do. When what happens is the machine's affair.
    #[arg(long)]
    seed: Option<u64>,
    /// An echo server that is built already, called with `--listen ADDR:PORT`.
    #[arg(long)]
    server: Option<PathBuf>,
    /// How many descriptors the server may have.
    #[arg(long, default_value_t = 300, value_parser = descriptors)]
    descriptors: usize,
}

/// How often the kernel is asked about the server.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How long the server has to close what clients have left.
const SETTLE: Duration = Duration::from_secs(10);

/// How long it is left alone before it must be idle, and how long it must be.
const REST: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(5);

/// How long it has to end: it may drain for 30 s, but nothing is open.
const STOP: Duration = Duration::from_secs(35);

/// Runs the soak, prints what it found, and answers with an error if a criterion is not met.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let interrupts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&interrupts);
    ctrlc::set_handler(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    })
    .map_err(io::Error::other)?;
    raise_own_limit(args.descriptors)?;
    let program = match &args.server {
        Some(program) => program.clone(),
        None => server::build()?,
    };
    let server = Server::start(&program, args.descriptors)?;
    println!("soak of {} for {} s, seed {seed}", program.display(), args.seconds);
    let clients = Clients::new(server.addr, seed)?;
    let before = server.sample()?;
    let crowd_every = Duration::from_secs((args.seconds / 20).clamp(2, 30));
    let seconds = Duration::from_secs(args.seconds);
    let crowds = Crowds::new(args.descriptors, before.descriptors, crowd_every);
    let mut soak = Soak {
        server,
        clients,
        before,
        interrupts,
        seconds,
        // Both kinds of crowds come in it, however short it is.
        warm: (seconds / 10).max(2 * crowd_every),
        started: Instant::now(),
        samples: Vec::new(),
        crowds,
        next_line: Duration::ZERO,
    };
    let checks = soak.run()?;
    soak.print_what_was_done();
    for check in &checks {
        println!("{check}");
    }
    match checks.iter().filter(|check| !check.met).count() {
        0 => Ok(()),
        failed => {
            Err(io::Error::other(format!("{failed} of {} criteria not met, seed {seed}", checks.len())))
        }
    }
}

/// Fewer would be taken by those who stay; with many more it takes too long until a crowd has left.
fn descriptors(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 250..=1000) => Ok(n),
        Ok(n) => Err(format!("{n} is outside 250 to 1000")),
        Err(error) => Err(format!("{error}")),
    }
}

/// This side has a descriptor for each client, too.
fn raise_own_limit(server: usize) -> io::Result<()> {
    let wanted = (2 * server + crowds::BEYOND + 200) as u64;
    let own = getrlimit(Resource::Nofile);
    if own.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: own.maximum })
        .map_err(|error| io::Error::other(format!("the soak itself needs {wanted} descriptors: {error}")))
}

#[derive(Debug)]
struct Soak {
    server: Server,
    clients: Clients,
    before: Sample,
    interrupts: Arc<AtomicU32>,
    seconds: Duration,
    warm: Duration,
    started: Instant,
    samples: Vec<(Duration, Sample)>,
    crowds: Crowds,
    next_line: Duration,
}

impl Soak {
    fn run(&mut self) -> io::Result<Vec<Check>> {
        if let Err(error) = self.load() {
            // One that has ended cannot be asked; that it has is in the report.
            if self.server.ended()?.is_none() {
                return Err(error);
            }
        }
        let lasted = self.started.elapsed();
        self.wind_down()?;
        let mut checks = vec![Check {
            what: "the load lasted as long as it was to",
            met: lasted >= self.seconds,
            numbers: format!("{:.0} of {:.0} s", lasted.as_secs_f64(), self.seconds.as_secs_f64()),
        }];
        checks.extend(self.check_clients());
        checks.push(verdict::memory(&self.samples, self.warm, lasted));
        if let Some(status) = self.server.ended()? {
            checks.push(Check { what: "the server lives", met: false, numbers: status.to_string() });
            return Ok(checks);
        }
        checks.extend(self.check_rest()?);
        let stopped = self.server.stop(STOP)?;
        checks.push(Check {
            what: "SIGTERM ends the server with exit code 0",
            met: stopped.as_ref().is_some_and(|(status, _)| status.code() == Some(0)),
            numbers: stopped
                .map_or(format!("it runs after {STOP:?}"), |(status, line)| format!("{status}, {line}")),
        });
        Ok(checks)
    }

    /// Warm-up and load.
    fn load(&mut self) -> io::Result<()> {
        let mut next_sample = Duration::ZERO;
        loop {
            let now = Instant::now();
            let elapsed = now - self.started;
            let over = elapsed >= self.seconds || self.interrupts.load(Ordering::Relaxed) > 0;
            if elapsed >= next_sample || over {
                if self.server.ended()?.is_some() {
                    return Ok(());
                }
                next_sample = elapsed + SAMPLE_EVERY;
                let sample = self.server.sample()?;
                self.samples.push((elapsed, sample));
                self.show(elapsed, &sample);
            }
            if over {
                return Ok(());
            }
            let left = self.seconds.saturating_sub(elapsed);
            self.crowds.step(elapsed, left, &self.server, &mut self.clients)?;
            // One that stays until it is given up needs the time to be.
            let in_time = left > PATIENCE;
            let kinds = Kind::ALL.into_iter().filter(|&kind| in_time || kind != Kind::Stuck);
            self.clients.start_due(now, kinds)?;
            self.clients.turn()?;
        }
    }

    /// The end of the load: everyone finishes, and who does not has failed.
    fn wind_down(&mut self) -> io::Result<()> {
        // A server that has ended has no limit, of which there is a word later.
        let _ = self.crowds.end(&self.server);
        self.clients.wind_down();
        let deadline = Instant::now() + PATIENCE + SETTLE;
        while self.clients.open() > 0 && Instant::now() < deadline {
            if self.interrupts.load(Ordering::Relaxed) > 1 || self.server.ended()?.is_some() {
                break;
            }
            self.clients.turn()?;
        }
        self.clients.give_up();
        Ok(())
    }

    fn check_clients(&self) -> Vec<Check> {
        let (faults, crowds) = (&self.clients.faults, &self.crowds);
        vec![
            Check {
                what: "not one byte is wrong",
                met: faults.wrong_bytes == 0,
                numbers: format!(
                    "{} wrong, {} compared",
                    faults.wrong_bytes,
                    bytes(self.clients.sums().received)
                ),
            },
            Check {
                what: "every connection ends as it is to",
                met: faults.fates == 0,
                numbers: format!(
                    "{} do not, of {}",
                    faults.fates,
                    Kind::ALL.iter().map(|&kind| self.clients.of(kind).started).sum::<u64>()
                ),
            },
            Check {
                what: "crowds take all the descriptors there are",
                met: crowds.at_cap.full > 0 && crowds.at_limit.full > 0,
                numbers: format!(
                    "the cap reached by {} of {}, the lowered limit by {} of {}, at most {} clients waited",
                    crowds.at_cap.full,
                    crowds.at_cap.crowds,
                    crowds.at_limit.full,
                    crowds.at_limit.crowds,
                    crowds.waiting_most
                ),
            },
        ]
    }

    /// What is asked of the server when nobody asks anything of it.
    fn check_rest(&mut self) -> io::Result<Vec<Check>> {
        let left = Instant::now();
        while self.server.descriptors()? != self.before.descriptors && left.elapsed() < SETTLE {
            thread::sleep(Duration::from_millis(10));
        }
        let settled = left.elapsed();
        thread::sleep(REST);
        let early = self.server.sample()?;
        thread::sleep(IDLE);
        let late = self.server.sample()?;
        let (ticks, switches) = (late.ticks - early.ticks, late.switches.abs_diff(early.switches));
        Ok(vec![
            Check {
                what: "descriptors are as many as before",
                met: late.descriptors == self.before.descriptors,
                numbers: format!(
                    "{} before, {} after, settled within {:.2} s",
                    self.before.descriptors,
                    late.descriptors,
                    settled.as_secs_f64()
                ),
            },
            Check {
                what: "the idle server does nothing",
                met: ticks == 0 && switches == 0,
                numbers: format!("{ticks} ticks and {switches} wake-ups in {:.0} s", IDLE.as_secs_f64()),
            },
        ])
    }

    /// A line that says how it goes: over and over on a terminal, else a few times.
    fn show(&mut self, elapsed: Duration, sample: &Sample) {
        let mut stderr = io::stderr();
        let terminal = stderr.is_terminal();
        if !terminal && elapsed < self.next_line {
            return;
        }
        self.next_line += (self.seconds / 20).max(SAMPLE_EVERY);
        let faults = self.clients.faults.wrong_bytes + self.clients.faults.fates;
        let line = format!(
            "{:>4} of {} s, {}: {} clients, {} descriptors, {} KiB resident, {:.1} s of processor, {}, {faults} faults",
            elapsed.as_secs(),
            self.seconds.as_secs(),
            if elapsed < self.warm { "warm-up" } else { "load" },
            self.clients.open(),
            sample.descriptors,
            sample.resident_kib,
            Duration::from_millis(10 * sample.ticks).as_secs_f64(),
            bytes(self.clients.sums().received),
        );
        // Nobody may be there to read it.
        let _ = if terminal { write!(stderr, "\r\x1b[K{line}") } else { writeln!(stderr, "{line}") };
    }

    fn print_what_was_done(&self) {
        if io::stderr().is_terminal() {
            eprintln!();
        }
        println!(
            "\n{:<14} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "clients", "started", "served", "left", "given up", "failed"
        );
        for kind in Kind::ALL {
            let of = self.clients.of(kind);
            println!(
                "{:<14} {:>9} {:>9} {:>9} {:>9} {:>9}",
                kind.name(),
                of.started,
                of.served,
                of.left,
                of.cut,
                of.failed
            );
        }
        let sums = self.clients.sums();
        println!(
            "\n{} exchanges, {} sent, {} compared, {} resets, {} urgent bytes; first byte after {:.3} s at most",
            sums.exchanges,
            bytes(sums.sent),
            bytes(sums.received),
            sums.resets,
            sums.urgent,
            sums.first_byte.as_secs_f64()
        );
        let log = self.server.log();
        println!("the server logged {} lines", log.lines);
        for line in &log.last {
            println!("  server: {line}");
        }
        for fault in &self.clients.faults.shown {
            println!("  fault: {fault}");
        }
        println!();
    }
}

/// A number of bytes for people.
fn bytes(n: u64) -> String {
    match n {
        0..1_048_576 => format!("{n} bytes"),
        1_048_576..10_737_418_240 => format!("{} MiB", n >> 20),
        10_737_418_240.. => format!("{} GiB", n >> 30),
    }
}
