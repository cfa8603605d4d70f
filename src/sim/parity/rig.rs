//! What a script may do to a network: the calls of the seam, and the little that only peers do.
//!
//! It knows handles instead of sockets, so that one script runs on any network. It does not know what a call
//! should answer.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::addr::Addr;
use crate::config::Listen;
use crate::id::{ConnId, ListenerId};
use crate::net::{Event, Interest, Listener, Network, Stream, Trigger, Wake};

/// A stream of the rig.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sock(pub(super) usize);

/// A listener of the rig.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Host(pub(super) usize);

impl Sock {
    pub(super) fn id(self) -> ConnId {
        ConnId::new(self.0, 1)
    }
}

impl Host {
    pub(super) fn id(self) -> ListenerId {
        ListenerId(u32::try_from(self.0).expect("a script has a handful of listeners"))
    }
}

/// A network as a script sees it.
pub(super) trait Rig: fmt::Debug {
    /// The address of the host that it runs on, as itself knows it.
    fn ip(&self) -> IpAddr;

    fn listen(&mut self, listen: &Listen) -> io::Result<Host>;
    fn host_addr(&self, host: Host) -> io::Result<Addr>;
    fn accept(&mut self, host: Host) -> io::Result<(Sock, Addr)>;
    fn set_trigger(&mut self, host: Host, trigger: Trigger) -> Trigger;
    fn unlisten(&mut self, host: Host);

    /// Begins to connect, and does not register.
    fn connect(&mut self, addr: &Addr) -> io::Result<Sock>;
    fn register(&mut self, sock: Sock, interest: Interest) -> io::Result<()>;
    fn watch_output(&mut self, sock: Sock) -> io::Result<()>;
    fn stream(&self, sock: Sock) -> &dyn Stream;
    fn close(&mut self, sock: Sock);

    /// Polls for at most `most` events and for at most `timeout`.
    fn poll(&mut self, most: usize, timeout: Duration) -> Vec<Event>;
    fn waker(&mut self) -> Arc<dyn Wake>;

    /// Returns once everything that the calls so far caused has happened.
    fn settle(&mut self);

    fn send_urgent(&mut self, sock: Sock, byte: u8) -> io::Result<()>;
    fn set_send_buffer(&mut self, sock: Sock, bytes: usize) -> io::Result<()>;

    /// Makes a stream that the seam has no call for.
    fn odd(&mut self, odd: Odd) -> io::Result<Sock>;

    /// Makes another holder of the socket, who outlives the script.
    fn copy(&mut self, sock: Sock) -> io::Result<()>;
    fn deregister(&mut self, sock: Sock) -> io::Result<()>;

    /// Leaves urgent bytes in the stream.
    fn set_urgent_inline(&mut self, sock: Sock) -> io::Result<()>;
}

/// A stream that no call of the seam makes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Odd {
    /// Open, and neither connected nor about to be.
    NeverConnected,
    /// Connected to its own address.
    ToItself,
}

/// What a network does for scripts beside the seam.
pub(super) trait Beside: fmt::Debug {
    type Net: Network;

    fn network(&mut self) -> &mut Self::Net;
    fn ip(&self) -> IpAddr;
    fn settle(&mut self);
    fn send_urgent(&mut self, stream: &StreamOf<Self>, byte: u8) -> io::Result<()>;
    fn set_send_buffer(&mut self, stream: &StreamOf<Self>, bytes: usize) -> io::Result<()>;

