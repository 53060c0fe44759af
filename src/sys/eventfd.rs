//! `int eventfd(unsigned int initval, int flags);`: a counter in the kernel that epoll(7) can watch; here, a bell.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{retry, syscall};

/// A bell that any thread may ring and one thread hears through its epoll set. eventfd(2).
pub struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// A bell that has not been rung. Fails when descriptors run out.
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: no pointers are passed, and the fresh descriptor is owned by nobody else.
        let fd = unsafe {
            OwnedFd::from_raw_fd(syscall(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?)
        };
        Ok(EventFd { fd })
    }

    /// Adds one to the counter. It cannot fail: the counter overflows, and only then refuses, after 2^64 - 2 rings.
    pub fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        let _ = retry(|| {
            // SAFETY: eight readable bytes, and a descriptor that lives as long as `self`.
            super::byte_count(unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) })
        });
    }

    /// Sets the counter back to zero. Does not wait, rung or not.
    pub fn silence(&self) {
        let mut count = [0; 8];
        let _ = retry(|| {
            // SAFETY: eight writable bytes, and a descriptor that lives as long as `self`.
            super::byte_count(unsafe {
                libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len())
            })
        });
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
