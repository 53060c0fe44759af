//! The event loop. Every connection is armed with EPOLLONESHOT: after an event nothing is heard of it until it is
//! armed again, so a connection that must wait for room in the queue is simply not armed.

use crate::pool::{Pool, Task};
use crate::sys::{self, Epoll, EventFd};
use libc::{EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT};
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const LONGEST: usize = 1024;
const MANY_TURNS: usize = 64;
const MANY_BYTES: usize = 32 * 1024;
const IDLE: Duration = Duration::from_secs(30);
const LINGER: Duration = Duration::from_secs(1); // for the rest of an over-long line
const GRACE: Duration = Duration::from_secs(1); // for those who do not read, at the end
const RETRY: Duration = Duration::from_millis(300); // without descriptors
const LISTENER: u64 = 0;
const BELL: u64 = 1;

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    held: Option<Vec<u8>>, // a line for which the queue had no room
    first_turn: u64,       // of `answers`
    answers: VecDeque<Option<String>>,
    output: Vec<u8>,
    end: bool,
    broken: bool, // a line was too long: answered in its turn, then closed
    lingers: bool,
    parked: bool,
    armed: i32,     // 0: not armed
    since: Instant, // of the last sign of life
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    NotYet,
}

impl Client {
    fn next_line(&mut self) -> Line {
        if let Some(line) = self.held.take() {
            return Line::Whole(line);
        }
        let newline = self.input.iter().position(|&b| b == b'\n');
        let line = &self.input[..newline.unwrap_or(self.input.len())];
        // One \r before the newline does not count, and the newline may still be on its way.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > LONGEST {
            return Line::TooLong;
        }
        let Some(newline) = newline else { return Line::NotYet };
        let line = line.to_vec();
        self.input.drain(..=newline);
        Line::Whole(line)
    }

    fn has_room(&self) -> bool {
        self.answers.len() < MANY_TURNS && self.output.len() < MANY_BYTES
    }

    /// False: the client is gone.
    fn send(&mut self) -> bool {
        while let Some(Some(_)) = self.answers.front() {
            let answer = self.answers.pop_front().flatten().unwrap_or_default();
            self.first_turn += 1;
            self.output.extend_from_slice(answer.as_bytes());
        }
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(n) => {
                    self.output.drain(..n);
                    self.since = Instant::now();
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// False: the client is gone.
    fn receive(&mut self) -> bool {
        let mut chunk = [0; 2048];
        match self.stream.read(&mut chunk) {
            Ok(0) if self.lingers => return false,
            Ok(0) => self.end = true,
            Ok(_) if self.lingers => {}
            Ok(n) => {
                self.input.extend_from_slice(&chunk[..n]);
                self.since = Instant::now();
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return false,
        }
        true
    }

    fn has_whole_line(&self) -> bool {
        self.held.is_some() || self.input.contains(&b'\n')
    }
}

pub struct Server<'a> {
    epoll: Epoll,
    listener: Option<TcpListener>,
    pool: Pool,
    bell: &'a EventFd,
    clients: HashMap<u64, Client>,
    next_key: u64, // keys are never used twice
    parked: VecDeque<u64>,
    outstanding: usize, // tasks that have not come back
    accept_again: Option<Instant>,
    stopping_since: Option<Instant>,
}

impl<'a> Server<'a> {
    pub fn new(listener: TcpListener, pool: Pool, bell: &'a EventFd) -> Result<Self> {
        let epoll = Epoll::new()?;
        listener.set_nonblocking(true)?;
        epoll.add(&listener, EPOLLIN, LISTENER)?;
        epoll.add(bell, EPOLLIN, BELL)?;
        Ok(Self {
            epoll,
            listener: Some(listener),
            pool,
            bell,
            clients: HashMap::new(),
            next_key: 2,
            parked: VecDeque::new(),
            outstanding: 0,
            accept_again: None,
            stopping_since: None,
        })
    }

    pub fn run(mut self) -> Result<()> {
        while !self.finished() {
            for (key, events) in self.epoll.wait(self.timeout())? {
                match key {
                    LISTENER => self.accept()?,
                    BELL => self.answer_bell(),
                    key => self.client_event(key, events),
                }
            }
            self.look_at_the_clock()?;
        }
        self.pool.join();
        Ok(())
    }

    fn finished(&self) -> bool {
        let Some(since) = self.stopping_since else { return false };
        self.outstanding == 0 && (self.clients.is_empty() || since.elapsed() >= GRACE)
    }

    fn timeout(&self) -> i32 {
        if self.stopping_since.is_some() {
            return if self.outstanding > 0 { -1 } else { 10 };
        }
        let ends = self.clients.values().filter_map(Self::end_of_patience);
        let Some(first) = ends.chain(self.accept_again).min() else { return -1 };
        first.saturating_duration_since(Instant::now()).as_millis() as i32 + 1
    }

    fn end_of_patience(client: &Client) -> Option<Instant> {
        if client.lingers {
            return Some(client.since + LINGER);
        }
        (!client.parked && client.answers.is_empty() && client.output.is_empty()).then(|| client.since + IDLE)
    }

    fn look_at_the_clock(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.accept_again.is_some_and(|at| at <= now) {
            self.accept_again = None;
            if let Some(listener) = &self.listener {
                self.epoll.arm(listener, EPOLLIN, LISTENER)?;
            }
        }
        if self.stopping_since.is_some() {
            if self.outstanding > 0 {
                self.stopping_since = Some(now); // the grace begins when the workers are done
            } else {
                self.advance_all();
            }
        } else {
            self.clients.retain(|_, client| Self::end_of_patience(client).is_none_or(|end| end > now));
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        match listener.accept() {
            Ok((stream, _)) => {
                let key = self.next_key;
                self.next_key += 1;
                if stream
                    .set_nonblocking(true)
                    .and_then(|()| self.epoll.add(&stream, EPOLLIN | EPOLLONESHOT, key))
                    .is_ok()
                {
                    self.clients.insert(
                        key,
                        Client {
                            stream,
                            input: Vec::new(),
                            held: None,
                            first_turn: 0,
                            answers: VecDeque::new(),
                            output: Vec::new(),
                            end: false,
                            broken: false,
                            lingers: false,
                            parked: false,
                            armed: EPOLLIN,
                            since: Instant::now(),
                        },
                    );
                }
            }
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) => {}
            Err(_) => {
                self.epoll.arm(listener, 0, LISTENER)?; // out of descriptors: newcomers wait
                self.accept_again = Some(Instant::now() + RETRY);
            }
        }
        Ok(())
    }

    fn client_event(&mut self, key: u64, events: i32) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        client.armed = 0;
        if events & (EPOLLERR | EPOLLHUP) != 0 {
            self.clients.remove(&key);
        } else if events & EPOLLIN != 0 && !self.parked.is_empty() && !client.lingers {
            self.park(key); // the queue is full: what this client sent stays where it is
        } else {
            self.advance(key, events & EPOLLIN != 0);
        }
    }

    fn park(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        if !client.parked {
            client.parked = true;
            self.parked.push_back(key);
        }
    }

    /// Takes one client as far as it goes, and arms it for what it waits for.
    fn advance(&mut self, key: u64, may_read: bool) {
        let stopping = self.stopping_since.is_some();
        let Some(client) = self.clients.get_mut(&key) else { return };
        let mut alive = client.send();
        if alive
            && may_read
            && !stopping
            && (client.lingers || !client.end && client.has_room() && !client.has_whole_line())
        {
            alive = client.receive();
        }
        let mut full = false;
        while alive && !full && !client.broken && (client.has_room() || stopping) {
            match client.next_line() {
                Line::NotYet => break,
                Line::TooLong => {
                    client.answers.push_back(Some("ERROR: line too long\n".into()));
                    client.input = Vec::new();
                    client.broken = true;
                }
                Line::Whole(text) => {
                    let turn = client.first_turn + client.answers.len() as u64;
                    match self.pool.push(Task { client: key, turn, text }) {
                        Ok(()) => {
                            self.outstanding += 1;
                            client.answers.push_back(None);
                        }
                        Err(task) => {
                            client.held = Some(task.text);
                            full = true;
                        }
                    }
                }
            }
        }
        alive = alive && client.send();
        let all_said = client.answers.is_empty() && client.output.is_empty() && !full;
        if alive && all_said && client.broken && !client.lingers && !stopping {
            // A close now would be a reset if more of that line is on its way, and take the answer with it.
            alive = client.stream.shutdown(Shutdown::Write).is_ok();
            client.lingers = true;
            client.since = Instant::now();
        }
        if !alive || all_said && (client.end || stopping && !sys::unsent(&client.stream)) {
            self.clients.remove(&key);
            return;
        }
        let wants_input =
            !stopping && (client.lingers || !client.end && !client.broken && !full && client.has_room());
        let wants_output = !client.output.is_empty();
        let wanted = if wants_input { EPOLLIN } else { 0 } | if wants_output { EPOLLOUT } else { 0 };
        let parked = client.parked;
        if full {
            self.park(key);
        } else if parked && wants_input {
            return; // it stands in line with unread input and must not be heard again before its turn
        }
        let Some(client) = self.clients.get_mut(&key) else { return };
        if wanted != client.armed {
            client.armed = wanted;
            if self.epoll.arm(&client.stream, wanted | EPOLLONESHOT, key).is_err() {
                self.clients.remove(&key);
            }
        }
    }

    fn answer_bell(&mut self) {
        self.bell.silence();
        if sys::sigterm_came() && self.stopping_since.is_none() {
            self.stopping_since = Some(Instant::now());
            self.listener = None;
            self.accept_again = None;
            self.advance_all();
        }
        for done in self.pool.collect() {
            self.outstanding -= 1;
            if let Some(client) = self.clients.get_mut(&done.client) {
                let at = (done.turn - client.first_turn) as usize;
                client.answers[at] = Some(done.answer);
                self.advance(done.client, false);
            }
        }
        // There may be room now: those who wait get one attempt each, in order, until one finds the queue full again.
        let mut waiting = std::mem::take(&mut self.parked);
        while let Some(key) = waiting.pop_front() {
            if let Some(client) = self.clients.get_mut(&key) {
                client.parked = false;
                self.advance(key, true);
            }
            if !self.parked.is_empty() {
                self.parked.append(&mut waiting);
            }
        }
    }

    fn advance_all(&mut self) {
        for key in self.clients.keys().copied().collect::<Vec<_>>() {
            self.advance(key, false);
        }
    }
}
