//! Turns in a fixed order, and who must be looked at after each.

use super::{Class, Nudge, Op, Place, Role, Session, Waiting};
use crate::{
    error::Trouble,
    probes::{proc::Sleep, session::start::Setup},
    submission::Program,
};

impl Session {
    /// As [`Session::launch`], with a gate that is closed from the beginning: the threads take turns in a fixed order until
    /// [`Session::explore`] gives them another. So it is in the same state each time, down to which worker waits first.
    ///
    /// # Errors
    ///
    /// As [`Session::launch`].
    pub fn launch_in_order(program: &Program, setup: &Setup) -> Result<Self, Trouble> {
        let (mut session, waited) = Self::begin(program, setup, true)?;
        session.become_ready(waited)?;
        Ok(session)
    }

    /// From now on threads take turns in a fixed order, whatever is waited for.
    pub(in crate::probes::session) fn keep_order(&mut self) {
        self.tracer.close_gate();
        self.orderly = Some(self.tracer.main());
    }

    /// Gives the next turn in that order, if it is kept and everybody sleeps or waits for a turn. True if somebody got one.
    pub(in crate::probes::session) fn next_in_order(&mut self) -> Result<bool, Trouble> {
        let Some(last) = self.orderly else { return Ok(false) };
        let parked = self.tracer.parked();
        let role = self.tracer.thread(last).map(|thread| thread.role);
        let halfway = parked.iter().find(|(.., place)| place.is_halfway());
        let behind = || parked.iter().find(|(_, other, _)| Some(*other) > role);
        let next = halfway.or_else(behind).or(parked.first());
        let Some((tid, ..)) = next.copied() else { return Ok(false) };
        let alone = self.nobody_else_runs(last, &parked);
        if !alone && self.nobody_has_run().is_none() {
            return Ok(false);
        }
        self.orderly = Some(tid);
        self.tracer.give_turn(tid, Nudge::None)?;
        Ok(true)
    }

    /// Two looks at once: nobody has run since something last moved, and the second look is to say so.
    pub(super) fn nobody_has_run(&mut self) -> Option<Sleep> {
        self.nobody_runs().or_else(|| self.nobody_runs())
    }

    /// Whether this thread, which had the last turn while all others slept or waited for theirs, is at its next stop and has woken
    /// nobody on the way.
    pub(super) fn nobody_else_runs(&self, tid: i32, parked: &[(i32, Role, Place)]) -> bool {
        let Some((.., place)) = parked.iter().find(|(parked, ..)| *parked == tid) else { return false };
        let others = || self.tracer.alive().filter(|thread| !thread.is_held());
        // What a thread waits for that has announced nothing is not known, nor who ends that wait.
        let known = others().all(|thread| thread.waiting.is_some() || thread.inside.is_some());
        let waits = |waiting: Waiting| others().any(|thread| thread.waiting == Some(waiting));
        // Who was signalled may be waiting for the mutex by now.
        let frees = |mutex| {
            others().any(|thread| match thread.waiting {
                Some(Waiting::Lock(lock)) => lock == mutex,
                Some(Waiting::Cond { mutex: with, .. }) => with == mutex,
                _ => false,
            })
        };
        let wakes = match place {
            Place::Marker(marker) => match marker.op {
                Op::MutexUnlocked | Op::RwlockUnlocked => frees(marker.object),
                Op::WaitYielded | Op::WaitLate => frees(marker.more),
                Op::SemPosted => waits(Waiting::Sem(marker.object)),
                Op::MutexLocked | Op::MutexBlocked | Op::CondWait | Op::CondWoken | Op::SemTaken => false,
                op if op.makes_or_ends() => false,
                Op::CondSignal | Op::CondBroadcast => self.tracer.waiters(marker.object) > 0,
                _ => true,
            },
            Place::Entry(..) => false,
            Place::Return(_, class, _) => *class != Class::EpollWait,
        };
        known && !wakes
    }
}