    fn odd(&mut self, _: Odd) -> io::Result<StreamOf<Self>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn copy(&mut self, _: &StreamOf<Self>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_urgent_inline(&mut self, _: &StreamOf<Self>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

type StreamOf<B> = <<B as Beside>::Net as Network>::Stream;
type ListenerOf<B> = <<B as Beside>::Net as Network>::Listener;

/// Any network as a rig.
#[derive(Debug)]
pub(super) struct On<B: Beside> {
    beside: B,
    streams: Vec<Option<StreamOf<B>>>,
    hosts: Vec<Option<ListenerOf<B>>>,
}

impl<B: Beside> On<B> {
    pub(super) fn new(beside: B) -> On<B> {
        On { beside, streams: Vec::new(), hosts: Vec::new() }
    }

    fn host(&self, host: Host) -> &ListenerOf<B> {
        self.hosts[host.0].as_ref().expect("the script uses no listener that it closed")
    }

    fn keep(&mut self, stream: StreamOf<B>) -> Sock {
        self.streams.push(Some(stream));
        Sock(self.streams.len() - 1)
    }
}

impl<B: Beside> Rig for On<B> {
    fn ip(&self) -> IpAddr {
        self.beside.ip()
    }

    fn listen(&mut self, listen: &Listen) -> io::Result<Host> {
        let host = Host(self.hosts.len());
        let listener = self.beside.network().listen(listen, host.id())?;
        self.hosts.push(Some(listener));
        Ok(host)
    }

    fn host_addr(&self, host: Host) -> io::Result<Addr> {
        self.host(host).local_addr()
    }

    fn accept(&mut self, host: Host) -> io::Result<(Sock, Addr)> {
        let (stream, addr) = self.host(host).accept()?;
        Ok((self.keep(stream), addr))
    }

    fn set_trigger(&mut self, host: Host, trigger: Trigger) -> Trigger {
        let listener = self.hosts[host.0].as_ref().expect("the script uses no listener that it closed");
        self.beside.network().set_trigger(listener, host.id(), trigger)
    }

    fn unlisten(&mut self, host: Host) {
        let listener = self.hosts[host.0].take().expect("the script closes a listener once");
        self.beside.network().unlisten(listener);
    }

    fn connect(&mut self, addr: &Addr) -> io::Result<Sock> {
        let stream = self.beside.network().connect(addr, &addr.clone().into())?;
        Ok(self.keep(stream))
    }

    fn register(&mut self, sock: Sock, interest: Interest) -> io::Result<()> {
        let stream = open(&self.streams, sock);
        self.beside.network().register(stream, sock.id(), interest)
    }

    fn watch_output(&mut self, sock: Sock) -> io::Result<()> {
        let stream = open(&self.streams, sock);
        self.beside.network().watch_output(stream, sock.id())
    }

    fn stream(&self, sock: Sock) -> &dyn Stream {
        open::<StreamOf<B>>(&self.streams, sock)
    }

    fn close(&mut self, sock: Sock) {
        self.streams[sock.0].take().expect("the script closes a stream once");
    }

    fn poll(&mut self, most: usize, timeout: Duration) -> Vec<Event> {
        let net = self.beside.network();
        let mut events = net.events(most);
        net.poll(&mut events, Some(timeout)).expect("a poll of an open network does not fail");
        B::Net::iter(&events).collect()
    }

    fn waker(&mut self) -> Arc<dyn Wake> {
        self.beside.network().waker().expect("one waker for its lifetime")
    }

    fn settle(&mut self) {
        self.beside.settle();
    }

    fn send_urgent(&mut self, sock: Sock, byte: u8) -> io::Result<()> {
        let stream = open(&self.streams, sock);
        self.beside.send_urgent(stream, byte)
    }

    fn set_send_buffer(&mut self, sock: Sock, bytes: usize) -> io::Result<()> {
        let stream = open(&self.streams, sock);
        self.beside.set_send_buffer(stream, bytes)
    }

    fn odd(&mut self, odd: Odd) -> io::Result<Sock> {
        let stream = self.beside.odd(odd)?;
        Ok(self.keep(stream))
    }

    fn copy(&mut self, sock: Sock) -> io::Result<()> {
        let stream = open(&self.streams, sock);
        self.beside.copy(stream)
    }

    fn deregister(&mut self, sock: Sock) -> io::Result<()> {
        let stream = open(&self.streams, sock);
        self.beside.network().deregister(stream)
    }

    fn set_urgent_inline(&mut self, sock: Sock) -> io::Result<()> {
        let stream = open(&self.streams, sock);
        self.beside.set_urgent_inline(stream)
    }
}

fn open<S>(streams: &[Option<S>], sock: Sock) -> &S {
    streams[sock.0].as_ref().expect("the script uses no stream that it closed")
}
