//! Clients: what stands at the other end of a simulated connection.
//!
//! It knows one socket of its own and what it wants to do with it. It does not know the server. A client is a
//! function that is called whenever something may have changed; a [`Script`](super::Script) is one made of steps.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::errno::Errno;
use super::network::{Actor, MILLI, Received, SERVER, SimNet, SockId};
use crate::addr::Addr;
use crate::instant::Instant;

/// What a client waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Something to happen to its socket.
    Wait,
    /// That, or this time to pass.
    WaitFor(Duration),
    /// Nothing: it is done, and what is still open is closed.
    Done,
}

/// How a connection ended, as its client saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum End {
    /// It did not: the client left first, or was still waiting.
    Open,
    /// The server ended its side.
    Ended,
    /// The server reset it.
    Reset,
    /// It never came about, or the system gave it up.
    Failed(Errno),
}

/// What is known of a client when the run is over.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own")]
pub struct ClientReport {
    /// Everything it received.
    pub received: Vec<u8>,
    /// How its connection ended.
    pub end: End,
    /// Whether a fault cut its connection: then it need not have come to its end.
    pub cut: bool,
    /// Whether a fault held its connection up, so that a timeout may have said something that nobody expected.
    pub late: bool,
    /// Whether it came to its end.
    pub done: bool,
    /// Whether what it received was wrong, which no fault that cut it explains.
    pub wrong: bool,
    /// What went wrong, or what it still waits for.
    pub trouble: Option<String>,
}

impl fmt::Debug for ClientReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientReport")
            .field("received", &format_args!("{}", super::trace::Shown(&self.received)))
            .field("end", &self.end)
            .field("cut", &self.cut)
            .field("late", &self.late)
            .field("done", &self.done)
            .field("wrong", &self.wrong)
            .field("trouble", &self.trouble)
            .finish()
    }
}

impl ClientReport {
    fn note_cut(&mut self, (cut, late): (bool, bool)) {
        self.cut |= cut;
        self.late |= late;
    }

    fn new() -> ClientReport {
        ClientReport {
            received: Vec::new(),
            end: End::Open,
            cut: false,
            late: false,
            done: false,
            wrong: false,
            trouble: None,
        }
    }
}

/// The client's socket, lent to it. No call waits.
pub struct Peer<'a> {
    net: &'a SimNet,
    sock: Option<SockId>,
    report: &'a mut ClientReport,
    refused: Option<Errno>,
    to: &'a Addr,
}

impl fmt::Debug for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("sock", &self.sock).field("report", &self.report).finish_non_exhaustive()
    }
}

