//! The calls that programs make on simulated sockets.
//!
//! It knows what each returns and what it sets going; what travels then is `tcp`. Each call is one that Linux
//! has, with its errors.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};

use super::options::capacity;
use super::socket::{NOBODY, Owner, Phase, Sock, SockId, Urgent};
use super::world::{Event, MILLI, Route, Taken, What, World};
use crate::addr::Addr;
use crate::config::Listen;
use crate::sim::errno::Errno;
use crate::sim::faults::Fault;
use crate::sim::trace::Shown;

pub(super) type Result<T> = std::result::Result<T, Errno>;

/// What an accept may fail with because the system is short of something.
const SHORTAGES: [Errno; 4] = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];

/// What an accept may fail with because of the connection.
const ABORTS: [Errno; 5] =
    [Errno::ECONNABORTED, Errno::EPROTO, Errno::EPERM, Errno::ENETDOWN, Errno::EHOSTUNREACH];

/// How a connect may fail: at once.
const REFUSALS: [Errno; 5] =
    [Errno::EADDRNOTAVAIL, Errno::ENETUNREACH, Errno::ENOBUFS, Errno::EACCES, Errno::EMFILE];

impl World {
    /// Whether a signal interrupts a call.
    pub(super) fn interrupted(&mut self) -> Result<()> {
        if self.faults.take(&mut self.tape, Fault::Interrupt, 2) == 1 { Err(Errno::EINTR) } else { Ok(()) }
    }

