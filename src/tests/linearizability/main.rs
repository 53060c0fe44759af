//! Linearizability of the task queue: what several threads see of it could have been seen by one alone.
//!
//! Real threads run random programs on the real queue and note when each call began and ended ([`recorder`]). Whether the
//! answers fit together is decided by a search ([`checker`]) against the queue as it is for one thread ([`queue`]). That the
//! search can say no is shown by queues with mistakes ([`planted`]).

mod checker;
mod planted;
mod queue;
mod recorder;

use checker::{Operation, check};
use planted::{Mistake, Planted};
use queue::{Answer, Call, Real, Sequential};
use recorder::{Program, overlaps};

/// So many programs; each runs once.
const HISTORIES: u64 = 4000;

#[test]
fn every_history_of_the_queue_is_linearizable() {
    let (mut operations, mut overlapping) = (0, 0);
    for seed in 0..HISTORIES {
        let program = Program::new(seed);
        let history = program.run(&Real::new(program.capacity, program.threads()));
        if let Err(report) = check(&Sequential { capacity: program.capacity }, &history) {
            panic!("program {seed}, capacity {}: {report}", program.capacity);
        }
        operations += history.len();
        overlapping += usize::from(overlaps(&history));
    }
    println!(
        "{HISTORIES} histories, {operations} operations, {overlapping} histories with some that overlap"
    );
    assert!(overlapping > 0, "the threads ran one after the other, which proves nothing");
}

/// The first program that shows the mistake, and what is said about it.
fn caught(mistake: Mistake, programs: u64) -> Option<(u64, String)> {
    (0..programs).find_map(|seed| {
        let program = Program::new(seed);
        let history = program.run(&Planted::new(mistake, program.capacity));
        let report = check(&Sequential { capacity: program.capacity }, &history).err()?;
        Some((seed, report))
    })
}

#[test]
fn every_planted_mistake_is_found() {
    for mistake in Mistake::ALL {
        // Some need an unlucky moment, which comes soon. This many programs without one do not happen.
        let Some((seed, report)) = caught(mistake, 100_000) else { panic!("{mistake:?} was not found") };
        println!("{mistake:?}, found with program {seed}: {report}");
    }
}

#[test]
fn the_same_queue_without_a_mistake_passes() {
    assert_eq!(caught(Mistake::None, 500), None);
}

/// A history by hand: thread, call, answer, began, ended.
fn verdict(capacity: usize, history: &[(usize, Call, Option<Answer>, u64, u64)]) -> bool {
    let operation =
        |(thread, call, answer, began, ended): &(usize, Call, Option<Answer>, u64, u64)| Operation {
            thread: *thread,
            call: call.clone(),
            answer: answer.clone(),
            began: *began,
            ended: *ended,
        };
    let history: Vec<_> = history.iter().map(operation).collect();
    check(&Sequential { capacity }, &history).is_ok()
}

#[test]
fn operations_that_overlap_may_have_happened_in_any_order_and_others_only_in_theirs() {
    let pushes = |second_began| {
        [
            (0, Call::Push(1), Some(Answer::Done), 0, 2),
            (1, Call::Push(2), Some(Answer::Done), second_began, 4),
            (2, Call::Pop, Some(Answer::Task(2, false)), 5, 6),
        ]
    };
    assert!(verdict(3, &pushes(1)));
    assert!(!verdict(3, &pushes(3)));
}

#[test]
fn a_call_that_sleeps_happens_when_it_can() {
    let history = |ended| {
        [(0, Call::Pop, Some(Answer::Task(1, true)), 0, ended), (1, Call::Push(1), Some(Answer::Done), 2, 3)]
    };
    assert!(verdict(1, &history(4)));
    assert!(!verdict(1, &history(1)), "a pop took a task that nobody had pushed yet");
}

#[test]
fn a_call_that_has_not_returned_may_have_happened_or_not() {
    let sleeper = (0, Call::Push(1), None, 0, u64::MAX);
    assert!(verdict(1, &[sleeper.clone(), (1, Call::Pop, Some(Answer::Task(1, true)), 1, 2)]));
    assert!(verdict(1, &[sleeper.clone(), (1, Call::TryPush(2), Some(Answer::Done), 1, 2)]));
    assert!(!verdict(1, &[sleeper, (1, Call::Pop, Some(Answer::Task(2, true)), 1, 2)]));
}

#[test]
fn what_was_seen_to_fail_is_not_tried_again() {
    // Fourteen looks at the same time, and an answer that fits nowhere: without memory there are 14! orders.
    let mut history: Vec<_> = (0..14).map(|n| (n, Call::Room, Some(Answer::Room(1)), 0, 9)).collect();
    history.push((14, Call::TryPush(1), Some(Answer::Full), 0, 9));
    assert!(!verdict(1, &history));
}
