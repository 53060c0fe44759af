//! `int pthread_mutex_lock(pthread_mutex_t *mutex);` and `init`, `unlock`, `destroy`: one owner at a time.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr;

use super::must_succeed;

/// A value that is reachable only with the lock held. Destroyed on drop. pthread_mutex_init(3), pthread_mutex_lock(3).
pub struct Mutex<T> {
    /// On the heap, because a `pthread_mutex_t` must never move while a Rust value may.
    raw: Box<UnsafeCell<libc::pthread_mutex_t>>,
    value: UnsafeCell<T>,
}

// SAFETY: a Mutex moved to another thread moves its T; a pthread mutex belongs to the process, not to a thread.
unsafe impl<T: Send> Send for Mutex<T> {}
// SAFETY: `&Mutex<T>` gives out the T only through a guard, and pthread_mutex_lock lets one guard exist at a time; so
// sharing the mutex never does more than pass the T from thread to thread, which `T: Send` allows.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    pub fn new(value: T) -> Mutex<T> {
        let raw = Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        // SAFETY: the memory is ours alone and already at its final address; a null attribute means the default.
        must_succeed("pthread_mutex_init", unsafe { libc::pthread_mutex_init(raw.get(), ptr::null()) });
        Mutex { raw, value: UnsafeCell::new(value) }
    }

    /// Waits until nobody else holds the lock and takes it; dropping the guard gives it back. A thread that locks the
    /// same mutex twice waits for itself for ever.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        // SAFETY: `new` initialised the mutex, and only `drop` destroys it, which needs `&mut self`.
        must_succeed("pthread_mutex_lock", unsafe { libc::pthread_mutex_lock(self.raw.get()) });
        MutexGuard { mutex: self, stays_on_its_thread: PhantomData }
    }

    /// The C object, for the condition variable that is tied to this mutex.
    pub(super) fn raw(&self) -> *mut libc::pthread_mutex_t {
        self.raw.get()
    }
}

impl<T> Drop for Mutex<T> {
    fn drop(&mut self) {
        // SAFETY: `&mut self` proves that no guard is alive, so the mutex is unlocked and nobody waits for it.
        must_succeed("pthread_mutex_destroy", unsafe { libc::pthread_mutex_destroy(self.raw.get()) });
    }
}

/// The proof that this thread holds the lock, and the way to the value. Unlocks on drop.
pub struct MutexGuard<'mutex, T> {
    mutex: &'mutex Mutex<T>,
    /// Not `Send`: POSIX wants a mutex unlocked by the thread that locked it.
    stays_on_its_thread: PhantomData<*const ()>,
}

impl<T> MutexGuard<'_, T> {
    /// The C object that this guard holds locked.
    pub(super) fn raw_mutex(&self) -> *mut libc::pthread_mutex_t {
        self.mutex.raw()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: while this guard lives, its thread holds the lock; no other guard can give out a `&mut T`.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` excludes a second reference through the same guard.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the guard was made by the lock call of this very thread (it is not Send) and unlocks only here.
        must_succeed("pthread_mutex_unlock", unsafe { libc::pthread_mutex_unlock(self.mutex.raw()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::thread;

    #[test]
    fn no_increment_is_lost_between_threads() {
        let total = Mutex::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn("counter", || (0..1000).for_each(|_| *total.lock() += 1)).unwrap();
            }
        });
        assert_eq!(*total.lock(), 4000);
    }

    #[test]
    fn a_mutex_may_move_while_nobody_holds_it() {
        let first = Mutex::new(String::from("a"));
        first.lock().push('b');
        let moved = first;
        assert_eq!(*moved.lock(), "ab");
    }
}
