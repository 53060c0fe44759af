//! Which locks, condition variables and semaphores there were, and what became of them: read from the markers.

use crate::probes::interposer::{Marker, Op};
use std::collections::{BTreeMap, BTreeSet};

/// The sorts of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    Mutex,
    Cond,
    Sem,
    Rwlock,
}

impl Sort {
    /// One, or several.
    pub(super) fn words(self, count: usize) -> &'static str {
        match (self, count) {
            (Self::Mutex, 1) => "mutex",
            (Self::Mutex, _) => "mutexes",
            (Self::Cond, 1) => "condition variable",
            (Self::Cond, _) => "condition variables",
            (Self::Sem, 1) => "semaphore",
            (Self::Sem, _) => "semaphores",
            (Self::Rwlock, 1) => "read-write lock",
            (Self::Rwlock, _) => "read-write locks",
        }
    }
}

/// One object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thing {
    pub(super) sort: Sort,
    pub(super) address: u64,
    /// Where it was initialised, if by a call.
    pub(super) made_at: Option<u64>,
    /// Where it was first used.
    pub(super) used_at: Option<u64>,
    /// An attempt to destroy it was refused with this error.
    pub(super) refused: Option<i32>,
}

/// What a marker says of an object.
enum Deed {
    Made,
    Destroyed,
    /// Used; false if that proves nothing of an object that was destroyed: C libraries let it pass.
    Used(bool),
}

fn deed(marker: &Marker) -> Option<(Sort, Deed)> {
    /// What a spin lock says instead of 0.
    const SPIN: u64 = 1;
    Some(match marker.op {
        Op::MutexInit if marker.more == 0 => (Sort::Mutex, Deed::Made),
        Op::MutexDestroy => (Sort::Mutex, Deed::Destroyed),
        Op::MutexLocked if marker.more & SPIN == 0 => (Sort::Mutex, Deed::Used(true)),
        Op::CondInit if marker.more == 0 => (Sort::Cond, Deed::Made),
        Op::CondDestroy => (Sort::Cond, Deed::Destroyed),
        Op::CondWait | Op::CondTimedWait => (Sort::Cond, Deed::Used(true)),
        Op::CondSignal | Op::CondBroadcast => (Sort::Cond, Deed::Used(false)),
        Op::SemInit => (Sort::Sem, Deed::Made),
        Op::SemDestroy => (Sort::Sem, Deed::Destroyed),
        Op::SemTaken | Op::SemBlocked | Op::SemPosted => (Sort::Sem, Deed::Used(false)),
        Op::RwlockInit if marker.more == 0 => (Sort::Rwlock, Deed::Made),
        Op::RwlockDestroy => (Sort::Rwlock, Deed::Destroyed),
        Op::RwlockLocked => (Sort::Rwlock, Deed::Used(true)),
        _ => return None,
    })
}

/// The books over all objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    alive: BTreeMap<(Sort, u64), Thing>,
    /// Destroyed, and nothing new there since.
    gone: BTreeSet<(Sort, u64)>,
    /// Used and never destroyed, and something else is at their place by now.
    lost: Vec<Thing>,
    /// How many were used and destroyed.
    pub(super) destroyed: usize,
}

impl Books {
    /// Reads one marker. `own`: the submission's own code made the call; what libraries use is their business.
    pub(super) fn note(&mut self, marker: &Marker, own: bool) {
        let Some((sort, deed)) = deed(marker) else { return };
        let place = (sort, marker.object);
        let new = Thing { sort, address: marker.object, made_at: None, used_at: None, refused: None };
        match deed {
            Deed::Made => {
                self.gone.remove(&place);
                let old = self.alive.insert(place, Thing { made_at: Some(marker.caller), ..new });
                self.lost.extend(old.filter(|old| old.used_at.is_some()));
            }
            Deed::Destroyed if marker.more == 0 => {
                let old = self.alive.remove(&place);
                self.destroyed += usize::from(old.is_some_and(|old| old.used_at.is_some()));
                self.gone.insert(place);
            }
            Deed::Destroyed => {
                if let Some(thing) = self.alive.get_mut(&place) {
                    thing.refused = Some(marker.more as i32);
                }
            }
            Deed::Used(_) if !own => {}
            // A semaphore that nobody initialised has a name (sem_open), and is not destroyed but closed.
            Deed::Used(_) if sort == Sort::Sem && !self.alive.contains_key(&place) => {}
            Deed::Used(false) if self.gone.contains(&place) => {}
            Deed::Used(_) => {
                self.gone.remove(&place);
                self.alive.entry(place).or_insert(new).used_at.get_or_insert(marker.caller);
            }
        }
    }

