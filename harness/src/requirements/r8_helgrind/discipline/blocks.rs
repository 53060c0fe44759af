//! Something that may take long, done while holding a lock that others need for something else.
//!
//! A lock whose every section does such a thing is that thing's own (a lock around a log, the place of the one worker that
//! waits for work): about those nothing is said.

use super::{Seen, Words, key, say};
use crate::{
    model::Note,
    probes::{
        locks::{Deed, Held, Object, Section, Step},
        tracer::{ledger::Kind, syscalls::Class},
    },
};
use std::collections::BTreeSet;

/// What I/O is about: the locks of the one do not belong to the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Io {
    /// Sockets that lead to clients.
    Socket,
    /// Waiting for any descriptor.
    Epoll,
    /// What the ledger does not know: a file, a terminal.
    File(i32),
}

impl Io {
    fn of(seen: &Seen, deed: &Deed) -> Option<Self> {
        let Deed::Calls { name, class, fd, limit, object, result } = *deed else { return None };
        if result == -i64::from(libc::EBADF) {
            return None;
        }
        match (class, seen.kind(deed)) {
            (Class::Send | Class::Receive | Class::Accept, Some(kind)) if kind.is_socket() => {
                Some(Self::Socket)
            }
            // With a time limit of zero it is only a look. epoll_pwait2 has its limit in memory that was not read.
            (Class::EpollWait, _) if name != "epoll_pwait2" && limit as i32 != 0 => Some(Self::Epoll),
            (Class::Send | Class::Receive, None) if object.is_none() => Some(Self::File(fd)),
            _ => None,
        }
    }

    fn words(self, seen: &Seen, deed: &Deed) -> &'static str {
        match self {
            Self::Socket => match seen.kind(deed) {
                Some(Kind::Connection(_)) => " on a client's socket",
                Some(Kind::Listener) => " on the listener",
                _ => " on a socket",
            },
            Self::Epoll => "",
            Self::File(1 | 2) => " to the standard output or error",
            Self::File(_) => " on a file",
        }
    }
}

/// What is done, under which lock, and who needs that lock too.
struct Hit<'a> {
    step: &'a Step,
    held: Held,
    other: Section,
}

/// System calls that move bytes or wait, under a lock.
pub(super) fn io(seen: &Seen, sections: &[Section], words: &Words<'_>) -> Option<Note> {
    let waited_with: BTreeSet<Object> = seen
        .history
        .steps
        .iter()
        .filter_map(|step| match step.deed {
            Deed::Waits { mutex, .. } => Some(mutex),
            _ => None,
        })
        .collect();
    let hits = places(seen, |step, held| {
        let io = Io::of(seen, &step.deed)?;
        // A lock around a buffered log is taken more often than the log is written. It is not waited with.
        if matches!(io, Io::File(_)) && !waited_with.contains(&held.lock) {
            return None;
        }
        let same = |other: &Step| Io::of(seen, &other.deed) == Some(io);
        seen.foreign(sections, held.lock, step, same).copied()
    });
    let first = hits.first()?;
    let Deed::Calls { name, .. } = first.step.deed else { return None };
    let io = Io::of(seen, &first.step.deed)?;
    let what = format!("{name}{}", io.words(seen, &first.step.deed));
    say(
        key::IO,
        format!(
            "{what} while holding the lock that was taken{}: {} takes the same lock{} for something else, and \
             would wait for the kernel meanwhile. Take what you need under the lock, unlock, then make the call.",
            words.at(first.held.taken_at),
            (words.name)(first.other.tid),
            words.at(first.other.taken_at),
        ),
        words.place_of(first.step, name, hits.len() - 1),
    )
}

