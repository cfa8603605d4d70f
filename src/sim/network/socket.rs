//! One simulated socket: its buffers and flags, and what a poll would say of it.
//!
//! It knows one end of a connection, by the rules of Linux (`tcp_poll`, `tcp_recvmsg`); what travels between two
//! ends is `tcp`, and what a program may call is `calls`.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::addr::Addr;
use crate::net::Token;
use crate::options::Options;
use crate::readiness::Readiness;
use crate::sim::errno::Errno;

/// The number of a socket.
pub(crate) type SockId = u32;

/// No socket.
pub(crate) const NOBODY: SockId = u32::MAX;

/// The waker of a host, on its ready list.
pub(crate) const WAKER: SockId = u32::MAX - 1;

/// Who is told of what happens to a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Nobody,
    /// The poll of its host, by this name.
    Poll(Token),
    /// The actor of this number.
    Actor(u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Neither listening nor connected.
    Fresh,
    Listening,
    /// A connect is under way.
    Connecting,
    Connected,
    /// Both sides ended, or an error ended it.
    Dead,
}

/// The urgent byte of a stream, as the receiver knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Urgent {
    None,
    Arrived(u8),
    Read,
}

/// One socket.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one flag of a socket of Linux, independent of the others"
)]
pub(crate) struct Sock {
    pub(super) host: usize,
    pub(super) phase: Phase,
    pub(super) local: Addr,
    pub(super) remote: Option<Addr>,
    /// It is a Unix stream.
    pub(super) is_unix: bool,
    /// The other end.
    pub(super) peer: SockId,
    /// A program holds it.
    pub(super) held: bool,
    /// It waits to be accepted.
    pub(super) queued: bool,
    pub(super) owner: Owner,
    /// On the ready list of its host.
    pub(super) pending: bool,
    /// Its poll tells when it takes output.
    pub(super) watched: bool,
    /// It stays there as long as it is ready.
    pub(super) level: bool,
    /// Its place among the registered sockets of its host.
    pub(super) place: usize,
    /// Events under way that name it.
    pub(super) events: u32,

    /// Received and not read; the byte at the front has the number `read`.
    pub(super) rx: VecDeque<u8>,
    pub(super) rx_max: usize,
    pub(super) read: u64,
    /// How often the program has received.
    pub(super) recvs: u64,
    /// Taken from the program and not arrived at the other end.
    pub(super) tx: VecDeque<u8>,
    pub(super) tx_max: usize,
    /// How many bytes the program has sent.
    pub(super) sent: u64,
    /// A segment is on its way to the other end.
    pub(super) flying: bool,
    /// Our side is ended.
    pub(super) shut_send: bool,
    /// Nothing will be received any more.
    pub(super) shut_recv: bool,
    /// The peer's end has arrived (`SOCK_DONE`).
    pub(super) done: bool,
    /// The end of our side has arrived at the other end.
    pub(super) fin_sent: bool,
    pub(super) error: Option<Errno>,
    /// The program was told of the end, or of an error that is one.
    pub(super) end_told: bool,
    /// A send did not get everything in (`SOCK_NOSPACE`): say when there is room.
    pub(super) no_space: bool,
    /// Sends take nothing for a while.
    pub(super) squeezed: bool,
    pub(super) reset_on_close: bool,
    /// The number of the urgent byte last sent.
    pub(super) urgent_sent: Option<u64>,
    pub(super) urgent: Urgent,
    /// The number of the urgent byte last announced.
    pub(super) urgent_at: u64,

    /// A fault has cut this connection: its peers need not see what they wait for.
    pub(super) cut: bool,
    /// A fault has held it up: timeouts may have said something that was not expected.
    pub(super) late: bool,
    /// Nothing arrives any more, in either direction.
    pub(super) vanished: bool,
    /// When that began.
    pub(super) vanished_at: u64,
    /// When anything last came from the other end.
    pub(super) heard_at: u64,
    /// Since when what was sent waits to be acknowledged, or for room at the other end.
    pub(super) unacknowledged_since: Option<u64>,
    /// What was set.
    pub(super) options: Option<Rc<Options>>,
    /// It was connected once.
    pub(super) established: bool,
    /// How often a connect was tried.
    pub(super) tries: u32,
    /// Listening: connections to be accepted, and how many there may be.
    pub(super) backlog: VecDeque<SockId>,
    pub(super) backlog_max: usize,
}

