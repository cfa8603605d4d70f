//! The output of a command that runs on the other side. Unencrypted, and for this machine only.
//!
//! ```text
//! export REMOTE_COMMAND_TOKEN=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
//! cargo run --release --example remote_command -- serve
//! cargo run --release --example remote_command -- call 127.0.0.1:7014 count 1000000
//! ```
//!
//! The "receive big data" programs of the tutorials: a client asks for a command's output, and the server answers with its
//! size first and then the bytes. While the command runs nobody knows how much it will say, so each block has its size
//! before it, in five digits, and what comes last is how it ended. Its output is a registered descriptor, and so is its end
//! (a pidfd): the loop waits for neither. A client that reads slowly is not sent more than it takes; its pipe is not read
//! meanwhile, and so the command waits, too.
//!
//! ```text
//! server:  00054!unencrypted: first line the token, second the command
//! client:  TOKEN\n count 3\n
//! server:  00007+1\n2\n3\n  00015=exit status: 0
//! ```
//!
//! What the tutorials leave out: anyone who can connect would run anything. Here nothing but what is in a list is run, and
//! no shell; the server listens on loopback only; the first line is a secret, compared in constant time, and there are few
//! tries; what a browser sends is not answered. Every command has a deadline, an end to its output, and no environment.

mod job;
mod login;
#[path = "../shared/two_sided.rs"]
mod shared;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use job::Job;
use login::{Answer, Gate};
use switchboard::codec::{AsciiLength, Lines};
use switchboard::{
    Close, CloseReason, Config, Conn, ConnId, Context, Handler, Peer, Reactor, Readiness, Ready, Result,
    Sent, Source, SourceId, TimerId,
};

/// How much of a command's output is sent. What follows is cut off, and the command killed.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// How much of it is read at a time.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// How many commands run at once.
const JOBS_MAX: usize = 8;
/// How long a client may take to say what it wants.
const LOGIN_MAX: Duration = Duration::from_secs(5);
/// For how long wrong tokens are counted. Its alarm has a key that no command gets.
const MINUTE: Duration = Duration::from_secs(60);
const FORGET: u64 = u64::MAX;

const GREETING: &[u8] = b"unencrypted: first line the token, second the command";
/// The longest line that makes sense.
const LINE_BYTES_MAX: usize = 256;

/// A command that runs.
struct Running {
    job: Job,
    client: ConnId,
    /// Its output, until that has ended.
    output: Option<SourceId>,
    /// What tells its end.
    end: SourceId,
    /// How it ended.
    status: Option<String>,
    /// Why it was killed, if it was.
    killed: Option<String>,
    sent: usize,
    deadline: Option<TimerId>,
}

struct Server {
    gate: Gate,
    jobs: BTreeMap<u64, Running>,
    started: u64,
    /// Room for a block: five digits, the kind, the bytes.
    block: Vec<u8>,
}

/// How far a client is.
enum Session {
    Token { wrong: u32 },
    Command,
    Waits(u64),
}

/// Sends a frame of one kind.
fn tell(cx: &mut Context, to: ConnId, kind: u8, text: &[u8]) {
    let mut frame = vec![kind];
    frame.extend(text);
    // All that is said here is short.
    let _ = AsciiLength::new().encode(&frame, &mut cx.out_to(to));
}

/// Says why not, and ends the connection.
fn refuse(cx: &mut Context, id: ConnId, why: &str) -> Result {
    tell(cx, id, b'!', why.as_bytes());
    Err(Close::msg(why.to_owned()))
}

impl Server {
    fn start(&mut self, cx: &mut Context, id: ConnId, line: &[u8]) -> Result<Session> {
        let (allowed, number) = match job::parse(line) {
            Ok(asked) => asked,
            Err(why) => return refuse(cx, id, &why).map(|()| Session::Command),
        };
        if self.jobs.len() >= JOBS_MAX {
            return refuse(cx, id, "too many commands at once").map(|()| Session::Command);
        }
        let (job, output, end) = match Job::start(allowed, number) {
            Ok(started) => started,
            Err(error) => {
                log::warn!("{} cannot be started: {error}", allowed.name);
                return refuse(cx, id, "it cannot be started").map(|()| Session::Command);
            }
        };
        self.started += 1;
        let key = self.started;
        let output = cx.register(Source::new(output).key(2 * key));
        let end = cx.register(Source::new(end).key(2 * key + 1));
        let deadline = cx.set_alarm(allowed.deadline, key)?;
        log::info!("connection {id}: {} {number:?}", allowed.name);
        let running = Running {
            job,
            client: id,
            output: Some(output),
            end,
            status: None,
            killed: None,
            sent: 0,
            deadline: Some(deadline),
        };
        self.jobs.insert(key, running);
        Ok(Session::Waits(key))
    }

