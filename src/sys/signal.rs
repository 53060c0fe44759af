//! `int signalfd(int fd, const sigset_t *mask, int flags);`: signals as something to read, instead of interruptions.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::{byte_count, must_succeed, retry, syscall, unless_it_would_block};

pub use libc::{SIGINT, SIGTERM};

/// Receives chosen signals for the whole process. No handler runs, so nothing needs to be async-signal-safe.
/// signalfd(2).
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Blocks `signals` in the calling thread and collects them here. New threads inherit the mask of their creator,
    /// so this must be called before any is started: one thread with the signal unblocked would die of it.
    /// pthread_sigmask(3).
    pub fn block(signals: &[libc::c_int]) -> io::Result<SignalFd> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the set before anything else looks at it, sigaddset only changes it, and a
        // null pointer for the old mask is allowed.
        let set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for &signal in signals {
                syscall(libc::sigaddset(set.as_mut_ptr(), signal))?;
            }
            let code = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
            must_succeed("pthread_sigmask", code);
            set.assume_init()
        };
        // SAFETY: `set` is initialised and copied by the kernel; the fresh descriptor is owned by nobody else.
        let fd = unsafe {
            OwnedFd::from_raw_fd(syscall(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?)
        };
        Ok(SignalFd { fd })
    }

    /// The number of a signal that has arrived since the last call, or `None`. Does not wait.
    pub fn take(&self) -> io::Result<Option<u32>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let (room, size) = (info.as_mut_ptr().cast(), size_of_val(&info));
        // SAFETY: `room` is writable memory of `size` bytes.
        let read = retry(|| byte_count(unsafe { libc::read(self.fd.as_raw_fd(), room, size) }));
        // SAFETY: a successful read(2) of a signalfd has filled in whole structs, here one.
        Ok(unless_it_would_block(read)?.map(|_| unsafe { info.assume_init() }.ssi_signo))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
