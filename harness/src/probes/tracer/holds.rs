//! Holds: which stop of an armed thread is the one at which it stays.
//!
//! *Mid-task* is the moment at which a worker has taken a task and released its last lock: it holds nothing and waits for
//! nothing, so keeping it there delays nobody, as a long computation would. It is found from what the worker slept in when
//! there was no work:
//!
//! - a condition variable or a semaphore: once it has come back from that one, the first stop at which it holds no lock;
//! - something the preloaded library does not see (a futex of `std::sync`, a pipe): its next stop at which it holds no lock
//!   that can be seen. That may be as late as the write that announces its result; [`At`] says which it was.
//!
//! A thread is never held inside a wait: glibc's `pthread_cond_signal` blocks after as many signals as there are waiters
//! that do not come out.

use super::{ptrace::Resume, syscalls::Class};
use crate::probes::interposer::{Marker, Op};
use std::rc::Rc;

/// What the workers of a server sleep in when there is no work. All of them together: in a pool in which one worker waits
/// for work and the others wait for its place, each comes by there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Idle {
    /// Condition variables.
    pub conds: Vec<u64>,
    /// Semaphores.
    pub sems: Vec<u64>,
}

/// Where a thread is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Where it released its last lock or semaphore after taking work.
    Release,
    /// At this system call, which it has not made yet.
    Call(&'static str),
    /// At the return from this system call.
    Return(&'static str),
    /// Where its wait on a condition variable has ended because its time was over, before it has its mutex back.
    Late,
}

/// A stop at which an armed thread might be held.
#[derive(Clone, Copy, Debug)]
pub enum Candidate<'a> {
    /// A marker.
    Marker(&'a Marker),
    /// About to make a traced call on something that the ledger knows: not on a file or a terminal, which a worker may
    /// write while it holds a lock that nobody sees (of stdio, say).
    Call(&'static str, Class),
    /// About to come back from a traced call.
    Return(&'static str, Class),
}

/// Where in its round an event loop is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// At its next return from waiting on epoll.
    Back,
    /// At the return from the next call that it makes for somebody, between two waits.
    AtWork,
    /// Just before it waits again: what interrupts it there interrupts no wait.
    Leaving,
}

/// Whether a thread is to be held, and whether it is.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    armed: Option<Armed>,
    held: Option<Held>,
    turn: Option<Turn>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    at: At,
    resume: Resume,
    /// The number of the stop, of all that the tracer has seen.
    since: usize,
}

#[derive(Clone, Debug)]
struct Armed {
    idle: Rc<Idle>,
    /// It has come back from what it slept in.
    woke: bool,
    /// Semaphores that it has taken since and not posted: it may use one as a lock.
    sems: Vec<u64>,
}

impl Hold {
    /// Holds the thread at its next mid-task moment, once. `seen`: it sleeps now in a wait that the preloaded library has
    /// announced; if not, its next stop is taken for a sign that it has taken work.
    pub fn arm(&mut self, idle: Rc<Idle>, seen: bool) {
        self.armed = Some(Armed { idle, woke: !seen, sems: Vec::new() });
    }

    /// Holds the thread, an event loop that waits now, at this place of its next round, once.
    pub fn arm_turn(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }

    /// Whether a wait on epoll that the thread is about to begin is to be put off.
    pub fn puts_off(&self, class: Class, locks: usize) -> bool {
        self.turn == Some(Turn::Leaving) && class == Class::EpollWait && locks == 0
    }

    /// The thread is where it is about to make this call again, which was put off: it is held there.
    pub fn hold_before(&mut self, name: &'static str, now: usize) {
        self.turn = None;
        self.held = Some(Held { at: At::Call(name), resume: Resume::Free, since: now });
    }

    /// The thread's wait has ended because its time was over, and it does not have its mutex yet: it is held there.
    pub fn hold_late(&mut self, now: usize) {
        self.armed = None;
        self.held = Some(Held { at: At::Late, resume: Resume::Free, since: now });
    }

    /// Takes the arming back; a thread that is held stays held.
    pub fn disarm(&mut self) {
        self.armed = None;
        self.turn = None;
    }

    /// Whether it is held.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Where it is held.
    pub fn at(&self) -> Option<At> {
        self.held.map(|held| held.at)
    }

    /// The number of the stop at which it came to be held: what tells who was first.
    pub fn since(&self) -> Option<usize> {
        self.held.map(|held| held.since)
    }

    /// The thread has been let go or killed; how it goes on in the first case.
    pub fn release(&mut self) -> Option<Resume> {
        self.held.take().map(|held| held.resume)
    }

    /// Decides on a stop; true if the thread is now held. `locks` is how many mutexes it holds, `now` the number of the stop.
    pub fn decide(&mut self, candidate: Candidate<'_>, locks: usize, now: usize) -> bool {
        if let Candidate::Return(name, class) = candidate {
            let here = match self.turn {
                Some(Turn::Back) => class == Class::EpollWait,
                Some(Turn::AtWork) => class != Class::EpollWait,
                Some(Turn::Leaving) | None => false,
            };
            if here && locks == 0 {
                self.turn = None;
                self.held = Some(Held { at: At::Return(name), resume: Resume::Free, since: now });
            }
            return self.is_held();
        }
        let Some(armed) = &mut self.armed else { return false };
        if let Candidate::Marker(marker) = candidate {
            armed.follow(marker);
        }
        if !armed.woke || locks > 0 || !armed.sems.is_empty() {
            return false;
        }
        let (at, resume) = match candidate {
            Candidate::Marker(marker) => {
                if !matches!(marker.op, Op::MutexUnlocked | Op::RwlockUnlocked | Op::SemPosted) {
                    return false;
                }
                (At::Release, Resume::Free)
            }
            Candidate::Call(_, Class::ExitGroup) | Candidate::Return(..) => return false,
            Candidate::Call(name, _) => (At::Call(name), Resume::ToExit),
        };
        self.held = Some(Held { at, resume, since: now });
        self.armed = None;
        true
    }
}

impl Armed {
    fn follow(&mut self, marker: &Marker) {
        let (cond, sem) = (self.idle.conds.contains(&marker.object), self.idle.sems.contains(&marker.object));
        match marker.op {
            Op::CondWoken if cond => self.woke = true,
            // There was nothing to take after all.
            Op::CondWait | Op::CondTimedWait if cond => self.woke = false,
            Op::SemTaken if sem => self.woke = true,
            Op::SemTaken if self.woke => self.sems.push(marker.object),
            Op::SemPosted => {
                if let Some(at) = self.sems.iter().rposition(|sem| *sem == marker.object) {
                    self.sems.remove(at);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: u64 = 0x10;
    const NOT_EMPTY: u64 = 0x20;

    fn marker(op: Op, object: u64) -> Marker {
        Marker { op, c11: false, object, more: 0, caller: 0 }
    }

    fn cond() -> Idle {
        Idle { conds: vec![NOT_EMPTY], sems: Vec::new() }
    }

    fn sem(sem: u64) -> Idle {
        Idle { conds: Vec::new(), sems: vec![sem] }
    }

    /// Feeds the markers, keeping count of locks as the census does; the place at which the thread was held.
    fn held_at(idle: Idle, ops: &[(Op, u64)]) -> Option<usize> {
        let mut hold = Hold::default();
        // A worker that sleeps in a condition variable will come back with its mutex.
        let mut locks = usize::from(!idle.conds.is_empty());
        hold.arm(Rc::new(idle), true);
        ops.iter().position(|(op, object)| {
            match op {
                Op::MutexLocked => locks += 1,
                Op::MutexUnlocked => locks -= 1,
                _ => {}
            }
            hold.decide(Candidate::Marker(&marker(*op, *object)), locks, 0)
        })
    }

    #[test]
    fn a_worker_is_held_where_it_releases_the_queue() {
        let ops = [(Op::CondWoken, NOT_EMPTY), (Op::CondSignal, 0x30), (Op::MutexUnlocked, QUEUE)];
        assert_eq!(held_at(cond(), &ops), Some(2));
    }

    #[test]
    fn a_worker_that_finds_nothing_sleeps_on() {
        let nothing = [(Op::CondWoken, NOT_EMPTY), (Op::CondWait, NOT_EMPTY)];
        assert_eq!(held_at(cond(), &nothing), None);
    }

    #[test]
    fn a_worker_is_not_held_while_it_has_another_lock() {
        let ops = [
            (Op::CondWoken, NOT_EMPTY),
            (Op::MutexLocked, 0x40),
            (Op::MutexUnlocked, QUEUE),
            (Op::MutexUnlocked, 0x40),
        ];
        assert_eq!(held_at(cond(), &ops), Some(3));
    }

    #[test]
    fn a_semaphore_may_be_the_lock() {
        let (items, lock, slots) = (1, 2, 3);
        let ops =
            [(Op::SemTaken, items), (Op::SemTaken, lock), (Op::SemPosted, lock), (Op::SemPosted, slots)];
        assert_eq!(held_at(sem(items), &ops), Some(2));
    }

    #[test]
    fn a_follower_that_waits_for_its_place_is_held_when_it_has_been_the_leader() {
        let (items, place) = (1, 0x50);
        let ops = [
            (Op::MutexLocked, place),
            (Op::SemTaken, items),
            (Op::MutexLocked, QUEUE),
            (Op::MutexUnlocked, QUEUE),
            (Op::MutexUnlocked, place),
        ];
        assert_eq!(held_at(sem(items), &ops), Some(4));
    }

    #[test]
    fn without_a_known_wait_the_next_call_is_the_place() {
        let mut hold = Hold::default();
        hold.arm(Rc::default(), false);
        assert!(hold.decide(Candidate::Call("write", Class::Send), 0, 0));
        assert_eq!((hold.at(), hold.release()), (Some(At::Call("write")), Some(Resume::ToExit)));
        assert!(!hold.decide(Candidate::Call("write", Class::Send), 0, 0), "once");
    }

    #[test]
    fn the_loop_is_held_when_it_comes_back_from_epoll() {
        let mut hold = Hold::default();
        hold.arm_turn(Turn::Back);
        assert!(!hold.decide(Candidate::Return("read", Class::Receive), 0, 0));
        assert!(hold.decide(Candidate::Return("epoll_wait", Class::EpollWait), 0, 0));
        assert_eq!(hold.release(), Some(Resume::Free));
        assert!(!hold.decide(Candidate::Return("epoll_wait", Class::EpollWait), 0, 0), "once");
    }

    #[test]
    fn the_loop_is_held_at_work_and_before_it_waits() {
        let mut hold = Hold::default();
        hold.arm_turn(Turn::AtWork);
        assert!(!hold.decide(Candidate::Return("epoll_wait", Class::EpollWait), 0, 0));
        assert!(!hold.puts_off(Class::EpollWait, 0));
        assert!(hold.decide(Candidate::Return("accept4", Class::Accept), 0, 0));
        assert_eq!((hold.at(), hold.release()), (Some(At::Return("accept4")), Some(Resume::Free)));

        hold.arm_turn(Turn::Leaving);
        assert!(!hold.decide(Candidate::Return("epoll_wait", Class::EpollWait), 0, 0));
        assert!(!hold.puts_off(Class::Accept, 0) && !hold.puts_off(Class::EpollWait, 1));
        assert!(hold.puts_off(Class::EpollWait, 0));
        hold.hold_before("epoll_wait", 0);
        assert_eq!((hold.at(), hold.release()), (Some(At::Call("epoll_wait")), Some(Resume::Free)));
        assert!(!hold.puts_off(Class::EpollWait, 0), "once");
    }

    #[test]
    fn the_end_of_the_process_is_never_held_up() {
        let mut hold = Hold::default();
        hold.arm(Rc::default(), false);
        assert!(!hold.decide(Candidate::Call("exit_group", Class::ExitGroup), 0, 0));
    }
}
