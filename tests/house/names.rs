//! Which modules there are, and what each file names of them and of other crates.
//!
//! It resolves `crate::`, `self::`, `super::`, child modules, and what a `use` of the same file brought in.
//! It does not know the rules of the house.

use std::collections::{BTreeMap, BTreeSet};

use crate::lex::{Product, Token, product, tokens};

/// A file of `src/`: what stands in it and where it stands in the tree of modules.
#[derive(Debug)]
pub(crate) struct File<'s> {
    /// Its path from the root of the package, with `/`.
    pub(crate) path: &'s str,
    pub(crate) source: &'s str,
    /// Its module, as `["net", "os"]`; nothing for the facade.
    pub(crate) module: Vec<&'s str>,
    /// Its code without comments, literals and tests; nothing if all of it is test code.
    pub(crate) tokens: Vec<Token<'s>>,
}

/// All files of `src/`, and the modules they are.
#[derive(Debug)]
pub(crate) struct Tree<'s> {
    pub(crate) files: Vec<File<'s>>,
    modules: BTreeSet<Vec<&'s str>>,
    /// What the facade re-exports: a name, and the path it stands for.
    facade: BTreeMap<&'s str, Vec<&'s str>>,
}

/// Whose the thing is that a path names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target<'s> {
    /// Something below this module of ours, or this module.
    Module(Vec<&'s str>),
    /// Something by this path that is in no module of ours: the facade's own, or all of the facade.
    Facade(Vec<&'s str>),
    /// Something of std or another crate, by its full path; `*` at the end for all of it.
    Foreign(Vec<&'s str>),
}

/// A path that a file names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name<'s> {
    pub(crate) target: Target<'s>,
    pub(crate) line: usize,
    /// Whether it starts with what an earlier `use` brought in, and so was named there already.
    pub(crate) through_use: bool,
}

impl<'s> Tree<'s> {
    /// Reads `files`, given as path and source.
    pub(crate) fn new(files: &[(&'s str, &'s str)]) -> Tree<'s> {
        let mut test_modules = BTreeSet::new();
        let mut tree = Tree { files: Vec::new(), modules: BTreeSet::new(), facade: BTreeMap::new() };
        for &(path, source) in files {
            let module = module(path);
            let Product { tokens, test_modules: names } = product(&tokens(source));
            test_modules.extend(names.into_iter().map(|name| child(&module, name)));
            tree.modules.insert(module.clone());
            tree.files.push(File { path, source, module, tokens });
        }
        for file in &mut tree.files {
            if (1..=file.module.len()).any(|length| test_modules.contains(&file.module[..length])) {
                file.tokens.clear();
            }
        }
        tree.facade = tree.facade();
        tree
    }

    /// What `lib.rs` brings in by name.
    fn facade(&self) -> BTreeMap<&'s str, Vec<&'s str>> {
        let mut names = BTreeMap::new();
        for file in self.files.iter().filter(|file| file.module.is_empty()) {
            for path in paths(&file.tokens) {
                if let (Some(alias), Target::Module(target)) = (path.alias, self.resolve(&path)) {
                    names.insert(alias, target);
                }
            }
        }
        names
    }

    /// Everything `file` names by a path.
    pub(crate) fn names(&self, file: &File<'s>) -> Vec<Name<'s>> {
        let mut paths = paths(&file.tokens);
        for path in &mut paths {
            path.module.splice(..0, file.module.iter().copied());
        }
        let mut aliases: BTreeMap<&'s str, Vec<&'s str>> = BTreeMap::new();
        for path in &paths {
            if let (Some(alias), Target::Foreign(full)) = (path.alias, self.resolve(path)) {
                aliases.insert(alias, full);
            }
        }
        let mut names = Vec::new();
        for path in &paths {
            let first = path.segments[0];
            let target = self.resolve(path);
            let full =
                aliases.get(first).filter(|full| matches!(target, Target::Foreign(_)) && full[0] != first);
            names.push(match full {
                None => Name { target, line: path.line, through_use: false },
                Some(full) => {
                    let full = [full, &path.segments[1..]].concat();
                    Name { target: Target::Foreign(full), line: path.line, through_use: true }
                }
            });
        }
        names
    }

    fn resolve(&self, path: &Path<'s>) -> Target<'s> {
        let mut at = match path.segments[0] {
            "crate" => Vec::new(),
            "self" | "super" => path.module.clone(),
            first if self.modules.contains(child(&path.module, first).as_slice()) => path.module.clone(),
            _ => return Target::Foreign(path.segments.clone()),
        };
        for &segment in &path.segments {
            match segment {
                "crate" | "self" => {}
                "super" => {
                    at.pop();
                }
                _ => at.push(segment),
            }
        }
        match at.first() {
            Some(&first) if self.modules.contains([first].as_slice()) => Target::Module(at),
            Some(first) if self.facade.contains_key(first) => Target::Module(self.facade[first].clone()),
            _ => Target::Facade(at),
        }
    }
}

/// The module that the file at `path` is.
fn module(path: &str) -> Vec<&str> {
    let path = path.strip_prefix("src/").unwrap_or(path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Vec::new() } else { path.split('/').collect() }
}

fn child<'s>(module: &[&'s str], name: &'s str) -> Vec<&'s str> {
    [module, &[name]].concat()
}

/// A path as it is written.
#[derive(Clone, Debug)]
struct Path<'s> {
    segments: Vec<&'s str>,
    line: usize,
    /// The module in whose braces it stands, within its file.
    module: Vec<&'s str>,
    /// The name it has in this file from here on, if it stands in a `use`.
    alias: Option<&'s str>,
}

