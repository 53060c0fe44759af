//! Waiting for something to be seen, with a deadline, and telling apart *it cannot come any more* and *it has not come yet*.

use super::{Session, Snapshot};
use crate::{
    error::Trouble,
    probes::{
        machine::stretched,
        tracer::{Tracer, event::What, ledger::Kind, syscalls::Class, thread::Role},
    },
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long something may take that a machine does in milliseconds. Stretched with the machine; only what is broken waits
/// so long.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How long a server whose threads sleep with deadlines of their own (a tick, a timeout) may do nothing that matters before
/// it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long to wait before looking at /proc again: a thread that falls asleep does not say so.
pub(super) const TICK: Duration = Duration::from_micros(200);

/// A thread that has gone around this often without anything that matters is spinning.
const SPIN_TURNS: u64 = 200;

/// A server may gather what comes in for so long before it goes on.
const SHORT_TIMER: Duration = Duration::from_millis(30);

/// A thread that naps between looks has seen all there is after so many looks in vain.
const NAP_TURNS: u64 = 10;

/// A main thread that has used this much processor time without a call that matters is spinning.
const SPIN_TIME: Duration = Duration::from_millis(300);

/// The same for a worker, which may have a long task in hand.
const WORKER_SPIN_TIME: Duration = Duration::from_secs(4);

/// How [`Session::until`] ended.
#[derive(Clone, Debug)]
pub enum Wait {
    /// It was seen.
    Reached,
    /// It cannot come any more: every thread sleeps and nothing is on its way (or nothing that matters has happened for
    /// seconds).
    Stalled(Snapshot),
    /// It has not come by the deadline, and the server was still at work.
    Busy(Snapshot),
    /// The server's process has ended without it.
    Ended,
}

impl Wait {
    /// Whether it was seen.
    pub fn reached(&self) -> bool {
        matches!(self, Self::Reached)
    }
}

/// How [`Session::settle`] ended.
#[derive(Clone, Debug)]
pub enum Settled {
    /// Every thread sleeps or is held, and nothing is on its way.
    AtRest(Snapshot),
    /// All the same but for these threads, which go round and round without doing anything that matters.
    Spinning(Vec<i32>, Snapshot),
    /// The server was still at work at the deadline.
    Busy(Snapshot),
    /// The server's process has ended.
    Ended,
}

impl Settled {
    /// What every thread was doing.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        match self {
            Self::AtRest(snapshot) | Self::Spinning(_, snapshot) | Self::Busy(snapshot) => Some(snapshot),
            Self::Ended => None,
        }
    }
}

/// What happened since something last happened that matters: bytes moved, a connection came, a thread began or ended.
#[derive(Debug)]
pub(super) struct Watch {
    read: usize,
    seen: usize,
    since: Instant,
    /// How often each thread went round for nothing.
    idle_turns: BTreeMap<i32, u64>,
    /// The processor time that each thread had used when this began.
    cpu: BTreeMap<i32, Duration>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { read: 0, seen: 0, since: Instant::now(), idle_turns: BTreeMap::new(), cpu: BTreeMap::new() }
    }

    fn restart(&mut self) {
        *self = Self { read: self.read, seen: self.seen, ..Self::new() };
    }

    /// Whether some thread has gone round so often for nothing that it may be spinning.
    fn is_suspicious(&self) -> bool {
        self.idle_turns.values().any(|turns| *turns >= SPIN_TURNS)
    }

    /// Reads the events that are new.
    pub(super) fn note(&mut self, tracer: &Tracer, clients_moved: bool) {
        let new = &tracer.events()[self.read..];
        // Beyond what is kept there is only more of the same, made by whoever made it before.
        let unkept = (tracer.seen() - self.seen).saturating_sub(new.len()) as u64;
        let read = self.read;
        if clients_moved {
            self.restart();
        }
        // In order: turns that came before the last thing that matters do not count.
        for event in &tracer.events()[read..] {
            // What a timer tells is no more than the end of an epoll_wait whose time is over.
            let object = event.call().and_then(|call| call.object).map(|id| tracer.ledger().object(id));
            let timer = object.is_some_and(|object| object.kind == Kind::Timerfd);
            if matters(&event.what) && !timer {
                self.restart();
            } else if is_idle_turn(&event.what) {
                *self.idle_turns.entry(event.tid).or_default() += 1;
            }
        }
        if let Some(busiest) = self.idle_turns.values_mut().max() {
            *busiest += unkept;
        }
        self.read = tracer.events().len();
        self.seen = tracer.seen();
    }
}

/// Whether an event means that the server has done something for somebody.
fn matters(what: &What) -> bool {
    match what {
        What::Call(call) => match call.class {
            // What goes to a log, or comes from a file, is nothing done for anybody: a loop that spins may say so each time.
            Class::Receive | Class::Send => call.result > 0 && call.object.is_some(),
            Class::Accept => call.result >= 0,
            Class::EpollWait | Class::EpollControl | Class::Poll => false,
            // EAGAIN from a call that was tried in vain.
            _ => call.result >= 0,
        },
        What::Marker(_) | What::Spurious => false,
        What::Began | What::Ended | What::Signal(_) | What::Exec | What::ExitGroup(_) => true,
    }
}

