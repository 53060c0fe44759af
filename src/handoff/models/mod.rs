//! The hand-off under loom: every order of steps with at most so many preemptions. Run with
//! `RUSTFLAGS="--cfg loom" cargo test --lib models`.
//!
//! A lost wake-up shows as a deadlock, which loom reports; everything else is asserted. Each model has shown that it can
//! fail: `make model` plants mistakes in copies of the hand-off and prints which model catches which.

mod mailbox;
mod queue;
mod shutdown;

use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

use super::*;
use crate::config::PoolSize;
use crate::protocol::Answer;

/// Runs `model` once for every order of its steps that takes the processor from a running thread at most
/// `preemptions` times. A thread that waits gives it up by itself, which does not count.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// The task of `producer` with this number.
fn task(producer: u64, sequence: u64) -> Task {
    Task { ticket: Ticket { connection: ConnectionId(producer), sequence }, text: Vec::new() }
}

/// An answer to a task.
fn answer(ticket: Ticket) -> Completion {
    Completion { ticket, answer: Answer::INVALID_INPUT }
}

/// A queue for so many tasks and workers.
fn queue(capacity: usize, workers: usize) -> Arc<TaskQueue> {
    Arc::new(TaskQueue::new(capacity, PoolSize { min: workers, max: workers }, None))
}

/// Starts a worker that takes `count` tasks, or, without a count, all until `None`. Its handle gives them, in the order
/// in which it got them.
fn worker(queue: &Arc<TaskQueue>, count: Option<usize>) -> JoinHandle<Vec<Ticket>> {
    let seat = queue.employ().unwrap();
    let queue = Arc::clone(queue);
    thread::spawn(move || {
        let tasks = std::iter::from_fn(|| queue.pop(seat)).map(|taken| taken.task.ticket);
        match count {
            None => tasks.collect(),
            Some(count) => {
                let tasks: Vec<_> = tasks.take(count).collect();
                assert_eq!(tasks.len(), count, "None from a queue that nobody closed");
                tasks
            }
        }
    })
}

/// Starts a thread that pushes the first task of `producer`, and sleeps where there is no room. Its handle gives what came of
/// that.
fn pusher(queue: &Arc<TaskQueue>, producer: u64) -> JoinHandle<Result<(), Task>> {
    let queue = Arc::clone(queue);
    thread::spawn(move || queue.push(task(producer, 0)))
}

/// Joins the workers. What each got has to be in order by producer, and all together have to be the `expected`
/// (producer, sequence), each once.
fn assert_they_took(workers: Vec<JoinHandle<Vec<Ticket>>>, expected: &[(u64, u64)]) {
    let mut all = Vec::new();
    for worker in workers {
        let mine: Vec<_> =
            worker.join().unwrap().into_iter().map(|ticket| (ticket.connection.0, ticket.sequence)).collect();
        for producer in 0..3 {
            let its = mine.iter().filter(|taken| taken.0 == producer);
            assert!(its.is_sorted(), "out of order: {mine:?}");
        }
        all.extend(mine);
    }
    all.sort_unstable();
    assert_eq!(all, expected);
}
