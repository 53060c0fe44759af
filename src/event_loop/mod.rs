//! Layer 4: the event loop. It runs on the main thread and is the only code that touches client sockets, so nothing in
//! this folder needs a lock.
//!
//! Every turn takes the same steps: sleep; hear what happened; read requests; hand them over; look for overdue tasks;
//! send answers; let newcomers in. All descriptors are edge-triggered, and what epoll has said once is remembered in
//! [`connection::Connection`] and [`Listener`]. So a connection that may not be read now simply stays in a list while the loop
//! sleeps, and epoll_ctl(2) is called once in a connection's life.

pub mod listener;
pub mod connection;
pub mod connections;
pub mod replies;
pub mod counters;
mod tasks;
mod shutdown;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use self::connection::Ending;
use self::connections::Connections;
use self::counters::Counters;
use self::listener::Listener;
use self::shutdown::Drain;
use crate::handoff::{Completion, Completions, ConnectionId, Load, Task, TaskQueue};
use crate::log::{Log, Role};
use crate::sys::{Epoll, Event, Events, Interest, ListenSocket, SignalFd};

/// The tokens of the loop's own descriptors. No connection's number is as small.
const LISTENER: u64 = 0;
const BELL: u64 = 1;
const SIGNALS: u64 = 2;

/// Most bytes taken off a socket at a time.
const READ_SIZE: usize = 4096;
/// How long a connection whose last word was too long may go on sending.
const LINGER: Duration = Duration::from_secs(1);

/// The state of the main thread.
pub struct EventLoop<'env> {
    // What it sleeps on.
    epoll: Epoll,
    /// `None` from the shutdown on.
    listener: Option<Listener>,
    signals: SignalFd,

    // What it shares.
    queue: &'env TaskQueue,
    completions: &'env Completions,
    log: &'env Log,

    // Its clients.
    connections: Connections,
    /// Connections that want to read and lack nothing but room in the queue or their turn, first come first served.
    to_read: VecDeque<ConnectionId>,
    /// Connections that may have something to send, or may have come to their end. Empty between turns.
    touched: Vec<ConnectionId>,
    /// Who lingers, and until when, the first to end in front.
    lingering: VecDeque<(Instant, ConnectionId)>,

    // Their tasks.
    /// The tasks read in this turn. Empty between turns.
    batch: Vec<Task>,
    /// How many tasks the queue can take, at least: as last heard, and workers can only have made it more. If it is 0,
    /// the bell is going to ring: the queue was full, and no ring has been used up since.
    room: usize,
    counters: Counters,
    /// No task becomes overdue before then.
    next_overdue: Option<Instant>,

    /// The shutdown, once it has begun.
    drain: Option<Drain>,

    // Memory that is used again and again.
    results: Vec<Completion>,
    scratch: Vec<u8>,
}

