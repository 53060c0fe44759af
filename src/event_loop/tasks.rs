//! The event loop's side of the table: tasks out, answers in, and answers given for tasks that take too long.

use std::time::Instant;

use super::EventLoop;
use crate::handoff::{Completion, Load, Ticket};
use crate::log::Role;
use crate::protocol::Answer;

impl EventLoop<'_> {
    /// Gives this turn's tasks to the workers: one lock, one signal.
    pub(super) fn hand_over(&mut self, grow: &mut impl FnMut(usize, Load)) {
        if self.batch.is_empty() {
            return;
        }
        self.log.say(Role::Main, format_args!("pushes {} tasks", self.batch.len()));
        self.counters.pushed(self.batch.len());
        let load = self.queue.push_all(&mut self.batch);
        assert!(self.batch.is_empty(), "no more is read than there is room for");
        self.room = load.room;
        grow(self.counters.unfinished(), load);
    }

    /// Answers tasks that run for too long. Asks the queue only when there may be one.
    pub(super) fn give_up_overdue_tasks(&mut self) {
        if self.queue.task_timeout().is_none() {
            return;
        }
        if self.counters.unfinished() == 0 {
            self.next_overdue = None;
            return;
        }
        let now = Instant::now();
        if self.next_overdue.is_none_or(|time| time <= now) {
            let overdue = self.queue.take_overdue(now);
            self.next_overdue = overdue.next;
            overdue.tickets.into_iter().for_each(|ticket| self.answer(ticket, Answer::TIMEOUT));
        }
    }

    /// Takes all results out of the mailbox and gives each to the connection that asked, if it still exists.
    ///
    /// The ring that led here may also have meant that the full queue has room again. It will not be repeated, so the
    /// room is looked up at once, even if nobody wants to be read at this moment.
    pub(super) fn collect_results(&mut self) {
        let mut results = std::mem::take(&mut self.results);
        self.completions.collect(&mut results);
        self.counters.collected(results.len());
        for Completion { ticket, answer } in results.drain(..) {
            self.answer(ticket, answer);
        }
        self.results = results;
        if self.room == 0 {
            self.room = self.queue.room();
        }
        self.postpone_drain_deadline();
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let Some(connection) = self.connections.get_mut(ticket.connection) else {
            return self.log.say(Role::Main, format_args!("{ticket} has an answer, but its client is gone"));
        };
        self.log.say(Role::Main, format_args!("{ticket} has its answer"));
        let is_error = matches!(answer, Answer::Error(_));
        if connection.answer(ticket.sequence, answer) {
            self.counters.answered(is_error);
            self.touched.push(ticket.connection);
        }
    }
}
