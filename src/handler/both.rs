//! Two protocols in one reactor: two handlers made into one.
//!
//! It knows which of the two each connection belongs to; they know nothing of each other.

use std::fmt;
use std::io;

use super::{Conn, Datagram, Frame, Handler, Peer, Ready};
use crate::codec::Either;
use crate::context::Context;
use crate::error::{CloseReason, Result};
use crate::id::{ConnId, DatagramId, ListenerId, SourceId};

/// Which of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

/// Serves each connection with one of two handlers, chosen when it opens; three are `Both<A, Both<B, C>>`.
///
/// What belongs to a connection goes to its handler. What belongs to none ([`Handler::alarm`],
/// [`Handler::connect_failed`], [`Handler::listen_failed`], datagrams, registered descriptors) goes to both: keep their keys apart.
///
/// ```
/// use switchboard::{Both, Side, codec::{Lines, Raw}, each};
///
/// let echo = each(Raw::new, |cx, bytes| { cx.send(bytes); Ok(()) });
/// let shout = each(Lines::new, |cx, line| { cx.send(&line.to_ascii_uppercase()); cx.send(b"\n"); Ok(()) });
/// // Listeners with key 1 speak lines, all others are echoed.
/// let both = Both::new(echo, shout, |peer| if peer.key == 1 { Side::Right } else { Side::Left });
/// # let _ = both;
/// ```
pub struct Both<A, B, F> {
    /// The first handler.
    pub left: A,
    /// The second handler.
    pub right: B,
    choose: F,
}

impl<A, B, F> Both<A, B, F>
where
    A: Handler,
    B: Handler,
    F: FnMut(&Peer<'_>) -> Side,
{
    /// Combines two handlers; `choose` says which serves a new connection.
    pub fn new(left: A, right: B, choose: F) -> Both<A, B, F> {
        Both { left, right, choose }
    }
}

impl<A, B, F> fmt::Debug for Both<A, B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Both").finish_non_exhaustive()
    }
}

/// Calls `$callback` of the handler that serves the connection.
macro_rules! dispatch {
    ($self:ident, $cx:ident, $conn:ident, $callback:ident $(, $argument:expr)*) => {
        match ($conn.codec, $conn.session) {
            (Either::A(codec), Either::A(session)) => {
                $self.left.$callback($cx, Conn { id: $conn.id, codec, session } $(, $argument)*)
            }
            (Either::B(codec), Either::B(session)) => {
                $self.right.$callback($cx, Conn { id: $conn.id, codec, session } $(, $argument)*)
            }
            _ => unreachable!("codec and session of a connection are made together, on one side"),
        }
    };
}

impl<A, B, F> Handler for Both<A, B, F>
where
    A: Handler,
    B: Handler,
    F: FnMut(&Peer<'_>) -> Side,
{
    type Codec = Either<A::Codec, B::Codec>;
    type Session = Either<A::Session, B::Session>;

    fn opened(&mut self, cx: &mut Context, peer: &Peer<'_>) -> Option<(Self::Codec, Self::Session)> {
        match (self.choose)(peer) {
            Side::Left => {
                self.left.opened(cx, peer).map(|(codec, session)| (Either::A(codec), Either::A(session)))
            }
            Side::Right => {
                self.right.opened(cx, peer).map(|(codec, session)| (Either::B(codec), Either::B(session)))
            }
        }
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, frame: Frame<'_, Self>) -> Result {
        match (conn.codec, conn.session, frame) {
            (Either::A(codec), Either::A(session), Either::A(frame)) => {
                self.left.received(cx, Conn { id: conn.id, codec, session }, frame)
            }
            (Either::B(codec), Either::B(session), Either::B(frame)) => {
                self.right.received(cx, Conn { id: conn.id, codec, session }, frame)
            }
            _ => unreachable!("codec and session of a connection are made together, on one side"),
        }
    }

    fn writable(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        dispatch!(self, cx, conn, writable)
    }

    fn urgent(&mut self, cx: &mut Context, conn: Conn<'_, Self>, byte: u8) -> Result {
        dispatch!(self, cx, conn, urgent, byte)
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        dispatch!(self, cx, conn, half_closed)
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, key: u64) -> Result {
        dispatch!(self, cx, conn, timer, key)
    }

    fn alarm(&mut self, cx: &mut Context, key: u64) {
        self.left.alarm(cx, key);
        self.right.alarm(cx, key);
    }

    fn refused(&mut self, cx: &mut Context, conn: Conn<'_, Self>, why: &CloseReason) {
        dispatch!(self, cx, conn, refused, why);
    }

    fn draining(&mut self, cx: &mut Context) {
        self.left.draining(cx);
        self.right.draining(cx);
    }

    fn drained(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> bool {
        dispatch!(self, cx, conn, drained)
    }

    fn closed(&mut self, cx: &mut Context, session: Self::Session, why: &CloseReason) {
        match session {
            Either::A(session) => self.left.closed(cx, session, why),
            Either::B(session) => self.right.closed(cx, session, why),
        }
    }

    fn connect_failed(&mut self, cx: &mut Context, key: u64, why: &CloseReason) {
        self.left.connect_failed(cx, key, why);
        self.right.connect_failed(cx, key, why);
    }

    fn options_failed(&mut self, cx: &mut Context, target: ConnId, error: &io::Error) {
        self.left.options_failed(cx, target, error);
        self.right.options_failed(cx, target, error);
    }

    fn listen_failed(&mut self, cx: &mut Context, listener: ListenerId, error: &io::Error) {
        self.left.listen_failed(cx, listener, error);
        self.right.listen_failed(cx, listener, error);
    }

    fn datagram(&mut self, cx: &mut Context, datagram: Datagram<'_>) {
        self.left.datagram(cx, datagram);
        self.right.datagram(cx, datagram);
    }

    fn datagram_failed(&mut self, cx: &mut Context, socket: DatagramId, error: &io::Error) {
        self.left.datagram_failed(cx, socket, error);
        self.right.datagram_failed(cx, socket, error);
    }

    fn bind_failed(&mut self, cx: &mut Context, socket: DatagramId, error: &io::Error) {
        self.left.bind_failed(cx, socket, error);
        self.right.bind_failed(cx, socket, error);
    }

    fn ready(&mut self, cx: &mut Context, source: Ready<'_>) {
        self.left.ready(cx, source);
        self.right.ready(cx, source);
    }

    fn register_failed(&mut self, cx: &mut Context, source: SourceId, error: &io::Error) {
        self.left.register_failed(cx, source, error);
        self.right.register_failed(cx, source, error);
    }
}
