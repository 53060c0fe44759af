//! A server without instruments: inside another tool, or all by itself.
//!
//! Inside another tool the tracer is there, but only as a guard: it sees to it that the server lays hands on no other process
//! and that nothing which it starts outlives it. All by itself the server sees nothing of the harness but its clients: no
//! tracer, no preloaded library, and of the filter only that it refuses what would harm others.

mod limit;
mod wait;

use super::{
    bell::Bell,
    clients::Clients,
    machine::stretched,
    proc::{process_of, threads_of},
    session::{environment, stays_at_home},
    tracer::{self, End, Tracer},
};
use crate::{
    error::{HarnessError, Trouble},
    interrupt,
    submission::{
        launch::Launch,
        port::Port,
        process::{Process, end_orphans_of, inherit_orphans},
    },
};
use nix::sys::wait::WaitStatus;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A running server. Dropped, it is killed with its whole group.
#[derive(Debug)]
pub struct PlainServer {
    process: Process,
    tracer: Option<Tracer>,
    end: Option<End>,
    /// Who talks to it.
    pub clients: Clients,
    port: Port,
    bell: Bell,
    dir: TempDir,
}

/// Who is with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// A tracer as its guard.
    Guarded,
    /// That, and nobody else on its network.
    Apart,
    /// Nobody.
    Alone,
}

impl PlainServer {
    /// Starts `program` with these arguments in a folder of its own; it is to listen on `port`.
    ///
    /// # Errors
    ///
    /// When the harness cannot start it.
    pub fn launch(program: &Path, args: &[String], port: Port) -> Result<Self, HarnessError> {
        Self::start(program, args, port, Manner::Guarded)
    }

    /// The same in a network of its own, where that [is possible](crate::submission::sandbox::network::is_possible): every port is free there, and the harness
    /// itself cannot reach it.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::launch`].
    pub fn launch_apart(program: &Path, args: &[String], port: Port) -> Result<Self, HarnessError> {
        Self::start(program, args, port, Manner::Apart)
    }

    /// The same all by itself.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::launch`].
    pub fn launch_alone(program: &Path, args: &[String], port: Port) -> Result<Self, HarnessError> {
        inherit_orphans();
        Self::start(program, args, port, Manner::Alone)
    }

    fn start(program: &Path, args: &[String], port: Port, manner: Manner) -> Result<Self, HarnessError> {
        let dir = tempfile::Builder::new()
            .prefix("quest-run-")
            .tempdir()
            .map_err(|e| HarnessError::system("make a folder for the server to run in", e))?;
        let bell = Bell::new()?;
        let guarded = manner != Manner::Alone;
        let env = environment(dir.path());
        let filter = guarded.then(tracer::guard_only).transpose()?;
        let launch = Launch {
            program,
            args,
            env: &env,
            dir: dir.path(),
            filter: filter.as_ref(),
            descriptors: None,
            own_network: manner == Manner::Apart,
        };
        let mut process = launch.spawn()?;
        let tracer = guarded.then(|| Tracer::seize(process.pid())).transpose()?;
        process.go()?;
        Ok(Self { process, tracer, end: None, clients: Clients::new(port.number()), port, bell, dir })
    }

    /// How it ended.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// How many threads it has now.
    pub fn threads(&self) -> usize {
        threads_of(self.process.pid().as_raw()).len()
    }

    /// What it printed on its standard error.
    pub fn stderr(&self) -> String {
        self.process.stderr.text()
    }

    /// What it printed on its standard output.
    pub fn stdout(&self) -> String {
        self.process.stdout.text()
    }

    /// The folder that it runs in, which is also its `TMPDIR`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The processes beside its own that it has started, or they, and that have not ended: their ids. None where no guard is there.
    pub fn started(&self) -> Vec<i32> {
        let threads =
            self.tracer.iter().flat_map(|tracer| tracer.alive().map(|thread| (thread.tid, tracer.main())));
        let mut pids: Vec<i32> =
            threads.filter(|(tid, main)| tid != main).filter_map(|(tid, _)| process_of(tid)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids.retain(|pid| *pid != self.process.pid().as_raw());
        pids
    }

    /// Waits until `goal` is seen; false if the server has ended or the deadline passed without it.
    ///
    /// # Errors
    ///
    /// When the harness fails or the user interrupts.
    pub fn until(
        &mut self,
        deadline: Duration,
        mut goal: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, Trouble> {
        let deadline = stretched(deadline);
        let begun = Instant::now();
        loop {
            let moved = self.pump()?;
            if goal(self) {
                return Ok(true);
            }
            if moved && begun.elapsed() < deadline {
                continue;
            }
            if self.end().is_some() || begun.elapsed() >= deadline {
                return Ok(false);
            }
            self.nap(deadline.saturating_sub(begun.elapsed()))?;
        }
    }

    fn pump(&mut self) -> Result<bool, Trouble> {
        if interrupt::requested() {
            return Err(Trouble::Interrupted);
        }
        let mut stops = 0;
        if let Some(tracer) = &mut self.tracer {
            stops = tracer.drain()?;
            stays_at_home(tracer)?;
            self.end = tracer.end().map(|(end, _)| end);
            if self.end.is_some() {
                self.process.set_reaped();
            }
        } else if self.end.is_none() {
            self.end = match self.process.try_wait()? {
                Some(WaitStatus::Exited(_, status)) => Some(End::Status(status)),
                Some(WaitStatus::Signaled(_, signal, _)) => Some(End::Signal(signal as i32)),
                _ => None,
            };
        }
        let printed = self.process.stdout.pump() | self.process.stderr.pump();
        Ok(self.clients.pump() | printed | (stops > 0))
    }

    fn nap(&self, longest: Duration) -> Result<bool, HarnessError> {
        let output = [self.process.stdout.pipe(), self.process.stderr.pipe()];
        self.bell.wait(self.clients.poll_fds(), output.into_iter().flatten(), longest)
    }
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        if let Some(tracer) = &mut self.tracer {
            tracer.end_all();
            self.process.set_reaped();
        } else {
            self.process.end();
            end_orphans_of(self.dir.path());
        }
    }
}
