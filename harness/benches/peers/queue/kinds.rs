//! The queues of the comparison. Each is bounded, hands over the same [`Task`], and is driven by the same code.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::iter;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::Result;
use clap::ValueEnum;
use pool_server::config::PoolSize;
use pool_server::handoff::{Seat, Task, TaskQueue};

use crate::drive::{Figures, Pace, drive};

/// One queue of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The server's own, one `push` for each task, as the others are used.
    PoolServer,
    /// The server's own as the event loop uses it: [`BATCH`] tasks with one `push_all`, and `push` only where there is no room.
    Batches,
    /// The plain ring of lesson 01, in Rust: one mutex, two conditions, a signal for each task; on the mutex and the conditions of the standard library.
    StdRing,
    /// `std::sync::mpsc::sync_channel`. It has one receiver: several consumers share it under a mutex.
    SyncChannel,
    /// `crossbeam_channel::bounded`.
    Crossbeam,
    /// `flume::bounded`.
    Flume,
}

/// So many tasks the event loop finds in one turn.
pub const BATCH: usize = 16;

impl Kind {
    /// Measures this queue in this process. Fails if it loses tasks.
    pub fn measure(self, capacity: usize, consumers: usize, pace: Pace) -> Result<Figures> {
        match self {
            Kind::PoolServer => pool_server(capacity, consumers, pace),
            Kind::Batches => batches(capacity, consumers, pace),
            Kind::StdRing => {
                let ring = Arc::new(Ring::new(capacity));
                let receivers = vec![ring.clone(); consumers];
                drive(
                    pace,
                    Closing(ring, Ring::close),
                    |ring, task| ring.0.push(task),
                    receivers,
                    |ring| ring.pop(),
                )
            }
            Kind::SyncChannel => {
                let (sender, receiver) = sync_channel(capacity);
                // A consumer takes its task within the mutex: the others wait for the mutex, not for the channel.
                let receiver = Arc::new(Mutex::new(receiver));
                let receivers = vec![receiver; consumers];
                drive(
                    pace,
                    sender,
                    |s, task| drop(s.send(task)),
                    receivers,
                    |r| unpoisoned(r.lock()).recv().ok(),
                )
            }
            Kind::Crossbeam => {
                let (sender, receiver) = crossbeam_channel::bounded(capacity);
                let receivers = vec![receiver; consumers];
                drive(pace, sender, |s, task| drop(s.send(task)), receivers, |r| r.recv().ok())
            }
            Kind::Flume => {
                let (sender, receiver) = flume::bounded(capacity);
                let receivers = vec![receiver; consumers];
                drive(pace, sender, |s, task| drop(s.send(task)), receivers, |r| r.recv().ok())
            }
        }
    }
}

/// Closes a queue when the producer drops it, as a channel does.
struct Closing<Queue>(Arc<Queue>, fn(&Queue));

impl<Queue> Drop for Closing<Queue> {
    fn drop(&mut self) {
        (self.1)(&self.0);
    }
}

/// The queue, and each consumer's way to it: the queue and a seat.
fn employed(capacity: usize, consumers: usize) -> (Closing<TaskQueue>, Vec<(Arc<TaskQueue>, Seat)>) {
    let queue = Arc::new(TaskQueue::new(capacity, PoolSize { min: consumers, max: consumers }, None));
    let seats = iter::from_fn(|| queue.employ()).map(|seat| (queue.clone(), seat)).collect();
    (Closing(queue, TaskQueue::close), seats)
}

fn pop((queue, seat): &(Arc<TaskQueue>, Seat)) -> Option<Task> {
    queue.pop(*seat).map(|taken| taken.task)
}

fn pool_server(capacity: usize, consumers: usize, pace: Pace) -> Result<Figures> {
    let (sender, receivers) = employed(capacity, consumers);
    drive(pace, sender, |sender, task| drop(sender.0.push(task)), receivers, pop)
}

fn batches(capacity: usize, consumers: usize, pace: Pace) -> Result<Figures> {
    let (queue, receivers) = employed(capacity, consumers);
    let sender = Batching { batch: RefCell::new(Vec::with_capacity(BATCH)), queue };
    drive(pace, sender, Batching::push, receivers, pop)
}

/// Gathers tasks as a turn of the event loop does.
struct Batching {
    batch: RefCell<Vec<Task>>,
    queue: Closing<TaskQueue>,
}

impl Batching {
    fn push(&self, task: Task) {
        let mut batch = self.batch.borrow_mut();
        batch.push(task);
        if batch.len() == BATCH {
            self.hand_over(&mut batch);
        }
    }

    fn hand_over(&self, batch: &mut Vec<Task>) {
        self.queue.0.push_all(batch);
        // The event loop would leave these in their sockets, and sleep until a worker rings.
        batch.drain(..).for_each(|task| drop(self.queue.0.push(task)));
    }
}

impl Drop for Batching {
    fn drop(&mut self) {
        self.hand_over(&mut self.batch.take());
    }
}

/// The plain ring of lesson 01, line by line, on the standard library.
struct Ring {
    state: Mutex<RingState>,
    not_empty: Condvar,
    not_full: Condvar,
    capacity: usize,
}

struct RingState {
    tasks: VecDeque<Task>,
    closed: bool,
}

impl Ring {
    fn new(capacity: usize) -> Ring {
        let state = Mutex::new(RingState { tasks: VecDeque::with_capacity(capacity), closed: false });
        Ring { state, not_empty: Condvar::new(), not_full: Condvar::new(), capacity }
    }

    fn push(&self, task: Task) {
        let full = |state: &mut RingState| state.tasks.len() == self.capacity && !state.closed;
        let mut state = unpoisoned(self.not_full.wait_while(unpoisoned(self.state.lock()), full));
        if !state.closed {
            state.tasks.push_back(task);
            self.not_empty.notify_one();
        }
    }

    fn pop(&self) -> Option<Task> {
        let empty = |state: &mut RingState| state.tasks.is_empty() && !state.closed;
        let mut state = unpoisoned(self.not_empty.wait_while(unpoisoned(self.state.lock()), empty));
        let task = state.tasks.pop_front()?;
        self.not_full.notify_one();
        Some(task)
    }

    fn close(&self) {
        unpoisoned(self.state.lock()).closed = true;
        self.not_empty.notify_all();
        self.not_full.notify_all();
    }
}

/// The guard, whatever happened: a consumer that panics ends the measurement anyway.
fn unpoisoned<Guard>(result: Result<Guard, PoisonError<Guard>>) -> Guard {
    result.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_queue_hands_over_every_task_once() {
        for kind in Kind::value_variants() {
            for (capacity, consumers, pause) in [(1, 1, 0), (3, 1, 0), (2, 4, 0), (64, 4, 0), (64, 4, 100)] {
                let pace = Pace { length: Duration::from_millis(2), pause: Duration::from_micros(pause) };
                let figures = kind.measure(capacity, consumers, pace);
                assert!(figures.is_ok(), "{kind:?}: {figures:?}");
            }
        }
    }
}
