//! `int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout);` and `create1`, `ctl`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::syscall;

/// Events taken by one wait. What does not fit is reported by the next one.
const BATCH: usize = 64;

/// A set of descriptors to sleep on, always edge-triggered: an event says that something *became* possible, once. The
/// owner remembers it until a call on the descriptor says otherwise, and needs no second epoll_ctl(2). epoll(7).
pub struct Epoll {
    fd: OwnedFd,
}

/// Room for the events of one wait, and how many it brought.
pub struct Events {
    room: [libc::epoll_event; BATCH],
    count: usize,
}

/// What to be told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// There is something to read or to accept.
    Read,
    /// That, room to write, and that the peer has shut down its sending side.
    ReadWrite,
}

/// What became possible on the descriptor that was added with `token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number that [`Epoll::add`] was given.
    pub token: u64,
    /// A read will find data, the end of the stream, or an error.
    pub readable: bool,
    /// There is room to write again.
    pub writable: bool,
    /// The peer will send nothing more (EPOLLRDHUP).
    pub peer_shut: bool,
    /// The connection is gone in both directions (EPOLLHUP, EPOLLERR).
    pub dead: bool,
}

impl Epoll {
    /// An empty set. epoll_create1(2); fails when descriptors run out.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers are passed, and the fresh descriptor is owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(syscall(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Epoll { fd })
    }

    /// Watches `fd` until it is closed. epoll_ctl(2); fails when memory or the user's watches run out.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let wanted = match interest {
            Interest::Read => libc::EPOLLIN,
            Interest::ReadWrite => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP,
        };
        let mut event = libc::epoll_event { events: (wanted | libc::EPOLLET) as u32, u64: token };
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open, as the borrows of their owners prove; the kernel copies `event`.
        syscall(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) })?;
        Ok(())
    }

    /// Sleeps until something happens or `timeout` has passed (rounded up to a millisecond; `None`: for ever), and
    /// fills `events`: with none after a timeout or a signal. epoll_wait(2).
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let milliseconds = match timeout {
            None => -1,
            Some(time) => i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
        };
        let (fd, room) = (self.fd.as_raw_fd(), events.room.as_mut_ptr());
        // SAFETY: `room` is writable memory for BATCH events.
        let waited = syscall(unsafe { libc::epoll_wait(fd, room, BATCH as i32, milliseconds) });
        events.count = match waited {
            Ok(count) => count as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(())
    }
}

impl Events {
    /// No events yet.
    pub fn new() -> Events {
        Events { room: [libc::epoll_event { events: 0, u64: 0 }; BATCH], count: 0 }
    }

    /// What the last wait brought.
    pub fn iter(&self) -> impl Iterator<Item = Event> {
        self.room[..self.count].iter().map(Event::from)
    }
}

impl Default for Events {
    fn default() -> Events {
        Events::new()
    }
}

impl From<&libc::epoll_event> for Event {
    fn from(event: &libc::epoll_event) -> Event {
        // The C struct is packed, so its fields are copied out, not referred to.
        let (bits, token) = (event.events as i32, event.u64);
        Event {
            token,
            readable: bits & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0,
            writable: bits & libc::EPOLLOUT != 0,
            peer_shut: bits & libc::EPOLLRDHUP != 0,
            dead: bits & (libc::EPOLLHUP | libc::EPOLLERR) != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::EventFd;

    #[test]
    fn each_ring_of_an_eventfd_is_reported_once() {
        let bell = EventFd::new().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(&bell, 7, Interest::Read).unwrap();
        let mut events = Events::new();
        let mut wait = |timeout| {
            epoll.wait(&mut events, timeout).unwrap();
            events.iter().collect::<Vec<Event>>()
        };
        let rung = Event { token: 7, readable: true, writable: false, peer_shut: false, dead: false };
        assert_eq!(wait(Some(Duration::ZERO)), []);
        bell.ring();
        assert_eq!(wait(None), [rung]);
        assert_eq!(wait(Some(Duration::ZERO)), []);
        bell.ring();
        assert_eq!(wait(None), [rung]);
    }
}
