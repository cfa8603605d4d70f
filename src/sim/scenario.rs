//! Scenarios: a handler, its network, its clients and what may go wrong, put together step by step.
//!
//! It knows what there is in a simulation; what happens with it is `run`.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::caught::is_catching;
use super::client::{Acceptor, ClientReport, Next, Peer, Program, Reports};
use super::faults::Faults;
use super::host::ReactorActor;
use super::network::{Name, Pipe, Route, SimNet, World};
use super::report::{Failure, Report};
use super::run::Run;
use super::script::Script;
use super::tape::Tape;
use crate::addr::{Addr, UnixAddr};
use crate::config::{Config, Listen};
use crate::context::Context;
use crate::handler::Handler;
use crate::listen::IntoListen;

/// How large buffers may be: what Linux lets anybody set is less.
const BUFFER_MAX: usize = 1 << 30;

/// How much simulated time a run may take.
pub(super) const TIME_MAX: Duration = Duration::from_secs(3600);

/// The beginning of a simulation: a tape, and a network with nobody on it.
///
/// ```
/// use switchboard::codec::Lines;
/// use switchboard::each;
/// use switchboard::sim::{Faults, Script, Sim};
///
/// let upper = each(Lines::new, |cx, line| {
///     cx.send(&line.to_ascii_uppercase());
///     cx.send(b"\n");
///     Ok(())
/// });
/// let report = Sim::new(7)
///     .server(upper)
///     .client(Script::new().send(b"hello\nworld\n").expect(b"HELLO\nWORLD\n").shutdown().expect_end())
///     .faults(Faults::harmless())
///     .run();
/// assert_eq!(report.stats.frames, 2);
/// ```
pub struct Sim {
    pub(super) world: Rc<RefCell<World>>,
    /// Where the server listens, if not on [`SERVER`](super::SERVER).
    pub(super) listens: Option<io::Result<Listen>>,
}

impl Sim {
    /// A simulation whose choices are made at random, the same for the same seed.
    pub fn new(seed: u64) -> Sim {
        Sim::on(Tape::seeded(seed))
    }

    /// A simulation whose choices come from a tape.
    pub fn on(tape: Tape) -> Sim {
        let sim = Sim::unrecorded(tape);
        // It runs once, so this is the time to write down what happens; a search does it when it has found something.
        sim.world.borrow_mut().trace.record();
        sim
    }

    pub(super) fn unrecorded(tape: Tape) -> Sim {
        Sim { world: Rc::new(RefCell::new(World::new(tape))), listens: None }
    }

    /// Choices from the tape of this run, for a handler that leaves something to chance.
    pub fn choices(&self) -> Choices {
        Choices { world: Rc::clone(&self.world) }
    }

    /// Has the server listen here instead of on [`SERVER`](super::SERVER), unless its scenario says otherwise: to run one
    /// scenario on TCP and on a Unix socket.
    #[must_use]
    pub fn listen(mut self, addr: impl IntoListen) -> Sim {
        self.listens = Some(addr.into_listen());
        self
    }

    /// A pipe, for a handler that registers descriptors: one end is for the handler, the test holds the other.
    pub fn pipe(&self) -> Pipe {
        Pipe::new(&self.world)
    }

    /// Puts a handler on the network. It listens on [`SERVER`](super::SERVER).
    pub fn server<H: Handler>(self, handler: H) -> Scenario<H> {
        Scenario {
            host: SimNet::new(&self.world, true),
            world: self.world,
            handler,
            config: Config::default(),
            listen_first: self.listens,
            listens: None,
            clients: Vec::new(),
            calls: Vec::new(),
            others: Vec::new(),
            faults: Faults::none(),
            time_max: None,
            may_wait: false,
        }
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").finish_non_exhaustive()
    }
}

/// Choices from the tape of a run.
#[derive(Clone)]
pub struct Choices {
    world: Rc<RefCell<World>>,
}

impl Choices {
    /// One of `ways` ways. `what` is for error messages.
    pub fn choose(&self, what: &'static str, ways: usize) -> usize {
        self.world.borrow_mut().tape.choose(what, ways)
    }
}

