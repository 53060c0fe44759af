//! One thread at a time: while the gate is closed, every thread of the server that comes to a stop stays there until it is
//! given its turn. So whoever gives the turns decides in which order everything happens that threads can tell each other.

use super::{
    Tracer,
    event::What,
    ledger::Kind,
    ptrace::{self, Resume},
    syscalls::Class,
    thread::{Role, Thread, Waiting},
};
use crate::{
    error::HarnessError,
    probes::interposer::{LATE, Marker, Op, SPURIOUS},
};

/// Where a thread waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It has announced this.
    Marker(Marker),
    /// It is about to make this call, on a descriptor of this kind.
    Entry(&'static str, Class, Option<Kind>),
    /// It has come back from this call.
    Return(&'static str, Class, Option<Kind>),
}

impl Place {
    /// Whether threads of the server can tell each other something there. What a thread says to a client or to epoll only, another
    /// thread does not notice, and turns there would only dilute those that matter.
    fn is_between_threads(&self) -> bool {
        match self {
            // What it announces is still to come.
            Self::Marker(marker) => marker.op != Op::CondBroadcasts,
            Self::Entry(_, class, kind) | Self::Return(_, class, kind) => {
                *class == Class::EpollWait
                    || matches!(class, Class::Receive | Class::Send)
                        && matches!(kind, Some(Kind::Eventfd | Kind::Pipe | Kind::Signalfd))
            }
        }
    }

    /// Whether the thread is in the middle of something that is one step for all others.
    pub fn is_halfway(&self) -> bool {
        matches!(self, Self::Marker(marker) if marker.op == Op::CondRelayed)
    }
}

/// A thread that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked {
    pub(super) place: Place,
    pub(super) resume: Resume,
}

/// What else may happen to a thread when it goes on: rare, and allowed at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nudge {
    /// Nothing.
    None,
    /// The wait on a condition variable that it is about to begin ends at once; see pthread_cond_wait(3p).
    Spurious,
    /// The wait on a condition variable that has just ended has the mutex back later: others may have it before.
    Overtaken,
    /// The wait on epoll that it is about to begin ends with `EINTR`, as one does after SIGSTOP and SIGCONT; see signal(7).
    Interrupted,
}

impl Tracer {
    /// From now on each thread of the server that comes to a stop waits for its turn.
    pub fn close_gate(&mut self) {
        self.gate_closed = true;
    }

    /// Who waits for a turn, and where: the main thread, then the workers in the order of creation.
    pub fn parked(&self) -> Vec<(i32, Role, Place)> {
        let mut parked: Vec<_> =
            self.alive().filter_map(|t| Some((t.tid, t.role, t.parked?.place))).collect();
        parked.sort_by_key(|(_, role, _)| *role);
        parked
    }

    /// Lets a thread go on to its next stop; whether the nudge was given: one that does not fit its place is not.
    ///
    /// # Errors
    ///
    /// As [`Tracer::drain`].
    pub fn give_turn(&mut self, tid: i32, nudge: Nudge) -> Result<bool, HarnessError> {
        let Some(parked) = self.threads.get_mut(&tid).and_then(|thread| thread.parked.take()) else {
            return Ok(false);
        };
        let given = match (nudge, parked.place) {
            (Nudge::Spurious, Place::Marker(marker)) => {
                let waits = matches!(marker.op, Op::CondWait | Op::CondTimedWait);
                let given = waits && ptrace::answer(tid, SPURIOUS);
                if given {
                    self.log(tid, What::Spurious);
                }
                given
            }
            (Nudge::Overtaken, Place::Marker(marker)) => {
                marker.op == Op::CondWoken && ptrace::answer(tid, LATE)
            }
            (Nudge::Interrupted, Place::Entry(_, Class::EpollWait, _)) => {
                ptrace::answer(tid, -i64::from(libc::EINTR) as u64)
            }
            _ => false,
        };
        ptrace::resume(tid, parked.resume)?;
        Ok(given)
    }

    /// How many threads wait on this condition variable.
    pub fn waiters(&self, condition: u64) -> usize {
        let waits = |thread: &&Thread| {
            let waiting = matches!(thread.waiting, Some(Waiting::Cond { cond, .. }) if cond == condition);
            waiting && !thread.is_held()
        };
        self.alive().filter(waits).count()
    }

    /// The thread has come to a stop that a turn may end at: whether it waits there for the next one.
    pub(super) fn park(&mut self, tid: i32, place: Place, resume: Resume) -> bool {
        let closed = self.gate_closed;
        let Some(thread) = self.threads.get_mut(&tid).filter(|_| closed) else { return false };
        if thread.role == Role::Child || !place.is_between_threads() {
            return false;
        }
        thread.parked = Some(Parked { place, resume });
        true
    }
}

impl Thread {
    /// Whether it waits for its turn.
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }
}
