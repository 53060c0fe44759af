//! Q4: close.

use super::{
    Context, Requirement,
    queue::{
        Step, Words, first_wrong,
        model::Op::{Close, Pop, Push, TryPush},
    },
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
};

/// Q4.
pub struct CloseEnds;

const WORDS: Words = Words {
    expected: "after close, what is inside still comes out, then every pop returns NULL; no push is taken; and everybody who waited is woken",
    hint: "close sets the flag with the lock held and broadcasts both conditions; pop returns NULL only if the queue is closed and empty; \
           push looks at the flag after each wait",
    ordered: false,
    sleeps: false,
};

/// Everybody who waits for a task hears of it.
const TAKERS_WAIT: &[Step] =
    &[(0, Pop), (1, Pop), (2, Pop), (3, Close), (0, Pop), (3, Push(1)), (3, TryPush(2)), (1, Pop)];

/// What is inside comes out first.
const TASKS_INSIDE: &[Step] = &[
    (0, Push(1)),
    (0, Push(2)),
    (0, Push(3)),
    (3, Close),
    (1, Push(4)),
    (1, TryPush(5)),
    (0, Pop),
    (1, Pop),
    (2, Pop),
    (0, Pop),
    (1, Pop),
];

/// Everybody who waits for room hears of it, and their tasks are not taken.
const PUSHERS_WAIT: &[Step] =
    &[(0, Push(1)), (1, Push(2)), (2, Push(3)), (3, Close), (0, Pop), (0, Pop), (1, Pop), (2, Push(4))];

/// It may be said twice.
const TWICE: &[Step] = &[(3, Close), (3, Close), (0, Pop), (1, Push(1))];

impl Requirement for CloseEnds {
    fn id(&self) -> Id {
        Id::new('Q', 4)
    }

    fn title(&self) -> &'static str {
        "close: what is inside comes out, then NULL; everybody who waits is woken"
    }

    fn about(&self) -> &'static str {
        "Close says that no task will come any more. Nothing that was taken is lost, and nobody waits for ever.\n\n\
         Forced: the queue is closed while three threads wait for a task; while tasks are inside; while it is full and two threads wait \
         for room; and twice.\n\n\
         Decides: tasks that are inside are popped in their order, and every pop after that returns NULL; every push, also \
         one that had been waiting, returns false, and its task never comes out; when every thread sleeps, no call waits."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let scenes = [(4, 4, TAKERS_WAIT), (4, 4, TASKS_INSIDE), (1, 4, PUSHERS_WAIT), (2, 4, TWICE)];
        let found = first_wrong(context, &WORDS, &scenes)?;
        Ok(found.unwrap_or_else(|| Finding::pass(WORDS.expected, "so it was in 4 situations")))
    }
}
