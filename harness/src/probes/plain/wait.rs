//! Waiting for a server without instruments: until it listens, until it is at rest, until nobody is left of it.

use super::PlainServer;
use crate::{
    error::{HarnessError, Trouble},
    probes::{
        clients::{ClientId, Link},
        machine::stretched,
        proc::{Quiet, Sleep, backlog, blocks, thread_state, threads_of},
        tracer::{
            Tracer,
            kernel::{has_time_limit, signal_thread},
            syscalls::OnSocket,
        },
    },
};
use nix::sys::signal::{Signal, kill};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How long to wait before trying to connect again to a server that does not listen yet.
const RETRY: Duration = Duration::from_millis(10);

/// How long a server that will wake by itself may do nothing before it counts as at rest.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a server may take until it waits for events again. One that never does is sent its signal all the same.
const MASK_DEADLINE: Duration = Duration::from_secs(2);

/// How long to wait before looking at /proc again.
const TICK: Duration = Duration::from_millis(5);

impl PlainServer {
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

    /// Waits until a process begins to run `program`: its id. It is held before its first instruction until
    /// [`PlainServer::let_start`]. `None` if none does before the end, or by the deadline.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn until_it_starts(&mut self, program: &Path, deadline: Duration) -> Result<Option<i32>, Trouble> {
        let held = |server: &Self| server.tracer.as_ref().and_then(Tracer::held_at_start);
        self.hold_starts_of(Some(program));
        self.until(deadline, |server| held(server).is_some() || server.end().is_some())?;
        self.hold_starts_of(None);
        Ok(held(self))
    }

    fn hold_starts_of(&mut self, program: Option<&Path>) {
        if let Some(tracer) = &mut self.tracer {
            tracer.hold_starts_of(program);
        }
    }

    /// Lets a process go on that was held at its start.
    ///
    /// # Errors
    ///
    /// When the harness fails.
    pub fn let_start(&mut self, pid: i32) -> Result<(), HarnessError> {
        self.tracer.as_mut().map_or(Ok(()), |tracer| tracer.let_start(pid))
    }

    /// Waits until the main thread sleeps; false if it has not by the deadline, which is not stretched.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn until_it_waits(&mut self, deadline: Duration) -> Result<bool, Trouble> {
        let pid = self.process.pid().as_raw();
        self.until_asked(deadline, || thread_state(pid).is_some_and(|state| state.asleep))
    }

    /// Waits for something that must be asked for again and again; false if it is not so by the end, or the deadline, which is not
    /// stretched: somebody else's patience may hang on it.
    ///
    /// # Errors
    ///
    /// As [`PlainServer::until`].
    pub fn until_asked(
        &mut self,
        deadline: Duration,
        mut is_so: impl FnMut() -> bool,
    ) -> Result<bool, Trouble> {
        let begun = Instant::now();
        while self.end().is_none() && begun.elapsed() < deadline {
            let moved = self.pump()?;
            if is_so() {
                return Ok(true);
            }
            if !moved {
                self.nap(TICK)?;
            }
        }
        Ok(false)
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
        self.until(deadline, |server| server.clients.get(id).link() != Link::Connecting)?;
        self.until_asked(stretched(deadline), || backlog(port) == 0)?;
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
                && (!self.wakes_by_itself(&sleep) || since.elapsed() >= stretched(PATIENCE))
            {
                return Ok(Some(false));
            }
            if !moved {
                self.nap(TICK)?;
            }
        }
        Ok(None)
    }

    /// Whether somebody who sleeps may have a deadline of its own.
    fn wakes_by_itself(&self, sleep: &Sleep) -> bool {
        let limited = |(_, on): &(i32, OnSocket)| {
            let socket = self.tracer.as_ref().and_then(|tracer| tracer.borrow_fd(on.fd));
            socket.is_none_or(|socket| has_time_limit(&socket, on.sends))
        };
        sleep.timed || sleep.limited_by.iter().any(limited)
    }

    /// Sends a program with one thread a signal, at once.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn signal_at_once(&self, signal: Signal) -> Result<(), HarnessError> {
        if self.end().is_some() {
            return Ok(());
        }
        kill(self.process.pid(), signal)
            .map_err(|e| HarnessError::system(format!("send {signal} to the program"), e))
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
        let mut blocked = None;
        self.until_asked(stretched(MASK_DEADLINE), || {
            blocked = blocks(pid.as_raw(), signal as i32);
            blocked.is_some()
        })?;
        let sent = match blocked {
            Some(false) => signal_thread(pid, pid.as_raw(), signal),
            _ if self.end().is_some() => Ok(()),
            _ => kill(pid, signal),
        };
        sent.map_err(|e| HarnessError::system(format!("send {signal} to the server"), e).into())
    }
}
