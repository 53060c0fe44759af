//! Renderings of a run: one file per format, one line per format in [`FORMATS`].

mod columns;
pub mod flaky;
mod json;
mod layout;
pub mod matrix;
mod palette;
pub mod shell;
mod terminal;
mod wording;

pub use palette::Palette;
pub use wording::{escape, escape_block, seconds};

use crate::model::{Run, Verdict};
use std::{
    io::{self, Write},
    time::Duration,
};

/// Every format, the usual one first.
pub static FORMATS: &[&dyn Format] = &[&terminal::Terminal, &json::Json];

/// The format that is called `name`.
pub fn format(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// How a report is to look.
#[derive(Clone, Debug)]
pub struct Look {
    /// Its colours.
    pub palette: Palette,
    /// Columns of a line.
    pub width: usize,
    /// Passes say what was seen, too.
    pub verbose: bool,
    /// The command that starts the harness, for the next step that a report proposes.
    pub quest: String,
}

/// What is known before the first verdict.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    /// The quest.
    pub quest: &'a str,
    /// The submission as the user named it.
    pub submission: &'a str,
    /// What kind of submission it is.
    pub kind: &'a str,
    /// The seed.
    pub seed: u64,
    /// How many verdicts will follow.
    pub count: usize,
}

/// One way to write a run. A format that people read writes each part as soon as it is there; one that programs read writes
/// everything at the end.
pub trait Format: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// One line for the help.
    fn about(&self) -> &'static str;

    /// Before the first verdict.
    ///
    /// # Errors
    ///
    /// Those of `out`, here and below.
    fn begin(&self, head: &Head<'_>, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let _ = (head, look, out);
        Ok(())
    }

    /// After each check; `seen` are the verdicts before it.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    fn verdict(
        &self,
        verdict: &Verdict,
        seen: &[Verdict],
        look: &Look,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let _ = (verdict, seen, look, out);
        Ok(())
    }

    /// When the run is complete.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    fn end(&self, run: &Run, took: Duration, look: &Look, out: &mut dyn Write) -> io::Result<()>;
}

#[cfg(test)]
mod samples {
    //! Runs for the tests of the formats.

    use crate::model::{Evidence, Id, Outcome, Run, Verdict};

    pub(super) fn verdict(id: &str, outcome: Outcome, evidence: [&str; 5]) -> Verdict {
        let [expected, observed, place, hint, again] = evidence.map(str::to_owned);
        Verdict {
            id: id.parse::<Id>().unwrap(),
            title: "answers come from workers".into(),
            outcome,
            points: if outcome == Outcome::Pass { 10 } else { 0 },
            possible: 10,
            duration_ms: 1234,
            evidence: Evidence { expected, observed, place, hint, again },
            notes: Vec::new(),
        }
    }

    pub(super) fn run(verdicts: Vec<Verdict>) -> Run {
        Run::new("07-pool-server".into(), "solution".into(), 1, verdicts)
    }
}
