//! Checks the files of `src/` against the tables, and says where they are broken.

use std::collections::BTreeSet;
use std::fmt;

use crate::lex::{Token, group_end};
use crate::names::{File, Name, Target, Tree};
use crate::{BANS, LAYERS, LINES_MAX};

/// Modules that may import each other, and what they rest on.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    /// These and everything in them, except what another layer names more exactly.
    pub(crate) modules: &'static [&'static str],
    /// Names of layers listed earlier.
    pub(crate) rests_on: &'static [&'static str],
}

/// Paths, and all below them, that only some modules may name.
#[derive(Debug)]
pub(crate) struct Ban {
    pub(crate) rule: Rule,
    pub(crate) paths: &'static [&'static str],
    pub(crate) only_in: &'static [&'static str],
}

/// One file that need not keep one rule.
#[derive(Debug)]
#[expect(dead_code, reason = "why is for the reader, and the house may be without exceptions")]
pub(crate) struct Exception {
    pub(crate) file: &'static str,
    pub(crate) rule: Rule,
    pub(crate) why: &'static str,
}

/// What a file can be at fault with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// The first line says what the file is.
    Doc,
    /// A file has at most [`LINES_MAX`] lines.
    Length,
    /// Imports run one way.
    Layers,
    /// Sockets and polling are behind the seam.
    System,
    /// So are clocks.
    Clock,
    /// The reactor is single-threaded.
    Threads,
    /// Two runs on the same input do the same: no map iterates in random order.
    Random,
    /// No `unsafe`, no `async`.
    Words,
    /// A library does not write to its user's terminal.
    Print,
    /// An exception is needed.
    Exceptions,
}

/// A rule broken, and where.
#[derive(Debug)]
pub(crate) struct Complaint {
    file: String,
    line: usize,
    rule: Rule,
    message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = format!("{:?}", self.rule).to_lowercase();
        write!(f, "{}:{}: {rule}: {}", self.file, self.line, self.message)
    }
}

/// Checks `files`, given as path and source, and lists what is wrong and not excepted.
pub(crate) fn complaints(files: &[(&str, &str)], exceptions: &[Exception]) -> Vec<Complaint> {
    let tree = Tree::new(files);
    let mut all = Vec::new();
    for file in &tree.files {
        let mut complain = |line, rule, message| {
            all.push(Complaint { file: file.path.into(), line, rule, message });
        };
        let names = tree.names(file);
        doc_and_length(file, &mut complain);
        layers(file, &names, &mut complain);
        for ban in BANS.iter().filter(|ban| !ban.only_in.iter().any(|module| is_in(&file.module, module))) {
            banned(ban, &names, &mut complain);
        }
        words(&file.tokens, &mut complain);
    }
    let mut unused: Vec<&Exception> = exceptions.iter().collect();
    all.retain(|complaint| {
        let excepts =
            |exception: &Exception| exception.file == complaint.file && exception.rule == complaint.rule;
        unused.retain(|exception| !excepts(exception));
        !exceptions.iter().any(excepts)
    });
    all.extend(unused.into_iter().map(|exception| Complaint {
        file: exception.file.into(),
        line: 1,
        rule: Rule::Exceptions,
        message: format!("needs no exception from {:?} any more", exception.rule),
    }));
    all
}

fn doc_and_length(file: &File<'_>, complain: &mut impl FnMut(usize, Rule, String)) {
    let first = file.source.lines().next().unwrap_or("");
    if first.strip_prefix("//! ").is_none_or(|doc| doc.trim().is_empty()) {
        complain(1, Rule::Doc, "the first line is not a `//!` that says what the file is".into());
    }
    let lines = file.source.lines().count();
    if lines > LINES_MAX {
        complain(lines, Rule::Length, format!("{lines} lines, limit is {LINES_MAX}"));
    }
}

/// Compares what `file` names of ours with what its layer rests on. The facade may name everything.
fn layers(file: &File<'_>, names: &[Name<'_>], complain: &mut impl FnMut(usize, Rule, String)) {
    if file.module.is_empty() {
        return;
    }
    let Some(own) = layer_of(&file.module) else {
        complain(1, Rule::Layers, format!("{} is in no layer", file.module.join("::")));
        return;
    };
    let below = below(own);
    for name in names {
        match &name.target {
            Target::Foreign(_) => {}
            Target::Facade(path) => {
                let path = path.join("::");
                let message = format!("{} names crate::{path}, which no module has", own.name);
                complain(name.line, Rule::Layers, message);
            }
            Target::Module(path) => match layer_of(path) {
                Some(layer) if layer.name == own.name || below.contains(layer.name) => {}
                layer => {
                    let path = path.join("::");
                    let layer = layer.map_or("in no layer", |layer| layer.name);
                    let below: Vec<_> = below.iter().copied().collect();
                    let below = if below.is_empty() { "nothing".into() } else { below.join(", ") };
                    let message = format!("{} names crate::{path} ({layer}) but rests on {below}", own.name);
                    complain(name.line, Rule::Layers, message);
                }
            },
        }
    }
}

