//! Markers: what the preloaded library says of a thread, read from the arguments of a system call that does not exist.

/// The number of the system call that is a marker. No kernel uses it.
pub const MARKER_CALL: u64 = 20821;

/// Set on an operation that came through `<threads.h>`, which Helgrind does not see.
const C11: u64 = 0x100;

/// In the extra word of a lock that was taken: by a call that does not wait for ever (trylock, timedlock).
const GIVES_UP: u64 = 2;

/// The result of a marker before a wait on a condition variable that makes the wait end at once, though nobody has signalled.
pub const SPURIOUS: u64 = 1;

/// The result of a marker after such a wait that has ended which lets the thread be late for its mutex: as if it had not
/// got it back yet, it frees it, says [`Op::WaitLate`] and takes it again.
pub const LATE: u64 = 2;

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $c:literal;)*) => {
        /// An operation that the library announces, after it was done unless the name says otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Op {
            $($(#[$doc])* $name = $number,)*
        }

        impl Op {
            /// Every operation with the name it has in `preload.c`.
            #[cfg(test)]
            const ALL: &[(Op, &str)] = &[$((Op::$name, $c),)*];

            fn from_number(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

ops! {
    /// The library is loaded.
    Hello = 1, "OP_HELLO";
    /// A joinable thread was created; object: its handle, more: its start routine.
    ThreadCreated = 2, "OP_THREAD_CREATED";
    /// A detached thread was created; more: its start routine.
    ThreadCreatedDetached = 3, "OP_THREAD_CREATED_DETACHED";
    /// About to join; object: the handle.
    JoinBegin = 4, "OP_JOIN_BEGIN";
    /// A join came back; more: 0 when it joined.
    JoinEnd = 5, "OP_JOIN_END";
    /// A thread was detached.
    Detached = 6, "OP_DETACHED";
    /// A wait that was announced came back without what it was for (interrupted, too late, an error). For a condition
    /// variable it means that the time was over, and `CondWoken` follows.
    WaitFailed = 7, "OP_WAIT_FAILED";
    /// The time of a wait on a condition variable was over, and the mutex is still to be taken again; more: the mutex.
    WaitLate = 8, "OP_WAIT_LATE";
    /// A wait on a condition variable that was told to end at once has freed the mutex, and is still to take it again; more: the
    /// mutex.
    WaitYielded = 9, "OP_WAIT_YIELDED";
    /// A mutex was initialised by call.
    MutexInit = 10, "OP_MUTEX_INIT";
    /// A mutex was destroyed.
    MutexDestroy = 11, "OP_MUTEX_DESTROY";
    /// About to wait for a mutex that another thread holds.
    MutexBlocked = 12, "OP_MUTEX_BLOCKED";
    /// A mutex was taken; more: 1 for a spin lock, plus 2 if by a call that would have given up.
    MutexLocked = 13, "OP_MUTEX_LOCKED";
    /// A mutex was released.
    MutexUnlocked = 14, "OP_MUTEX_UNLOCKED";
    /// A condition variable was initialised by call.
    CondInit = 20, "OP_COND_INIT";
    /// A condition variable was destroyed.
    CondDestroy = 21, "OP_COND_DESTROY";
    /// About to wait on a condition variable; more: the mutex.
    CondWait = 22, "OP_COND_WAIT";
    /// About to wait on a condition variable, with a deadline; more: the mutex.
    CondTimedWait = 23, "OP_COND_TIMED_WAIT";
    /// Back from a wait, with the mutex held again; more: the mutex.
    CondWoken = 24, "OP_COND_WOKEN";
    /// One waiter was signalled.
    CondSignal = 25, "OP_COND_SIGNAL";
    /// All waiters were signalled.
    CondBroadcast = 26, "OP_COND_BROADCAST";
    /// About to signal all waiters.
    CondBroadcasts = 27, "OP_COND_BROADCASTS";
    /// One of several waiters was signalled, and the others are still to be.
    CondRelayed = 28, "OP_COND_RELAYED";
    /// A semaphore was initialised.
    SemInit = 30, "OP_SEM_INIT";
    /// A semaphore was destroyed.
    SemDestroy = 31, "OP_SEM_DESTROY";
    /// About to wait for a semaphore that is zero.
    SemBlocked = 32, "OP_SEM_BLOCKED";
    /// A semaphore was taken.
    SemTaken = 33, "OP_SEM_TAKEN";
    /// A semaphore was posted.
    SemPosted = 34, "OP_SEM_POSTED";
    /// A read-write lock was initialised by call.
    RwlockInit = 40, "OP_RWLOCK_INIT";
    /// A read-write lock was destroyed.
    RwlockDestroy = 41, "OP_RWLOCK_DESTROY";
    /// About to wait for a read-write lock.
    RwlockBlocked = 42, "OP_RWLOCK_BLOCKED";
    /// A read-write lock was taken; more: 1 for writing, plus 2 as for a mutex.
    RwlockLocked = 43, "OP_RWLOCK_LOCKED";
    /// A read-write lock was released.
    RwlockUnlocked = 44, "OP_RWLOCK_UNLOCKED";
    /// A barrier has let the thread go.
    BarrierPassed = 50, "OP_BARRIER_PASSED";
}

impl Op {
    /// Whether it is the first or the last thing that happens to a lock, condition variable or semaphore.
    pub fn makes_or_ends(self) -> bool {
        use Op::*;
        let made = matches!(self, MutexInit | CondInit | SemInit | RwlockInit);
        made || matches!(self, MutexDestroy | CondDestroy | SemDestroy | RwlockDestroy)
    }
}

/// One announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// What was done.
    pub op: Op,
    /// Through `<threads.h>` rather than `<pthread.h>`.
    pub c11: bool,
    /// The object's address, or a thread's handle.
    pub object: u64,
    /// One more word; what it is depends on `op`.
    pub more: u64,
    /// The address in the submission to which the call returns.
    pub caller: u64,
}

impl Marker {
    /// Reads a marker from the arguments of its system call; `None` for an operation that the library does not make
    /// (a submission may well call the number itself).
    pub fn decode(args: &[u64; 6]) -> Option<Self> {
        Some(Self {
            op: Op::from_number(args[0] & !C11)?,
            c11: args[0] & C11 != 0,
            object: args[1],
            more: args[2],
            caller: args[3],
        })
    }

    /// Whether a lock was taken by a call that waits for it as long as it takes.
    pub fn waits_for_ever(&self) -> bool {
        self.more & GIVES_UP == 0
    }

    /// Whether a lock keeps everybody else out: a mutex, or a read-write lock that was taken for writing.
    pub fn is_exclusive(&self) -> bool {
        self.op == Op::MutexLocked || self.more & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: &str = include_str!("preload.c");

    #[test]
    fn the_library_and_the_harness_agree_on_every_number() {
        for (op, name) in Op::ALL {
            assert!(LIBRARY.contains(&format!("    {name} = {},", *op as u64)), "{name}");
        }
        assert!(LIBRARY.contains(&format!("#define MARKER_CALL {MARKER_CALL}\n")));
        assert!(LIBRARY.contains(&format!("#define C11 {C11:#x}\n")));
        assert!(LIBRARY.contains(&format!("#define GIVES_UP {GIVES_UP}\n")));
        assert!(LIBRARY.contains(&format!("#define SPURIOUS {SPURIOUS}\n")));
        assert!(LIBRARY.contains(&format!("#define LATE {LATE}\n")));
        let in_library =
            LIBRARY.lines().filter(|line| line.starts_with("    OP_") && line.contains(" = ")).count();
        assert_eq!(in_library, Op::ALL.len());
    }

    #[test]
    fn a_marker_is_read_from_its_arguments() {
        let marker = Marker::decode(&[13 | C11, 0x1000, 7, 0x4000, 0, 0]).unwrap();
        assert_eq!((marker.op, marker.c11, marker.object), (Op::MutexLocked, true, 0x1000));
        assert_eq!((marker.more, marker.caller), (7, 0x4000));
        assert_eq!(Marker::decode(&[999, 0, 0, 0, 0, 0]), None);
    }
}
