//! The colours of everything `quest` prints; without colours all of them are empty.

use crate::model::Outcome;
use anstyle::{AnsiColor, Style};
use std::fmt::Display;

/// The colours of a report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Palette {
    /// Verbs that say what is being done.
    pub verb: Style,
    /// Names and ids.
    pub strong: Style,
    /// What may be overlooked: times, keys.
    pub dim: Style,
    /// `pass`.
    pub good: Style,
    /// `fail` and `error`.
    pub bad: Style,
    /// `inconclusive`.
    pub unsure: Style,
    /// Commands to type.
    pub command: Style,
}

impl Palette {
    /// No colours.
    pub fn plain() -> Self {
        Self::default()
    }

    /// The colours of a terminal; the sixteen basic ones, which every theme makes readable.
    pub fn coloured() -> Self {
        let bold = |colour: AnsiColor| colour.on_default().bold();
        Self {
            verb: bold(AnsiColor::Green),
            strong: Style::new().bold(),
            dim: Style::new().dimmed(),
            good: bold(AnsiColor::Green),
            bad: bold(AnsiColor::Red),
            unsure: bold(AnsiColor::Yellow),
            command: AnsiColor::Cyan.on_default(),
        }
    }

    /// The colour of an outcome.
    pub fn outcome(&self, outcome: Outcome) -> Style {
        match outcome {
            Outcome::Pass => self.good,
            Outcome::Fail | Outcome::Error => self.bad,
            Outcome::Inconclusive => self.unsure,
            Outcome::Skip => self.dim,
        }
    }
}

/// `text` in the colours of `style`.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
