//! Bars from zero, each with its name before it and its value behind it.
//!
//! It does not know what they are of.

use maud::{Markup, html};

use super::at;
use super::scale::{Axis, Scale};

/// A plot of bars, from top to bottom.
#[derive(Debug)]
pub(crate) struct Bars {
    /// What it says, for those who hear it.
    pub(crate) title: String,
    /// The bars.
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug)]
pub(crate) struct Bar {
    /// What stands before it.
    pub(crate) name: String,
    /// How the style sheet knows it.
    pub(crate) class: String,
    /// How long it is.
    pub(crate) value: f64,
    /// How that is written.
    pub(crate) text: String,
    /// What it says when it is pointed at.
    pub(crate) hint: String,
}

const WIDTH: f64 = 420.0;
const LEFT: f64 = 94.0;
const RIGHT: f64 = 358.0;
const ROW: f64 = 25.0;
const THICKNESS: f64 = 15.0;

impl Bars {
    /// Draws it.
    pub(crate) fn draw(&self) -> Markup {
        let high = self.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        let axis = Axis { scale: Scale::Linear, low: 0.0, high, start: LEFT, end: RIGHT };
        let rows = self.bars.iter().scan(4.0, |top, bar| {
            let own = *top;
            *top += ROW;
            Some((own, bar))
        });
        let height = ROW * f64::from(u32::try_from(self.bars.len()).unwrap_or(0)) + 8.0;
        html! {
            svg.plot viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(self.title) {
                line.grid x1=(at(LEFT)) x2=(at(LEFT)) y1="0" y2=(at(height)) {}
                @for (top, bar) in rows {
                    @let end = axis.place(bar.value);
                    @let middle = at(top + ROW / 2.0);
                    g class=(format!("series {}", bar.class)) {
                        text.name.end x=(at(LEFT - 8.0)) y=(middle) dy="0.35em" { (bar.name) }
                        rect x=(at(LEFT)) y=(at(top + (ROW - THICKNESS) / 2.0)) height=(at(THICKNESS))
                            width=(at((end - LEFT).max(1.0))) rx="1.5" { title { (bar.hint) } }
                        text.value x=(at(end + 7.0)) y=(middle) dy="0.35em" { (bar.text) }
                    }
                }
            }
        }
    }
}
