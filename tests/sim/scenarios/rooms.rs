//! Many in one room: what one says reaches all others, and what one does harms nobody else.
//!
//! It knows lines with the number of who said them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use switchboard::codec::Lines;
use switchboard::sim::{Faults, Next, Peer as Client, Received, Sim, Tape};
use switchboard::{
    Bytes, Close, CloseReason, Config, Conn, ConnId, Context, Frame, Handler, OnSlow, Peer, Result,
};

use super::draw::{Draw, millis};
use super::peers::{Talk, compare};

/// Everyone hears what the others say.
#[derive(Default)]
struct Chat {
    room: BTreeSet<ConnId>,
}

impl Handler for Chat {
    type Codec = Lines;
    type Session = ();

    fn opened(&mut self, cx: &mut Context, _: &Peer<'_>) -> Option<(Lines, ())> {
        self.room.insert(cx.id());
        Some((Lines::new(), ()))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        let mut said = line.to_vec();
        said.push(b'\n');
        let others = self.room.iter().copied().filter(|&id| id != conn.id);
        cx.broadcast(others, &Bytes::from(said), OnSlow::Queue);
        Ok(())
    }

    fn closed(&mut self, cx: &mut Context, (): (), _: &CloseReason) {
        self.room.remove(&cx.id());
    }
}

/// Says `1:1`, `1:2`, … at a pace of its own, and ends its side after a time in which it listens.
fn speaker(number: usize, draw: Draw) -> impl FnMut(&mut Client<'_>) -> Next {
    let lines = draw.below(20);
    let pace = millis(draw.one_of(&[1, 0, 30]));
    let mut text: Vec<u8> = (1..=lines).flat_map(|n| format!("{number}:{n}\n").into_bytes()).collect();
    let mut stays = 40;
    let mut ends = false;
    move |peer| {
        if peer.refused().is_some() {
            return Next::Done;
        }
        peer.trouble("waits for the end");
        if !peer.is_connected() {
            return Next::Wait;
        }
        loop {
            match peer.recv(usize::MAX) {
                Received::Bytes(_) => {}
                Received::Nothing => break,
                Received::End | Received::Failed(_) => {
                    peer.no_trouble();
                    return Next::Done;
                }
            }
        }
        if ends {
            return Next::Wait;
        }
        if text.is_empty() && stays == 0 {
            ends = true;
            peer.shutdown();
            return Next::Wait;
        }
        if text.is_empty() {
            stays -= 1;
            return Next::WaitFor(millis(50));
        }
        let n = text.len() - draw.below(text.len());
        let n = peer.send(&text[..n]);
        text.drain(..n);
        if n == 0 { Next::Wait } else { Next::WaitFor(pace) }
    }
}

/// What everyone hears of someone is numbered without a gap.
pub(super) fn chat(sim: Sim) {
    let draw = Draw::new(&sim);
    let mut config = Config::default();
    config.recv_buffer_bytes = 4096;
    config.idle_timeout = Some(millis(100_000));
    let mut scenario = sim.server(Chat::default()).config(config).faults(draw.faults());
    for number in 0..2 + draw.below(5) {
        scenario = scenario.client_fn(speaker(number, draw.clone()));
    }
    let report = scenario.run();
    for (listener, client) in report.clients.iter().enumerate() {
        let mut last = BTreeMap::new();
        let mut lines: Vec<_> = client.received.split(|&byte| byte == b'\n').collect();
        let rest = lines.pop().unwrap_or_default();
        assert!(rest.is_empty() || client.cut, "client {listener} was told half a line");
        for line in lines {
            let line = String::from_utf8_lossy(line);
            let (who, n) = line.split_once(':').expect("a line has a number and a number");
            let (who, n): (usize, u32) = (who.parse().expect("who"), n.parse().expect("which"));
            assert_ne!(who, listener, "it hears itself");
            let before = last.insert(who, n);
            let fits = before.is_none_or(|before| before + 1 == n);
            assert!(fits, "client {listener} heard {n} of {who} after {before:?}");
        }
    }
}

/// Answers each line in upper case, and does to its own connection what the line says.
struct Upper {
    panics: Rc<RefCell<u64>>,
}

impl Handler for Upper {
    type Codec = Lines;
    type Session = usize;

