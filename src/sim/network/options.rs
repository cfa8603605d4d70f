//! Options of simulated sockets: what is kept, what Linux would answer, and which peers they give up.
//!
//! It knows the rules of `tcp_keepalive_timer` and of `TCP_USER_TIMEOUT`; that a peer is gone is said elsewhere.
//!
//! ```text
//!  last sign of life     asked      asked      asked      given up
//!         ├──── after ────┼── every ─┼── every ─┼── every ─┤        keepalive, times = 3
//!         ├ sent ── user_timeout ──┤ given up                       what is sent is not acknowledged
//! ```
//!
//! Nobody is asked while anything that was sent is not acknowledged: then only the second holds, or the system's own
//! patience.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::socket::{BUFFER_MIN, NOBODY, Phase, Sock, SockId};
use super::world::{Event, What, World};
use crate::addr::Addr;
use crate::options::{Keepalive, Options, Transport};
use crate::sim::errno::Errno;

/// The most that a program can ask for (`net.core.rmem_max` and `wmem_max`, as Linux long had them).
const BUFFER_LIMIT: usize = 212_992;

/// What Linux answers for the smallest send buffer.
const SEND_BUFFER_MIN: usize = 4608;

/// The interfaces of every host, and the name for any.
const DEVICES: [&str; 3] = ["", "lo", "eth0"];

/// How many bytes a buffer has room for that a program asks for: Linux doubles the number for its own overhead.
pub(super) fn capacity(bytes: usize) -> usize {
    bytes.clamp(BUFFER_MIN, BUFFER_LIMIT)
}

/// What may be set, as Linux answers for it later.
pub(super) fn as_answered(options: &Options, transport: Transport) -> io::Result<Options> {
    options.validate_for(transport)?;
    if options.device.as_ref().is_some_and(|device| !DEVICES.contains(&device.as_str())) {
        return Err(Errno::ENODEV.into());
    }
    let mut answered = options.clone();
    let doubled = |bytes: usize, least: usize| (bytes.min(BUFFER_LIMIT) * 2).max(least);
    answered.recv_buffer_size = options.recv_buffer_size.map(|bytes| doubled(bytes, BUFFER_MIN));
    answered.send_buffer_size = options.send_buffer_size.map(|bytes| doubled(bytes, SEND_BUFFER_MIN));
    if transport == Transport::Tcp {
        // The bits of ECN are the kernel's own.
        answered.traffic_class = options.traffic_class.map(|class| class & 0xfc);
    }
    Ok(answered)
}

/// What may be set of a stream to or at `addr`, with what is set anyway.
pub(super) fn of_stream(options: &Options, addr: &Addr) -> io::Result<Options> {
    match addr {
        Addr::Ip(_) => Ok(as_answered(options, Transport::Tcp)?.or(Options::new().nodelay(true))),
        Addr::Unix(_) | Addr::Unnamed => as_answered(options, Transport::Unix),
    }
}

/// What may be set of a socket for datagrams at `addr`.
pub(super) fn of_datagrams(options: &Options, addr: &Addr) -> io::Result<Options> {
    let transport = match addr {
        Addr::Ip(_) => Transport::Udp,
        Addr::Unix(_) | Addr::Unnamed => Transport::Unix,
    };
    as_answered(options, transport)
}

