//! The trace: what happened in a run, as a number and, where somebody wants to read it, as lines.
//!
//! It knows what it is told. Two runs that differ in anything the reactor or a peer could see have different
//! hashes; the lines are made only when asked for, because most runs are never looked at.

use std::fmt;

/// How many lines are kept: the last ones, which lead to the end.
const LINES_MAX: usize = 100_000;

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    steps: u64,
    lines: Option<Vec<Line>>,
    stopped: bool,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// Nanoseconds since the start.
    pub(crate) at: u64,
    pub(crate) text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, micros) = (self.at / 1_000_000, self.at / 1000 % 1000);
        write!(f, "{millis:>6}.{micros:03} ms  {}", self.text)
    }
}

impl Trace {
    /// Keeps lines from now on.
    pub(crate) fn record(&mut self) {
        self.lines = Some(Vec::new());
    }

    /// Whether lines are kept.
    pub(crate) fn records(&self) -> bool {
        self.lines.is_some()
    }

    /// Notes that `what` happened at `at` nanoseconds, to `whom`, with `value`.
    #[inline]
    pub(crate) fn note(&mut self, at: u64, what: u8, whom: u32, value: u64) {
        self.steps += 1;
        self.mix(u64::from(what) << 32 | u64::from(whom));
        self.mix(value);
        self.mix(at);
    }

    // One multiplication for each word: not for enemies, only to tell runs apart.
    #[inline]
    fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// Notes bytes.
    pub(crate) fn note_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    /// Keeps no more lines: what comes now is only the end of a run that has failed.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Keeps a line, if lines are kept. Not part of the hash.
    pub(crate) fn say(&mut self, at: u64, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if self.stopped {
                return;
            }
            if lines.len() == LINES_MAX {
                lines.drain(..LINES_MAX / 2);
            }
            lines.push(Line { at, text: text() });
        }
    }

    /// A number that is another one if anything happened in another way.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// How many things happened: calls across the seam, events, callbacks.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// What happened last, oldest first.
    pub(crate) fn lines(&self) -> &[Line] {
        self.lines.as_deref().unwrap_or_default()
    }
}

/// Bytes as a reader wants to see them: text where it is text, and not all of it.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 48;
        let shown = &self.0[..self.0.len().min(SHOWN)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if self.0.len() > SHOWN { f.write_str("…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_order_value_or_time_is_another_hash() {
        let hash = |notes: &[(u64, u8, u32, u64)]| {
            let mut trace = Trace::default();
            for &(at, what, whom, value) in notes {
                trace.note(at, what, whom, value);
            }
            trace.hash()
        };
        let base = hash(&[(1, 2, 3, 4), (1, 2, 3, 5)]);
        assert_eq!(base, hash(&[(1, 2, 3, 4), (1, 2, 3, 5)]));
        for other in
            [&[(1, 2, 3, 5), (1, 2, 3, 4)], &[(1, 2, 3, 4), (2, 2, 3, 5)], &[(1, 2, 4, 4), (1, 2, 3, 5)]]
        {
            assert_ne!(base, hash(other));
        }
    }

    #[test]
    fn lines_are_kept_only_when_asked_for_and_show_bytes_readably() {
        let mut trace = Trace::default();
        trace.say(0, || unreachable!("nobody asked"));
        trace.record();
        trace.say(1_234_567, || format!("client sends {}", Shown(b"hi\n\xff")));
        assert_eq!(trace.lines()[0].to_string(), "     1.234 ms  client sends \"hi\\n\\xff\"");
        trace.stop();
        trace.say(2_000_000, || unreachable!("nobody wants to know any more"));
        assert!(Shown(&[b'a'; 100]).to_string().ends_with("a\"…"));
    }
}
