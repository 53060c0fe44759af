//! Tasks on their way from the event loop to the workers: a bounded queue behind one mutex, two condition variables.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::roster::{Roster, Seat};
use super::task::{Task, Ticket};
use crate::config::PoolSize;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// How long a worker that can be spared waits for work before it leaves.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// First in, first out; at most `capacity` tasks wait. The workers sleep in [`TaskQueue::pop`], and a thread that has
/// nothing better to do until there is room may sleep in [`TaskQueue::push`]. The event loop never sleeps here: it knows
/// the room and pushes no more, with [`TaskQueue::push_all`]. What it has no room for stays in the sockets.
pub struct TaskQueue {
    capacity: usize,
    task_timeout: Option<Duration>,
    state: Mutex<State>,
    /// There is a task, or there will be none any more.
    work: Condvar,
    /// There is room, or there will be no use for it any more.
    space: Condvar,
}

/// Guarded by the mutex. Whenever the mutex is free, this holds:
/// *tasks wait and workers are idle, only if a worker is under way*; and
/// *there is room and pushers sleep, only if a pusher is under way*.
///
/// Under way is who has been woken and is not yet back with the lock. One at a time is enough, however many tasks or
/// places there are: who comes back takes one, and wakes the next if there is another. Who comes back too late finds
/// nothing left, and so nothing to wake anybody for.
struct State {
    tasks: VecDeque<Task>,
    /// No task will come any more.
    closed: bool,
    /// Workers inside a wait on `work`, the one that is being woken included.
    idle: usize,
    /// `work` was signalled, and no worker has come back since.
    worker_under_way: bool,
    /// Threads inside a wait on `space`, the one that is being woken included.
    pushers_asleep: usize,
    /// `space` was signalled, and no pusher has come back since.
    pusher_under_way: bool,
    roster: Roster,
}

/// What the event loop learns when it pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many more tasks could wait; none in a closed queue. Workers can only make it more.
    pub room: usize,
    /// How many workers there are.
    pub workers: usize,
}

/// Why a task was not taken; it comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no room at this moment.
    Full(Task),
    /// There will never be room again.
    Closed(Task),
}

/// Where the tasks are, all at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// In the queue.
    pub waiting: usize,
    /// Taken by a worker who has not asked for the next one yet.
    pub taken: usize,
}

/// What a worker gets.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The oldest task. It belongs to the worker now.
    pub task: Task,
    /// The queue was full before: the event loop may be waiting to hear that it no longer is.
    pub made_room: bool,
}

/// Which tasks have been in hand for too long.
#[derive(Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Their tickets; each is reported once.
    pub tickets: Vec<Ticket>,
    /// No other task can become overdue before then; `None`: none is in hand or waits, or tasks may take for ever.
    pub next: Option<Instant>,
}

impl TaskQueue {
    /// An empty queue for at most `capacity` waiting tasks, and a roster for `workers`. A task that has been in hand for
    /// `task_timeout` is overdue; `None`: no task ever is, and nobody looks at the clock.
    pub fn new(capacity: usize, workers: PoolSize, task_timeout: Option<Duration>) -> TaskQueue {
        let state = Mutex::new(State {
            tasks: VecDeque::with_capacity(capacity),
            closed: false,
            idle: 0,
            worker_under_way: false,
            pushers_asleep: 0,
            pusher_under_way: false,
            roster: Roster::new(workers),
        });
        TaskQueue { capacity, task_timeout, work: Condvar::of(&state), space: Condvar::of(&state), state }
    }

    /// Moves tasks from the front of `batch` into the queue, as many as fit, with one lock and at most one signal.
    /// Never sleeps; a closed queue takes nothing. Main thread.
    pub fn push_all(&self, batch: &mut Vec<Task>) -> Load {
        let mut state = self.state.lock();
        let fitting = batch.len().min(state.room(self.capacity));
        state.tasks.extend(batch.drain(..fitting));
        self.wake_worker(&mut state);
        Load { room: state.room(self.capacity), workers: state.roster.employed() }
    }

    /// Sleeps while the queue is full, then puts the task at its end. The task comes back if the queue is closed, even
    /// if that happened during the sleep. Any thread but the event loop's.
    pub fn push(&self, task: Task) -> Result<(), Task> {
        let mut state = self.state.lock();
        while state.room(self.capacity) == 0 && !state.closed {
            state.pushers_asleep += 1;
            state = self.space.wait(state);
            state.pushers_asleep -= 1;
            state.pusher_under_way = false;
        }
        if state.closed {
            return Err(task);
        }
        state.tasks.push_back(task);
        self.wake_worker(&mut state);
        self.wake_pusher(&mut state);
        Ok(())
    }

