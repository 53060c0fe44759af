//! Catches workers on their way out, and sends a task at that moment.

use super::{
    Observation, Retiring,
    observe::{FEWER, LONGEST, Run, is_wrong},
};
use crate::{
    error::Trouble,
    probes::{
        clients::ClientId,
        session::Session,
        tracer::{At, thread::Thread},
    },
    requirements::common::{Ended, good, stuck, wait_for_answers},
};

impl Run {
    /// Grows once more, less far; then two workers, who have nothing to do, are caught when they have waited for long enough.
    pub(super) fn again(&mut self, o: &mut Observation) -> Result<(), Trouble> {
        let mut ids = self.grow(FEWER, o)?;
        if is_wrong(o) {
            return Ok(());
        }
        let late = self.session.connect_many(3)?;
        self.session.tracer.disarm();
        let mut idle: Vec<i32> = self.session.tracer.held().into_iter().map(|(tid, _)| tid).collect();
        idle.sort_unstable();
        if let [.., waverer, leaver] = idle[..] {
            for tid in [waverer, leaver] {
                self.session.tracer.release(tid)?;
            }
            self.session.settle()?;
            self.session.tracer.arm_late(waverer);
            self.session.tracer.arm_next_release(leaver);
            let over = |session: &mut Session| [waverer, leaver].iter().all(|tid| has_come(session, *tid));
            self.session.until_patiently(LONGEST, LONGEST, over)?;
            // If other tasks than their own were answered, somebody else is held who has none: then nothing can be told.
            let answered = ids.iter().filter(|id| self.session.clients.get(**id).answers() > 0).count();
            let mut caught = answered == 2;
            if caught && self.is_held(waverer) {
                ids.push(late[0]);
                self.waver(waverer, late[0], o)?;
                // It is to have a task again, as all others have.
                ids.push(late[1]);
                caught = self.occupy(waverer, late[1])?;
            }
            if caught && self.is_held(leaver) && o.retiring.iter().all(|retiring| retiring.answered) {
                ids.push(late[2]);
                let place =
                    format!("{} was held after its wait had timed out", self.session.tracer.name(leaver));
                self.session.clients.send(late[2], &good(ids.len() - 1));
                self.session.settle()?;
                self.retire(leaver, late[2], place, o)?;
            }
        }
        self.let_go(&ids, o)
    }

    fn is_held(&self, tid: i32) -> bool {
        self.session.tracer.thread(tid).is_some_and(Thread::is_held)
    }

    /// A worker's wait has timed out, and before it has the lock back a task comes. All others have something in hand.
    fn waver(&mut self, waverer: i32, late: ClientId, o: &mut Observation) -> Result<(), Trouble> {
        let place = format!(
            "the wait of {} had timed out, and it did not have the lock back",
            self.session.tracer.name(waverer)
        );
        self.session.clients.send(late, &good(FEWER));
        self.session.settle()?;
        self.retire(waverer, late, place, o)
    }

    /// Gives this worker, who is free, a task and holds it with it; true if that worked.
    fn occupy(&mut self, tid: i32, late: ClientId) -> Result<bool, Trouble> {
        self.session.settle()?;
        self.session.tracer.arm_mid_task();
        self.session.clients.send(late, &good(FEWER + 1));
        self.session.settle()?;
        self.session.tracer.disarm();
        Ok(self.session.tracer.held().contains(&(tid, At::Release)))
    }

    /// A worker goes on that was held after its wait had ended by itself; all others are held with a task. One more task came
    /// meanwhile.
    fn retire(
        &mut self,
        tid: i32,
        late: ClientId,
        place: String,
        o: &mut Observation,
    ) -> Result<(), Trouble> {
        self.session.tracer.release(tid)?;
        let wait = wait_for_answers(&mut self.session, &[late], 1)?;
        o.retiring.push(Retiring {
            answered: self.session.clients.get(late).answers() > 0,
            end: Ended::from(&wait),
            place,
            doing: stuck(&wait),
        });
        Ok(())
    }
}

/// It is held, or has ended.
fn has_come(session: &Session, tid: i32) -> bool {
    session.tracer.thread(tid).is_none_or(|thread| thread.is_held() || thread.ended.is_some())
}
