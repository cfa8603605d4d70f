//! What one connection does never changes what another receives (invariant 15 of docs/testing.md).

use std::collections::BTreeMap;
use std::time::Duration;

use switchboard::codec::Lines;
use switchboard::sim::{self, Next, Peer, Received, Script};
use switchboard::{CloseReason, Config, Conn, ConnId, Context, Handler, Result};

/// Numbers the lines of each connection, in a table of its own as well as in the session.
#[derive(Default)]
struct Counter {
    lines: BTreeMap<ConnId, u32>,
}

impl Handler for Counter {
    type Codec = Lines;
    type Session = u32;

    fn opened(&mut self, cx: &mut Context, _: &switchboard::Peer<'_>) -> Option<(Lines, u32)> {
        self.lines.insert(cx.id(), 0);
        Some((Lines::new().frame_bytes_max(64), 0))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: &[u8]) -> Result {
        *conn.session += 1;
        let count = self.lines.entry(conn.id).or_default();
        *count += 1;
        assert_eq!(*count, *conn.session, "the session of another");
        writeln!(cx.out(), "{count}:{}", line.escape_ascii());
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, lines: u32, _: &CloseReason) {
        assert_eq!(self.lines.remove(&cx.id()), Some(lines));
    }
}

/// Does one rude thing after the other, as the tape says.
fn rude() -> impl FnMut(&mut Peer<'_>) -> Next {
    let mut steps = 0;
    move |peer| {
        steps += 1;
        if steps > 12 || peer.refused().is_some() {
            return Next::Done;
        }
        match peer.choose(9) {
            0 => peer.send(b"a line\nand another\n"),
            1 => peer.send(b"half a li"),
            2 => peer.send(&[b'x'; 3000]),
            3 => peer.send(&b"\n".repeat(500)),
            4 => usize::from(peer.send_urgent(b'!')),
            5 => {
                peer.shutdown();
                0
            }
            6 => {
                peer.reset();
                return Next::Done;
            }
            7 => match peer.recv(100) {
                Received::Bytes(n) => n,
                _ => 0,
            },
            _ => 0,
        };
        Next::WaitFor(Duration::from_micros(10))
    }
}

#[test]
fn a_polite_client_gets_the_same_whatever_the_others_do() {
    let polite = |lines: &[&str]| {
        let mut script = Script::new();
        for (n, line) in lines.iter().enumerate() {
            let answer = format!("{}:{line}\n", n + 1);
            script = script.send(format!("{line}\n")).expect(answer).wait(Duration::from_micros(25));
        }
        script.shutdown().expect_end()
    };
    let explored = sim::seeds(300, |sim| {
        let mut config = Config::default();
        config.frames_per_turn = 2;
        config.bytes_per_turn = 64;
        sim.server(Counter::default())
            .config(config)
            .client(polite(&["one", "two", "three", "four", "five"]))
            .client_fn(rude())
            .client_fn(rude())
            .client_fn(rude())
            .client(polite(&["uno", "dos"]))
            .run();
    });
    assert!(explored.choices_max > 20, "nobody was rude: {explored:?}");
}

#[test]
fn a_run_with_and_without_others_gives_a_client_the_same() {
    let received = |others: usize| {
        let mut scenario = sim::Sim::new(9).server(Counter::default()).client(
            Script::new()
                .send(b"a\nb")
                .wait(Duration::from_millis(1))
                .send(b"\nc\n")
                .shutdown()
                .recv_to_end(),
        );
        for _ in 0..others {
            scenario = scenario.client_fn(rude());
        }
        let report = scenario.run();
        (report.clients[0].received.clone(), report.clients[0].end)
    };
    let alone = received(0);
    assert_eq!(alone.0, b"1:a\n2:b\n3:c\n");
    assert_eq!(received(1), alone);
    assert_eq!(received(20), alone);
}