    fn opened(&mut self, _: &mut Context, _: &Peer<'_>) -> Option<(Lines, usize)> {
        Some((Lines::new(), 0))
    }

    fn received(&mut self, cx: &mut Context, conn: Conn<'_, Self>, line: Frame<'_, Self>) -> Result {
        *conn.session += 1;
        let n = *conn.session;
        match line {
            b"abort" => cx.close(conn.id, Close::Abort),
            b"close" => cx.close(conn.id, Close::Flush),
            b"fail" => return Err(Close::msg("as it is to be")),
            b"panic" => {
                *self.panics.borrow_mut() += 1;
                cx.send(b"half an answer");
                std::panic::resume_unwind(Box::new("as it is to be"));
            }
            b"flood" => {
                for _ in 0..6 {
                    cx.send(&[b'f'; 1000]);
                }
            }
            b"pause" => {
                cx.pause(conn.id);
                cx.set_timer(conn.id, millis(20), 0)?;
            }
            _ => {}
        }
        let answer = format!("{n} {}\n", String::from_utf8_lossy(line).to_uppercase());
        cx.send(answer.as_bytes());
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context, conn: Conn<'_, Self>, _: u64) -> Result {
        cx.resume(conn.id);
        Ok(())
    }
}

/// Sends what does harm to itself, and leaves in any way.
fn harmful(draw: Draw) -> impl FnMut(&mut Client<'_>) -> Next {
    let mut turns = 1 + draw.below(8);
    move |peer| {
        if peer.refused().is_some() || turns == 0 {
            return Next::Done;
        }
        if !peer.is_connected() {
            return Next::Wait;
        }
        turns -= 1;
        match draw.below(10) {
            0 => {
                peer.send(b"flood\n");
            }
            1 => {
                peer.send(b"panic\nmore\n");
            }
            2 => {
                peer.send(b"abort\nmore\n");
            }
            3 => {
                peer.send(b"pause\nmore\n");
            }
            4 => {
                peer.send(b"fail\nmore\n");
            }
            5 => {
                peer.send(&[b'x'; 5000]);
            }
            6 => {
                peer.send_urgent(b'!');
            }
            7 => {
                peer.recv(100);
            }
            8 => peer.shutdown(),
            _ => {
                peer.reset();
                return Next::Done;
            }
        }
        Next::WaitFor(millis(draw.one_of(&[1, 0, 20])))
    }
}

fn upper_config(draw: &Draw) -> Config {
    let mut config = Config::default();
    config.recv_buffer_bytes = 4096;
    config.isolate_panics = true;
    config.bytes_per_turn = draw.one_of(&[4096, 10]);
    config.frames_per_turn = draw.one_of(&[100, 1]);
    config.idle_timeout = Some(millis(100_000));
    config
}

/// Who is alone on a quiet network and who has harmful neighbours and faults get the same.
pub(super) fn neighbours(sim: Sim) {
    let draw = Draw::new(&sim);
    let config = upper_config(&draw);
    let panics = Rc::new(RefCell::new(0));
    let say: Vec<u8> = (0..draw.below(30))
        .flat_map(|_| {
            draw.one_of(&[&b"hello\n"[..], b"\n", b"flood\n", b"pause\n", b"a longer line than others\n"])
                .to_vec()
        })
        .collect();

    let mut alone = Talk::new(&draw, &say, usize::MAX).lenient(true);
    let reference = Sim::on(Tape::quiet())
        .server(Upper { panics: Rc::clone(&panics) })
        .config(config.clone())
        .client_fn(move |peer| alone.act(peer))
        .faults(Faults::none())
        .run();
    let want = &reference.clients[0].received;

    let mut scenario = sim.server(Upper { panics: Rc::clone(&panics) }).config(config).faults(draw.faults());
    let good = 1 + draw.below(2);
    for _ in 0..good {
        let mut talk = Talk::new(&draw, &say, want.len());
        scenario = scenario.client_fn(move |peer| talk.act(peer));
    }
    for _ in 0..=draw.below(3) {
        scenario = scenario.client_fn(harmful(draw.clone()));
    }
    let report = scenario.run();
    for (number, client) in report.clients[..good].iter().enumerate() {
        compare(number, client, want);
    }
    // Faults add panics of their own.
    assert!(report.stats.panics >= *panics.borrow(), "what is to panic does");
}
