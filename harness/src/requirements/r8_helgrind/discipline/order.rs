//! Locks that are taken in both orders: a deadlock that has not happened yet.

use super::{Seen, Words, key, say};
use crate::{
    model::Note,
    probes::locks::{Deed, Object},
};
use std::collections::{BTreeMap, BTreeSet};

/// Longer rings are not looked for.
const LONGEST: usize = 4;

/// A thread that had one lock in hand waited, or would have waited, for another.
#[derive(Clone, Debug)]
struct Edge {
    from: Object,
    to: Object,
    tid: i32,
    from_at: u64,
    to_at: u64,
    /// What else it had in hand: two threads that share one of these are never here at the same time.
    gates: BTreeSet<Object>,
    /// The first and the last place in the stream.
    when: (usize, usize),
}

/// The first ring of locks, if there is one that different threads could close.
pub(super) fn note(seen: &Seen, words: &Words<'_>) -> Option<Note> {
    let edges = edges(seen);
    let ring = edges.iter().find_map(|edge| closed(seen, &edges, vec![edge]))?;
    let ways: Vec<String> = ring
        .iter()
        .map(|edge| {
            format!(
                "{}: first{}, then{}",
                (words.name)(edge.tid),
                words.at(edge.from_at),
                words.at(edge.to_at)
            )
        })
        .collect();
    let what = match ring.len() {
        2 => "two locks are taken in both orders: two threads that do so at the same moment wait for each other for ever"
            .to_owned(),
        n => format!("{n} locks are taken in a ring: {n} threads that do so at the same moment wait for each other for ever"),
    };
    say(
        key::ORDER,
        format!("{what}. It did not happen this time. Choose one order and keep it everywhere."),
        ways.join("; "),
    )
}

fn edges(seen: &Seen) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for step in &seen.history.steps {
        let to = match step.deed {
            Deed::Took { lock, patiently: true } => lock,
            Deed::Woken { mutex, .. } => mutex,
            _ => continue,
        };
        let to_at = step.caller.unwrap_or_default();
        for held in step.held.iter().filter(|held| held.lock != to) {
            let others = step.held.iter().map(|other| other.lock).chain(step.beside.iter().copied());
            let gates: BTreeSet<Object> = others.filter(|lock| *lock != held.lock).collect();
            let same = (held.lock, to, step.tid, held.taken_at, to_at, gates.clone());
            match known.get(&same) {
                Some(at) => edges[*at].when.1 = step.at,
                None => {
                    known.insert(same, edges.len());
                    edges.push(Edge {
                        from: held.lock,
                        to,
                        tid: step.tid,
                        from_at: held.taken_at,
                        to_at,
                        gates,
                        when: (step.at, step.at),
                    });
                }
            }
        }
    }
    edges
}

/// The path made a ring, if it can be.
fn closed<'a>(seen: &Seen, edges: &'a [Edge], path: Vec<&'a Edge>) -> Option<Vec<&'a Edge>> {
    let (first, last) = (path.first()?, path.last()?);
    if path.len() > 1 && last.to == first.from {
        return Some(path);
    }
    if path.len() == LONGEST {
        return None;
    }
    edges
        .iter()
        .filter(|next| next.from == last.to && path.iter().all(|edge| may_meet(seen, edge, next)))
        .filter(|next| next.to == first.from || path.iter().all(|edge| edge.from != next.to))
        .find_map(|next| closed(seen, edges, path.iter().copied().chain([next]).collect()))
}

