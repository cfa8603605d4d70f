//! What travels between the two ends of a connection: segments, ends, resets, attempts to connect.
//!
//! It knows the rules of TCP as Linux keeps them; it does not know who calls. Without faults everything has
//! arrived when the call that caused it returns, as on loopback.
//!
//! ```text
//!  send ─▶ tx ─── segment ──▶ rx ─▶ recv
//!          (what has not arrived) (what was not read)
//! ```

use super::socket::{NOBODY, Owner, Phase, Sock, SockId, Urgent};
use super::world::{Event, MILLI, Route, What, World};
use crate::addr::Addr;
use crate::id::ConnId;
use crate::net::Token;
use crate::sim::errno::Errno;
use crate::sim::faults::Fault;
use crate::sim::trace::Shown;

/// How long something may take, in nanoseconds.
const LATENCIES: [u64; 7] = [0, 10_000, 200_000, 999_000, MILLI, 7 * MILLI, 40 * MILLI];

/// How long a direction may stand still.
const STALLS: [u64; 5] = [0, 50 * MILLI, 1000 * MILLI, 5000 * MILLI, 60_000 * MILLI];

/// What a connection may die of.
pub(super) const DEATHS: [Errno; 5] =
    [Errno::ETIMEDOUT, Errno::EHOSTUNREACH, Errno::ENETUNREACH, Errno::ENETDOWN, Errno::EPROTO];

/// After how long Linux gives up what nobody acknowledges (`tcp_retries2`), and a connect (`tcp_syn_retries`).
const GIVES_UP: u64 = 924_000 * MILLI;
const CONNECT_GIVES_UP: u64 = 131_000 * MILLI;

impl World {
    pub(super) fn latency(&mut self) -> u64 {
        LATENCIES[self.faults.take(&mut self.tape, Fault::Latency, LATENCIES.len())]
    }

    /// Sends what waits in the send buffer of `sock`, and its end, if nothing is on its way yet.
    pub(super) fn transmit(&mut self, sock: SockId) {
        let from = &self.socks[sock as usize];
        if from.flying || from.phase != Phase::Connected {
            return;
        }
        if from.tx.is_empty() && (!from.shut_send || from.fin_sent) {
            return;
        }
        if from.is_unix {
            self.socks[sock as usize].flying = true;
            return self.segment(sock);
        }
        if !from.vanished {
            self.harm(sock);
        }
        let from = &self.socks[sock as usize];
        if from.flying || from.phase != Phase::Connected {
            return;
        }
        if from.vanished {
            // Sent again and again, and never acknowledged.
            self.socks[sock as usize].flying = true;
            self.unacknowledged(sock);
            return self.later(GIVES_UP, Event::Dies(sock, 0));
        }
        let stall = STALLS[self.faults.take(&mut self.tape, Fault::Stall, STALLS.len())];
        if stall > 0 {
            self.hold_up(sock);
        }
        let after = stall + self.latency();
        self.socks[sock as usize].flying = true;
        if after == 0 {
            self.segment(sock);
        } else {
            self.later(after, Event::Segment(sock));
        }
    }

    /// Marks a connection as held up: whoever waits may have given up, and said so.
    fn hold_up(&mut self, sock: SockId) {
        let peer = self.socks[sock as usize].peer;
        for one in [sock, peer].into_iter().filter(|&one| one != NOBODY) {
            self.socks[one as usize].late = true;
        }
        self.cut(sock);
    }

    /// Marks a connection as harmed: what was expected of it need not come.
    pub(super) fn cut(&mut self, sock: SockId) {
        let peer = self.socks[sock as usize].peer;
        for one in [sock, peer] {
            if one == NOBODY || std::mem::replace(&mut self.socks[one as usize].cut, true) {
                continue;
            }
            // A client may have nothing else to hear of it.
            if let Owner::Actor(actor) = self.socks[one as usize].owner {
                self.act_in(actor, 0);
            }
        }
    }

    /// As [`cut`](World::cut), for a connection of a reactor.
    pub(crate) fn cut_conn(&mut self, id: ConnId) {
        self.cut_where(|sock| sock.owner == Owner::Poll(Token::conn(id)));
    }

    /// As [`cut`](World::cut), for a connection that a reactor is just being told of.
    pub(crate) fn cut_peer(&mut self, peer: &Addr) {
        self.cut_where(|sock| {
            // Unix streams have no name to know them by, but this one is not in a poll yet.
            let is_new = !sock.is_unix || sock.owner == Owner::Nobody && sock.phase == Phase::Connected;
            sock.held && is_new && sock.remote.as_ref() == Some(peer)
        });
    }

