//! One reactor for each core, with nothing shared: an echo that uses the whole machine.
//!
//! ```text
//! cargo run --release --example shards
//! cargo run --release --example shards -- --reactors 4
//! nc 127.0.0.1 7006
//! ```
//!
//! Each reactor runs on a thread of its own and listens on the same port (`SO_REUSEPORT`). The kernel gives every new
//! connection to one of them, by a hash of the addresses of both ends; from then on it is that one's, and no lock is
//! taken. One reactor more, on the first thread, catches the signals of the process and passes them on by a handle for each,
//! so that all are drained together.
//!
//! What `SO_REUSEPORT` does not promise: that all get the same number of connections, above all when there are few of them;
//! that one that is busy gets fewer; that connections that wait to be accepted survive when their listener closes, which is
//! why each one here accepts what waits before it does; or that nobody else takes a share, if it runs as the same user.
//! Ctrl-C and SIGTERM finish what is open. A second one does not wait.

mod shared;

use std::io::{self, Write};
use std::mem;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use rustix::process::{Resource, getrlimit};
use switchboard::codec::Raw;
use switchboard::signals::{SIGINT, SIGTERM, Signals};
use switchboard::{Config, Conn, Context, Handle, Handler, Listen, Peer, Reactor, Ready, Result, Stop};

/// More reactors than this are a mistake.
const REACTORS_MAX: usize = 1024;

struct Echo;

impl Handler for Echo {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, bytes: &[u8]) -> Result {
        cx.send(bytes);
        Ok(())
    }
}

/// Passes signals on, until all that it knows have ended.
struct Front {
    signals: Signals,
    shards: Vec<Handle<Echo>>,
    open: usize,
    stop: Stop,
}

impl Handler for Front {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn ready(&mut self, _: &mut Context, source: Ready<'_>) {
        for _ in self.signals.take(source) {
            // The first signal lets what is open finish, a second one does not wait for that.
            let stop = mem::replace(&mut self.stop, Stop::Now);
            for shard in &self.shards {
                shard.stop(stop);
            }
        }
    }
}

/// Tells the first thread that one has ended, however it came to that.
struct Over(Handle<Front>);

impl Drop for Over {
    fn drop(&mut self) {
        let over = self.0.post(|front, cx| {
            front.open -= 1;
            if front.open == 0 {
                cx.stop(Stop::Now);
            }
        });
        if let Err(error) = over {
            log::error!("nobody hears that a reactor has ended: {error}");
        }
    }
}

/// A reactor that runs on a thread of its own, and ends with how many it served.
struct Shard {
    handle: Handle<Echo>,
    addr: SocketAddr,
    thread: JoinHandle<io::Result<u64>>,
}

impl Shard {
    /// Starts one, and waits until it listens.
    fn start(addr: SocketAddr, config: Config, front: Handle<Front>) -> io::Result<Shard> {
        let (tell, told) = mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            let _over = Over(front);
            Shard::run(addr, config, &tell)
        });
        match told.recv() {
            Ok((handle, addr)) => Ok(Shard { handle, addr, thread }),
            // It ended before it could say anything, and its end says why.
            Err(_) => Err(join(thread).err().unwrap_or_else(|| io::Error::other("a reactor did not start"))),
        }
    }

    // The reactor never leaves the thread it was made on, so that nothing in it need be `Send`.
    fn run(
        addr: SocketAddr,
        config: Config,
        tell: &SyncSender<(Handle<Echo>, SocketAddr)>,
    ) -> io::Result<u64> {
        let mut reactor = Reactor::new(Echo, config)?;
        let listener = reactor.listen(Listen::new(addr).reuse_port(true))?;
        let addr = reactor.local_addr(listener)?.socket_addr().unwrap_or(addr);
        tell.send((reactor.handle(), addr)).map_err(io::Error::other)?;
        reactor.run()?;
        Ok(reactor.stats().accepted)
    }
}

fn join(thread: JoinHandle<io::Result<u64>>) -> io::Result<u64> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a reactor panicked")))
}

fn main() -> ExitCode {
    let options = [("reactors", "COUNT", "auto")];
    shared::main("Sends every byte back, on all cores.", ([127, 0, 0, 1], 7006), options, serve)
}

fn serve(addr: SocketAddr, [count]: [String; 1]) -> io::Result<()> {
    let count = match count.as_str() {
        "auto" => thread::available_parallelism()?.get(),
        number => {
            number.parse().ok().filter(|count| (1..=REACTORS_MAX).contains(count)).ok_or_else(|| {
                let message = format!("--reactors {number:?} is neither auto nor 1 to {REACTORS_MAX}");
                io::Error::new(io::ErrorKind::InvalidInput, message)
            })?
        }
    };
    // The process has one limit of descriptors and one memory: each takes its part, and leaves some for the rest.
    let mut config = Config::default();
    let descriptors = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    config.connections_max = descriptors.map(|descriptors| (descriptors / count * 15 / 16).max(1));
    config.memory_bytes_max = (config.memory_bytes_max / count).max(2 * config.queued_bytes_max);

    // With port 0 the first one learns which port it is, and the others join it there.
    let (signals, source) = Signals::new([SIGINT, SIGTERM])?;
    let front = Front { signals, shards: Vec::new(), open: count, stop: Stop::Drain };
    let mut front = Reactor::new(front, Config::default())?;
    front.register(source)?;
    let mut shards = vec![Shard::start(addr, config.clone(), front.handle())?];
    let addr = shards[0].addr;
    for _ in 1..count {
        shards.push(Shard::start(addr, config.clone(), front.handle())?);
    }

    front.with(|front, _| front.shards = shards.iter().map(|shard| shard.handle.clone()).collect());

    shared::announce(addr, "")?;
    front.run()?;
    let mut served = Vec::new();
    for shard in shards {
        drop(shard.handle);
        served.push(join(shard.thread)?);
    }
    // Nobody may be there to read it any more.
    let _ =
        writeln!(io::stdout(), "served {} connections, by reactor {served:?}", served.iter().sum::<u64>());
    Ok(())
}
