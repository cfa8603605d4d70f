//! Holds `docs/failure-modes.md` to what it says: every id once, every test there is, every count right.
//!
//! It knows the ids and the words that the last column may begin with; it does not know what the entries mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::lex::tokens;

/// How many entries each group has. The ids are stable: entries are added at the end of a group and never removed.
const GROUPS: &[(char, u32)] = &[
    ('A', 21),
    ('B', 12),
    ('C', 15),
    ('D', 15),
    ('E', 15),
    ('F', 15),
    ('G', 14),
    ('H', 12),
    ('I', 10),
    ('J', 15),
    ('K', 12),
    ('L', 7),
    ('M', 15),
    ('N', 11),
    ('O', 11),
];

/// What the last column begins with where it names no test, and how the count of those reads.
const WITHOUT_TEST: &[(&str, &str)] = &[("design: ", "by design"), ("does not apply: ", "do not apply")];

/// The functions of each file, by its path.
type Functions = BTreeMap<String, BTreeSet<String>>;

/// One line of a table.
#[derive(Debug)]
struct Row<'p> {
    id: &'p str,
    held_by: &'p str,
}

impl<'p> Row<'p> {
    /// The tests it names, as `file::function`.
    fn tests(&self) -> impl Iterator<Item = &'p str> {
        self.held_by.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains(".rs::"))
    }
}

/// The rows of all tables that have an id in the first column.
fn rows(page: &str) -> Vec<Row<'_>> {
    page.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
            let (id, _, held_by) = (cells.next()?, cells.next()?, cells.next()?);
            let is_id = id.starts_with(|first: char| first.is_ascii_uppercase())
                && id.len() > 1
                && id[1..].bytes().all(|byte| byte.is_ascii_digit());
            is_id.then_some(Row { id, held_by })
        })
        .collect()
}

/// The id that the name of a function begins with: `A10` of `a10_a_stale_event_is_dropped`.
fn id_of(function: &str) -> Option<String> {
    let (id, _) = function.split_once('_')?;
    let group = id.chars().next().filter(|first| ('a'..='o').contains(first))?;
    let number = id[1..].parse::<u32>().ok()?;
    Some(format!("{}{number}", group.to_ascii_uppercase()))
}

/// What is wrong with `page`, given the functions there are.
fn complaints(page: &str, functions: &Functions) -> Vec<String> {
    let mut wrong = Vec::new();
    let rows = rows(page);

    let mut expected: BTreeSet<String> =
        GROUPS.iter().flat_map(|(group, count)| (1..=*count).map(move |n| format!("{group}{n}"))).collect();
    let total = expected.len();
    for row in &rows {
        if !expected.remove(row.id) {
            wrong.push(format!("{} is there twice, or is no id", row.id));
        }
    }
    wrong.extend(expected.iter().map(|id| format!("{id} is missing")));

    let mut counts = BTreeMap::new();
    for row in &rows {
        let without = WITHOUT_TEST.iter().find(|(word, _)| row.held_by.starts_with(word));
        let kind = without.map_or("held by tests", |(_, kind)| kind);
        *counts.entry(kind).or_insert(0_usize) += 1;
        if without.is_none() && row.tests().next().is_none() {
            wrong.push(format!("{} names no test and does not say why", row.id));
        }
        for test in row.tests() {
            let (file, function) = test.split_once("::").unwrap_or((test, ""));
            if !functions.get(file).is_some_and(|functions| functions.contains(function)) {
                wrong.push(format!("{} names {test}, which does not exist", row.id));
            }
        }
    }
    let count = |kind| counts.get(kind).copied().unwrap_or(0);
    let summary = format!(
        "{total} entries: {} held by tests, {} by design, {} do not apply.",
        count("held by tests"),
        count("by design"),
        count("do not apply")
    );
    if !page.contains(&summary) {
        wrong.push(format!("the counts are not: {summary}"));
    }

    for (file, functions) in functions {
        for function in functions {
            let Some(id) = id_of(function) else { continue };
            let test = format!("{file}::{function}");
            if !rows.iter().any(|row| row.id == id && row.tests().any(|named| named == test)) {
                wrong.push(format!("{test} is not in the row of {id}"));
            }
        }
    }
    wrong
}

