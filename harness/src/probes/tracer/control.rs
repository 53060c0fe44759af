//! What the harness does to the server, from the outside: who is held and let go, and how much a send takes.

use super::{
    At, Tracer,
    event::What,
    holds::{Idle, Turn},
    kernel,
    ledger::ObjectId,
    ptrace,
    syscalls::{Class, Traced},
    thread::{Role, Waiting},
};
use crate::{
    error::HarnessError,
    probes::{
        interposer::{Marker, Op},
        proc,
    },
};
use std::{rc::Rc, time::Duration};

/// Which sends take a few bytes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shorten {
    /// Each.
    Each,
    /// Every other, from the first on.
    EveryOther,
}

/// A connection of which some sends take a few bytes only.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortSends {
    connection: ObjectId,
    which: Shorten,
    most: u64,
    /// Sends that could have been cut, and those that were.
    seen: usize,
    cut: usize,
}

impl Tracer {
    /// From now on these sends to this connection, and to no other, take at most so many bytes, as they may at any time when
    /// buffers are nearly full.
    ///
    /// Not where the server could rightly be surprised: a call that may block takes everything, and to an edge-triggered
    /// epoll a short send says that room will be announced later.
    pub fn shorten_sends(&mut self, connection: ObjectId, which: Shorten, most: u64) {
        self.short_sends = Some(ShortSends { connection, which, most, seen: 0, cut: 0 });
    }

    /// From now on every send takes what it takes.
    pub fn let_sends_be(&mut self) {
        self.short_sends = None;
    }

    /// How many sends took less than they were offered because of [`Tracer::shorten_sends`].
    pub fn sends_cut(&self) -> usize {
        self.short_sends.map_or(0, |short| short.cut)
    }

    /// Cuts a send short that a thread is about to make; true if it was.
    pub(super) fn cut_short(
        &mut self,
        tid: i32,
        call: &Traced,
        args: &[u64; 6],
        object: Option<ObjectId>,
    ) -> bool {
        const EDGE: u32 = libc::EPOLLET as u32;
        let Some(short) = self.short_sends.filter(|short| Some(short.connection) == object) else {
            return false;
        };
        if call.class != Class::Send || !matches!(call.name, "write" | "sendto") || args[2] <= short.most {
            return false;
        }
        let at_once = (call.name == "sendto" && args[3] as i32 & libc::MSG_DONTWAIT != 0)
            || self.borrow_fd(args[0] as i32).is_some_and(kernel::never_blocks);
        let edges = self.ledger.object(short.connection).watches.iter().any(|watch| watch.mask & EDGE != 0);
        if !at_once || edges {
            return false;
        }
        let its_turn = short.which == Shorten::Each || short.seen % 2 == 0;
        let cut = its_turn && ptrace::set_third_argument(tid, short.most);
        self.short_sends =
            Some(ShortSends { seen: short.seen + 1, cut: short.cut + usize::from(cut), ..short });
        cut
    }

    /// From now on holds each worker at its next mid-task moment, once. To be called while they are idle.
    pub fn arm_mid_task(&mut self) {
        self.arm_newcomers = true;
        let mut idle = Idle::default();
        for waiting in self.alive_workers().filter_map(|thread| thread.waiting) {
            match waiting {
                Waiting::Cond { cond, .. } => idle.conds.push(cond),
                Waiting::Sem(sem) => idle.sems.push(sem),
                Waiting::Lock(_) | Waiting::Join(_) => {}
            }
        }
        let idle = Rc::new(idle);
        for thread in
            self.threads.values_mut().filter(|t| t.ended.is_none() && matches!(t.role, Role::Worker(_)))
        {
            if thread.is_held() {
                continue;
            }
            thread.hold.arm(Rc::clone(&idle), thread.waiting.is_some());
        }
    }

    /// Holds the main thread when it next comes back from waiting on epoll, once.
    pub fn arm_main(&mut self) {
        self.arm_main_at(Turn::Back);
    }

    /// Holds the main thread, which waits on epoll now, at this place of its next round, once.
    pub fn arm_main_at(&mut self, turn: Turn) {
        let main = self.main();
        if let Some(thread) = self.threads.get_mut(&main).filter(|t| t.ended.is_none() && !t.is_held()) {
            thread.hold.arm_turn(turn);
        }
    }

    /// Holds this thread, once, when its wait on a condition variable has ended because its time was over, before it has its
    /// mutex back: where others may have the mutex as often as they like. It holds no lock there.
    pub fn arm_late(&mut self, tid: i32) {
        self.late.insert(tid);
    }

    /// From now on these threads, when they are about to end, do not: who joins them waits, who does not goes on without.
    pub fn keep_from_ending(&mut self, tids: &[i32]) {
        self.kept.extend(tids.iter().map(|tid| (*tid, false)));
    }

    /// The threads that would have ended if they were not kept from it.
    pub fn kept(&self) -> Vec<i32> {
        self.kept.iter().filter(|(_, here)| **here).map(|(tid, _)| *tid).collect()
    }

