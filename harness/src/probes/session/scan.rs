//! Whether every thread sleeps: two looks at /proc, between which nothing ran.

use super::Session;
use crate::probes::{
    clients::{Client, Link},
    machine::stretched,
    proc::{Quiet, Sleep, ThreadState, thread_state},
    tracer::{
        kernel::{has_time_limit, in_flight, unread},
        syscalls::OnSocket,
        thread::{Role, Thread},
    },
};
use std::time::{Duration, Instant};

/// What was remembered of the last look.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) quiet: Quiet,
    /// What clients have sent.
    to_server: InFlight,
    /// What the server has sent to clients that have hardly any room.
    to_deaf: InFlight,
    /// A timer was armed at a look since something last happened.
    timers: bool,
    /// When a timer was last seen armed.
    armed: Option<Instant>,
}

/// Bytes of each connection that the other end's kernel had not acknowledged, and since when they are the same.
#[derive(Debug, Default)]
struct InFlight {
    bytes: Vec<usize>,
    since: Option<Instant>,
}

impl InFlight {
    /// Whether they have been the same for longer than a kernel puts off an acknowledgement (`TCP_DELACK_MAX`, 200 ms): the
    /// other end has thrown them away, for want of room.
    fn are_lost(&mut self, bytes: &[usize]) -> bool {
        const ACK_DELAY: Duration = Duration::from_millis(240);
        if bytes != self.bytes {
            *self = Self { bytes: bytes.to_vec(), since: None };
        }
        self.since.get_or_insert_with(Instant::now).elapsed() >= stretched(ACK_DELAY)
    }
}

/// A timer that is due looks as if it were not armed, and it may be late. What was seen so lately counts, too.
const LATE_TIMER: Duration = Duration::from_millis(20);

impl Scan {
    /// Something has happened: what earlier looks showed does not count any more.
    pub(super) fn reset(&mut self) {
        self.quiet.reset();
        self.timers = false;
    }