/// All paths of two or more segments, and all that stand in a `use`.
fn paths<'s>(tokens: &[Token<'s>]) -> Vec<Path<'s>> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut paths = Vec::new();
    let mut open: Vec<(&'s str, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < tokens.len() {
        let module: Vec<&'s str> = open.iter().map(|(name, _)| *name).collect();
        match tokens[at].text {
            "use" if text(at + 1) != "<" => {
                let end =
                    tokens[at..].iter().position(|token| token.text == ";").map_or(tokens.len(), |n| at + n);
                use_tree(&tokens[at + 1..end], &module, &mut paths);
                at = end;
            }
            "extern" if text(at + 1) == "crate" => {
                use_tree(&tokens[at + 2..tokens.len().min(at + 5)], &module, &mut paths);
                at += 2;
            }
            "mod" if text(at + 2) == "{" => {
                open.push((text(at + 1), depth));
                at += 1;
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if open.last().is_some_and(|(_, outside)| *outside == depth) {
                    open.pop();
                }
            }
            first if is_word(first) && text(at + 1) == "::" && (at == 0 || text(at - 1) != ".") => {
                let line = tokens[at].line;
                let mut segments = vec![first];
                while text(at + 1) == "::" && is_word(text(at + 2)) {
                    at += 2;
                    segments.push(text(at));
                }
                if segments.len() > 1 {
                    paths.push(Path { segments, line, module, alias: None });
                }
            }
            _ => {}
        }
        at += 1;
    }
    paths
}