    pub(super) fn listen(&mut self, host: usize, listen: &Listen) -> Result<SockId> {
        let addr = match &listen.addr {
            Addr::Ip(addr) => *addr,
            Addr::Unix(at) => return self.listen_unix(host, at, listen),
            Addr::Unnamed => return Err(Errno::EINVAL),
        };
        let here = &self.hosts[host];
        if here.descriptors >= here.descriptors_max {
            return Err(Errno::EMFILE);
        }
        let ip = if addr.ip().is_unspecified() || addr.ip().is_loopback() { here.addr } else { addr.ip() };
        if ip != here.addr {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let port = match addr.port() {
            0 => self.free_port(host, ip).ok_or(Errno::EADDRINUSE)?,
            port => port,
        };
        let addr = SocketAddr::new(ip, port);
        if self.listeners.contains_key(&addr) {
            return Err(Errno::EADDRINUSE);
        }
        let id = self.new_sock(host, addr);
        let sock = &mut self.socks[id as usize];
        sock.phase = Phase::Listening;
        sock.held = true;
        sock.backlog_max = listen.backlog as usize;
        sock.tx_max = listen.options.send_buffer_size.map_or(usize::MAX, capacity);
        sock.rx_max = listen.options.recv_buffer_size.map_or(usize::MAX, capacity);
        self.listeners.insert(addr, id);
        self.hosts[host].descriptors += 1;
        self.note(What::Connect, id, 0, |_| format!("#{id} listens on {addr}"));
        Ok(id)
    }

    fn free_port(&mut self, host: usize, ip: IpAddr) -> Option<u16> {
        let here = &mut self.hosts[host];
        let count = usize::from(here.ports_max - here.ports_min) + 1;
        for _ in 0..count {
            let port = here.next_port;
            here.next_port = if port == here.ports_max { here.ports_min } else { port + 1 };
            let addr = SocketAddr::new(ip, port);
            if !self.listeners.contains_key(&addr) && !here.ports.contains_key(&addr) {
                here.ports.insert(addr, Taken { count: 1, said: false });
                return Some(port);
            }
        }
        None
    }

    /// Takes the local port of a connect to `to`, which may be said.
    fn local_port(&mut self, host: usize, to: SocketAddr, local: Option<SocketAddr>) -> Result<SocketAddr> {
        let own = self.hosts[host].addr;
        let Some(local) = local else {
            let port = self.free_port(host, own).ok_or(Errno::EADDRNOTAVAIL)?;
            return Ok(SocketAddr::new(own, port));
        };
        let inside = local.ip().is_loopback() || local.ip().is_unspecified();
        let ip = if inside { own } else { local.ip() };
        if ip != own && !self.hosts[host].addrs.contains(&ip) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let addr = SocketAddr::new(ip, local.port());
        if addr.port() == 0 {
            // Chosen when it is bound, and not when the destination is known.
            let port = self.free_port(host, ip).ok_or(Errno::EADDRINUSE)?;
            return Ok(SocketAddr::new(ip, port));
        }
        let is_not_shared = self.hosts[host].ports.get(&addr).is_some_and(|taken| !taken.said);
        if self.listeners.contains_key(&addr) || is_not_shared {
            return Err(Errno::EADDRINUSE);
        }
        let same =
            |sock: &Sock| sock.host == host && sock.local == addr.into() && sock.remote == Some(to.into());
        let alive = |sock: &Sock| matches!(sock.phase, Phase::Connecting | Phase::Connected);
        if self.socks.iter().any(|sock| same(sock) && alive(sock)) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let taken = self.hosts[host].ports.entry(addr).or_default();
        (taken.count, taken.said) = (taken.count + 1, true);
        Ok(addr)
    }

    /// Begins to connect to `to`; the outcome is an edge.
    pub(super) fn connect(&mut self, host: usize, to: &Addr, local: Option<SocketAddr>) -> Result<SockId> {
        let to = match to {
            Addr::Ip(to) => *to,
            Addr::Unix(to) => return self.connect_unix(host, to),
            Addr::Unnamed => return Err(Errno::EINVAL),
        };
        let here = &self.hosts[host];
        // A host has one address, whatever it is called from inside.
        let inside = to.ip().is_loopback() || to.ip().is_unspecified();
        let to = if inside { SocketAddr::new(here.addr, to.port()) } else { to };
        if here.descriptors >= here.descriptors_max {
            return Err(Errno::EMFILE);
        }
        // At once, or later: refused, given up, never answered, or connected to itself.
        let way = self.faults.take(&mut self.tape, Fault::ConnectFails, 1 + REFUSALS.len() + 5);
        if let Some(&error) = way.checked_sub(1).and_then(|way| REFUSALS.get(way)) {
            self.note(What::Connect, NOBODY, way as u64, |_| format!("connect to {to}: {error}"));
            return Err(error);
        }
        let (ip, ports_min, ports_max) = (here.addr, here.ports_min, here.ports_max);
        let later = way.saturating_sub(REFUSALS.len());
        let itself = to.ip() == ip && (ports_min..=ports_max).contains(&to.port());
        let local = if later == 5 && itself && local.is_none() && !self.listeners.contains_key(&to) {
            self.hosts[host].ports.entry(to).or_default().count += 1;
            to
        } else {
            self.local_port(host, to, local)?
        };
        let id = self.new_sock(host, local);
        let sock = &mut self.socks[id as usize];
        sock.phase = Phase::Connecting;
        sock.held = true;
        sock.remote = Some(to.into());
        self.hosts[host].descriptors += 1;
        self.note(What::Connect, id, 1, |_| format!("#{id} connects to {to}"));
        let after = self.latency();
        match later {
            1 => {
                self.cut(id);
                self.later(after, Event::Dies(id, 1));
            }
            2 => {
                self.cut(id);
                self.later(after + 3000 * MILLI, Event::Dies(id, 0));
            }
            3 => {
                self.cut(id);
                self.later(131_000 * MILLI, Event::Dies(id, 0));
            }
            4 => {
                self.cut(id);
                self.reset_socket(id);
            }
            _ if after == 0 => self.syn(id),
            _ => self.later(after, Event::Syn(id)),
        }
        Ok(id)
    }

    /// Takes the next connection that waits at a listener.
    pub(super) fn accept(&mut self, listener: SockId) -> Result<(SockId, Addr)> {
        let result = self.accepted(listener);
        let value = result.as_ref().map_or_else(|&error| error as u64, |&(id, _)| u64::from(id) << 8);
        self.note(What::Accept, listener, value, |_| match &result {
            Ok((id, from)) => format!("accept on #{listener}: #{id} from {from}"),
            Err(error) => format!("accept on #{listener}: {error}"),
        });
        result
    }

    fn accepted(&mut self, listener: SockId) -> Result<(SockId, Addr)> {
        self.interrupted()?;
        let sock = &self.socks[listener as usize];
        let host = sock.host;
        if sock.backlog.is_empty() {
            return Err(Errno::EAGAIN);
        }
        if self.hosts[host].descriptors >= self.hosts[host].descriptors_max {
            return Err(Errno::EMFILE);
        }
        let way = self.faults.take(&mut self.tape, Fault::Exhausted, 1 + SHORTAGES.len());
        if let Some(way) = way.checked_sub(1) {
            return Err(SHORTAGES[way]);
        }
        // Nothing is between the two ends of a Unix stream that could end it.
        let ways = if self.socks[listener as usize].is_unix { 0 } else { ABORTS.len() };
        let way = self.faults.take(&mut self.tape, Fault::Aborted, 1 + ways);
        let Some(id) = self.socks[listener as usize].backlog.pop_front() else { return Err(Errno::EAGAIN) };
        self.socks[id as usize].queued = false;
        if let Some(way) = way.checked_sub(1) {
            self.cut(id);
            self.send_reset(id);
            self.reap(id);
            return Err(ABORTS[way]);
        }
        self.socks[id as usize].held = true;
        self.hosts[host].descriptors += 1;
        // Known also when it was reset meanwhile.
        let from = self.socks[id as usize].remote.clone().ok_or(Errno::ECONNABORTED)?;
        Ok((id, from))
    }

    pub(super) fn recv(&mut self, id: SockId, buf: &mut [u8]) -> Result<usize> {
        self.socks[id as usize].recvs += 1;
        let result = self.interrupted().and_then(|()| self.received(id, buf));
        if let Ok(n) = result {
            self.trace.note_bytes(&buf[..n]);
        }
        let value = result.map_or_else(|error| 1 << 40 | error as u64, |n| n as u64);
        self.note(What::Recv, id, value, |_| match result {
            Ok(n) => format!("recv #{id}: {n} bytes {}", Shown(&buf[..n])),
            Err(error) => format!("recv #{id}: {error}"),
        });
        result
    }

    pub(super) fn received(&mut self, id: SockId, buf: &mut [u8]) -> Result<usize> {
        let sock = &mut self.socks[id as usize];
        let mut n = buf.len().min(sock.rx.len());
        if sock.urgent != Urgent::None && sock.urgent_at >= sock.read {
            match usize::try_from(sock.urgent_at - sock.read).unwrap_or(usize::MAX) {
                // The urgent byte itself is skipped, read or not.
                0 if n > 0 => {
                    sock.rx.pop_front();
                    sock.read += 1;
                    sock.urgent = Urgent::None;
                    n = buf.len().min(sock.rx.len());
                }
                // Receiving stops at the mark.
                before => n = n.min(before),
            }
        }
        if n > 0 {
            let (front, back) = sock.rx.as_slices();
            let of_front = n.min(front.len());
            buf[..of_front].copy_from_slice(&front[..of_front]);
            buf[of_front..n].copy_from_slice(&back[..n - of_front]);
            if n == sock.rx.len() {
                sock.rx.clear();
            } else {
                sock.rx.drain(..n);
            }
            sock.read += n as u64;
            let (peer, open) = (sock.peer, sock.rx.len() * 2 <= sock.rx_max);
            let is_unix = sock.is_unix;
            if peer != NOBODY && open {
                self.transmit(peer);
            }
            if is_unix {
                self.room_unix(id);
            }
            return Ok(n);
        }
        sock.end_told |= sock.shut_recv;
        if sock.done {
            return Ok(0);
        }
        if let Some(error) = sock.error.take() {
            return Err(error);
        }
        if sock.shut_recv {
            return Ok(0);
        }
        Err(if sock.phase == Phase::Fresh { Errno::ENOTCONN } else { Errno::EAGAIN })
    }

    pub(super) fn recv_urgent(&mut self, id: SockId) -> Result<Option<u8>> {
        let sock = &mut self.socks[id as usize];
        let result = match sock.urgent {
            // It has arrived and is out of reach, where data is not.
            Urgent::Arrived(_) if sock.phase == Phase::Dead && !sock.done => Err(Errno::ENOTCONN),
            Urgent::Arrived(byte) => {
                sock.urgent = Urgent::Read;
                Ok(Some(byte))
            }
            Urgent::None | Urgent::Read => Err(Errno::EINVAL),
        };
        let value = result.map_or_else(|error| 1 << 40 | error as u64, |byte| byte.map_or(256, u64::from));
        self.note(What::RecvUrgent, id, value, |_| format!("recv #{id}, urgent: {result:?}"));
        result
    }

    pub(super) fn send(&mut self, id: SockId, slices: &[IoSlice<'_>]) -> Result<usize> {
        let result = self.interrupted().and_then(|()| self.taken(id, slices));
        if let Ok(n) = result {
            let mut left = n;
            for slice in slices {
                let part = left.min(slice.len());
                self.trace.note_bytes(&slice[..part]);
                left -= part;
            }
        }
        let value = result.map_or_else(|error| 1 << 40 | error as u64, |n| n as u64);
        self.note(What::Send, id, value, |_| {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(64).collect();
            let len: usize = slices.iter().map(|slice| slice.len()).sum();
            match result {
                Ok(n) => format!("send #{id}: {n} of {len} bytes {}", Shown(&all[..n.min(all.len())])),
                Err(error) => format!("send #{id}, {len} bytes: {error}"),
            }
        });
        if result.is_ok() {
            self.transmit(id);
        }
        result
    }

    pub(super) fn taken(&mut self, id: SockId, slices: &[IoSlice<'_>]) -> Result<usize> {
        let sock = &mut self.socks[id as usize];
        if sock.phase == Phase::Connecting {
            sock.no_space = true;
            return Err(sock.error.take().unwrap_or(Errno::EAGAIN));
        }
        if sock.is_unix && sock.shut_send {
            // The error stays for a receive.
            return Err(Errno::EPIPE);
        }
        if sock.error.is_some() || sock.shut_send || sock.phase != Phase::Connected {
            return Err(sock.error.take().unwrap_or(Errno::EPIPE));
        }
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        if len == 0 {
            return Ok(0);
        }
        if sock.squeezed {
            sock.no_space = true;
            return Err(Errno::EAGAIN);
        }
        let mut n = sock.room().min(len);
        if n > 0 {
            let polled = matches!(sock.owner, Owner::Poll(_));
            if polled && self.faults.take(&mut self.tape, Fault::NoBuffers, 2) > 0 {
                return Err(Errno::ENOBUFS);
            }
            let squeeze = self.faults.take(&mut self.tape, Fault::Squeeze, 4);
            if squeeze > 0 {
                // As when the system is short of memory for buffers: nothing now, or less than there is room for.
                self.socks[id as usize].squeezed = true;
                self.later([1, MILLI / 2, 30 * MILLI][squeeze - 1], Event::Space(id));
                n = 0;
            } else {
                let way = self.faults.take(&mut self.tape, Fault::PartialSend, n);
                if way > 0 {
                    n = way;
                    self.socks[id as usize].squeezed = true;
                    self.later(1000, Event::Space(id));
                }
            }
        }
        let sock = &mut self.socks[id as usize];
        if n < len {
            sock.no_space = true;
        }
        if n == 0 {
            return Err(Errno::EAGAIN);
        }
        let mut left = n;
        for slice in slices {
            let part = left.min(slice.len());
            sock.tx.extend(&slice[..part]);
            left -= part;
        }
        sock.sent += n as u64;
        Ok(n)
    }

    /// `SO_SNDBUF`.
    #[cfg(test)]
    pub(crate) fn set_send_buffer(&mut self, id: SockId, bytes: usize) {
        self.socks[id as usize].tx_max = bytes;
    }

    /// Sends one urgent byte.
    pub(crate) fn send_urgent(&mut self, id: SockId, byte: u8) -> Result<()> {
        let at = self.socks[id as usize].sent;
        let n = self.taken(id, &[IoSlice::new(&[byte])])?;
        debug_assert_eq!(n, 1);
        self.socks[id as usize].urgent_sent = Some(at);
        self.note(What::Send, id, 1 << 41, |_| format!("send #{id}, urgent: {}", Shown(&[byte])));
        self.transmit(id);
        Ok(())
    }

    pub(super) fn shutdown(&mut self, id: SockId) -> Result<()> {
        self.note(What::Shutdown, id, 0, |_| format!("shutdown #{id}"));
        let sock = &mut self.socks[id as usize];
        let result = match sock.phase {
            Phase::Connected => {
                sock.shut_send = true;
                Ok(())
            }
            // The attempt is taken back.
            Phase::Connecting => {
                sock.phase = Phase::Fresh;
                sock.error = Some(Errno::ECONNRESET);
                self.release_port(id);
                Ok(())
            }
            Phase::Fresh | Phase::Dead | Phase::Listening => Err(Errno::ENOTCONN),
        };
        self.transmit(id);
        let (peer, is_unix) = (self.socks[id as usize].peer, self.socks[id as usize].is_unix);
        if is_unix && peer != NOBODY {
            // Each time.
            self.wake(peer);
        }
        // Whoever polls is told in any case, after the peer.
        self.wake(id);
        result
    }

    pub(super) fn take_error(&mut self, id: SockId) -> Option<Errno> {
        let error = self.socks[id as usize].error.take();
        self.note(What::Recv, id, error.map_or(1 << 42, |error| (1 << 42) + 1 + error as u64), |_| {
            format!("the error of #{id}: {error:?}")
        });
        error
    }

    pub(super) fn peer_addr(&self, id: SockId) -> Result<Addr> {
        let sock = &self.socks[id as usize];
        match sock.remote.clone() {
            Some(remote) if sock.phase == Phase::Connected => Ok(remote),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// The program lets go of a socket.
    pub(super) fn close(&mut self, id: SockId) {
        self.note(What::Close, id, 0, |_| format!("close #{id}"));
        self.deregister(id);
        let sock = &mut self.socks[id as usize];
        let host = sock.host;
        sock.held = false;
        sock.owner = Owner::Nobody;
        self.hosts[host].descriptors -= 1;
        match self.socks[id as usize].phase {
            Phase::Listening if self.socks[id as usize].is_unix => self.unlisten_unix(id),
            Phase::Connected if self.socks[id as usize].is_unix => self.close_unix(id),
            Phase::Listening => {
                if let Some(local) = self.socks[id as usize].local.socket_addr() {
                    self.listeners.remove(&local);
                }
                while let Some(waiting) = self.socks[id as usize].backlog.pop_front() {
                    self.socks[waiting as usize].queued = false;
                    self.send_reset(waiting);
                    self.reap(waiting);
                }
                self.socks[id as usize].phase = Phase::Dead;
            }
            Phase::Connected => {
                let sock = &mut self.socks[id as usize];
                if sock.reset_on_close || !sock.rx.is_empty() {
                    // Input that nobody will read is answered with a reset.
                    self.send_reset(id);
                } else {
                    sock.shut_send = true;
                    self.transmit(id);
                }
            }
            Phase::Connecting => {
                self.socks[id as usize].phase = Phase::Dead;
                self.release_port(id);
            }
            Phase::Fresh | Phase::Dead => {}
        }
        self.reap(id);
    }

    /// What lies between everybody and an address from now on.
    pub(crate) fn route(&mut self, to: SocketAddr, route: Route) {
        self.routes.insert(to, route);
    }
}
