//! When the questions of a lesson are asked again: after days, then after weeks, and from the start if an answer was not known.

use jiff::{ToSpan, civil::Date};
use serde::{Deserialize, Serialize};

/// Days from the pass to the first self-test, and then from each to the next; the last goes on for ever.
pub const INTERVALS: [i64; 4] = [3, 7, 21, 60];

/// The self-test of a quest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The id of the quest.
    pub quest: String,
    /// When its questions are asked next.
    pub due: Date,
    /// How many steps of [`INTERVALS`] are done.
    pub steps: usize,
    /// How many questions were answered already when somebody stopped in the middle.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub answered: usize,
    /// One of them was not known.
    #[serde(default, skip_serializing_if = "is_false")]
    pub missed: bool,
}

impl Review {
    /// The first self-test of a quest that passed on this day.
    pub fn first(quest: &str, passed: Date) -> Self {
        Self { quest: quest.to_owned(), due: after(passed, 0), steps: 0, answered: 0, missed: false }
    }

    /// Are the questions asked today?
    pub fn is_due(&self, today: Date) -> bool {
        self.due <= today
    }

    /// Which of `questions` comes next, from 0.
    pub fn next(&self, questions: usize) -> usize {
        // A newer quest may ask less.
        if self.answered < questions { self.answered } else { 0 }
    }

    /// Takes in the answer to the next of `questions`: after the last it is known when they come again.
    pub fn answer(&mut self, known: bool, questions: usize, today: Date) {
        self.answered = self.next(questions) + 1;
        self.missed |= !known;
        if self.answered >= questions {
            self.steps = if self.missed { 0 } else { (self.steps + 1).min(INTERVALS.len() - 1) };
            self.due = after(today, self.steps);
            (self.answered, self.missed) = (0, false);
        }
    }
}

/// So many steps are done: the day of the next.
fn after(day: Date, steps: usize) -> Date {
    day.saturating_add(INTERVALS[steps.min(INTERVALS.len() - 1)].days())
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn all(review: &mut Review, answers: &[bool], today: Date) {
        answers.iter().for_each(|known| review.answer(*known, answers.len(), today));
    }

    #[test]
    fn the_days_between_grow_and_one_answer_that_is_not_known_starts_again() {
        let mut review = Review::first("01-x", date(2026, 3, 1));
        assert!(!review.is_due(date(2026, 3, 3)) && review.is_due(date(2026, 3, 4)));
        let mut today = review.due;
        for days in [7, 21, 60, 60] {
            all(&mut review, &[true, true], today);
            assert_eq!(review.due, today.saturating_add(days.days()));
            today = review.due;
        }
        all(&mut review, &[false, true], today);
        assert_eq!((review.due, review.steps), (today.saturating_add(3.days()), 0));
    }

    #[test]
    fn what_was_answered_is_kept_and_the_rest_is_asked_next_time() {
        let today = date(2026, 3, 4);
        let mut review = Review::first("01-x", date(2026, 3, 1));
        review.answer(false, 3, today);
        assert_eq!((review.next(3), review.missed, review.is_due(today)), (1, true, true));
        assert_eq!(review.next(1), 0);
        all(&mut review, &[true, true], today);
        let mut review = Review::first("01-x", date(2026, 3, 1));
        review.answer(false, 3, today);
        review.answer(true, 3, today);
        review.answer(true, 3, today);
        assert_eq!((review.due, review.next(3), review.missed), (date(2026, 3, 7), 0, false));
    }
}
