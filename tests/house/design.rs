//! Holds the tables of `docs/design.md` to what they are copied from: the layers, and the fields of `Config`.
//!
//! It knows where both stand; it does not know whether a reason given there is a good one.

use std::fs;
use std::path::Path;

use crate::LAYERS;
use crate::lex::tokens;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the file is there, in UTF-8")
}

/// `one`, `two`: as a cell of a table lists names.
fn list(names: &[&str], quote: &str) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("{quote}{name}{quote}")).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// The names of the public fields of the struct `name`.
fn public_fields<'s>(source: &'s str, name: &str) -> Vec<&'s str> {
    let tokens: Vec<_> = tokens(source).into_iter().map(|token| token.text).collect();
    let start =
        tokens.windows(3).position(|three| three == ["struct", name, "{"]).expect("the struct is there");
    let body = tokens[start + 3..].split(|&token| token == "}").next().unwrap_or_default();
    body.windows(3).filter(|three| three[0] == "pub" && three[2] == ":").map(|three| three[1]).collect()
}

#[test]
fn the_design_shows_the_layers_as_they_are() {
    let page = read("docs/design.md");
    for layer in LAYERS {
        let row = format!("| {} | {} | {} |", layer.name, list(layer.modules, "`"), list(layer.rests_on, ""));
        assert!(page.contains(&row), "docs/design.md has no line {row}");
    }
}

#[test]
fn the_design_gives_a_reason_for_every_default() {
    let (page, source) = (read("docs/design.md"), read("src/config.rs"));
    let fields = public_fields(&source, "Config");
    assert!(fields.len() > 20, "the fields of Config are not read right: {fields:?}");
    let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    for field in fields {
        assert!(
            rows.iter().any(|row| row.starts_with(&format!("{field}` |"))),
            "docs/design.md lacks `{field}`"
        );
    }
}
