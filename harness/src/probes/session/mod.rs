//! A server under observation: launched under the tracer, with clients, driven from one thread.
//!
//! A session is where the two instruments and the clients meet. Its owner says what to do and then waits for something to be
//! *seen* ([`Session::until`]) or for everything to come to rest ([`Session::settle`]); it never waits for time to pass.

mod death;
mod explore;
mod scan;
mod start;
mod wait;
mod watch;

pub use death::Death;
pub use explore::{Deed, Explored};
pub use scan::{Snapshot, ThreadSeen};
pub use start::{Setup, environment, signal_name};
pub use wait::{Settled, Wait};

use super::{
    bell::Bell,
    clients::{Client, ClientId, Clients, Link},
    interposer::Interposer,
    machine::stretched,
    tracer::{Tracer, Trespass, event::Call, ledger::Object, syscalls::Class},
};
use crate::{
    error::{HarnessError, Trouble},
    model::Finding,
    submission::{port::Port, process::Process},
};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
};
use std::{
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A server under observation. Dropped, it is killed with everything that it started.
#[derive(Debug)]
pub struct Session {
    process: Process,
    /// What the threads do.
    pub tracer: Tracer,
    /// Who talks to the server.
    pub clients: Clients,
    port: Port,
    bell: Bell,
    watch: watch::Watch,
    scan: scan::Scan,
    ready_at: usize,
    /// Threads that wait for their turn get it one after the other, round and round; the last that did.
    orderly: Option<i32>,
    /// Its workers may have long tasks in hand.
    computes: bool,
    interposer: Interposer,
    _dir: TempDir,
}

impl Session {
    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// From now on a worker that uses processor time without doing anything counts as spinning as soon as the main thread does:
    /// it has no long tasks.
    pub fn computes_nothing(&mut self) {
        self.computes = false;
    }

    /// How many connections may wait to be accepted, as the server told listen(2).
    pub fn backlog(&self) -> u64 {
        let calls = self.tracer.events().iter().filter_map(|event| event.call());
        calls.filter(|call| call.class == Class::Listen).map(|call| call.args[1]).next().unwrap_or(0)
    }

    /// How many events the stream held when the server was ready and at rest.
    pub fn ready_at(&self) -> usize {
        self.ready_at
    }

    /// What the server printed on its standard error.
    pub fn stderr(&self) -> String {
        self.process.stderr.text()
    }

    /// The library of ours that is preloaded into the server.
    pub fn preloaded(&self) -> &Path {
        self.interposer.path()
    }

    /// Sends the server a signal; nothing happens if it has ended.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<(), HarnessError> {
        // A server that has ended is reaped, and its number may be somebody else's.
        if self.tracer.end().is_some() {
            return Ok(());
        }
        match kill(self.process.pid(), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(e) => Err(HarnessError::system(format!("send {signal} to the server"), e)),
        }
    }

    /// Connects a client and waits until the server has accepted it, or until it cannot.
    ///
    /// One at a time, so that the shortest listen backlog holds them.
    ///
    /// # Errors
    ///
    /// As [`Session::until`].
    pub fn connect(&mut self) -> Result<ClientId, Trouble> {
        let id = self.clients.connect()?;
        self.until(wait::DEADLINE, |session| {
            session.is_accepted(id) || session.clients.get(id).link() == Link::Refused
        })?;
        Ok(id)
    }

    /// Connects `count` clients as [`Session::connect`] does.
    ///
    /// # Errors
    ///
    /// As [`Session::connect`].
    pub fn connect_many(&mut self, count: usize) -> Result<Vec<ClientId>, Trouble> {
        (0..count).map(|_| self.connect()).collect()
    }

    /// Whether the server has taken this client's connection.
    pub fn is_accepted(&self, id: ClientId) -> bool {
        self.server_side(id).is_some()
    }

    /// The server's side of a client's connection, once it is accepted.
    pub fn server_side(&self, id: ClientId) -> Option<&Object> {
        let ledger = self.tracer.ledger();
        ledger.connection(self.clients.get(id).port()).map(|object| ledger.object(object))
    }

    /// A copy of the server's descriptor of a client's connection, as long as it has one.
    pub fn server_socket(&self, id: ClientId) -> Option<OwnedFd> {
        let ledger = self.tracer.ledger();
        let connection = ledger.connection(self.clients.get(id).port())?;
        self.tracer.borrow_fd(ledger.descriptor_of(connection)?)
    }

    /// Which call of which thread sent a client the last thing it got:
    /// `main thread (tid 7), sendto(fd 9, a client socket) at server.c:120 (flush)`.
    pub fn sent_by(&self, id: ClientId) -> String {
        match self.last_sent(id, |call| call.result > 0) {
            Some((tid, call)) => self.tracer.describe_call(tid, call),
            None => "nothing was sent to this client".to_owned(),
        }
    }

    /// The last such call that gave a client something, or tried to, and the thread that made it.
    pub fn last_sent(&self, id: ClientId, is_such: impl Fn(&Call) -> bool) -> Option<(i32, &Call)> {
        let connection = self.tracer.ledger().connection(self.clients.get(id).port())?;
        self.tracer.events().iter().rev().find_map(|event| {
            let sends = |call: &&Call| call.writes() == Some(connection) && is_such(call);
            Some((event.tid, event.call().filter(sends)?))
        })
    }

    /// Sends a request and waits for its answer; how the wait ended if none came.
    ///
    /// # Errors
    ///
    /// As [`Session::until`].
    pub fn ask(&mut self, id: ClientId, request: &[u8]) -> Result<Result<Vec<u8>, Wait>, Trouble> {
        let before = self.clients.get(id).answers();
        self.clients.send(id, request);
        let wait = self.until(wait::DEADLINE, |session| session.clients.get(id).answers() > before)?;
        Ok(self.clients.get(id).lines().get(before).map(|line| line.to_vec()).ok_or(wait))
    }

    /// After the end of the process: waits until every client that reads has seen the end of its connection, which the
    /// kernel sends behind the last answers.
    ///
    /// # Errors
    ///
    /// As [`Session::until`].
    pub fn hear_out(&mut self, deadline: Duration) -> Result<(), Trouble> {
        let begun = Instant::now();
        while self.tracer.end().is_some() && begun.elapsed() < stretched(deadline) {
            if !self.pump()? {
                let open = |client: &Client| client.is_reading() && client.link() == Link::Open;
                if !self.clients.iter().any(|(_, client)| open(client)) {
                    break;
                }
                self.nap(wait::TICK)?;
            }
        }
        Ok(())
    }

    /// Handles whatever is pending, without waiting. True if anything moved.
    fn pump(&mut self) -> Result<bool, Trouble> {
        if crate::interrupt::requested() {
            return Err(Trouble::Interrupted);
        }
        let stops = self.tracer.drain()?;
        if self.tracer.end().is_some() {
            self.process.set_reaped();
        }
        stays_at_home(&self.tracer)?;
        let clients = self.clients.pump();
        let printed = self.process.stdout.pump() | self.process.stderr.pump();
        self.watch.note(&self.tracer, clients);
        let moved = stops > 0 || clients || printed;
        if moved {
            self.scan.reset();
        }
        Ok(moved || self.next_in_order()?)
    }

    /// Waits until there may be something to pump, at most `longest`; true if there may be.
    fn nap(&self, longest: Duration) -> Result<bool, Trouble> {
        let output = [self.process.stdout.pipe(), self.process.stderr.pipe()];
        Ok(self.bell.wait(self.clients.poll_fds(), output.into_iter().flatten(), longest)?)
    }
}

/// A server that signals strangers is not looked at any further: the first of them would have been the harness.
///
/// # Errors
///
/// [`Trouble::Decided`] if it did.
pub fn stays_at_home(tracer: &Tracer) -> Result<(), Trouble> {
    let Some(Trespass { what, place }) = tracer.trespass() else { return Ok(()) };
    Err(Trouble::Decided(Box::new(Finding::fail(
        "the program signals no process but itself and those that it started",
        format!("it called {what}, which is none of these; the call was refused"),
        place.clone(),
        "end processes by the ids that fork gave you, never by a name; the parent is whoever started the program: a shell, a service manager, the harness",
    ))))
}

impl Drop for Session {
    fn drop(&mut self) {
        // The tracer goes last of its fields that know the process, and sees it out; see its own `drop`.
        self.tracer.end_all();
        self.process.set_reaped();
    }
}