impl Peer<'_> {
    /// The time on the simulated clock.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.net.world().borrow().now)
    }

    /// Where it connects to.
    pub fn to(&self) -> &Addr {
        self.to
    }

    /// Whether the connect has succeeded. It may be over again by now.
    pub fn is_connected(&self) -> bool {
        self.sock.is_some_and(|sock| self.net.world().borrow().is_connected(sock))
    }

    /// Why there is no connection, if the connect failed.
    pub fn refused(&self) -> Option<Errno> {
        self.refused
    }

    /// Whether a fault has cut the connection: what it waits for need not come.
    pub fn is_cut(&self) -> bool {
        self.report.cut
    }

    /// Everything received so far.
    pub fn received(&self) -> &[u8] {
        &self.report.received
    }

    /// Why nothing can be sent any more, if the connection was refused, reset or given up. There may still be
    /// something to be received.
    pub fn failed(&self) -> Option<Errno> {
        match self.report.end {
            End::Reset => return Some(Errno::ECONNRESET),
            End::Failed(error) => return Some(error),
            End::Open | End::Ended => {}
        }
        match self.net.world().borrow_mut().client_recv(self.sock?, 0, &mut Vec::new()) {
            Received::Failed(error) => Some(error),
            Received::Bytes(_) | Received::Nothing | Received::End => None,
        }
    }

    /// Sends the beginning of `bytes` and says how many; none when the buffers are full or the connection is over.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        // A send would take the error away, and nobody would learn of it.
        if self.failed().is_some() {
            return 0;
        }
        let Some(sock) = self.sock else { return 0 };
        self.net.world().borrow_mut().client_send(sock, bytes)
    }

    /// Sends one urgent byte; whether it could be sent.
    pub fn send_urgent(&mut self, byte: u8) -> bool {
        let Some(sock) = self.sock else { return false };
        self.net.world().borrow_mut().client_send_urgent(sock, byte)
    }

    /// Receives at most `max` bytes, which are added to what [`received`](Peer::received) shows.
    pub fn recv(&mut self, max: usize) -> Received {
        let Some(sock) = self.sock else {
            return match self.report.end {
                End::Open => Received::Nothing,
                End::Ended => Received::End,
                End::Reset => Received::Failed(Errno::ECONNRESET),
                End::Failed(error) => Received::Failed(error),
            };
        };
        let outcome = self.net.world().borrow_mut().client_recv(sock, max, &mut self.report.received);
        match (outcome, self.report.end) {
            (Received::End, End::Open) => self.report.end = End::Ended,
            (Received::Failed(Errno::ECONNRESET | Errno::EPIPE), _) => self.report.end = End::Reset,
            (Received::Failed(error), _) => self.report.end = End::Failed(error),
            _ => {}
        }
        outcome
    }

    /// Ends the client's side.
    pub fn shutdown(&mut self) {
        if let Some(sock) = self.sock {
            self.net.world().borrow_mut().client_shutdown(sock);
        }
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        if let Some(sock) = self.sock.take() {
            self.net.world().borrow_mut().client_close(sock, false);
        }
    }

    /// Resets the connection.
    pub fn reset(&mut self) {
        if let Some(sock) = self.sock.take() {
            self.net.world().borrow_mut().client_close(sock, true);
        }
    }

    /// One of `ways` ways, from the tape of the run.
    pub fn choose(&mut self, ways: usize) -> usize {
        self.net.world().borrow_mut().tape.choose("what a client does", ways)
    }

    /// Says what is wrong, or what the client waits for: a run whose client has something to say, and was not cut
    /// by a fault, has failed.
    pub fn trouble(&mut self, what: impl Into<String>) {
        self.report.trouble = Some(what.into());
    }

    /// Says that what was received is wrong: also a client that a fault has cut off has then failed, unless it was
    /// only held up, when a timeout may have spoken.
    pub fn wrong(&mut self, what: impl Into<String>) {
        self.report.wrong = true;
        self.trouble(what);
    }

    /// Takes back what [`trouble`](Peer::trouble) said.
    pub fn no_trouble(&mut self) {
        self.report.trouble = None;
    }
}

