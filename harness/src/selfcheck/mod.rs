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

use crate::{error::RunError, model::Id, quests::corpus::Entry};
use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
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
                on(Event::Finished(&matrix, &matrix.programs[at]));
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

/// What a lane tells.
enum News<'a, T, R> {
    Started(&'a T),
    Finished(&'a T, R),
}

/// Does something with each of these, so many at a time, and tells of it on the calling thread; the first error ends it when
/// those that are under way have ended.
fn in_lanes<T: Sync, R: Send>(
    lanes: usize,
    items: &[T],
    act: impl Fn(&T) -> Result<R, RunError> + Sync,
    mut on: impl FnMut(News<'_, T, R>),
) -> Result<(), RunError> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, news) = mpsc::channel();
        for _ in 0..lanes.clamp(1, items.len().max(1)) {
            let (sender, next, act) = (sender.clone(), &next, &act);
            scope.spawn(move || {
                while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < items.len())
                {
                    // Nobody listens any more when another lane has failed: then there is nothing left to do.
                    let told = sender.send(Ok((at, None)));
                    let done = told.ok().map(|()| act(&items[at]).map(|result| (at, Some(result))));
                    let failed = done.as_ref().is_none_or(Result::is_err);
                    if done.is_none_or(|done| sender.send(done).is_err()) || failed {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for message in news {
            match message? {
                (at, None) => on(News::Started(&items[at])),
                (at, Some(result)) => on(News::Finished(&items[at], result)),
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::HarnessError;

    #[test]
    fn lanes_do_everything_once_and_tell_of_it() {
        let items: Vec<u32> = (0..50).collect();
        let (mut started, mut sum) = (0, 0);
        in_lanes(
            3,
            &items,
            |n| Ok(n * 2),
            |news| match news {
                News::Started(_) => started += 1,
                News::Finished(n, double) => {
                    assert_eq!(double, n * 2);
                    sum += double;
                }
            },
        )
        .unwrap();
        assert_eq!((started, sum), (50, 50 * 49));
        in_lanes(3, &[], |_: &u32| Ok(()), |_| panic!("nothing to tell")).unwrap();
    }

    #[test]
    fn an_error_ends_all_lanes() {
        let items: Vec<u32> = (0..1000).collect();
        let mut done = 0;
        let act = |n: &u32| match n {
            7 => Err(HarnessError::Broken("seven".into()).into()),
            n => Ok(*n),
        };
        let result = in_lanes(2, &items, act, |news| done += u32::from(matches!(news, News::Finished(..))));
        assert!(result.unwrap_err().to_string().contains("seven") && done < 1000);
    }
}
