//! The task queue as the checker sees it: its calls, its answers, and what is right for one thread alone.

use std::collections::VecDeque;
use std::fmt;

use pool_server::config::PoolSize;
use pool_server::handoff::{ConnectionId, Refused, Seat, Task, TaskQueue, Ticket};

use crate::checker::Specification;

/// A call of the queue. Tasks are numbers here, each used once.
#[derive(Clone, PartialEq)]
pub enum Call {
    Push(u64),
    TryPush(u64),
    PushAll(Vec<u64>),
    Pop,
    Room,
    Close,
}

/// What it returned.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Done,
    Full,
    Closed,
    /// `push_all` took so many; there is room for so many more.
    Took(usize, usize),
    /// A task, and whether the queue was full before.
    Task(u64, bool),
    Nothing,
    Room(usize),
}

impl fmt::Debug for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Push(task) => write!(out, "push {task}"),
            Call::TryPush(task) => write!(out, "try_push {task}"),
            Call::PushAll(tasks) => write!(out, "push_all {tasks:?}"),
            Call::Pop => write!(out, "pop"),
            Call::Room => write!(out, "room"),
            Call::Close => write!(out, "close"),
        }
    }
}

/// The queue without threads.
pub struct Sequential {
    pub capacity: usize,
}

impl Specification for Sequential {
    /// What waits, and whether the queue is closed.
    type State = (VecDeque<u64>, bool);
    type Call = Call;
    type Answer = Answer;

    fn start(&self) -> Self::State {
        (VecDeque::new(), false)
    }

    fn step(&self, state: &Self::State, call: &Call) -> Option<(Self::State, Answer)> {
        let (mut tasks, mut closed) = state.clone();
        let room = if closed { 0 } else { self.capacity - tasks.len() };
        let answer = match call {
            Call::Push(_) | Call::TryPush(_) if closed => Answer::Closed,
            Call::Push(_) if room == 0 => return None,
            Call::TryPush(_) if room == 0 => Answer::Full,
            Call::Push(task) | Call::TryPush(task) => {
                tasks.push_back(*task);
                Answer::Done
            }
            Call::PushAll(batch) => {
                let taken = batch.len().min(room);
                tasks.extend(&batch[..taken]);
                Answer::Took(taken, room - taken)
            }
            Call::Pop if tasks.is_empty() && !closed => return None,
            Call::Pop => {
                let was_full = tasks.len() == self.capacity;
                tasks.pop_front().map_or(Answer::Nothing, |task| Answer::Task(task, was_full))
            }
            Call::Room => Answer::Room(room),
            Call::Close => {
                closed = true;
                Answer::Done
            }
        };
        Some(((tasks, closed), answer))
    }
}

/// What histories are recorded of.
pub trait Queue: Sync {
    /// Runs a call on this thread, which may sleep.
    fn run(&self, thread: usize, call: &Call) -> Answer;
}

/// The server's queue, with a seat for each thread.
pub struct Real {
    queue: TaskQueue,
    seats: Vec<Seat>,
}

impl Real {
    pub fn new(capacity: usize, threads: usize) -> Real {
        let queue = TaskQueue::new(capacity, PoolSize { min: threads, max: threads }, None);
        let seats = (0..threads).map(|_| queue.employ().unwrap()).collect();
        Real { queue, seats }
    }
}

fn task(number: &u64) -> Task {
    Task { ticket: Ticket { connection: ConnectionId(0), sequence: *number }, text: Vec::new() }
}

impl Queue for Real {
    fn run(&self, thread: usize, call: &Call) -> Answer {
        match call {
            Call::Push(number) => match self.queue.push(task(number)) {
                Ok(()) => Answer::Done,
                Err(back) => {
                    assert_eq!(back, task(number));
                    Answer::Closed
                }
            },
            Call::TryPush(number) => match self.queue.try_push(task(number)) {
                Ok(()) => Answer::Done,
                Err(Refused::Full(back)) => {
                    assert_eq!(back, task(number));
                    Answer::Full
                }
                Err(Refused::Closed(back)) => {
                    assert_eq!(back, task(number));
                    Answer::Closed
                }
            },
            Call::PushAll(numbers) => {
                let mut batch = numbers.iter().map(task).collect();
                let room = self.queue.push_all(&mut batch).room;
                assert!(
                    batch
                        .iter()
                        .eq(&numbers.iter().map(task).collect::<Vec<_>>()[numbers.len() - batch.len()..])
                );
                Answer::Took(numbers.len() - batch.len(), room)
            }
            Call::Pop => match self.queue.pop(self.seats[thread]) {
                Some(taken) => Answer::Task(taken.task.ticket.sequence, taken.made_room),
                None => Answer::Nothing,
            },
            Call::Room => Answer::Room(self.queue.room()),
            Call::Close => {
                self.queue.close();
                Answer::Done
            }
        }
    }
}
