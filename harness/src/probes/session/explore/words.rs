//! A turn in words.

use super::{Nudge, Op, Place, Session};

impl Session {
    /// Who goes on from where: `worker 1 goes on after pthread_mutex_unlock at queue.c:20 (pop)`.
    pub(super) fn turn_in_words(&self, tid: i32, place: Place, nudge: Nudge, given: bool) -> String {
        let role = self.tracer.thread(tid).map(|thread| thread.role.to_string()).unwrap_or_default();
        let what = match place {
            Place::Marker(marker) => {
                format!("{}{}", done(marker.op), self.tracer.at_place(Some(marker.caller)))
            }
            Place::Entry(name, ..) => format!("before {name}"),
            Place::Return(name, ..) => format!("after {name}"),
        };
        let extra = match nudge {
            Nudge::Spurious if given => ", which ends at once",
            Nudge::Overtaken if given => ", which gives the mutex to others first",
            Nudge::Interrupted if given => ", which is interrupted",
            _ => "",
        };
        format!("{role} goes on {what}{extra}")
    }
}

/// Where a marker stands, in words that fit behind `goes on`.
fn done(op: Op) -> &'static str {
    match op {
        Op::MutexLocked => "with the mutex",
        Op::MutexUnlocked => "after pthread_mutex_unlock",
        Op::MutexBlocked => "to wait for the mutex",
        Op::CondWait | Op::CondTimedWait => "to pthread_cond_wait",
        Op::CondWoken => "after pthread_cond_wait",
        Op::WaitLate | Op::WaitYielded => "to get the mutex back from pthread_cond_wait",
        Op::CondSignal => "after pthread_cond_signal",
        Op::CondBroadcast | Op::CondRelayed => "after pthread_cond_broadcast",
        Op::SemBlocked => "to sem_wait",
        Op::SemTaken => "after sem_wait",
        Op::SemPosted => "after sem_post",
        Op::BarrierPassed => "after pthread_barrier_wait",
        Op::JoinBegin => "to pthread_join",
        _ => "from its last call",
    }
}
