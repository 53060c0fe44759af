//! What the kernel says of descriptors, ours and the server's.

#![allow(unsafe_code)]

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    sys::{
        signal::Signal,
        socket::{SockaddrStorage, getpeername, getsockopt, sockopt},
        time::TimeValLike,
    },
    unistd::Pid,
};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// How many bytes (a FIN counts as one) have been sent and not been acknowledged by the other end.
///
/// Zero means that all that was sent lies in the other end's kernel, ready to be read; more may wait here for room there.
pub fn in_flight(socket: impl AsFd) -> usize {
    // In this order: what is sent between the two counts as in flight. The other way round it would count as waiting for room.
    let unacknowledged = queued(&socket, libc::TIOCOUTQ);
    unacknowledged.saturating_sub(unsent(socket))
}

/// How many bytes have not been sent: there is no room for them at the other end, or others are to be acknowledged first.
pub fn unsent(socket: impl AsFd) -> usize {
    const SIOCOUTQNSD: libc::Ioctl = 0x894B; // linux/sockios.h
    queued(socket, SIOCOUTQNSD)
}

/// How many bytes lie in a socket's kernel, ready to be read; see `SIOCINQ` in tcp(7).
pub fn unread(socket: impl AsFd) -> usize {
    queued(socket, libc::FIONREAD)
}

/// One of the lengths of a socket's queues; see the ioctls in tcp(7).
fn queued(socket: impl AsFd, which: libc::Ioctl) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: these requests write one int through the pointer, which is to a live local.
    let rc = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), which, &mut bytes) };
    if rc == 0 { bytes as usize } else { 0 }
}

/// From now on a socket sends no packet that could be longer, or again at once what there is; see `TCP_CORK` in tcp(7).
pub fn cork(socket: impl AsFd, is_corked: bool) {
    let value = libc::c_int::from(is_corked);
    // SAFETY: this option reads one int through the pointer, which is to a live local of that size.
    unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_CORK,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
}

/// Whether calls on a descriptor come back at once (`O_NONBLOCK`).
pub fn never_blocks(fd: impl AsFd) -> bool {
    fcntl(fd, FcntlArg::F_GETFL).is_ok_and(|flags| flags & libc::O_NONBLOCK != 0)
}

/// Whether calls that are blocked on a socket give up after a time of its own: those that wait for room, or those that wait for
/// bytes; see `SO_SNDTIMEO` and `SO_RCVTIMEO` in socket(7).
pub fn has_time_limit(socket: &OwnedFd, sends: bool) -> bool {
    let limit = match sends {
        true => getsockopt(socket, sockopt::SendTimeout),
        false => getsockopt(socket, sockopt::ReceiveTimeout),
    };
    limit.is_ok_and(|limit| limit.num_microseconds() > 0)
}

/// Sends a signal to one thread of a process; see tgkill(2).
///
/// # Errors
///
/// When the thread is gone.
pub fn signal_thread(process: Pid, tid: i32, signal: Signal) -> Result<(), Errno> {
    // SAFETY: the call takes three integers.
    Errno::result(unsafe { libc::syscall(libc::SYS_tgkill, process.as_raw(), tid, signal as i32) }).map(drop)
}

/// A descriptor on the process itself; see pidfd_open(2).
pub fn pidfd(pid: Pid) -> Option<OwnedFd> {
    // SAFETY: the call takes two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    // SAFETY: a result of 0 or more is a new descriptor that nobody else owns.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A copy of the process's descriptor `fd`; see pidfd_getfd(2).
pub fn borrow_fd(process: &OwnedFd, fd: i32) -> Option<OwnedFd> {
    // SAFETY: the call takes three integers.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) };
    // SAFETY: a result of 0 or more is a new descriptor that nobody else owns.
    (copy >= 0).then(|| unsafe { OwnedFd::from_raw_fd(copy as i32) })
}

/// The port at the other end of a socket.
pub fn peer_port(socket: &OwnedFd) -> Option<u16> {
    let peer: SockaddrStorage = getpeername(socket.as_raw_fd()).ok()?;
    peer.as_sockaddr_in().map(|v4| v4.port()).or_else(|| peer.as_sockaddr_in6().map(|v6| v6.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::net::UnixStream, time::Duration};

    #[test]
    fn a_limit_for_sending_is_none_for_receiving() {
        let (one, _other) = UnixStream::pair().unwrap();
        one.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        let socket = OwnedFd::from(one);
        assert!(has_time_limit(&socket, true) && !has_time_limit(&socket, false));
    }
}
