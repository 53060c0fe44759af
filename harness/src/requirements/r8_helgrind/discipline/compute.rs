//! One lock around every computation: the workers then work one by one, however many there are.
//!
//! Seen in two ways. A worker is held at its first moment without a lock after it woke for a task: if the answer is there by
//! then, the task was computed under the lock with which it woke. And a task that burns processor time (`spin`, where the
//! server knows it) shows under which lock the time was used.

use super::{Full, Seen, Words, key, say};
use crate::{
    model::Note,
    probes::locks::{Deed, Object, Section, Step},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long a task is asked to burn, in milliseconds.
pub(in super::super) const SPIN_MS: u64 = 30;

/// A section that used so much processor time computes.
const MOST_OF_IT: Duration = Duration::from_millis(SPIN_MS * 2 / 3);

/// The lock that all workers compute under, if there is one.
pub(super) fn note(seen: &Seen, sections: &[Section], words: &Words<'_>) -> Option<Note> {
    let by_hold = || seen.full.as_ref().and_then(|full| answered_under_lock(seen, full));
    let (taken_at, count) = by_hold().or_else(|| burnt_under_lock(seen, sections))?;
    let workers = if count == 2 { "both workers".to_owned() } else { format!("all {count} workers") };
    say(
        key::COMPUTE,
        format!(
            "{workers} compute while they hold one and the same lock, taken{}: so only one of them works at a \
             time, and the others wait. Take the task, unlock, then compute.",
            words.at(taken_at)
        ),
        words.at(taken_at).trim_start_matches(" at ").to_owned(),
    )
}

/// Every held worker has kept the mutex with which it woke until it was held, rang meanwhile, and its client is answered.
fn answered_under_lock(seen: &Seen, full: &Full) -> Option<(u64, usize)> {
    if full.held.len() < 2 || full.answered < full.held.len() {
        return None;
    }
    let kept: Vec<(Object, u64)> =
        full.held.iter().filter_map(|tid| kept_since_waking(seen, full, *tid)).collect();
    let (lock, taken_at) = *kept.first()?;
    (kept.len() == full.held.len() && kept.iter().all(|(other, _)| *other == lock))
        .then_some((taken_at, kept.len()))
}

/// The mutex with which a worker woke, if its release is the last thing that the worker did.
fn kept_since_waking(seen: &Seen, full: &Full, tid: i32) -> Option<(Object, u64)> {
    let steps: Vec<&Step> =
        seen.history.steps.iter().filter(|s| s.tid == tid && (full.from..full.to).contains(&s.at)).collect();
    let (last, before) = steps.split_last()?;
    let Deed::Released(lock) = last.deed else { return None };
    let woke =
        before.iter().rposition(|step| matches!(step.deed, Deed::Woken { mutex, .. } if mutex == lock))?;
    let since = &before[woke + 1..];
    let kept = since.iter().all(|step| step.holds(lock))
        && !since.iter().any(|step| step.deed == Deed::Released(lock));
    let rang = since.iter().any(|step| seen.rings(&step.deed));
    (kept && rang).then_some((lock, before[woke].caller.unwrap_or_default()))
}

/// Every worker has used its processor time in sections of one lock.
fn burnt_under_lock(seen: &Seen, sections: &[Section]) -> Option<(u64, usize)> {
    let (from, to) = seen.spin?;
    let steps = &seen.history.steps;
    let mut burnt: BTreeMap<Object, (u64, BTreeSet<i32>)> = BTreeMap::new();
    for section in sections.iter().filter(|s| s.tid != seen.main && s.to < steps.len()) {
        let (begin, end) = (&steps[section.from], &steps[section.to]);
        let (Some(before), Some(after)) = (begin.cpu, end.cpu) else { continue };
        if begin.at >= from && end.at < to && after.saturating_sub(before) >= MOST_OF_IT {
            burnt.entry(section.lock).or_insert((section.taken_at, BTreeSet::new())).1.insert(section.tid);
        }
    }
    let workers = seen.full.as_ref().map_or(0, |full| full.held.len());
    burnt
        .into_values()
        .find(|(_, tids)| tids.len() >= 2 && tids.len() == workers)
        .map(|(taken_at, tids)| (taken_at, tids.len()))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::WORDS, *};
    use crate::probes::{
        interposer::Op,
        locks::tests::{MAIN, Story, WORKERS},
        tracer::{ledger::Kind, syscalls::Class},
    };

    const QUEUE: u64 = 0xa0;
    const OTHER: u64 = 0xb0;
    const COND: u64 = 0xc0;

    fn of(story: &Story, answered: usize) -> Option<Note> {
        let to = story.events().len();
        let full = Full { from: 2, to, held: WORKERS.into(), taken: 5, answered };
        let seen = Seen {
            history: story.read(),
            main: MAIN,
            kinds: vec![Kind::Eventfd],
            full: Some(full),
            spin: Some((0, to)),
            ..Seen::default()
        };
        note(&seen, &seen.history.sections(), &WORDS)
    }

    fn rings_under_lock() -> Story {
        let mut story = Story::begun();
        for tid in WORKERS {
            story.mark(tid, Op::CondWoken, COND, QUEUE, 20).lock(tid, OTHER, 21).unlock(tid, OTHER);
            story.call(tid, Class::Send, Some(0), 22).unlock(tid, QUEUE);
        }
        story
    }

    #[test]
    fn an_answer_before_the_first_moment_without_a_lock_was_computed_under_it() {
        let story = rings_under_lock();
        assert_eq!(of(&story, 2).unwrap().place, "x.c:20");
        // A ring alone may mean anything.
        assert_eq!(of(&story, 0), None);
    }

    #[test]
    fn a_worker_that_lets_go_in_between_may_have_computed_then() {
        let mut story = rings_under_lock();
        story.lock(2, QUEUE, 30).unlock(2, QUEUE);
        assert_eq!(of(&story, 2), None);
    }

    #[test]
    fn processor_time_under_one_lock_by_all_workers_is_a_computation() {
        let section = |lock: fn(i32) -> u64| {
            let mut story = Story::begun();
            for tid in WORKERS {
                story.lock(tid, lock(tid), 40).used(1).unlock(tid, lock(tid)).used(1 + SPIN_MS);
            }
            story
        };
        assert_eq!(of(&section(|_| OTHER), 0).unwrap().place, "x.c:40");
        assert_eq!(of(&section(|tid| OTHER + tid as u64), 0), None, "a lock for each");
        let mut short = Story::begun();
        for tid in WORKERS {
            short.lock(tid, OTHER, 40).used(1).unlock(tid, OTHER).used(2);
        }
        assert_eq!(of(&short, 0), None);
    }
}
