//! A server without the tracer: as it runs for everybody, or inside another tool.

use super::{
    bell::Bell,
    clients::{ClientId, Clients, Link},
    machine::stretched,
    proc::{Quiet, backlog, threads_of},
    session::environment,
};
use crate::{
    error::{HarnessError, Trouble},
    interrupt,
    submission::launch::{Launch, Process},
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

/// How long to wait before looking at /proc again.
const TICK: Duration = Duration::from_millis(5);

/// A running server. Dropped, it is killed with its whole group.
#[derive(Debug)]
pub struct PlainServer {
    process: Process,
    /// Who talks to it.
    pub clients: Clients,
    port: u16,
    bell: Bell,
    end: Option<WaitStatus>,
    dir: TempDir,
}

impl PlainServer {
    /// Starts `program` with these arguments in a folder of its own; it is to listen on `port`.
    ///
    /// # Errors
    ///
    /// When the harness cannot start it.
    pub fn launch(program: &Path, args: &[String], port: u16) -> Result<Self, HarnessError> {
        let dir = tempfile::Builder::new()
            .prefix("quest-run-")
            .tempdir()
            .map_err(|e| HarnessError::system("make a folder for the server to run in", e))?;
        let bell = Bell::new()?;
        let env = environment(dir.path());
        let mut process = Launch { program, args, env: &env, dir: dir.path(), filter: None }.spawn()?;
        process.go()?;
        Ok(Self { process, clients: Clients::new(port), port, bell, end: None, dir })
    }

    /// The folder that it runs in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// How it ended.
    pub fn end(&self) -> Option<WaitStatus> {
        self.end
    }

    /// What it printed on its standard error.
    pub fn stderr(&self) -> String {
        self.process.stderr.text()
    }

    /// Connects, again and again until the server listens; `None` if it ends or does not by the deadline.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn connect_when_it_listens(&mut self, deadline: Duration) -> Result<Option<ClientId>, Trouble> {
        let begun = Instant::now();
        while self.end.is_none() && begun.elapsed() < stretched(deadline) {
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
            if self.end.is_some() || begun.elapsed() >= deadline {
                return Ok(false);
            }
            self.nap(deadline.saturating_sub(begun.elapsed()))?;
        }
    }

    /// Connects a client and waits until the server has taken it out of its backlog, which may hold no more than one.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn connect(&mut self, deadline: Duration) -> Result<ClientId, Trouble> {
        let id = self.clients.connect()?;
        let port = self.port;
        let begun = Instant::now();
        self.until(deadline, |server| server.clients.get(id).link() != Link::Connecting)?;
        while self.end.is_none() && backlog(port) > 0 && begun.elapsed() < stretched(deadline) {
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
        while begun.elapsed() < stretched(deadline) {
            let moved = self.pump()?;
            if goal(self) {
                return Ok(Some(true));
            }
            if self.end.is_some() {
                return Ok(Some(false));
            }
            if moved || self.clients.iter().any(|(_, client)| client.in_flight() > 0) {
                quiet.reset();
            } else if quiet.look(pid, threads_of(pid).into_iter()).is_some() {
                return Ok(Some(false));
            }
            if !moved {
                self.nap(TICK)?;
            }
        }
        Ok(None)
    }

    /// Sends the server a signal.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn signal(&mut self, signal: Signal) -> Result<(), HarnessError> {
        if self.end.is_some() {
            return Ok(());
        }
        kill(self.process.pid(), signal)
            .map_err(|e| HarnessError::system(format!("send {signal} to the server"), e))
    }

    fn pump(&mut self) -> Result<bool, Trouble> {
        if interrupt::requested() {
            return Err(Trouble::Interrupted);
        }
        let moved = self.clients.pump() | self.process.stdout.pump() | self.process.stderr.pump();
        if self.end.is_none() {
            self.end = self.process.try_wait()?;
        }
        Ok(moved)
    }

    fn nap(&self, longest: Duration) -> Result<bool, HarnessError> {
        let output = [self.process.stdout.pipe(), self.process.stderr.pipe()];
        self.bell.wait(self.clients.poll_fds(), output.into_iter().flatten(), longest)
    }
}
