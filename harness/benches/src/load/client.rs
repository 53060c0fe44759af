//! One client of the load generator.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::epoll::EpollFlags;

use super::task::Batch;
use super::{PATIENCE, Tally};
use crate::servers::expected_answer;

/// A connection that sends the same batch again and again.
pub(super) struct Client {
    stream: TcpStream,
    batch: Rc<Batch>,
    sent_at: Instant,
    /// All answers to a batch have come at least once.
    served: bool,
    /// How much of the batch has left.
    sent: usize,
    /// How much of the answers has come.
    received: usize,
}

impl Client {
    pub fn new(stream: TcpStream, batch: Rc<Batch>) -> Client {
        Client { stream, batch, sent_at: Instant::now(), served: false, sent: 0, received: 0 }
    }

    /// Sends the batch.
    pub fn begin(&mut self, now: Instant) -> Result<()> {
        (self.sent_at, self.sent, self.received) = (now, 0, 0);
        self.send()
    }

    fn send(&mut self) -> Result<()> {
        while self.sent < self.batch.requests.len() {
            match self.stream.write(&self.batch.requests[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("sending a request"),
            }
        }
        Ok(())
    }

    /// Whether it has had all answers to a batch.
    pub fn has_been_served(&self) -> bool {
        self.served
    }

    /// The load generator paused for so long: that is no latency of the server.
    pub fn forget(&mut self, pause: Duration) {
        self.sent_at += pause;
    }

    /// Takes what epoll has announced.
    pub fn hear(&mut self, event: EpollFlags, tally: &mut Tally) -> Result<()> {
        if event.contains(EpollFlags::EPOLLOUT) {
            self.send()?;
        }
        if !event.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            return Ok(());
        }
        let mut buffer = [0; 8192];
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the server has closed a connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("reading an answer"),
            };
            self.take(&buffer[..count], tally)?;
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<()> {
        let end = self.received + bytes.len();
        if self.batch.answers.as_bytes().get(self.received..end) != Some(bytes) {
            bail!("a wrong answer: {:?}", String::from_utf8_lossy(bytes));
        }
        let now = Instant::now();
        let answered = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let latency = now.saturating_duration_since(self.sent_at).as_nanos() as u64;
        tally.latencies.saturating_record_n(latency.max(1), answered);
        tally.requests += answered;
        tally.bytes += bytes.len() as u64;
        self.received = end;
        if self.received == self.batch.answers.len() {
            tally.bytes += self.batch.requests.len() as u64;
            self.served = true;
            self.begin(now)?;
        }
        Ok(())
    }
}

/// One request and its answer, on a connection that blocks.
pub(super) fn ask_once(mut stream: &TcpStream) -> Result<()> {
    let expected = expected_answer(b"ask");
    let mut answer = vec![0; expected.len()];
    stream.set_read_timeout(Some(PATIENCE.max(Duration::from_secs(1))))?;
    stream.write_all(b"ask\n")?;
    stream.read_exact(&mut answer).context("no answer")?;
    if answer != expected.as_bytes() {
        bail!("a wrong answer: {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
