//! The harness proves itself: every program of a quest's corpus is graded, and what comes out is compared with what its
//! manifest says.
//!
//! Each program is graded by a `quest check` of its own: this sees what a user sees, and no program meets another.

mod child;
mod fingerprint;
pub mod flaky;
mod matrix;

pub use child::Grader;
pub use matrix::{FORMAT_VERSION, Graded, Matrix, Mismatch, Row};

use crate::{
    error::RunError,
    lanes::{News, in_lanes},
    model::Id,
    quests::corpus::Entry,
};
/// What is to be graded, and how.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The quest's id.
    pub quest: &'a str,
    /// The ids that it asks for, in their order.
    pub ids: Vec<Id>,
    /// The programs.
    pub entries: Vec<Entry>,
    /// How many are graded at a time.
    pub jobs: usize,
    /// Who grades them.
    pub grader: Grader,
}

/// What happens meanwhile, for whoever shows it.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A program is being graded.
    Started(&'a Entry),
    /// One more row stands in the matrix, from an earlier run.
    TakenOver(&'a Matrix, &'a Row),
    /// One more row stands in the matrix, which is not complete yet.
    Finished(&'a Matrix, &'a Row),
}

/// Grades every program. What `earlier` says is taken over where neither the program nor the harness nor the seed has changed
/// since.
///
/// # Errors
///
/// When the harness cannot do its part, or the user interrupts. What was graded until then was told to `on`, which may keep
/// it for the next time.
pub fn run(
    plan: &Plan<'_>,
    earlier: Option<&Matrix>,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Matrix, RunError> {
    let harness = plan.grader.fingerprint()?;
    let mut matrix = Matrix::new(plan.quest, plan.grader.seed(), plan.ids.clone());
    let mut left = Vec::new();
    for entry in &plan.entries {
        let mark = fingerprint::of_entry(&harness, entry)?;
        match earlier.and_then(|matrix| matrix.graded(mark.as_deref())) {
            Some(graded) => {
                let at = matrix.add(Row::new(entry, mark, graded, &plan.ids));
                on(Event::TakenOver(&matrix, &matrix.programs[at]));
            }
            None => left.push((entry, mark)),
        }
    }
    in_lanes(
        plan.jobs,
        &left,
        |(entry, _)| plan.grader.grade(&entry.path),
        |news| match news {
            News::Started((entry, _)) => on(Event::Started(entry)),
            News::Finished((entry, mark), graded) => {
                let at = matrix.add(Row::new(entry, mark.clone(), graded, &plan.ids));
                on(Event::Finished(&matrix, &matrix.programs[at]));
            }
        },
    )?;
    matrix.sort(&plan.entries);
    Ok(matrix)
}
