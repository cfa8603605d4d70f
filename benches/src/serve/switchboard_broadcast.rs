//! Every line to every connection by switchboard: encoded once, then counted references.

use std::collections::BTreeSet;
use std::io;

use switchboard::codec::Lines;
use switchboard::{Bytes, CloseReason, Conn, ConnId, Context, Handler, OnSlow, Peer, Result};

use super::Args;

pub(super) fn serve(args: &Args) -> io::Result<()> {
    super::switchboard::serve(args, Everyone::default())
}

#[derive(Default)]
struct Everyone {
    here: BTreeSet<ConnId>,
}

impl Handler for Everyone {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        self.here.insert(cx.id());
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, _: Conn<'_, Self>, line: &[u8]) -> Result {
        let line = Bytes::from([line, b"\n"].concat());
        // One who falls 4 MiB behind is closed. Left out, it would miss lines without knowing.
        cx.broadcast(self.here.iter().copied(), &line, OnSlow::Queue);
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), _: &CloseReason) {
        self.here.remove(&cx.id());
    }
}
