//! Whether every thread sleeps: two looks at /proc, between which nothing ran.

use super::Session;
use crate::probes::{
    clients::Link,
    proc::{Quiet, Sleep, ThreadState, thread_state},
    tracer::thread::{Role, Thread},
};
use std::time::Duration;

/// What was remembered of the last look.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) quiet: Quiet,
    /// Bytes that no kernel had acknowledged: stuck rather than under way if the number stays.
    in_flight: Vec<usize>,
}

/// One thread at the moment of a snapshot.
#[derive(Clone, Debug)]
pub struct ThreadSeen {
    /// Its id.
    pub tid: i32,
    /// What it is for.
    pub role: Role,
    /// Held by the tracer.
    pub held: bool,
    /// Asleep, by itself or because it is held.
    pub asleep: bool,
    /// In words.
    pub doing: String,
    /// Processor time used so far.
    pub cpu: Duration,
}

/// What every thread was doing at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The threads that were alive, main first.
    pub threads: Vec<ThreadSeen>,
}

impl Snapshot {
    /// `main thread (tid 7) sleeps in epoll_wait; worker 1 (tid 8) is held mid-task`.
    pub fn describe(&self) -> String {
        if self.threads.is_empty() {
            return "no thread is alive".to_owned();
        }
        let each: Vec<String> =
            self.threads.iter().map(|t| format!("{} (tid {}) {}", t.role, t.tid, t.doing)).collect();
        each.join("; ")
    }

    /// The main thread.
    pub fn main(&self) -> Option<&ThreadSeen> {
        self.threads.iter().find(|t| t.role == Role::Main)
    }
}

impl Session {
    /// What every thread is doing now.
    pub fn snapshot(&self) -> Snapshot {
        let pid = self.tracer.main();
        let mut threads: Vec<ThreadSeen> = self
            .tracer
            .alive()
            .map(|thread| {
                let state = thread_state(pid, thread.tid);
                ThreadSeen {
                    tid: thread.tid,
                    role: thread.role,
                    held: thread.is_held(),
                    asleep: thread.is_held() || state.is_some_and(|s| s.asleep),
                    doing: doing(thread, state.as_ref()),
                    cpu: state.map_or(Duration::ZERO, |s| s.cpu),
                }
            })
            .collect();
        threads.sort_by_key(|t| t.role);
        Snapshot { threads }
    }

    /// Looks once. `Some` if nothing can happen any more unless somebody does something or a deadline of the server passes.
    ///
    /// To be called when nothing moved since the last look: that, and threads that sleep and have not run between two
    /// looks, means that all slept at one moment, with nothing on its way to any of them.
    pub(super) fn at_rest(&mut self) -> Option<Sleep> {
        let pid = self.tracer.main();
        // Of a thread that is on its way out, the end is still to be heard.
        let leaving = |t: &&Thread| t.ended.is_some() && t.tid != pid;
        if self.tracer.unreaped().any(|t| leaving(&t)) || self.tracer.alive().next().is_none() {
            self.scan.quiet.reset();
            return None;
        }
        let awake = self.tracer.alive().filter(|t| !t.is_held() && t.role != Role::Child).map(|t| t.tid);
        let quiet = self.scan.quiet.look(pid, awake);
        let in_flight: Vec<usize> = self.clients.iter().map(|(_, client)| client.in_flight()).collect();
        let arrived = in_flight.iter().all(|bytes| *bytes == 0) || in_flight == self.scan.in_flight;
        self.scan.in_flight = in_flight;
        quiet.filter(|_| arrived && self.all_received())
    }

    /// Whether all that the server has sent to clients who read has come to them.
    fn all_received(&self) -> bool {
        self.clients.iter().filter(|(_, client)| client.is_reading() && client.link() == Link::Open).all(
            |(id, client)| {
                self.server_side(id).is_none_or(|object| object.bytes_out == client.received().len() as u64)
            },
        )
    }
}

fn doing(thread: &Thread, state: Option<&ThreadState>) -> String {
    if thread.is_held() {
        return "is held mid-task".to_owned();
    }
    let Some(state) = state else { return "is ending".to_owned() };
    if let Some(waiting) = thread.waiting {
        return waiting.to_string();
    }
    match (&thread.inside, state.asleep) {
        (Some(inside), true) => format!("sleeps in {}", inside.call.name),
        (Some(inside), false) => format!("is in {}", inside.call.name),
        (None, true) => "sleeps".to_owned(),
        (None, false) => "is running".to_owned(),
    }
}