    fn cut_where(&mut self, is_it: impl Fn(&Sock) -> bool) {
        if let Some(at) = self.socks.iter().position(is_it) {
            self.cut(u32::try_from(at).unwrap_or(NOBODY));
        }
    }

    /// Marks all connections as harmed.
    pub(super) fn cut_all(&mut self) {
        for sock in 0..u32::try_from(self.socks.len()).unwrap_or(u32::MAX) {
            if self.socks[sock as usize].is_there() {
                self.hold_up(sock);
            }
        }
    }

    /// What may go wrong with a connection each time that something travels on it.
    fn harm(&mut self, sock: SockId) {
        let peer = self.socks[sock as usize].peer;
        if peer == NOBODY {
            return;
        }
        match self.faults.take(&mut self.tape, Fault::Reset, 4) {
            0 => {}
            way => {
                self.cut(sock);
                self.note(What::Fault, sock, 1, |_| {
                    format!("fault: a reset of #{sock} and #{peer}, way {way}")
                });
                // Both are told, or only one: something between them made it up.
                if way != 3 {
                    self.reset_socket(peer);
                }
                if way != 2 {
                    self.reset_socket(sock);
                }
            }
        }
        let death = self.faults.take(&mut self.tape, Fault::Dies, 1 + DEATHS.len());
        if let Some(error) = death.checked_sub(1) {
            self.cut(sock);
            self.dies(sock, error);
        }
        if self.faults.take(&mut self.tape, Fault::Vanishes, 2) == 1 {
            self.cut(sock);
            self.note(What::Fault, sock, 2, |_| {
                format!("fault: #{sock} and #{peer} hear no more of each other")
            });
            self.vanish(sock);
            self.vanish(peer);
        }
    }

    /// A segment of `sock` arrives at the other end, and makes way for the next.
    pub(super) fn segment(&mut self, sock: SockId) {
        self.socks[sock as usize].flying = false;
        let from = &self.socks[sock as usize];
        if from.phase != Phase::Connected || from.vanished {
            return self.transmit(sock);
        }
        let peer = from.peer;
        if peer == NOBODY && from.is_unix {
            return;
        }
        if peer == NOBODY {
            return self.reset_socket(sock);
        }
        let to = &self.socks[peer as usize];
        let deaf = to.phase == Phase::Dead || (!to.is_there() && !from.tx.is_empty());
        if deaf {
            // Nobody is there to receive it: the answer is a reset, and what was on its way back is lost too.
            self.reset_socket(peer);
            return self.reset_socket(sock);
        }
        let room = to.rx_max.saturating_sub(to.rx.len());
        let mut bytes = from.tx.len().min(room);
        if bytes > 1 {
            let way = self.faults.take(&mut self.tape, Fault::Fragment, bytes);
            if way > 0 {
                bytes = way;
            }
        }
        if bytes > 0 {
            self.deliver(sock, bytes);
        }
        if room == 0 && !self.socks[sock as usize].tx.is_empty() {
            self.unacknowledged(sock);
        }
        let from = &self.socks[sock as usize];
        let more = !from.tx.is_empty();
        if !more && from.shut_send && !from.fin_sent {
            if bytes > 0 && self.faults.take(&mut self.tape, Fault::FinApart, 2) == 1 {
                self.socks[sock as usize].flying = true;
                let after = self.latency().max(1000);
                return self.later(after, Event::Fin(sock));
            }
            self.fin(sock);
        } else if more && bytes > 0 && bytes < room {
            // The rest comes in segments of its own, a moment later.
            self.socks[sock as usize].flying = true;
            let after = self.latency().max(1000);
            self.later(after, Event::Segment(sock));
        }
    }

