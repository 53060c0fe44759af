//! The tracer: every thread of a server under ptrace, stopped only at the calls that matter.
//!
//! One thread of the harness owns a tracer and everything it knows. Nothing happens between two calls of
//! [`Tracer::drain`]: stops queue up in the kernel until the owner looks, so what the owner reads does not change under it.

pub mod event;
mod filter;
mod holds;
pub mod kernel;
pub mod ledger;
mod ptrace;
mod usable;
pub mod syscalls;
pub mod thread;

pub use filter::filter;
pub use holds::At;
pub use usable::usable;

use crate::{
    error::HarnessError,
    probes::interposer::{MARKER_CALL, Marker, Op},
};
use event::{Call, Event, What};
use holds::{Candidate, Idle};
use ledger::{Extra, Ledger};
use nix::unistd::Pid;
use ptrace::{Resume, Stop};
use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};
use syscalls::Class;
use thread::{Inside, Role, Thread, Waiting};

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

/// A server under the tracer.
#[derive(Debug)]
pub struct Tracer {
    leader: Pid,
    pidfd: Option<OwnedFd>,
    launched: Instant,
    threads: BTreeMap<i32, Thread>,
    ledger: Ledger,
    events: Vec<Event>,
    /// Every event counts here, kept or not.
    seen: usize,
    workers: u32,
    executed: bool,
    markers: bool,
    arm_newcomers: bool,
    end: Option<(End, Duration)>,
}

impl Tracer {
    /// Seizes a child of the calling thread that waits to be let go. From then on only this thread may use the tracer.
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
            threads: BTreeMap::from([(leader.as_raw(), main)]),
            ledger: Ledger::default(),
            events: Vec::new(),
            seen: 0,
            workers: 0,
            executed: false,
            markers: false,
            arm_newcomers: false,
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

    /// `worker 2 (tid 4711)`, also for a thread that has ended.
    pub fn name(&self, tid: i32) -> String {
        self.threads.get(&tid).map_or_else(|| format!("tid {tid}"), Thread::name)
    }

    /// The id of the main thread, which is the process's.
    pub fn main(&self) -> i32 {
        self.leader.as_raw()
    }

    /// What the server's descriptors stand for.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
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

    /// How and when the process ended.
    pub fn end(&self) -> Option<(End, Duration)> {
        self.end
    }

    /// A copy of the server's descriptor `fd`.
    pub fn borrow_fd(&self, fd: i32) -> Option<OwnedFd> {
        kernel::borrow_fd(self.pidfd.as_ref()?, fd)
    }

    /// From now on holds each worker at its next mid-task moment, once. To be called while they are idle.
    pub fn arm_mid_task(&mut self) {
        self.arm_newcomers = true;
        for thread in
            self.threads.values_mut().filter(|t| t.ended.is_none() && matches!(t.role, Role::Worker(_)))
        {
            if thread.is_held() {
                continue;
            }
            thread.hold.arm(match thread.waiting {
                Some(Waiting::Cond { cond, .. }) => Idle::Cond(cond),
                Some(Waiting::Sem(sem)) => Idle::Sem(sem),
                _ => Idle::Unseen,
            });
        }
    }

    /// Holds the main thread when it next comes back from waiting on epoll, once.
    pub fn arm_main(&mut self) {
        let main = self.main();
        if let Some(thread) = self.threads.get_mut(&main).filter(|t| t.ended.is_none() && !t.is_held()) {
            thread.hold.arm_wakeup();
        }
    }

    /// Holds nobody else from now on; who is held stays held.
    pub fn disarm(&mut self) {
        self.arm_newcomers = false;
        for thread in self.threads.values_mut() {
            thread.hold.disarm();
        }
    }

    /// The threads that are held, and where.
    pub fn held(&self) -> Vec<(i32, At)> {
        self.alive().filter_map(|t| Some((t.tid, t.hold.at()?))).collect()
    }

