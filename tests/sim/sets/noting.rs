//! A server that notes what it is told, and what must hold of that whatever happened.
//!
//! It knows frames that are byte slices. What it answers to each is the scenario's.

use std::collections::BTreeMap;

use switchboard::codec::Decoder;
use switchboard::{CloseKind, CloseReason, Conn, ConnId, Context, Handler, Peer, Result};

/// What one connection was told about.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) half_closed: bool,
    pub(crate) closed: Option<CloseKind>,
}

impl Told {
    /// Checks that it was closed, and that the frames are the first of `sent`, and all of them if its peer ended in
    /// order.
    pub(crate) fn check(&self, sent: &[&[u8]]) {
        let Told { frames, half_closed, closed } = self;
        let count = frames.len();
        assert!(closed.is_some(), "it was not closed: {self:?}");
        assert!(sent.starts_with(&frames.iter().map(Vec::as_slice).collect::<Vec<_>>()), "{self:?}");
        let whole = *half_closed || *closed == Some(CloseKind::Ended);
        assert!(!whole || count == sent.len(), "its peer ended, and frames are missing: {self:?}");
    }
}

/// The server.
pub(crate) struct Noting<D, A> {
    codec: D,
    answer: A,
    pub(crate) told: BTreeMap<ConnId, Told>,
}

impl<D, A> Noting<D, A>
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8]> + Clone,
    A: FnMut(&mut Context, &[u8]) -> Result,
{
    pub(crate) fn new(codec: D, answer: A) -> Noting<D, A> {
        Noting { codec, answer, told: BTreeMap::new() }
    }

    /// Checks each connection: its frames are the first of `sent`.
    pub(crate) fn check(&self, sent: &[&[u8]]) {
        self.told.values().for_each(|told| told.check(sent));
    }

    fn told(&mut self, id: ConnId) -> &mut Told {
        self.told.entry(id).or_default()
    }
}

impl<D, A> Handler for Noting<D, A>
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8]> + Clone,
    A: FnMut(&mut Context, &[u8]) -> Result,
{
    type Codec = D;
    type Session = ();

    // Not noted: where it panics there is no connection, and no `closed`.
    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(D, ())> {
        Some((self.codec.clone(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, frame: &[u8]) -> Result {
        self.told(conn.id).frames.push(frame.to_vec());
        (self.answer)(cx, frame)
    }

    fn half_closed(&mut self, cx: &mut Context, conn: Conn<'_, Self>) -> Result {
        self.told(conn.id).half_closed = true;
        cx.close(conn.id, switchboard::Close::Flush);
        Ok(())
    }

    fn refused(&mut self, cx: &mut Context, _: Conn<'_, Self>, why: &CloseReason) {
        cx.send(format!("!{why}").as_bytes());
    }

    fn closed(&mut self, cx: &mut Context, (): (), why: &CloseReason) {
        self.told(cx.id()).closed = Some(why.kind());
    }
}
