//! Which threads of a server are workers, and how many there are.

use super::MIN;
use crate::probes::{
    session::Session,
    tracer::{
        event::What,
        thread::{Role, Thread},
    },
};
use std::collections::BTreeMap;

/// Tells workers from other threads that a server may have beside the main thread (one that manages the pool, say).
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// The start routines of threads that are no workers.
    helpers: Vec<u64>,
}

impl Pool {
    /// Of a server that is ready. If more threads are there than there should be workers, and exactly MIN of them run the
    /// same function and no other function is run by so many, then these are the workers.
    pub(super) fn of(session: &Session) -> Self {
        let mut routines: BTreeMap<Option<u64>, usize> = BTreeMap::new();
        for thread in session.tracer.alive_workers() {
            *routines.entry(thread.routine).or_default() += 1;
        }
        Self { helpers: helpers(&routines) }
    }

    fn is_worker(&self, thread: &Thread) -> bool {
        matches!(thread.role, Role::Worker(_)) && thread.routine.is_none_or(|it| !self.helpers.contains(&it))
    }

    /// How many workers there are.
    pub(super) fn size(&self, session: &Session) -> usize {
        session.tracer.alive().filter(|thread| self.is_worker(thread)).count()
    }

    /// Workers that were created since the stream held so many events.
    pub(super) fn created(&self, session: &Session, since: usize) -> usize {
        let events = session.tracer.events()[since..].iter();
        let began = events.filter(|event| matches!(event.what, What::Began));
        began
            .filter_map(|event| session.tracer.thread(event.tid))
            .filter(|thread| self.is_worker(thread))
            .count()
    }

    /// The fewest workers at any time since the stream held so many events, when there were `size`.
    pub(super) fn fewest(&self, session: &Session, since: usize, size: usize) -> usize {
        let (mut now, mut fewest) = (size, size);
        for event in &session.tracer.events()[since..] {
            if !session.tracer.thread(event.tid).is_some_and(|thread| self.is_worker(thread)) {
                continue;
            }
            match event.what {
                What::Began => now += 1,
                What::Ended => now = now.saturating_sub(1),
                _ => {}
            }
            fewest = fewest.min(now);
        }
        fewest
    }

    /// When the last worker ended, since the launch.
    pub(super) fn last_end(&self, session: &Session) -> Option<std::time::Duration> {
        session
            .tracer
            .threads()
            .filter(|thread| self.is_worker(thread))
            .filter_map(|thread| thread.ended)
            .max()
    }
}

fn helpers(routines: &BTreeMap<Option<u64>, usize>) -> Vec<u64> {
    let all: usize = routines.values().sum();
    let of_workers: Vec<&Option<u64>> =
        routines.iter().filter(|(_, count)| **count == MIN).map(|(it, _)| it).collect();
    match of_workers[..] {
        [Some(workers)] if all > MIN => {
            routines.keys().flatten().filter(|it| *it != workers).copied().collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_manages_the_pool_is_no_worker() {
        let told =
            |routines: &[(Option<u64>, usize)]| -> Vec<u64> { helpers(&routines.iter().copied().collect()) };
        let none: Vec<u64> = Vec::new();
        assert_eq!(told(&[(Some(1), 2)]), none);
        assert_eq!(told(&[(Some(1), 2), (Some(7), 1)]), [7]);
        // Where it cannot be told, all count.
        assert_eq!(told(&[(Some(1), 3)]), none);
        assert_eq!(told(&[(Some(1), 2), (Some(7), 2)]), none);
        assert_eq!(told(&[(None, 3)]), none);
    }
}
