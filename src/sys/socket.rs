//! `ssize_t recv(int fd, void *buf, size_t len, int flags);` and `socket`, `bind`, `listen`, `accept4`, `send`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::{byte_count, retry, syscall, unless_it_would_block};

/// A nonblocking TCP socket that listens on 127.0.0.1. tcp(7).
pub struct ListenSocket {
    fd: OwnedFd,
}

impl ListenSocket {
    /// Listens on `port` at once, even if an earlier server's connections on it are still in TIME_WAIT
    /// (SO_REUSEADDR). Fails with EADDRINUSE if another socket listens there. socket(2), bind(2), listen(2).
    pub fn bind(port: u16) -> io::Result<ListenSocket> {
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers are passed, and the fresh descriptor is owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(syscall(libc::socket(libc::AF_INET, kind, 0))?) };
        switch_on(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
        // Answers are small and complete when sent, so waiting for more to send with them (Nagle) only costs time.
        // Linux lets accepted sockets inherit the option: no system call per connection.
        switch_on(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: libc::INADDR_LOOPBACK.to_be() },
            sin_zero: [0; 8],
        };
        let size = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` is a whole sockaddr_in of `size` bytes, and AF_INET sockets expect one.
        syscall(unsafe { libc::bind(fd.as_raw_fd(), ptr::from_ref(&address).cast(), size) })?;
        // SAFETY: no pointers are passed.
        syscall(unsafe { libc::listen(fd.as_raw_fd(), libc::SOMAXCONN) })?;
        Ok(ListenSocket { fd })
    }

    /// The next new connection, nonblocking, or `None` if nobody waits. Newcomers who have vanished already are
    /// skipped. Fails with EMFILE, ENFILE or ENOMEM when descriptors or memory run out. accept4(2).
    pub fn accept(&self) -> io::Result<Option<Socket>> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        loop {
            // SAFETY: null pointers mean that the peer's address is not wanted.
            let accepted = syscall(unsafe {
                libc::accept4(self.fd.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags)
            });
            match accepted {
                // SAFETY: the descriptor is fresh and owned by nobody else.
                Ok(fd) => return Ok(Some(Socket { fd: unsafe { OwnedFd::from_raw_fd(fd) } })),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(None),
                    Some(libc::EINTR | libc::ECONNABORTED | libc::EPROTO | libc::EPERM) => {}
                    _ => return Err(error),
                },
            }
        }
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// One client's connection. Closed on drop.
pub struct Socket {
    fd: OwnedFd,
}

impl Socket {
    /// Reads what has arrived: `None` if nothing has, `Some(0)` at the end of the stream. Fails with ECONNRESET if
    /// the client has vanished. recv(2).
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let (fd, room, size) = (self.fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: `room` is writable memory of `size` bytes, and `fd` is open for as long as `self`.
        let received = retry(|| byte_count(unsafe { libc::recv(fd, room, size, 0) }));
        unless_it_would_block(received)
    }

    /// Sends as much as the kernel takes: `None` if it takes nothing now. Fails with EPIPE (never with the signal of
    /// that name: MSG_NOSIGNAL) or ECONNRESET if the client has vanished. send(2).
    pub fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let (fd, start, size) = (self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
        // SAFETY: `start` points to `size` readable bytes, and `fd` is open for as long as `self`.
        let sent = retry(|| byte_count(unsafe { libc::send(fd, start, size, libc::MSG_NOSIGNAL) }));
        unless_it_would_block(sent)
    }

    /// Tells the client that nothing more will be sent. It may fail only because the client is gone already, which is
    /// as good. shutdown(2).
    pub fn shut_down_sending(&self) {
        // SAFETY: no pointers are passed.
        unsafe { libc::shutdown(self.fd.as_raw_fd(), libc::SHUT_WR) };
    }
}

#[cfg(test)]
impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Socket {
        Socket { fd }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// setsockopt(2) with the value 1.
fn switch_on(fd: &OwnedFd, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let one: libc::c_int = 1;
    let size = size_of_val(&one) as libc::socklen_t;
    // SAFETY: `one` is readable memory of `size` bytes.
    syscall(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, ptr::from_ref(&one).cast(), size) })?;
    Ok(())
}
