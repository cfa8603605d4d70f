//! Panics of the code under test, caught: what was said, and where.
//!
//! It knows panics; it does not know what was run. Hundreds of runs are made to shrink one failure, so a caught
//! panic is not announced when it happens.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Caught {
    /// Its message.
    pub(super) what: String,
    /// The file, line and column that it came from.
    pub(super) place: Option<String>,
}

impl Caught {
    /// A failure that is no panic.
    pub(super) fn no_panic(what: String) -> Caught {
        Caught { what, place: None }
    }

    /// What stays the same in another run that fails in the same way: its first line without numbers and without
    /// what was quoted, and the place.
    pub(super) fn kind(&self) -> (String, Option<&str>) {
        let first = self.what.lines().next().unwrap_or("");
        // Which client and which step it is tells one bug from another. Other numbers are sizes and times.
        let mut kind = String::new();
        let mut names = false;
        for word in first.split('"').step_by(2).flat_map(|part| part.split(' ')).take(16) {
            kind.extend(word.chars().filter(|c| names || !c.is_ascii_digit()));
            kind.push(' ');
            names = matches!(word, "client" | "step");
        }
        (kind, self.place.as_deref())
    }
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.place {
            Some(place) => write!(f, "\n  at {place}"),
            None => Ok(()),
        }
    }
}

/// Runs `f` and answers with its panic, if it panics.
pub(super) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Caught> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if is_catching() {
                PLACE.set(info.location().map(ToString::to_string));
            } else {
                hook(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    PLACE.set(None);
    let result = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(before);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Caught { what: text.unwrap_or_else(|| "a panic without a message".into()), place: PLACE.take() }
    })
}

/// Whether a panic on this thread will be caught here.
pub(super) fn is_catching() -> bool {
    QUIET.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_says_what_and_where() {
        let caught = catch(|| panic!("number {}", 7)).expect_err("it panics");
        assert_eq!(caught.what, "number 7");
        assert!(caught.place.as_deref().is_some_and(|place| place.contains("caught.rs:")), "{caught:?}");
        assert!(!is_catching());
    }

    #[test]
    fn numbers_and_quotes_do_not_make_another_kind_and_the_place_does() {
        let kind = |what: &str, place: &str| {
            let caught = Caught { what: what.into(), place: Some(place.into()) };
            let (what, place) = caught.kind();
            (what, place.map(String::from))
        };
        let one = kind("client 0 failed: expect \"a\"\n  after 3s", "a.rs:1");
        assert_eq!(one, kind("client 0 failed: expect \"bcd\"\n  after 7ms", "a.rs:1"));
        assert_ne!(one, kind("client 1 failed: expect \"a\"\n  after 3s", "a.rs:1"));
        assert_ne!(one, kind("client 0 failed: expect \"a\"\n  after 3s", "a.rs:2"));
        assert_ne!(one, kind("client 0 waits: expect \"a\"\n  after 3s", "a.rs:1"));
    }
}
