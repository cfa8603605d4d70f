//! How far a run is, on standard error and only if that is a terminal.
//!
//! It knows phases and fractions. It does not know what is measured.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Steps of the bar, whatever it stands for.
const STEPS: u64 = 1000;

/// A bar, or nothing where nobody would see it.
#[derive(Debug)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn new() -> Progress {
        if !stderr().is_terminal() {
            return Progress(None);
        }
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{msg:12} [{bar:40}] {percent:>3} %");
        bar.set_style(style.expect("the template is right").progress_chars("=> "));
        Progress(Some(bar))
    }

    /// Shows that `done` of `total` of `phase` is behind us.
    pub(super) fn show(&self, phase: &'static str, done: u64, total: u64) {
        let Some(bar) = &self.0 else { return };
        bar.set_message(phase);
        let steps = u128::from(STEPS) * u128::from(done.min(total)) / u128::from(total.max(1));
        bar.set_position(u64::try_from(steps).expect("there are not more than all of them"));
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
