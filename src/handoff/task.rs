//! What is handed over: a task on the way to a worker, a completion on the way back. Plain data, owned by one thread
//! at a time.

use std::fmt;

use crate::protocol::Answer;

/// One connection, for ever: the next connection gets another number, even if it gets the same descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// Whose request this is: the connection, and the place of the request in it, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Who asked.
    pub connection: ConnectionId,
    /// Which of its lines it was. Answers leave in this order.
    pub sequence: u64,
}

impl fmt::Display for Ticket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "request {} of connection {}", self.sequence, self.connection.0)
    }
}

/// A request for a worker. It holds no descriptor: a worker could not touch the socket if it wanted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Goes back with the answer.
    pub ticket: Ticket,
    /// The request's line, without its end.
    pub text: Vec<u8>,
}

/// A worker's answer to the task with the same ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Copied from the task.
    pub ticket: Ticket,
    /// What the client shall get.
    pub answer: Answer,
}
