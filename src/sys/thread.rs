//! `int pthread_create(pthread_t *thread, const pthread_attr_t *, void *(*start)(void *), void *arg);` and `join`.
//!
//! Threads live in a [`scope`], which does not end before the last of them has been joined. So they may borrow what
//! lives outside it, and the compiler proves what a C programmer has to remember: the queue outlives its workers.

use std::cell::RefCell;
use std::ffi::{CString, c_void};
use std::io;
use std::marker::PhantomData;
use std::ptr;

use super::must_succeed;

/// Where threads may be started. It is not `Sync`: only the thread that opened the scope starts and joins others.
pub struct Scope<'scope, 'env: 'scope> {
    /// Started and not yet joined.
    running: RefCell<Vec<libc::pthread_t>>,
    /// Invariant in both lifetimes: neither may be shortened to let a thread borrow something short-lived.
    lifetimes: PhantomData<(&'scope mut &'scope (), &'env mut &'env ())>,
}

/// Runs `body` and joins, before it returns or unwinds, every thread that `body` started and did not join itself.
pub fn scope<'env, Body, T>(body: Body) -> T
where
    Body: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    struct JoinAll<'a>(&'a RefCell<Vec<libc::pthread_t>>);
    impl Drop for JoinAll<'_> {
        fn drop(&mut self) {
            self.0.take().into_iter().for_each(join);
        }
    }
    let scope = Scope { running: RefCell::default(), lifetimes: PhantomData };
    let _join_all = JoinAll(&scope.running);
    body(&scope)
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts a thread called `name` (at most 15 bytes are kept), with the signal mask of its creator. Fails if the
    /// system has no room for another thread. A panic in `body` ends the process. pthread_create(3).
    pub fn spawn<Body>(&'scope self, name: &str, body: Body) -> io::Result<Thread<'scope>>
    where
        Body: FnOnce() + Send + 'scope,
    {
        let name = name.bytes().filter(|&byte| byte != 0).take(15).collect::<Vec<u8>>();
        let name = CString::new(name).expect("the zero bytes were filtered out");
        let start = Box::into_raw(Box::new(Start { name, body }));
        let mut id = 0;
        // SAFETY: `run::<Body>` takes back exactly this box, once. What `body` borrows is alive for 'scope, and
        // `scope` joins the thread before 'scope ends; that it may run on another thread is what `Send` says.
        let code = unsafe { libc::pthread_create(&mut id, ptr::null(), run::<Body>, start.cast()) };
        if code != 0 {
            // SAFETY: no thread was started, so the box is still ours.
            drop(unsafe { Box::from_raw(start) });
            return Err(io::Error::from_raw_os_error(code));
        }
        self.running.borrow_mut().push(id);
        Ok(Thread { id, running: &self.running })
    }
}

/// A started thread. Dropping it leaves the joining to the scope.
pub struct Thread<'scope> {
    id: libc::pthread_t,
    running: &'scope RefCell<Vec<libc::pthread_t>>,
}

impl Thread<'_> {
    /// Waits until the thread has ended and frees its stack. pthread_join(3).
    pub fn join(self) {
        self.running.borrow_mut().retain(|&id| id != self.id);
        join(self.id);
    }
}

/// Lets the calling thread, whenever it is woken, wait until a processor has nothing better to do: `SCHED_BATCH`,
/// sched(7). Never fails: where the system does not allow it, the thread is scheduled like any other.
pub fn never_preempt() {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread; `priority` lives through the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &priority) };
}

fn join(id: libc::pthread_t) {
    // SAFETY: `id` came from pthread_create and left the list of running threads just now, so it is joined only once.
    must_succeed("pthread_join", unsafe { libc::pthread_join(id, ptr::null_mut()) });
}

/// What a new thread finds behind its argument.
struct Start<Body> {
    name: CString,
    body: Body,
}

/// The first function on the new thread's stack. `extern "C"` turns a panic into an abort.
extern "C" fn run<Body: FnOnce()>(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn::<Body>` made this pointer out of a `Box<Start<Body>>` and gave it to this one call.
    let start = unsafe { Box::from_raw(argument.cast::<Start<Body>>()) };
    // SAFETY: pthread_self is the calling thread, and the name is a C string. Nobody depends on the result.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), start.name.as_ptr()) };
    (start.body)();
    ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Mutex;

    #[test]
    fn a_scope_ends_only_after_its_threads() {
        let finished = Mutex::new(0);
        scope(|scope| {
            let first = scope.spawn("first", || *finished.lock() += 1).unwrap();
            scope.spawn("second", || *finished.lock() += 1).unwrap();
            first.join();
        });
        assert_eq!(*finished.lock(), 2);
    }

    #[test]
    fn a_thread_that_never_preempts_is_scheduled_as_a_batch() {
        // SAFETY: the call takes an integer; 0 is the calling thread.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let mine = policy();
        scope(|scope| {
            let batch = move || {
                never_preempt();
                assert_eq!(policy(), libc::SCHED_BATCH);
            };
            scope.spawn("batch", batch).unwrap();
        });
        assert_eq!(policy(), mine, "it is the thread's own");
    }

    #[test]
    fn a_thread_carries_its_name() {
        let name = Mutex::new(String::new());
        scope(|scope| {
            let body = || *name.lock() = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            scope.spawn("worker-64-with-a-tail", body).unwrap();
        });
        assert_eq!(name.lock().trim(), "worker-64-with-");
    }
}
