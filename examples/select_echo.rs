//! The echo server of the `select` tutorials, on `switchboard::select`: for people who know that program.
//!
//! ```text
//! cargo run --release --example select_echo
//! cargo run --release --example select_echo -- --listen 0.0.0.0:7001
//! ```
//!
//! Talk to it with `nc 127.0.0.1 7001`; Ctrl-C or SIGTERM ends it. Every part of the original is here:
//!
//! | in Python | here |
//! |---|---|
//! | `server` | `Source::Server` |
//! | `inputs` | sources with `Interest::READABLE` |
//! | `outputs` | sources with `Interest::WRITABLE` |
//! | `message_queues` | `Echo::message_queues` |
//! | `select.select(inputs, outputs, inputs)` | `Selector::select` |
//!
//! Who is in `inputs` and `outputs` follows from the client's message queue, in `MessageQueue::interest`, so the
//! sets and the queues cannot disagree. With that the two faults of the original are gone: it drops what is queued
//! when a client ends its side, and it turns once for nothing after each reply, because it takes a client out of
//! `outputs` only when that is writable once more. And here no queue grows without limit.
//!
//! What it does not have is timeouts: a client that neither reads nor leaves stays.

#[cfg(unix)]
mod shared;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    let about = "Sends every byte back to whoever sent it, by select(readable, writable, exceptional).";
    shared::main(about, ([127, 0, 0, 1], 7001), [], |addr, []| unix::serve(addr))
}

#[cfg(not(unix))]
fn main() {
    eprintln!("select_echo: the select facade is for Unix");
}

#[cfg(unix)]
mod unix {
    use std::collections::{HashMap, VecDeque};
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use rustix::net::RecvFlags;
    use signal_hook::consts::{SIGINT, SIGTERM};
    use switchboard::select::{Interest, Ready, Selector, SourceId};

    /// A queue this long takes its client out of `inputs` ..
    const QUEUED_BYTES_HIGH: usize = 64 * 1024;
    /// .. until it is this short again.
    const QUEUED_BYTES_LOW: usize = 16 * 1024;
    /// How much one client may send in one turn.
    const RECV_BYTES_MAX: usize = 16 * 1024;
    /// How many connections one turn accepts.
    const ACCEPTS_MAX: usize = 16;
    /// How long to leave the server alone when it cannot accept and no client leaves.
    const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

    pub(crate) fn serve(address: SocketAddr) -> io::Result<()> {
        let server = TcpListener::bind(address)?;
        let address = server.local_addr()?;

        // The self-pipe: a signal handler that writes one byte to something that is in `inputs`.
        let (quit, at_signal) = UnixStream::pair()?;
        at_signal.set_nonblocking(true)?;
        for signal in [SIGINT, SIGTERM] {
            signal_hook::low_level::pipe::register(signal, at_signal.try_clone()?)?;
        }

        let mut echo = Echo::new(server, quit)?;
        crate::shared::announce(address, "")?;
        echo.run()?;
        let Echo { accepted, echoed_bytes, turns, .. } = echo;
        // Nobody may be there to read it any more.
        let _ =
            writeln!(io::stdout(), "served {accepted} clients, echoed {echoed_bytes} bytes in {turns} turns");
        Ok(())
    }

    /// What can be in the three sets.
    enum Source {
        Server(TcpListener),
        Client(TcpStream),
        Quit(UnixStream),
    }

