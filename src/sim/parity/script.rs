//! A script: steps on a rig, each with a line in a trace.
//!
//! It knows names for sockets and addresses, so that traces of two networks can be compared; it does not know
//! which network it runs on. A line says the call and its answer, errors by kind:
//!
//!     a send abc -> 3
//!     poll -> s readable|writable
//!     s recv -> abc

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::once_more::OnceMore;
use super::rig::{Host, Odd, Rig, Sock};
use crate::addr::Addr;
use crate::config::Listen;
use crate::net::{Interest, Stream, Token, Trigger, Wake};

/// More events than any script makes between two polls.
const MANY: usize = 64;

/// How long one wait for an event is, and how many of them are enough to say that none comes.
const WAIT: Duration = Duration::from_millis(100);
const WAITS: usize = 100;

/// What a script runs on and what it has written.
#[derive(Debug)]
pub(super) struct Script<'a> {
    rig: &'a mut dyn Rig,
    trace: Vec<String>,
    muted: bool,
    names: Vec<(Token, &'static str)>,
    addrs: Vec<(Addr, &'static str)>,
    /// Who has connected from where.
    clients: Vec<(Addr, Sock)>,
    once_more: OnceMore,
}

impl<'a> Script<'a> {
    pub(super) fn new(rig: &'a mut dyn Rig) -> Script<'a> {
        let names = vec![(Token::WAKER, "waker")];
        Script {
            rig,
            trace: Vec::new(),
            muted: false,
            names,
            addrs: Vec::new(),
            clients: Vec::new(),
            once_more: OnceMore::default(),
        }
    }

    pub(super) fn into_trace(self) -> Vec<String> {
        self.trace
    }

    /// Makes a listener on a free port of `127.0.0.1`, without a line.
    pub(super) fn listener(&mut self, name: &'static str) -> Host {
        self.listener_with(name, &Listen::from(([127, 0, 0, 1], 0)))
    }

    /// Makes a listener, without a line.
    pub(super) fn listener_with(&mut self, name: &'static str, listen: &Listen) -> Host {
        let host = self.rig.listen(listen).expect("a free port");
        let addr = self.rig.host_addr(host).expect("a listener has an address");
        self.names.push((Token::listener(host.id()), name));
        self.addrs.push((addr, name));
        host
    }

    /// Makes a connection of `a`, the client, and `s`, registered and with no event left, without a line.
    pub(super) fn pair(&mut self) -> (Sock, Sock) {
        self.pair_named("a", "s", &Listen::from(([127, 0, 0, 1], 0)))
    }

    /// The same with names and a listener of the script's own.
    pub(super) fn pair_named(
        &mut self,
        client: &'static str,
        server: &'static str,
        listen: &Listen,
    ) -> (Sock, Sock) {
        self.muted = true;
        let host = self.listener_with("L", listen);
        let a = self.connect(client, host);
        self.poll();
        let s = self.accept(server, host).expect("the client is connected");
        self.poll();
        self.rig.unlisten(host);
        self.poll();
        self.muted = false;
        (a, s)
    }

    /// Gives `addr` a name of its own.
    pub(super) fn call(&mut self, name: &'static str, addr: SocketAddr) {
        self.addrs.push((addr.into(), name));
    }

    /// Makes a listener and closes it, to see whether the address is free.
    pub(super) fn try_listen(&mut self, listen: &Listen) {
        let addr = self.name_of(&listen.addr);
        let answer = match self.rig.listen(listen) {
            Ok(host) => {
                self.rig.unlisten(host);
                "Ok".into()
            }
            Err(error) => kind(&error),
        };
        self.line(format!("listen {addr} -> {answer}"));
    }

    /// The address of the host itself, with a port of `host`.
    pub(super) fn here(&self, host: Host) -> SocketAddr {
        SocketAddr::new(self.rig.ip(), self.addr(host).port())
    }

    pub(super) fn addr(&self, host: Host) -> SocketAddr {
        let addr = self.rig.host_addr(host).expect("a listener has an address");
        addr.socket_addr().expect("listeners of scripts have IP addresses")
    }

    /// Connects and registers.
    pub(super) fn connect(&mut self, name: &'static str, host: Host) -> Sock {
        let addr = self.rig.host_addr(host).expect("a listener has an address");
        let sock = self.connect_to(name, &addr);
        self.register(sock);
        sock
    }

    /// Connects without registering.
    pub(super) fn connect_only(&mut self, name: &'static str, addr: SocketAddr) -> Sock {
        self.connect_to(name, &addr.into())
    }

    fn connect_to(&mut self, name: &'static str, addr: &Addr) -> Sock {
        self.rig.settle();
        match self.rig.connect(addr) {
            Ok(sock) => {
                self.names.push((Token::conn(sock.id()), name));
                if let Ok(local) = self.rig.stream(sock).local_addr() {
                    self.addrs.push((local.clone(), name));
                    self.clients.push((local, sock));
                }
                let addr = self.name_of(addr);
                self.line(format!("{name} connect {addr} -> Ok"));
                sock
            }
            Err(error) => panic!("no script counts on a connect that fails at once: {error}"),
        }
    }

    /// Registers for everything.
    pub(super) fn register(&mut self, sock: Sock) {
        self.register_for(sock, Interest::InputAndOutput);
    }

    pub(super) fn register_for(&mut self, sock: Sock, interest: Interest) {
        self.rig.register(sock, interest).expect("a stream that is not registered can be");
    }

    pub(super) fn watch_output(&mut self, sock: Sock) {
        self.rig.settle();
        self.rig.watch_output(sock).expect("a stream that is registered can be watched");
        let name = self.name(Token::conn(sock.id()));
        self.line(format!("{name} is watched"));
    }

    /// Accepts and registers.
    pub(super) fn accept(&mut self, name: &'static str, host: Host) -> Option<Sock> {
        let sock = self.accept_only(name, host)?;
        self.register(sock);
        Some(sock)
    }

    /// Accepts without registering.
    pub(super) fn accept_only(&mut self, name: &'static str, host: Host) -> Option<Sock> {
        let listener = self.name(Token::listener(host.id()));
        self.rig.settle();
        match self.rig.accept(host) {
            Ok((sock, addr)) => {
                self.names.push((Token::conn(sock.id()), name));
                if let Some(&(_, client)) = self.clients.iter().rev().find(|(local, _)| *local == addr) {
                    self.once_more.connected(client, sock);
                }
                let addr = self.name_of(&addr);
                self.line(format!("{listener} accept -> {name}, from {addr}"));
                Some(sock)
            }
            Err(error) => {
                self.line(format!("{listener} accept -> {}", kind(&error)));
                None
            }
        }
    }

    pub(super) fn set_trigger(&mut self, host: Host, trigger: Trigger) {
        let name = self.name(Token::listener(host.id()));
        self.rig.settle();
        let now = self.rig.set_trigger(host, trigger);
        self.line(format!("{name} is told of by {now:?}"));
    }

    pub(super) fn unlisten(&mut self, host: Host) {
        let name = self.name(Token::listener(host.id()));
        self.rig.settle();
        self.rig.unlisten(host);
        self.line(format!("{name} close"));
    }

    /// Receives at most `most` bytes.
    pub(super) fn recv(&mut self, sock: Sock, most: usize) {
        let mut buf = vec![0; most];
        let result = self.settled(sock).recv(&mut buf);
        let result = result.map(|n| if n == 0 { "end".into() } else { text(&buf[..n]) });
        self.answer(sock, "recv", result);
    }

    pub(super) fn recv_urgent(&mut self, sock: Sock) {
        let result = self.settled(sock).recv_urgent().map(|byte| text(&[byte]));
        self.answer(sock, "recv_urgent", result);
    }

    pub(super) fn send(&mut self, sock: Sock, bytes: &[u8]) {
        let result = self.settled(sock).send(bytes);
        self.once_more.sent(sock);
        self.answer(sock, &format!("send {}", text(bytes)), result);
    }

    pub(super) fn send_urgent(&mut self, sock: Sock, byte: u8) {
        self.rig.settle();
        let result = self.rig.send_urgent(sock, byte).map(|()| "Ok");
        self.once_more.sent(sock);
        self.answer(sock, &format!("send urgent {}", text(&[byte])), result);
    }

    pub(super) fn send_vectored(&mut self, sock: Sock, slices: &[&[u8]]) {
        let all: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let result = self.settled(sock).send_vectored(&all);
        self.once_more.sent(sock);
        let parts: Vec<_> = slices.iter().map(|slice| text(slice)).collect();
        self.answer(sock, &format!("send {}", parts.join("+")), result);
    }

    pub(super) fn shutdown(&mut self, sock: Sock) {
        let result = self.settled(sock).shutdown().map(|()| "Ok");
        self.once_more.ended(sock);
        self.once_more.sent(sock);
        self.answer(sock, "shutdown", result);
    }

    pub(super) fn take_error(&mut self, sock: Sock) {
        let result = self.settled(sock).take_error();
        let result = result.map(|error| error.map_or("none".into(), |error| kind(&error)));
        self.answer(sock, "take_error", result);
    }

    pub(super) fn local_addr(&mut self, sock: Sock) {
        let result = self.settled(sock).local_addr().map(|addr| self.name_of(&addr));
        self.answer(sock, "local_addr", result);
    }

    pub(super) fn peer_addr(&mut self, sock: Sock) {
        let result = self.settled(sock).peer_addr().map(|addr| self.name_of(&addr));
        self.answer(sock, "peer_addr", result);
    }

    pub(super) fn close(&mut self, sock: Sock) {
        let name = self.name(Token::conn(sock.id()));
        self.rig.settle();
        self.once_more.sent(sock);
        self.rig.close(sock);
        self.line(format!("{name} close"));
    }

    /// Closes with a reset.
    pub(super) fn reset(&mut self, sock: Sock) {
        let name = self.name(Token::conn(sock.id()));
        self.settled(sock).reset_on_close().expect("an open stream takes the option");
        self.rig.settle();
        self.once_more.sent(sock);
        self.rig.close(sock);
        self.line(format!("{name} reset"));
    }

    /// What there is to know once everything caused so far has happened.
    ///
    /// By name, not in the order of the poll: which of two sockets one call wakes first depends on how long the
    /// way between them is.
    pub(super) fn poll(&mut self) {
        let mut events = self.events(MANY, Duration::ZERO);
        events.sort();
        self.line(format!("poll -> {}", list(&events)));
    }

    /// The same in the order of the poll, with room for `most` events only.
    pub(super) fn poll_in_order(&mut self, most: usize) {
        let events = self.events(most, Duration::ZERO);
        self.line(format!("poll -> {}", list(&events)));
    }

    /// Waits until `sock` has an event, which time must pass for or which has come among others that are not
    /// traced.
    pub(super) fn wait_for(&mut self, sock: Sock) {
        let name = self.name(Token::conn(sock.id()));
        for _ in 0..WAITS {
            let events = self.events(MANY, WAIT);
            if let Some(event) = events.iter().find(|event| event.0 == name) {
                self.line(format!("wait -> {}", list(std::slice::from_ref(event))));
                return;
            }
        }
        self.line(format!("wait -> nothing for {name}"));
    }

    /// Whether `sock` has an event now. Events of others are lost.
    pub(super) fn has_event(&mut self, sock: Sock) -> bool {
        let name = self.name(Token::conn(sock.id()));
        self.events(MANY, Duration::ZERO).iter().any(|event| event.0 == name)
    }

    /// Says whether `sock` has an event now. Events of others are lost.
    pub(super) fn note_event(&mut self, sock: Sock) {
        let has = self.has_event(sock);
        let name = self.name(Token::conn(sock.id()));
        self.note(&format!("{name} has an event"), has);
    }

    fn events(&mut self, most: usize, timeout: Duration) -> Vec<(&'static str, String)> {
        self.rig.settle();
        loop {
            let all = self.rig.poll(most, timeout);
            let (names, once_more) = (&self.names, &mut self.once_more);
            let told = all.iter().filter(|event| {
                let sock = event.token.as_conn().map(|id| Sock(id.slot()));
                !sock.is_some_and(|sock| once_more.may_be(sock, event.readiness))
            });
            let told: Vec<_> =
                told.map(|event| (name_in(names, event.token), format!("{:?}", event.readiness))).collect();
            if !told.is_empty() || all.is_empty() {
                return told;
            }
        }
    }

    /// Wakes the poll.
    pub(super) fn wake(&mut self, waker: &dyn Wake) {
        let result = waker.wake().map(|()| "Ok");
        self.line(format!("wake -> {}", show(result)));
    }

    pub(super) fn waker(&mut self) -> Arc<dyn Wake> {
        self.rig.waker()
    }

    pub(super) fn set_send_buffer(&mut self, sock: Sock, bytes: usize) {
        self.rig.set_send_buffer(sock, bytes).expect("an open stream takes the option");
    }

    /// Makes and registers a stream that the seam has no call for.
    pub(super) fn odd(&mut self, name: &'static str, odd: Odd) -> Sock {
        let sock = self.rig.odd(odd).expect("the kernel makes any");
        self.names.push((Token::conn(sock.id()), name));
        if let Ok(local) = self.rig.stream(sock).local_addr() {
            self.addrs.push((local, name));
        }
        self.register(sock);
        sock
    }

    pub(super) fn copy(&mut self, sock: Sock) {
        self.rig.copy(sock).expect("a descriptor is left");
    }

    pub(super) fn deregister(&mut self, sock: Sock) {
        self.rig.deregister(sock).expect("a stream that is registered can be taken out");
    }

    pub(super) fn set_urgent_inline(&mut self, sock: Sock) {
        self.rig.set_urgent_inline(sock).expect("an open stream takes the option");
    }

    /// Sends until no more is taken, and says how many bytes that were, which is not traced: two networks may
    /// have buffers of different sizes.
    pub(super) fn fill(&mut self, sock: Sock) -> usize {
        let bytes = [b'x'; 10_000];
        let mut sum = 0;
        let error = loop {
            match self.settled(sock).send(&bytes) {
                Ok(n) => sum += n,
                Err(error) => break error,
            }
        };
        let some = if sum > 0 { "some, then " } else { "" };
        self.answer(sock, "send", Ok(format!("{some}{}", kind(&error))));
        sum
    }

    /// Sends `slices` at once and says how many bytes were taken, which is not traced.
    pub(super) fn fill_vectored(&mut self, sock: Sock, slices: &[&[u8]]) -> usize {
        let all: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let result = self.settled(sock).send_vectored(&all);
        let sent = *result.as_ref().unwrap_or(&0);
        self.answer(sock, "send", result.map(|_| "some"));
        sent
    }

    /// The same as [`drain`](Script::drain), without a line.
    pub(super) fn drain_quietly(&mut self, sock: Sock, most: usize) -> usize {
        self.muted = true;
        let sum = self.drain(sock, most);
        self.muted = false;
        sum
    }

    /// Receives until `most` bytes have come, however long they take, or to the end or an error, and says how
    /// many that were.
    pub(super) fn drain(&mut self, sock: Sock, most: usize) -> usize {
        let mut sum = 0;
        let mut buf = vec![0; 4096];
        let mut patience = 100_000;
        let end = loop {
            if sum == most {
                break "as asked".into();
            }
            let room = buf.len().min(most - sum);
            match self.settled(sock).recv(&mut buf[..room]) {
                Ok(0) => break "end".into(),
                Ok(n) => sum += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && patience > 0 => patience -= 1,
                Err(error) => break kind(&error),
            }
        };
        let some = if sum > 0 { "some, then " } else { "" };
        self.answer(sock, "recv", Ok(format!("{some}{end}")));
        sum
    }

    /// Writes a line of the script's own: what it found about numbers that are not traced.
    pub(super) fn note(&mut self, what: &str, holds: bool) {
        self.line(format!("{what}: {holds}"));
    }

    /// The stream, once everything that earlier calls caused has happened.
    fn settled(&mut self, sock: Sock) -> &dyn Stream {
        self.rig.settle();
        self.rig.stream(sock)
    }

    fn answer<T: ToString>(&mut self, sock: Sock, call: &str, result: io::Result<T>) {
        let name = self.name(Token::conn(sock.id()));
        self.line(format!("{name} {call} -> {}", show(result)));
    }

    fn line(&mut self, line: String) {
        if !self.muted {
            self.trace.push(line);
        }
    }

    fn name(&self, token: Token) -> &'static str {
        name_in(&self.names, token)
    }

    /// The last socket that was known to have `addr`.
    fn name_of(&self, addr: &Addr) -> &'static str {
        let known = self.addrs.iter().rev().find(|(known, _)| known == addr);
        known.map_or("nobody", |(_, name)| name)
    }
}

fn name_in(names: &[(Token, &'static str)], token: Token) -> &'static str {
    names.iter().find(|(known, _)| *known == token).map_or("nobody", |(_, name)| name)
}

fn list(events: &[(&'static str, String)]) -> String {
    if events.is_empty() {
        return "nothing".into();
    }
    events.iter().map(|(name, readiness)| format!("{name} {readiness}")).collect::<Vec<_>>().join(", ")
}

fn show<T: ToString>(result: io::Result<T>) -> String {
    match result {
        Ok(answer) => answer.to_string(),
        Err(error) => kind(&error),
    }
}

fn kind(error: &io::Error) -> String {
    format!("{:?}", error.kind())
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
