//! What is measured: several ways to do one thing, ours first.
//!
//! It knows names and functions; it does not know how they are measured.

/// Ways to do one thing.
#[derive(Debug)]
pub struct Race {
    /// What is done, and on what.
    pub what: &'static str,
    /// What there are `items` of in one run: what a figure is for one of.
    pub item: &'static str,
    /// How many of them.
    pub items: usize,
    /// The ways, ours first.
    pub contenders: Vec<Contender>,
}

/// One way.
#[derive(Debug)]
pub struct Contender {
    /// Whose it is.
    pub name: &'static str,
    /// Prepares everything for runs of so many items.
    pub start: fn(usize) -> Run,
}

/// Does it once. It can be done again and again.
pub type Run = Box<dyn FnMut()>;

impl Race {
    /// A race that is run by ours alone so far.
    pub fn new(what: &'static str, item: &'static str, items: usize, ours: fn(usize) -> Run) -> Race {
        Race { what, item, items, contenders: vec![Contender { name: "switchboard", start: ours }] }
    }

    /// Adds a way to do the same.
    #[must_use]
    pub fn against(mut self, name: &'static str, start: fn(usize) -> Run) -> Race {
        self.contenders.push(Contender { name, start });
        self
    }
}

/// A number of items or instructions, to calculate with.
#[expect(clippy::cast_precision_loss, reason = "they stay far below 2^52")]
pub fn as_f64(count: usize) -> f64 {
    count as f64
}
