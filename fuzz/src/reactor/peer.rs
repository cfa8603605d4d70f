//! A client that does anything: sends and does not read, reads and does not send, ends, resets, leaves.
//!
//! What it does is on the tape. When that says nothing more it ends its side, reads what comes, and leaves.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use switchboard::sim::{Next, Peer, Received};

use super::ledger::Ledger;

/// How long it waits for an end.
const PATIENCE: Duration = Duration::from_secs(40);

/// How much it does at most.
const DEEDS_MAX: usize = 60;

struct Client {
    source: Option<usize>,
    ledger: Rc<RefCell<Ledger>>,
    /// Whose stream it receives.
    from: Option<usize>,
    checked: usize,
    deeds: usize,
    urgent: bool,
    ended: bool,
    leaves_at: Option<u64>,
}

/// Makes one, which sends the stream of `source`.
pub fn client(
    source: Option<usize>,
    ledger: &Rc<RefCell<Ledger>>,
) -> impl FnMut(&mut Peer<'_>) -> Next + 'static {
    let mut client = Client {
        source,
        ledger: Rc::clone(ledger),
        from: None,
        checked: 0,
        deeds: 0,
        urgent: false,
        ended: false,
        leaves_at: None,
    };
    move |peer| client.act(peer)
}

impl Client {
    fn act(&mut self, peer: &mut Peer<'_>) -> Next {
        if peer.refused().is_some() {
            return Next::Done;
        }
        if !peer.is_connected() {
            return self.wait(peer);
        }
        while !self.ended && self.deeds < DEEDS_MAX {
            self.deeds += 1;
            match peer.choose(12) {
                0 => {
                    peer.shutdown();
                    self.ended = true;
                }
                1..5 => {
                    let n = [1, 20, 400, 3000][peer.choose(4)];
                    self.send(peer, n);
                }
                5 => return Next::WaitFor(Duration::from_millis([1, 30, 600, 3000, 35_000][peer.choose(5)])),
                6..8 => {
                    let max = [1, 100, 100_000][peer.choose(3)];
                    if let Received::End | Received::Failed(_) = self.recv(peer, max) {
                        return Next::Done;
                    }
                }
                8 => return Next::Done,
                9 => {
                    peer.reset();
                    return Next::Done;
                }
                10 if !self.urgent => self.urgent = peer.send_urgent(b'!'),
                _ => return Next::WaitFor(Duration::from_millis(5)),
            }
        }
        if !self.ended {
            peer.shutdown();
            self.ended = true;
        }
        loop {
            match self.recv(peer, usize::MAX) {
                Received::Bytes(_) => {}
                Received::Nothing => return self.wait(peer),
                Received::End | Received::Failed(_) => return Next::Done,
            }
        }
    }

    fn wait(&mut self, peer: &Peer<'_>) -> Next {
        let now = peer.now().as_nanos();
        let patience = u64::try_from(PATIENCE.as_nanos()).expect("less than a minute");
        let leaves_at = *self.leaves_at.get_or_insert(now + patience);
        match leaves_at.checked_sub(now) {
            None | Some(0) => Next::Done,
            Some(left) => Next::WaitFor(Duration::from_nanos(left)),
        }
    }

    fn send(&mut self, peer: &mut Peer<'_>, n: usize) {
        let Some(source) = self.source else { return };
        let bytes = self.ledger.borrow().next(source, n);
        let sent = peer.send(&bytes);
        self.ledger.borrow_mut().sent(source, sent);
    }

    fn recv(&mut self, peer: &mut Peer<'_>, max: usize) -> Received {
        let received = peer.recv(max);
        let mut ledger = self.ledger.borrow_mut();
        self.from = ledger.client_received(self.from, self.checked, peer.received());
        self.checked = peer.received().len();
        if received == Received::End && self.from.is_some() {
            ledger.ended(self.from, self.checked);
        }
        received
    }
}
