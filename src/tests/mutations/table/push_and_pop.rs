//! The wake-up of the workers, and the order of tasks.

use super::{Mutation, harmless, queue};

pub const MUTATIONS: &[Mutation] = &[
    queue(
        "`push_all`: no signal",
        "        state.tasks.extend(batch.drain(..fitting));
        self.wake_worker(&mut state);
",
        "        state.tasks.extend(batch.drain(..fitting));
",
        &["pop_and_read", "push_all_and_pop"],
    ),
    queue(
        "`push`: no signal",
        "            return Err(task);
        }
        state.tasks.push_back(task);
        self.wake_worker(&mut state);
",
        "            return Err(task);
        }
        state.tasks.push_back(task);
",
        &[
            "pop_and_push_again",
            "push_and_pop",
            "push_and_pop_again",
            "try_push_and_pop",
            "two_pushers_two_workers",
        ],
    ),
    queue(
        "`try_push`: no signal",
        "            return Err(Refused::Full(task));
        }
        state.tasks.push_back(task);
        self.wake_worker(&mut state);
",
        "            return Err(Refused::Full(task));
        }
        state.tasks.push_back(task);
",
        &["try_push_and_pop", "try_push_and_push"],
    ),
    queue(
        "`push_all`: signals, and puts the tasks in after (in another critical section)",
        "        state.tasks.extend(batch.drain(..fitting));
        self.wake_worker(&mut state);
",
        "        self.work.signal(&state);
        drop(state);
        let mut state = self.state.lock();
        state.tasks.extend(batch.drain(..fitting));
",
        &["pop_and_read", "push_all_and_pop"],
    ),
    queue(
        "`pop`: does not wake the next",
        "        let taken = state.take(seat, self.capacity, self.task_timeout);
        self.wake_worker(&mut state);
",
        "        let taken = state.take(seat, self.capacity, self.task_timeout);
",
        &["push_all_and_pop", "push_and_pop"],
    ),
    queue(
        "`pop`: `if` for `while`",
        "while state.tasks.is_empty() && !state.closed && !may_leave {",
        "if state.tasks.is_empty() && !state.closed && !may_leave {",
        &["try_push_and_pop", "two_pushers_two_workers"],
    ),
    queue(
        "`pop`: looks, gives the lock back, and then sleeps",
        "            (state, may_leave) = self.wait_for_work(state);
",
        "            drop(state);
            (state, may_leave) = self.wait_for_work(self.state.lock());
",
        &[
            "pop_and_read",
            "close_and_pop",
            "close_and_pop_and_push",
            "pop_and_push_again",
            "push_all_and_pop",
            "push_and_pop",
            "push_and_pop_again",
            "try_push_and_pop",
            "try_push_and_push",
            "two_pushers_two_workers",
            "shutdown",
        ],
    ),
    queue(
        "`pop`: the mark that a wake is under way is never taken back",
        "        state.worker_under_way = false;
",
        "",
        &[
            "pop_and_push_again",
            "push_all_and_pop",
            "push_and_pop",
            "push_and_pop_again",
            "try_push_and_pop",
            "two_pushers_two_workers",
        ],
    ),
    queue(
        "`pop`: a worker is counted as idle for ever",
        "        state.idle -= 1;
",
        "",
        &["pop_and_push_again", "push_and_pop_again"],
    ),
    queue(
        "`pop`: takes the newest",
        "self.tasks.pop_front()",
        "self.tasks.pop_back()",
        &["close_and_pop", "pop_and_push", "push_and_pop_again"],
    ),
    harmless(
        queue(
            "`wake_worker`: a signal for each task, one under way or not",
            " && !state.worker_under_way {",
            " {",
            &[],
        ),
        "nothing goes wrong, it only costs more",
    ),
];
