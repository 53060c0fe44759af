//! The drain: from the first SIGTERM to the last answer.
//!
//! 1. The listener is closed, and no connection is read any more.
//! 2. What has been read goes its usual way: queue, worker, mailbox, client.
//! 3. A connection that is owed nothing is closed.
//! 4. The loop ends with the last connection, or [`PATIENCE`] after the last result: only clients that do not read
//!    are left then. The pool is joined after that, by whoever owns it.

use std::time::{Duration, Instant};

use super::EventLoop;
use crate::log::Role;

/// How long a client may take to read its last answers.
const PATIENCE: Duration = Duration::from_millis(500);

/// What there is to know about a shutdown under way.
pub(super) struct Drain {
    /// When the last result came, or the signal.
    last_result: Instant,
}

impl EventLoop<'_> {
    /// Steps 1 to 3 begin. A second signal changes nothing.
    pub(super) fn begin_drain(&mut self, signal: u32) {
        self.log.say(Role::Main, format_args!("signal {signal}: no newcomers; finishing what has been read"));
        if self.drain.is_none() {
            self.drain = Some(Drain { last_result: Instant::now() });
            self.listener = None;
            for connection in self.connections.iter_mut() {
                self.touched.push(connection.id());
                connection.shut_down();
            }
        }
    }

    /// Results came: the clients who get them have the full time to read them.
    pub(super) fn postpone_drain_deadline(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.last_result = Instant::now();
        }
    }

    /// When to stop waiting for clients; `None` while nobody shuts down or results are still to come.
    pub(super) fn drain_deadline(&self) -> Option<Instant> {
        let drain = self.drain.as_ref().filter(|_| self.counters.unfinished() == 0)?;
        Some(drain.last_result + PATIENCE)
    }

    /// Step 4.
    pub(super) fn is_drained(&self) -> bool {
        let nobody_left = self.drain.is_some() && self.connections.is_empty();
        nobody_left || self.drain_deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Closes what is left.
    pub(super) fn hang_up_all(&mut self) {
        for connection in self.connections.drain() {
            self.log.say(Role::Main, format_args!("{} does not read: closed", connection.id()));
            connection.hang_up(&mut self.scratch);
        }
    }
}