    /// Everything that was used and not destroyed.
    pub(super) fn left(&self) -> Vec<Thing> {
        let alive = self.alive.values().filter(|thing| thing.used_at.is_some());
        self.lost.iter().chain(alive).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EBUSY: u64 = libc::EBUSY as u64;

    /// The books after these operations on these objects, each with its extra word.
    fn after(markers: &[(Op, u64, u64)]) -> Books {
        let mut books = Books::default();
        for (op, object, more) in markers {
            let marker = Marker { op: *op, c11: false, object: *object, more: *more, caller: 0x400 };
            books.note(&marker, true);
        }
        books
    }

    fn left(markers: &[(Op, u64, u64)]) -> usize {
        after(markers).left().len()
    }

    #[test]
    fn used_means_to_be_destroyed() {
        use Op::*;
        assert_eq!(left(&[(MutexInit, 1, 0), (MutexLocked, 1, 0), (MutexDestroy, 1, 0)]), 0);
        assert_eq!(left(&[(MutexInit, 1, 0), (MutexLocked, 1, 0)]), 1);
        assert_eq!(left(&[(MutexLocked, 1, 0)]), 1, "a static initialiser makes a mutex too");
        assert_eq!(left(&[(MutexInit, 1, 0), (CondInit, 2, 0), (SemInit, 3, 5)]), 0, "never used");
        assert_eq!(left(&[(CondSignal, 2, 0)]), 1);
        assert_eq!(left(&[(SemInit, 3, 5), (SemPosted, 3, 0)]), 1);
        assert_eq!(left(&[(RwlockLocked, 4, 1)]), 1);
    }

    #[test]
    fn a_destruction_that_was_refused_is_none() {
        let books = after(&[(Op::MutexLocked, 1, 0), (Op::MutexDestroy, 1, EBUSY)]);
        assert_eq!(books.left()[0].refused, Some(libc::EBUSY));
        assert_eq!(
            left(&[(Op::MutexLocked, 1, 0), (Op::MutexDestroy, 1, EBUSY), (Op::MutexDestroy, 1, 0)]),
            0
        );
    }

    #[test]
    fn memory_that_is_used_again_does_not_hide_what_was_there() {
        use Op::*;
        let round = [(MutexInit, 1, 0), (MutexLocked, 1, 0)];
        assert_eq!(left(&[round, round].concat()), 2);
        assert_eq!(left(&[&round[..], &[(MutexDestroy, 1, 0)], &round, &[(MutexDestroy, 1, 0)]].concat()), 0);
        assert_eq!(left(&[(MutexInit, 1, 0), (MutexInit, 1, 0)]), 0, "the first was never used");
        assert_eq!(left(&[&round[..], &[(MutexDestroy, 1, 0)], &round].concat()), 1);
    }

    #[test]
    fn what_is_no_mutex_of_the_submission_does_not_count() {
        use Op::*;
        assert_eq!(left(&[(MutexLocked, 1, 1), (MutexUnlocked, 1, 0)]), 0, "a spin lock");
        assert_eq!(left(&[(SemTaken, 3, 0)]), 0, "a semaphore with a name");
        let late = [(CondSignal, 2, 0), (CondDestroy, 2, 0), (CondSignal, 2, 0)];
        assert_eq!(left(&late), 0, "a signal to a condition variable that is gone makes no new one");
        let mut books = Books::default();
        let marker = Marker { op: MutexLocked, c11: false, object: 1, more: 0, caller: 0x7f00 };
        books.note(&marker, false);
        assert!(books.left().is_empty(), "a library's");
    }
}
