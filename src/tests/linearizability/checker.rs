//! Whether a concurrent history is linearizable: the search of Wing and Gong, with the memory that Lowe added. It knows
//! nothing about queues; a [`Specification`] says what is right.
//!
//! A history is linearizable if there is an order of its operations in which each answer is the one that the
//! specification gives, and in which no operation comes before one that had ended before it began. In other words:
//! each operation seems to happen at one moment between its call and its return.
//!
//! The search builds such an order from the front. Next may be any operation that began before the first of the
//! remaining ones ended. Where the answer does not fit, it goes back. Two ways to the same set of operations and the same
//! state have the same future, so a pair that failed once is not tried again; without this memory, a dozen
//! operations that overlap take for ever.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// A sequential object: what each call does when it runs alone.
pub trait Specification {
    /// Everything that future answers depend on.
    type State: Clone + Eq + Hash;
    /// A method with its arguments.
    type Call: Debug;
    /// What it returns.
    type Answer: Debug + PartialEq;

    /// The state of a new object.
    fn start(&self) -> Self::State;

    /// The state after `call`, and its answer; `None` if the call has to sleep in this state.
    fn step(&self, state: &Self::State, call: &Self::Call) -> Option<(Self::State, Self::Answer)>;
}

/// One call of one thread, as it was recorded.
#[derive(Clone, Debug)]
pub struct Operation<Call, Answer> {
    /// Who called.
    pub thread: usize,
    pub call: Call,
    /// `None`: it has not returned. Then it may have happened, or not.
    pub answer: Option<Answer>,
    /// A moment before the call.
    pub began: u64,
    /// A moment after the return; `u64::MAX` if there is none.
    pub ended: u64,
}

/// The history of an object that follows the specification `S`.
pub type History<S> = [Operation<<S as Specification>::Call, <S as Specification>::Answer>];

/// Looks for an order that explains the history, which has at most 64 operations. An error is the report that there is
/// none.
pub fn check<S: Specification>(specification: &S, history: &History<S>) -> Result<(), String> {
    assert!(history.len() <= 64, "the set of operations is the bits of a u64");
    let mut search =
        Search { specification, history, failed: HashSet::new(), order: vec![], longest: vec![] };
    match search.goes_on(0, specification.start()) {
        true => Ok(()),
        false => Err(report(history, &search.longest)),
    }
}

struct Search<'a, S: Specification> {
    specification: &'a S,
    history: &'a History<S>,
    /// Sets of operations, with the state after them, that lead nowhere.
    failed: HashSet<(u64, S::State)>,
    /// The order so far.
    order: Vec<usize>,
    /// The longest that there was.
    longest: Vec<usize>,
}

impl<S: Specification> Search<'_, S> {
    /// Whether the order can be completed from here, where the operations in `done` have led to `state`.
    fn goes_on(&mut self, done: u64, state: S::State) -> bool {
        let history = self.history;
        let left = || history.iter().enumerate().filter(|(index, _)| done & (1 << index) == 0);
        if left().all(|(_, operation)| operation.answer.is_none()) {
            return true;
        }
        if !self.failed.insert((done, state.clone())) {
            return false;
        }
        let first_end = left().map(|(_, operation)| operation.ended).min().unwrap_or(u64::MAX);
        for (index, operation) in left().filter(|(_, operation)| operation.began < first_end) {
            let Some((next, answer)) = self.specification.step(&state, &operation.call) else { continue };
            if operation.answer.as_ref().is_some_and(|recorded| *recorded != answer) {
                continue;
            }
            self.order.push(index);
            if self.order.len() > self.longest.len() {
                self.longest.clone_from(&self.order);
            }
            if self.goes_on(done | 1 << index, next) {
                return true;
            }
            self.order.pop();
        }
        false
    }
}

/// The history in the order in which the operations began, and how far it can be explained.
fn report<Call: Debug, Answer: Debug>(history: &[Operation<Call, Answer>], longest: &[usize]) -> String {
    let mut rows: Vec<usize> = (0..history.len()).collect();
    rows.sort_by_key(|&index| history[index].began);
    let mut text =
        String::from("no order explains this history; `#n` is the place in the longest that fits\n");
    for index in rows {
        let Operation { thread, call, answer, began, ended } = &history[index];
        let place = longest.iter().position(|&other| other == index);
        let place = place.map_or("    ".to_owned(), |place| format!("#{:<3}", place + 1));
        let end = if *ended == u64::MAX { "...".to_owned() } else { ended.to_string() };
        let answer = answer.as_ref().map_or("still sleeps".to_owned(), |answer| format!("{answer:?}"));
        text += &format!("{place} thread {thread}  {began:>3} to {end:<3}  {call:?}: {answer}\n");
    }
    text
}
