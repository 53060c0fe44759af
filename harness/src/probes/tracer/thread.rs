//! The thread census: who there is, what each thread holds, waits for and is doing.

use super::{gate::Parked, holds::Hold, ledger::ObjectId, syscalls::Traced};
use crate::probes::interposer::{Marker, Op};
use std::{fmt, time::Duration};

/// What a thread is for, as far as can be seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The thread that the process began with.
    Main,
    /// Any other thread of the server; numbered from 1 in the order of creation.
    Worker(u32),
    /// A thread of a process that the server started.
    Child,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => write!(f, "main thread"),
            Self::Worker(n) => write!(f, "worker {n}"),
            Self::Child => write!(f, "child process"),
        }
    }
}

/// A wait that the preloaded library announced and that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// For a condition variable, having released the mutex.
    Cond {
        /// The condition variable.
        cond: u64,
        /// The mutex.
        mutex: u64,
    },
    /// For a mutex or a read-write lock.
    Lock(u64),
    /// For a semaphore.
    Sem(u64),
    /// For a thread to end.
    Join(u64),
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cond { cond, .. } => write!(f, "waiting for the condition variable at {cond:#x}"),
            Self::Lock(lock) => write!(f, "waiting for the lock at {lock:#x}"),
            Self::Sem(sem) => write!(f, "waiting for the semaphore at {sem:#x}"),
            Self::Join(_) => write!(f, "waiting in pthread_join"),
        }
    }
}

/// A traced call that has not come back.
#[derive(Clone, Copy, Debug)]
pub struct Inside {
    /// The call.
    pub call: &'static Traced,
    /// Its arguments.
    pub args: [u64; 6],
    /// What its descriptor stood for.
    pub object: Option<ObjectId>,
    /// What its second descriptor stood for.
    pub second: Option<ObjectId>,
    /// The address in the submission's code to which it returns, where that is known.
    pub caller: Option<u64>,
    /// How many events the stream held when it was made.
    pub entered: usize,
    /// It was made to offer the kernel less than the third argument says.
    pub(super) cut: bool,
    /// It was left out, and will be made when the thread goes on.
    pub(super) put_off: bool,
}

/// One thread of the server.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Its id.
    pub tid: i32,
    /// What it is for.
    pub role: Role,
    /// When it began, since the launch.
    pub began: Duration,
    /// When it ended. It counts as ended as soon as it has begun to: whoever joins it may go on before it is reaped.
    pub ended: Option<Duration>,
    /// How long it had been ready to run without a processor when it ended.
    pub waited: Duration,
    /// It is reaped: no stop of it can come any more.
    pub(super) reaped: bool,
    /// Its pthread handle, once the thread that made it has announced it.
    pub handle: Option<u64>,
    /// The address in the submission's code at which it was made.
    pub made_at: Option<u64>,
    /// Its start routine, once the thread that made it has announced it.
    pub routine: Option<u64>,
    /// Somebody joined it.
    pub joined: bool,
    /// Nobody can join it.
    pub detached: bool,
    /// The mutexes and read-write locks that it holds.
    pub locks: Vec<u64>,
    /// The wait that it is in.
    pub waiting: Option<Waiting>,
    /// The address in the submission's code at which it waits.
    pub waiting_at: Option<u64>,
    /// The traced call that it is in.
    pub inside: Option<Inside>,
    /// Job control has stopped it; nobody will continue it.
    pub stopped: bool,
    /// The thread that it made last: the next creation that it announces is that one's.
    pub(super) made_last: Option<i32>,
    /// Whether and how it is to be held.
    pub(super) hold: Hold,
    /// It waits for its turn here.
    pub(super) parked: Option<Parked>,
}

impl Thread {
    /// A thread that has just appeared.
    pub(super) fn new(tid: i32, role: Role, began: Duration) -> Self {
        Self {
            tid,
            role,
            began,
            ended: None,
            waited: Duration::ZERO,
            reaped: false,
            handle: None,
            made_at: None,
            routine: None,
            joined: false,
            detached: false,
            locks: Vec::new(),
            waiting: None,
            waiting_at: None,
            inside: None,
            stopped: false,
            made_last: None,
            hold: Hold::default(),
            parked: None,
        }
    }

    /// Whether the tracer keeps it from running.
    pub fn is_held(&self) -> bool {
        self.hold.is_held() || self.parked.is_some()
    }

    /// `worker 2 (tid 4711)`.
    pub fn name(&self) -> String {
        format!("{} (tid {})", self.role, self.tid)
    }

    /// Keeps the books on locks and waits. Creation and joining concern other threads, so the tracer does those.
    pub(super) fn note(&mut self, marker: &Marker) {
        let Marker { op, object, more, .. } = *marker;
        match op {
            Op::MutexLocked | Op::RwlockLocked => {
                self.waiting = None;
                self.locks.push(object);
            }
            Op::MutexUnlocked | Op::RwlockUnlocked => {
                if let Some(at) = self.locks.iter().rposition(|lock| *lock == object) {
                    self.locks.remove(at);
                }
            }
            Op::CondWait | Op::CondTimedWait => {
                self.waiting = Some(Waiting::Cond { cond: object, mutex: more })
            }
            Op::MutexBlocked | Op::RwlockBlocked => self.waiting = Some(Waiting::Lock(object)),
            Op::WaitLate | Op::WaitYielded => self.waiting = Some(Waiting::Lock(more)),
            Op::SemBlocked => self.waiting = Some(Waiting::Sem(object)),
            Op::JoinBegin => self.waiting = Some(Waiting::Join(object)),
            Op::CondWoken | Op::SemTaken | Op::JoinEnd | Op::WaitFailed => self.waiting = None,
            _ => {}
        }
        if self.waiting.is_some() {
            self.waiting_at = Some(marker.caller);
        }
    }
}