    /// The first `bytes` of what `sock` has sent get into the receive buffer of the other end.
    pub(super) fn deliver(&mut self, sock: SockId, bytes: usize) {
        let peer = self.socks[sock as usize].peer;
        let mut tx = std::mem::take(&mut self.socks[sock as usize].tx);
        let from = &self.socks[sock as usize];
        let first = from.sent - tx.len() as u64;
        let urgent = from.urgent_sent.filter(|&at| (first..first + bytes as u64).contains(&at));
        let to = &mut self.socks[peer as usize];
        if let Some(at) = urgent {
            let offset = usize::try_from(at - first).unwrap_or(0);
            // An urgent byte that nobody has fetched, at the very front, makes way for the next.
            if to.urgent != Urgent::None && to.urgent_at == to.read && !to.rx.is_empty() {
                to.rx.pop_front();
                to.read += 1;
            }
            to.urgent = Urgent::Arrived(tx[offset]);
            to.urgent_at = at;
        }
        let (front, back) = tx.as_slices();
        let of_front = bytes.min(front.len());
        to.rx.extend(&front[..of_front]);
        to.rx.extend(&back[..bytes - of_front]);
        self.trace.note(self.now, What::Arrives as u8, peer, bytes as u64);
        if self.trace.records() {
            let some: Vec<u8> = tx.iter().take(bytes.min(64)).copied().collect();
            self.trace.say(self.now, || format!("{bytes} bytes arrive at #{peer}: {}", Shown(&some)));
        }
        if bytes == tx.len() {
            tx.clear();
        } else {
            tx.drain(..bytes);
        }
        if peer == sock {
            // Connected to itself: what was taken meanwhile is behind it.
            tx.append(&mut self.socks[sock as usize].tx);
        }
        self.socks[sock as usize].tx = tx;
        self.heard(sock, peer);
        self.wake(peer);
        self.space_made(sock);
    }

    /// There may be room again in the send buffer: whoever waits for it is told.
    pub(super) fn space_made(&mut self, sock: SockId) {
        let from = &mut self.socks[sock as usize];
        if from.no_space && from.is_writable() {
            from.no_space = false;
            if from.watched {
                self.wake(sock);
            }
        }
    }

    /// The end of `sock` arrives.
    pub(super) fn fin(&mut self, sock: SockId) {
        let from = &mut self.socks[sock as usize];
        from.flying = false;
        if from.phase != Phase::Connected || from.fin_sent {
            return;
        }
        from.fin_sent = true;
        let peer = from.peer;
        if peer == NOBODY {
            return self.ended(sock);
        }
        if self.socks[peer as usize].phase == Phase::Dead {
            return self.reset_socket(sock);
        }
        self.note(What::Arrives, peer, u64::MAX, |_| format!("the end arrives at #{peer}"));
        let to = &mut self.socks[peer as usize];
        to.shut_recv = true;
        // An error that comes behind the end of a Unix stream is told all the same.
        to.done = !to.is_unix;
        self.heard(sock, peer);
        self.wake(peer);
        self.ended(peer);
        self.ended(sock);
    }

    /// A connection whose both sides have ended is over.
    fn ended(&mut self, sock: SockId) {
        let one = &mut self.socks[sock as usize];
        if one.phase == Phase::Connected && one.fin_sent && one.done {
            one.phase = Phase::Dead;
            self.release_port(sock);
        }
        self.reap(sock);
    }

    /// `sock` resets its connection: so many of the bytes it has sent arrive before.
    pub(super) fn send_reset(&mut self, sock: SockId) {
        let from = &mut self.socks[sock as usize];
        let peer = from.peer;
        let connected = from.phase == Phase::Connected && !from.vanished && peer != NOBODY;
        from.phase = Phase::Dead;
        from.shut_send = true;
        from.shut_recv = true;
        if connected {
            let bytes = from.tx.len();
            let lost = self.faults.take(&mut self.tape, Fault::Reset, 1 + bytes);
            let after = self.latency();
            if after == 0 {
                self.reset_arrives(sock, bytes - lost);
            } else {
                self.later(after, Event::Reset(sock, bytes - lost));
            }
        }
        self.release_port(sock);
    }

    /// The reset that `sock` sent arrives behind `bytes` of what it sent before.
    pub(super) fn reset_arrives(&mut self, sock: SockId, bytes: usize) {
        let from = &self.socks[sock as usize];
        let peer = from.peer;
        if peer == NOBODY || from.vanished {
            return;
        }
        let to = &self.socks[peer as usize];
        if to.phase == Phase::Connected && to.is_there() {
            let bytes = bytes.min(from.tx.len()).min(to.rx_max.saturating_sub(to.rx.len()));
            if bytes > 0 {
                self.deliver(sock, bytes);
            }
        }
        self.reset_socket(peer);
    }