/// What a socket has that nothing was set of.
pub(super) fn defaults(transport: Transport, recv_buffer: usize, send_buffer: usize) -> Options {
    let buffers = Options::new().recv_buffer_size(recv_buffer).send_buffer_size(send_buffer);
    if transport == Transport::Unix {
        return buffers;
    }
    let common = buffers.traffic_class(0).hop_limit(64).mark(0).device("");
    if transport != Transport::Tcp {
        return common;
    }
    common.keepalive(Keepalive::Off).user_timeout(Duration::ZERO).nodelay(false).not_sent_low_water(0)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Sock {
    fn transport(&self) -> Transport {
        if self.is_unix { Transport::Unix } else { Transport::Tcp }
    }

    fn user_timeout(&self) -> Option<u64> {
        let timeout = self.options.as_ref()?.user_timeout?;
        if timeout.is_zero() { None } else { Some(nanos(timeout)) }
    }

    /// When the system gives its peer up, as far as options say so.
    fn given_up_at(&self) -> Option<u64> {
        if self.phase != Phase::Connected {
            return None;
        }
        let user_timeout = self.user_timeout();
        if let Some(since) = self.unacknowledged_since {
            return Some(since.saturating_add(user_timeout?));
        }
        if !self.vanished {
            return None;
        }
        let Keepalive::On { after, every, times } = self.options.as_ref()?.keepalive? else { return None };
        let (after, every) = (nanos(after), nanos(every));
        // Until it vanished it has answered each time.
        let answered = self.vanished_at.saturating_sub(self.heard_at) / after;
        let heard_at = self.heard_at + answered * after;
        let questions = match user_timeout {
            Some(timeout) => timeout.saturating_sub(after).div_ceil(every).max(1),
            None => u64::from(times),
        };
        Some(heard_at + after + every * questions)
    }
}

impl World {
    /// Sets options of a connection's socket.
    pub(super) fn set_options(&mut self, id: SockId, options: &Options) -> io::Result<()> {
        let answered = as_answered(options, self.socks[id as usize].transport())?;
        self.note(What::Connect, id, 3, |_| format!("options of #{id}: {options:?}"));
        self.keep_options(id, options, answered);
        Ok(())
    }

    /// Has a socket have `options`, which are answered so.
    pub(super) fn keep_options(&mut self, id: SockId, options: &Options, answered: Options) {
        let sock = &mut self.socks[id as usize];
        let before = sock.options.as_deref().cloned().unwrap_or_default();
        sock.options = Some(Rc::new(answered.or(before)));
        if let Some(bytes) = options.send_buffer_size {
            sock.tx_max = capacity(bytes);
        }
        if let (Some(bytes), false) = (options.recv_buffer_size, sock.is_unix) {
            sock.rx_max = capacity(bytes);
        }
        let peer = sock.peer;
        // A larger buffer has room again.
        self.space_made(id);
        if peer != NOBODY {
            self.transmit(peer);
        }
        self.watch_peer(id);
    }

    /// All options of a connection's socket.
    pub(super) fn options(&self, id: SockId) -> Options {
        let sock = &self.socks[id as usize];
        let set = sock.options.as_deref().cloned().unwrap_or_default();
        set.or(defaults(sock.transport(), sock.rx_max, sock.tx_max))
    }

    /// Both ends have heard of each other.
    pub(super) fn heard(&mut self, sock: SockId, peer: SockId) {
        let now = self.now;
        for id in [sock, peer] {
            self.socks[id as usize].heard_at = now;
        }
        // What `sock` had sent is acknowledged, as far as there was room for it.
        self.socks[sock as usize].unacknowledged_since = None;
    }

    /// What `sock` has sent is not acknowledged from now on, if it was before.
    pub(super) fn unacknowledged(&mut self, id: SockId) {
        let now = self.now;
        if self.socks[id as usize].unacknowledged_since.is_none() {
            self.socks[id as usize].unacknowledged_since = Some(now);
            self.watch_peer(id);
        }
    }

    /// The peer of `sock` is gone without a word.
    pub(super) fn vanish(&mut self, id: SockId) {
        let now = self.now;
        let sock = &mut self.socks[id as usize];
        sock.vanished = true;
        sock.vanished_at = now;
        self.watch_peer(id);
    }

    /// Has the options of a socket looked at again when they may have something to say.
    fn watch_peer(&mut self, id: SockId) {
        let now = self.now;
        if let Some(at) = self.socks[id as usize].given_up_at() {
            self.later(at.saturating_sub(now), Event::Due(id));
        }
    }

    /// Such a time has come; whatever happened since may have put it off.
    pub(super) fn due(&mut self, id: SockId) {
        let (now, peer) = (self.now, self.socks[id as usize].peer);
        if self.socks[id as usize].given_up_at().is_some_and(|at| at <= now) {
            self.dies(id, 0);
            // One that is still there is told when it says something.
            if peer != NOBODY && !self.socks[peer as usize].vanished {
                self.reset_socket(peer);
            }
        }
    }
}
