//! Layer 3: the table between the event loop and the workers; everything that two threads share lies here.
//!
//! | datum | guarded by | written by | read by | woken through |
//! |---|---|---|---|---|
//! | waiting tasks, `closed` ([`TaskQueue`]) | the queue's mutex | main: `push_all`, `close`; any: `push`, `try_push`; workers: `pop` | all | condition variables: `work` for workers, `space` for who sleeps in `push` |
//! | `idle`, `worker_under_way`, `pushers_asleep`, `pusher_under_way` ([`TaskQueue`]) | the queue's mutex | as above | all | none |
//! | [`Roster`]: who is employed, what each has in hand | the queue's mutex | main: `employ`, `take_overdue`; workers: `pop` | both | none |
//! | results, `rung` ([`Completions`]) | the mailbox's mutex | workers: `post`, `ring`; main: `collect` | main: `collect` | eventfd, watched by main's epoll |
//!
//! (The log's mutex, in `log.rs`, guards no datum.) A [`Task`] or [`Completion`] on the table belongs to the table;
//! taken off, it belongs to the thread that took it, and to nobody else.
//!
//! Lock order: there is none to keep. No thread ever holds two of these locks.

pub mod task;
pub mod roster;
pub mod task_queue;
pub mod completions;

pub use completions::Completions;
pub use roster::{Roster, Seat};
pub use task::{Completion, ConnectionId, Task, Ticket};
pub use task_queue::{Load, Occupancy, Overdue, Refused, Taken, TaskQueue};

#[cfg(all(test, loom))]
mod models;
