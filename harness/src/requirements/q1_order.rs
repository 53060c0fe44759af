//! Q1: first in, first out.

use super::{
    Context, Requirement,
    queue::{
        Lab, Step, Words,
        model::{Op, State},
    },
};
use crate::{
    error::Trouble,
    model::{Finding, Id},
};

/// Q1.
pub struct Order;

/// The sizes of the queues, and how many calls each gets.
const CAPACITIES: [usize; 4] = [1, 2, 3, 8];
const CALLS: usize = 40;

const WORDS: Words = Words {
    expected: "tasks come out in the order in which they came in, each once, and length() counts those inside",
    hint: "draw the ring with `head` and `count`: a push writes at (head + count) % capacity, a pop reads at head and moves it on",
    ordered: true,
    sleeps: false,
};

impl Requirement for Order {
    fn id(&self) -> Id {
        Id::new('Q', 1)
    }

    fn title(&self) -> &'static str {
        "first in, first out: nothing is lost, and nothing comes twice"
    }

    fn about(&self) -> &'static str {
        "A queue gives back what it was given, in the same order.\n\n\
         Forced: one thread pushes, pops and asks for the length, in an order drawn from the seed, so that the ring is full and empty \
         again and again and its end passes over its beginning; for CAPACITY 1, 2, 3 and 8. No call has to wait.\n\n\
         Decides: each call returns at once, what a queue of that size returns."
    }

    fn cost(&self) -> u32 {
        5
    }

    fn check(&self, context: &Context<'_>) -> Result<Finding, Trouble> {
        let mut random = fastrand::Rng::with_seed(context.seed);
        for capacity in CAPACITIES {
            let steps = steps(&mut random, capacity);
            if let Some(found) = Lab::launch(context, capacity, 1)?.run(&steps, &WORDS)? {
                return Ok(found);
            }
        }
        Ok(Finding::pass(
            WORDS.expected,
            format!("{} calls on queues of 1, 2, 3 and 8", CALLS * CAPACITIES.len()),
        ))
    }
}

/// Calls that return at once.
fn steps(random: &mut fastrand::Rng, capacity: usize) -> Vec<Step> {
    let mut state = State::new(capacity);
    let mut next = 0;
    let mut fills = true;
    (0..CALLS)
        .map(|_| {
            // Mostly on the way up, or mostly on the way down: else it would hardly ever be full.
            fills = match state.inside.len() {
                0 => true,
                length if length == capacity => false,
                _ => fills,
            };
            let op = match random.u32(0..10) {
                0 => Op::Length,
                1 if state.inside.is_empty() => Op::Push(next + 1),
                1 => Op::Pop,
                2 if state.inside.len() == capacity => Op::Pop,
                2 => Op::Push(next + 1),
                _ if fills => Op::Push(next + 1),
                _ => Op::Pop,
            };
            next += u32::from(matches!(op, Op::Push(_)));
            state = state.after(op).expect("no call has to wait").1;
            (0, op)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_has_to_wait_and_the_ring_is_full_and_empty_again_and_again() {
        for capacity in CAPACITIES {
            let mut state = State::new(capacity);
            let (mut full, mut empty) = (0, 0);
            for (_, op) in steps(&mut fastrand::Rng::with_seed(1), capacity) {
                state = state.after(op).unwrap().1;
                full += usize::from(state.inside.len() == capacity);
                empty += usize::from(state.inside.is_empty());
            }
            assert!(full >= 2 && empty >= 2, "{capacity}: {full} {empty}");
        }
    }
}
