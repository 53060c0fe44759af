//! `int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);` and `timedwait`, `signal`, `broadcast`.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::time::Duration;

use super::{Mutex, MutexGuard, must_succeed};

/// A place to sleep until the state behind one mutex may have changed. Destroyed on drop. pthread_cond_init(3).
///
/// A thread may wake for no reason, so every wait stands in a loop that looks at the state again. Its clock is
/// CLOCK_MONOTONIC: setting the time of day neither shortens nor stretches a timed wait.
pub struct Condvar {
    /// On the heap, because a `pthread_cond_t` must never move.
    raw: Box<UnsafeCell<libc::pthread_cond_t>>,
    /// The only mutex this may be used with: POSIX leaves two at a time undefined, so `wait` compares.
    mutex: *mut libc::pthread_mutex_t,
}

// SAFETY: `mutex` is only ever compared, never followed; `raw` is an object that pthreads may use from any thread.
unsafe impl Send for Condvar {}
// SAFETY: as above; every method hands `raw` to a pthread function that synchronises by itself.
unsafe impl Sync for Condvar {}

impl Condvar {
    /// A condition of the state that `mutex` guards.
    pub fn of<T>(mutex: &Mutex<T>) -> Condvar {
        let raw = Box::new(UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER));
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: `attributes` is valid memory for one attribute object, initialised by the first call, destroyed by
        // the last and used in between only; `raw` is ours alone and already at its final address.
        unsafe {
            must_succeed("pthread_condattr_init", libc::pthread_condattr_init(attributes));
            must_succeed("setclock", libc::pthread_condattr_setclock(attributes, libc::CLOCK_MONOTONIC));
            must_succeed("pthread_cond_init", libc::pthread_cond_init(raw.get(), attributes));
            must_succeed("pthread_condattr_destroy", libc::pthread_condattr_destroy(attributes));
        }
        Condvar { raw, mutex: mutex.raw() }
    }

    /// Gives the lock back, sleeps until signalled (or for no reason), and returns with the lock held again.
    pub fn wait<'mutex, T>(&self, guard: MutexGuard<'mutex, T>) -> MutexGuard<'mutex, T> {
        self.must_belong_to(&guard);
        // SAFETY: the guard proves that this thread holds the mutex, and `must_belong_to` that it is the only mutex
        // ever used with this condition variable. On return the thread holds it again, so the guard stays true.
        must_succeed("pthread_cond_wait", unsafe {
            libc::pthread_cond_wait(self.raw.get(), guard.raw_mutex())
        });
        guard
    }

    /// As `wait`, but for at most `limit` (rounded down to a nanosecond); true if the limit has passed.
    pub fn wait_for<'mutex, T>(
        &self,
        guard: MutexGuard<'mutex, T>,
        limit: Duration,
    ) -> (MutexGuard<'mutex, T>, bool) {
        self.must_belong_to(&guard);
        let until = monotonic_time_after(limit);
        // SAFETY: as in `wait`; `until` lives through the call.
        let code = unsafe { libc::pthread_cond_timedwait(self.raw.get(), guard.raw_mutex(), &until) };
        if code != libc::ETIMEDOUT {
            must_succeed("pthread_cond_timedwait", code);
        }
        (guard, code == libc::ETIMEDOUT)
    }

    /// Wakes at least one of the threads that wait here. The caller shows its guard: a signal sent without the lock is
    /// legal, but it may fall between another thread's look at the state and its wait, and Helgrind says so.
    pub fn signal<T>(&self, guard: &MutexGuard<'_, T>) {
        self.must_belong_to(guard);
        // SAFETY: `of` initialised the condition variable, and only `drop` destroys it, which needs `&mut self`.
        must_succeed("pthread_cond_signal", unsafe { libc::pthread_cond_signal(self.raw.get()) });
    }

    /// Wakes all threads that wait here.
    pub fn broadcast<T>(&self, guard: &MutexGuard<'_, T>) {
        self.must_belong_to(guard);
        // SAFETY: as in `signal`.
        must_succeed("pthread_cond_broadcast", unsafe { libc::pthread_cond_broadcast(self.raw.get()) });
    }

    #[track_caller]
    fn must_belong_to<T>(&self, guard: &MutexGuard<'_, T>) {
        assert!(guard.raw_mutex() == self.mutex, "a condition variable was used with another mutex");
    }
}

impl Drop for Condvar {
    fn drop(&mut self) {
        // SAFETY: a waiting thread borrows `self`, so `&mut self` proves that none is left.
        must_succeed("pthread_cond_destroy", unsafe { libc::pthread_cond_destroy(self.raw.get()) });
    }
}

/// Now plus `limit` on CLOCK_MONOTONIC. clock_gettime(2).
fn monotonic_time_after(limit: Duration) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec to write to.
    let returned = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    assert!(returned == 0, "every Linux has CLOCK_MONOTONIC");
    let nanoseconds = now.tv_nsec + i64::from(limit.subsec_nanos());
    let seconds = libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX);
    libc::timespec {
        tv_sec: now.tv_sec.saturating_add(seconds).saturating_add(nanoseconds / 1_000_000_000),
        tv_nsec: nanoseconds % 1_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::thread;

    #[test]
    fn a_waiting_thread_sees_the_state_it_was_signalled_for() {
        let open = Mutex::new(false);
        let opened = Condvar::of(&open);
        thread::scope(|scope| {
            let waiter = || {
                let mut guard = open.lock();
                while !*guard {
                    guard = opened.wait(guard);
                }
            };
            scope.spawn("waiter-1", waiter).unwrap();
            scope.spawn("waiter-2", waiter).unwrap();
            let mut guard = open.lock();
            *guard = true;
            opened.broadcast(&guard);
        });
    }

    #[test]
    fn a_timed_wait_says_that_its_limit_passed() {
        let mutex = Mutex::new(());
        let never = Condvar::of(&mutex);
        let mut guard = mutex.lock();
        let mut timed_out = false;
        while !timed_out {
            (guard, timed_out) = never.wait_for(guard, Duration::from_millis(1));
        }
    }

    #[test]
    #[should_panic(expected = "another mutex")]
    fn a_condition_variable_refuses_a_strange_mutex() {
        let (mine, other) = (Mutex::new(()), Mutex::new(()));
        Condvar::of(&mine).signal(&other.lock());
    }
}