    /// Whether a timer is armed, or was a moment ago. Whoever it wakes does something, and then looks begin anew.
    fn is_timed(&mut self, armed: bool) -> bool {
        if armed {
            self.armed = Some(Instant::now());
        }
        self.timers |= armed;
        self.timers || self.armed.is_some_and(|at| at.elapsed() < stretched(LATE_TIMER))
    }
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
    /// `main thread (tid 7) sleeping in epoll_wait; worker 1 (tid 8) and 3 more: held mid-task`.
    pub fn describe(&self) -> String {
        if self.threads.is_empty() {
            return "no thread is alive".to_owned();
        }
        let mut groups: Vec<(&ThreadSeen, usize)> = Vec::new();
        for thread in &self.threads {
            match groups.iter_mut().find(|(first, _)| first.doing == thread.doing && first.role != Role::Main)
            {
                Some((_, more)) => *more += 1,
                None => groups.push((thread, 0)),
            }
        }
        let words = groups.iter().map(|(first, more)| {
            let name = format!("{} (tid {})", first.role, first.tid);
            let more = if *more > 0 { format!(" and {more} more:") } else { String::new() };
            format!("{name}{more} {}", first.doing)
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// The main thread.
    pub fn main(&self) -> Option<&ThreadSeen> {
        self.threads.iter().find(|t| t.role == Role::Main)
    }
}

impl Session {
    /// What every thread is doing now.
    pub fn snapshot(&self) -> Snapshot {
        let mut threads: Vec<ThreadSeen> = self
            .tracer
            .alive()
            .map(|thread| {
                let state = thread_state(thread.tid);
                ThreadSeen {
                    tid: thread.tid,
                    role: thread.role,
                    held: thread.is_held(),
                    asleep: thread.is_held() || state.is_some_and(|s| s.asleep),
                    doing: self.doing(thread, state.as_ref()),
                    cpu: state.map_or(Duration::ZERO, |s| s.cpu),
                }
            })
            .collect();
        threads.sort_by_key(|t| t.role);
        Snapshot { threads }
    }

    fn doing(&self, thread: &Thread, state: Option<&ThreadState>) -> String {
        let Some(state) = state else { return "ending".to_owned() };
        let at = |caller| self.tracer.at_place(caller);
        if thread.is_parked() {
            return "waiting for its turn".to_owned();
        }
        if thread.is_held() {
            return "held mid-task".to_owned();
        }
        if thread.stopped {
            return "stopped by a signal".to_owned();
        }
        if let Some(waiting) = thread.waiting {
            return format!("{waiting}{}", at(thread.waiting_at));
        }
        match (&thread.inside, state.asleep) {
            (Some(inside), true) => format!("sleeping in {}{}", inside.call.name, at(inside.caller)),
            (Some(inside), false) => format!("in {}{}", inside.call.name, at(inside.caller)),
            (None, true) => "sleeping".to_owned(),
            (None, false) => "running".to_owned(),
        }
    }

    /// Looks once. `Some` if nothing can happen any more unless somebody does something or a deadline of the server passes.
    ///
    /// To be called when nothing moved since the last look: that, and threads that sleep and have not run between two
    /// looks, means that all slept at one moment, with nothing on its way to any of them.
    pub(super) fn at_rest(&mut self) -> Option<Sleep> {
        // Whoever waits for its turn gets it.
        match self.orderly.is_some() && !self.tracer.parked().is_empty() {
            true => None,
            false => self.nobody_runs(),
        }
    }

    /// The same, whoever waits for a turn.
    pub(super) fn nobody_runs(&mut self) -> Option<Sleep> {
        let pid = self.tracer.main();
        // Of a thread that is on its way out, the end is still to be heard.
        let kept = self.tracer.kept();
        let leaving = |t: &&Thread| t.ended.is_some() && t.tid != pid && !kept.contains(&t.tid);
        // So is that of the process whose last thread has gone; a child that sleeps on says nothing about it.
        let process_lives = self.tracer.alive().any(|thread| thread.role != Role::Child);
        if self.tracer.unreaped().any(|t| leaving(&t)) || !process_lives {
            self.scan.quiet.reset();
            return None;
        }
        // First what is on its way, then the threads: what arrives between wakes somebody, which the next look shows.
        if !self.all_arrived() || !self.all_received() || !self.deaf_have_all_they_can() {
            self.scan.quiet.reset();
            return None;
        }
        // A child process that is at work counts too: the server may be waiting for it.
        let free = |t: &&Thread| !t.is_held() && !t.stopped && !self.watch.bystanders.contains(&t.tid);
        let awake = self.tracer.alive().filter(free).map(|t| t.tid);
        // Before the look: a timer that fires from now on was armed, and one that has fired has woken somebody.
        let armed = self.tracer.has_timers();
        let timers = self.scan.is_timed(armed);
        let mut sleep = self.scan.quiet.look(awake)?;
        let main = self.tracer.main();
        let is_limited = |(tid, on): &(i32, OnSocket)| {
            // A child's descriptors are not known here.
            let of_server = self.tracer.thread(*tid).is_some_and(|t| t.role != Role::Child || *tid == main);
            !of_server || self.tracer.borrow_fd(on.fd).is_none_or(|socket| has_time_limit(&socket, on.sends))
        };
        sleep.timed |= timers || sleep.limited_by.iter().any(is_limited);
        Some(sleep)
    }

    /// Whether all that clients have sent has come to the server's kernel. An acknowledgement says so, but may be put off;
    /// the bytes that the server has read and those that it could read say it too.
    fn all_arrived(&mut self) -> bool {
        let in_flight: Vec<usize> = self.clients.iter().map(|(_, client)| client.in_flight()).collect();
        let mut flights = self.clients.iter().zip(&in_flight);
        self.scan.to_server.are_lost(&in_flight)
            || flights.all(|((_, client), bytes)| *bytes == 0 || self.has_it_all(client))
    }

    /// Whether the server has read, or could read, every byte of a client's. Of a FIN only the acknowledgement tells.
    fn has_it_all(&self, client: &Client) -> bool {
        let ledger = self.tracer.ledger();
        let Some(id) = ledger.connection(client.port()) else { return false };
        let Some(fd) = ledger.descriptor_of(id) else { return true };
        let unread = self.tracer.borrow_fd(fd).map_or(0, unread);
        ledger.object(id).bytes_in as usize + unread >= client.sent()
            && client.has_sent_all()
            && !client.has_finished()
    }

    /// Whether all that the server has sent to clients that have hardly any room lies there, or waits for room: an
    /// acknowledgement makes room in the server's buffer, and it goes on.
    fn deaf_have_all_they_can(&mut self) -> bool {
        let deaf = self.clients.iter().filter(|(_, client)| client.is_deaf());
        let sockets = deaf.filter_map(|(id, _)| self.server_socket(id));
        let in_flight: Vec<usize> = sockets.map(in_flight).collect();
        self.scan.to_deaf.are_lost(&in_flight) || in_flight.iter().all(|bytes| *bytes == 0)
    }

    /// Whether all that the server has sent to clients who read has come to them.
    pub(super) fn all_received(&self) -> bool {
        self.clients.iter().filter(|(_, client)| client.is_reading() && client.link() == Link::Open).all(
            |(id, client)| {
                self.server_side(id).is_none_or(|object| object.bytes_out == client.received().len() as u64)
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_do_the_same_are_named_together() {
        let seen = |tid, role, doing: &str| ThreadSeen {
            tid,
            role,
            held: false,
            asleep: true,
            doing: doing.into(),
            cpu: Duration::ZERO,
        };
        let threads = vec![
            seen(7, Role::Main, "sleeping in epoll_wait"),
            seen(8, Role::Worker(1), "held mid-task"),
            seen(9, Role::Worker(2), "waiting for the lock at 0x10"),
            seen(10, Role::Worker(3), "held mid-task"),
        ];
        assert_eq!(
            Snapshot { threads }.describe(),
            "main thread (tid 7) sleeping in epoll_wait; worker 1 (tid 8) and 1 more: held mid-task; \
             worker 2 (tid 9) waiting for the lock at 0x10"
        );
    }
}
