//! Waiting for something to be seen, with a deadline, and telling apart *it cannot come any more* and *it has not come yet*.

use super::{Session, Snapshot, watch::SPIN_TURNS};
use crate::{
    error::Trouble,
    probes::{machine::stretched, tracer::thread::Role},
};
use std::time::{Duration, Instant};

/// How long something may take that a machine does in milliseconds. Stretched with the machine; only what is broken waits
/// so long.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How long a server whose threads sleep with deadlines of their own (a tick, a timeout) may do nothing that matters before
/// it counts as stuck.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How long to wait before looking at /proc again: a thread that falls asleep does not say so.
pub(super) const TICK: Duration = Duration::from_micros(200);

/// A server may gather what comes in for so long before it goes on.
const SHORT_TIMER: Duration = Duration::from_millis(30);

/// A thread that naps between looks has seen all there is after so many looks in vain.
const NAP_TURNS: u64 = 10;

/// Where nobody computes, a thread that has taken a mutex so often since something last happened is spinning. Its processor
/// time would say so too, but a thread that is stopped at each step uses little of it: here a tenth, on a slow machine less.
const SPIN_LOCKINGS: u64 = 2_000;

/// A main thread that has used this much processor time without a call that matters is spinning.
const SPIN_TIME: Duration = Duration::from_millis(300);

/// The same for a worker, which may have a long task in hand.
const WORKER_SPIN_TIME: Duration = Duration::from_secs(4);

/// How [`Session::until`] ended.
#[derive(Clone, Debug)]
pub enum Wait {
    /// It was seen.
    Reached,
    /// It cannot come any more: every thread sleeps and nothing is on its way (or nothing that matters has happened for
    /// seconds).
    Stalled(Snapshot),
    /// It has not come by the deadline, and the server was still at work.
    Busy(Snapshot),
    /// The server's process has ended without it.
    Ended,
}

impl Wait {
    /// Whether it was seen.
    pub fn reached(&self) -> bool {
        matches!(self, Self::Reached)
    }
}

/// How [`Session::settle`] ended.
#[derive(Clone, Debug)]
pub enum Settled {
    /// Every thread sleeps or is held, and nothing is on its way.
    AtRest(Snapshot),
    /// All the same but for these threads, which go round and round without doing anything that matters.
    Spinning(Vec<i32>, Snapshot),
    /// The server was still at work at the deadline.
    Busy(Snapshot),
    /// The server's process has ended.
    Ended,
}

impl Settled {
    /// What every thread was doing.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        match self {
            Self::AtRest(snapshot) | Self::Spinning(_, snapshot) | Self::Busy(snapshot) => Some(snapshot),
            Self::Ended => None,
        }
    }
}

impl Session {
    /// Waits until `goal` is seen.
    ///
    /// # Errors
    ///
    /// When the harness fails or the user interrupts.
    pub fn until(
        &mut self,
        deadline: Duration,
        goal: impl FnMut(&mut Self) -> bool,
    ) -> Result<Wait, Trouble> {
        self.until_patiently(deadline, PATIENCE, goal)
    }

    /// As [`Session::until`], for a server that may rightly do nothing for so long before it goes on by itself.
    ///
    /// # Errors
    ///
    /// As [`Session::until`].
    pub fn until_patiently(
        &mut self,
        deadline: Duration,
        patience: Duration,
        mut goal: impl FnMut(&mut Self) -> bool,
    ) -> Result<Wait, Trouble> {
        let (deadline, patience) = (stretched(deadline), stretched(patience));
        let begun = Instant::now();
        self.watch.restart();
        loop {
            let moved = self.pump()?;
            if goal(self) {
                return Ok(Wait::Reached);
            }
            if self.has_ended() {
                return Ok(Wait::Ended);
            }
            let late = begun.elapsed() >= deadline;
            // Looking at every thread is dear, and needless while things move.
            if !moved && !self.nap(TICK)? {
                let rest = self.at_rest();
                let patient = self.watch.since.elapsed() < patience;
                if rest.as_ref().is_some_and(|sleep| !sleep.timed)
                    || (!patient && (rest.is_some() || !self.spinning().is_empty()))
                {
                    self.note_bystanders();
                    return Ok(Wait::Stalled(self.snapshot()));
                }
            } else if self.watch.is_suspicious()
                && self.watch.since.elapsed() >= patience
                && !self.spinning().is_empty()
            {
                return Ok(Wait::Stalled(self.snapshot()));
            }
            if late {
                return Ok(Wait::Busy(self.snapshot()));
            }
        }
    }

