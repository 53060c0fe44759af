//! Who is held, from the outside: arming, releasing.

use super::{
    At, Tracer,
    holds::Idle,
    ptrace,
    thread::{Role, Waiting},
};
use crate::error::HarnessError;
use std::rc::Rc;

impl Tracer {
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
        let main = self.main();
        if let Some(thread) = self.threads.get_mut(&main).filter(|t| t.ended.is_none() && !t.is_held()) {
            thread.hold.arm_wakeup();
        }
    }

    /// Holds this thread, once, at its next stop at which it holds no lock: a worker that sleeps because it has nothing to
    /// do is held where it has released the lock after its wait, whatever ended that.
    pub fn arm_next_release(&mut self, tid: i32) {
        if let Some(thread) = self.threads.get_mut(&tid).filter(|t| t.ended.is_none() && !t.is_held()) {
            thread.hold.arm(Rc::default(), false);
        }
    }

    /// Holds nobody else from now on; who is held stays held.
    pub fn disarm(&mut self) {
        self.arm_newcomers = false;
        for thread in self.threads.values_mut() {
            thread.hold.disarm();
        }
    }

    /// The threads that are held, and where.
    pub fn held(&self) -> Vec<(i32, At)> {
        self.alive().filter_map(|t| Some((t.tid, t.hold.at()?))).collect()
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
