//! Rust source as a row of words and signs, without comments, literals and test code.
//!
//! It knows just enough of the language not to be fooled by a comment or a string. It does not know
//! grammar, types or the rules of the house.

/// A word or a sign, and the line it stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token<'s> {
    pub(crate) text: &'s str,
    pub(crate) line: usize,
}

/// What a literal is replaced by, whatever stood in it.
const LITERAL: &str = "\"\"";

/// Words that begin an item, which ends at its `;` or its closing brace.
const ITEMS: &[&str] = &[
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "macro_rules",
    "mod",
    "static",
    "struct",
    "trait",
    "type",
    "union",
    "unsafe",
    "use",
];

/// Of those, the ones whose braces are not their end: a `;` follows.
const ENDED_BY_SEMICOLON: &[&str] = &["const", "static", "type", "use"];

/// Cuts `source` into words, `::`, and signs of one character each. Comments are gone and literals are empty.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < source.len() {
        let (text, end) = next(source, at);
        if let Some(text) = text {
            tokens.push(Token { text, line });
        }
        line += source[at..end].matches('\n').count();
        at = end;
    }
    tokens
}

/// The token that starts at `at`, if one does, and where what starts there ends.
fn next(source: &str, at: usize) -> (Option<&str>, usize) {
    let rest = &source[at..];
    let first = rest.as_bytes()[0];
    if first.is_ascii_whitespace() {
        return (None, at + 1);
    }
    if rest.starts_with("//") {
        return (None, at + rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (None, at + block_comment(rest));
    }
    if let Some(length) = string(rest) {
        return (Some(LITERAL), at + length);
    }
    if first == b'\'' {
        return quote(rest, at);
    }
    let raw = if is_raw_word(rest) { 2 } else { 0 };
    let word = word_length(&rest[raw..]);
    if word > 0 {
        return (Some(&rest[raw..raw + word]), at + raw + word);
    }
    let sign = rest.chars().next().map_or(1, char::len_utf8);
    let length = if rest.starts_with("::") { 2 } else { sign };
    (Some(&rest[..length]), at + length)
}

/// How long the block comment is that `rest` starts with; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let two = rest.as_bytes().get(at..at + 2);
        if two == Some(b"/*") {
            depth += 1;
            at += 2;
        } else if two == Some(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// How long the string literal is that `rest` starts with, prefix and all; none if it starts otherwise.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let hashes = rest.strip_prefix(prefix).unwrap_or("");
        let hashes = if prefix.ends_with('r') { hashes.trim_start_matches('#') } else { hashes };
        hashes.starts_with('"')
    })?;
    let body = &rest[prefix.len()..];
    if !prefix.ends_with('r') {
        return Some(prefix.len() + closing(body, b'"'));
    }
    let hashes = body.find('"')?;
    let end = format!("\"{}", &body[..hashes]);
    let text = &body[hashes + 1..];
    let length = text.find(&end).map_or(text.len(), |close| close + end.len());
    Some(prefix.len() + hashes + 1 + length)
}

/// How long the literal is that `rest` starts with, up to and with the next `mark` that is not escaped.
fn closing(rest: &str, mark: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        if bytes[at] == b'\\' {
            at += 1;
        } else if bytes[at] == mark {
            return at + 1;
        }
        at += 1;
    }
    rest.len()
}

/// A character literal, or else a lifetime, of which nothing is kept.
fn quote(rest: &str, at: usize) -> (Option<&str>, usize) {
    let mut chars = rest.chars().skip(1);
    let (first, second) = (chars.next(), chars.next());
    if first == Some('\\') || second == Some('\'') {
        return (Some(LITERAL), at + closing(rest, b'\''));
    }
    (None, at + 1 + word_length(&rest[1..]))
}

/// Whether a raw identifier starts here, as `r#type`.
fn is_raw_word(rest: &str) -> bool {
    rest.strip_prefix("r#").is_some_and(|word| word_length(word) > 0)
}

/// How many bytes of a word or a number `rest` starts with.
fn word_length(rest: &str) -> usize {
    rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len())
}

/// What is left of a file's tokens when its test code is taken out.
#[derive(Debug)]
pub(crate) struct Product<'s> {
    /// The code that is shipped.
    pub(crate) tokens: Vec<Token<'s>>,
    /// Names of modules declared `#[cfg(test)] mod name;`, whose files are test code as a whole.
    pub(crate) test_modules: Vec<&'s str>,
}

/// Takes out every item, field or statement marked `#[cfg(test)]`, `#[cfg(all(test, ..))]` or `#[test]`.
pub(crate) fn product<'s>(tokens: &[Token<'s>]) -> Product<'s> {
    let mut product = Product { tokens: Vec::new(), test_modules: Vec::new() };
    let mut at = 0;
    while at < tokens.len() {
        let inner = is(tokens, at, "#") && is(tokens, at + 1, "!");
        let Some(open) = attribute(tokens, at) else {
            product.tokens.push(tokens[at]);
            at += 1;
            continue;
        };
        let close = group_end(tokens, open);
        if !is_test(&tokens[open + 1..close]) {
            product.tokens.extend(&tokens[at..close]);
            at = close;
        } else if inner {
            return product;
        } else {
            let end = item_end(tokens, close);
            product.test_modules.extend(declared_module(&tokens[close..end]));
            at = end;
        }
    }
    product
}

