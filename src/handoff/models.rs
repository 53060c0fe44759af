//! The hand-off under loom: every order of steps with at most three preemptions. Run with
//! `RUSTFLAGS="--cfg loom" cargo test --lib models`.
//!
//! A lost wake-up shows as a deadlock, which loom reports. Each model was tried on code with mistakes planted: a missing
//! signal, a missing ring, `if` for `while`. With two preemptions the last one went unnoticed.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};
use loom::thread;

use super::*;
use crate::config::PoolSize;
use crate::protocol::Answer;

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn ticket(sequence: u64) -> Ticket {
    Ticket { connection: ConnectionId(3), sequence }
}

fn task(sequence: u64) -> Task {
    Task { ticket: ticket(sequence), text: Vec::new() }
}

fn queue(capacity: usize, workers: usize) -> Arc<TaskQueue> {
    Arc::new(TaskQueue::new(capacity, PoolSize { min: workers, max: workers }))
}

#[test]
fn two_workers_get_every_task_once_and_none_only_after_close() {
    explore(|| {
        let queue = queue(2, 2);
        let closed = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (queue, closed) = (Arc::clone(&queue), Arc::clone(&closed));
                let seat = queue.employ().unwrap();
                thread::spawn(move || {
                    let mut taken = 0;
                    while queue.pop(seat).is_some() {
                        taken += 1;
                    }
                    assert!(closed.load(SeqCst), "None before close");
                    taken
                })
            })
            .collect();
        let mut batch = vec![task(0), task(1)];
        queue.push_all(&mut batch);
        assert!(batch.is_empty());
        closed.store(true, SeqCst);
        queue.close();
        let taken: u32 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        assert_eq!(taken, 2);
    });
}

/// One push, one signal, two tasks: who is woken has to wake the next. Otherwise one of these workers, each of whom
/// takes one task and leaves, sleeps for ever, and loom reports the deadlock.
#[test]
fn two_tasks_pushed_together_end_in_two_hands() {
    explore(|| {
        let queue = queue(2, 2);
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                let seat = queue.employ().unwrap();
                thread::spawn(move || assert!(queue.pop(seat).is_some()))
            })
            .collect();
        queue.push_all(&mut vec![task(0), task(1)]);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn an_answer_never_lies_in_the_mailbox_while_the_collector_sleeps() {
    explore(|| {
        let completions = Arc::new(Completions::new().unwrap());
        for worker in 0..2 {
            let completions = Arc::clone(&completions);
            thread::spawn(move || {
                completions.post(Completion { ticket: ticket(worker), answer: Answer::INVALID_INPUT });
            });
        }
        let mut collected = 0;
        let mut results = Vec::new();
        while collected < 2 {
            completions.collect(&mut results);
            collected += results.drain(..).count();
        }
    });
}

/// The event loop pushes three tasks through a queue for one. Whenever it finds no room it sleeps until the bell rings.
#[test]
fn a_pusher_that_sleeps_on_a_full_queue_hears_of_the_room() {
    explore(|| {
        let queue = queue(1, 1);
        let completions = Arc::new(Completions::new().unwrap());
        let seat = queue.employ().unwrap();
        let worker = {
            let (queue, completions) = (Arc::clone(&queue), Arc::clone(&completions));
            thread::spawn(move || {
                while let Some(taken) = queue.pop(seat) {
                    if taken.made_room {
                        completions.ring();
                    }
                }
            })
        };
        for sequence in 0..3 {
            while queue.room() == 0 {
                completions.collect(&mut Vec::new());
            }
            queue.push_all(&mut vec![task(sequence)]);
        }
        queue.close();
        worker.join().unwrap();
    });
}
