//! The wake-up of whoever sleeps in `push`, and the capacity.

use super::{Mutation, harmless, queue};

pub const MUTATIONS: &[Mutation] = &[
    queue(
        "`pop`: no signal for the room",
        "            self.space.signal(&state);
        }
        taken
",
        "        }
        taken
",
        &["pop_and_push", "try_push_and_pop", "two_pushers_two_workers"],
    ),
    queue(
        "`pop`: signals the room only if the queue was full",
        "if state.pushers_asleep > 0 {",
        "if state.pushers_asleep > 0 && taken.as_ref().is_some_and(|taken| taken.made_room) {",
        &["pop_and_push"],
    ),
    queue(
        "`pop`: signals the room to the workers",
        "            self.space.signal(&state);
        }
        taken
",
        "            self.work.signal(&state);
        }
        taken
",
        &["pop_and_push", "try_push_and_pop", "two_pushers_two_workers"],
    ),
    queue(
        "`push`: `if` for `while`",
        "while state.room(self.capacity) == 0 && !state.closed {",
        "if state.room(self.capacity) == 0 && !state.closed {",
        &["pop_and_push", "two_pushers_two_workers"],
    ),
    queue(
        "`push`: looks, gives the lock back, and then sleeps",
        "            state.pushers_asleep += 1;
",
        "            drop(state);
            state = self.state.lock();
            state.pushers_asleep += 1;
",
        &[
            "close_and_pop_and_push",
            "close_and_push",
            "pop_and_push",
            "try_push_and_pop",
            "two_pushers_two_workers",
        ],
    ),
    queue(
        "`push`: gives the lock back between the look and the push",
        "            return Err(task);
        }
        state.tasks.push_back(task);
        self.wake_worker(&mut state);
",
        "            return Err(task);
        }
        drop(state);
        let mut state = self.state.lock();
        state.tasks.push_back(task);
        self.wake_worker(&mut state);
",
        &["close_and_pop_and_push", "pop_and_push", "two_pushers_two_workers"],
    ),
    harmless(
        queue(
            "`pop`: signals the room, whether anybody sleeps or not",
            "if state.pushers_asleep > 0 {",
            "{",
            &[],
        ),
        "nothing goes wrong, it only costs more",
    ),
];
