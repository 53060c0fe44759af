//! A concurrent server, small enough to read in an evening: one event loop, a bounded queue, a pool of workers, and a
//! mailbox back.
//!
//! # The way of one request
//!
//! 1. A client connects. [`event_loop::listener`] accepts it, and epoll watches it from then on.
//! 2. Bytes arrive. [`event_loop::connection`] reads them if the queue has room; [`protocol`] cuts them into lines.
//! 3. A line becomes a [`handoff::Task`] with a ticket: which connection, which of its requests. All tasks of one turn
//!    go into the [`handoff::TaskQueue`] together.
//! 4. A worker sleeps in `pop` ([`thread_pool::worker`]). It takes the task, computes ([`thread_pool::job`]) and
//!    leaves a [`handoff::Completion`] in the mailbox, [`handoff::Completions`].
//! 5. The mailbox's eventfd wakes the event loop. It collects all answers, and each connection puts its own into the
//!    order of its requests ([`event_loop::replies`]) and sends them with one call.
//!
//! [`server`] builds all this and takes it down; `docs/concurrency-model.md` says why it cannot go wrong in between.
//!
//! # The layers
//!
//! A module uses only modules with a lower number (its own folder included); the two folders of layer 4 do not know
//! each other.

// 0: plain data and pure functions
pub mod config;
pub mod protocol;

// 1: the system
pub mod sys;

// 2: the seam between pthreads and their model, and the log
pub mod sync;
pub mod log;

// 3: what two threads share
pub mod handoff;

// 4: what one thread has for itself
#[cfg(not(loom))]
pub mod thread_pool;
#[cfg(not(loom))]
pub mod event_loop;

// 5: the whole
#[cfg(not(loom))]
pub mod server;
