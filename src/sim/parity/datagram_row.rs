//! What a row about datagrams does to a network, and what came of it.
//!
//! It knows the calls of the seam on sockets for datagrams. It does not know what one should answer.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::rig::Beside;
use crate::addr::Addr;
use crate::bind::{Bind, Membership};
use crate::id::DatagramId;
use crate::net::{Datagram as _, Network};
use crate::sim::trace::Shown;
use crate::socket::Socket as _;

/// A place in the order of binds.
pub(super) type At = usize;

/// What a row does to a network, and what came of it.
pub(super) struct Row<B: Beside> {
    pub(super) beside: B,
    sockets: Vec<Option<<B::Net as Network>::Datagram>>,
    pub(super) addrs: Vec<Addr>,
    pub(super) trace: Vec<String>,
}

fn name(at: At) -> char {
    char::from(b'a' + u8::try_from(at).expect("a row has a handful of sockets"))
}

/// By kind, as far as `std` gives it one.
fn failure(error: &io::Error) -> String {
    match error.kind() {
        kind @ (ErrorKind::WouldBlock
        | ErrorKind::ConnectionRefused
        | ErrorKind::PermissionDenied
        | ErrorKind::AddrInUse
        | ErrorKind::AddrNotAvailable
        | ErrorKind::InvalidInput) => format!("{kind:?}"),
        _ => "an error".into(),
    }
}

pub(super) fn outcome(result: &io::Result<()>) -> String {
    result.as_ref().map_or_else(failure, |()| "Ok".into())
}

impl<B: Beside> Row<B> {
    pub(super) fn new(beside: B) -> Row<B> {
        Row { beside, sockets: Vec::new(), addrs: Vec::new(), trace: Vec::new() }
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.beside.ip()
    }

    pub(super) fn local(&self) -> Bind {
        Bind::new(SocketAddr::new(self.ip(), 0))
    }

    pub(super) fn bind(&mut self, bind: &Bind) -> At {
        let at = self.sockets.len();
        let id = DatagramId(u32::try_from(at).expect("a handful"));
        let bound = self.beside.network().bind(bind, id);
        self.trace.push(format!(
            "bind {} -> {}",
            name(at),
            bound.as_ref().map_or_else(failure, |_| "Ok".into())
        ));
        let bound = bound.ok();
        let addr = bound.as_ref().and_then(|socket| socket.local_addr().ok());
        self.addrs.push(addr.unwrap_or(Addr::Unnamed));
        self.sockets.push(bound);
        at
    }

    pub(super) fn addr(&self, at: At) -> SocketAddr {
        self.addrs[at].socket_addr().expect("it was bound")
    }

    pub(super) fn socket(&self, at: At) -> &<B::Net as Network>::Datagram {
        self.sockets[at].as_ref().expect("the row uses no socket that is not open")
    }

    pub(super) fn send_to(&mut self, at: At, to: impl Into<Addr>, bytes: &[u8]) {
        let sent = self.socket(at).send(bytes, &to.into());
        self.beside.settle();
        self.trace.push(format!("{} send {} -> {}", name(at), Shown(bytes), outcome(&sent)));
    }

    pub(super) fn send(&mut self, at: At, to: At, bytes: &[u8]) {
        let to = self.addrs[to].clone();
        self.send_to(at, to, bytes);
    }

    /// To whom it is connected.
    pub(super) fn send_on(&mut self, at: At, bytes: &[u8]) {
        self.send_to(at, Addr::Unnamed, bytes);
    }

    pub(super) fn recv(&mut self, at: At, room: usize) {
        let mut buf = vec![0; room];
        let received = match self.socket(at).recv(&mut buf) {
            Ok(arrival) => {
                let from = self.addrs.iter().position(|addr| *addr == arrival.from);
                let cut = if arrival.truncated { ", cut" } else { "" };
                format!("{}{cut} from {}", Shown(&buf[..arrival.len]), from.map_or('?', name))
            }
            Err(error) => failure(&error),
        };
        self.trace.push(format!("{} recv -> {received}", name(at)));
    }

    pub(super) fn poll(&mut self) {
        let net = self.beside.network();
        let mut events = net.events(64);
        net.poll(&mut events, Some(Duration::ZERO)).expect("a poll of an open network does not fail");
        let mut told: Vec<_> = B::Net::iter(&events)
            .filter_map(|event| Some((event.token.as_datagram()?, event.readiness)))
            .map(|(id, readiness)| format!("{} {readiness:?}", name(id.0 as usize)))
            .collect();
        told.sort();
        self.trace
            .push(format!("poll -> {}", if told.is_empty() { "nothing".into() } else { told.join(", ") }));
    }

    pub(super) fn watch_room(&mut self, at: At, on: bool) {
        let id = DatagramId(u32::try_from(at).expect("a handful"));
        let socket = self.sockets[at].as_ref().expect("open");
        self.beside.network().watch_room(socket, id, on).expect("it is registered");
        self.trace.push(format!("{} watched for room: {on}", name(at)));
    }

    pub(super) fn change(&mut self, at: At, membership: &Membership) {
        let changed = self.socket(at).change(membership);
        let what = match membership {
            Membership::Join(_) => "joins",
            Membership::Leave(_) => "leaves",
        };
        self.trace.push(format!("{} {what} -> {}", name(at), outcome(&changed)));
    }

    pub(super) fn close(&mut self, at: At) {
        let socket = self.sockets[at].take().expect("it is closed once");
        self.beside.network().unbind(socket);
        self.trace.push(format!("{} close", name(at)));
    }

    pub(super) fn say(&mut self, line: String) {
        self.trace.push(line);
    }
}
