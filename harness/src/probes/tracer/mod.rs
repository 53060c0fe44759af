//! The tracer: every thread of a server under ptrace, stopped only at the calls that matter.
//!
//! One thread of the harness owns a tracer and everything it knows. Nothing happens between two calls of
//! [`Tracer::drain`]: stops queue up in the kernel until the owner looks, so what the owner reads does not change under it.

mod arguments;
mod control;
mod ending;
pub mod event;
mod filter;
mod gate;
mod guard;
mod holds;
pub mod kernel;
pub mod ledger;
mod origin;
mod ptrace;
mod starts;
mod stops;
pub mod syscalls;
pub mod thread;
mod usable;
mod words;

pub use control::Shorten;
pub use filter::{filter, guard_only};
pub use gate::{Nudge, Place};
pub use guard::Trespass;
pub use holds::{At, Turn};
pub use usable::usable;

use crate::error::HarnessError;
use event::Event;
use ledger::Ledger;
use nix::unistd::Pid;
use origin::Origin;
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};
use thread::{Role, Thread};

/// How many events are kept. A server that spins makes tens of thousands a second; the first ones tell the story.
const MOST_EVENTS: usize = 500_000;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By exit(3), with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// A signal by which a thread ends its process when it has made a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Struck {
    /// The thread.
    pub tid: i32,
    /// The signal.
    pub signal: i32,
    /// The address in the submission's code at which it happened, or behind the call into a library in which it happened.
    pub at: Option<u64>,
}

/// A server under the tracer.
#[derive(Debug)]
pub struct Tracer {
    leader: Pid,
    pidfd: Option<OwnedFd>,
    launched: Instant,
    origin: Option<Origin>,
    threads: BTreeMap<i32, Thread>,
    ledger: Ledger,
    events: Vec<Event>,
    /// Every event counts here, kept or not.
    seen: usize,
    workers: u32,
    executed: bool,
    markers: bool,
    /// A timer was set that ends by a signal.
    alarms: bool,
    arm_newcomers: bool,
    trespass: Option<Trespass>,
    short_sends: Option<control::ShortSends>,
    struck: Option<Struck>,
    /// What was open when the process called exit_group(2).
    left_open: Option<Vec<(i32, ledger::ObjectId)>>,
    /// The threads whose next wait is to end at once: for this condition variable, or for any.
    spurious: BTreeMap<i32, Option<u64>>,
    /// The threads that are to be held before they have their mutex back when their next wait has timed out.
    late: BTreeSet<i32>,
    /// The threads that are not to end, and whether they would have.
    kept: BTreeMap<i32, bool>,
    clock_locks: bool,
    gate_closed: bool,
    starts: starts::Starts,
    end: Option<(End, Duration)>,
}

impl Tracer {
    /// Seizes a child of the calling thread that waits to be let go. From then on only this thread may use the tracer, and
    /// the thread may have no other tracer and no other child: whoever waits gets the stops of all of them.
    ///
    /// # Errors
    ///
    /// When ptrace is refused (a container without `CAP_SYS_PTRACE`, another debugger).
    pub fn seize(leader: Pid) -> Result<Self, HarnessError> {
        ptrace::seize(leader)?;
        let main = Thread::new(leader.as_raw(), Role::Main, Duration::ZERO);
        Ok(Self {
            leader,
            pidfd: kernel::pidfd(leader),
            launched: Instant::now(),
            origin: None,
            threads: BTreeMap::from([(leader.as_raw(), main)]),
            ledger: Ledger::default(),
            events: Vec::new(),
            seen: 0,
            workers: 0,
            executed: false,
            markers: false,
            alarms: false,
            arm_newcomers: false,
            trespass: None,
            short_sends: None,
            struck: None,
            left_open: None,
            spurious: BTreeMap::new(),
            late: BTreeSet::new(),
            kept: BTreeMap::new(),
            clock_locks: false,
            gate_closed: false,
            starts: starts::Starts::default(),
            end: None,
        })
    }

