//! Work that takes long, on threads of its own: the loop never waits for it.
//!
//! ```text
//! cargo run --release --example offload
//! nc 127.0.0.1 7004                     (and type a number, such as 100000000)
//! ```
//!
//! Each line is a number; the answer is how many primes there are below it, which takes a second for a hundred millions.
//! A few threads do that. What they find comes back through the reactor's handle, to a connection that may be gone by
//! then: its id is stale, and the answer goes nowhere. As many requests wait as there is room for, and the next is told
//! so at once. A client that ends its side still gets its answers, and so it does when Ctrl-C or SIGTERM ends the server.

mod shared;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use switchboard::codec::Lines;
use switchboard::{
    Close, CloseReason, Config, Conn, ConnId, Context, Handle, Handler, Peer, Reactor, Result, signals,
};

/// How many threads work.
const WORKERS: usize = 2;
/// How many requests wait for one of them.
const WAITING_MAX: usize = 64;
/// Larger numbers are refused: every request has an end.
const NUMBER_MAX: usize = 1_000_000_000;

/// A request on its way to a worker.
struct Job {
    from: ConnId,
    below: usize,
}

struct Offload {
    jobs: SyncSender<Job>,
    /// Those that are open. Answers come from outside of any connection, where no session is at hand, so that what is
    /// kept for each is kept here.
    clients: BTreeMap<ConnId, Client>,
    answered: u64,
    too_late: u64,
}

/// What is kept for one connection.
#[derive(Default)]
struct Client {
    /// Requests without an answer.
    open: usize,
    /// Whether it has ended its side.
    ended: bool,
}

impl Offload {
    /// A worker is done.
    fn answer(&mut self, cx: &mut Context, job: &Job, primes: usize) {
        // Gone, or gone and its slot somebody else's: the id tells.
        let Some(client) = self.clients.get_mut(&job.from) else {
            self.too_late += 1;
            return;
        };
        self.answered += 1;
        client.open -= 1;
        writeln!(cx.out_to(job.from), "{primes} primes below {}", job.below);
        if client.open == 0 && client.ended {
            cx.close(job.from, Close::Flush);
        }
    }
}

impl Handler for Offload {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        self.clients.insert(cx.id(), Client::default());
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: &[u8]) -> Result {
        let number = std::str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok());
        let Some(below) = number.filter(|&number| number <= NUMBER_MAX) else {
            writeln!(cx.out(), "? a number up to {NUMBER_MAX}");
            return Ok(());
        };
        // `send` would wait for a worker, and everyone with it.
        match self.jobs.try_send(Job { from: conn.id, below }) {
            Ok(()) => self.clients.entry(conn.id).or_default().open += 1,
            Err(TrySendError::Full(_)) => {
                writeln!(cx.out(), "? {WAITING_MAX} requests wait already, try again later");
            }
            Err(TrySendError::Disconnected(_)) => return Err(Close::msg("the workers are gone")),
        }
        Ok(())
    }

    // By default it would close, with answers still to come.
    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        let client = self.clients.entry(conn.id).or_default();
        client.ended = true;
        if client.open == 0 {
            cx.close(conn.id, Close::Flush);
        }
        Ok(())
    }

    fn drained(&mut self, _: &mut Context, conn: Conn<'_, Self>) -> bool {
        self.clients.get(&conn.id).is_none_or(|client| client.open == 0)
    }

    fn closed(&mut self, cx: &mut Context, (): (), _: &CloseReason) {
        self.clients.remove(&cx.id());
    }
}

/// Does one job after the other until the reactor is gone, which the channel tells.
fn work(jobs: &Mutex<Receiver<Job>>, handle: &Handle<Offload>) {
    loop {
        // Whoever waits for a job waits with the lock, the others for that.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let primes = primes_below(job.below);
        // There is room: the handle takes 1,024 at a time, and there are never that many jobs.
        if handle.post(move |offload, cx| offload.answer(cx, &job, primes)).is_err() {
            return;
        }
    }
}

/// How many primes there are below `limit`, by the sieve of Eratosthenes over the odd numbers, a part at a time.
fn primes_below(limit: usize) -> usize {
    const PART: usize = 1 << 18;
    if limit <= 2 {
        return 0;
    }
    let root = (limit - 1).isqrt();
    let mut is_prime = vec![true; root + 1];
    let mut small = Vec::new();
    for n in 2..=root {
        if is_prime[n] {
            small.push(n);
            (n * n..=root).step_by(n).for_each(|multiple| is_prime[multiple] = false);
        }
    }
    let mut count = 1; // 2, the even one
    let mut part = vec![true; PART / 2];
    for low in (0..limit).step_by(PART) {
        let high = limit.min(low + PART);
        part.fill(true);
        // `part[i]` is the number `low + 2 * i + 1`.
        for &n in &small[1.min(small.len())..] {
            let first = (n * n).max(low.div_ceil(n) * n);
            let first = if first % 2 == 0 { first + n } else { first };
            (first..high).step_by(2 * n).for_each(|multiple| part[(multiple - low) / 2] = false);
        }
        count += part[..(high - low) / 2].iter().filter(|&&is_prime| is_prime).count();
        if low == 0 {
            count -= 1; // 1 is none
        }
    }
    count
}

fn main() -> ExitCode {
    shared::main("Counts primes on threads of its own.", ([127, 0, 0, 1], 7004), [], |addr, []| serve(addr))
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let (jobs, inbox) = mpsc::sync_channel(WAITING_MAX);
    let offload = Offload { jobs, clients: BTreeMap::new(), answered: 0, too_late: 0 };
    let mut reactor = Reactor::new(offload, Config::default())?;
    let listener = reactor.listen(addr)?;

    let inbox = Arc::new(Mutex::new(inbox));
    for _ in 0..WORKERS {
        let (inbox, handle) = (Arc::clone(&inbox), reactor.handle());
        thread::spawn(move || work(&inbox, &handle));
    }

    // The first signal lets what is open finish, a second one does not wait for that.
    signals::drain(&mut reactor)?;

    shared::announce(reactor.local_addr(listener)?, "")?;
    reactor.run()?;

    let (clients, Offload { answered, too_late, .. }) = (reactor.stats().accepted, reactor.handler());
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {clients} clients, {answered} answers, {too_late} too late");
    Ok(())
}
