//! What is handed over: a task on the way to a worker, a completion on the way back. Plain data, owned by one thread
//! at a time.

use std::fmt;

use crate::protocol::Answer;

/// One connection, for ever: the next connection gets another number, even if it gets the same descriptor. Its low bits
/// say which slot of the event loop's table the connection has, those above count all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

/// Room for more slots than a process can have descriptors; the count comes round after 2^40 connections.
const SLOT_BITS: u32 = 24;

impl ConnectionId {
    /// The number of the connection that is the `count`th of all, from 1 on, and has this slot.
    pub fn new(count: u64, slot: usize) -> ConnectionId {
        ConnectionId(count << SLOT_BITS | slot as u64)
    }

    /// Where it stands in the table.
    pub fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "connection {}", self.0 >> SLOT_BITS)
    }
}

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
        write!(out, "request {} of {}", self.sequence, self.connection)
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