    /// Handles every stop that is pending; how many there were.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a ptrace request on a thread that is alive.
    pub fn drain(&mut self) -> Result<usize, HarnessError> {
        let mut handled = 0;
        while let Some((tid, stop)) = ptrace::next_stop()? {
            self.handle(tid, stop)?;
            handled += 1;
        }
        Ok(handled)
    }

    /// Whether a timer may end a sleep that has no deadline of its own: a timerfd that is armed, or a timer that signals.
    pub fn has_timers(&self) -> bool {
        let armed = |(fd, id): (i32, ledger::ObjectId)| {
            self.ledger.object(id).kind == ledger::Kind::Timerfd
                && crate::probes::proc::timer_is_armed(self.main(), fd)
        };
        self.alarms || self.ledger.open().any(armed)
    }

    /// Everything that happened so far, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// How many events there were, those included that were too many to keep.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Every thread there ever was.
    pub fn threads(&self) -> impl Iterator<Item = &Thread> {
        self.threads.values()
    }

    /// The threads of which a stop may still come.
    pub fn unreaped(&self) -> impl Iterator<Item = &Thread> {
        self.threads.values().filter(|t| !t.reaped)
    }

    /// The threads of the server that have not ended.
    pub fn alive(&self) -> impl Iterator<Item = &Thread> {
        self.threads.values().filter(|t| t.ended.is_none())
    }

    /// The threads that were created beside the main thread and have not ended.
    pub fn alive_workers(&self) -> impl Iterator<Item = &Thread> {
        self.alive().filter(|t| matches!(t.role, Role::Worker(_)))
    }

    /// The thread with this id.
    pub fn thread(&self, tid: i32) -> Option<&Thread> {
        self.threads.get(&tid)
    }

    /// The id of the main thread, which is the process's.
    pub fn main(&self) -> i32 {
        self.leader.as_raw()
    }

    /// What the server's descriptors stand for.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The descriptors that were open when the process began to end by itself; of one that was killed, or is alive, those
    /// that are open now.
    pub fn left_open(&self) -> Vec<(i32, ledger::ObjectId)> {
        self.left_open.clone().unwrap_or_else(|| self.ledger.open().collect())
    }

    /// `queue_lock`, or `pool+40`: the variable of the submission's program that lies at an address, as far as its symbol
    /// table tells; nothing for an address on the heap or a stack.
    pub fn variable(&self, address: u64) -> Option<String> {
        self.origin.as_ref()?.variable(address)
    }

    /// Whether an address lies in the submission's own code, not in a library's.
    pub fn is_own(&self, address: u64) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.is_own(address))
    }

    /// Whether one of these words stands in the submission's executable: the name of a library or a section tells of the
    /// language that it is written in.
    pub fn mentions(&self, words: &[&str]) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.mentions(words))
    }

    /// Time since the launch.
    pub fn now(&self) -> Duration {
        self.launched.elapsed()
    }

    /// Whether the submission's program has begun (exec worked).
    pub fn executed(&self) -> bool {
        self.executed
    }

    /// Whether the preloaded library spoke: the program is dynamically linked.
    pub fn has_markers(&self) -> bool {
        self.markers
    }

    /// Whether the process has begun to end by itself: it has called exit_group(2), or its main thread has ended.
    pub fn is_ending(&self) -> bool {
        self.left_open.is_some() || self.thread(self.main()).is_some_and(|main| main.ended.is_some())
    }

    /// How and when the process ended.
    pub fn end(&self) -> Option<(End, Duration)> {
        self.end
    }

    /// How long this thread is, or was until it ended, ready to run without a processor.
    pub fn time_without_processor(&self, thread: &Thread) -> Duration {
        match thread.ended {
            Some(_) => thread.waited,
            None => crate::probes::proc::time_without_processor(thread.tid),
        }
    }

    /// The last signal that a thread brought upon itself.
    pub fn struck(&self) -> Option<Struck> {
        self.struck
    }

    /// A copy of the server's descriptor `fd`.
    pub fn borrow_fd(&self, fd: i32) -> Option<OwnedFd> {
        kernel::borrow_fd(self.pidfd.as_ref()?, fd)
    }
}
