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
    /// Calls of `clock_gettime`, whoever makes them.
    pub(super) clock_reads: u64,
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
    /// The function that the next `calls` are of.
    callee: String,
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
            "cfn" => self.callee = name(&mut self.functions, value)?,
            "calls" => {
                self.of_call = true;
                if self.callee.contains("clock_gettime") {
                    into.clock_reads += value.split(' ').next()?.parse::<u64>().ok()?;
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `main` calls `work` with 5 and with 2; it calls `clock_gettime` so often.
    const SAMPLE: &str = include_str!("samples/callgrind.txt");

    fn profile(text: &str) -> Profile {
        let mut profile = Profile::default();
        profile.read(text).expect("callgrind wrote it");
        profile
    }

    fn at(file: &str, line: u64, cost: u64) -> ((String, u64), u64) {
        ((file.to_owned(), line), cost)
    }

    #[test]
    fn a_file_is_read_without_what_calls_cost() {
        let profile = profile(SAMPLE);
        assert_eq!(profile.total, 100, "as its last line says");
        let wanted = [("clock_gettime", 21), ("main", 11), ("work", 68)];
        assert_eq!(profile.functions, wanted.map(|(name, cost)| (name.to_owned(), cost)).into());
        let file = "/src/tiny.c";
        let of_work = [(5, 6), (6, 2), (7, 8 + 21), (8, 4 + 10 + 7), (10, 10)];
        let wanted = [(3, 14), (4, 7), (11, 1), (12, 2 + 3 + 3), (13, 2)].into_iter().chain(of_work);
        assert_eq!(profile.lines, wanted.map(|(line, cost)| at(file, line, cost)).collect());
    }

    #[test]
    fn reads_of_the_clock_are_the_calls_of_its_function() {
        assert_eq!(profile(SAMPLE).clock_reads, 7);
    }

    #[test]
    fn files_of_several_processes_are_added() {
        let mut twice = profile(SAMPLE);
        twice.read(SAMPLE).expect("callgrind wrote it");
        assert_eq!((twice.total, twice.clock_reads, twice.functions["work"]), (200, 14, 136));
    }

    #[test]
    fn what_is_inlined_belongs_to_its_own_file_and_to_the_function_around_it() {
        let inlined = "fl=(1) a.c\nfn=(1) outer\n10 1\nfi=(2) b.h\n3 5\nfe=(1)\n11 2\n";
        let profile = profile(inlined);
        assert_eq!(profile.functions, [("outer".to_owned(), 8)].into());
        assert_eq!(profile.lines, [at("a.c", 10, 1), at("a.c", 11, 2), at("b.h", 3, 5)].into());
    }

    #[test]
    fn the_difference_is_what_is_not_equal_the_most_expensive_first() {
        let mut more = profile(SAMPLE);
        more.read("fl=(1) a.c\nfn=(1) new\n1 7\nfn=(2) main\n2 9\n").expect("it is a file");
        let mut less = profile(SAMPLE);
        less.read("fn=(1) old\n1 1\n").expect("it is a file");
        let wanted = [("main", 9), ("new", 7), ("old", -1)];
        assert_eq!(more.functions_beyond(&less), wanted.map(|(name, cost)| (name.to_owned(), cost)));
    }

    #[test]
    fn what_is_no_cost_is_an_error() {
        for bad in ["fn=(1)", "12 x", "-1 5", "1x 5", "cfn=(1) clock_gettime\ncalls=x"] {
            assert!(Profile::default().read(bad).is_err(), "{bad:?}");
        }
    }
}
