//! A reactor on a thread of its own, for tests whose peers are blocking `std::net` sockets.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use switchboard::{Config, Context, Handle, Handler, Listen, PostError, Reactor, Stats, Stop};

/// How long a test waits for anything: an answer that takes longer is one that never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Lets time pass in which nothing happens: for tests of what must not happen, or only after that time.
pub(crate) fn let_pass(time: Duration) {
    let (_never, nothing) = mpsc::channel::<()>();
    assert_eq!(nothing.recv_timeout(time), Err(mpsc::RecvTimeoutError::Timeout));
}

/// A reactor that runs until it is stopped.
#[derive(Debug)]
pub(crate) struct Server<H: Handler> {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    /// The way to it.
    pub(crate) handle: Handle<H>,
    thread: JoinHandle<Outcome>,
}

/// A loop that stands still.
#[derive(Debug)]
pub(crate) struct StandStill(mpsc::Sender<()>);

impl StandStill {
    /// Lets it go on.
    pub(crate) fn end(self) {
        self.0.send(()).expect("the loop waits for this");
    }
}

/// What is left of a reactor.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its counters at the end.
    pub(crate) stats: Stats,
    /// How its loop ended.
    pub(crate) result: std::io::Result<()>,
}

impl<H: Handler + 'static> Server<H> {
    /// Serves connections on a free port of 127.0.0.1 with the handler that `make` makes.
    pub(crate) fn start(config: Config, make: impl FnOnce() -> H + Send + 'static) -> Server<H> {
        Server::start_on(Listen::new(([127, 0, 0, 1], 0).into()), config, make)
    }

    /// Serves connections that come in as `listen` says.
    pub(crate) fn start_on(
        listen: Listen,
        config: Config,
        make: impl FnOnce() -> H + Send + 'static,
    ) -> Server<H> {
        let (started, start) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut reactor = Reactor::new(make(), config).expect("a reactor can be made");
            let listener = reactor.listen(listen).expect("a free port can be listened on");
            let addr = reactor.local_addr(listener).expect("a listener has an address");
            let addr = addr.socket_addr().expect("an IP listener has an IP address");
            started.send((addr, reactor.handle())).expect("the test waits for this");
            let result = reactor.run();
            let stats = reactor.stats().clone();
            Outcome { stats, result }
        });
        let (addr, handle) = start.recv_timeout(PATIENCE).expect("the reactor starts");
        Server { addr, handle, thread }
    }

    /// A blocking connection to it that gives up after [`PATIENCE`].
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream
    }

    /// Runs `f` on the loop and waits for its result.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut H, &mut Context) -> T + Send + 'static,
    ) -> T {
        let (answer, result) = mpsc::channel();
        let begin = std::time::Instant::now();
        let mut post = move |handler: &mut H, cx: &mut Context| {
            answer.send(f(handler, cx)).expect("the test waits for this");
        };
        while let Err(refused) = self.handle.post(post) {
            let PostError::Full(back) = refused else { panic!("{refused}") };
            assert!(begin.elapsed() < PATIENCE, "the queue stays full");
            std::thread::yield_now();
            post = back;
        }
        result.recv_timeout(PATIENCE).expect("the loop runs the closure")
    }

    /// Lets the loop stand still, as if its process were stopped, until the result's `end` is called.
    pub(crate) fn stand_still(&self) -> StandStill {
        let (entered, enter) = mpsc::channel();
        let (leave, left) = mpsc::channel();
        self.handle
            .post(move |_, _| {
                entered.send(()).expect("the test waits for this");
                left.recv_timeout(PATIENCE).expect("the test ends this");
            })
            .expect("the reactor takes a closure");
        enter.recv_timeout(PATIENCE).expect("the loop runs the closure");
        StandStill(leave)
    }

    /// Waits until `condition` holds on the loop, looking again each time something may have changed.
    pub(crate) fn wait_until(
        &self,
        condition: impl Fn(&mut H, &mut Context) -> bool + Clone + Send + 'static,
    ) {
        let start = std::time::Instant::now();
        while !self.with(condition.clone()) {
            assert!(start.elapsed() < PATIENCE, "the condition does not come true");
            std::thread::yield_now();
        }
    }

    /// Drains, waits for the end, and checks that nothing is left open.
    pub(crate) fn stop(self) -> Stats {
        self.handle.stop(Stop::Drain);
        let outcome = self.join();
        outcome.result.expect("the loop ends in good order");
        outcome.stats
    }

    /// Waits for the end that something else brings about, and checks that nothing is left open.
    pub(crate) fn join(self) -> Outcome {
        let Server { handle, thread, .. } = self;
        drop(handle);
        let outcome = thread.join().expect("the reactor's thread does not panic");
        assert_eq!(outcome.stats.open, 0, "connections are left open");
        let begun = outcome.stats.accepted + outcome.stats.adopted + outcome.stats.connected;
        let ended = outcome.stats.closed_total() + outcome.stats.turned_away;
        assert_eq!(ended, begun, "each that opened closed, once");
        outcome
    }

    /// Waits for the end that a panic brings about and says what the panic said.
    pub(crate) fn join_panicked(self) -> String {
        let Server { handle, thread, .. } = self;
        // Should there be none, the test fails instead of waiting.
        handle.stop(Stop::Now);
        drop(handle);
        let payload = thread.join().expect_err("the panic leaves the loop");
        payload.downcast_ref::<&str>().map_or_else(String::new, |text| (*text).to_owned())
    }
}
