//! Layer 1: the C objects of this server behind safe Rust types, one object per file; the only folder with `unsafe`.
//!
//! Each file starts with the C prototypes that it wraps. Three habits hold in all of them: a raw handle becomes an
//! owned type in the very expression that creates it, so no error path can leak it; what a C function demands of its
//! caller is made part of a type, so safe code cannot break it; and a `SAFETY` comment names the fact that makes that
//! one call sound.
#![allow(unsafe_code)]

pub mod mutex;
pub mod condvar;
pub mod thread;
pub mod epoll;
pub mod eventfd;
pub mod signal;
pub mod socket;
pub mod stdio;

pub use condvar::Condvar;
pub use epoll::{Epoll, Event, Events, Interest};
pub use eventfd::EventFd;
pub use mutex::{Mutex, MutexGuard};
pub use signal::SignalFd;
pub use socket::{ListenSocket, Socket};

use std::io;

/// The result of a system call that reports failure as -1 and the reason in errno(3).
fn syscall(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// The same for calls that return a number of bytes.
fn byte_count(returned: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// The result of a nonblocking call: `None` where it would have had to wait (EAGAIN).
fn unless_it_would_block<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Repeats a system call for as long as a signal interrupts it (EINTR, see signal(7)).
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Pthread functions return the error number itself. Where one fails although its arguments are right, the program is
/// wrong, and nothing that it does next can be trusted: stop.
#[track_caller]
fn must_succeed(function: &str, error_number: libc::c_int) {
    assert!(error_number == 0, "{function}: {}", io::Error::from_raw_os_error(error_number));
}
