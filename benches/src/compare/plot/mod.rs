//! Plots as inline SVG, drawn here because the page's style sheet gives them their colours, in light and in dark, and
//! because every line is to carry its name at its end.
//!
//! It knows points and labels. It does not know servers or scenarios.

pub(crate) mod bars;
pub(crate) mod lines;
pub(crate) mod scale;
pub(crate) mod strip;

/// Writes a coordinate: a tenth of a unit is less than a pixel.
fn at(coordinate: f64) -> String {
    let text = format!("{coordinate:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