    /// A reset has come for `sock`.
    pub(super) fn reset_socket(&mut self, sock: SockId) {
        let one = &self.socks[sock as usize];
        let error = match one.phase {
            Phase::Connecting => Errno::ECONNREFUSED,
            // Its peer had ended orderly before (CLOSE_WAIT).
            Phase::Connected if one.done => Errno::EPIPE,
            Phase::Connected => Errno::ECONNRESET,
            Phase::Fresh | Phase::Listening | Phase::Dead => return,
        };
        self.note(What::Arrives, sock, u64::MAX - 1, |_| format!("a reset arrives at #{sock}"));
        self.fail(sock, error);
    }

    /// The system gives `sock` up.
    pub(super) fn dies(&mut self, sock: SockId, error: usize) {
        let phase = self.socks[sock as usize].phase;
        if matches!(phase, Phase::Connected | Phase::Connecting) {
            let error = DEATHS[error];
            self.note(What::Fault, sock, 3, |_| format!("the system gives #{sock} up: {error}"));
            self.fail(sock, error);
        }
    }

    fn fail(&mut self, sock: SockId, error: Errno) {
        let one = &mut self.socks[sock as usize];
        if let (Owner::Poll(token), host, Errno::ECONNRESET) = (one.owner, one.host, error) {
            self.note_reset(host, token);
        }
        let one = &mut self.socks[sock as usize];
        one.error = Some(error);
        one.phase = Phase::Dead;
        one.shut_send = true;
        one.shut_recv = true;
        one.flying = false;
        one.tx.clear();
        self.wake(sock);
        self.release_port(sock);
        self.reap(sock);
    }

    pub(super) fn release_port(&mut self, sock: SockId) {
        let one = &self.socks[sock as usize];
        let (host, Some(local)) = (one.host, one.local.socket_addr()) else { return };
        let ports = &mut self.hosts[host].ports;
        if let Some(taken) = ports.get_mut(&local) {
            taken.count -= 1;
            if taken.count == 0 {
                ports.remove(&local);
            }
        }
    }

    /// The end of a while in which sends took nothing.
    pub(super) fn space(&mut self, sock: SockId) {
        self.socks[sock as usize].squeezed = false;
        self.space_made(sock);
    }

    /// The attempt of `sock` to connect arrives where it goes.
    pub(super) fn syn(&mut self, sock: SockId) {
        let one = &self.socks[sock as usize];
        if one.phase != Phase::Connecting {
            return;
        }
        let Some(to) = one.remote.as_ref().and_then(Addr::socket_addr) else { return };
        match self.routes.get(&to) {
            Some(Route::BlackHole) => return self.later(CONNECT_GIVES_UP, Event::Dies(sock, 0)),
            Some(Route::Unreachable) => return self.dies(sock, 1),
            None => {}
        }
        if Some(to) == one.local.socket_addr() {
            self.socks[sock as usize].peer = sock;
            return self.connected(sock);
        }
        let Some(&listener) = self.listeners.get(&to) else { return self.reset_socket(sock) };
        let listening = &self.socks[listener as usize];
        if listening.backlog.len() > listening.backlog_max {
            // Not answered, and tried again after 1, 2, 4, … seconds.
            let tries = self.socks[sock as usize].tries;
            self.socks[sock as usize].tries += 1;
            let again = if tries < 6 { Event::Syn(sock) } else { Event::Dies(sock, 0) };
            return self.later((1000 * MILLI) << tries, again);
        }
        let (host, from) = (listening.host, self.socks[sock as usize].local.clone());
        let child = self.new_sock(host, to);
        self.note(What::Arrives, listener, u64::from(child), |_| {
            format!("#{sock} connects to #{listener}: #{child}")
        });
        let asked = &self.socks[listener as usize];
        let (tx_max, rx_max, options) = (asked.tx_max, asked.rx_max, asked.options.clone());
        let accepted = &mut self.socks[child as usize];
        accepted.tx_max = accepted.tx_max.min(tx_max);
        accepted.rx_max = accepted.rx_max.min(rx_max);
        accepted.options = options;
        accepted.phase = Phase::Connected;
        accepted.established = true;
        accepted.remote = Some(from);
        accepted.peer = sock;
        accepted.queued = true;
        self.socks[sock as usize].peer = child;
        self.socks[listener as usize].backlog.push_back(child);
        self.wake(listener);
        self.connected(sock);
    }

    fn connected(&mut self, sock: SockId) {
        let one = &mut self.socks[sock as usize];
        one.phase = Phase::Connected;
        one.established = true;
        let peer = one.peer;
        self.heard(sock, peer);
        self.wake(sock);
        self.transmit(sock);
    }
}