/// Whether an event is one that a server makes over and over when it spins.
fn is_idle_turn(what: &What) -> bool {
    match what {
        What::Call(call) => {
            matches!(call.class, Class::EpollWait | Class::Poll | Class::Accept) || call.result < 0
        }
        // Locks that are free are no turns: a loop that does nothing else shows by its processor time.
        _ => false,
    }
}

impl Session {
    /// Waits until `goal` is seen.
    ///
    /// # Errors
    ///
    /// When the harness fails or the user interrupts.
    pub fn until(
        &mut self,
        deadline: Duration,
        goal: impl FnMut(&mut Self) -> bool,
    ) -> Result<Wait, Trouble> {
        self.until_patiently(deadline, PATIENCE, goal)
    }

    /// As [`Session::until`], for a server that may rightly do nothing for so long before it goes on by itself.
    ///
    /// # Errors
    ///
    /// As [`Session::until`].
    pub fn until_patiently(
        &mut self,
        deadline: Duration,
        patience: Duration,
        mut goal: impl FnMut(&mut Self) -> bool,
    ) -> Result<Wait, Trouble> {
        let (deadline, patience) = (stretched(deadline), stretched(patience));
        let begun = Instant::now();
        self.watch.restart();
        loop {
            let moved = self.pump()?;
            if goal(self) {
                return Ok(Wait::Reached);
            }
            if self.has_ended() {
                return Ok(Wait::Ended);
            }
            let late = begun.elapsed() >= deadline;
            // Looking at every thread is dear, and needless while things move.
            if !moved && !self.nap(TICK)? {
                let rest = self.at_rest();
                let patient = self.watch.since.elapsed() < patience;
                if rest.as_ref().is_some_and(|sleep| !sleep.timed)
                    || (!patient && (rest.is_some() || !self.spinning().is_empty()))
                {
                    return Ok(Wait::Stalled(self.snapshot()));
                }
            } else if self.watch.is_suspicious()
                && self.watch.since.elapsed() >= patience
                && !self.spinning().is_empty()
            {
                return Ok(Wait::Stalled(self.snapshot()));
            }
            if late {
                return Ok(Wait::Busy(self.snapshot()));
            }
        }
    }

    /// Waits until nothing more happens: every thread sleeps or is held, and nothing is on its way.
    ///
    /// # Errors
    ///
    /// As [`Session::until`].
    pub fn settle(&mut self) -> Result<Settled, Trouble> {
        self.settle_within(DEADLINE)
    }

    /// As [`Session::settle`], with a deadline of the caller's: for one who can go on without it.
    ///
    /// # Errors
    ///
    /// As [`Session::until`].
    pub fn settle_within(&mut self, deadline: Duration) -> Result<Settled, Trouble> {
        let deadline = stretched(deadline);
        let begun = Instant::now();
        self.watch.restart();
        loop {
            let moved = self.pump()?;
            if self.has_ended() {
                return Ok(Settled::Ended);
            }
            let quiet = !moved && !self.nap(TICK)?;
            if quiet
                && let Some(sleep) = self.at_rest()
                && sleep.napping.iter().all(|tid| self.has_looked(*tid))
                && (!sleep.timed || begun.elapsed() >= stretched(SHORT_TIMER))
            {
                return Ok(Settled::AtRest(self.snapshot()));
            }
            // Whoever spins keeps things moving: asked now and then, because it is dear too.
            if quiet || self.watch.is_suspicious() {
                let spinning = self.spinning();
                if !spinning.is_empty() {
                    return Ok(Settled::Spinning(spinning, self.snapshot()));
                }
            }
            if begun.elapsed() >= deadline {
                return Ok(Settled::Busy(self.snapshot()));
            }
        }
    }

    /// Whether a thread that naps between looks has looked in vain since something last happened: what had come for it by
    /// then, it has seen.
    fn has_looked(&self, tid: i32) -> bool {
        let turns = self.watch.idle_turns.get(&tid).copied().unwrap_or(0);
        turns >= NAP_TURNS || self.watch.since.elapsed() >= stretched(PATIENCE)
    }

    /// The process has ended, and everything that it sent has come.
    fn has_ended(&self) -> bool {
        self.tracer.end().is_some()
    }

    /// The threads that go round without doing anything that matters, if that is all that goes on: many turns with nothing
    /// to show for, or processor time without any call.
    fn spinning(&mut self) -> Vec<i32> {
        let mut spinning = Vec::new();
        for thread in self.snapshot().threads {
            let turns = self.watch.idle_turns.get(&thread.tid).copied().unwrap_or(0);
            let used = thread.cpu.saturating_sub(*self.watch.cpu.entry(thread.tid).or_insert(thread.cpu));
            let most = if thread.role == Role::Main { SPIN_TIME } else { WORKER_SPIN_TIME };
            if turns >= SPIN_TURNS || used >= most {
                spinning.push(thread.tid);
            }
        }
        spinning
    }
}
