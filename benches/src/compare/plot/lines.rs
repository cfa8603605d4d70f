//! Lines over an axis, each with its name at its end.
//!
//! It knows series of points and the space for their labels. It does not know what they are of.

use maud::{Markup, html};

use super::at;
use super::scale::{Axis, Scale, apart, linear_ticks, log_ticks};

/// A plot of lines.
#[derive(Debug)]
pub(crate) struct Lines {
    /// What it says, for those who hear it.
    pub(crate) title: String,
    /// What goes to the right, with its unit.
    pub(crate) x_label: String,
    /// How it goes there.
    pub(crate) x_scale: Scale,
    /// Which values are marked there, and how.
    pub(crate) x_ticks: Vec<(f64, String)>,
    /// What goes up, with its unit.
    pub(crate) y_label: String,
    /// How it goes up. From zero if it is linear.
    pub(crate) y_scale: Scale,
    /// How a value there is written.
    pub(crate) write: fn(f64) -> String,
    /// The lines; those drawn last lie above the others.
    pub(crate) series: Vec<Series>,
}

/// One line.
#[derive(Debug)]
pub(crate) struct Series {
    /// What stands at its end.
    pub(crate) name: String,
    /// How the style sheet knows it.
    pub(crate) class: String,
    /// What it goes through.
    pub(crate) points: Vec<Point>,
}

/// A point, and how far its rounds lie apart.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// What it says when it is pointed at.
    pub(crate) hint: String,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 254.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 318.0;
/// From one label to the next.
const LINE: f64 = 13.5;

impl Lines {
    /// Draws it.
    pub(crate) fn draw(&self) -> Markup {
        let (x, y, y_ticks) = self.axes();
        let ends: Vec<f64> =
            self.series.iter().map(|one| one.points.last().map_or(BOTTOM, |p| y.place(p.y))).collect();
        let labels = apart(&ends, LINE, TOP, BOTTOM);
        html! {
            svg.plot viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.title) {
                text.axis x="0" y="12" { (self.y_label) }
                @for tick in &y_ticks {
                    @let height = at(y.place(*tick));
                    line.grid x1=(at(LEFT)) x2=(at(RIGHT)) y1=(height) y2=(height) {}
                    text.tick.end x=(at(LEFT - 6.0)) y=(height) dy="0.35em" { ((self.write)(*tick)) }
                }
                @for (place, text) in self.x_ticks(&x) {
                    line.grid x1=(at(place)) x2=(at(place)) y1=(at(BOTTOM)) y2=(at(BOTTOM + 4.0)) {}
                    @if let Some(text) = text {
                        text.tick.middle x=(at(place)) y=(at(BOTTOM + 17.0)) { (text) }
                    }
                }
                text.axis.middle x=(at(f64::midpoint(LEFT, RIGHT))) y=(at(HEIGHT - 6.0)) { (self.x_label) }
                @for (series, (end, label)) in self.series.iter().zip(ends.iter().zip(&labels)) {
                    (draw_series(series, &x, &y, *end, *label))
                }
            }
        }
    }

    /// Where ticks stand, and their texts but for those that would run into one already there: the outermost go first.
    fn x_ticks(&self, x: &Axis) -> Vec<(f64, Option<&str>)> {
        let half = |text: &str| text.chars().map(|_| 3.6).sum::<f64>();
        let mut ticks: Vec<_> = self.x_ticks.iter().map(|(value, _)| (x.place(*value), None)).collect();
        let last = ticks.len().saturating_sub(1);
        let order = std::iter::once(last).chain(0..last);
        for place in order {
            let Some((_, text)) = self.x_ticks.get(place) else { continue };
            let middle = ticks[place].0;
            let is_free = ticks.iter().all(|(other, shown): &(f64, Option<&str>)| {
                shown.is_none_or(|shown| (middle - other).abs() >= half(text) + half(shown) + 3.0)
            });
            if is_free {
                ticks[place].1 = Some(text.as_str());
            }
        }
        ticks
    }

    fn axes(&self) -> (Axis, Axis, Vec<f64>) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x_values = || points().map(|point| point.x).chain(self.x_ticks.iter().map(|tick| tick.0));
        let (x_low, x_high) = (x_values().fold(f64::INFINITY, f64::min), x_values().fold(0.0, f64::max));
        let x = Axis { scale: self.x_scale, low: x_low, high: x_high, start: LEFT + 8.0, end: RIGHT - 8.0 };
        let high = points().map(|point| point.high).fold(0.0, f64::max);
        let y_ticks = match self.y_scale {
            Scale::Linear => linear_ticks(high, 4),
            Scale::Log => {
                let low =
                    points().map(|point| point.low).filter(|low| *low > 0.0).fold(f64::INFINITY, f64::min);
                log_ticks(low.min(high), high)
            }
        };
        let (low, high) = (y_ticks[0], y_ticks[y_ticks.len() - 1]);
        (x, Axis { scale: self.y_scale, low, high, start: BOTTOM, end: TOP }, y_ticks)
    }
}

fn draw_series(series: &Series, x: &Axis, y: &Axis, end: f64, label: f64) -> Markup {
    let places: Vec<(f64, f64)> =
        series.points.iter().map(|point| (x.place(point.x), y.place(point.y))).collect();
    let line: Vec<String> = places.iter().map(|(x, y)| format!("{},{}", at(*x), at(*y))).collect();
    let last = places.last().map_or(RIGHT, |place| place.0);
    html! {
        g class=(format!("series {}", series.class)) {
            @for (point, (x, _)) in series.points.iter().zip(&places) {
                line.range x1=(at(*x)) x2=(at(*x)) y1=(at(y.place(point.low))) y2=(at(y.place(point.high))) {}
            }
            polyline points=(line.join(" ")) {}
            @for (point, (x, y)) in series.points.iter().zip(&places) {
                circle cx=(at(*x)) cy=(at(*y)) r="3" { title { (point.hint) } }
            }
            // From the end of the line to its name.
            polyline.leader points=(format!(
                "{},{} {},{} {},{}", at(last + 4.0), at(end), at(RIGHT), at(end), at(RIGHT + 12.0), at(label)
            )) {}
            text.name x=(at(RIGHT + 15.0)) y=(at(label)) dy="0.35em" { (series.name) }
        }
    }
}
