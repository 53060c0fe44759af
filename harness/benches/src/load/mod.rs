//! The load generator: one thread, a closed loop. Each client sends its requests with one call, waits for all answers,
//! compares them, and sends the next.

mod client;
mod task;

use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};

use client::Client;
pub use task::{Cost, Task};

/// So many clients connect before it is made sure that the server has accepted them: no backlog overflows.
const AT_ONCE: usize = 100;
/// A server that has not answered anybody for so long never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many clients there are, and how many requests each sends at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shape {
    /// Clients that send.
    pub active: usize,
    /// Requests that each sends before it waits.
    pub pipelined: usize,
    /// Clients that only stay connected.
    pub idle: usize,
}

impl Shape {
    /// So many clients, each with one request at a time.
    pub const fn clients(active: usize) -> Shape {
        Shape { active, pipelined: 1, idle: 0 }
    }

    /// In words: `30` or `30 x 16`.
    pub fn words(&self) -> String {
        match self.pipelined {
            1 => self.active.to_string(),
            pipelined => format!("{} x {pipelined}", self.active),
        }
    }
}

/// What the clients saw within the measured time.
pub struct Tally {
    /// Requests answered.
    pub requests: u64,
    /// Bytes of requests and answers.
    pub bytes: u64,
    /// How long it took.
    pub time: Duration,
    /// From sending to having read the answer, in nanoseconds.
    pub latencies: Histogram<u64>,
}

/// The edges of the measured time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Counting begins.
    Begin,
    /// Counting has ended.
    End,
}

/// All clients of one server.
pub struct Load {
    epoll: Epoll,
    clients: Vec<Client>,
    /// They only stay connected.
    _idle: Vec<TcpStream>,
}

impl Load {
    /// Connects all clients. Idle ones first: whatever the server keeps in a list, the active ones are at its end.
    pub fn connect(port: u16, shape: Shape, task: &Task) -> Result<Load> {
        let idle = connect_idle(port, shape.idle)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut clients = Vec::with_capacity(shape.active);
        for (number, stream) in connect_idle(port, shape.active)?.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            let both = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
            epoll.add(stream.as_fd(), EpollEvent::new(both, number as u64))?;
            clients.push(Client::new(stream, task.batch(number)));
        }
        Ok(Load { epoll, clients, _idle: idle })
    }

    /// Sends for `warm_up`, and until every client has had an answer, then counts for `window`. `at_edge` is called at both edges of the counted time, while the
    /// load generator does nothing else. Fails if an answer is wrong or missing.
    pub fn run(
        &mut self,
        warm_up: Duration,
        window: Duration,
        mut at_edge: impl FnMut(Edge) -> Result<()>,
    ) -> Result<Tally> {
        let mut tally = Tally {
            requests: 0,
            bytes: 0,
            time: Duration::ZERO,
            latencies: Histogram::new_with_bounds(1, 100_000_000_000, 3)?,
        };
        for client in &mut self.clients {
            client.begin(Instant::now())?;
        }
        let mut begin = None;
        let mut edge = Instant::now() + warm_up;
        loop {
            self.turn(&mut tally)?;
            let now = Instant::now();
            if now < edge || begin.is_none() && !self.clients.iter().all(Client::has_been_served) {
                continue;
            }
            if let Some(begin) = begin {
                tally.time = now - begin;
                at_edge(Edge::End)?;
                return Ok(tally);
            }
            at_edge(Edge::Begin)?;
            let pause = now.elapsed();
            self.clients.iter_mut().for_each(|client| client.forget(pause));
            tally.latencies.reset();
            let now = Instant::now();
            (tally.requests, tally.bytes, begin, edge) = (0, 0, Some(now), now + window);
        }
    }

    /// Waits for answers, reads them, sends what comes next.
    fn turn(&mut self, tally: &mut Tally) -> Result<()> {
        let mut events = [EpollEvent::empty(); 512];
        let patience = EpollTimeout::try_from(PATIENCE)?;
        let count = match self.epoll.wait(&mut events, patience) {
            Ok(0) => bail!("no answer within {PATIENCE:?}"),
            Ok(count) => count,
            Err(Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error).context("waiting for answers"),
        };
        for event in &events[..count] {
            let client = &mut self.clients[event.data() as usize];
            client.hear(event.events(), tally)?;
        }
        Ok(())
    }
}

/// Connects clients that say nothing, and waits until the server has accepted all of them.
pub fn connect_idle(port: u16, count: usize) -> Result<Vec<TcpStream>> {
    let mut streams: Vec<TcpStream> = Vec::with_capacity(count);
    while streams.len() < count {
        for _ in 0..AT_ONCE.min(count - streams.len()) {
            streams.push(connect(port)?);
        }
        // Who comes later is accepted later: an answer to the newcomer means that all before it are in.
        client::ask_once(&connect(port)?)?;
    }
    Ok(streams)
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream =
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("the server accepts no more clients")?;
    stream.set_nodelay(true)?;
    // Leaving with a reset: thousands of connections in TIME_WAIT would use up the ports.
    setsockopt(&stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
    Ok(stream)
}

/// Lets each of these clients ask once, so that whatever the server keeps for a client that has been served is there.
pub fn ask_all_once(streams: &[TcpStream]) -> Result<()> {
    streams.iter().try_for_each(client::ask_once)
}
