//! Layer 5: the boot list. Read from top to bottom it builds the server; the compiler takes it down from bottom to top.

use std::fmt;
use std::io;

use crate::config::Config;
use crate::event_loop::EventLoop;
use crate::handoff::{Completions, TaskQueue};
use crate::log::{Log, Role};
use crate::sys::signal::{SIGINT, SIGTERM};
use crate::sys::{ListenSocket, SignalFd, thread};
use crate::thread_pool::{Shared, ThreadPool};

/// What the server could not do, and why.
#[derive(Debug)]
pub struct ServerError {
    attempt: String,
    cause: io::Error,
}

impl fmt::Display for ServerError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {}: {}", self.attempt, self.cause)
    }
}

/// Serves until SIGTERM or SIGINT. When it returns, whatever the result, all threads are joined, all mutexes and
/// condition variables destroyed and all descriptors closed. Fails if the port is taken or the system is short of
/// descriptors or threads.
pub fn run(config: &Config) -> Result<(), ServerError> {
    // Blocks the signals before there is a second thread: the workers inherit the mask.
    let signals = SignalFd::block(&[SIGTERM, SIGINT]).map_err(could_not("set up signals"))?;
    let attempt = format!("listen on 127.0.0.1:{}", config.port);
    let socket = ListenSocket::bind(config.port).map_err(could_not(&attempt))?;

    let log = Log::from_environment();
    let queue = TaskQueue::new(config.capacity, config.workers, config.task_timeout);
    let completions = Completions::new().map_err(could_not("make an eventfd"))?;
    let event_loop =
        EventLoop::new(socket, signals, &queue, &completions, &log).map_err(could_not("set up epoll"))?;

    // The workers borrow queue, mailbox and log, so they have to be joined before those are destroyed.
    thread::scope(|scope| {
        let shared = Shared { queue: &queue, completions: &completions, log: &log };
        let mut pool =
            ThreadPool::start(scope, config.workers, shared).map_err(could_not("start the workers"))?;
        log.say(Role::Main, format_args!("listening on 127.0.0.1:{}", config.port));
        event_loop.run(|unfinished, load| pool.grow(unfinished, load)).map_err(could_not("wait for events"))
        // The event loop is gone here, and with it every socket; now the pool goes: close the queue, join the workers.
    })
}

fn could_not(attempt: &str) -> impl FnOnce(io::Error) -> ServerError {
    let attempt = attempt.to_string();
    move |cause| ServerError { attempt, cause }
}
