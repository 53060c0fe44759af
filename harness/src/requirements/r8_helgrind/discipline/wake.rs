//! A wait for a condition variable that is not repeated when it ends for nothing (`if` for `while`).
//!
//! The wait of a chosen thread is made to end though nobody has signalled, while nothing that it waits for can have changed.
//! A right thread looks again and waits again.

use super::{Seen, Words, key, say};
use crate::{
    model::Note,
    probes::{
        locks::{Deed, Object, Step},
        session::signal_name,
        tracer::{ledger::Kind, syscalls::Class},
    },
};
use std::mem::Discriminant;

/// How a worker went on as if there had been a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Astray {
    HandedBack,
    Killed(i32),
    Exited,
    Ended,
}

/// What the first wake-up led to that was not checked.
pub(super) fn note(seen: &Seen, words: &Words<'_>) -> Option<Note> {
    let (woken, went_on) = worker(seen).or_else(|| producer(seen))?;
    let died = match &seen.died {
        Some(signal) if !went_on.contains(signal.as_str()) => {
            format!(", and in the end {signal} killed the server")
        }
        _ => String::new(),
    };
    say(
        key::WAKE,
        format!(
            "POSIX allows a wait for a condition variable to end though nobody has signalled. This one was made to, and was \
             not repeated: {went_on}{died}. Write while (there is nothing) wait, never if."
        ),
        words.place_of(woken, "waiting for a condition variable", 0),
    )
}

/// A worker that was woken while there was no task.
fn worker(seen: &Seen) -> Option<(&Step, String)> {
    let (from, to) = seen.spin?;
    let woken = seen.history.steps.iter().filter(|step| {
        let spurious = matches!(step.deed, Deed::Woken { spurious: true, .. });
        spurious && step.tid != seen.main && (from..to).contains(&step.at)
    });
    woken.into_iter().find_map(|step| {
        let words = match astray(seen, step, to)? {
            Astray::HandedBack => {
                "the worker went on as if it had a task, and handed back one that nobody had sent".to_owned()
            }
            Astray::Killed(signal) => format!("the worker went on, and crashed with {}", signal_name(signal)),
            Astray::Exited => "the worker ended the whole process".to_owned(),
            Astray::Ended => "the worker went home, and the pool is one smaller from then on".to_owned(),
        };
        Some((step, words))
    })
}

fn astray(seen: &Seen, woken: &Step, to: usize) -> Option<Astray> {
    let Deed::Woken { cond, .. } = woken.deed else { return None };
    let own = || seen.history.steps.iter().filter(|step| step.tid == woken.tid && step.at < to);
    let after = || own().filter(|step| step.at > woken.at);
    let way: Vec<&Step> = after().take_while(|step| !waits_for(step, cond)).collect();
    let fatal = [libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGFPE, libc::SIGILL];
    for step in &way {
        match step.deed {
            Deed::Got(signal) if fatal.contains(&signal) => return Some(Astray::Killed(signal)),
            Deed::Exits => return Some(Astray::Exited),
            // At the end of the process everybody ends.
            Deed::Ended if seen.history.is_alive(seen.main, to) => return Some(Astray::Ended),
            _ => {}
        }
    }
    // The way from waking to handing back, as this worker went it with its last task.
    let before: Vec<&Step> = own().filter(|step| step.at < woken.at).collect();
    let woke = before
        .iter()
        .rposition(|step| matches!(step.deed, Deed::Woken { cond: of, spurious: false, .. } if of == cond))?;
    let usual: Vec<&Step> =
        before[woke + 1..].iter().copied().take_while(|step| !waits_for(step, cond)).collect();
    // The last ring: the first may say no more than that a worker is awake.
    let rang = usual.iter().rposition(|step| seen.rings(&step.deed)).filter(|rang| *rang > 0)?;
    let same =
        way.len() > rang && way.iter().zip(&usual[..=rang]).all(|(one, other)| mark(one) == mark(other));
    same.then_some(Astray::HandedBack)
}

fn waits_for(step: &Step, cond: Object) -> bool {
    matches!(step.deed, Deed::Waits { cond: of, .. } if of == cond)
}

/// What was done, and where.
fn mark(step: &Step) -> (Discriminant<Deed>, Option<u64>) {
    (std::mem::discriminant(&step.deed), step.caller)
}