/// Whether two threads can be at these two places at the same time.
fn may_meet(seen: &Seen, one: &Edge, other: &Edge) -> bool {
    let alive = |tid, at| seen.history.is_alive(tid, at);
    let together =
        |at: usize, then: usize| [at, then].into_iter().all(|at| alive(one.tid, at) && alive(other.tid, at));
    let times = [one.when.0, one.when.1];
    one.tid != other.tid
        && one.gates.is_disjoint(&other.gates)
        && times.iter().any(|at| together(*at, other.when.0) || together(*at, other.when.1))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::WORDS, *};
    use crate::probes::{
        interposer::Op,
        locks::tests::{MAIN, Story},
        tracer::event::What,
    };

    const A: u64 = 0xa0;
    const B: u64 = 0xb0;
    const C: u64 = 0xc0;

    fn of(story: &Story) -> Option<Note> {
        note(&Seen { history: story.read(), main: MAIN, ..Seen::default() }, &WORDS)
    }

    /// One inside the other.
    fn nested(story: &mut Story, tid: i32, outer: u64, inner: u64, line: u64) {
        story.lock(tid, outer, line).lock(tid, inner, line + 1).unlock(tid, inner).unlock(tid, outer);
    }

    #[test]
    fn both_orders_by_two_threads_are_a_deadlock_to_come() {
        let mut story = Story::begun();
        nested(&mut story, 2, A, B, 20);
        nested(&mut story, 1, A, B, 10);
        assert_eq!(of(&story), None);
        nested(&mut story, 1, B, A, 30);
        let note = of(&story).unwrap();
        assert_eq!(note.key, key::ORDER);
        for line in ["x.c:20", "x.c:21", "x.c:30", "x.c:31"] {
            assert!(note.place.contains(line), "{}", note.place);
        }
    }

    #[test]
    fn one_thread_cannot_meet_itself() {
        let mut story = Story::begun();
        nested(&mut story, 2, A, B, 20);
        nested(&mut story, 2, B, A, 30);
        assert_eq!(of(&story), None);
    }

    #[test]
    fn an_outer_lock_keeps_the_two_apart() {
        let mut story = Story::begun();
        story.lock(2, C, 1);
        nested(&mut story, 2, A, B, 20);
        story.unlock(2, C).lock(1, C, 2);
        nested(&mut story, 1, B, A, 30);
        assert_eq!(of(&story), None);
    }

    #[test]
    fn a_semaphore_in_hand_may_be_the_outer_lock() {
        let mut story = Story::begun();
        for (tid, outer, inner) in [(2, A, B), (1, B, A)] {
            story.mark(tid, Op::SemTaken, C, 0, 1);
            nested(&mut story, tid, outer, inner, 20);
            story.mark(tid, Op::SemPosted, C, 0, 2);
        }
        assert_eq!(of(&story), None);
    }

    #[test]
    fn a_trylock_never_waits() {
        let mut story = Story::begun();
        nested(&mut story, 2, A, B, 20);
        story.lock(1, B, 30).mark(1, Op::MutexLocked, A, 2, 31).unlock(1, A).unlock(1, B);
        assert_eq!(of(&story), None);
    }

    #[test]
    fn before_the_workers_and_after_them_any_order_will_do() {
        let mut story = Story::default();
        nested(&mut story, 1, B, A, 30);
        story.push(2, What::Began);
        nested(&mut story, 2, A, B, 20);
        story.push(2, What::Ended);
        nested(&mut story, 1, B, A, 30);
        // The first and the last time the worker was not there, and each time is one of these two.
        assert_eq!(of(&story), None);
    }

    #[test]
    fn three_locks_may_make_a_ring_too() {
        let mut story = Story::begun();
        nested(&mut story, 1, A, B, 10);
        nested(&mut story, 2, B, C, 20);
        nested(&mut story, 3, C, A, 30);
        assert!(of(&story).unwrap().text.starts_with("3 locks"));
    }

    #[test]
    fn a_lock_that_was_made_anew_is_another_one() {
        let mut story = Story::begun();
        nested(&mut story, 2, A, B, 20);
        story.mark(1, Op::MutexDestroy, A, 0, 0).mark(1, Op::MutexInit, A, 0, 0);
        nested(&mut story, 1, B, A, 30);
        assert_eq!(of(&story), None);
    }

    #[test]
    fn who_comes_back_from_a_wait_takes_its_mutex_again() {
        let mut story = Story::begun();
        nested(&mut story, 1, A, B, 10);
        story.lock(2, A, 20).lock(2, B, 21).mark(2, Op::CondWait, 0xd0, A, 22);
        story.mark(2, Op::CondWoken, 0xd0, A, 22);
        assert!(of(&story).unwrap().place.contains("x.c:22"));
    }
}