/// Waits for other threads, under a lock that is not part of the wait.
pub(super) fn waits(seen: &Seen, sections: &[Section], words: &Words<'_>) -> Option<Note> {
    let hits = places(seen, |step, held| {
        let own: Box<dyn Fn(&Step) -> bool> = match step.deed {
            Deed::Waits { mutex, .. } if mutex == held.lock => return None,
            Deed::Waits { cond, mutex } => Box::new(move |other| match other.deed {
                Deed::Waits { cond: of, .. } | Deed::Signalled(of) => of == cond,
                Deed::Took { lock, .. } => lock == mutex,
                _ => false,
            }),
            Deed::Blocks(sem) if is_signal(seen, sem) => Box::new(
                move |other| matches!(other.deed, Deed::Blocks(of) | Deed::Down(of) | Deed::Up(of) if of == sem),
            ),
            Deed::Joins => Box::new(|_| false),
            _ => return None,
        };
        seen.foreign(sections, held.lock, step, own).copied()
    });
    let first = hits.first()?;
    let (what, call) = match first.step.deed {
        Deed::Waits { .. } => ("waits for a condition variable", "waiting for a condition variable"),
        Deed::Blocks(_) => ("waits for a semaphore", "waiting for a semaphore"),
        _ => ("waits for a thread to end", "joining a thread"),
    };
    say(
        key::WAIT,
        format!(
            "{what} while holding another lock, taken{}: nobody gets that one until the wait is over, and {} takes it{}. \
             If what is waited for ever needs that lock, both wait for good.",
            words.at(first.held.taken_at),
            (words.name)(first.other.tid),
            words.at(first.other.taken_at),
        ),
        words.place_of(first.step, call, hits.len() - 1),
    )
}

/// The places at which something is done under a lock of others, the first time for each.
fn places<'a>(seen: &'a Seen, find: impl Fn(&Step, &Held) -> Option<Section>) -> Vec<Hit<'a>> {
    let mut tried = BTreeSet::new();
    let mut found = BTreeSet::new();
    let mut hits = Vec::new();
    for step in &seen.history.steps {
        for held in &step.held {
            // The same call under the same lock by the same thread: once is enough.
            if !tried.insert((step.tid, step.caller, kind_of(&step.deed), held.lock)) {
                continue;
            }
            if let Some(other) = find(step, held)
                && found.insert(step.caller)
            {
                hits.push(Hit { step, held: *held, other });
            }
        }
    }
    hits
}

fn kind_of(deed: &Deed) -> (u8, i32) {
    match deed {
        Deed::Calls { class, fd, .. } => (*class as u8, *fd),
        Deed::Waits { .. } => (u8::MAX, 0),
        Deed::Blocks(_) => (u8::MAX, 1),
        Deed::Joins => (u8::MAX, 2),
        _ => (u8::MAX, 3),
    }
}