/// The layer that names `path`, or most of it.
fn layer_of(path: &[&str]) -> Option<&'static Layer> {
    let modules = LAYERS.iter().flat_map(|layer| layer.modules.iter().map(move |module| (layer, module)));
    modules
        .filter(|(_, module)| is_in(path, module))
        .max_by_key(|(_, module)| module.len())
        .map(|(layer, _)| layer)
}

/// Names of all layers that `layer` rests on, directly or not.
fn below(layer: &Layer) -> BTreeSet<&'static str> {
    let mut below: BTreeSet<&'static str> = layer.rests_on.iter().copied().collect();
    // Layers rest on those listed earlier only, so one pass from the end finds all.
    for layer in LAYERS.iter().rev() {
        if below.contains(layer.name) {
            below.extend(layer.rests_on);
        }
    }
    below
}

/// Whether `path` is `module` or something in it.
fn is_in(path: &[&str], module: &str) -> bool {
    let mut path = path.iter();
    module.split("::").all(|segment| path.next() == Some(&segment))
}

fn banned(ban: &Ban, names: &[Name<'_>], complain: &mut impl FnMut(usize, Rule, String)) {
    let mut imported: Vec<&[&str]> = Vec::new();
    for name in names {
        let Target::Foreign(path) = &name.target else {
            continue;
        };
        let hit = match path.split_last() {
            Some((&"*", base)) => {
                ban.paths.iter().any(|banned| is_in(path, banned) || is_in_any(base, banned))
            }
            _ => ban.paths.iter().any(|banned| is_in(path, banned)),
        };
        // What comes through a `use` that was complained about is no news.
        if hit && !(name.through_use && imported.iter().any(|import| path.starts_with(import))) {
            let only_in = ban.only_in.join(" and ");
            complain(name.line, ban.rule, format!("names {}, which only {only_in} may", path.join("::")));
            imported.push(path);
        }
    }
}

/// Whether `banned` is what `use base::*` would bring in.
fn is_in_any(base: &[&str], banned: &str) -> bool {
    let banned: Vec<_> = banned.split("::").collect();
    banned.len() == base.len() + 1 && banned.starts_with(base)
}

/// Looks for single words that have no place in the library.
fn words(tokens: &[Token<'_>], complain: &mut impl FnMut(usize, Rule, String)) {
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1).map_or("", |token| token.text);
        match token.text {
            "unsafe" | "async" => {
                complain(token.line, Rule::Words, format!("uses `{}`", token.text));
            }
            "print" | "println" | "eprint" | "eprintln" | "dbg" if next == "!" => {
                complain(token.line, Rule::Print, format!("calls {}!", token.text));
            }
            "HashMap" if !has_hasher(tokens, at + 1, 3) => {
                complain(token.line, Rule::Random, "a HashMap without a hasher of its own".into());
            }
            "HashSet" if !has_hasher(tokens, at + 1, 2) => {
                complain(token.line, Rule::Random, "a HashSet without a hasher of its own".into());
            }
            _ => {}
        }
    }
}

/// Whether what follows the name of a hash table says its hasher, or does not make or name a table.
fn has_hasher(tokens: &[Token<'_>], after: usize, arguments: usize) -> bool {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    match (text(after), text(after + 1)) {
        ("<", _) => generics(tokens, after) >= arguments,
        ("::", "<") => generics(tokens, after + 1) >= arguments,
        ("::", method) => ["default", "with_hasher", "with_capacity_and_hasher"].contains(&method),
        // In a `use`; the places where it is used count.
        (next, _) => [";", ",", "}", "as"].contains(&next),
    }
}

/// How many arguments stand between the angle bracket at `open` and the one that closes it.
fn generics(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    let mut count = 1;
    let mut at = open;
    while at < tokens.len() {
        match tokens[at].text {
            "(" | "[" | "{" => {
                at = group_end(tokens, at);
                continue;
            }
            "<" => depth += 1,
            // Not the end of an arrow, as in `fn() -> u8`.
            ">" if tokens[at - 1].text != "-" => depth -= 1,
            "," if depth == 1 => count += 1,
            _ => {}
        }
        if depth == 0 {
            return count;
        }
        at += 1;
    }
    count
}

#[cfg(test)]
mod tests;