impl fmt::Debug for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choices").finish_non_exhaustive()
    }
}

pub(super) type Call<H> = Box<dyn FnOnce(&mut H, &mut Context)>;

/// A simulation with a server: what else there is, and then [`run`](Scenario::run).
#[must_use = "nothing happens before `run` or `try_run`"]
pub struct Scenario<H: Handler> {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) host: SimNet,
    pub(super) handler: H,
    pub(super) config: Config,
    /// Where to listen instead of on [`SERVER`](super::SERVER).
    pub(super) listen_first: Option<io::Result<Listen>>,
    pub(super) listens: Option<Vec<io::Result<Listen>>>,
    pub(super) clients: Vec<NewClient>,
    pub(super) calls: Vec<(Duration, Call<H>)>,
    pub(super) others: Vec<Other>,
    pub(super) faults: Faults,
    pub(super) time_max: Option<Duration>,
    /// Whether clients may still wait at the end.
    pub(super) may_wait: bool,
}

/// A client to be added: when it connects, where, and what it does.
pub(super) struct NewClient {
    pub(super) at: Duration,
    pub(super) to: Option<Addr>,
    pub(super) does: Client,
}

/// Puts something on a host of its own; it may say why it cannot.
pub(super) type Other = Box<dyn FnOnce(SimNet, &Reports) -> Result<(), String>>;

pub(super) enum Client {
    Script(Script),
    Program(Program),
}

impl Client {
    /// How long it waits of its own will, as far as that is known.
    pub(super) fn waits(&self) -> Duration {
        match self {
            Client::Script(script) => script.waits(),
            Client::Program(_) => Duration::ZERO,
        }
    }
}

