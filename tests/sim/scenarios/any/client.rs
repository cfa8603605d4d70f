//! A client that does anything: numbered frames in pieces, slow or late reading, silence, urgent bytes, any end.
//!
//! It knows its own stream and the numbers that come back. Whatever it does, it comes to an end.

use switchboard::codec::LengthPrefixed;
use switchboard::sim::{Next, Peer, Received};

use super::super::draw::{Draw, millis};
use super::model::{ClientSide, Shared};

/// After this time, in nanoseconds, it does what it has not done so far.
const PATIENCE: u64 = 3_000_000_000;

/// When it reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Always,
    /// A few bytes, every ten milliseconds.
    Slowly,
    Late,
}

/// What it does once it has sent what it wanted to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Shutdown,
    /// It waits for the other side to end first.
    Wait,
    Close,
    Reset,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own, or how far it is")]
pub(super) struct Client {
    number: usize,
    draw: Draw,
    model: Shared,
    bytes: Vec<u8>,
    sent: usize,
    stop_at: usize,
    largest: usize,
    silent: bool,
    urgent: bool,
    reads: Reads,
    read_next: u64,
    ending: Ending,
    checked: usize,
    ended: bool,
    shut: bool,
    begun: Option<u64>,
}

impl Client {
    pub(super) fn new(number: usize, draw: Draw, model: Shared) -> Client {
        let mut side = ClientSide::default();
        let mut bytes = Vec::new();
        let urgent = draw.once_in(6);
        let filler = draw.one_of(&[0, 0, 30, 400]);
        let mut prefixed = false;
        for n in 1..=draw.below(40) {
            let turn = !urgent && draw.once_in(10);
            // The last word of a frame says that the next one is cut in the other way.
            let text = format!("{n}{}{}", "x".repeat(n * 7 % (filler + 1)), if turn { " turn" } else { "" });
            if prefixed {
                LengthPrefixed::new().encode(text.as_bytes(), &mut bytes).expect("it is short");
            } else {
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(b'\n');
            }
            prefixed ^= turn;
            side.frames.push(text.into_bytes());
            side.ends.push(bytes.len());
        }
        let stop_at = if draw.once_in(8) { draw.below(bytes.len() + 1) } else { bytes.len() };
        model.borrow_mut().clients.push(side);
        Client {
            number,
            model,
            bytes,
            sent: 0,
            stop_at,
            largest: draw.one_of(&[usize::MAX, 50, 3, 1]),
            silent: draw.once_in(8),
            urgent,
            reads: draw.one_of(&[Reads::Always, Reads::Always, Reads::Slowly, Reads::Late]),
            read_next: 0,
            ending: draw.one_of(&[
                Ending::Shutdown,
                Ending::Shutdown,
                Ending::Shutdown,
                Ending::Wait,
                Ending::Close,
                Ending::Reset,
            ]),
            checked: 0,
            ended: false,
            shut: false,
            begun: None,
            draw,
        }
    }

    pub(super) fn act(&mut self, peer: &mut Peer<'_>) -> Next {
        if peer.refused().is_some() {
            peer.no_trouble();
            return Next::Done;
        }
        if !peer.is_connected() {
            peer.trouble("waits for its connect");
            return Next::Wait;
        }
        let now = peer.now().as_nanos();
        let late = now >= *self.begun.get_or_insert(now) + PATIENCE;
        if !self.ended && self.read(peer, now, late).is_err() {
            self.model.borrow_mut().clients[self.number].left = true;
            peer.no_trouble();
            return Next::Done;
        }
        let sent = self.send(peer, late);
        if self.is_over(peer, late) {
            peer.no_trouble();
            return Next::Done;
        }
        peer.trouble(format!("has {} bytes and waits for the end", peer.received().len()));
        if sent && self.sent < self.stop_at {
            return Next::WaitFor(millis(self.draw.one_of(&[0, 1, 7])));
        }
        if late && peer.is_cut() {
            // What it waits for need not come.
            let mut model = self.model.borrow_mut();
            let side = &mut model.clients[self.number];
            (side.left, side.shut) = (true, true);
            return Next::Done;
        }
        if late { Next::Wait } else { Next::WaitFor(millis(10)) }
    }

    /// Receives if it is in the mood; an error if the connection failed.
    fn read(&mut self, peer: &mut Peer<'_>, now: u64, late: bool) -> Result<(), ()> {
        let max = match self.reads {
            Reads::Always => usize::MAX,
            _ if late => usize::MAX,
            Reads::Slowly if now >= self.read_next => {
                self.read_next = now + 10_000_000;
                100
            }
            Reads::Slowly | Reads::Late => return Ok(()),
        };
        loop {
            match peer.recv(max) {
                Received::Bytes(_) => {
                    self.check(peer.received());
                    if max < usize::MAX {
                        return Ok(());
                    }
                }
                Received::Nothing => return Ok(()),
                Received::End => {
                    self.ended = true;
                    self.model.borrow_mut().clients[self.number].got = Some(self.checked);
                    return Ok(());
                }
                Received::Failed(_) => return Err(()),
            }
        }
    }

    /// What comes is the numbers from zero, modulo 251.
    fn check(&mut self, received: &[u8]) {
        let fits = received[self.checked..]
            .iter()
            .zip(self.checked..)
            .all(|(&byte, n)| usize::from(byte) == n % 251);
        if !fits {
            let what = format!("client {} got other bytes after {}", self.number, self.checked);
            self.model.borrow_mut().wrong(what);
        }
        self.checked = received.len();
    }

    /// Sends something; whether it could.
    fn send(&mut self, peer: &mut Peer<'_>, late: bool) -> bool {
        if self.ended || self.shut || (self.silent && !late) {
            return false;
        }
        if self.urgent && self.draw.once_in(5) {
            let mut model = self.model.borrow_mut();
            let side = &mut model.clients[self.number];
            let between = self.sent == 0 || side.ends.contains(&self.sent);
            side.urgents += usize::from(between && peer.send_urgent(b'!'));
        }
        let n = (self.stop_at - self.sent).min(self.largest);
        let n = if n > 1 { n - self.draw.below(n) } else { n };
        // Between two urgent bytes there are whole frames.
        let n = peer.send(&self.bytes[self.sent..self.sent + n]);
        self.sent += n;
        self.model.borrow_mut().clients[self.number].sent = self.sent;
        n > 0
    }

    /// Ends its side if it is time to; whether it is done.
    fn is_over(&mut self, peer: &mut Peer<'_>, late: bool) -> bool {
        let mut model = self.model.borrow_mut();
        let side = &mut model.clients[self.number];
        if self.ended {
            side.shut = true;
            return true;
        }
        if self.sent < self.stop_at || self.shut || (self.silent && !late) {
            return false;
        }
        match self.ending {
            Ending::Wait if !late => return false,
            Ending::Shutdown | Ending::Wait => {
                peer.shutdown();
                self.shut = true;
                side.shut = true;
                return false;
            }
            Ending::Close => {
                side.shut = true;
                peer.close();
            }
            Ending::Reset => peer.reset(),
        }
        side.left = true;
        true
    }
}