/// Where the bracket of the attribute stands that starts at `at`, if one does.
fn attribute(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let open = if is(tokens, at + 1, "!") { at + 2 } else { at + 1 };
    (is(tokens, at, "#") && is(tokens, open, "[")).then_some(open)
}

/// Whether an attribute, given without its brackets, marks test code.
fn is_test(attribute: &[Token<'_>]) -> bool {
    let text: String = attribute.iter().map(|token| token.text).collect();
    ["test]", "cfg(test)]", "cfg(all(test,"].iter().any(|start| text.starts_with(start))
}

/// Whether the token at `at` is there and reads `text`.
fn is(tokens: &[Token<'_>], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == text)
}

/// One past the bracket that closes the one at `open`.
pub(crate) fn group_end(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// One past what follows an attribute: an item, or a field, variant, arm or statement.
fn item_end(tokens: &[Token<'_>], start: usize) -> usize {
    let mut at = start;
    while let Some(open) = attribute(tokens, at) {
        at = group_end(tokens, open);
    }
    if is(tokens, at, "pub") {
        at += 1;
        if is(tokens, at, "(") {
            at = group_end(tokens, at);
        }
    }
    let first = tokens.get(at).map_or("", |token| token.text);
    let item = ITEMS.contains(&first);
    let braces_end_it = item && (!ENDED_BY_SEMICOLON.contains(&first) || is(tokens, at + 1, "fn"));
    while at < tokens.len() {
        match tokens[at].text {
            ";" => return at + 1,
            "," if !item => return at + 1,
            ")" | "]" | "}" => return at,
            "{" if braces_end_it => return group_end(tokens, at),
            "(" | "[" | "{" => at = group_end(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// The name in `mod name;`, if that is what `item` is.
fn declared_module<'s>(item: &[Token<'s>]) -> Option<&'s str> {
    let start = item.iter().position(|token| token.text == "mod")?;
    is(item, start + 2, ";").then(|| item[start + 1].text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        join(&tokens(source))
    }

    fn shipped(source: &str) -> String {
        join(&product(&tokens(source)).tokens)
    }

    fn join(tokens: &[Token<'_>]) -> String {
        tokens.iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_vanish_also_nested_and_unfinished() {
        assert_eq!(text("a // mio\nb /* mio /* mio */ mio */ c /* mio"), "a b c");
    }

    #[test]
    fn literals_are_empty_whatever_stands_in_them() {
        assert_eq!(text(r#"a "mio \" mio" b"#), "a \"\" b");
        assert_eq!(text("a r##\"mio \"# mio\"## b br\"\\\" c"), "a \"\" b \"\" c");
        assert_eq!(
            text(r#"a b"mio" c"mio" 'm' '\'' '\u{6d}' b'm' d"#).replace("\"\"", "."),
            "a . . . . . b . d"
        );
    }

    #[test]
    fn a_lifetime_is_not_the_start_of_a_literal() {
        assert_eq!(text("&'a str, 'x': 'static mio"), "& str , \"\" : mio");
    }

    #[test]
    fn raw_words_are_words() {
        assert_eq!(text("r#type r bar"), "type r bar");
    }

    #[test]
    fn tokens_know_their_line() {
        let source = "a\n/*\n*/ b \"\n\n\" c";
        let lines: Vec<_> = tokens(source).iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 3, 5]);
    }

    #[test]
    fn test_items_are_taken_out_and_nothing_else() {
        assert_eq!(shipped("a(); #[cfg(test)] mod tests { fn b() { c() } } d();"), "a ( ) ; d ( ) ;");
        assert_eq!(shipped("#[cfg(test)] #[allow(x)] pub(crate) fn a<B, C>() -> [u8; 2] { d } e"), "e");
        assert_eq!(shipped("#[cfg(test)] use a::{b, c}; d"), "d");
        assert_eq!(shipped("#[cfg(test)] const fn a() {} b"), "b");
        assert_eq!(shipped("#[cfg(all(test, unix))] const A: u8 = { 1 }; b"), "b");
        assert_eq!(shipped("struct S { #[cfg(test)] a: u8, b: u8 }"), "struct S { b : u8 }");
        assert_eq!(shipped("struct S { #[cfg(test)] a: u8 }"), "struct S { }");
        assert_eq!(shipped("#[cfg(not(test))] a"), "# [ cfg ( not ( test ) ) ] a");
        assert_eq!(shipped("#![cfg(test)] use mio::Poll;"), "");
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_named() {
        let tokens = tokens("#[cfg(test)]\nmod twins;\nmod queue;");
        assert_eq!(product(&tokens).test_modules, ["twins"]);
    }
}
