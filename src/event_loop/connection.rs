//! One client: its socket, what it has sent, what it is owed, and what has yet to be sent to it.
//!
//! Both directions are bounded. Lines stay in `input` (and behind it in the kernel, and behind that in the client)
//! while the queue is full or while the client itself is owed too much; so a client that sends without reading stops
//! being read, and nobody else notices.

use std::io;

use super::replies::Replies;
use crate::handoff::{ConnectionId, Task, Ticket};
use crate::protocol::{Answer, Line, LineBuffer};
use crate::sys::{Event, Socket};

/// Most requests taken from one connection in one turn of the loop: then it is the others' turn.
const LINES_A_TURN: usize = 16;
/// Most answers owed to a client while more of its requests are read.
const MAX_OWED: usize = 256;
/// Most bytes of answers that wait to be sent while more of the client's requests are read.
const MAX_UNSENT: usize = 64 * 1024;
/// Most reads with which a closing connection is emptied.
const MAX_LAST_READS: usize = 256;

/// The main thread's view of one client.
pub struct Connection {
    id: ConnectionId,
    socket: Socket,
    input: LineBuffer,
    replies: Replies,
    output: Vec<u8>,
    phase: Phase,
    /// Whether recv(2) may find something: set by epoll, cleared by a read that did not fill its buffer.
    readable: bool,
    /// Whether send(2) may take something: set by epoll, cleared by a send that took less than it was given.
    writable: bool,
    /// The client will send nothing after what is in the kernel: read on to the very end.
    peer_shut: bool,
    /// Whether it stands in the loop's list of connections to read. The loop keeps this up to date.
    pub in_line: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing more is read, for this reason; what is owed is still sent.
    Closing(Ending),
    /// All is sent and our side is shut down; what the client still sends is thrown away until it stops.
    Lingering,
}

/// Why a connection takes no more input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client has shut down its side.
    EndOfStream,
    /// It sent a line that is too long, and may still be sending it.
    LineTooLong,
    /// The server is shutting down.
    Shutdown,
}

impl Connection {
    /// A client of whom nothing is known yet: epoll will say what it can do.
    pub fn new(id: ConnectionId, socket: Socket) -> Connection {
        Connection {
            id,
            socket,
            input: LineBuffer::default(),
            replies: Replies::default(),
            output: Vec::new(),
            phase: Phase::Open,
            readable: false,
            writable: false,
            peer_shut: false,
            in_line: false,
        }
    }

    /// Its number.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Remembers what epoll said.
    pub fn note(&mut self, event: Event) {
        self.readable |= event.readable;
        self.writable |= event.writable;
        self.peer_shut |= event.peer_shut;
    }

    /// Whether [`Connection::read`] would get anywhere, given room in the queue.
    pub fn wants_to_read(&self) -> bool {
        let owed_little = self.replies.len() < MAX_OWED && self.output.len() < MAX_UNSENT;
        owed_little && (self.may_receive() || self.input.has_line())
    }

    /// Whether [`Connection::flush`] or [`Connection::ending`] has news.
    pub fn wants_to_settle(&self) -> bool {
        self.replies.can_release() || !self.output.is_empty() || self.phase != Phase::Open
    }

    /// Takes its next lines and adds their tasks, at most `room`, to `tasks`. Calls recv(2) at most once, and only if
    /// no whole line is left from before. Fails if the client has vanished.
    pub fn read(&mut self, scratch: &mut [u8], room: usize, tasks: &mut Vec<Task>) -> io::Result<()> {
        if self.may_receive() && !self.input.has_line() {
            self.receive(scratch)?;
        }
        for _ in 0..room.min(LINES_A_TURN).min(MAX_OWED - self.replies.len()) {
            match self.input.next_line() {
                Some(Line::Task(text)) => {
                    let ticket = Ticket { connection: self.id, sequence: self.replies.await_task() };
                    tasks.push(Task { ticket, text });
                }
                Some(Line::Stats) => self.replies.add_counters(),
                Some(Line::TooLong) => {
                    self.replies.add(Answer::LINE_TOO_LONG);
                    if self.phase == Phase::Open {
                        self.phase = Phase::Closing(Ending::LineTooLong);
                    }
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Fills in the answer to a request. False if it was answered already.
    pub fn answer(&mut self, sequence: u64, answer: Answer) -> bool {
        self.replies.fill(sequence, answer)
    }

    /// Sends, with at most one send(2), what can leave now. Fails if the client has vanished.
    pub fn flush(&mut self, counters: impl Fn() -> Answer) -> io::Result<()> {
        self.replies.release(&mut self.output, counters);
        if self.writable && !self.output.is_empty() {
            let sent = self.socket.send(&self.output)?.unwrap_or(0);
            self.output.drain(..sent);
            self.writable = self.output.is_empty();
        }
        Ok(())
    }

    /// Takes no more input, because the server is shutting down.
    pub fn shut_down(&mut self) {
        self.phase = Phase::Closing(Ending::Shutdown);
    }

    /// Why the connection is to end now; `None` while it is open, owed something, or lingering.
    pub fn ending(&self) -> Option<Ending> {
        match self.phase {
            Phase::Closing(ending) => {
                let is_done = self.replies.is_empty() && self.output.is_empty() && !self.input.has_line();
                is_done.then_some(ending)
            }
            Phase::Open | Phase::Lingering => None,
        }
    }

    /// Says that all is sent and goes on reading, for nothing. To close now would answer what the client still sends
    /// with a reset, and a reset may destroy the last answer before the client has read it.
    pub fn linger(&mut self) {
        self.socket.shut_down_sending();
        self.phase = Phase::Lingering;
    }

    /// Closes at once, for the same reason with care: empties what has arrived, without waiting for more.
    pub fn hang_up(self, scratch: &mut [u8]) {
        self.socket.shut_down_sending();
        for _ in 0..MAX_LAST_READS {
            if !matches!(self.socket.recv(scratch), Ok(Some(1..))) {
                break;
            }
        }
    }

    fn may_receive(&self) -> bool {
        self.readable && !matches!(self.phase, Phase::Closing(_))
    }

    fn receive(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        match self.socket.recv(scratch)? {
            Some(0) => self.phase = Phase::Closing(Ending::EndOfStream),
            Some(count) => {
                // A short read has emptied the socket: epoll will tell of anything new. Not so the end of the stream,
                // of which it has told already.
                self.readable = count == scratch.len() || self.peer_shut;
                self.input.extend(&scratch[..count]);
            }
            None => self.readable = false,
        }
        Ok(())
    }
}
