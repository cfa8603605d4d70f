//! Output that is a part of the input being delivered: sent from where it is, without a copy.
//!
//! It knows addresses and order, and no bytes: those stay in the receive buffer, or the tail, that the frame lies
//! in. That is safe to tell by the addresses alone, because the buffer is alive and the reactor's own while frames
//! are cut out of it: what lies within it is a part of it. It is found again by index.
//!
//! ```text
//!  input  [ frame ][ frame            ]
//!                     ├── lent ──▶│
//!  out    [ before ]              │  [ behind ]      sent in this order, in one call
//!                  └─ goes here ──┘
//! ```

use std::mem;
use std::ops::Range;

/// Where the input lies, and what of it is lent.
#[derive(Debug, Default)]
pub(crate) struct Lending {
    input: Range<usize>,
    lent: Option<Lent>,
}

impl Lending {
    /// Frames are cut out of `buf` from now on; what they were cut out of before is answered.
    pub(crate) fn lie_in(&mut self, buf: &[u8]) -> Range<usize> {
        mem::replace(&mut self.input, addresses(buf))
    }

    /// Frames are cut out of what they were cut out of before.
    pub(crate) fn lie_again_in(&mut self, input: Range<usize>) {
        self.input = input;
    }

    /// Lends `bytes`, behind the first `before` bytes of `out`, if they are a part of the input and nothing else is
    /// lent; whether it did.
    pub(super) fn lend(&mut self, bytes: &[u8], before: usize) -> bool {
        let at = addresses(bytes);
        let lies_within = self.input.start <= at.start && at.end <= self.input.end;
        // No bytes may have any address.
        if self.lent.is_some() || !lies_within || at.is_empty() {
            return false;
        }
        self.lent = Some(Lent { at, before });
        true
    }

    /// Whether something is lent.
    pub(super) fn is_any(&self) -> bool {
        self.lent.is_some()
    }

    /// How many bytes are lent.
    pub(super) fn bytes(&self) -> usize {
        self.lent.as_ref().map_or(0, |lent| lent.at.len())
    }

    /// Ends it: what was lent is sent now, or was lost with its input.
    pub(crate) fn take(&mut self) -> Option<Lent> {
        self.lent.take()
    }
}

/// A part of the input that was sent and is still there.
#[derive(Debug)]
pub(crate) struct Lent {
    at: Range<usize>,
    /// How many bytes of `out` go before it.
    before: usize,
}

impl Lent {
    /// All that was sent, in its order. `input` is what it is a part of.
    pub(crate) fn among<'b>(&self, out: &'b [u8], input: &'b [u8]) -> [&'b [u8]; 3] {
        let from = self.at.start - addresses(input).start;
        let lent = &input[from..from + self.at.len()];
        let (before, behind) = out.split_at(if wrong!(LentOvertakes) { 0 } else { self.before });
        [before, lent, behind]
    }
}

/// The addresses that some bytes lie at.
fn addresses(bytes: &[u8]) -> Range<usize> {
    let bytes = bytes.as_ptr_range();
    bytes.start.addr()..bytes.end.addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_found_again_between_what_was_sent_before_and_behind() {
        let input: Vec<u8> = (0..=255).collect();
        for part in [0..256, 0..1, 7..100, 255..256] {
            let mut lending = Lending::default();
            lending.lie_in(&input);
            let bytes = &input[part];
            assert!(lending.lend(bytes, 3));
            assert!(!lending.lend(bytes, 3), "it is already");
            assert_eq!((lending.is_any(), lending.bytes()), (true, bytes.len()));
            let lent = lending.take().expect("lent");
            assert_eq!(lent.among(b"abcde", &input), [b"abc", bytes, b"de"]);
            assert_eq!((lending.is_any(), lending.bytes()), (false, 0));
        }
    }

    #[test]
    fn what_lies_elsewhere_is_not_lent() {
        let block = [7; 100];
        let lends = |bytes: &[u8]| {
            let mut lending = Lending::default();
            lending.lie_in(&block[10..90]);
            lending.lend(bytes, 0)
        };
        assert!(lends(&block[10..90]));
        assert!(!lends(&block[9..90]), "it begins before");
        assert!(!lends(&block[10..91]), "it ends behind");
        assert!(!lends(&[7; 80]), "the same bytes, elsewhere");
        assert!(!lends(&block[20..20]), "nothing");
    }

    #[test]
    fn input_can_lie_elsewhere_for_a_while() {
        let (first, second) = (vec![1; 10], vec![2; 10]);
        let mut lending = Lending::default();
        assert!(!lending.lend(&first, 0), "there is no input");
        lending.lie_in(&first);
        let before = lending.lie_in(&second);
        assert!(!lending.lend(&first, 0));
        lending.lie_again_in(before);
        assert!(!lending.lend(&second, 0));
        assert!(lending.lend(&first, 0));
    }
}
