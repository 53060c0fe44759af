//! Who held which lock when: the stream of events, read as what each thread did and which locks it had in hand.
//!
//! Only locks that keep everybody else out count: mutexes, and read-write locks taken for writing.

mod read;

use super::tracer::{event::Event, ledger::ObjectId, syscalls::Class};
use std::{collections::BTreeMap, time::Duration};

/// More events than this are made by a server that goes round in circles; what they hold is not read.
const MOST_EVENTS: usize = 50_000;

/// A lock or a condition variable. The same address after a destruction or a new initialisation is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// Where it lies.
    pub address: u64,
    life: u32,
}

/// A lock in a thread's hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub lock: Object,
    /// Where it was taken: the address to which that call returns.
    pub taken_at: u64,
}

/// What a thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Took a lock that it did not hold; `patiently` if it would have waited for it as long as it takes.
    Took {
        /// The lock.
        lock: Object,
        /// Not by a trylock, nor with a deadline.
        patiently: bool,
    },
    /// Released a lock.
    Released(Object),
    /// Is about to wait for a condition variable, which releases the mutex.
    Waits {
        /// The condition variable.
        cond: Object,
        /// The mutex.
        mutex: Object,
    },
    /// Is back from that wait and holds the mutex again. `spurious`: it was made to end though nobody had signalled.
    Woken {
        /// The condition variable.
        cond: Object,
        /// The mutex.
        mutex: Object,
        /// Made to end by the tracer.
        spurious: bool,
    },
    /// Signalled one waiter or all.
    Signalled(Object),
    /// Is about to wait for a semaphore that is zero.
    Blocks(Object),
    /// Took a semaphore.
    Down(Object),
    /// Posted a semaphore.
    Up(Object),
    /// Is about to join a thread.
    Joins,
    /// Made a traced system call.
    Calls {
        /// Its name.
        name: &'static str,
        /// What it does.
        class: Class,
        /// Its first argument.
        fd: i32,
        /// Its fourth, where epoll_wait has its time limit.
        limit: u64,
        /// What the descriptor stood for.
        object: Option<ObjectId>,
        /// Minus the error number if it failed.
        result: i64,
    },
    /// Got this signal.
    Got(i32),
    /// Ended the whole process.
    Exits,
    /// Ended.
    Ended,
}

/// A deed with its circumstances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its place in the stream of events.
    pub at: usize,
    /// Who.
    pub tid: i32,
    /// What.
    pub deed: Deed,
    /// Where: the address in the submission's code to which the call returns.
    pub caller: Option<u64>,
    /// The locks in the thread's hand just before, in the order in which they were taken.
    pub held: Vec<Held>,
    /// What else it had in hand that may keep others out: semaphores, and locks taken for reading.
    pub beside: Vec<Object>,
    /// The processor time that the thread had used, where the tracer looked.
    pub cpu: Option<Duration>,
}

impl Step {
    /// Whether the thread had this lock in hand just before.
    pub fn holds(&self, lock: Object) -> bool {
        self.held.iter().any(|held| held.lock == lock)
    }
}

/// What happened, and who lived when.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What the threads did, in order.
    pub steps: Vec<Step>,
    /// First and last place in the stream at which a thread was alive.
    lives: BTreeMap<i32, (usize, usize)>,
}

impl History {
    /// Reads the stream of a server with this main thread, and these threads beside it.
    pub fn read(events: &[Event], main: i32, workers: &[i32]) -> Self {
        let mut reader = read::Reader::default();
        reader.history.lives.insert(main, (0, usize::MAX));
        for (at, event) in events.iter().take(MOST_EVENTS).enumerate() {
            let known = event.tid == main || workers.contains(&event.tid);
            if known && events.len() <= MOST_EVENTS {
                reader.event(at, event);
            }
        }
        reader.history
    }

    /// Whether a thread was alive at a place in the stream.
    pub fn is_alive(&self, tid: i32, at: usize) -> bool {
        self.lives.get(&tid).is_some_and(|(first, last)| (*first..=*last).contains(&at))
    }

    /// Every section under a lock: who, from which step, to which (the last one's place if it did not end).
    pub fn sections(&self) -> Vec<Section> {
        let mut sections = Vec::new();
        let mut open: BTreeMap<(i32, Object), Section> = BTreeMap::new();
        for (n, step) in self.steps.iter().enumerate() {
            match step.deed {
                Deed::Took { lock, .. } | Deed::Woken { mutex: lock, .. } => {
                    let taken_at = step.caller.unwrap_or_default();
                    open.insert(
                        (step.tid, lock),
                        Section { lock, tid: step.tid, taken_at, from: n, to: self.steps.len() },
                    );
                }
                Deed::Released(lock) | Deed::Waits { mutex: lock, .. } => {
                    sections
                        .extend(open.remove(&(step.tid, lock)).map(|section| Section { to: n, ..section }));
                }
                _ => {}
            }
        }
        sections.extend(open.into_values());
        sections.sort_by_key(|section| section.from);
        sections
    }

    /// The steps of a section's thread between its two ends.
    pub fn inside(&self, section: &Section) -> impl Iterator<Item = &Step> {
        let tid = section.tid;
        self.steps[section.from + 1..section.to].iter().filter(move |step| step.tid == tid)
    }
}