/// The main thread, woken while the queue was full: without the wake-up it kept to the bound, with it it did not.
fn producer(seen: &Seen) -> Option<(&Step, String)> {
    let (before, after) = (seen.full.as_ref()?, seen.full_again.as_ref()?);
    let woken = seen.history.steps.iter().find(|step| {
        let spurious = matches!(step.deed, Deed::Woken { spurious: true, .. });
        spurious && step.tid == seen.main && (after.from..after.to).contains(&step.at)
    })?;
    let Deed::Woken { cond, .. } = woken.deed else { return None };
    // It reads the next request before it waits again.
    let next = seen.history.steps.iter().find(|step| {
        let reads = matches!(step.deed, Deed::Calls { class: Class::Receive, .. })
            && seen.kind(&step.deed).is_some_and(Kind::is_socket);
        step.tid == seen.main && step.at > woken.at && (reads || waits_for(step, cond))
    })?;
    let went_on = !waits_for(next, cond) && next.at < after.to;
    // An answer says that some worker was not held and has made room.
    let quiet = before.answered == 0 && after.answered == 0;
    let same = before.held.len() == after.held.len() && !after.held.is_empty();
    let fits = seen.fits;
    (went_on && quiet && same && before.taken <= fits && after.taken > fits).then(|| {
        let words = format!(
            "the main thread pushed into a full queue; {} requests were taken off the sockets where {fits} fit",
            after.taken
        );
        (woken, words)
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Full, tests::WORDS},
        *,
    };
    use crate::probes::{
        interposer::Op,
        locks::tests::{MAIN, Story},
        tracer::event::What,
    };

    const QUEUE: u64 = 0xa0;
    const COND: u64 = 0xc0;

    fn seen(story: &Story) -> Seen {
        let to = story.events().len();
        let kinds = vec![Kind::Eventfd];
        Seen { history: story.read(), main: MAIN, kinds, spin: Some((0, to)), ..Seen::default() }
    }

    fn wait(story: &mut Story, tid: i32, spurious: bool) {
        story.mark(tid, Op::CondWait, COND, QUEUE, 20);
        if spurious {
            story.push(tid, What::Spurious);
        }
        story.mark(tid, Op::CondWoken, COND, QUEUE, 20);
    }

    fn task(story: &mut Story) {
        story.unlock(2, QUEUE).call(2, Class::Send, Some(0), 22).lock(2, QUEUE, 19);
    }

    /// A worker that has done one task and is then woken for nothing.
    fn woken() -> Story {
        let mut story = Story::begun();
        story.lock(2, QUEUE, 19);
        wait(&mut story, 2, false);
        task(&mut story);
        wait(&mut story, 2, true);
        story
    }

    #[test]
    fn a_worker_that_waits_again_is_right() {
        let mut story = woken();
        story.mark(2, Op::CondWait, COND, QUEUE, 20);
        assert_eq!(note(&seen(&story), &WORDS), None);
        // So is one that says each time that it is awake, before it looks.
        let mut story = Story::begun();
        story.lock(2, QUEUE, 19);
        for spurious in [false, true] {
            wait(&mut story, 2, spurious);
            story.call(2, Class::Send, Some(0), 21);
            if !spurious {
                task(&mut story);
            }
        }
        story.mark(2, Op::CondWait, COND, QUEUE, 20);
        assert_eq!(note(&seen(&story), &WORDS), None);
        // So is one that unlocks, says something and locks again first.
        let mut story = woken();
        story.unlock(2, QUEUE).call(2, Class::Send, None, 50).lock(2, QUEUE, 19);
        story.mark(2, Op::CondWait, COND, QUEUE, 20);
        assert_eq!(note(&seen(&story), &WORDS), None);
    }

    #[test]
    fn a_worker_that_hands_back_what_nobody_has_sent_is_not() {
        let mut story = woken();
        task(&mut story);
        let note = note(&seen(&story), &WORDS).unwrap();
        assert!(note.text.contains("handed back one that nobody"), "{}", note.text);
        assert!(note.place.contains("x.c:20"), "{}", note.place);
    }

    #[test]
    fn one_that_goes_home_or_crashes_is_not_either() {
        let mut home = woken();
        home.unlock(2, QUEUE).push(2, What::Ended);
        assert!(note(&seen(&home), &WORDS).unwrap().text.contains("went home"));
        let mut crash = woken();
        crash.unlock(2, QUEUE).push(2, What::Signal(libc::SIGSEGV));
        assert!(note(&seen(&crash), &WORDS).unwrap().text.contains("SIGSEGV"));
    }

    #[test]
    fn when_the_whole_process_ends_no_single_thread_went_home() {
        let mut story = woken();
        story.push(2, What::Ended);
        story.push(MAIN, What::Ended);
        let mut seen = seen(&story);
        seen.spin = Some((0, story.events().len() + 1));
        assert_eq!(note(&seen, &WORDS), None);
    }

    #[test]
    fn a_main_thread_that_pushes_beyond_the_bound_is_seen_by_what_it_takes() {
        let mut story = Story::begun();
        story.lock(1, QUEUE, 19);
        wait(&mut story, 1, true);
        let mut patient = Story::begun();
        patient.lock(1, QUEUE, 19);
        wait(&mut patient, 1, true);
        wait(&mut patient, 1, false);
        for story in [&mut story, &mut patient] {
            story.unlock(1, QUEUE).call(1, Class::Receive, Some(1), 50);
        }
        let full = |taken, answered| Some(Full { from: 0, to: 10, held: vec![2, 3], taken, answered });
        let with = |story: &Story, before, after, answered| {
            let kinds = vec![Kind::Eventfd, Kind::Connection(None)];
            let (full, full_again) = (full(before, 0), full(after, answered));
            note(&Seen { fits: 5, full, full_again, kinds, ..seen(story) }, &WORDS)
        };
        assert_eq!(with(&story, 5, 5, 0), None);
        let text = with(&story, 5, 6, 0).unwrap().text;
        assert!(text.contains("6 requests were taken off the sockets where 5 fit"), "{text}");
        assert_eq!(with(&story, 6, 7, 0), None, "there is no bound anyway");
        assert_eq!(with(&story, 5, 6, 1), None, "a worker was not held");
        assert_eq!(with(&patient, 5, 6, 0), None, "it has waited again");
    }
}