    /// Puts the task at the end of the queue or gives it back at once. Any thread.
    pub fn try_push(&self, task: Task) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refused::Closed(task));
        }
        if state.room(self.capacity) == 0 {
            return Err(Refused::Full(task));
        }
        state.tasks.push_back(task);
        self.wake_worker(&mut state);
        Ok(())
    }

    /// Sleeps until there is a task and takes the oldest. `None` is for ever: the queue was closed and is empty, or
    /// this worker was idle for [`PATIENCE`] and can be spared. Workers.
    pub fn pop(&self, seat: Seat) -> Option<Taken> {
        let mut state = self.state.lock();
        state.roster.put_down(seat);
        let mut may_leave = false;
        while state.tasks.is_empty() && !state.closed && !may_leave {
            (state, may_leave) = self.wait_for_work(state);
        }
        let taken = state.take(seat, self.capacity, self.task_timeout);
        self.wake_worker(&mut state);
        self.wake_pusher(&mut state);
        taken
    }

    /// Says that no task will come any more: workers finish what waits, then `pop` returns `None`; whoever sleeps in
    /// `push` gets the task back. Main thread.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.work.broadcast(&state);
        self.space.broadcast(&state);
    }

    /// How many more tasks could wait. If the answer is 0 in a queue that is not closed, the next `pop` reports
    /// `made_room`. Main thread.
    pub fn room(&self) -> usize {
        self.state.lock().room(self.capacity)
    }

    /// How many tasks wait, and how many have been taken by workers who have not come back since. Main thread.
    pub fn occupancy(&self) -> Occupancy {
        let state = self.state.lock();
        Occupancy { waiting: state.tasks.len(), taken: state.roster.at_work() }
    }

    /// Gives a seat to a new worker, unless all are taken. Main thread, before it starts the worker.
    pub fn employ(&self) -> Option<Seat> {
        self.state.lock().roster.employ()
    }

    /// Takes back a seat whose worker could not be started. Main thread.
    pub fn dismiss(&self, seat: Seat) {
        self.state.lock().roster.leave(seat);
    }

    /// How long a task may be in hand; `None` means for ever. Any thread.
    pub fn task_timeout(&self) -> Option<Duration> {
        self.task_timeout
    }

    /// Reports the tasks that have been in hand for too long at the time `now`. Main thread.
    pub fn take_overdue(&self, now: Instant) -> Overdue {
        let mut state = self.state.lock();
        let tickets = state.roster.take_overdue(now);
        // A task that waits may be taken at any moment from now on.
        let if_taken_now = self.task_timeout.filter(|_| !state.tasks.is_empty()).map(|limit| now + limit);
        Overdue { tickets, next: state.roster.next_deadline().or(if_taken_now) }
    }

    /// Signals, if a task waits, a worker sleeps, and none is under way.
    fn wake_worker(&self, state: &mut MutexGuard<'_, State>) {
        if !state.tasks.is_empty() && state.idle > 0 && !state.worker_under_way {
            state.worker_under_way = true;
            self.work.signal(state);
        }
    }

    /// Signals, if there is room, a pusher sleeps, and none is under way.
    fn wake_pusher(&self, state: &mut MutexGuard<'_, State>) {
        if state.room(self.capacity) > 0 && state.pushers_asleep > 0 && !state.pusher_under_way {
            state.pusher_under_way = true;
            self.space.signal(state);
        }
    }

    /// One wait on `work`, with the limit [`PATIENCE`] if this worker can be spared; true if the limit has passed and it
    /// still can.
    ///
    /// At most `min` workers can be in a wait without limit at a time: the last of them to begin saw no more than
    /// `min` workers. So an idle pool shrinks to `min` and then sleeps without a single tick.
    fn wait_for_work<'queue>(
        &self,
        mut state: MutexGuard<'queue, State>,
    ) -> (MutexGuard<'queue, State>, bool) {
        state.idle += 1;
        let (mut state, timed_out) = match state.roster.can_spare_one() {
            true => self.work.wait_for(state, PATIENCE),
            false => (self.work.wait(state), false),
        };
        state.idle -= 1;
        state.worker_under_way = false;
        let may_leave = timed_out && state.roster.can_spare_one();
        (state, may_leave)
    }
}

impl State {
    /// How many more tasks may be put in.
    fn room(&self, capacity: usize) -> usize {
        if self.closed { 0 } else { capacity - self.tasks.len() }
    }

