//! The end of a server, whatever it was doing.

use super::{
    Tracer,
    thread::{Role, Thread},
};
use nix::{
    poll::ppoll,
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::time::{Duration, Instant};

impl Drop for Tracer {
    fn drop(&mut self) {
        self.end_all();
    }
}

impl Tracer {
    /// Kills everybody and sees them out: a thread may stop once more on its way, and then waits for its tracer.
    pub fn end_all(&mut self) {
        const LONGEST: Duration = Duration::from_secs(10);
        const TICK: Duration = Duration::from_millis(1);
        if self.unreaped().next().is_none() {
            return;
        }
        // The group first; then what has left it, perhaps the leader itself.
        let _ = killpg(self.leader, Signal::SIGKILL);
        let left = |t: &&Thread| t.role == Role::Child || t.role == Role::Main;
        for thread in self.unreaped().filter(left) {
            let _ = kill(Pid::from_raw(thread.tid), Signal::SIGKILL);
        }
        let begun = Instant::now();
        while self.unreaped().next().is_some() && begun.elapsed() < LONGEST {
            match self.drain() {
                // Nothing to wait on but time: SIGCHLD may go to whoever listens for it.
                Ok(0) => drop(ppoll(&mut [], Some(TICK.into()), None)),
                Ok(_) => {}
                // Only to be reached when the kernel refuses ptrace; the tracees die with the harness at the latest.
                Err(_) => break,
            }
        }
    }
}
