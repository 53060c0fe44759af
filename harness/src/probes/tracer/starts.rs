//! Holding programs at their start: what the server, or a script, has started and what has not yet run one instruction.

use super::{Tracer, ptrace};
use crate::error::HarnessError;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Which starts are held, and who is.
#[derive(Debug, Default)]
pub(super) struct Starts {
    program: Option<PathBuf>,
    held: BTreeSet<i32>,
}

impl Tracer {
    /// From now on a process that begins to run this program is held before its first instruction; `None`: none any more.
    pub fn hold_starts_of(&mut self, program: Option<&Path>) {
        self.starts.program = program.map(|path| path.canonicalize().unwrap_or_else(|_| path.to_owned()));
    }

    /// A process that is held at its start.
    pub fn held_at_start(&self) -> Option<i32> {
        self.starts.held.first().copied()
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// As [`Tracer::drain`].
    pub fn let_start(&mut self, tid: i32) -> Result<(), HarnessError> {
        if self.starts.held.remove(&tid) { ptrace::resume(tid, ptrace::Resume::Free) } else { Ok(()) }
    }

    /// A process has replaced its program; true if it is held there. See execve(2): /proc names the new one already.
    pub(super) fn stays_at_start(&mut self, tid: i32) -> bool {
        let begins = |program: &PathBuf| {
            fs::read_link(format!("/proc/{tid}/exe")).is_ok_and(|executable| executable == *program)
        };
        self.starts.program.as_ref().is_some_and(begins) && self.starts.held.insert(tid)
    }

    /// A process has gone, wherever it was.
    pub(super) fn starts_no_more(&mut self, tid: i32) {
        self.starts.held.remove(&tid);
    }
}