impl<'env> EventLoop<'env> {
    /// A loop with no clients. Fails when descriptors run out.
    pub fn new(
        socket: ListenSocket,
        signals: SignalFd,
        queue: &'env TaskQueue,
        completions: &'env Completions,
        log: &'env Log,
    ) -> io::Result<EventLoop<'env>> {
        let epoll = Epoll::new()?;
        epoll.add(&socket, LISTENER, Interest::Read)?;
        epoll.add(completions.bell(), BELL, Interest::Read)?;
        epoll.add(&signals, SIGNALS, Interest::Read)?;
        Ok(EventLoop {
            epoll,
            listener: Some(Listener::new(socket)),
            signals,
            queue,
            completions,
            log,
            connections: Connections::default(),
            to_read: VecDeque::new(),
            touched: Vec::new(),
            lingering: VecDeque::new(),
            batch: Vec::new(),
            room: queue.room(),
            counters: Counters::default(),
            next_overdue: None,
            drain: None,
            results: Vec::new(),
            scratch: vec![0; READ_SIZE],
        })
    }

    /// Serves until SIGTERM or SIGINT has come and every request read by then is answered. After each push, `grow` is
    /// told how many tasks are unfinished. Fails only if epoll itself does.
    pub fn run(mut self, mut grow: impl FnMut(usize, Load)) -> io::Result<()> {
        let mut events = Events::new();
        while !self.is_drained() {
            self.epoll.wait(&mut events, self.time_to_sleep())?;
            for event in events.iter() {
                self.dispatch(event)?;
            }
            self.read_requests();
            self.hand_over(&mut grow);
            self.give_up_overdue_tasks();
            self.settle();
            self.stop_lingering();
            self.let_newcomers_in();
        }
        self.hang_up_all();
        Ok(())
    }

    /// Not at all while there is work to do at once; else until the next deadline; and for ever if there is none.
    fn time_to_sleep(&self) -> Option<Duration> {
        let can_read = !self.to_read.is_empty() && self.room > 0;
        if can_read || self.listener.as_ref().is_some_and(Listener::has_waiting) {
            return Some(Duration::ZERO);
        }
        let lingering = self.lingering.front().map(|&(until, _)| until);
        let deadlines = [self.next_overdue, lingering, self.drain_deadline()];
        let first = deadlines.into_iter().flatten().min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

    fn dispatch(&mut self, event: Event) -> io::Result<()> {
        match event.token {
            LISTENER => self.listener.iter_mut().for_each(Listener::arrived),
            BELL => self.collect_results(),
            SIGNALS => {
                while let Some(signal) = self.signals.take()? {
                    self.begin_drain(signal);
                }
            }
            connection => self.hear_client(ConnectionId(connection), event),
        }
        Ok(())
    }

    fn hear_client(&mut self, id: ConnectionId, event: Event) {
        // An event of this batch may have closed it; its number is never used again.
        let Some(connection) = self.connections.get_mut(id) else { return };
        if event.dead {
            return self.close(id, "vanished");
        }
        connection.note(event);
        if connection.wants_to_settle() {
            self.touched.push(id);
        }
        self.put_in_line(id);
    }

    /// Reads from each connection in line, once, for as long as there is room in the queue.
    fn read_requests(&mut self) {
        for _ in 0..self.to_read.len() {
            let room = self.room - self.batch.len();
            if room == 0 {
                break;
            }
            let Some(id) = self.to_read.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.in_line = false;
            if !connection.wants_to_read() {
                continue;
            }
            if connection.read(&mut self.scratch, room, &mut self.batch).is_err() {
                self.close(id, "vanished");
                continue;
            }
            if connection.wants_to_settle() {
                self.touched.push(id);
            }
            self.put_in_line(id);
        }
    }

    /// Sends what can be sent to the connections that were touched in this turn, and ends those that have come to
    /// their end.
    fn settle(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for id in touched.drain(..) {
            let Some(connection) = self.connections.get_mut(id) else { continue };
            if connection.flush(|| self.counters.report(self.queue.occupancy())).is_err() {
                self.close(id, "vanished");
                continue;
            }
            match connection.ending() {
                None => {}
                Some(Ending::EndOfStream) => self.close(id, "has all its answers"),
                Some(Ending::LineTooLong) => {
                    connection.linger();
                    self.lingering.push_back((Instant::now() + LINGER, id));
                }
                Some(Ending::Shutdown) => {
                    self.connections.remove(id).into_iter().for_each(|it| it.hang_up(&mut self.scratch));
                }
            }
            self.put_in_line(id);
        }
        self.touched = touched;
    }

    fn stop_lingering(&mut self) {
        while let Some(&(until, id)) = self.lingering.front()
            && until <= Instant::now()
        {
            self.lingering.pop_front();
            self.close(id, "has lingered for long enough");
        }
    }

    /// Puts a connection that wants to read at the end of the line, unless it stands there already.
    fn put_in_line(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.in_line
            && connection.wants_to_read()
        {
            connection.in_line = true;
            self.to_read.push_back(id);
        }
    }

    /// Forgets a connection. Its descriptor is closed, which also takes it out of the epoll set; results that still
    /// come for it will find nobody.
    fn close(&mut self, id: ConnectionId, reason: &str) {
        if self.connections.remove(id).is_some() {
            self.log.say(Role::Main, format_args!("{id} {reason}: closed"));
            self.listener.iter_mut().for_each(Listener::descriptor_freed);
        }
    }
}
