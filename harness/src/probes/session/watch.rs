//! What goes on in a server while somebody waits: what matters, and turns that lead to nothing.

use crate::probes::{
    interposer::Op,
    tracer::{Tracer, event::What, ledger::Kind, syscalls::Class},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A thread that has gone around this often without anything that matters is spinning.
pub(super) const SPIN_TURNS: u64 = 200;

/// Asking takes a look at every thread.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// What happened since something last happened that matters: bytes moved, a connection came, a thread began or ended.
#[derive(Debug)]
pub(super) struct Watch {
    read: usize,
    seen: usize,
    pub(super) since: Instant,
    /// How often each thread went round for nothing.
    pub(super) idle_turns: BTreeMap<i32, u64>,
    /// How often each thread took a mutex.
    pub(super) lockings: BTreeMap<i32, u64>,
    /// The processor time that each thread had used when this began.
    pub(super) cpu: BTreeMap<i32, Duration>,
    /// When somebody was last asked whether he spins.
    asked: Instant,
    /// Child processes that were awake now and then for as long as patience lasts, and did nothing that matters: nobody
    /// waits for them any more, until they do something.
    pub(super) bystanders: BTreeSet<i32>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            read: 0,
            seen: 0,
            since: Instant::now(),
            idle_turns: BTreeMap::new(),
            lockings: BTreeMap::new(),
            cpu: BTreeMap::new(),
            asked: Instant::now(),
            bystanders: BTreeSet::new(),
        }
    }

    pub(super) fn restart(&mut self) {
        let bystanders = std::mem::take(&mut self.bystanders);
        *self = Self { read: self.read, seen: self.seen, bystanders, ..Self::new() };
    }

    /// Whether it is time to ask if some thread spins, although things move: it has gone round so often for nothing, or
    /// nothing that matters has happened for a while. One that locks and unlocks for ever keeps things moving, too.
    pub(super) fn is_suspicious(&mut self) -> bool {
        let many = self.idle_turns.values().any(|turns| *turns >= SPIN_TURNS);
        let long = self.asked.elapsed() >= ASK_EVERY;
        if long {
            self.asked = Instant::now();
        }
        many || long
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
                self.bystanders.remove(&event.tid);
                self.restart();
            } else if is_idle_turn(&event.what) {
                *self.idle_turns.entry(event.tid).or_default() += 1;
            } else if matches!(&event.what, What::Marker(marker) if marker.op == Op::MutexLocked) {
                *self.lockings.entry(event.tid).or_default() += 1;
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
        // Locks that are free are counted by themselves: a task may take many.
        _ => false,
    }
}
