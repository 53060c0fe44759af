//! Q2: a push to a full queue waits.

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

/// Q2.
pub struct PushWaits;

const WORDS: Words = Words {
    expected: "CAPACITY pushes return at once; the next one sleeps until a pop has made room, and then goes on",
    hint: "push waits on `not_full` in a `while` loop as long as count == capacity; pop signals `not_full` with the lock held",
    ordered: false,
    sleeps: true,
};

/// One place, two that want it; each pop lets one of them in.
const ONE_PLACE: &[Step] =
    &[(0, Push(1)), (1, Push(2)), (2, Push(3)), (3, Pop), (3, Pop), (3, Pop), (0, Push(4))];

/// The ring has gone round once before it is full.
const ROUND_THE_RING: &[Step] = &[
    (0, Push(1)),
    (0, Push(2)),
    (3, Pop),
    (0, Push(3)),
    (0, Push(4)),
    (1, Push(5)),
    (2, Push(6)),
    (3, Pop),
    (3, Pop),
    (3, Pop),
    (3, Pop),
    (3, Pop),
];

impl Requirement for PushWaits {
    fn id(&self) -> Id {
        Id::new('Q', 2)
    }

    fn title(&self) -> &'static str {
        "push waits while the queue is full, and goes on when there is room"
    }

    fn about(&self) -> &'static str {
        "A bounded queue takes CAPACITY tasks. Whoever has one more sleeps until there is room.\n\n\
         Forced: threads push one task more than fits, and then another one; then a thread pops, one task after the other. For CAPACITY 1, \
         and for 3 where the ring has gone round.\n\n\
         Decides: CAPACITY pushes return true; the others have not returned when every thread sleeps, and none goes round and round \
         meanwhile; each pop lets one of them go on, and the tasks come out in an order in which they went in."
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let found = first_wrong(context, &WORDS, &[(1, 4, ONE_PLACE), (3, 4, ROUND_THE_RING)])?;
        Ok(found.unwrap_or_else(|| {
            Finding::pass(WORDS.expected, "so it was with CAPACITY 1 and 3, and two threads that waited")
        }))
    }
}