    /// Lets a held thread go on.
    ///
    /// # Errors
    ///
    /// As [`Tracer::drain`].
    pub fn release(&mut self, tid: i32) -> Result<(), HarnessError> {
        match self.threads.get_mut(&tid).and_then(|thread| thread.hold.release()) {
            Some(how) => ptrace::resume(tid, how),
            None => Ok(()),
        }
    }

    /// Holds nobody any more: disarms all and lets everybody go.
    ///
    /// # Errors
    ///
    /// As [`Tracer::drain`].
    pub fn release_all(&mut self) -> Result<(), HarnessError> {
        self.disarm();
        for (tid, _) in self.held() {
            self.release(tid)?;
        }
        Ok(())
    }

    fn handle(&mut self, tid: i32, stop: Stop) -> Result<(), HarnessError> {
        if !self.threads.contains_key(&tid) && !matches!(stop, Stop::Exited(_) | Stop::Killed(_)) {
            // Its first stop may come before the one in which its maker reports it.
            self.begin(tid);
        }
        match stop {
            Stop::Exited(status) => return Ok(self.reaped(tid, End::Status(status))),
            Stop::Killed(signal) => return Ok(self.reaped(tid, End::Signal(signal))),
            Stop::Entry => return self.at_entry(tid),
            Stop::Exit => return self.at_exit(tid),
            Stop::Made(child) => {
                if child != 0 && !self.threads.contains_key(&child) {
                    self.begin(child);
                }
                if let Some(thread) = self.threads.get_mut(&tid) {
                    thread.made_last = Some(child);
                }
            }
            Stop::Exec => {
                self.executed |= tid == self.main();
                self.log(tid, What::Exec);
            }
            // A thread that was held and then killed with its process comes by here too, and must run to its end.
            Stop::Ending => self.ended(tid),
            Stop::Fresh => {}
            Stop::JobControl => return ptrace::resume(tid, Resume::Stopped),
            Stop::Signal(signal) => {
                self.log(tid, What::Signal(signal));
                return ptrace::resume(tid, Resume::With(signal));
            }
        }
        ptrace::resume(tid, Resume::Free)
    }

    fn log(&mut self, tid: i32, what: What) {
        self.seen += 1;
        if self.events.len() < MOST_EVENTS {
            self.events.push(Event { at: self.launched.elapsed(), tid, what });
        }
    }

    fn begin(&mut self, tid: i32) {
        let of_server = crate::probes::proc::process_of(tid).is_none_or(|process| process == self.main());
        let role = if of_server {
            self.workers += 1;
            Role::Worker(self.workers)
        } else {
            Role::Child
        };
        let mut thread = Thread::new(tid, role, self.now());
        if self.arm_newcomers && of_server {
            thread.hold.arm(Idle::Unseen);
        }
        self.threads.insert(tid, thread);
        self.log(tid, What::Began);
    }

    fn ended(&mut self, tid: i32) {
        let now = self.now();
        let Some(thread) = self.threads.get_mut(&tid).filter(|thread| thread.ended.is_none()) else { return };
        thread.ended = Some(now);
        thread.hold = holds::Hold::default();
        self.log(tid, What::Ended);
    }