    /// Passes a block of output on.
    fn output(&mut self, cx: &mut Context, key: u64, source: Ready<'_>) {
        let Some(running) = self.jobs.get_mut(&key) else { return cx.deregister(source.id) };
        let block = &mut self.block;
        let mut is_over = false;
        match source.read(&mut block[6..]) {
            Ok(0) => is_over = true,
            Ok(n) => {
                let n = n.min(OUTPUT_BYTES_MAX - running.sent);
                block[5] = b'+';
                let header = format!("{:05}", n + 1);
                block[..5].copy_from_slice(header.as_bytes());
                let sent = cx.send_to(running.client, &block[..6 + n]);
                running.sent += n;
                if running.sent == OUTPUT_BYTES_MAX {
                    running.killed = Some(format!("killed: more than {OUTPUT_BYTES_MAX} bytes"));
                    running.job.kill();
                    is_over = true;
                } else if sent == Sent::OverHigh {
                    // The pipe fills, and the command waits. `writable` tells when to go on.
                    cx.set_interest(source.id, Readiness::EMPTY);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                log::warn!("a command's output cannot be read: {error}");
                is_over = true;
            }
        }
        if is_over {
            running.output = None;
            cx.deregister(source.id);
            self.end_if_over(cx, key);
        }
    }

    /// A command has ended.
    fn ended(&mut self, cx: &mut Context, key: u64, source: Ready<'_>) {
        let Some(running) = self.jobs.get_mut(&key) else { return cx.deregister(source.id) };
        match running.job.ended() {
            Ok(None) => return,
            Ok(Some(status)) => running.status = Some(status.to_string()),
            Err(error) => running.status = Some(format!("its end is not known: {error}")),
        }
        cx.deregister(source.id);
        self.end_if_over(cx, key);
    }

    /// Kills a command. Its end is told by its descriptor.
    fn kill(&mut self, cx: &mut Context, key: u64, why: String) {
        let Some(running) = self.jobs.get_mut(&key) else { return };
        running.killed = Some(why);
        running.job.kill();
        // What has left its group may hold on to the pipe.
        if let Some(output) = running.output.take() {
            cx.deregister(output);
        }
        self.end_if_over(cx, key);
    }

    /// Says how it ended, once it has and all of its output is passed on.
    fn end_if_over(&mut self, cx: &mut Context, key: u64) {
        let is_over = |running: &Running| running.output.is_none() && running.status.is_some();
        if !self.jobs.get(&key).is_some_and(is_over) {
            return;
        }
        let Some(running) = self.jobs.remove(&key) else { return };
        if let Some(deadline) = running.deadline {
            cx.cancel(deadline);
        }
        let end = running.killed.or(running.status).unwrap_or_default();
        tell(cx, running.client, b'=', end.as_bytes());
        cx.close(running.client, Close::Flush);
    }
}

impl Handler for Server {
    type Codec = Lines;
    type Session = Session;

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, Session)> {
        // It is not prolonged by anything.
        cx.set_timer(cx.id(), LOGIN_MAX, 0).ok()?;
        tell(cx, cx.id(), b'!', GREETING);
        Some((Lines::new().frame_bytes_max(LINE_BYTES_MAX), Session::Token { wrong: 0 }))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: &[u8]) -> Result {
        match conn.session {
            Session::Token { wrong } => {
                let was_quiet = self.gate.is_quiet();
                let answer = self.gate.judge(line, *wrong);
                if was_quiet && !self.gate.is_quiet() {
                    cx.set_alarm(MINUTE, FORGET)?;
                }
                match answer {
                    Answer::Welcome => *conn.session = Session::Command,
                    Answer::Http => cx.close(conn.id, Close::Abort),
                    Answer::Wrong => {
                        *wrong += 1;
                        tell(cx, conn.id, b'!', b"wrong token");
                    }
                    Answer::Refused(why) => return refuse(cx, conn.id, why),
                }
            }
            Session::Command => *conn.session = self.start(cx, conn.id, line)?,
            Session::Waits(_) => return refuse(cx, conn.id, "one command for each connection"),
        }
        Ok(())
    }

    fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
        let key = source.key / 2;
        if source.key % 2 == 0 {
            self.output(cx, key, source);
        } else {
            self.ended(cx, key, source);
        }
    }

    fn register_failed(&mut self, cx: &mut Context, source: SourceId, error: &io::Error) {
        log::error!("{source:?}: {error}");
        let mut jobs = self.jobs.iter_mut();
        let Some((&key, running)) =
            jobs.find(|(_, running)| running.output == Some(source) || running.end == source)
        else {
            return;
        };
        if running.end == source {
            // Nothing will tell. The moment that it takes to be killed is waited for where it is dropped.
            running.status = Some("killed".into());
        }
        self.kill(cx, key, "killed: it cannot be waited for".into());
    }

    fn writable(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        if let Session::Waits(key) = conn.session {
            if let Some(output) = self.jobs.get(key).and_then(|running| running.output) {
                cx.set_interest(output, Readiness::READABLE);
            }
        }
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: u64) -> Result {
        match conn.session {
            Session::Token { .. } | Session::Command => refuse(cx, conn.id, "too slow"),
            Session::Waits(_) => Ok(()),
        }
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        if key == FORGET {
            self.gate.forget();
        } else {
            self.kill(cx, key, "killed: it took too long".into());
        }
    }

    // `nc -N` ends its side behind the command, and waits for the output.
    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        if !matches!(conn.session, Session::Waits(_)) {
            cx.close(conn.id, Close::Flush);
        }
        Ok(())
    }

    fn drained(&mut self, _: &mut Context, conn: Conn<'_, Self>) -> bool {
        !matches!(conn.session, Session::Waits(key) if self.jobs.contains_key(key))
    }

    fn closed(&mut self, cx: &mut Context, session: Session, _: &CloseReason) {
        if let Session::Waits(key) = session {
            self.kill(cx, key, "killed: nobody waits for it".into());
        }
    }
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    if !addr.ip().to_canonical().is_loopback() {
        let message = format!("{addr} can be reached from outside: it listens on a loopback address only");
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    let server = Server {
        gate: Gate::new(login::token()?),
        jobs: BTreeMap::new(),
        started: 0,
        block: vec![0; 6 + BLOCK_BYTES_MAX],
    };
    let mut config = Config::default();
    config.connections_max = Some(64);
    let mut reactor = Reactor::new(server, config)?;
    let listener = reactor.listen(addr)?;
    shared::run(&mut reactor, listener)?;
    let (clients, commands) = (reactor.stats().accepted, reactor.handler().started);
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stdout(), "served {clients} clients, {commands} commands");
    Ok(())
}

/// Asks for one command, and prints what comes.
struct Caller {
    request: String,
    greeted: bool,
    end: Option<String>,
    failure: Option<io::Error>,
}

impl Handler for Caller {
    type Codec = AsciiLength;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(AsciiLength, ())> {
        cx.send(self.request.as_bytes());
        Some((AsciiLength::new(), ()))
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, frame: &[u8]) -> Result {
        match frame.split_first() {
            // Who reads our output may be slow, and then so are we.
            Some((b'+', output)) => io::stdout().write_all(output)?,
            Some((b'=', end)) => self.end = Some(String::from_utf8_lossy(end).into_owned()),
            Some((b'!', _)) if !self.greeted => self.greeted = true,
            Some((b'!', why)) => {
                self.failure = Some(io::Error::other(String::from_utf8_lossy(why).into_owned()));
                // After a wrong token it would wait for another one.
                return Err(Close::Flush);
            }
            Some(_) | None => return Err(Close::msg("a block of no kind")),
        }
        Ok(())
    }

    fn closed(&mut self, _: &mut Context, (): (), why: &CloseReason) {
        if self.end.is_none() && self.failure.is_none() {
            self.failure = Some(shared::failure(why));
        }
    }

    fn connect_failed(&mut self, _: &mut Context, _: u64, why: &CloseReason) {
        self.failure = Some(shared::failure(why));
    }
}

fn call(addr: SocketAddr, words: &[String]) -> io::Result<()> {
    if words.is_empty() || words.iter().any(|word| word.contains('\n')) {
        return Err(shared::bad_words("which command?".into()));
    }
    let request = format!("{}\n{}\n", login::token()?, words.join(" "));
    let caller = Caller { request, greeted: false, end: None, failure: None };
    let mut config = Config::default();
    config.slow_callback = None;
    let mut reactor = Reactor::new(caller, config)?;
    reactor.with(|_, cx| cx.connect(addr, 0)).map_err(io::Error::other)?;
    reactor.run()?;
    let Caller { end, failure, .. } = reactor.into_handler();
    match (failure, end) {
        (Some(failure), _) => Err(failure),
        (None, Some(end)) if end == "exit status: 0" => Ok(()),
        (None, Some(end)) => Err(io::Error::other(format!("the command did not end well: {end}"))),
        (None, None) => Err(io::Error::other("the server said nothing of how it ended")),
    }
}

fn main() -> ExitCode {
    let about = shared::About {
        what: "The output of a command that runs on the other side, unencrypted, on this machine only.",
        default: ([127, 0, 0, 1], 7014).into(),
        words: "COMMAND [NUMBER]",
    };
    shared::main(about, serve, call)
}