/// Adds the functions of every file below `folder` of the package.
fn collect(root: &Path, folder: &str, functions: &mut Functions) {
    for entry in fs::read_dir(root.join(folder)).expect("the folder can be listed") {
        let entry = entry.expect("the entry can be read");
        let path = format!("{folder}/{}", entry.file_name().to_str().expect("paths are UTF-8"));
        if entry.path().is_dir() {
            collect(root, &path, functions);
        } else if entry.path().extension() == Some("rs".as_ref()) {
            let source = fs::read_to_string(entry.path()).expect("sources are UTF-8");
            let tokens = tokens(&source);
            let names =
                tokens.windows(2).filter(|pair| pair[0].text == "fn").map(|pair| pair[1].text.to_owned());
            functions.insert(path, names.collect());
        }
    }
}

#[test]
fn the_failure_modes_say_what_holds_each() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut functions = Functions::new();
    for folder in ["src", "tests"] {
        collect(root, folder, &mut functions);
    }
    let page = fs::read_to_string(root.join("docs/failure-modes.md")).expect("the page is there");
    let complaints = complaints(&page, &functions);
    assert!(complaints.is_empty(), "docs/failure-modes.md is wrong:\n  {}", complaints.join("\n  "));
}

/// A page with every id, of which `A1` is held as given, and the summary that belongs to it.
fn page(held_by: &str, summary: &str) -> String {
    let ids = GROUPS.iter().flat_map(|(group, count)| (1..=*count).map(move |n| format!("{group}{n}")));
    let rows = ids.map(|id| {
        let held_by = if id == "A1" { held_by } else { "does not apply: there is none." };
        format!("| {id} | title | {held_by} |\n")
    });
    format!("{summary}\n\n| id | what goes wrong | held by |\n|---|---|---|\n{}", rows.collect::<String>())
}

const ONE_TEST: &str = "200 entries: 1 held by tests, 0 by design, 199 do not apply.";

fn one_file(functions: &[&str]) -> Functions {
    let functions = functions.iter().map(|&function| function.to_owned()).collect();
    BTreeMap::from([("tests/one.rs".to_owned(), functions)])
}

#[test]
fn a_page_that_is_right_is_not_complained_about() {
    let page = page("`tests/one.rs::a1_first`, `tests/one.rs::another`", ONE_TEST);
    assert_eq!(complaints(&page, &one_file(&["a1_first", "another", "e2e"])), [""; 0]);
}

#[test]
fn each_way_a_page_can_be_wrong_is_complained_about() {
    let held = "`tests/one.rs::a1_first`";
    let known = one_file(&["a1_first"]);
    for (page, functions, complaint) in [
        (
            page("`tests/one.rs::gone`", ONE_TEST),
            one_file(&[]),
            "A1 names tests/one.rs::gone, which does not exist",
        ),
        (
            page(held, ONE_TEST),
            one_file(&["a1_first", "b3_more"]),
            "tests/one.rs::b3_more is not in the row of B3",
        ),
        (page(held, ONE_TEST).replace("| B2 |", "| B1 |"), known.clone(), "B1 is there twice, or is no id"),
        (page(held, ONE_TEST).replace("| B2 |", "| B1 |"), known.clone(), "B2 is missing"),
        (
            page(held, ONE_TEST).replace("| O11 |", "| O12 |"),
            known.clone(),
            "O12 is there twice, or is no id",
        ),
        (page("maybe.", ONE_TEST), one_file(&[]), "A1 names no test and does not say why"),
        (page(held, "200 entries: 3 held by tests"), known.clone(), ONE_TEST),
    ] {
        let complaints = complaints(&page, &functions);
        assert!(complaints.iter().any(|one| one.contains(complaint)), "{complaint}: {complaints:?}");
    }
}
