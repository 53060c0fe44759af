//! A server without instruments: inside another tool, or all by itself.
//!
//! Inside another tool the tracer is there, but only as a guard: it sees to it that the server lays hands on no other process
//! and that nothing which it starts outlives it. All by itself the server sees nothing of the harness but its clients: no
//! tracer, no preloaded library, and of the filter only that it refuses what would harm others.

use super::{
    bell::Bell,
    clients::{ClientId, Clients, Link},
    machine::stretched,
    proc::{Quiet, backlog, blocks, process_of, threads_of},
    session::{environment, stays_at_home},
    tracer::{self, End, Tracer, kernel::signal_thread},
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
use nix::sys::{
    signal::{Signal, kill},
    wait::WaitStatus,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long to wait before trying to connect again to a server that does not listen yet.
const RETRY: Duration = Duration::from_millis(10);

/// How long a server that will wake by itself may do nothing before it counts as at rest.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a server may take until it waits for events again. One that never does is sent its signal all the same.
const MASK_DEADLINE: Duration = Duration::from_secs(2);

/// How long to wait before looking at /proc again.
const TICK: Duration = Duration::from_millis(5);

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

impl PlainServer {
    /// Starts `program` with these arguments in a folder of its own; it is to listen on `port`.
    ///
    /// # Errors
    ///
    /// When the harness cannot start it.
    pub fn launch(program: &Path, args: &[String], port: Port) -> Result<Self, HarnessError> {
        Self::start(program, args, port, true)
    }

    /// The same all by itself.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::launch`].
    pub fn launch_alone(program: &Path, args: &[String], port: Port) -> Result<Self, HarnessError> {
        inherit_orphans();
        Self::start(program, args, port, false)
    }

    fn start(program: &Path, args: &[String], port: Port, guarded: bool) -> Result<Self, HarnessError> {
        let dir = tempfile::Builder::new()
            .prefix("quest-run-")
            .tempdir()
            .map_err(|e| HarnessError::system("make a folder for the server to run in", e))?;
        let bell = Bell::new()?;
        let env = environment(dir.path());
        let filter = guarded.then(tracer::guard_only).transpose()?;
        let launch =
            Launch { program, args, env: &env, dir: dir.path(), filter: filter.as_ref(), descriptors: None };
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

    /// After its end: those that it has left behind, and that have not ended by the deadline either.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn left_behind(&mut self, deadline: Duration) -> Result<Vec<i32>, Trouble> {
        let begun = Instant::now();
        while !self.started().is_empty() && begun.elapsed() < stretched(deadline) {
            if !self.pump()? {
                self.nap(TICK)?;
            }
        }
        Ok(self.started())
    }

    /// Connects, again and again until the server listens; `None` if it ends or does not by the deadline.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn connect_when_it_listens(&mut self, deadline: Duration) -> Result<Option<ClientId>, Trouble> {
        let begun = Instant::now();
        while self.end().is_none() && begun.elapsed() < stretched(deadline) {
            let id = self.clients.connect()?;
            self.until(deadline, |server| server.clients.get(id).link() != Link::Connecting)?;
            if self.clients.get(id).link() == Link::Open {
                return Ok(Some(id));
            }
            self.clients.close(id);
            self.pump()?;
            self.nap(RETRY)?;
        }
        Ok(None)
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

    /// Connects so many clients: all at once if the server's backlog surely holds them, else one by one, which takes its time.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn connect_many(
        &mut self,
        count: usize,
        backlog: u64,
        deadline: Duration,
    ) -> Result<Vec<ClientId>, Trouble> {
        let fits = backlog > count as u64 + 2;
        (0..count).map(|_| if fits { Ok(self.clients.connect()?) } else { self.connect(deadline) }).collect()
    }

    /// Connects a client and waits until the server has taken it out of its backlog, which may hold no more than one.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn connect(&mut self, deadline: Duration) -> Result<ClientId, Trouble> {
        let id = self.clients.connect()?;
        let port = self.port.number();
        let begun = Instant::now();
        self.until(deadline, |server| server.clients.get(id).link() != Link::Connecting)?;
        while self.end().is_none() && backlog(port) > 0 && begun.elapsed() < stretched(deadline) {
            if !self.pump()? {
                self.nap(TICK)?;
            }
        }
        Ok(id)
    }

    /// Waits until `goal` is seen or the server has come to rest without it: every thread sleeps. True if it was seen;
    /// `None` if the server was still at work at the deadline.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn until_at_rest(
        &mut self,
        deadline: Duration,
        mut goal: impl FnMut(&mut Self) -> bool,
    ) -> Result<Option<bool>, Trouble> {
        let begun = Instant::now();
        let pid = self.process.pid().as_raw();
        let mut quiet = Quiet::default();
        let mut since = Instant::now();
        while begun.elapsed() < stretched(deadline) {
            let moved = self.pump()?;
            if goal(self) {
                return Ok(Some(true));
            }
            if self.end().is_some() {
                return Ok(Some(false));
            }
            if moved || self.clients.iter().any(|(_, client)| client.in_flight() > 0) {
                quiet.reset();
                since = Instant::now();
            } else if let Some(sleep) = quiet.look(threads_of(pid).into_iter())
                && ((!sleep.timed && sleep.limited_by.is_empty()) || since.elapsed() >= stretched(PATIENCE))
            {
                return Ok(Some(false));
            }
            if !moved {
                self.nap(TICK)?;
            }
        }
        Ok(None)
    }

    /// Sends the server a signal: its main thread, unless that blocks it. To whom the kernel gives a signal that is sent to a
    /// process depends on who runs just then, and what a handler does on a worker is another thing than on the main thread.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`], and when it is gone.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Trouble> {
        if self.end().is_some() {
            return Ok(());
        }
        let pid = self.process.pid();
        let begun = Instant::now();
        let blocked = loop {
            let blocked = blocks(pid.as_raw(), signal as i32);
            if blocked.is_some() || self.end().is_some() || begun.elapsed() >= stretched(MASK_DEADLINE) {
                break blocked;
            }
            if !self.pump()? {
                self.nap(TICK)?;
            }
        };
        let sent = match blocked {
            Some(false) => signal_thread(pid, pid.as_raw(), signal),
            _ if self.end().is_some() => Ok(()),
            _ => kill(pid, signal),
        };
        sent.map_err(|e| HarnessError::system(format!("send {signal} to the server"), e).into())
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
