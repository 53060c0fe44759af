//! Q5: try_push never waits.

use super::{
    Context, Requirement,
    queue::{
        Step, Words, first_wrong,
        model::Op::{Length, Pop, Push, TryPush},
    },
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
};

/// Q5.
pub struct TryPushReturns;

const WORDS: Words = Words {
    expected: "try_push returns at once: true if there was room, false if the queue is full",
    hint: "try_push is push without the loop: lock, look, append and signal `not_empty` if there is room, unlock, return what you did",
    ordered: false,
    sleeps: false,
};

/// Full, with room again, full again.
const FULL: &[Step] = &[
    (0, TryPush(1)),
    (0, TryPush(2)),
    (0, TryPush(3)),
    (0, Length),
    (1, Pop),
    (0, TryPush(4)),
    (0, TryPush(5)),
    (1, Pop),
    (1, Pop),
    (0, Length),
];

/// Somebody waits for room meanwhile: whoever cannot wait has to go.
const OTHERS_WAIT: &[Step] = &[(0, Push(1)), (1, Push(2)), (2, TryPush(3)), (2, TryPush(4))];

/// Somebody waits for a task, and gets it.
const TAKER_WAITS: &[Step] =
    &[(0, Pop), (1, Pop), (2, TryPush(1)), (2, TryPush(2)), (2, TryPush(3)), (2, TryPush(4))];

impl Requirement for TryPushReturns {
    fn id(&self) -> Id {
        Id::new('Q', 5)
    }

    fn title(&self) -> &'static str {
        "try_push never waits"
    }

    fn about(&self) -> &'static str {
        "An event loop must not sleep in a queue: it asks whether there is room, and does something else if there is none.\n\n\
         Forced: try_push on a queue that is empty, full, has room again, is full while others wait for room, and is empty while \
         others wait for a task.\n\n\
         Decides: it has returned when every thread sleeps; true exactly if there was room; a task that it refused never comes \
         out, and one that it took wakes whoever waits for one."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let found = first_wrong(context, &WORDS, &[(2, 2, FULL), (1, 4, OTHERS_WAIT), (1, 3, TAKER_WAITS)])?;
        Ok(found.unwrap_or_else(|| Finding::pass(WORDS.expected, "so it was in 3 situations")))
    }
}
