//! Layer 4: the workers. They see tasks and answers, never a descriptor. This file runs on the main thread, which
//! starts and joins them; `worker.rs` and `job.rs` run on the workers.

pub mod worker;
pub mod job;

use std::io;

use crate::config::PoolSize;
use crate::handoff::{Completions, Load, TaskQueue};
use crate::log::{Log, Role};
use crate::sys::thread::{Scope, Thread};

/// Everything that a worker may touch besides its own task.
#[derive(Clone, Copy)]
pub struct Shared<'env> {
    /// Where tasks come from.
    pub queue: &'env TaskQueue,
    /// Where answers go.
    pub completions: &'env Completions,
    /// Where the worker says what it does.
    pub log: &'env Log,
}

/// The worker threads, in the hands of the main thread. Dropping it closes the queue, lets the workers finish all
/// waiting tasks, and joins them; no path out of the server forgets to.
pub struct ThreadPool<'scope, 'env: 'scope> {
    scope: &'scope Scope<'scope, 'env>,
    shared: Shared<'env>,
    size: PoolSize,
    /// By seat: the thread that has it, or had it last.
    threads: Vec<Option<Thread<'scope>>>,
}

impl<'scope, 'env> ThreadPool<'scope, 'env> {
    /// Starts `size.min` workers. Fails if the system has no room for so many threads.
    pub fn start(
        scope: &'scope Scope<'scope, 'env>,
        size: PoolSize,
        shared: Shared<'env>,
    ) -> io::Result<ThreadPool<'scope, 'env>> {
        let threads = (0..size.max).map(|_| None).collect();
        let mut pool = ThreadPool { scope, shared, size, threads };
        for _ in 0..size.min {
            pool.hire()?;
        }
        Ok(pool)
    }

    /// Grows the pool so that none of the `unfinished` tasks, waiting or in hand, has to wait for another; up to its
    /// maximum. To be called after each push, with what it returned.
    ///
    /// Shrinking needs no call: a worker leaves `pop` by itself when the queue is empty and it can be spared. So the
    /// workers counted in `load` stay at least until all waiting tasks are taken.
    pub fn grow(&mut self, unfinished: usize, load: Load) {
        for _ in load.workers..unfinished.min(self.size.max) {
            if let Err(error) = self.hire() {
                self.shared.log.say(Role::Main, format_args!("cannot start another worker: {error}"));
                return;
            }
        }
    }

    fn hire(&mut self) -> io::Result<()> {
        let Some(seat) = self.shared.queue.employ() else { return Ok(()) };
        if let Some(retired) = self.threads[seat.0].take() {
            retired.join();
        }
        let shared = self.shared;
        match self.scope.spawn(&worker::role(seat).to_string(), move || worker::run(seat, shared)) {
            Ok(thread) => self.threads[seat.0] = Some(thread),
            Err(error) => {
                self.shared.queue.dismiss(seat);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for ThreadPool<'_, '_> {
    fn drop(&mut self) {
        self.shared.queue.close();
        self.threads.drain(..).flatten().for_each(Thread::join);
        self.shared.log.say(Role::Main, format_args!("all workers joined"));
    }
}
