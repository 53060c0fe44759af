//! The life of a worker: take a task, do it, leave the answer; until there are no more.

use super::{Shared, job};
use crate::handoff::{Completion, Seat};
use crate::log::Role;
use crate::sys::thread;

/// The first and only function of a worker thread. It waits in `pop` and nowhere else, and no lock is held while a job
/// runs.
pub fn run(seat: Seat, shared: Shared<'_>) {
    let Shared { queue, completions, log } = shared;
    // Whoever wakes a worker holds the lock that the worker needs first. One that preempts him at once only sleeps again.
    thread::never_preempt();
    let me = role(seat);
    log.say(me, format_args!("started"));
    while let Some(taken) = queue.pop(seat) {
        if taken.made_room {
            completions.ring();
        }
        let ticket = taken.task.ticket;
        log.say(me, format_args!("took {ticket}"));
        let answer = job::run(&taken.task.text);
        log.say(me, format_args!("finished {ticket}"));
        completions.post(Completion { ticket, answer });
    }
    log.say(me, format_args!("leaves"));
}

/// What the worker in `seat` is called.
pub fn role(seat: Seat) -> Role {
    Role::Worker(seat.0 + 1)
}
