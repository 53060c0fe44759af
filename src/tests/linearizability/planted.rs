//! Queues with one mistake each. The checker has to find it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;

use crate::queue::{Answer, Call, Queue};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mistake {
    /// Nothing: to be sure that the others are found for their mistake.
    None,
    /// `pop` hands out the newest task.
    Newest,
    /// Every fourth task vanishes.
    Loses,
    /// `pop` looks at the oldest task in one critical section and takes it away in the next.
    TakesTwice,
    /// `pop` says that there is nothing more when there is nothing at this moment.
    NothingBeforeClose,
    /// `pop` says that there is nothing more as soon as the queue is closed.
    NothingBeforeEmpty,
    /// `push` looks for room in one critical section and uses it in the next.
    ExceedsCapacity,
    /// `push` looks whether the queue is closed before it sleeps, and not after.
    PushesAfterClose,
    /// `try_push` takes a busy lock for a full queue.
    FullWhileBusy,
    /// `push_all` is one push after the other.
    BatchInPieces,
    /// `pop` says that the queue was full, if it was when it came.
    OldNews,
}

impl Mistake {
    pub const ALL: [Mistake; 10] = [
        Mistake::Newest,
        Mistake::Loses,
        Mistake::TakesTwice,
        Mistake::NothingBeforeClose,
        Mistake::NothingBeforeEmpty,
        Mistake::ExceedsCapacity,
        Mistake::PushesAfterClose,
        Mistake::FullWhileBusy,
        Mistake::BatchInPieces,
        Mistake::OldNews,
    ];
}

/// A queue of the textbook: one condition variable, and everybody is woken for every change.
pub struct Planted {
    mistake: Mistake,
    capacity: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<u64>,
    closed: bool,
    pushed: u64,
}

impl Planted {
    pub fn new(mistake: Mistake, capacity: usize) -> Planted {
        Planted { mistake, capacity, state: Mutex::default(), changed: Condvar::new() }
    }

    fn room(&self, state: &State) -> usize {
        if state.closed { 0 } else { self.capacity.saturating_sub(state.tasks.len()) }
    }

    fn put(&self, state: &mut State, task: u64) {
        state.pushed += 1;
        if self.mistake != Mistake::Loses || !state.pushed.is_multiple_of(4) {
            state.tasks.push_back(task);
        }
        self.changed.notify_all();
    }

    /// Gives the lock back for a moment in which others may run, if this is the mistake.
    fn pause<'a>(&'a self, mistake: Mistake, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if self.mistake != mistake {
            return state;
        }
        drop(state);
        thread::yield_now();
        self.state.lock().unwrap()
    }

    fn push(&self, task: u64) -> Answer {
        let mut state = self.state.lock().unwrap();
        let mut closed = state.closed;
        while self.room(&state) == 0 && !state.closed {
            state = self.changed.wait(state).unwrap();
            if self.mistake != Mistake::PushesAfterClose {
                closed = state.closed;
            }
        }
        if closed {
            return Answer::Closed;
        }
        state = self.pause(Mistake::ExceedsCapacity, state);
        self.put(&mut state, task);
        Answer::Done
    }

    fn try_push(&self, task: u64) -> Answer {
        let state = match self.mistake {
            Mistake::FullWhileBusy => self.state.try_lock().ok(),
            _ => Some(self.state.lock().unwrap()),
        };
        let Some(mut state) = state else { return Answer::Full };
        if state.closed {
            return Answer::Closed;
        }
        if self.room(&state) == 0 {
            return Answer::Full;
        }
        self.put(&mut state, task);
        Answer::Done
    }

    fn push_all(&self, tasks: &[u64]) -> Answer {
        let mut state = self.state.lock().unwrap();
        let fitting = tasks.len().min(self.room(&state));
        let room = self.room(&state) - fitting;
        for &task in &tasks[..fitting] {
            self.put(&mut state, task);
            state = self.pause(Mistake::BatchInPieces, state);
        }
        Answer::Took(fitting, room)
    }

    fn pop(&self) -> Answer {
        let mut state = self.state.lock().unwrap();
        let was_full_before = state.tasks.len() == self.capacity;
        state = self.pause(Mistake::OldNews, state);
        while state.tasks.is_empty() && !state.closed && self.mistake != Mistake::NothingBeforeClose {
            state = self.changed.wait(state).unwrap();
        }
        if state.closed && self.mistake == Mistake::NothingBeforeEmpty {
            return Answer::Nothing;
        }
        let was_full = match self.mistake {
            Mistake::OldNews => was_full_before,
            _ => state.tasks.len() == self.capacity,
        };
        let seen = state.tasks.front().copied();
        state = self.pause(Mistake::TakesTwice, state);
        let task = match self.mistake {
            Mistake::Newest => state.tasks.pop_back(),
            _ => state.tasks.pop_front(),
        };
        let task = if self.mistake == Mistake::TakesTwice { seen } else { task };
        self.changed.notify_all();
        task.map_or(Answer::Nothing, |task| Answer::Task(task, was_full))
    }
}

impl Queue for Planted {
    fn run(&self, _: usize, call: &Call) -> Answer {
        let answer = match call {
            Call::Push(task) => self.push(*task),
            Call::TryPush(task) => self.try_push(*task),
            Call::PushAll(tasks) => self.push_all(tasks),
            Call::Pop => self.pop(),
            Call::Room => Answer::Room(self.room(&self.state.lock().unwrap())),
            Call::Close => {
                self.state.lock().unwrap().closed = true;
                self.changed.notify_all();
                Answer::Done
            }
        };
        if self.mistake == Mistake::FullWhileBusy {
            // A lock that is busy more often.
            let _state = self.state.lock().unwrap();
            thread::yield_now();
        }
        answer
    }
}
