//! Lock discipline: habits that cost no points today. Pure functions from a history to notes; each is certain or silent.

mod blocks;
mod compute;
mod order;
mod signal;
mod wake;

pub(super) use compute::SPIN_MS;

use crate::{
    model::Note,
    probes::{
        locks::{Deed, History, Object, Section, Step},
        tracer::{ledger::Kind, syscalls::Class},
    },
};
use std::collections::BTreeSet;

/// The keys of the notes, as manifests and reports name them.
pub(super) mod key {
    /// I/O while holding a lock that others need for something else.
    pub(in super::super) const IO: &str = "io-under-lock";
    /// A wait while holding such a lock.
    pub(in super::super) const WAIT: &str = "wait-under-lock";
    /// Locks taken in both orders.
    pub(in super::super) const ORDER: &str = "lock-order";
    /// One lock around every computation.
    pub(in super::super) const COMPUTE: &str = "computes-under-lock";
    /// A signal by a thread that does not hold the waiters' mutex.
    pub(in super::super) const SIGNAL: &str = "signal-without-lock";
    /// A wait that is not repeated when it ends for nothing.
    pub(in super::super) const WAKE: &str = "unchecked-wake-up";
}

/// What was done to a server, and what it did.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// What its threads did.
    pub(super) history: History,
    /// The main thread.
    pub(super) main: i32,
    /// What its descriptors stood for.
    pub(super) kinds: Vec<Kind>,
    /// How many requests may be off the sockets while all workers are held.
    pub(super) fits: usize,
    /// All workers held, more requests than fit; then the same with the main thread's wait made to end for nothing.
    pub(super) full: Option<Full>,
    pub(super) full_again: Option<Full>,
    /// The places in the stream between which each worker had one `spin` in hand and its next wait ended for nothing.
    pub(super) spin: Option<(usize, usize)>,
    /// The signal that killed the server in the end, if one did.
    pub(super) died: Option<String>,
}

/// A moment at which all workers were held, and everything else had come to rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Full {
    /// The places in the stream between which it was built up.
    pub(super) from: usize,
    pub(super) to: usize,
    /// The held workers.
    pub(super) held: Vec<i32>,
    /// Requests that had been taken off the sockets.
    pub(super) taken: usize,
    /// Requests that had been answered.
    pub(super) answered: usize,
}

/// How threads and addresses are called.
pub(super) struct Words<'a> {
    /// `worker 2 (tid 4711)`.
    pub(super) name: &'a dyn Fn(i32) -> String,
    /// `file.c:12 (function)`.
    pub(super) place: &'a dyn Fn(u64) -> Option<String>,
}

impl Words<'_> {
    /// ` at file.c:12 (function)`, or nothing.
    fn at(&self, caller: u64) -> String {
        (self.place)(caller).map_or_else(String::new, |place| format!(" at {place}"))
    }

    fn step_at(&self, step: &Step) -> String {
        self.at(step.caller.unwrap_or_default())
    }

    /// `worker 2 (tid 4711), write at file.c:12 (function)`, and how many more such places there are.
    fn place_of(&self, step: &Step, what: &str, more: usize) -> String {
        let more = match more {
            0 => String::new(),
            1 => ", and 1 more place".to_owned(),
            n => format!(", and {n} more places"),
        };
        format!("{}, {what}{}{more}", (self.name)(step.tid), self.step_at(step))
    }
}

/// Every note that these observations deserve, one of a kind at most.
pub(super) fn notes(seen: &Seen, words: &Words<'_>) -> Vec<Note> {
    let sections = seen.history.sections();
    let found = [
        blocks::io(seen, &sections, words),
        blocks::waits(seen, &sections, words),
        order::note(seen, words),
        compute::note(seen, &sections, words),
        signal::note(seen, words),
        wake::note(seen, words),
    ];
    found.into_iter().flatten().collect()
}

fn say(key: &str, text: String, place: String) -> Option<Note> {
    Some(Note { key: key.to_owned(), text, place })
}

impl Seen {
    fn kind(&self, deed: &Deed) -> Option<Kind> {
        match deed {
            Deed::Calls { object: Some(id), .. } => self.kinds.get(*id).copied(),
            _ => None,
        }
    }

    /// Whether this is a write to an eventfd, by which a worker says that something is finished.
    fn rings(&self, deed: &Deed) -> bool {
        matches!(deed, Deed::Calls { class: Class::Send, .. }) && self.kind(deed) == Some(Kind::Eventfd)
    }

    /// The mutexes with which threads wait for a condition variable.
    fn mutexes_of(&self, cond: Object) -> BTreeSet<Object> {
        let mutex = |step: &Step| match step.deed {
            Deed::Waits { cond: of, mutex } if of == cond => Some(mutex),
            _ => None,
        };
        self.history.steps.iter().filter_map(mutex).collect()
    }

    /// A section of this lock, of another thread that was alive at this step, in which it did nothing of the kind.
    fn foreign<'a>(
        &self,
        sections: &'a [Section],
        lock: Object,
        step: &Step,
        own: impl Fn(&Step) -> bool,
    ) -> Option<&'a Section> {
        sections.iter().find(|section| {
            section.lock == lock
                && section.tid != step.tid
                && self.history.is_alive(section.tid, step.at)
                && !self.history.inside(section).any(&own)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A caller is a line of `x.c`.
    pub(super) fn line(caller: u64) -> Option<String> {
        Some(format!("x.c:{caller}"))
    }

    pub(super) fn name(tid: i32) -> String {
        format!("thread {tid}")
    }

    pub(super) const WORDS: Words<'static> = Words { name: &name, place: &line };
}
