//! The answers that one connection is owed, in the order of its requests, whatever the order in which they come.

use std::collections::VecDeque;

use crate::protocol::Answer;

/// One entry for each request read and not yet answered, the oldest first.
#[derive(Debug, Default)]
pub struct Replies {
    owed: VecDeque<Reply>,
    /// The sequence number of the oldest entry.
    first: u64,
}

#[derive(Debug)]
enum Reply {
    /// A task is under way for it.
    Awaited,
    /// It leaves when those before it have left.
    Known(Answer),
    /// The counters, as they will be when those before it have left.
    Counters,
}

impl Replies {
    /// How many are owed.
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Whether the oldest could leave now.
    pub fn can_release(&self) -> bool {
        matches!(self.owed.front(), Some(Reply::Known(_) | Reply::Counters))
    }

    /// Makes an entry for a task and returns its sequence number, with which its answer will come.
    pub fn await_task(&mut self) -> u64 {
        self.owed.push_back(Reply::Awaited);
        self.first + self.owed.len() as u64 - 1
    }

    /// Makes an entry for the counters.
    pub fn add_counters(&mut self) {
        self.owed.push_back(Reply::Counters);
    }

    /// Makes an entry for an answer that is known already.
    pub fn add(&mut self, answer: Answer) {
        self.owed.push_back(Reply::Known(answer));
    }

    /// Fills in the answer to a task. False if it has one already: the task was late, and this answer is for nobody.
    pub fn fill(&mut self, sequence: u64, answer: Answer) -> bool {
        let entry = sequence.checked_sub(self.first).and_then(|index| self.owed.get_mut(index as usize));
        match entry {
            Some(reply @ Reply::Awaited) => {
                *reply = Reply::Known(answer);
                true
            }
            _ => false,
        }
    }

    /// Writes the oldest answers to `out`, up to the first that is still awaited. `counters` is asked when their turn
    /// comes.
    pub fn release(&mut self, out: &mut Vec<u8>, counters: impl Fn() -> Answer) {
        while self.can_release() {
            match self.owed.pop_front() {
                Some(Reply::Known(answer)) => answer.write_to(out),
                _ => counters().write_to(out),
            }
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(number: u64) -> Answer {
        Answer::Result(number.to_string())
    }

    fn released(replies: &mut Replies) -> String {
        let mut out = Vec::new();
        replies.release(&mut out, || Answer::Stats("now".to_string()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_early_answer_waits_for_those_before_it() {
        let mut replies = Replies::default();
        let (first, second) = (replies.await_task(), replies.await_task());
        assert!(replies.fill(second, answer(2)));
        assert_eq!(released(&mut replies), "");
        assert!(replies.fill(first, answer(1)));
        assert_eq!(released(&mut replies), "result: 1\nresult: 2\n");
        assert!(replies.is_empty());
    }

    #[test]
    fn what_the_loop_answers_itself_keeps_its_place() {
        let mut replies = Replies::default();
        let first = replies.await_task();
        replies.add_counters();
        replies.add(Answer::LINE_TOO_LONG);
        assert_eq!(released(&mut replies), "");
        replies.fill(first, answer(1));
        assert_eq!(released(&mut replies), "result: 1\nSTATS now\nERROR: line too long\n");
    }

    #[test]
    fn a_late_answer_is_for_nobody() {
        let mut replies = Replies::default();
        let task = replies.await_task();
        assert!(replies.fill(task, Answer::TIMEOUT));
        assert!(!replies.fill(task, answer(1)));
        assert_eq!(released(&mut replies), "ERROR: timeout\n");
        assert!(!replies.fill(task, answer(1)));
        let next = replies.await_task();
        assert!(!replies.fill(task, answer(1)));
        assert!(replies.fill(next, answer(2)));
        assert_eq!(released(&mut replies), "result: 2\n");
    }

    proptest! {
        #[test]
        fn answers_leave_in_the_order_of_the_requests(
            order in Just((0_u64..20).collect::<Vec<u64>>()).prop_shuffle(),
        ) {
            let mut replies = Replies::default();
            (0..20).for_each(|number| assert_eq!(replies.await_task(), number));
            let mut all = String::new();
            for sequence in order {
                prop_assert!(replies.fill(sequence, answer(sequence)));
                all += &released(&mut replies);
            }
            let expected: String = (0..20).map(|number| format!("result: {number}\n")).collect();
            prop_assert_eq!(all, expected);
        }
    }
}
