//! What the tracer saw, in order: the one stream into which both instruments feed.

use super::{ledger::ObjectId, syscalls::Class};
use crate::probes::interposer::Marker;
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Since the server was launched.
    pub at: Duration,
    /// The thread to which it happened.
    pub tid: i32,
    /// What happened.
    pub what: What,
    /// The processor time that the thread had used: at operations on locks, while [`super::Tracer::clock_locks`] is on.
    pub cpu: Option<Duration>,
}

/// The kinds of event.
#[derive(Clone, Debug)]
pub enum What {
    /// A system call came back.
    Call(Call),
    /// The preloaded library announced an operation.
    Marker(Marker),
    /// The wait that the thread has just announced was made to end at once, though nobody has signalled.
    Spurious,
    /// The thread (or child process) began.
    Began,
    /// The thread ended.
    Ended,
    /// A signal was delivered to the thread; its number.
    Signal(i32),
    /// The process became another program.
    Exec,
    /// The server called exit_group(2) with this status.
    ExitGroup(i32),
}

/// A system call that came back.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub class: Class,
    /// Its arguments, as the kernel got them.
    pub args: [u64; 6],
    /// What its descriptor stood for when it was called.
    pub object: Option<ObjectId>,
    /// What its second descriptor stood for, of a call that moves bytes from one to another (splice, sendfile).
    pub second: Option<ObjectId>,
    /// The address in the submission's code to which it returns, where that is known.
    pub caller: Option<u64>,
    /// How many events the stream held when it was called: what stands before that had happened by then.
    pub entered: usize,
    /// Its result: 0 or more, or minus the error number.
    pub result: i64,
}

impl Call {
    /// The error number when it failed.
    pub fn error(&self) -> Option<i32> {
        (-4095..0).contains(&self.result).then_some(-self.result as i32)
    }

    /// What it takes bytes from, or would, if that is something the ledger knows.
    pub fn reads(&self) -> Option<ObjectId> {
        match self.class {
            Class::Receive => self.object,
            Class::Send => self.second,
            _ => None,
        }
    }

    /// What it gives bytes to, or would, if that is something the ledger knows.
    pub fn writes(&self) -> Option<ObjectId> {
        match self.class {
            Class::Receive => self.second,
            Class::Send => self.object,
            _ => None,
        }
    }

    /// The first argument as a descriptor.
    pub fn fd(&self) -> i32 {
        self.args[0] as i32
    }
}

impl Event {
    /// The call, if this is one.
    pub fn call(&self) -> Option<&Call> {
        match &self.what {
            What::Call(call) => Some(call),
            _ => None,
        }
    }
}