impl<H: Handler> fmt::Debug for Scenario<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario")
            .field("clients", &self.clients.len())
            .field("others", &self.others.len())
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl<H: Handler + 'static> Scenario<H> {
    /// Configures the reactor.
    pub fn config(mut self, config: Config) -> Scenario<H> {
        self.config = config;
        self
    }

    /// Listens here, and not on [`SERVER`](super::SERVER) unless that is said too. Any address of `127.0.0.0/8` and the
    /// unspecified one are the server's own, and `unix:/run/some.sock` is a Unix socket on its machine. Clients connect to the first, unless they are added with another.
    pub fn listen(mut self, addr: impl IntoListen) -> Scenario<H> {
        self.listens.get_or_insert_with(Vec::new).push(addr.into_listen());
        self
    }

    fn add(mut self, at: Duration, to: Option<Addr>, does: Client) -> Scenario<H> {
        self.clients.push(NewClient { at, to, does });
        self
    }

    /// Adds a client that plays a script, from an address of its own, at the beginning.
    pub fn client(self, script: Script) -> Scenario<H> {
        self.add(Duration::ZERO, None, Client::Script(script))
    }

    /// Adds a client that plays a script and connects at this time.
    pub fn client_at(self, at: Duration, script: Script) -> Scenario<H> {
        self.add(at, None, Client::Script(script))
    }

    /// Adds a client that plays a script and connects to this address. One that connects to a Unix socket is another
    /// process on the server's machine.
    pub fn client_to(self, to: impl Into<Addr>, script: Script) -> Scenario<H> {
        self.add(Duration::ZERO, Some(to.into()), Client::Script(script))
    }

    /// Adds a client that is a function, called whenever something may have changed: at the beginning, and after
    /// that when its connect is over, when there is something to be received or room to send, and when a time that
    /// it waits for has passed. It must not block, and must not rely on how often it is called.
    ///
    /// ```
    /// use switchboard::codec::Raw;
    /// use switchboard::each;
    /// use switchboard::sim::{Next, Received, Sim};
    ///
    /// let echo = each(Raw::new, |cx, bytes| { cx.send(bytes); Ok(()) });
    /// let mut sent = 0;
    /// let report = Sim::new(1)
    ///     .server(echo)
    ///     .client_fn(move |peer| {
    ///         sent += peer.send(&b"hello"[sent..]);
    ///         while let Received::Bytes(_) = peer.recv(1024) {}
    ///         if peer.received() == b"hello" { Next::Done } else { Next::Wait }
    ///     })
    ///     .run();
    /// assert_eq!(report.clients[0].received, b"hello");
    /// ```
    pub fn client_fn(self, program: impl FnMut(&mut Peer<'_>) -> Next + 'static) -> Scenario<H> {
        self.add(Duration::ZERO, None, Client::Program(Box::new(program)))
    }

    /// Adds another reactor to the network. `begin` is what it does first, such as connecting or listening. Its
    /// address is the next one behind the server's: 10.0.0.2, 10.0.0.3, … in the order in which they are added.
    pub fn reactor<P: Handler + 'static>(
        mut self,
        handler: P,
        config: Config,
        begin: impl FnOnce(&mut P, &mut Context) + 'static,
    ) -> Scenario<H> {
        self.others.push(Box::new(move |host, _| ReactorActor::add(host, handler, config, begin)));
        self
    }

    /// Adds a host that accepts connections on this port and plays a script, of its own for each, on every one: for
    /// handlers that connect. Its address is the next one, as with [`reactor`](Scenario::reactor); its reports stand
    /// behind those of the clients.
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use switchboard::codec::Lines;
    /// use switchboard::each;
    /// use switchboard::sim::{Script, Sim};
    ///
    /// let polite = each(Lines::new, |cx, line| {
    ///     assert_eq!(line, b"hello");
    ///     cx.send(b"thanks\n");
    ///     Ok(())
    /// });
    /// let report = Sim::new(1)
    ///     .server(polite)
    ///     .acceptor(80, || Script::new().send(b"hello\n").expect(b"thanks\n"))
    ///     .at(std::time::Duration::ZERO, |_, cx| {
    ///         cx.connect(SocketAddr::from(([10, 0, 0, 2], 80)), 0).expect("there is room");
    ///     })
    ///     .run();
    /// assert_eq!(report.stats.connected, 1);
    /// ```
    pub fn acceptor(mut self, port: u16, mut make: impl FnMut() -> Script + 'static) -> Scenario<H> {
        self.others.push(Box::new(move |host, reports| {
            let first = make();
            first.check()?;
            let mut first = Some(first);
            let programs = Box::new(move || {
                let mut script = first.take().unwrap_or_else(&mut make);
                let wrong = script.check().err();
                Box::new(move |peer: &mut Peer<'_>| match &wrong {
                    None => script.play(peer),
                    Some(wrong) => {
                        peer.trouble(wrong.clone());
                        Next::Done
                    }
                }) as Program
            });
            Acceptor::add(host, port, programs, Rc::clone(reports))
                .map_err(|error| format!("port {port}: {error}"))
        }));
        self
    }

    /// Calls `f` with the handler and its context at this time, as another thread does through a handle.
    pub fn at(mut self, at: Duration, f: impl FnOnce(&mut H, &mut Context) + 'static) -> Scenario<H> {
        self.calls.push((at, Box::new(f)));
        self
    }

    /// What may go wrong. Without this nothing does.
    pub fn faults(mut self, faults: Faults) -> Scenario<H> {
        self.faults = faults;
        self
    }

    /// How many bytes the buffers of every connection hold: those of a sender, and those of a receiver. By
    /// default 256 KiB each.
    pub fn buffers(self, send: usize, recv: usize) -> Scenario<H> {
        self.world.borrow_mut().buffers = (send.clamp(1, BUFFER_MAX), recv.clamp(1, BUFFER_MAX));
        self
    }

    /// How many descriptors the server may have open: 1,024 by default.
    pub fn descriptors(self, max: usize) -> Scenario<H> {
        self.host.limit_descriptors(max);
        self
    }

    /// Which local ports the server's connects may take: 32768 to 60999 by default.
    pub fn ports(self, min: u16, max: u16) -> Scenario<H> {
        self.host.limit_ports(min, max.max(min));
        self
    }

    /// Gives the server a further address, to connect from with [`Connect::local`](crate::Connect::local).
    pub fn address(self, ip: impl Into<IpAddr>) -> Scenario<H> {
        self.host.add_addr(ip.into());
        self
    }

    /// Everybody who looks `name` up hears of these addresses, in this order, this much later: with `Duration::ZERO` as
    /// soon as the network allows, with `Duration::MAX` never. A name that nobody gave does not exist; one without
    /// addresses has none.
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard::codec::Raw;
    /// use switchboard::{Connect, each};
    /// use switchboard::sim::{Script, Sim};
    ///
    /// let report = Sim::new(1)
    ///     .server(each(Raw::new, |_, _| Ok(())))
    ///     .acceptor(80, Script::new)
    ///     .name("example.org", [[10, 0, 0, 2].into()], Duration::from_millis(30))
    ///     .at(Duration::ZERO, |_, cx| {
    ///         let connect: Connect = "example.org:80".parse().expect("a name and a port");
    ///         cx.connect(connect, 0).expect("there is room");
    ///     })
    ///     .run();
    /// assert_eq!(report.stats.connected, 1);
    /// ```
    pub fn name(self, name: &str, addrs: impl IntoIterator<Item = IpAddr>, after: Duration) -> Scenario<H> {
        self.world.borrow_mut().know(name, addrs.into_iter().collect(), after);
        self
    }

    /// On the server's machine, a process that is gone has left its Unix socket behind: nobody listens there, and who
    /// does replaces it.
    pub fn left_over(self, name: UnixAddr) -> Scenario<H> {
        self.world.borrow_mut().put_name(self.host.number(), name, Name::LeftOver);
        self
    }

    /// On the server's machine, there is a file where a Unix socket might be: nobody can listen or connect there.
    pub fn file_at(self, path: UnixAddr) -> Scenario<H> {
        self.world.borrow_mut().put_name(self.host.number(), path, Name::File);
        self
    }

    /// Nothing that goes to this address is ever answered.
    pub fn black_hole(self, addr: SocketAddr) -> Scenario<H> {
        self.world.borrow_mut().route(addr, Route::BlackHole);
        self
    }

    /// The network has no way to this address, and says so.
    pub fn unreachable(self, addr: SocketAddr) -> Scenario<H> {
        self.world.borrow_mut().route(addr, Route::Unreachable);
        self
    }

    /// How much simulated time the run may take. By default an hour more than what scripts wait for by themselves
    /// and than when the last client and the last call begin.
    pub fn time_max(mut self, time: Duration) -> Scenario<H> {
        self.time_max = Some(time);
        self
    }

    /// Runs until nothing happens any more, then drains the reactor and looks at what is left.
    ///
    /// # Panics
    ///
    /// With the [`Failure`] and what led there as the message, if there is one.
    #[track_caller]
    pub fn run(self) -> Report<H> {
        match self.try_run() {
            Ok(report) => report,
            // A search adds what led there itself.
            Err(failure) if is_catching() => panic!("{failure}"),
            Err(failure) => panic!("{failure:?}"),
        }
    }

    /// Runs with one client, for what it saw, which may be that the connection stays open.
    pub(super) fn try_run_until_quiet(mut self) -> Result<ClientReport, Failure> {
        self.may_wait = true;
        let mut report = self.try_run()?;
        Ok(report.clients.remove(0))
    }

    /// As [`run`](Scenario::run), with the failure as a value.
    pub fn try_run(self) -> Result<Report<H>, Failure> {
        let world = Rc::clone(&self.world);
        let _apart = Apart(Rc::clone(&world));
        Run::begin(self).and_then(Run::finish).map_err(|failure| Failure {
            lines: world.borrow().trace.lines().iter().map(ToString::to_string).collect(),
            ..failure
        })
    }
}

/// Takes the programs out of a world when a run is over, however it ended: they hold on to the world, and it to them.
struct Apart(Rc<RefCell<World>>);

impl Drop for Apart {
    fn drop(&mut self) {
        let actors = self.0.try_borrow_mut().map(|mut world| world.take_actors());
        drop(actors);
    }
}