/// Whether a semaphore is posted by threads that have not taken it: then to wait for it is to wait for them. Otherwise it
/// may be a lock.
fn is_signal(seen: &Seen, sem: Object) -> bool {
    seen.history.steps.iter().any(|step| step.deed == Deed::Up(sem) && !step.beside.contains(&sem))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::WORDS, *};
    use crate::probes::{
        interposer::Op,
        locks::tests::{MAIN, Story},
    };

    const QUEUE: u64 = 0xa0;
    const LOG: u64 = 0xb0;
    const COND: u64 = 0xc0;
    const CLIENT: usize = 0;
    const EVENTFD: usize = 1;

    fn seen(story: &Story) -> Seen {
        let kinds = vec![Kind::Connection(None), Kind::Eventfd];
        Seen { history: story.read(), main: MAIN, kinds, ..Seen::default() }
    }

    fn io_of(story: &Story) -> Option<Note> {
        let seen = seen(story);
        io(&seen, &seen.history.sections(), &WORDS)
    }

    fn wait_of(story: &Story) -> Option<Note> {
        let seen = seen(story);
        waits(&seen, &seen.history.sections(), &WORDS)
    }

    #[test]
    fn a_send_under_the_queues_lock_is_noted_with_both_places() {
        let mut story = Story::begun();
        story.lock(2, QUEUE, 20).unlock(2, QUEUE);
        story.lock(1, QUEUE, 10).call(1, Class::Send, Some(CLIENT), 11).unlock(1, QUEUE);
        let note = io_of(&story).unwrap();
        assert_eq!(note.key, key::IO);
        assert!(note.text.contains("x.c:10") && note.text.contains("thread 2 takes"), "{}", note.text);
        assert!(note.place.contains("x.c:11"), "{}", note.place);
    }

    #[test]
    fn a_lock_that_nobody_else_takes_delays_nobody() {
        let mut story = Story::begun();
        story.lock(1, QUEUE, 10).call(1, Class::Send, Some(CLIENT), 11).unlock(1, QUEUE);
        assert_eq!(io_of(&story), None);
    }

    #[test]
    fn an_eventfd_may_be_written_under_the_lock() {
        let mut story = Story::begun();
        story.lock(1, QUEUE, 10).unlock(1, QUEUE);
        story.lock(2, QUEUE, 20).call(2, Class::Send, Some(EVENTFD), 21).unlock(2, QUEUE);
        assert_eq!(io_of(&story), None);
    }

    #[test]
    fn a_lock_around_a_log_is_the_logs_own_but_the_queues_lock_is_not() {
        let mut story = Story::begun();
        story.lock(2, LOG, 20).call(2, Class::Send, None, 21).unlock(2, LOG);
        // Buffered: this time there is nothing to write yet.
        story.lock(1, LOG, 20).unlock(1, LOG);
        assert_eq!(io_of(&story), None);
        let (wait, woken) = (Op::CondWait, Op::CondWoken);
        story.lock(2, QUEUE, 30).mark(2, wait, COND, QUEUE, 31).mark(2, woken, COND, QUEUE, 31);
        story.call(2, Class::Send, None, 32).unlock(2, QUEUE).lock(1, QUEUE, 12).unlock(1, QUEUE);
        assert!(io_of(&story).unwrap().place.contains("x.c:32"));
    }

    #[test]
    fn a_wait_with_its_own_mutex_is_as_it_should_be_and_one_under_another_is_not() {
        let wait = |story: &mut Story| {
            story.mark(2, Op::CondWait, COND, QUEUE, 31).mark(2, Op::CondWoken, COND, QUEUE, 31);
        };
        let mut story = Story::begun();
        story.lock(1, LOG, 10).unlock(1, LOG).lock(1, QUEUE, 11).unlock(1, QUEUE).lock(2, QUEUE, 30);
        wait(&mut story);
        story.unlock(2, QUEUE);
        assert_eq!(wait_of(&story), None);
        story.lock(2, LOG, 29).lock(2, QUEUE, 30);
        wait(&mut story);
        let note = wait_of(&story).unwrap();
        assert!(note.text.contains("x.c:29") && note.text.contains("takes it at x.c:10"), "{}", note.text);
    }

    #[test]
    fn the_place_of_the_one_worker_that_waits_is_the_waits_own_lock() {
        let mut story = Story::begun();
        for tid in [2, 3] {
            story.lock(tid, LOG, 29).lock(tid, QUEUE, 30);
            if tid == 2 {
                story.mark(2, Op::CondWait, COND, QUEUE, 31).mark(2, Op::CondWoken, COND, QUEUE, 31);
            }
            story.unlock(tid, QUEUE).unlock(tid, LOG);
        }
        assert_eq!(wait_of(&story), None);
    }

    #[test]
    fn a_join_under_a_lock_of_the_living_is_noted() {
        let mut story = Story::begun();
        story.lock(2, QUEUE, 20).unlock(2, QUEUE).lock(1, QUEUE, 10).mark(1, Op::JoinBegin, 7, 0, 11);
        assert!(wait_of(&story).unwrap().text.starts_with("waits for a thread to end"));
    }

    #[test]
    fn a_semaphore_used_as_a_lock_is_no_wait() {
        let mut story = Story::begun();
        let sem = 0x50;
        story.lock(2, QUEUE, 20).unlock(2, QUEUE);
        story.lock(1, QUEUE, 10).mark(1, Op::SemBlocked, sem, 0, 11).mark(1, Op::SemTaken, sem, 0, 11);
        story.mark(1, Op::SemPosted, sem, 0, 12).unlock(1, QUEUE);
        assert_eq!(wait_of(&story), None);
        story.mark(2, Op::SemPosted, sem, 0, 21);
        assert!(wait_of(&story).is_some());
    }
}