    /// One of them that another thread waits for in a join.
    pub fn waited_for(&self) -> Option<i32> {
        let waits = |handle: u64| self.alive().any(|t| t.waiting == Some(Waiting::Join(handle)));
        let handle_of = |tid: &i32| self.thread(*tid).and_then(|thread| thread.handle);
        self.kept().into_iter().find(|tid| handle_of(tid).is_some_and(waits))
    }

    /// Lets a thread end again.
    ///
    /// # Errors
    ///
    /// As [`Tracer::drain`].
    pub fn let_end(&mut self, tid: i32) -> Result<(), HarnessError> {
        match self.kept.remove(&tid) {
            Some(true) => ptrace::resume(tid, ptrace::Resume::Free),
            _ => Ok(()),
        }
    }

    /// A thread is about to end; true if it is kept from it.
    pub(super) fn keep(&mut self, tid: i32) -> bool {
        // Whoever is killed with its process must run to its end.
        let alone = !self.is_ending();
        let here = self.kept.get_mut(&tid).filter(|_| alone);
        here.is_some_and(|here| !std::mem::replace(here, true))
    }

    /// Holds this thread, once, at its next stop at which it holds no lock: a worker that sleeps because it has nothing to
    /// do is held where it has released the lock after its wait, whatever ended that.
    pub fn arm_next_release(&mut self, tid: i32) {
        if let Some(thread) = self.threads.get_mut(&tid).filter(|t| t.ended.is_none() && !t.is_held()) {
            thread.hold.arm(Rc::default(), false);
        }
    }

    /// Lets the thread's next wait end at once, though nobody has signalled, as POSIX allows at any time: a wait for this
    /// condition variable, or for any. Where that cannot be forced nothing happens; [`super::event::What::Spurious`] says
    /// that it did.
    pub fn arm_spurious(&mut self, tid: i32, cond: Option<u64>) {
        self.spurious.insert(tid, cond);
    }

    /// From now on every operation on a mutex says how much processor time its thread has used, or no longer.
    pub fn clock_locks(&mut self, on: bool) {
        self.clock_locks = on;
    }

    /// Whether this marker announces a wait that is to end at once; it is asked only once.
    pub(super) fn is_to_wake_spuriously(&mut self, tid: i32, marker: &Marker) -> bool {
        let waits = matches!(marker.op, Op::CondWait | Op::CondTimedWait);
        let meant = |cond: &Option<u64>| cond.is_none_or(|cond| cond == marker.object);
        waits && self.spurious.get(&tid).is_some_and(meant) && self.spurious.remove(&tid).is_some()
    }

    /// Whether this marker says that a wait's time is over, of a thread that is to be late for its mutex.
    pub(super) fn is_to_be_late(&mut self, tid: i32, marker: &Marker) -> bool {
        marker.op == Op::WaitFailed && self.late.remove(&tid)
    }

    /// The processor time that a thread has used, for an event that is to say so.
    pub(super) fn lock_cpu(&self, tid: i32, what: &What) -> Option<Duration> {
        let What::Marker(marker) = what else { return None };
        let locks = matches!(
            marker.op,
            Op::MutexLocked | Op::MutexUnlocked | Op::CondWait | Op::CondTimedWait | Op::CondWoken
        );
        // The thread is stopped, so what the kernel has written down is all of it.
        (self.clock_locks && locks).then(|| proc::thread_state(tid).map(|state| state.cpu)).flatten()
    }

    /// Holds nobody else from now on; who is held stays held.
    pub fn disarm(&mut self) {
        self.arm_newcomers = false;
        self.spurious.clear();
        self.late.clear();
        for thread in self.threads.values_mut() {
            thread.hold.disarm();
        }
    }

    /// The threads that are held, and where, in the order in which they came to be held: what is drawn from this by chance
    /// does not depend on which worker woke first.
    pub fn held(&self) -> Vec<(i32, At)> {
        let mut held: Vec<_> =
            self.alive().filter_map(|t| Some((t.hold.since()?, (t.tid, t.hold.at()?)))).collect();
        held.sort_by_key(|(since, _)| *since);
        held.into_iter().map(|(_, which)| which).collect()
    }

    /// Lets a held thread go on.
    ///
    /// # Errors
    ///
    /// As [`Tracer::drain`].
    pub fn release(&mut self, tid: i32) -> Result<(), HarnessError> {
        match self.threads.get_mut(&tid).and_then(|thread| thread.hold.release()) {
            Some(how) => ptrace::resume(tid, how),
            None => Ok(()),
        }
    }

    /// Holds nobody any more: disarms all and lets everybody go.
    ///
    /// # Errors
    ///
    /// As [`Tracer::drain`].
    pub fn release_all(&mut self) -> Result<(), HarnessError> {
        self.disarm();
        for (tid, _) in self.held() {
            self.release(tid)?;
        }
        Ok(())
    }
}
