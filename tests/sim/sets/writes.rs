//! What each write accepts: nothing, some, all, at every call that sends.
//!
//! It knows replies of every make: copied, framed, shared, vectored, and with a close behind them. It does not know
//! which part of them a send takes: that is on the tape, and the client must see the same bytes.

use switchboard::codec::{LengthPrefixed, Raw};
use switchboard::sim::{Fault, Faults, Script, Sim};
use switchboard::{Bytes, Close, CloseKind, Conn, ConnId, Context, Handler, OnSlow, Peer, Result};

use super::noting::Noting;

/// A send takes from one byte to all, at each call.
pub(crate) fn parts() -> Faults {
    Faults::none().with(Fault::PartialSend, 1)
}

/// Besides, it takes nothing for a while, is interrupted, or finds no memory.
pub(crate) fn nothing_parts_or_all() -> Faults {
    parts().with(Fault::Squeeze, 1).with(Fault::Interrupt, 1).with(Fault::NoBuffers, 1)
}

/// Ten bytes.
pub(crate) fn small(sim: Sim, faults: Faults) {
    answered(sim, faults, b"0123456789", |cx| {
        cx.send(b"0123456789");
    });
}

/// Three frames, each of a header and a body.
pub(crate) fn framed(sim: Sim, faults: Faults) {
    answered(sim, faults, b"\0\0\0\x01a\0\0\0\0\0\0\0\x02bc", |cx| {
        for body in [&b"a"[..], b"", b"bc"] {
            LengthPrefixed::new().encode(body, &mut cx.out()).expect("it is short");
        }
    });
}

/// Two requests, of which the second comes while the first reply may be on its way.
pub(crate) fn pipelined(sim: Sim, faults: Faults) {
    let echo = Noting::new(Raw::new(), |cx: &mut Context, bytes: &[u8]| {
        for byte in bytes {
            cx.send(&[*byte; 4]);
        }
        Ok(())
    });
    let client = Script::new().send(b"a").send(b"b").expect(b"aaaabbbb").shutdown().expect_end();
    let report = sim.server(echo).client(client).faults(faults).run();
    assert_eq!((report.stats.sent, report.stats.closed(CloseKind::Ended)), (8, 1));
}

/// A reply and a close behind it, which flushes first.
pub(crate) fn closed_behind(sim: Sim, faults: Faults) {
    answered(sim, faults, b"01234567", |cx| {
        cx.send(b"01234567");
        cx.close(cx.id(), Close::Flush);
    });
}

/// A reply and a close behind it, which lingers.
pub(crate) fn lingering_behind(sim: Sim, faults: Faults) {
    answered(sim, faults, b"01234567", |cx| {
        cx.send(b"01234567");
        cx.close(cx.id(), Close::Linger);
    });
}

/// A reply and the end of our side behind it.
pub(crate) fn finished_behind(sim: Sim, faults: Faults) {
    answered(sim, faults, b"01234567", |cx| {
        cx.send(b"01234567");
        cx.finish(cx.id());
    });
}

/// Bytes by reference between copied ones, larger than any that are copied anyway.
pub(crate) fn shared(sim: Sim, faults: Faults) {
    let chunk = |n: usize| -> Vec<u8> { (0..=250).cycle().take(n).collect() };
    let reply = [b"head".to_vec(), chunk(2048), b"-middle-".to_vec(), chunk(2049), b"tail".to_vec()];
    let whole = reply.concat();
    answered(sim, faults, &whole, move |cx| {
        for (at, part) in reply.iter().enumerate() {
            if at % 2 == 0 {
                cx.send(part);
            } else {
                cx.send_bytes(Bytes::from(part.clone()));
            }
        }
    });
}

/// Asks with one byte, so that only replies can be taken in part, and expects exactly `reply`.
fn answered(sim: Sim, faults: Faults, reply: &[u8], mut answer: impl FnMut(&mut Context) + 'static) {
    let server = Noting::new(Raw::new(), move |cx: &mut Context, _: &[u8]| {
        answer(cx);
        Ok(())
    });
    let client = Script::new().send(b"?").expect(reply).shutdown().expect_end();
    let report = sim.server(server).client(client).faults(faults).run();
    assert_eq!((report.stats.sent, report.stats.closed_total()), (reply.len() as u64, 1));
    report.handler.check(&[b"?"]);
}

/// One asks, and another gets what is copied, shared and copied again; both get what is sent to all.
pub(crate) fn vectored(sim: Sim, faults: Faults) {
    let asks = Script::new().send(b"?").expect(b"abi").shutdown().expect_end();
    let listens = Script::new().expect(b"abcdefghi").shutdown().expect_end();
    let second = std::time::Duration::from_secs(1);
    let report = sim.server(Chorus::default()).client(listens).client_at(second, asks).faults(faults).run();
    assert_eq!((report.stats.sent, report.stats.closed(CloseKind::Ended)), (12, 2));
}

#[derive(Default)]
struct Chorus {
    all: Vec<ConnId>,
}

impl Handler for Chorus {
    type Codec = Raw;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Raw, ())> {
        self.all.push(cx.id());
        Some((Raw::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: &[u8]) -> Result {
        let other = self.all[0];
        let both = cx.broadcast(self.all.iter().copied(), &Bytes::from_static(b"ab"), OnSlow::Queue);
        assert_eq!((both.queued, conn.id == self.all[1]), (2, true));
        cx.send_to(other, b"cd");
        cx.broadcast([other], &Bytes::from_static(b"e"), OnSlow::Queue);
        cx.send_to(other, b"fgh");
        cx.broadcast(self.all.iter().copied(), &Bytes::from_static(b"i"), OnSlow::Queue);
        Ok(())
    }
}
