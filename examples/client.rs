//! Talks to any server from the terminal: lines in, lines out, as `nc` does.
//!
//! ```text
//! cargo run --release --example client -- localhost 7002
//! cargo run --release --example client -- 127.0.0.1:7000 < README.md
//! ```
//!
//! The server is a name or an address and a port. A name is looked up, and its addresses are tried in turn.
//!
//! What is typed is sent a line at a time, what comes back is printed as it comes. At the end of the input (Ctrl-D) the
//! client ends its side, and goes on printing until the server has ended, too. A server that ends first ends the client,
//! unless there is input that it may still take: then that is sent to the end. The input is read by a thread, which hands
//! it over through the reactor's handle: a file is always readable and a terminal is shared with the shell, so that neither
//! belongs into a poll, and making the terminal non-blocking would break the shell after us. A server that reads more slowly
//! than the file is read slows the thread down. Exit codes: 0 after an orderly end, 1 after any other, 2 for arguments it
//! does not know.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use switchboard::codec::Raw;
use switchboard::{
    Bytes, Close, CloseReason, Config, Conn, ConnId, Connect, Context, Handle, Handler, Peer, Reactor,
    Result, Sent, Stop,
};

/// Input that was read and not sent yet: no more than this is read ahead.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// Where the thread waits while the server takes nothing.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = shut;
        self.opened.notify_all();
    }

    /// Whether something was read that is not on its way yet.
    fn is_shut(&self) -> bool {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self) {
        let shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.opened.wait_while(shut, |shut| *shut).unwrap_or_else(PoisonError::into_inner));
    }
}

struct Client {
    server: ConnId,
    gate: Arc<Gate>,
    /// All of the input was sent.
    ended: bool,
    failure: Option<String>,
}

impl Client {
    /// Some input, or its end.
    fn input(&mut self, cx: &mut Context, input: Option<Bytes>) {
        let Some(bytes) = input else {
            self.ended = true;
            return cx.finish(self.server);
        };
        if cx.send_bytes_to(self.server, bytes) != Sent::OverHigh {
            self.gate.set(false);
        }
    }
}

impl Handler for Client {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        Some((Raw::new(), ()))
    }

    // Whoever reads our output may be slow, and then so are we: there is nobody else to be served meanwhile.
    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, bytes: &[u8]) -> Result {
        let mut stdout = io::stdout();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        written.map_err(|error| Close::msg(format!("the output takes no more: {error}")))
    }

    fn writable(&mut self, _: &mut Context, _: Conn<'_, Self>) -> Result {
        self.gate.set(false);
        Ok(())
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        // What is typed from now on could reach nobody who answers. But the end of one side is not that of the other: it
        // may read the rest of a file.
        if self.ended || !self.gate.is_shut() && !has_input() {
            cx.close(conn.id, Close::Flush);
        }
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        if !why.is_orderly() {
            self.failure = Some(why.to_string());
        }
        cx.stop(Stop::Now);
    }

    fn connect_failed(&mut self, cx: &mut Context, _: u64, why: &CloseReason) {
        self.failure = Some(why.to_string());
        cx.stop(Stop::Now);
    }
}

/// Whether input, or its end, is there to be read now.
fn has_input() -> bool {
    let stdin = io::stdin();
    poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Reads the input a piece at a time and hands it to the loop.
fn read_input(handle: &Handle<Client>, gate: &Gate) {
    let mut stdin = io::stdin().lock();
    loop {
        let input = match next_piece(&mut stdin) {
            Ok(bytes) => Some(Bytes::from(bytes)).filter(|bytes| !bytes.is_empty()),
            Err(error) => {
                let failure = format!("the input cannot be read: {error}");
                // Refused, the loop has ended, and nobody asks any more.
                let _ = handle.post(move |client, _| client.failure = Some(failure));
                None
            }
        };
        let ended = input.is_none();
        gate.set(true);
        // Refused, the loop has ended.
        if handle.post(move |client, cx| client.input(cx, input)).is_err() || ended {
            return;
        }
        gate.pass();
    }
}

/// What can be read without waiting again, once there is anything: a line of a terminal, much of a file. Nothing at
/// the end.
fn next_piece(stdin: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let bytes = loop {
        match stdin.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    let bytes = bytes[..bytes.len().min(AHEAD_BYTES_MAX)].to_vec();
    stdin.consume(bytes.len());
    Ok(bytes)
}

fn main() -> ExitCode {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let args: Vec<_> = env::args_os().skip(1).collect();
    let connect = match &args[..] {
        [arg] if arg == "--help" || arg == "-h" => {
            // Nobody may be there to read it, which is no reason to panic.
            let _ = writeln!(io::stdout(), "Talks to a server from the terminal.\n\nusage: client HOST PORT");
            return ExitCode::SUCCESS;
        }
        [server] => server.to_str().and_then(|server| server.parse().ok()),
        [host, port] => named(host, port),
        _ => None,
    };
    let Some(connect) = connect else {
        eprintln!("client: expected a server, such as client localhost 7000 or client 127.0.0.1:7000");
        return ExitCode::from(2);
    };
    match talk(connect) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let server: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
            eprintln!("client: {}: {error}", server.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn named(host: &OsStr, port: &OsStr) -> Option<Connect> {
    Connect::name(host.to_str()?, port.to_str()?.parse().ok()?).ok()
}

fn talk(connect: Connect) -> io::Result<()> {
    let gate = Arc::new(Gate::default());
    let client = Client { server: ConnId::NONE, gate: Arc::clone(&gate), ended: false, failure: None };
    let mut config = Config::default();
    // The terminal, or whoever reads our output, takes as long as it takes.
    config.slow_callback = None;
    let mut reactor = Reactor::new(client, config)?;
    // Good at once: what is typed meanwhile waits in its queue.
    let server = reactor.connect(connect, 0).map_err(io::Error::other)?;
    reactor.with(|client, _| client.server = server);
    let handle = reactor.handle();
    thread::spawn(move || read_input(&handle, &gate));
    reactor.run()?;
    // The thread may still wait for input. It ends with the process.
    reactor.into_handler().failure.map_or(Ok(()), |why| Err(io::Error::other(why)))
}