/// What a client does.
pub(super) type Program = Box<dyn FnMut(&mut Peer<'_>) -> Next>;

/// The reports of all clients of a run: more come in while it goes on.
pub(super) type Reports = Rc<RefCell<Vec<Rc<RefCell<ClientReport>>>>>;

/// A client in the world.
pub(super) struct ClientActor {
    host: SimNet,
    number: u32,
    to: Addr,
    begin_at: u64,
    begun: bool,
    sock: Option<SockId>,
    refused: Option<Errno>,
    program: Program,
    report: Rc<RefCell<ClientReport>>,
}

impl ClientActor {
    /// Puts a client on a host of its own.
    pub(super) fn add(
        host: SimNet,
        to: Addr,
        begin_at: Duration,
        program: Program,
    ) -> Rc<RefCell<ClientReport>> {
        let report = Rc::new(RefCell::new(ClientReport::new()));
        let world = Rc::clone(host.world());
        let number = world.borrow().next_actor();
        let begin_at = u64::try_from(begin_at.as_nanos()).unwrap_or(u64::MAX);
        let actor = ClientActor {
            host,
            number,
            to,
            begin_at,
            begun: false,
            sock: None,
            refused: None,
            program,
            report: Rc::clone(&report),
        };
        world.borrow_mut().add_actor(Box::new(actor));
        report
    }

    /// Puts a client behind a connection that was accepted.
    fn add_accepted(host: SimNet, sock: SockId, program: Program, report: Rc<RefCell<ClientReport>>) {
        let world = Rc::clone(host.world());
        let number = world.borrow().next_actor();
        let actor = ClientActor {
            host,
            number,
            to: SERVER.into(),
            begin_at: 0,
            begun: true,
            sock: Some(sock),
            refused: None,
            program,
            report,
        };
        world.borrow_mut().add_actor(Box::new(actor));
    }

    fn begin(&mut self) {
        self.begun = true;
        let connected =
            self.host.world().borrow_mut().client_connect(self.host.number(), &self.to, self.number);
        match connected {
            Ok(sock) => self.sock = Some(sock),
            Err(Errno::EAGAIN) => {
                // The backlog of a Unix listener is full, and nobody says when it is not.
                (self.begun, self.begin_at) = (false, self.host.world().borrow().now + MILLI);
            }
            Err(error) => {
                // Nothing but a fault lets a client's connect fail at once.
                self.report.borrow_mut().cut = true;
                self.refuse(error);
            }
        }
    }

    fn refuse(&mut self, error: Errno) {
        self.refused = Some(error);
        self.report.borrow_mut().end = End::Failed(error);
    }

    /// Looks at the socket before the client does.
    fn look(&mut self) {
        let Some(sock) = self.sock else { return };
        let mut world = self.host.world().borrow_mut();
        self.report.borrow_mut().note_cut(world.is_cut(sock));
        if let Some(error) = world.failed_to_connect(sock) {
            world.client_close(sock, false);
            drop(world);
            self.sock = None;
            self.refuse(error);
        }
    }
}

impl Actor for ClientActor {
    fn act(&mut self, _: &SimNet) {
        let now = self.host.world().borrow().now;
        if !self.begun && now < self.begin_at {
            return self.host.world().borrow_mut().act_in(self.number, self.begin_at - now);
        }
        if !self.begun {
            self.begin();
            if !self.begun {
                return self.host.world().borrow_mut().act_in(self.number, MILLI);
            }
        }
        if self.report.borrow().done {
            return;
        }
        self.look();
        let mut report = self.report.borrow_mut();
        let (sock, refused) = (self.sock, self.refused);
        let mut peer = Peer { net: &self.host, sock, report: &mut report, refused, to: &self.to };
        let next = (self.program)(&mut peer);
        self.sock = peer.sock;
        match next {
            Next::Wait => {}
            Next::WaitFor(time) => {
                let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
                self.host.world().borrow_mut().act_in(self.number, nanos);
            }
            Next::Done => {
                report.done = true;
                if let Some(sock) = self.sock.take() {
                    report.note_cut(self.host.world().borrow().is_cut(sock));
                    self.host.world().borrow_mut().client_close(sock, false);
                }
            }
        }
    }
}

/// A listener in the world, with a client behind each connection that it accepts.
pub(super) struct Acceptor {
    host: SimNet,
    listener: SockId,
    make: Box<dyn FnMut() -> Program>,
    reports: Reports,
}

impl Acceptor {
    /// Listens on this port of a host.
    pub(super) fn add(
        host: SimNet,
        port: u16,
        make: Box<dyn FnMut() -> Program>,
        reports: Reports,
    ) -> Result<(), Errno> {
        let world = Rc::clone(host.world());
        let actor = world.borrow().next_actor();
        let listener = world.borrow_mut().client_listen(host.number(), port, actor)?;
        world.borrow_mut().add_actor(Box::new(Acceptor { host, listener, make, reports }));
        Ok(())
    }
}

impl Actor for Acceptor {
    fn act(&mut self, _: &SimNet) {
        loop {
            let accepted = self.host.world().borrow_mut().client_accept(self.listener);
            let Some(sock) = accepted else { return };
            let report = Rc::new(RefCell::new(ClientReport::new()));
            self.reports.borrow_mut().push(Rc::clone(&report));
            ClientActor::add_accepted(self.host.clone(), sock, (self.make)(), report);
        }
    }
}
