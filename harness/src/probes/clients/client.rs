//! One connection, from its client's side.

use crate::probes::tracer::kernel::in_flight;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, Shutdown, getsockopt, recv, send, shutdown, sockopt},
};
use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Instant,
};

/// How much of what a server sends to one client is taken, in bytes.
const MOST_KEPT: usize = 4 << 20;

/// How many reads are made for one client before the others have their turn.
const MOST_READS: usize = 16;

/// How a connection stands, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The handshake is under way.
    Connecting,
    /// Open.
    Open,
    /// The server has closed its side: the end of the stream.
    Ended,
    /// The server, or its kernel, has reset it.
    Reset,
    /// Nobody listened.
    Refused,
    /// This side has closed it.
    Closed,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    pub(super) socket: Option<OwnedFd>,
    port: u16,
    pub(super) link: Link,
    pub(super) reading: bool,
    pub(super) deaf: bool,
    pub(super) out: Vec<u8>,
    sent: usize,
    pub(super) finish: bool,
    finished: bool,
    received: Vec<u8>,
    answered_at: Vec<Instant>,
}

impl Client {
    pub(super) fn new(socket: OwnedFd, port: u16, link: Link) -> Self {
        Self {
            socket: Some(socket),
            port,
            link,
            reading: true,
            deaf: false,
            out: Vec::new(),
            sent: 0,
            finish: false,
            finished: false,
            received: Vec::new(),
            answered_at: Vec::new(),
        }
    }

    /// Its own port, by which the server's side of the connection is found.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How the connection stands.
    pub fn link(&self) -> Link {
        self.link
    }

    /// Everything received.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// The complete lines received, without their newlines.
    pub fn lines(&self) -> Vec<&[u8]> {
        let mut lines: Vec<&[u8]> = self.received.split(|byte| *byte == b'\n').collect();
        lines.pop();
        lines
    }

    /// How many complete lines were received.
    pub fn answers(&self) -> usize {
        self.answered_at.len()
    }

    /// When each complete line was received.
    pub fn answered_at(&self) -> &[Instant] {
        &self.answered_at
    }

    /// Whether this client takes what the server sends it.
    pub fn is_reading(&self) -> bool {
        self.reading && matches!(self.link, Link::Open | Link::Connecting)
    }

    /// Whether this client does not read and has hardly any room for what comes.
    pub fn is_deaf(&self) -> bool {
        self.deaf && self.link == Link::Open
    }

    /// Everything that was to be sent has been handed to the kernel.
    pub fn has_sent_all(&self) -> bool {
        self.sent == self.out.len()
    }

    /// How many bytes have been handed to the kernel.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// How many bytes it was told to send, handed to the kernel or not.
    pub fn queued(&self) -> usize {
        self.out.len()
    }

    /// Whether its sending side is closed.
    pub fn has_finished(&self) -> bool {
        self.finished
    }

    /// Bytes (a FIN counts as one) whose receipt the server's kernel has not acknowledged yet, which it may put off.
    pub fn in_flight(&self) -> usize {
        self.socket.as_ref().map_or(0, in_flight)
    }

    pub(super) fn pump(&mut self) -> bool {
        let mut moved = self.connected();
        if self.link != Link::Open {
            return moved;
        }
        moved |= self.write();
        if self.reading {
            moved |= self.read();
        }
        moved
    }

    /// Sees whether a handshake has ended.
    fn connected(&mut self) -> bool {
        let (Link::Connecting, Some(socket)) = (self.link, &self.socket) else { return false };
        let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut polled, PollTimeout::ZERO) != Ok(1) {
            return false;
        }
        self.link = match getsockopt(socket, sockopt::SocketError) {
            Ok(0) => Link::Open,
            _ => Link::Refused,
        };
        true
    }

    fn write(&mut self) -> bool {
        let Some(socket) = &self.socket else { return false };
        let before = self.sent;
        while self.sent < self.out.len() {
            match send(socket.as_raw_fd(), &self.out[self.sent..], MsgFlags::MSG_NOSIGNAL) {
                Ok(n) => self.sent += n,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => {
                    // Who reads sees the reset there, behind the answers that came before it.
                    if !self.reading {
                        self.link = Link::Reset;
                    }
                    break;
                }
            }
        }
        if self.finish && self.sent == self.out.len() {
            self.finish = false;
            self.finished = true;
            // It may have been reset meanwhile, which the next read tells.
            let _ = shutdown(socket.as_raw_fd(), Shutdown::Write);
            return true;
        }
        self.sent > before
    }

    fn read(&mut self) -> bool {
        let Some(socket) = &self.socket else { return false };
        let mut buffer = [0; 16 * 1024];
        let mut moved = false;
        // Bounded, so that a server that sends without end does not keep the harness from everything else.
        for _ in 0..MOST_READS {
            if self.received.len() >= MOST_KEPT {
                // No answer is so long. The rest stays where it is, as with a client that does not read.
                self.reading = false;
                return true;
            }
            match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) => self.link = Link::Ended,
                Ok(n) => {
                    let now = Instant::now();
                    let lines = buffer[..n].iter().filter(|byte| **byte == b'\n').count();
                    self.answered_at.extend(std::iter::repeat_n(now, lines));
                    self.received.extend_from_slice(&buffer[..n]);
                    moved = true;
                    continue;
                }
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return moved,
                Err(_) => self.link = Link::Reset,
            }
            return true;
        }
        true
    }
}
