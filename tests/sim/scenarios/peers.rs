//! A client that says something and wants something, in pieces and at a pace of its own.
//!
//! It knows two byte strings. The whole of it is compared once the run is over, because a failure in the middle
//! could pass for a panic of the program.

use switchboard::sim::{ClientReport, Next, Peer, Received};

use super::draw::{Draw, millis};

/// How it goes about it.
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own, or how far it is")]
pub(super) struct Talk {
    draw: Draw,
    say: Vec<u8>,
    want: usize,
    said: usize,
    /// The most it sends or receives at once.
    largest: usize,
    /// It says everything before it reads anything, unless that does not get on.
    reads_last: bool,
    shut: bool,
    ended: bool,
    /// Less than it wants is no trouble: others may be at fault.
    lenient: bool,
}

impl Talk {
    /// Says `say`, ends its side, and wants `want` bytes and the end.
    pub(super) fn new(draw: &Draw, say: &[u8], want: usize) -> Talk {
        Talk {
            say: say.to_vec(),
            want,
            said: 0,
            largest: draw.one_of(&[usize::MAX, 1000, 30, 1]),
            reads_last: draw.once_in(4),
            shut: false,
            ended: false,
            lenient: false,
            draw: draw.clone(),
        }
    }

    /// Less than it wants is no trouble, if so.
    pub(super) fn lenient(mut self, lenient: bool) -> Talk {
        self.lenient = lenient;
        self
    }

    pub(super) fn act(&mut self, peer: &mut Peer<'_>) -> Next {
        let next = self.go_on(peer);
        if self.lenient {
            peer.no_trouble();
        }
        next
    }

    fn go_on(&mut self, peer: &mut Peer<'_>) -> Next {
        if let Some(error) = peer.refused() {
            peer.trouble(format!("is refused: {error}"));
            return Next::Done;
        }
        if !peer.is_connected() {
            peer.trouble("waits for its connect");
            return Next::Wait;
        }
        let mut said = 0;
        while self.said < self.say.len() {
            let n = (self.say.len() - self.said).min(self.largest);
            let n = peer.send(&self.say[self.said..self.said + n]);
            if n == 0 {
                break;
            }
            self.said += n;
            said += n;
            if self.draw.once_in(8) {
                break;
            }
        }
        if self.said == self.say.len() && !self.shut {
            self.shut = true;
            peer.shutdown();
        }
        // Who reads nothing is not read either.
        if !self.reads_last || self.shut || said == 0 {
            self.read(peer);
        }
        if self.ended {
            if peer.received().len() == self.want {
                peer.no_trouble();
            } else {
                peer.trouble(format!("wants {} bytes, and it ended", self.want));
            }
            return Next::Done;
        }
        peer.trouble(format!("wants {} bytes and has {}", self.want, peer.received().len()));
        if self.said < self.say.len() && said > 0 { Next::WaitFor(millis(1)) } else { Next::Wait }
    }

    fn read(&mut self, peer: &mut Peer<'_>) {
        loop {
            match peer.recv(self.largest) {
                Received::Bytes(_) => {}
                Received::Nothing => return,
                Received::End | Received::Failed(_) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }
}

/// Compares what a client got with what it was to get: all of it, or the beginning if a fault cut it off.
pub(super) fn compare(number: usize, report: &ClientReport, want: &[u8]) {
    let got = &report.received;
    assert!(want.starts_with(got), "client {number} got something else: {report:?}");
    assert!(
        report.cut || got.len() == want.len(),
        "client {number} got {} of {} bytes",
        got.len(),
        want.len()
    );
}

/// `n` bytes that do not repeat soon, without line ends.
pub(super) fn bytes(n: usize, seed: usize) -> Vec<u8> {
    (0..n).map(|at| u8::try_from(32 + (at * 7 + at / 90 + seed * 13) % 90).unwrap_or(b'?')).collect()
}
