//! What the tracer does at each stop: writes it down, keeps the books, decides whether the thread stays, and lets it go on.

use super::{
    End, MOST_EVENTS, Struck, Tracer,
    arguments::{descriptor, second_descriptor},
    event::{Call, Event, What},
    gate::Place,
    guard,
    holds::{self, Candidate},
    ledger::Kind,
    origin::Origin,
    ptrace::{self, Entry, Resume, Stop},
    syscalls::{self, Class},
    thread::{Inside, Role, Thread},
};
use crate::{
    error::HarnessError,
    probes::{
        interposer::{LATE, MARKER_CALL, Marker, Op, SPURIOUS},
        proc,
    },
};
use std::rc::Rc;

impl Tracer {
    pub(super) fn handle(&mut self, tid: i32, stop: Stop) -> Result<(), HarnessError> {
        if !self.threads.contains_key(&tid) && !matches!(stop, Stop::Exited(_) | Stop::Killed(_)) {
            // Its first stop may come before the one in which its maker reports it.
            self.begin(tid);
        }
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.stopped = stop == Stop::JobControl;
        }
        match stop {
            Stop::Exited(status) => {
                self.reaped(tid, End::Status(status));
                return Ok(());
            }
            Stop::Killed(signal) => {
                self.reaped(tid, End::Signal(signal));
                return Ok(());
            }
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
                // All other threads of the process are gone; one of them may have become the leader. A child's concern it alone.
                let of_server = self.threads.get(&tid).is_some_and(|thread| thread.role != Role::Child);
                let others: Vec<i32> = self
                    .unreaped()
                    .filter(|t| of_server && t.role != Role::Child && t.tid != tid)
                    .map(|t| t.tid)
                    .collect();
                for other in others {
                    self.reaped(other, End::Status(0));
                }
                if let Some(thread) = self.threads.get_mut(&tid) {
                    *thread = Thread::new(tid, thread.role, thread.began);
                }
                if tid == self.main() {
                    self.executed = true;
                    self.origin = Origin::of(tid);
                }
                self.log(tid, What::Exec);
                if self.stays_at_start(tid) {
                    return Ok(());
                }
            }
            // A thread that was held and then killed with its process comes by here too, and must run to its end.
            Stop::Ending => {
                self.ended(tid);
                if self.keep(tid) {
                    return Ok(());
                }
            }
            Stop::Fresh => {}
            Stop::JobControl => return ptrace::resume(tid, Resume::Stopped),
            Stop::Signal(signal) => {
                self.strike(tid, signal);
                self.log(tid, What::Signal(signal));
                return ptrace::resume(tid, Resume::With(signal));
            }
        }
        ptrace::resume(tid, Resume::Free)
    }

    /// Notes where a thread was that has brought this signal upon itself.
    fn strike(&mut self, tid: i32, signal: i32) {
        const OWN_FAULT: [i32; 6] =
            [libc::SIGPIPE, libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGFPE, libc::SIGILL];
        if !OWN_FAULT.contains(&signal) {
            return;
        }
        let at = ptrace::position(tid)
            .and_then(|(instruction, stack)| self.origin.as_ref()?.whereabouts(tid, instruction, stack));
        self.struck = Some(Struck { tid, signal, at });
    }

    pub(super) fn log(&mut self, tid: i32, what: What) {
        self.seen += 1;
        // Whoever makes so many events repeats itself; what happens once is kept to the end.
        let once = match &what {
            What::Marker(marker) => marker.op.makes_or_ends(),
            What::Spurious => false,
            What::Call(call) => {
                call.result >= 0 && matches!(call.class, Class::Accept | Class::Close | Class::Send)
            }
            _ => true,
        };
        if self.events.len() < MOST_EVENTS || (once && self.events.len() < 2 * MOST_EVENTS) {
            let cpu = self.lock_cpu(tid, &what);
            self.events.push(Event { at: self.launched.elapsed(), tid, what, cpu });
        }
    }

    fn begin(&mut self, tid: i32) {
        // Gone already: it was killed at its birth, and what it was to be matters to nobody.
        let of_server = proc::process_of(tid).is_some_and(|process| process == self.main());
        let role = if of_server {
            self.workers += 1;
            Role::Worker(self.workers)
        } else {
            Role::Child
        };
        let mut thread = Thread::new(tid, role, self.now());
        if self.arm_newcomers && of_server {
            thread.hold.arm(Rc::default(), false);
        }
        self.threads.insert(tid, thread);
        self.log(tid, What::Began);
    }

    fn ended(&mut self, tid: i32) {
        let now = self.now();
        let Some(thread) = self.threads.get_mut(&tid).filter(|thread| thread.ended.is_none()) else { return };
        thread.ended = Some(now);
        thread.waited = proc::time_without_processor(tid);
        thread.hold = holds::Hold::default();
        thread.parked = None;
        self.log(tid, What::Ended);
    }

    fn reaped(&mut self, tid: i32, end: End) {
        self.ended(tid);
        self.starts_no_more(tid);
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.reaped = true;
        }
        if tid == self.main() {
            self.end = Some((end, self.now()));
        }
    }

    fn at_entry(&mut self, tid: i32) -> Result<(), HarnessError> {
        let Some(entry) = ptrace::entry(tid) else { return Ok(()) };
        let mut place = None;
        let resume = if entry.number == MARKER_CALL {
            if let Some(marker) = Marker::decode(&entry.args) {
                self.at_marker(tid, marker);
                place = Some(Place::Marker(marker));
            }
            Resume::Free
        } else if guard::is_guarded(entry.number) {
            self.guard(tid, &entry);
            Resume::Free
        } else {
            self.at_call(tid, entry);
            place = self.call_in(tid).map(|(name, class, kind)| Place::Entry(name, class, kind));
            Resume::ToExit
        };
        self.stay_or_go_on(tid, place, resume)
    }

    /// The call that a thread is in, and what its descriptor stands for.
    fn call_in(&self, tid: i32) -> Option<(&'static str, Class, Option<Kind>)> {
        let inside = self.threads.get(&tid)?.inside?;
        let kind = inside.object.map(|id| self.ledger.object(id).kind);
        Some((inside.call.name, inside.call.class, kind))
    }

    fn stay_or_go_on(&mut self, tid: i32, place: Option<Place>, resume: Resume) -> Result<(), HarnessError> {
        if self.threads.get(&tid).is_some_and(Thread::is_held)
            || place.is_some_and(|place| self.park(tid, place, resume))
        {
            return Ok(());
        }
        ptrace::resume(tid, resume)
    }

    fn at_marker(&mut self, tid: i32, marker: Marker) {
        self.log(tid, What::Marker(marker));
        if self.is_to_wake_spuriously(tid, &marker) && ptrace::answer(tid, SPURIOUS) {
            self.log(tid, What::Spurious);
        }
        if self.is_to_be_late(tid, &marker) {
            // Where this cannot be said the thread goes on as usual.
            ptrace::answer(tid, LATE);
        }
        if marker.op == Op::CondBroadcasts && self.gate_closed {
            ptrace::answer(tid, self.waiters(marker.object) as u64);
        }
        self.markers = true;
        let made_last = self.threads.get(&tid).and_then(|t| t.made_last);
        match marker.op {
            Op::ThreadCreated | Op::ThreadCreatedDetached => {
                if let Some(made) = made_last.and_then(|made| self.threads.get_mut(&made)) {
                    made.handle = Some(marker.object);
                    made.made_at = Some(marker.caller);
                    made.routine = Some(marker.more);
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
            if marker.op == Op::WaitLate && !self.gate_closed {
                thread.hold.hold_late(self.seen);
            }
            thread.hold.decide(Candidate::Marker(&marker), thread.locks.len(), self.seen);
        }
    }

    fn at_call(&mut self, tid: i32, entry: Entry) {
        let Entry { number, args, stack } = entry;
        let caller = self.origin.as_ref().and_then(|origin| origin.caller(tid, stack));
        let Some(call) = syscalls::traced(number) else { return };
        let of_server = self.threads.get(&tid).is_some_and(|thread| thread.role != Role::Child);
        if call.class == Class::ExitGroup && of_server {
            self.log(tid, What::ExitGroup(args[0] as i32));
        }
        if of_server && call.class == Class::ExitGroup && self.left_open.is_none() {
            self.left_open = Some(self.ledger.open().collect());
        }
        let object = of_server.then(|| self.ledger.at(descriptor(call.name, &args))).flatten();
        let second = of_server.then(|| self.ledger.at(second_descriptor(call.name, &args))).flatten();
        if of_server {
            self.ledger.enter(call.name, &args);
        }
        let cut = self.cut_short(tid, call, &args, object);
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        let put_off = thread.hold.puts_off(call.class, thread.locks.len()) && ptrace::answer(tid, 0);
        thread.inside = Some(Inside { call, args, object, second, caller, entered: self.seen, cut, put_off });
        if object.is_some() {
            thread.hold.decide(Candidate::Call(call.name, call.class), thread.locks.len(), self.seen);
        }
    }

    fn at_exit(&mut self, tid: i32) -> Result<(), HarnessError> {
        let call = self.call_in(tid);
        self.came_back(tid);
        let place = call.map(|(name, class, kind)| Place::Return(name, class, kind));
        self.stay_or_go_on(tid, place, Resume::Free)
    }

    fn came_back(&mut self, tid: i32) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        let Some(inside) = thread.inside.take() else { return };
        let of_server = thread.role != Role::Child;
        let Some(result) = ptrace::result(tid) else { return };
        let Inside { call, args, object, second, caller, entered, cut, put_off } = inside;
        if put_off && ptrace::call_again(tid, call.number as u64) {
            thread.hold.hold_before(call.name, self.seen);
            return;
        }
        if cut {
            ptrace::set_third_argument(tid, args[2]);
        }
        thread.hold.decide(Candidate::Return(call.name, call.class), thread.locks.len(), self.seen);
        self.alarms |= of_server && call.class == Class::Alarm && result >= 0;
        let call = Call { name: call.name, class: call.class, args, object, second, caller, entered, result };
        if of_server {
            let extra = self.extra(tid, &call);
            self.ledger.leave(tid, &call, extra);
        }
        self.log(tid, What::Call(call));
    }
}