/// Lists the paths of one `use`, given without that word and its semicolon.
fn use_tree<'s>(tokens: &[Token<'s>], module: &[&'s str], paths: &mut Vec<Path<'s>>) {
    // Where the groups that are open began to add to `prefix`.
    let mut groups = Vec::new();
    let mut prefix: Vec<&'s str> = Vec::new();
    let mut alias = None;
    let mut fresh = false;
    let end = Token { text: ",", line: 0 };
    let mut at = 0;
    let mut line = 0;
    while at <= tokens.len() {
        let token = tokens.get(at).copied().unwrap_or(end);
        match token.text {
            "::" => {}
            "{" => {
                groups.push(prefix.len());
                fresh = false;
            }
            "," | "}" => {
                if fresh {
                    let mut segments = prefix.clone();
                    if segments.len() > 1 && segments.last() == Some(&"self") {
                        segments.pop();
                    }
                    let alias =
                        alias.or(segments.last().copied()).filter(|alias| !["*", "_"].contains(alias));
                    paths.push(Path { segments, line, module: module.to_vec(), alias });
                }
                fresh = false;
                alias = None;
                if token.text == "}" {
                    groups.pop();
                }
                prefix.truncate(groups.last().copied().unwrap_or(0));
            }
            "as" => {
                alias = tokens.get(at + 1).map(|token| token.text);
                at += 1;
            }
            segment => {
                prefix.push(segment);
                line = token.line;
                fresh = true;
            }
        }
        at += 1;
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &[(&str, &str)] = &[
        ("src/lib.rs", "mod id; pub mod net; mod conn; pub use id::ConnId; pub use net::os::{Os as System};"),
        ("src/id.rs", ""),
        ("src/net/mod.rs", ""),
        ("src/net/os/mod.rs", ""),
        ("src/conn/mod.rs", ""),
        ("src/conn/queue.rs", ""),
    ];

    /// What `source` names when it stands in `src/conn/queue.rs`: `ours`, or `.theirs`.
    fn names(source: &str) -> Vec<String> {
        let mut files = TREE.to_vec();
        files[5].1 = source;
        let tree = Tree::new(&files);
        let show = |name: Name<'_>| match name.target {
            Target::Module(path) => path.join("::"),
            Target::Facade(path) => format!("facade {}", path.join("::")),
            Target::Foreign(path) => format!(".{}", path.join("::")),
        };
        tree.names(&tree.files[5]).into_iter().map(show).collect()
    }

    #[test]
    fn use_trees_name_each_of_their_leaves() {
        assert_eq!(
            names("use std::{io::{self, Read as R}, net::*}; pub(crate) use ::mio; use bytes as b;"),
            [".std::io", ".std::io::Read", ".std::net::*", ".mio", ".bytes"]
        );
        assert_eq!(names("use crate::{id::ConnId, net::{self, os}};"), ["id::ConnId", "net", "net::os"]);
        assert_eq!(names("extern crate mio as m;"), [".mio"]);
    }

    #[test]
    fn relative_paths_resolve_from_where_they_stand() {
        assert_eq!(names("use super::Phase; use super::super::net::Stream;"), ["conn::Phase", "net::Stream"]);
        assert_eq!(names("mod inner { use super::A; use super::super::B; }"), ["conn::queue::A", "conn::B"]);
        assert_eq!(names("mod inner { fn f() { if x {} } } use super::A;"), ["conn::A"]);
        assert_eq!(names("use self::A;"), ["conn::queue::A"]);
    }

    #[test]
    fn inline_paths_count_and_methods_and_generics_do_not() {
        assert_eq!(
            names("fn f() { crate::net::os::open::<u8>(); x.iter::<u8>(); y.mio::z }"),
            ["net::os::open"]
        );
        assert_eq!(names("pub(crate) fn f<T: super::A>(t: <T as crate::id::B>::C) {}"), ["conn::A", "id::B"]);
    }

    #[test]
    fn a_re_export_of_the_facade_is_what_it_stands_for() {
        assert_eq!(
            names("use crate::{ConnId, System, Other};"),
            ["id::ConnId", "net::os::Os", "facade Other"]
        );
        assert_eq!(names("use crate::*; use super::super::*;"), ["facade *", "facade *"]);
    }

    #[test]
    fn what_a_use_brought_in_is_known_by_its_full_path() {
        assert_eq!(
            names("use std::net; net::TcpStream::connect"),
            [".std::net", ".std::net::TcpStream::connect"]
        );
        assert_eq!(names("use mio as system; system::Poll::new()"), [".mio", ".mio::Poll::new"]);
    }

    #[test]
    fn a_module_that_is_test_code_has_no_tokens() {
        let files = [
            ("src/conn/mod.rs", "#[cfg(test)] mod twin; mod queue;"),
            ("src/conn/twin.rs", "use mio::Poll;"),
            ("src/conn/queue.rs", "a"),
        ];
        let tree = Tree::new(&files);
        assert!(tree.files[1].tokens.is_empty());
        assert!(!tree.files[2].tokens.is_empty());
    }
}
