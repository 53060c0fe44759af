//! The end: everybody is woken, nothing goes in any more, and what is inside comes out.

use super::{Mutation, harmless, queue};

pub const MUTATIONS: &[Mutation] = &[
    queue(
        "`close`: workers are not woken",
        "        self.work.broadcast(&state);\n",
        "",
        &["pop_and_read", "close_and_pop", "close_and_pop_and_push", "try_push_and_push", "shutdown"],
    ),
    queue(
        "`close`: one worker is woken",
        "self.work.broadcast(&state)",
        "self.work.signal(&state)",
        &["pop_and_read", "close_and_pop", "close_and_pop_and_push", "shutdown"],
    ),
    queue(
        "`close`: pushers are not woken",
        "        self.space.broadcast(&state);\n",
        "",
        &["close_and_pop_and_push", "close_and_push"],
    ),
    queue(
        "`close`: one pusher is woken",
        "self.space.broadcast(&state)",
        "self.space.signal(&state)",
        &["close_and_push"],
    ),
    queue(
        "`close`: wakes all, and sets the flag after (in another critical section)",
        "        state.closed = true;
        self.work.broadcast(&state);
        self.space.broadcast(&state);
",
        "        self.work.broadcast(&state);
        self.space.broadcast(&state);
        drop(state);
        state = self.state.lock();
        state.closed = true;
",
        &[
            "pop_and_read",
            "close_and_pop",
            "close_and_pop_and_push",
            "close_and_push",
            "try_push_and_push",
            "shutdown",
        ],
    ),
    harmless(
        queue(
            "`close`: wakes all, and sets the flag after (in the same critical section)",
            "        state.closed = true;
        self.work.broadcast(&state);
        self.space.broadcast(&state);
",
            "        self.work.broadcast(&state);
        self.space.broadcast(&state);
        state.closed = true;
",
            &[],
        ),
        "nobody sees the order, because the lock is held",
    ),
    harmless(
        queue(
            "`close`: wakes all after the lock was given back",
            "        state.closed = true;
        self.work.broadcast(&state);
",
            "        state.closed = true;
        drop(state);
        let state = self.state.lock();
        self.work.broadcast(&state);
",
            &[],
        ),
        "legal; who looks in between sees the flag",
    ),
    queue(
        "`pop`: a worker sleeps on although the queue is closed",
        "while state.tasks.is_empty() && !state.closed && !may_leave {",
        "while state.tasks.is_empty() && !may_leave {",
        &[
            "pop_and_read",
            "close_and_pop",
            "close_and_pop_and_push",
            "close_and_push",
            "try_push_and_push",
            "shutdown",
        ],
    ),
    queue(
        "`pop`: a worker leaves a closed queue that still has tasks",
        "        let taken = state.take(seat, self.capacity, self.task_timeout);
",
        "        let taken = match state.closed {
            true => None,
            false => state.take(seat, self.capacity, self.task_timeout),
        };
",
        &["close_and_pop", "close_and_pop_and_push", "close_and_push", "try_push_and_push", "shutdown"],
    ),
    queue(
        "`push`: sleeps on although the queue is closed",
        "while state.room(self.capacity) == 0 && !state.closed {",
        "while state.room(self.capacity) == 0 {",
        &["close_and_pop", "close_and_pop_and_push", "close_and_push"],
    ),
    queue(
        "`push`: a task goes in after the close",
        "        if state.closed {
            return Err(task);
",
        "        if false {
            return Err(task);
",
        &["close_and_pop", "close_and_pop_and_push", "close_and_push"],
    ),
    queue(
        "`try_push`: a task goes in after the close",
        "        if state.closed {
            return Err(Refused::Closed(task));
        }
        if state.room(self.capacity) == 0 {
",
        "        if self.capacity == state.tasks.len() {
",
        &["close_and_pop"],
    ),
    queue(
        "`push_all`: tasks go in after the close",
        "batch.len().min(state.room(self.capacity))",
        "batch.len().min(self.capacity - state.tasks.len())",
        &["close_and_pop"],
    ),
];
