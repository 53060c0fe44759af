//! Newcomers. Running out of descriptors must neither spin the loop nor lose whoever is still in the backlog.

use std::os::fd::{AsFd, BorrowedFd};

use super::EventLoop;
use super::connection::Connection;
use crate::log::Role;
use crate::sys::{Interest, ListenSocket, Socket};

/// Most newcomers let in in one turn.
const NEWCOMERS_A_TURN: usize = 64;

/// The listening socket, and what is known about its backlog. epoll reports arrivals once, so the rest is remembered
/// here.
pub struct Listener {
    socket: ListenSocket,
    /// Somebody may be in the backlog.
    waiting: bool,
    /// Somebody is, but accept4 failed for lack of a descriptor or of memory. Trying again makes sense only after
    /// something was closed.
    starved: bool,
}

impl Listener {
    /// Nobody has been accepted yet.
    pub fn new(socket: ListenSocket) -> Listener {
        Listener { socket, waiting: false, starved: false }
    }

    /// epoll says that somebody has arrived.
    pub fn arrived(&mut self) {
        self.waiting = true;
    }

    /// A descriptor was closed.
    pub fn descriptor_freed(&mut self) {
        self.waiting |= std::mem::take(&mut self.starved);
    }

    /// Whether it makes sense to call [`Listener::accept`].
    pub fn has_waiting(&self) -> bool {
        self.waiting
    }

    /// The next newcomer, if there is one and a descriptor for it.
    pub fn accept(&mut self) -> Option<Socket> {
        while self.waiting {
            match self.socket.accept() {
                Ok(Some(socket)) => return Some(socket),
                Ok(None) => self.waiting = false,
                Err(_) => (self.waiting, self.starved) = (false, true),
            }
        }
        None
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl EventLoop<'_> {
    pub(super) fn let_newcomers_in(&mut self) {
        for _ in 0..NEWCOMERS_A_TURN {
            let Some(socket) = self.listener.as_mut().and_then(Listener::accept) else { return };
            let id = self.connections.next_id();
            match self.epoll.add(&socket, id.0, Interest::ReadWrite) {
                Ok(()) => {
                    self.log.say(Role::Main, format_args!("{id} accepted"));
                    self.connections.insert(Connection::new(id, socket));
                }
                Err(error) => self.log.say(Role::Main, format_args!("a newcomer was refused: {error}")),
            }
        }
    }
}
