//! Q3: a pop from an empty queue waits.

use super::{
    Context, Requirement,
    queue::{
        Step, Words, first_wrong,
        model::Op::{Pop, Push},
    },
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
};

/// Q3.
pub struct PopWaits;

const WORDS: Words = Words {
    expected: "a pop from an empty queue sleeps until there is a task; each task lets one pop go on",
    hint: "pop waits on `not_empty` in a `while` loop as long as count == 0 and the queue is not closed; push signals `not_empty` with \
           the lock held",
    ordered: false,
    sleeps: true,
};

/// Three wait; each task lets one of them go on.
const THREE_TAKERS: &[Step] =
    &[(0, Pop), (1, Pop), (2, Pop), (3, Push(1)), (3, Push(2)), (3, Push(3)), (3, Push(4)), (0, Pop)];

/// It has been used before it is empty again.
const EMPTY_AGAIN: &[Step] = &[
    (3, Push(1)),
    (3, Push(2)),
    (0, Pop),
    (0, Pop),
    (0, Pop),
    (1, Pop),
    (3, Push(3)),
    (3, Push(4)),
    (2, Pop),
    (3, Push(5)),
];

impl Requirement for PopWaits {
    fn id(&self) -> Id {
        Id::new('Q', 3)
    }

    fn title(&self) -> &'static str {
        "pop waits while the queue is empty, and one task wakes one"
    }

    fn about(&self) -> &'static str {
        "A worker without work sleeps, and costs nothing.\n\n\
         Forced: three threads pop from an empty queue, a new one and one that has been used; then a thread pushes, one task after the \
         other.\n\n\
         Decides: no pop has returned when every thread sleeps, and none goes round and round meanwhile; each push lets exactly \
         one go on, with that task."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let found = first_wrong(context, &WORDS, &[(4, 4, THREE_TAKERS), (4, 4, EMPTY_AGAIN)])?;
        Ok(found.unwrap_or_else(|| {
            Finding::pass(WORDS.expected, "so it was with three threads that waited, twice")
        }))
    }
}
