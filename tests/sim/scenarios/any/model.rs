//! What must come of it all: what clients sent and programs were given, what programs sent and clients got.
//!
//! It knows streams and reasons. Nothing here panics before the run is over: a panic in a callback may be isolated,
//! and then nobody would hear of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use switchboard::sim::{ClientReport, End};
use switchboard::{CloseKind, Config, ConnId};

pub(super) type Shared = Rc<RefCell<Model>>;

/// What one client did, and what was done for it.
#[derive(Default)]
pub(super) struct ClientSide {
    /// The frames it set out to send, and how many bytes it has sent when each is whole.
    pub(super) frames: Vec<Vec<u8>>,
    pub(super) ends: Vec<usize>,
    pub(super) sent: usize,
    /// It ended its side.
    pub(super) shut: bool,
    /// It left before it knew that everything had come: it may have reset the connection by that.
    pub(super) left: bool,
    pub(super) urgents: usize,
    /// How many bytes it had when it saw the end.
    pub(super) got: Option<usize>,
    /// How many bytes the program was told would be sent.
    pub(super) accepted: usize,
    /// How it ended for the program.
    pub(super) reason: Option<CloseKind>,
}

/// The two ends of a connection between programs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) who: usize,
    pub(super) id: ConnId,
}

/// All there is to compare.
pub(super) struct Model {
    pub(super) configs: Vec<Config>,
    /// Whether a fault may end connections.
    may_harm: bool,
    pub(super) clients: Vec<ClientSide>,
    /// How many numbers were taken for sending at each place.
    pub(super) accepted: BTreeMap<Place, usize>,
    /// The other end of each place.
    pub(super) pairs: BTreeMap<Place, Place>,
    pub(super) wrong: Vec<String>,
}

impl Model {
    pub(super) fn new(configs: &[Config], may_harm: bool) -> Model {
        Model {
            configs: configs.to_vec(),
            may_harm,
            clients: Vec::new(),
            accepted: BTreeMap::new(),
            pairs: BTreeMap::new(),
            wrong: Vec::new(),
        }
    }

    /// Something is not as it must be.
    pub(super) fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    pub(super) fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    /// A frame came from a client: the `at`-th of its connection.
    pub(super) fn frame_came(&mut self, client: usize, at: usize, frame: &[u8]) {
        let side = &self.clients[client];
        // Of several urgent bytes that were not fetched, Linux leaves the earlier ones in the stream.
        let came: Vec<u8> = match side.urgents {
            0 => frame.to_vec(),
            _ => frame.iter().copied().filter(|&byte| byte != b'!').collect(),
        };
        let fits = side.frames.get(at).is_some_and(|sent| *sent == came);
        let whole = side.ends.get(at).is_some_and(|&end| end <= side.sent);
        self.expect(fits && whole, || {
            format!("frame {at} of client {client} came as \"{}\"", frame.escape_ascii())
        });
    }

    /// A client's end came behind `frames` frames.
    pub(super) fn end_came(&mut self, client: usize, frames: usize) {
        let side = &self.clients[client];
        let whole = side.ends.iter().filter(|&&end| end <= side.sent).count();
        let shut = side.shut;
        self.expect(shut, || format!("client {client} did not end its side, and its end came"));
        self.expect(frames == whole, || {
            format!("client {client} ended behind {whole} frames, and {frames} had come")
        });
    }

    /// The end of the connection at `place` came behind `got` numbers.
    pub(super) fn other_ended(&mut self, place: Place, got: usize) {
        let Some(&other) = self.pairs.get(&place) else { return };
        let sent = self.accepted.get(&other).copied().unwrap_or(0);
        self.expect(got == sent, || format!("{place:?} ended behind {got} bytes, {other:?} has sent {sent}"));
    }

    /// Compares what clients saw with what was done for them, when it is all over.
    pub(super) fn compare(&self, reports: &[ClientReport]) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        for (number, (side, report)) in self.clients.iter().zip(reports).enumerate() {
            if let Some(got) = side.got {
                // Whatever else went wrong: an end says that this was all.
                let sent = side.accepted;
                assert_eq!(got, sent, "client {number} saw the end, and not all that was sent to it");
            }
            // Nobody notes what happens to a connection that its client has closed.
            let closed = self.may_harm && side.got.is_some();
            let excused = report.cut || side.left || closed;
            match side.reason {
                Some(CloseKind::Reset) => {
                    assert!(excused, "the connection of client {number} was reset by nobody");
                }
                Some(CloseKind::Io) => assert!(excused, "client {number} failed without a fault"),
                Some(CloseKind::Ended) => {
                    let fine = report.end == End::Ended || excused;
                    assert!(fine, "client {number} ended in order and saw {:?}", report.end);
                }
                _ => {}
            }
        }
    }
}