    /// Waits until nothing more happens: every thread sleeps or is held, and nothing is on its way.
    ///
    /// # Errors
    ///
    /// As [`Session::until`].
    pub fn settle(&mut self) -> Result<Settled, Trouble> {
        self.settle_within(DEADLINE)
    }

    /// As [`Session::settle`], with a deadline of the caller's: for one who can go on without it.
    ///
    /// # Errors
    ///
    /// As [`Session::until`].
    pub fn settle_within(&mut self, deadline: Duration) -> Result<Settled, Trouble> {
        let deadline = stretched(deadline);
        let begun = Instant::now();
        self.watch.restart();
        loop {
            let moved = self.pump()?;
            if self.has_ended() {
                return Ok(Settled::Ended);
            }
            let quiet = !moved && !self.nap(TICK)?;
            if quiet
                && let Some(sleep) = self.at_rest()
                && sleep.napping.iter().all(|tid| self.has_looked(*tid))
                && (!sleep.timed || begun.elapsed() >= stretched(SHORT_TIMER))
            {
                self.note_bystanders();
                return Ok(Settled::AtRest(self.snapshot()));
            }
            // Whoever spins keeps things moving: asked now and then, because it is dear too.
            if quiet || self.watch.is_suspicious() {
                let spinning = self.spinning();
                if !spinning.is_empty() {
                    self.note_bystanders();
                    return Ok(Settled::Spinning(spinning, self.snapshot()));
                }
            }
            if begun.elapsed() >= deadline {
                return Ok(Settled::Busy(self.snapshot()));
            }
        }
    }

    /// Whoever of the child processes was there while nothing happened for long is not what anybody waits for.
    fn note_bystanders(&mut self) {
        if self.watch.since.elapsed() >= stretched(PATIENCE) {
            let children = self.tracer.alive().filter(|thread| thread.role == Role::Child);
            self.watch.bystanders.extend(children.map(|thread| thread.tid));
        }
    }

    /// How often the thread that did so most has gone round for nothing since something last happened that matters, or
    /// since the last wait began.
    pub fn turns_in_vain(&self) -> u64 {
        self.watch.idle_turns.values().copied().max().unwrap_or(0)
    }

    /// Whether a thread that naps between looks has looked in vain since something last happened: what had come for it by
    /// then, it has seen.
    fn has_looked(&self, tid: i32) -> bool {
        let turns = self.watch.idle_turns.get(&tid).copied().unwrap_or(0);
        turns >= NAP_TURNS || self.watch.since.elapsed() >= stretched(PATIENCE)
    }

    /// The process has ended, and everything that it sent has come.
    fn has_ended(&self) -> bool {
        self.tracer.end().is_some()
    }

    /// The threads that go round without doing anything that matters, if that is all that goes on: many turns with nothing
    /// to show for, or processor time without any call.
    fn spinning(&mut self) -> Vec<i32> {
        let mut spinning = Vec::new();
        let threads = self.snapshot().threads.into_iter();
        for thread in threads.filter(|thread| !self.watch.bystanders.contains(&thread.tid)) {
            let turns = self.watch.idle_turns.get(&thread.tid).copied().unwrap_or(0);
            let used = thread.cpu.saturating_sub(*self.watch.cpu.entry(thread.tid).or_insert(thread.cpu));
            let lockings = self.watch.lockings.get(&thread.tid).copied().unwrap_or(0);
            let most = if self.computes && thread.role != Role::Main { WORKER_SPIN_TIME } else { SPIN_TIME };
            if turns >= SPIN_TURNS || used >= most || (!self.computes && lockings >= SPIN_LOCKINGS) {
                spinning.push(thread.tid);
            }
        }
        spinning
    }
}
