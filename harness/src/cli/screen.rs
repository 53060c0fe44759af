//! Text that comes out while the work goes on: past the progress line, to the terminal or into a file.

use super::{Stop, check::own_name, output::Output, palette_for, progress::Progress, width};
use crate::report::Look;
use std::io;

/// Brings what happens to whoever reads it.
pub(super) struct Screen {
    look: Look,
    output: Output,
    pub(super) progress: Progress,
    /// The first thing that went wrong while writing; the work goes on, and then this is its end.
    failed: Option<Stop>,
}

impl Screen {
    /// For the standard output.
    pub(super) fn new() -> Self {
        let look =
            Look { palette: palette_for(&io::stdout()), width: width(), verbose: false, quest: own_name() };
        Self::with(look, Output::Stdout { open: true })
    }

    /// For `output`.
    pub(super) fn with(look: Look, output: Output) -> Self {
        Self { look, output, progress: Progress::new(), failed: None }
    }

    /// Writes what `part` makes, if it makes anything.
    pub(super) fn write(&mut self, part: impl FnOnce(&Look, &mut dyn io::Write) -> io::Result<()>) {
        let mut text = Vec::new();
        // Memory takes everything.
        let _ = part(&self.look, &mut text);
        if !text.is_empty() {
            self.note(|screen| screen.progress.aside(|| screen.output.write(&text)));
        }
    }

    /// Does something that may fail, unless something has failed already.
    pub(super) fn note(&mut self, act: impl FnOnce(&mut Self) -> Result<(), Stop>) {
        if self.failed.is_none() {
            self.failed = act(self).err();
        }
    }

    /// Everything is written, if nothing has failed.
    pub(super) fn finish(self) -> Result<(), Stop> {
        match self.failed {
            Some(stop) => Err(stop),
            None => self.output.finish(),
        }
    }
}
