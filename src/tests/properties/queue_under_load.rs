//! The queue with all threads at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use pool_server::config::PoolSize;
use pool_server::handoff::{ConnectionId, Task, TaskQueue, Ticket};
use proptest::prelude::*;

use crate::crew::Crew;

/// What a producer does, one after the other.
#[derive(Clone, Copy)]
enum Push {
    Sleeping,
    Trying,
    All(u64),
}

impl fmt::Debug for Push {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Push::Sleeping => write!(out, "push"),
            Push::Trying => write!(out, "try"),
            Push::All(count) => write!(out, "all {count}"),
        }
    }
}

fn pushes() -> impl Strategy<Value = Vec<Push>> {
    let push = prop_oneof![Just(Push::Sleeping), Just(Push::Trying), (1_u64..4).prop_map(Push::All)];
    prop::collection::vec(push, 0..40)
}

/// Producer and number of a task.
type Name = (u64, u64);

fn task((producer, sequence): Name) -> Task {
    Task { ticket: Ticket { connection: ConnectionId(producer), sequence }, text: Vec::new() }
}

/// Runs one producer; what the queue has accepted.
fn produce(queue: &TaskQueue, capacity: usize, producer: u64, pushes: &[Push]) -> Vec<Name> {
    let mut accepted = Vec::new();
    let mut next = 0;
    for push in pushes {
        let count = if let Push::All(count) = push { *count } else { 1 };
        let mut names: Vec<Name> = (next..next + count).map(|sequence| (producer, sequence)).collect();
        next += count;
        match push {
            Push::Sleeping => assert_eq!(queue.push(task(names[0])), Ok(())),
            Push::Trying => names.truncate(usize::from(queue.try_push(task(names[0])).is_ok())),
            Push::All(_) => {
                let mut batch = names.iter().copied().map(task).collect();
                queue.push_all(&mut batch);
                names.truncate(names.len() - batch.len());
            }
        }
        accepted.extend(names);
        assert!(queue.occupancy().waiting <= capacity, "more inside than the capacity");
    }
    accepted
}

proptest! {
    #![proptest_config(crate::cases(64))]

    /// Nothing is lost, nothing comes twice, each consumer gets the tasks of each producer in their order, and leaves
    /// only after the close. Nobody sleeps for ever: that would show as a thread that is at rest and has not answered.
    #[test]
    fn any_number_of_producers_and_consumers(
        capacity in 1_usize..5,
        producers in prop::collection::vec(pushes(), 1..5),
        consumers in 1_usize..5,
    ) {
        let queue = Arc::new(TaskQueue::new(capacity, PoolSize { min: consumers, max: consumers }, None));
        let closed = Arc::new(AtomicBool::new(false));
        let mut crew = Crew::new(consumers + producers.len());
        for consumer in 0..consumers {
            let (queue, closed) = (Arc::clone(&queue), Arc::clone(&closed));
            let seat = queue.employ().unwrap();
            crew.order(consumer, move || {
                let popped = std::iter::from_fn(|| queue.pop(seat)).map(|taken| taken.task.ticket);
                let names = popped.map(|ticket| (ticket.connection.0, ticket.sequence)).collect::<Vec<Name>>();
                assert!(closed.load(SeqCst), "None before the close");
                names
            });
        }
        let count = producers.len();
        for (producer, pushes) in producers.into_iter().enumerate() {
            let queue = Arc::clone(&queue);
            crew.order(consumers + producer, move || produce(&queue, capacity, producer as u64, &pushes));
        }

        let produced = crew.settle();
        closed.store(true, SeqCst);
        queue.close();
        let consumed = crew.settle();
        let sleepers = (produced.len(), consumed.len()) != (count, consumers);
        crew.dismiss();
        prop_assert!(!sleepers, "only {} of {} producers and {} of {} consumers came to an end",
            produced.len(), count, consumed.len(), consumers);

        for (_, names) in &consumed {
            for producer in 0..count as u64 {
                prop_assert!(names.iter().filter(|name| name.0 == producer).is_sorted(), "{:?}", names);
            }
        }
        let sorted = |lists: Vec<(usize, Vec<Name>)>| {
            let mut names: Vec<Name> = lists.into_iter().flat_map(|(_, names)| names).collect();
            names.sort_unstable();
            names
        };
        prop_assert_eq!(sorted(consumed), sorted(produced));
        prop_assert_eq!(queue.occupancy().waiting, 0);
    }
}