    /// Gives the oldest task to the worker in `seat`, or takes the seat back if there is none.
    fn take(&mut self, seat: Seat, capacity: usize, timeout: Option<Duration>) -> Option<Taken> {
        let made_room = self.tasks.len() == capacity;
        let Some(task) = self.tasks.pop_front() else {
            self.roster.leave(seat);
            return None;
        };
        // The lock is held: nobody looks at the clock here unless there is a limit.
        let deadline = timeout.map(|limit| Instant::now() + limit);
        self.roster.take(seat, task.ticket, deadline);
        Some(Taken { task, made_room })
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::handoff::ConnectionId;
    use crate::sync::Mutex;
    use crate::sys::thread;

    fn task(sequence: u64) -> Task {
        Task { ticket: Ticket { connection: ConnectionId(3), sequence }, text: Vec::new() }
    }

    fn queue(capacity: usize) -> (TaskQueue, Seat) {
        timed_queue(capacity, None)
    }

    fn timed_queue(capacity: usize, task_timeout: Option<Duration>) -> (TaskQueue, Seat) {
        let queue = TaskQueue::new(capacity, PoolSize { min: 1, max: 1 }, task_timeout);
        let seat = queue.employ().unwrap();
        (queue, seat)
    }

    #[test]
    fn a_full_queue_takes_no_more_and_its_next_pop_reports_room() {
        let (queue, seat) = queue(2);
        let mut batch = vec![task(0), task(1), task(2)];
        assert_eq!(queue.push_all(&mut batch), Load { room: 0, workers: 1 });
        assert_eq!(batch, [task(2)]);
        assert_eq!(queue.pop(seat), Some(Taken { task: task(0), made_room: true }));
        assert_eq!(queue.room(), 1);
        assert_eq!(queue.occupancy(), Occupancy { waiting: 1, taken: 1 });
        assert_eq!(queue.pop(seat), Some(Taken { task: task(1), made_room: false }));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_then_none() {
        let (queue, seat) = queue(2);
        queue.push_all(&mut vec![task(0)]);
        queue.close();
        assert_eq!(queue.pop(seat).unwrap().task, task(0));
        assert_eq!(queue.pop(seat), None);
    }

    #[test]
    fn a_worker_that_can_be_spared_leaves_and_one_stays() {
        let queue = TaskQueue::new(2, PoolSize { min: 1, max: 2 }, None);
        let (first, second) = (queue.employ().unwrap(), queue.employ().unwrap());
        assert_eq!(queue.pop(second), None);
        assert_eq!(queue.push_all(&mut vec![task(0)]).workers, 1);
        assert_eq!(queue.pop(first).unwrap().task, task(0));
    }

    #[test]
    fn only_a_task_in_hand_can_be_overdue() {
        let limit = Duration::from_secs(5);
        let (queue, seat) = timed_queue(2, Some(limit));
        let (now, late) = (Instant::now(), Instant::now() + 2 * limit);
        assert_eq!(queue.take_overdue(now), Overdue { tickets: vec![], next: None });
        queue.push_all(&mut vec![task(0)]);
        assert_eq!(queue.take_overdue(late), Overdue { tickets: vec![], next: Some(late + limit) });
        queue.pop(seat);
        assert_eq!(queue.take_overdue(late), Overdue { tickets: vec![task(0).ticket], next: None });
    }

    #[test]
    fn without_a_limit_no_task_is_overdue() {
        let (queue, seat) = queue(2);
        queue.push_all(&mut vec![task(0), task(1)]);
        queue.pop(seat);
        let late = Instant::now() + Duration::from_secs(3600);
        assert_eq!(queue.take_overdue(late), Overdue { tickets: vec![], next: None });
    }

    #[test]
    fn four_workers_take_every_task_once_each_in_order() {
        const TASKS: u64 = 2000;
        let queue = TaskQueue::new(8, PoolSize { min: 4, max: 4 }, None);
        let seen = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..4 {
                let seat = queue.employ().unwrap();
                let (queue, seen) = (&queue, &seen);
                let work = move || {
                    let mut mine = Vec::new();
                    while let Some(taken) = queue.pop(seat) {
                        mine.push(taken.task.ticket.sequence);
                    }
                    assert!(mine.is_sorted());
                    seen.lock().extend(mine);
                };
                scope.spawn("worker", work).unwrap();
            }
            let mut batch: Vec<Task> = (0..TASKS).map(task).collect();
            while !batch.is_empty() {
                queue.push_all(&mut batch);
            }
            queue.close();
        });
        let mut seen = std::mem::take(&mut *seen.lock());
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..TASKS));
    }
}
