//! The wake-up of whoever sleeps in `push`, and the capacity.

use super::{Mutation, harmless, queue};

pub const MUTATIONS: &[Mutation] = &[
    queue(
        "`pop`: no signal for the room",
        "        self.wake_pusher(&mut state);
        taken
",
        "        taken
",
        &[
            "pop_and_push",
            "pop_and_push_again",
            "try_push_and_pop",
            "try_push_and_push",
            "two_pushers_two_workers",
        ],
    ),
    harmless(
        queue(
            "`pop`: signals the room only if the queue was full",
            "        self.wake_pusher(&mut state);
        taken
",
            "        if taken.as_ref().is_some_and(|taken| taken.made_room) {
            self.wake_pusher(&mut state);
        }
        taken
",
            &[],
        ),
        "legal; while there is room, a pusher is under way already or none sleeps",
    ),
    queue(
        "`wake_pusher`: signals the workers",
        "self.space.signal(state)",
        "self.work.signal(state)",
        &[
            "pop_and_push",
            "pop_and_push_again",
            "try_push_and_pop",
            "try_push_and_push",
            "two_pushers_two_workers",
        ],
    ),
    queue(
        "`push`: who comes back does not wake the next",
        "        self.wake_pusher(&mut state);
        Ok(())
",
        "        Ok(())
",
        &["pop_and_push"],
    ),
    queue(
        "`push`: `if` for `while`",
        "while state.room(self.capacity) == 0 && !state.closed {",
        "if state.room(self.capacity) == 0 && !state.closed {",
        &["pop_and_push", "try_push_and_push", "two_pushers_two_workers"],
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
            "pop_and_push_again",
            "try_push_and_pop",
            "try_push_and_push",
            "two_pushers_two_workers",
        ],
    ),
    queue(
        "`push`: the mark that a wake is under way is never taken back",
        "            state.pusher_under_way = false;
",
        "",
        &["pop_and_push", "pop_and_push_again", "try_push_and_push", "two_pushers_two_workers"],
    ),
    queue(
        "`push`: the mark that a wake is under way is taken back only by who finds room",
        "            state.pusher_under_way = false;
        }
",
        "        }
        state.pusher_under_way = false;
",
        &["try_push_and_push"],
    ),
    queue(
        "`push`: a pusher is counted as asleep for ever",
        "            state.pushers_asleep -= 1;
",
        "",
        &["pop_and_push_again"],
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
    queue(
        "`wake_pusher`: notes a wake although nobody sleeps",
        " && state.pushers_asleep > 0 && ",
        " && ",
        &["pop_and_push", "pop_and_push_again", "try_push_and_push"],
    ),
    harmless(
        queue(
            "`wake_pusher`: a signal although there is no room",
            "if state.room(self.capacity) > 0 && state.pushers_asleep",
            "if state.pushers_asleep",
            &[],
        ),
        "nothing goes wrong, it only costs more; who was woken sleeps on",
    ),
    harmless(
        queue(
            "`wake_pusher`: a signal for each place, one under way or not",
            " && !state.pusher_under_way {",
            " {",
            &[],
        ),
        "nothing goes wrong, it only costs more",
    ),
    harmless(
        queue(
            "`wake_pusher`: wakes all pushers for one place",
            "self.space.signal(state)",
            "self.space.broadcast(state)",
            &[],
        ),
        "nothing goes wrong, it only costs more; all but one wake for no reason, as any wait may",
    ),
];
