//! Axes: from values to places, and where ticks stand.
//!
//! It does not know what is drawn.

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Evenly.
    Linear,
    /// By their orders of magnitude.
    Log,
}

/// An axis from `low` to `high` in values, from `start` to `end` on the page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) scale: Scale,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) start: f64,
    pub(crate) end: f64,
}

impl Axis {
    /// Where `value` is; at an end of the axis if it lies beyond.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
        self.start + part * (self.end - self.start)
    }
}

/// Round numbers from zero to the first at or above `high`, about `count` of them.
pub(crate) fn linear_ticks(high: f64, count: u32) -> Vec<f64> {
    if !(high > 0.0 && high.is_finite()) {
        return vec![0.0, 1.0];
    }
    let rough = high / f64::from(count);
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * magnitude).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let last = (high * 0.999 / step).ceil();
    (0_u32..=20).map(f64::from).take_while(|place| *place <= last).map(|place| place * step).collect()
}

/// Round numbers that hold `low` and `high` between them: powers of ten, or halves and fifths of them where there
/// would be few.
pub(crate) fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let steps: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let mut magnitude = 10_f64.powf(low.log10().floor());
    let mut ticks = Vec::new();
    while magnitude <= high * 10.0 {
        ticks.extend(steps.iter().map(|step| step * magnitude));
        magnitude *= 10.0;
    }
    let first = ticks.iter().rposition(|tick| *tick <= low * 1.001).unwrap_or(0);
    let last = ticks.iter().position(|tick| *tick >= high * 0.999).unwrap_or(ticks.len() - 1);
    ticks[first..=last.max(first + 1).min(ticks.len() - 1)].to_vec()
}

/// Moves `wanted` places apart until they are `gap` from each other, as little as possible, within `low` and `high`
/// if they fit. Answers them in the order in which they came.
pub(crate) fn apart(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&one, &other| wanted[one].total_cmp(&wanted[other]));
    // Neighbours that touch become a block, which stands where its members would on average.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    let extent = |members: usize| gap * f64::from(u32::try_from(members - 1).unwrap_or(u32::MAX));
    let part = |members: usize| f64::from(u32::try_from(members).unwrap_or(u32::MAX));
    for &label in &order {
        let (mut middle, mut members) = (wanted[label], 1);
        loop {
            let half = extent(members) / 2.0;
            middle = middle.min(high - half).max(low + half);
            match blocks.last() {
                Some(&(before, others)) if before + extent(others) / 2.0 + gap > middle - half => {
                    blocks.pop();
                    middle = (before * part(others) + middle * part(members)) / part(others + members);
                    members += others;
                }
                Some(_) | None => break,
            }
        }
        blocks.push((middle, members));
    }
    let mut places = vec![0.0; wanted.len()];
    let mut labels = order.into_iter();
    for (middle, members) in blocks {
        let mut place = middle - extent(members) / 2.0;
        for label in labels.by_ref().take(members) {
            places[label] = place;
            place += gap;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[f64]) -> String {
        values.iter().map(|value| format!("{value:.1}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_axis_keeps_what_lies_beyond_at_its_ends() {
        let axis = Axis { scale: Scale::Log, low: 1.0, high: 100.0, start: 0.0, end: 50.0 };
        let places = [1.0, 10.0, 100.0, 1000.0, 0.0].map(|value| axis.place(value));
        assert_eq!(texts(&places), "0.0 25.0 50.0 50.0 0.0");
        let down = Axis { scale: Scale::Linear, low: 0.0, high: 10.0, start: 100.0, end: 0.0 };
        assert_eq!(texts(&[0.0, 5.0, 12.0].map(|value| down.place(value))), "100.0 50.0 0.0");
    }

    #[test]
    fn ticks_are_round_and_reach_over_the_values() {
        assert_eq!(texts(&linear_ticks(182.3, 4)), "0.0 50.0 100.0 150.0 200.0");
        assert_eq!(texts(&linear_ticks(4.0, 4)), "0.0 1.0 2.0 3.0 4.0");
        assert_eq!(texts(&linear_ticks(0.0, 4)), "0.0 1.0");
        assert_eq!(texts(&log_ticks(12.0, 900.0)), "10.0 20.0 50.0 100.0 200.0 500.0 1000.0");
        assert_eq!(texts(&log_ticks(1.0, 10_000.0)), "1.0 10.0 100.0 1000.0 10000.0");
        assert_eq!(texts(&log_ticks(30.0, 30.0)), "20.0 50.0");
    }

    #[test]
    fn labels_are_moved_apart_and_keep_their_order() {
        let moved = |wanted: &[f64]| texts(&apart(wanted, 10.0, 0.0, 100.0));
        assert_eq!(moved(&[50.0, 10.0]), "50.0 10.0");
        assert_eq!(moved(&[50.0, 50.0, 50.0]), "40.0 50.0 60.0");
        assert_eq!(moved(&[0.0, 1.0]), "0.0 10.0");
        assert_eq!(moved(&[99.0, 100.0, 98.0]), "90.0 100.0 80.0");
        assert_eq!(moved(&[]), "");
    }
}
