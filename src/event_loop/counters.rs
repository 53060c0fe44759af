//! What STATS tells. Only the main thread counts, so these are plain integers, and they agree with each other.

use crate::handoff::Occupancy;
use crate::protocol::Answer;

/// Tasks so far. Every task that was pushed is `unfinished` until the loop has collected its result.
#[derive(Debug, Default)]
pub struct Counters {
    unfinished: usize,
    completed: u64,
    errors: u64,
}

impl Counters {
    /// Tasks that wait or are in a worker's hand.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// So many tasks were pushed.
    pub fn pushed(&mut self, tasks: usize) {
        self.unfinished += tasks;
    }

    /// The results of so many tasks were collected, whoever may get them.
    pub fn collected(&mut self, tasks: usize) {
        self.unfinished -= tasks;
    }

    /// A client gets the answer to its task.
    pub fn answered(&mut self, with_error: bool) {
        *(if with_error { &mut self.errors } else { &mut self.completed }) += 1;
    }

    /// The answer to STATS.
    ///
    /// A worker that has left its answer in the mailbox still holds the task as far as the queue can tell, until it
    /// comes back for the next one. It counts as active no longer than until the answer is collected; so whoever has
    /// got an answer does not find its task among the active ones.
    pub fn report(&self, Occupancy { waiting, taken }: Occupancy) -> Answer {
        let active = taken.min(self.unfinished - waiting);
        let Counters { completed, errors, .. } = self;
        Answer::Stats(format!(
            "queue_depth={waiting} active_workers={active} completed={completed} errors={errors}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(counters: &Counters, waiting: usize, taken: usize) -> String {
        let Answer::Stats(text) = counters.report(Occupancy { waiting, taken }) else { unreachable!() };
        text
    }

    #[test]
    fn each_answer_counts_once_a_timeout_as_an_error() {
        let mut counters = Counters::default();
        counters.pushed(3);
        counters.answered(true);
        assert_eq!(report(&counters, 1, 2), "queue_depth=1 active_workers=2 completed=0 errors=1");
        counters.collected(2);
        counters.answered(false);
        assert_eq!(report(&counters, 0, 1), "queue_depth=0 active_workers=1 completed=1 errors=1");
    }

    #[test]
    fn active_is_what_a_worker_has_and_the_loop_has_not_collected() {
        let mut counters = Counters::default();
        counters.pushed(5);
        let active = |counters: &Counters, waiting, taken| {
            report(counters, waiting, taken).contains("active_workers=2")
        };
        assert!(active(&counters, 0, 2), "three answers lie in the mailbox");
        counters.collected(3);
        assert!(active(&counters, 0, 3), "one worker has yet to come back to the queue");
    }
}
