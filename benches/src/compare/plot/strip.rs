//! A ratio on a line: a dot with its range, a mark where both would be equal, and other dots to compare it with.
//!
//! It does not know whose ratio it is.

use maud::{Markup, html};

use super::at;
use super::scale::{Axis, Scale};

/// The axis that strips of one column share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strips {
    axis: Axis,
    width: f64,
}

const HEIGHT: f64 = 16.0;

/// A dot.
#[derive(Clone, Debug)]
pub(crate) struct Dot {
    /// Where it is, and its range.
    pub(crate) low: f64,
    pub(crate) middle: f64,
    pub(crate) high: f64,
    /// How the style sheet knows it.
    pub(crate) class: String,
    /// What it says when it is pointed at.
    pub(crate) hint: String,
}

impl Strips {
    /// An axis of `width` that shows `dots` and all from `low` to `high`, so that small differences look small.
    pub(crate) fn new<'a>(width: f64, low: f64, high: f64, dots: impl Iterator<Item = &'a Dot>) -> Strips {
        let (low, high) =
            dots.fold((low, high), |(low, high), dot| (low.min(dot.low / 1.04), high.max(dot.high * 1.04)));
        Strips { axis: Axis { scale: Scale::Log, low, high, start: 6.0, end: width - 6.0 }, width }
    }

    /// Draws `dot`, and `others` behind it. What lies beyond the axis is a triangle at its end.
    pub(crate) fn draw(&self, dot: &Dot, others: &[Dot]) -> Markup {
        let one = at(self.axis.place(1.0));
        html! {
            svg.strip viewBox=(format!("0 0 {} {HEIGHT}", self.width)) role="img" aria-label=(dot.hint) {
                line.grid x1="0" x2=(at(self.width)) y1=(at(HEIGHT / 2.0)) y2=(at(HEIGHT / 2.0)) {}
                line.one x1=(one) x2=(one) y1="0" y2=(at(HEIGHT)) {}
                @for other in others { (self.mark(other, 3.0)) }
                (self.mark(dot, 4.5))
            }
        }
    }

    /// Draws what the axis says.
    pub(crate) fn scale(&self) -> Markup {
        let ticks = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
        let ticks =
            ticks.into_iter().filter(|tick| (self.axis.low * 1.04..=self.axis.high / 1.04).contains(tick));
        html! {
            svg.strip viewBox=(format!("0 0 {} {HEIGHT}", self.width)) aria-hidden="true" {
                @for tick in ticks {
                    text.tick.middle x=(at(self.axis.place(tick))) y="11" { "×" (tick) }
                }
            }
        }
    }

    fn mark(&self, dot: &Dot, radius: f64) -> Markup {
        let (x, y) = (self.axis.place(dot.middle), HEIGHT / 2.0);
        let outwards = if dot.middle > self.axis.high {
            Some(radius)
        } else if dot.middle < self.axis.low {
            Some(-radius)
        } else {
            None
        };
        html! {
            g class=(format!("series {}", dot.class)) {
                @match outwards {
                    Some(outwards) => polygon points=(format!(
                        "{},{} {},{} {},{}", at(x + outwards), at(y), at(x - outwards), at(y - radius),
                        at(x - outwards), at(y + radius)
                    )) { title { (dot.hint) } },
                    None => {
                        line.range x1=(at(self.axis.place(dot.low))) x2=(at(self.axis.place(dot.high)))
                            y1=(at(y)) y2=(at(y)) {}
                        circle cx=(at(x)) cy=(at(y)) r=(radius) { title { (dot.hint) } }
                    }
                }
            }
        }
    }
}