/// From the taking of a lock to its release; a wait for a condition variable ends a section, and begins another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// The lock.
    pub lock: Object,
    /// Who held it.
    pub tid: i32,
    /// Where it was taken.
    pub taken_at: u64,
    /// The step that took it.
    pub from: usize,
    /// The step that released it.
    pub to: usize,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::probes::{
        interposer::{Marker, Op},
        tracer::event::{Call, What},
    };

    /// A stream of events, written down one by one; a caller is its line number.
    #[derive(Default)]
    pub(crate) struct Story {
        events: Vec<Event>,
    }

    /// The main thread of every story.
    pub(crate) const MAIN: i32 = 1;
    /// Its workers.
    pub(crate) const WORKERS: [i32; 2] = [2, 3];

    impl Story {
        /// Both workers begin.
        pub(crate) fn begun() -> Self {
            let mut story = Self::default();
            for tid in WORKERS {
                story.push(tid, What::Began);
            }
            story
        }

        pub(crate) fn push(&mut self, tid: i32, what: What) {
            self.events.push(Event { at: Duration::ZERO, tid, what, cpu: None });
        }

        /// A marker with one more word.
        pub(crate) fn mark(&mut self, tid: i32, op: Op, object: u64, more: u64, caller: u64) -> &mut Self {
            self.push(tid, What::Marker(Marker { op, c11: false, object, more, caller }));
            self
        }

        pub(crate) fn lock(&mut self, tid: i32, lock: u64, caller: u64) -> &mut Self {
            self.mark(tid, Op::MutexLocked, lock, 0, caller)
        }

        pub(crate) fn unlock(&mut self, tid: i32, lock: u64) -> &mut Self {
            self.mark(tid, Op::MutexUnlocked, lock, 0, 0)
        }

        /// The last event says that its thread had used so many milliseconds.
        pub(crate) fn used(&mut self, milliseconds: u64) -> &mut Self {
            self.events.last_mut().unwrap().cpu = Some(Duration::from_millis(milliseconds));
            self
        }

        pub(crate) fn call(
            &mut self,
            tid: i32,
            class: Class,
            object: Option<ObjectId>,
            caller: u64,
        ) -> &mut Self {
            let call = Call {
                name: "call",
                class,
                args: [9, 0, 0, u64::MAX, 0, 0],
                object,
                second: None,
                caller: Some(caller),
                entered: 0,
                result: 8,
            };
            self.push(tid, What::Call(call));
            self
        }

        pub(crate) fn events(&self) -> &[Event] {
            &self.events
        }

        pub(crate) fn read(&self) -> History {
            History::read(&self.events, MAIN, &WORKERS)
        }
    }

    const A: u64 = 0xa0;
    const B: u64 = 0xb0;

    #[test]
    fn a_step_knows_what_its_thread_held() {
        let mut story = Story::begun();
        story.lock(2, A, 10).lock(3, B, 20).lock(2, B, 11).unlock(2, A).unlock(2, B).lock(2, A, 12);
        let history = story.read();
        let held: Vec<usize> = history.steps.iter().map(|step| step.held.len()).collect();
        assert_eq!(held, [0, 0, 1, 2, 1, 0]);
        assert_eq!(history.sections().len(), 4);
    }

    #[test]
    fn a_lock_that_was_destroyed_is_another_one_afterwards() {
        let mut story = Story::begun();
        story.lock(2, A, 10).unlock(2, A).mark(1, Op::MutexDestroy, A, 0, 0).lock(2, A, 10).unlock(2, A);
        let sections = story.read().sections();
        assert_ne!(sections[0].lock, sections[1].lock);
        assert_eq!(sections[0].lock.address, sections[1].lock.address);
    }

    #[test]
    fn a_wait_gives_the_mutex_back_for_its_time() {
        let mut story = Story::begun();
        let (wait, woken) = (Op::CondWait, Op::CondWoken);
        story.lock(2, A, 10).mark(2, wait, 0xc0, A, 11).mark(2, woken, 0xc0, A, 11).unlock(2, A);
        let history = story.read();
        assert!(!history.steps[2].held.iter().any(|held| held.lock.address == A));
        assert_eq!(history.sections().len(), 2);
    }

    #[test]
    fn a_recursive_mutex_is_released_by_its_last_unlock() {
        let mut story = Story::begun();
        story.lock(2, A, 10).lock(2, A, 11).unlock(2, A).lock(2, B, 12).unlock(2, A);
        let history = story.read();
        assert_eq!(history.steps[1].held.len(), 1, "{:?}", history.steps);
    }

    #[test]
    fn readers_and_semaphores_are_in_hand_but_keep_no_section() {
        let mut story = Story::begun();
        story.mark(2, Op::RwlockLocked, A, 0, 10).mark(2, Op::SemTaken, 0x50, 0, 11).lock(2, B, 12);
        let history = story.read();
        let last = history.steps.last().unwrap();
        assert_eq!((last.held.len(), last.beside.len()), (0, 2));
    }

    #[test]
    fn who_has_not_begun_is_not_alive() {
        let mut story = Story::default();
        story.lock(1, A, 10);
        story.push(2, What::Began);
        story.push(2, What::Ended);
        story.unlock(1, A);
        let history = story.read();
        let alive: Vec<bool> = (0..4).map(|at| history.is_alive(2, at)).collect();
        assert_eq!(alive, [false, true, true, false]);
        assert!(history.is_alive(1, 0));
    }
}