    fn reaped(&mut self, tid: i32, end: End) {
        self.ended(tid);
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.reaped = true;
        }
        if tid == self.main() {
            self.end = Some((end, self.now()));
        }
    }

    fn at_entry(&mut self, tid: i32) -> Result<(), HarnessError> {
        let Some((number, args)) = ptrace::entry(tid) else { return Ok(()) };
        let resume = if number == MARKER_CALL {
            if let Some(marker) = Marker::decode(&args) {
                self.at_marker(tid, marker);
            }
            Resume::Free
        } else {
            self.at_call(tid, number, args);
            Resume::ToExit
        };
        match self.threads.get(&tid) {
            Some(thread) if thread.is_held() => Ok(()),
            _ => ptrace::resume(tid, resume),
        }
    }

    fn at_marker(&mut self, tid: i32, marker: Marker) {
        self.log(tid, What::Marker(marker));
        self.markers = true;
        let made_last = self.threads.get(&tid).and_then(|t| t.made_last);
        match marker.op {
            Op::ThreadCreated | Op::ThreadCreatedDetached => {
                if let Some(made) = made_last.and_then(|made| self.threads.get_mut(&made)) {
                    made.handle = Some(marker.object);
                    made.detached = marker.op == Op::ThreadCreatedDetached;
                }
            }
            Op::JoinEnd | Op::Detached if marker.more == 0 => {
                // A handle is used again when its thread is gone: the newest is meant.
                let of_handle =
                    self.threads.values_mut().filter(|t| t.handle == Some(marker.object) && !t.joined);
                if let Some(thread) = of_handle.max_by_key(|t| t.began) {
                    thread.joined |= marker.op == Op::JoinEnd;
                    thread.detached |= marker.op == Op::Detached;
                }
            }
            _ => {}
        }
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.note(&marker);
            thread.hold.decide(Candidate::Marker(&marker), thread.locks.len());
        }
    }

    fn at_call(&mut self, tid: i32, number: u64, args: [u64; 6]) {
        let Some(call) = syscalls::traced(number) else { return };
        if call.class == Class::ExitGroup {
            self.log(tid, What::ExitGroup(args[0] as i32));
        }
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        let of_server = thread.role != Role::Child;
        let object = of_server.then(|| self.ledger.at(descriptor(call.name, &args))).flatten();
        if of_server {
            self.ledger.enter(call.name, &args);
        }
        thread.inside = Some(Inside { call, args, object, entered: self.seen });
        thread.hold.decide(Candidate::Call(call.name, call.class), thread.locks.len());
    }

    fn at_exit(&mut self, tid: i32) -> Result<(), HarnessError> {
        self.came_back(tid);
        match self.threads.get(&tid) {
            Some(thread) if thread.is_held() => Ok(()),
            _ => ptrace::resume(tid, Resume::Free),
        }
    }

    fn came_back(&mut self, tid: i32) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        let Some(inside) = thread.inside.take() else { return };
        let of_server = thread.role != Role::Child;
        let Some(result) = ptrace::result(tid) else { return };
        let Inside { call, args, object, entered } = inside;
        thread.hold.decide(Candidate::Return(call.name, call.class), thread.locks.len());
        let call = Call { name: call.name, class: call.class, args, object, entered, result };
        if of_server {
            let extra = self.extra(tid, &call);
            self.ledger.leave(tid, &call, extra);
        }
        self.log(tid, What::Call(call));
    }

    fn extra(&self, tid: i32, call: &Call) -> Extra {
        if call.error().is_some() {
            return Extra::default();
        }
        let peer = || kernel::peer_port(self.pidfd.as_ref()?, call.result as i32);
        let pair = |at: usize| {
            let bytes: [u8; 8] = ptrace::read(tid, call.args[at])?;
            let (first, second) = bytes.split_at(4);
            Some([i32::from_ne_bytes(first.try_into().ok()?), i32::from_ne_bytes(second.try_into().ok()?)])
        };
        match call.class {
            Class::Accept => Extra { peer: peer(), ..Extra::default() },
            Class::Pipe => {
                Extra { pair: pair(if call.name == "socketpair" { 3 } else { 0 }), ..Extra::default() }
            }
            Class::EpollControl => Extra {
                mask: ptrace::read(tid, call.args[3]).map_or(0, u32::from_ne_bytes),
                ..Extra::default()
            },
            _ => Extra::default(),
        }
    }
}

/// The descriptor that a call is about; a number that stands for nothing if it has none.
fn descriptor(name: &str, args: &[u64; 6]) -> i32 {
    const NONE: i32 = -1;
    match name {
        "socket" | "socketpair" | "pipe" | "pipe2" | "eventfd" | "eventfd2" | "epoll_create"
        | "epoll_create1" | "timerfd_create" | "open" | "openat" | "poll" | "ppoll" | "select"
        | "pselect6" | "io_uring_setup" | "exit_group" | "close_range" => NONE,
        _ => args[0] as i32,
    }
}
