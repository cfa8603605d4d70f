//! A handler made of a function: for programs of datagrams alone.
//!
//! It knows nothing but to pass datagrams on.

use std::fmt;

use super::{Conn, Datagram, Handler, Peer};
use crate::codec::Raw;
use crate::context::Context;
use crate::error::Result;

/// Calls a function with every datagram. Connections, of which there should be none, are turned away.
///
/// ```
/// use std::net::UdpSocket;
/// use switchboard::{Config, Reactor, datagrams};
///
/// let echo = datagrams(|cx, datagram| {
///     cx.send_datagram(datagram.socket, datagram.from, datagram.bytes);
/// });
/// let mut reactor = Reactor::new(echo, Config::default())?;
/// let socket = reactor.bind("127.0.0.1:0")?;
/// let addr = reactor.datagram_addr(socket)?.socket_addr().expect("UDP has addresses");
///
/// let peer = UdpSocket::bind("127.0.0.1:0")?;
/// peer.send_to(b"hello", addr)?;
/// while reactor.stats().datagrams_sent == 0 {
///     reactor.turn(None)?;
/// }
/// let mut answer = [0; 16];
/// let (n, from) = peer.recv_from(&mut answer)?;
/// assert_eq!((&answer[..n], from), (&b"hello"[..], addr));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn datagrams<F>(received: F) -> Datagrams<F>
where
    F: FnMut(&mut Context, Datagram<'_>),
{
    Datagrams { received }
}

/// What [`datagrams`] makes.
pub struct Datagrams<F> {
    received: F,
}

impl<F> fmt::Debug for Datagrams<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").finish_non_exhaustive()
    }
}

impl<F> Handler for Datagrams<F>
where
    F: FnMut(&mut Context, Datagram<'_>),
{
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        None
    }

    fn received(&mut self, _: &mut Context, _: Conn<'_, Self>, _: &[u8]) -> Result {
        Ok(())
    }

    fn datagram(&mut self, cx: &mut Context, datagram: Datagram<'_>) {
        (self.received)(cx, datagram);
    }
}
