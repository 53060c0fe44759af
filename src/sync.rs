//! Layer 2: the seam. What two threads share is built from these three types and from nothing else.
//!
//! Normally they are the pthread objects of `sys`. Under `--cfg loom` they are models with the same methods, and
//! loom then runs `handoff/` through every order of steps that its bound allows: the same source, all interleavings.

#[cfg(not(loom))]
pub use crate::sys::{Condvar, EventFd, Mutex, MutexGuard};

#[cfg(loom)]
pub use model::{Condvar, EventFd, Mutex, MutexGuard};

#[cfg(loom)]
mod model {
    //! The same interface on loom's objects. Time does not exist there: a timed wait is a wait.
    #![allow(missing_docs)]

    use std::io;
    use std::time::Duration;

    pub use loom::sync::MutexGuard;

    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub fn of<T>(_: &Mutex<T>) -> Condvar {
            Condvar(loom::sync::Condvar::new())
        }

        pub fn wait<'mutex, T>(&self, guard: MutexGuard<'mutex, T>) -> MutexGuard<'mutex, T> {
            self.0.wait(guard).unwrap()
        }

        pub fn wait_for<'mutex, T>(
            &self,
            guard: MutexGuard<'mutex, T>,
            _: Duration,
        ) -> (MutexGuard<'mutex, T>, bool) {
            (self.wait(guard), false)
        }

        pub fn signal<T>(&self, _: &MutexGuard<'_, T>) {
            self.0.notify_one();
        }

        pub fn broadcast<T>(&self, _: &MutexGuard<'_, T>) {
            self.0.notify_all();
        }
    }

    /// `silence` stands for epoll_wait and the read after it: it sleeps until the bell has been rung.
    pub struct EventFd {
        rings: Mutex<u64>,
        rung: Condvar,
    }

    impl EventFd {
        pub fn new() -> io::Result<EventFd> {
            let rings = Mutex::new(0);
            Ok(EventFd { rung: Condvar::of(&rings), rings })
        }

        pub fn ring(&self) {
            let mut rings = self.rings.lock();
            *rings += 1;
            self.rung.signal(&rings);
        }

        pub fn silence(&self) {
            let mut rings = self.rings.lock();
            while *rings == 0 {
                rings = self.rung.wait(rings);
            }
            *rings = 0;
        }
    }
}