impl Sock {
    pub(super) fn new(host: usize, local: Addr) -> Sock {
        Sock {
            is_unix: local.socket_addr().is_none(),
            host,
            phase: Phase::Fresh,
            local,
            remote: None,
            peer: NOBODY,
            held: false,
            queued: false,
            owner: Owner::Nobody,
            pending: false,
            watched: true,
            level: false,
            place: usize::MAX,
            events: 0,
            rx: VecDeque::new(),
            rx_max: BUFFER,
            read: 0,
            recvs: 0,
            tx: VecDeque::new(),
            tx_max: BUFFER,
            sent: 0,
            flying: false,
            shut_send: false,
            shut_recv: false,
            done: false,
            fin_sent: false,
            error: None,
            end_told: false,
            no_space: false,
            squeezed: false,
            reset_on_close: false,
            urgent_sent: None,
            urgent: Urgent::None,
            urgent_at: 0,
            cut: false,
            late: false,
            vanished: false,
            vanished_at: 0,
            heard_at: 0,
            unacknowledged_since: None,
            options: None,
            established: false,
            tries: 0,
            backlog: VecDeque::new(),
            backlog_max: 0,
        }
    }

    /// Makes it as new, keeping the room of its buffers.
    pub(super) fn renew(&mut self, host: usize, local: Addr) {
        let mut fresh = Sock::new(host, local);
        self.rx.clear();
        self.tx.clear();
        std::mem::swap(&mut fresh.rx, &mut self.rx);
        std::mem::swap(&mut fresh.tx, &mut self.tx);
        *self = fresh;
    }

    /// How many more bytes a send takes.
    pub(super) fn room(&self) -> usize {
        if self.squeezed { 0 } else { self.tx_max.saturating_sub(self.tx.len()) }
    }

    /// Whether a poll calls it writable: a third of the buffer is free.
    pub(super) fn is_writable(&self) -> bool {
        !self.squeezed && self.tx.len() * 3 <= self.tx_max * 2 && self.tx.len() < self.tx_max
    }

    /// Whether a poll that is asked calls it writable.
    pub(super) fn takes_output(&self) -> bool {
        let connects = matches!(self.phase, Phase::Connecting | Phase::Listening);
        !connects && (self.shut_send || self.is_writable())
    }

    /// Whether a receive would bring bytes.
    // An urgent byte at the front is not one of them.
    pub(super) fn is_readable(&self) -> bool {
        let urgent = self.urgent != Urgent::None && self.urgent_at == self.read;
        self.rx.len() > usize::from(urgent)
    }

    /// What a poll says of it now, if it looks.
    pub(super) fn readiness(&self) -> Readiness {
        let mut poll = Poll::default();
        if self.phase == Phase::Listening {
            poll.input = !self.backlog.is_empty();
            return poll.to_readiness();
        }
        let gone = matches!(self.phase, Phase::Fresh | Phase::Dead);
        poll.hang_up = gone || (self.shut_send && self.shut_recv);
        poll.read_hang_up = self.shut_recv;
        poll.input = self.shut_recv;
        if self.phase != Phase::Connecting {
            poll.input |= self.is_readable();
            poll.output = self.watched && self.takes_output();
            poll.priority = matches!(self.urgent, Urgent::Arrived(_));
        }
        poll.error = self.error.is_some();
        poll.to_readiness()
    }

    /// Whether there is anything that the program has not fetched: bytes, the end or an error.
    pub(super) fn has_news(&self) -> bool {
        self.is_readable() || (self.shut_recv && !self.end_told)
    }

    /// Whether a poll that has it on its list may tell of it.
    pub(super) fn is_told(&self) -> bool {
        !self.level || !self.readiness().is_empty()
    }

    /// Whether anybody is or will be there to read what arrives.
    pub(super) fn is_there(&self) -> bool {
        self.held || self.queued
    }
}

/// Buffers are as large as Linux makes those of loopback in the end.
pub(super) const BUFFER: usize = 256 << 10;

/// The smallest buffer that a program can ask for.
pub(super) const BUFFER_MIN: usize = 2304;

/// The bits of `epoll`.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are bits of a mask")]
struct Poll {
    input: bool,
    priority: bool,
    output: bool,
    error: bool,
    hang_up: bool,
    read_hang_up: bool,
}

impl Poll {
    /// As mio reads them.
    fn to_readiness(self) -> Readiness {
        let mut set = Readiness::EMPTY;
        if self.input || self.priority {
            set |= Readiness::READABLE;
        }
        if self.output {
            set |= Readiness::WRITABLE;
        }
        if self.priority {
            set |= Readiness::EXCEPTIONAL;
        }
        if self.hang_up || (self.input && self.read_hang_up) {
            set |= Readiness::READ_CLOSED;
        }
        if self.hang_up || (self.output && self.error) {
            set |= Readiness::WRITE_CLOSED;
        }
        if self.error {
            set |= Readiness::ERROR;
        }
        set
    }
}
