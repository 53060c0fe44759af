//! A signal by a thread that does not hold the mutex with which the condition variable is waited for.

use super::{Seen, Words, key, say};
use crate::{
    model::Note,
    probes::locks::{Deed, Step},
};
use std::collections::BTreeSet;

/// The first such signal.
pub(super) fn note(seen: &Seen, words: &Words<'_>) -> Option<Note> {
    let mut places = BTreeSet::new();
    let bare: Vec<&Step> =
        seen.history.steps.iter().filter(|step| is_bare(seen, step) && places.insert(step.caller)).collect();
    let first = *bare.first()?;
    say(
        key::SIGNAL,
        "signalled without the mutex that its waiters hold. POSIX allows it, and nothing is lost as long as what they wait \
         for was changed under that mutex; but Helgrind calls it an error wherever it sees it, and a waiter that is quick \
         may destroy the condition variable before you signal it. Signal first, then unlock."
            .to_owned(),
        words.place_of(first, "signalling", bare.len() - 1),
    )
}

fn is_bare(seen: &Seen, step: &Step) -> bool {
    let Deed::Signalled(cond) = step.deed else { return false };
    let mutexes = seen.mutexes_of(cond);
    let waited_for = |other: &Step| {
        matches!(other.deed, Deed::Waits { cond: of, .. } if of == cond)
            && other.tid != step.tid
            && seen.history.is_alive(other.tid, step.at)
    };
    !mutexes.is_empty()
        && !mutexes.iter().any(|mutex| step.holds(*mutex))
        && seen.history.steps.iter().any(waited_for)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::WORDS, *};
    use crate::probes::{
        interposer::Op,
        locks::tests::{MAIN, Story},
        tracer::event::What,
    };

    const QUEUE: u64 = 0xa0;
    const COND: u64 = 0xc0;

    fn of(story: &Story) -> Option<Note> {
        note(&Seen { history: story.read(), main: MAIN, ..Seen::default() }, &WORDS)
    }

    fn waiting() -> Story {
        let mut story = Story::begun();
        story.lock(2, QUEUE, 20).mark(2, Op::CondWait, COND, QUEUE, 21);
        story
    }

    #[test]
    fn a_signal_under_the_lock_is_right_and_one_after_it_is_noted() {
        let mut story = waiting();
        story.lock(1, QUEUE, 10).mark(1, Op::CondSignal, COND, 0, 11).unlock(1, QUEUE);
        assert_eq!(of(&story), None);
        story.mark(1, Op::CondBroadcast, COND, 0, 12).mark(1, Op::CondSignal, COND, 0, 13);
        let note = of(&story).unwrap();
        assert!(note.place.contains("x.c:12, and 1 more place"), "{}", note.place);
    }

    #[test]
    fn without_a_waiter_nobody_knows_which_lock_it_would_be() {
        let mut story = Story::begun();
        story.mark(1, Op::CondSignal, COND, 0, 11);
        assert_eq!(of(&story), None);
        let mut story = waiting();
        story.push(2, What::Ended);
        story.mark(1, Op::CondBroadcast, COND, 0, 11);
        assert_eq!(of(&story), None, "its waiters are gone");
    }
}
