//! What callgrind writes, read: instructions by function and by line of source.
//!
//! It knows the file format (valgrind's manual, "Callgrind Format Specification"). It does not know what was
//! run, nor for how many requests.

use std::collections::{BTreeMap, HashMap};
use std::io;

/// Instructions of one process, or of several together.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    /// All of them.
    pub(super) total: u64,
    /// By function, without what it calls. What the compiler put into it counts as its own.
    pub(super) functions: BTreeMap<String, u64>,
    /// By file and line of source, wherever the compiler put it.
    pub(super) lines: BTreeMap<(String, u64), u64>,
}

impl Profile {
    /// Adds what one callgrind file says.
    pub(super) fn read(&mut self, text: &str) -> io::Result<()> {
        let mut reader = Reader::default();
        for line in text.lines() {
            reader.line(line, self).ok_or_else(|| io::Error::other(format!("callgrind wrote {line:?}")))?;
        }
        Ok(())
    }

    /// What it has beyond `other`: entry by entry, in the order of what they cost, without what is equal.
    pub(super) fn functions_beyond(&self, other: &Profile) -> Vec<(String, i64)> {
        beyond(&self.functions, &other.functions)
    }

    /// The same by lines.
    pub(super) fn lines_beyond(&self, other: &Profile) -> Vec<((String, u64), i64)> {
        beyond(&self.lines, &other.lines)
    }
}

fn beyond<K: Ord + Clone>(more: &BTreeMap<K, u64>, less: &BTreeMap<K, u64>) -> Vec<(K, i64)> {
    let of = |map: &BTreeMap<K, u64>, key: &K| {
        map.get(key).map_or(0, |count| i64::try_from(*count).unwrap_or(i64::MAX))
    };
    let only_in_less = less.keys().filter(|key| !more.contains_key(key));
    let mut all: Vec<_> = more
        .keys()
        .chain(only_in_less)
        .map(|key| (key.clone(), of(more, key) - of(less, key)))
        .filter(|(_, count)| *count != 0)
        .collect();
    all.sort_by(|a, b| b.1.abs().cmp(&a.1.abs()).then_with(|| a.0.cmp(&b.0)));
    all
}

/// Where in a file the reader is.
#[derive(Default)]
struct Reader {
    /// Names are written once and are numbers from then on.
    files: HashMap<String, String>,
    functions: HashMap<String, String>,
    file: String,
    function: String,
    line: u64,
    /// The next line is what a call cost in the function called, where it counts already.
    of_call: bool,
}

impl Reader {
    /// Takes one line; nothing if it means nothing.
    fn line(&mut self, text: &str, into: &mut Profile) -> Option<()> {
        if text.starts_with(['+', '-', '*']) || text.starts_with(|first: char| first.is_ascii_digit()) {
            return self.cost(text, into);
        }
        let Some((key, value)) = text.split_once('=') else {
            // Headers, and the empty lines between functions.
            return Some(());
        };
        match key {
            "fl" | "fi" | "fe" => self.file = name(&mut self.files, value)?,
            "fn" => self.function = name(&mut self.functions, value)?,
            // A name may be written out where it is called first.
            "cfi" | "cfl" => drop(name(&mut self.files, value)?),
            "cfn" => drop(name(&mut self.functions, value)?),
            "calls" => self.of_call = true,
            _ => {}
        }
        Some(())
    }

    fn cost(&mut self, text: &str, into: &mut Profile) -> Option<()> {
        let (position, cost) = text.split_once(' ').unwrap_or((text, "0"));
        self.line = match position.split_at_checked(1)? {
            ("+", by) => self.line.checked_add(by.parse().ok()?)?,
            ("-", by) => self.line.checked_sub(by.parse().ok()?)?,
            ("*", _) => self.line,
            _ => position.parse().ok()?,
        };
        if std::mem::take(&mut self.of_call) {
            return Some(());
        }
        let cost: u64 = cost.trim().parse().ok()?;
        into.total += cost;
        add(&mut into.functions, &self.function, cost);
        *into.lines.entry((self.file.clone(), self.line)).or_default() += cost;
        Some(())
    }
}

fn add(map: &mut BTreeMap<String, u64>, key: &str, cost: u64) {
    match map.get_mut(key) {
        Some(count) => *count += cost,
        None => drop(map.insert(key.to_owned(), cost)),
    }
}

/// The name that `(7) name` gives to 7, or that `(7)` was given before.
fn name(names: &mut HashMap<String, String>, value: &str) -> Option<String> {
    let Some((number, name)) = value.strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
        return Some(value.to_owned());
    };
    match name.trim() {
        "" => names.get(number).cloned(),
        name => {
            names.insert(number.to_owned(), name.to_owned());
            Some(name.to_owned())
        }
    }
}
