//! The mailbox and its bell: no answer without a wake, and no more wakes than needed.

use std::fmt;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use pool_server::handoff::{Completion, Completions, ConnectionId, Ticket};
use pool_server::protocol::Answer;
use pool_server::sys::{Epoll, Events, Interest};
use proptest::prelude::*;

use crate::crew::Crew;

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Post,
    Ring,
    Collect,
}

impl fmt::Debug for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Post => write!(out, "post"),
            Step::Ring => write!(out, "ring"),
            Step::Collect => write!(out, "collect"),
        }
    }
}

fn steps(of: &'static [Step]) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(prop::sample::select(of), 0..40)
}

/// The answer to request `sequence` of worker `worker`.
fn completion(worker: u64, sequence: u64) -> Completion {
    Completion {
        ticket: Ticket { connection: ConnectionId(worker), sequence },
        answer: Answer::INVALID_INPUT,
    }
}

/// How often the bell has been rung since it was silenced: the counter of the eventfd, without touching it. proc(5).
fn rings(completions: &Completions) -> u64 {
    let path = format!("/proc/self/fdinfo/{}", completions.bell().as_fd().as_raw_fd());
    let info = fs::read_to_string(path).unwrap();
    let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:")).unwrap();
    u64::from_str_radix(count.trim(), 16).unwrap()
}

/// What the collector has seen.
#[derive(Default)]
struct Seen {
    tickets: Vec<(u64, u64)>,
    wakes: usize,
    wakes_for_nothing: usize,
}

/// What the event loop does: sleeps until the bell rings, and collects. Until `stop`.
fn collect_all(completions: &Completions, stop: &AtomicBool) -> Seen {
    let epoll = Epoll::new().unwrap();
    epoll.add(completions.bell(), 1, Interest::Read).unwrap();
    let mut events = Events::new();
    let mut results = Vec::new();
    let mut seen = Seen::default();
    loop {
        epoll.wait(&mut events, None).unwrap();
        if stop.load(SeqCst) {
            return seen;
        }
        assert_eq!(rings(completions), 1, "one ring for each collection");
        completions.collect(&mut results);
        seen.wakes += 1;
        seen.wakes_for_nothing += usize::from(results.is_empty());
        let tickets = results.drain(..).map(|result| (result.ticket.connection.0, result.ticket.sequence));
        seen.tickets.extend(tickets);
    }
}

proptest! {
    #![proptest_config(crate::cases(128))]

    #[test]
    fn the_bell_is_rung_once_for_everything_since_the_last_collection(
        steps in steps(&[Step::Post, Step::Ring, Step::Collect]),
    ) {
        let completions = Completions::new().unwrap();
        let mut waiting = Vec::new();
        for (sequence, step) in (0..).zip(steps) {
            match step {
                Step::Post => {
                    completions.post(completion(0, sequence));
                    waiting.push(completion(0, sequence));
                }
                Step::Ring => completions.ring(),
                Step::Collect => {
                    let mut results = Vec::new();
                    completions.collect(&mut results);
                    prop_assert_eq!(results, std::mem::take(&mut waiting));
                }
            }
            let rung = step != Step::Collect;
            prop_assert_eq!(rings(&completions), u64::from(rung), "after {:?}", step);
        }
    }
}

proptest! {
    #![proptest_config(crate::cases(64))]

    /// When all workers are done and the collector sleeps, it has everything, each answer once and in the order of its
    /// worker. It woke at most once for each post and ring, and for nothing only if somebody rang without an answer.
    #[test]
    fn no_answer_without_a_wake_and_no_storm_of_wakes(
        workers in prop::collection::vec(steps(&[Step::Post, Step::Post, Step::Ring]), 1..5),
    ) {
        let completions = Arc::new(Completions::new().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let mut crew = Crew::new(1 + workers.len());
        crew.order(0, {
            let (completions, stop) = (Arc::clone(&completions), Arc::clone(&stop));
            move || collect_all(&completions, &stop)
        });
        let mut expected = Vec::new();
        for (worker, steps) in workers.iter().cloned().enumerate() {
            let posts = steps.iter().filter(|step| **step == Step::Post).count();
            expected.extend((0..posts as u64).map(|sequence| (worker as u64, sequence)));
            let completions = Arc::clone(&completions);
            crew.order(1 + worker, move || {
                let mut next = 0;
                for step in steps {
                    if step == Step::Ring {
                        completions.ring();
                    } else {
                        completions.post(completion(worker as u64, next));
                        next += 1;
                    }
                }
                Seen::default()
            });
        }
        prop_assert_eq!(crew.settle().len(), workers.len(), "the workers answer, the collector sleeps");
        stop.store(true, SeqCst);
        completions.ring();
        let seen = crew.settle().pop();
        crew.dismiss();
        let Some((0, mut seen)) = seen else { return Err(TestCaseError::fail("the collector did not hear the last ring")) };

        for worker in 0..workers.len() as u64 {
            prop_assert!(seen.tickets.iter().filter(|ticket| ticket.0 == worker).is_sorted());
        }
        seen.tickets.sort_unstable();
        prop_assert_eq!(seen.tickets, expected);
        let steps = workers.concat();
        prop_assert!(seen.wakes <= steps.len());
        prop_assert!(seen.wakes_for_nothing <= steps.iter().filter(|step| **step == Step::Ring).count());
    }
}
