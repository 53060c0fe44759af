//! The line that moves while something is built or checked: on stderr, and only if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often the line moves.
const TICK: Duration = Duration::from_millis(100);

/// One moving line; gone when it is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Nothing to see yet.
    pub(super) fn new() -> Self {
        let style =
            ProgressStyle::with_template("{spinner:>12} {wide_msg} {elapsed:>4}").expect("a constant");
        Self(ProgressBar::new_spinner().with_style(style))
    }

    /// From now on this is being done.
    pub(super) fn doing(&self, what: String) {
        self.0.reset_elapsed();
        self.0.set_message(what);
        self.0.enable_steady_tick(TICK);
    }

    /// Does something else on the terminal; the line makes way for it.
    pub(super) fn aside<T>(&self, act: impl FnOnce() -> T) -> T {
        self.0.suspend(act)
    }

    /// Takes the line away.
    pub(super) fn done(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}