    impl AsFd for Source {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match self {
                Source::Server(server) => server.as_fd(),
                Source::Client(client) => client.as_fd(),
                Source::Quit(quit) => quit.as_fd(),
            }
        }
    }

    /// What a client sent and has not got back.
    struct MessageQueue {
        bytes: VecDeque<u8>,
        input: Input,
    }

    enum Input {
        Open,
        /// Out of `inputs` until the queue is short again.
        Paused,
        /// The client will send no more. It still gets what is queued.
        Ended,
    }

    impl MessageQueue {
        fn interest(&self) -> Interest {
            let inputs = match self.input {
                Input::Open => Interest::READABLE | Interest::EXCEPTIONAL,
                Input::Paused | Input::Ended => Interest::EXCEPTIONAL,
            };
            // `outputs` has those with something to send, and no other: most sockets are writable all the time.
            if self.bytes.is_empty() { inputs } else { inputs | Interest::WRITABLE }
        }

        fn is_finished(&self) -> bool {
            matches!(self.input, Input::Ended) && self.bytes.is_empty()
        }
    }

    struct Echo {
        selector: Selector<Source>,
        server: SourceId,
        /// Until when the server is out of `inputs`, because it could not accept.
        server_paused_until: Option<Instant>,
        message_queues: HashMap<SourceId, MessageQueue>,
        accepted: u64,
        echoed_bytes: u64,
        turns: u64,
    }

    impl Echo {
        fn new(server: TcpListener, quit: UnixStream) -> io::Result<Echo> {
            server.set_nonblocking(true)?;
            let mut selector = Selector::new()?;
            selector.insert(Source::Quit(quit), Interest::READABLE)?;
            let server = selector.insert(Source::Server(server), Interest::READABLE)?;
            Ok(Echo {
                selector,
                server,
                server_paused_until: None,
                message_queues: HashMap::new(),
                accepted: 0,
                echoed_bytes: 0,
                turns: 0,
            })
        }

        fn run(&mut self) -> io::Result<()> {
            loop {
                let now = Instant::now();
                if self.server_paused_until.is_some_and(|until| until <= now) {
                    self.resume_accepting();
                }
                let timeout = self.server_paused_until.map(|until| until - now);
                let Ready { readable, writable, exceptional } = self.selector.select(timeout)?;
                self.turns += 1;

                // An id whose client is gone by the time we come to it is stale: it finds nothing, and never the
                // client who has the descriptor's number now.
                for id in exceptional {
                    self.drop_urgent(id);
                }
                for id in readable {
                    match self.selector.get(id) {
                        Some(Source::Server(_)) => self.accept(),
                        Some(Source::Client(_)) => self.serve(id, Echo::recv),
                        Some(Source::Quit(_)) => return Ok(()),
                        None => {}
                    }
                }
                for id in writable {
                    self.serve(id, Echo::send);
                }
            }
        }

        fn accept(&mut self) {
            for _ in 0..ACCEPTS_MAX {
                let Some(Source::Server(server)) = self.selector.get(self.server) else {
                    return;
                };
                let client = match server.accept() {
                    Ok((client, _)) => client,
                    Err(error) => match error.kind() {
                        ErrorKind::WouldBlock => return,
                        // That client has given up. The next one may not have.
                        ErrorKind::ConnectionAborted | ErrorKind::Interrupted => continue,
                        // Out of descriptors, most likely. The client waits in the backlog and the server stays
                        // readable, so that going on would turn for nothing.
                        _ => return self.pause_accepting(&error),
                    },
                };
                if let Err(error) = self.welcome(client) {
                    return self.pause_accepting(&error);
                }
            }
        }

        fn welcome(&mut self, client: TcpStream) -> io::Result<()> {
            client.set_nonblocking(true)?;
            let queue = MessageQueue { bytes: VecDeque::new(), input: Input::Open };
            let interest = queue.interest();
            let id = self.selector.insert(Source::Client(client), interest)?;
            self.message_queues.insert(id, queue);
            self.accepted += 1;
            Ok(())
        }

        /// Lets `how` move bytes of one client, and puts the client into the sets that follow from it.
        fn serve(&mut self, id: SourceId, how: fn(&mut Echo, SourceId) -> io::Result<()>) {
            match how(self, id) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                // A client that broke off. The others do not hear of it.
                Err(_) => return self.close(id),
            }
            match self.message_queues.get(&id) {
                Some(queue) if queue.is_finished() => self.close(id),
                Some(queue) => drop(self.selector.set_interest(id, queue.interest())),
                None => {}
            }
        }

        fn recv(&mut self, id: SourceId) -> io::Result<()> {
            let (Some(mut client), Some(queue)) =
                (client(&self.selector, id), self.message_queues.get_mut(&id))
            else {
                return Ok(());
            };
            let mut buffer = [0; RECV_BYTES_MAX];
            let len = client.read(&mut buffer)?;
            queue.bytes.extend(&buffer[..len]);
            if len == 0 {
                queue.input = Input::Ended;
            } else if queue.bytes.len() >= QUEUED_BYTES_HIGH {
                queue.input = Input::Paused;
            }
            Ok(())
        }

        fn send(&mut self, id: SourceId) -> io::Result<()> {
            let (Some(mut client), Some(queue)) =
                (client(&self.selector, id), self.message_queues.get_mut(&id))
            else {
                return Ok(());
            };
            // What is not taken now stays at the front for the next time.
            let (front, _) = queue.bytes.as_slices();
            let len = client.write(front)?;
            queue.bytes.drain(..len);
            self.echoed_bytes += len as u64;
            if matches!(queue.input, Input::Paused) && queue.bytes.len() <= QUEUED_BYTES_LOW {
                queue.input = Input::Open;
            }
            Ok(())
        }

        /// Takes the urgent byte out, which is no part of the stream. Unread, it would be reported for ever.
        ///
        /// The original closes such a client, having taken the third set for errors.
        fn drop_urgent(&mut self, id: SourceId) {
            if let Some(client) = client(&self.selector, id) {
                // If it fails, the byte is gone already.
                let _ = rustix::net::recv(client, &mut [0], RecvFlags::OOB);
            }
        }

        fn close(&mut self, id: SourceId) {
            self.message_queues.remove(&id);
            self.selector.remove(id);
            // There is a descriptor again.
            if self.server_paused_until.is_some() {
                self.resume_accepting();
            }
        }

        fn pause_accepting(&mut self, error: &io::Error) {
            eprintln!("select_echo: accepting pauses: {error}");
            self.server_paused_until = Some(Instant::now() + ACCEPT_PAUSE);
            self.selector.set_interest(self.server, Interest::NONE);
        }

        fn resume_accepting(&mut self) {
            self.server_paused_until = None;
            self.selector.set_interest(self.server, Interest::READABLE);
        }
    }

    fn client(selector: &Selector<Source>, id: SourceId) -> Option<&TcpStream> {
        match selector.get(id)? {
            Source::Client(client) => Some(client),
            Source::Server(_) | Source::Quit(_) => None,
        }
    }
}
