//! The only unsafe code: epoll, eventfd and the SIGTERM handler.

use std::fs::File;
use std::io::{Read, Result, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

fn check(result: i32) -> Result<i32> {
    if result < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A counter that wakes the event loop: for finished tasks, for room in the queue and for SIGTERM alike.
pub struct EventFd(File);

impl EventFd {
    pub fn new() -> Result<Self> {
        // SAFETY: no pointers; the new descriptor is owned at once.
        Ok(Self(unsafe {
            File::from_raw_fd(check(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC))?)
        }))
    }

    pub fn ring(&self) {
        // Fails only when the counter is full, and then the loop is as good as awake.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    pub fn silence(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

static BELL: AtomicI32 = AtomicI32::new(-1);
static SIGTERM_CAME: AtomicBool = AtomicBool::new(false);

extern "C" fn on_sigterm(_: i32) {
    SIGTERM_CAME.store(true, Ordering::SeqCst);
    // SAFETY: write(2) is async-signal-safe and the eight bytes are there; errno is put back for whom this interrupted.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(BELL.load(Ordering::SeqCst), (&raw const ONE).cast(), 8);
        *errno = before;
    }
}
static ONE: u64 = 1;

fn handle_sigterm(handler: libc::sighandler_t) -> Result<()> {
    // SAFETY: a zeroed sigaction is a valid one, and the handler is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART;
        check(libc::sigaction(libc::SIGTERM, &action, std::ptr::null_mut())).map(drop)
    }
}

pub fn ring_on_sigterm(bell: &EventFd) -> Result<()> {
    BELL.store(bell.as_raw_fd(), Ordering::SeqCst);
    handle_sigterm(on_sigterm as *const () as libc::sighandler_t)
}

pub fn ignore_sigterm() {
    let _ = handle_sigterm(libc::SIG_IGN);
}

pub fn sigterm_came() -> bool {
    SIGTERM_CAME.load(Ordering::SeqCst)
}

pub fn cpu_ms() -> u64 {
    // SAFETY: the clock exists and `t` is ours.
    unsafe {
        let mut t: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t);
        t.tv_sec as u64 * 1000 + t.tv_nsec as u64 / 1_000_000
    }
}

/// Bytes that the kernel holds but has not sent: the peer's window is full.
pub fn unsent(socket: &impl AsRawFd) -> bool {
    const SIOCOUTQNSD: libc::c_ulong = 0x894B;
    let mut bytes: i32 = 0;
    // SAFETY: the call stores one int, and `bytes` is one.
    unsafe { libc::ioctl(socket.as_raw_fd(), SIOCOUTQNSD, &mut bytes) == 0 && bytes > 0 }
}

pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> Result<Self> {
        // SAFETY: no pointers; the new descriptor is owned at once.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) }))
    }

    fn control(&self, op: i32, fd: &impl AsRawFd, interest: i32, key: u64) -> Result<()> {
        let mut event = libc::epoll_event { events: interest as u32, u64: key };
        // SAFETY: `event` lives through the call.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), op, fd.as_raw_fd(), &mut event) }).map(drop)
    }

    pub fn add(&self, fd: &impl AsRawFd, interest: i32, key: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, key)
    }

    pub fn arm(&self, fd: &impl AsRawFd, interest: i32, key: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest, key)
    }

    /// Keys and events. An interruption is an empty answer.
    pub fn wait(&self, timeout_ms: i32) -> Result<Vec<(u64, i32)>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        // SAFETY: the pointer and the length belong to the same array.
        let n = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 64, timeout_ms) };
        match check(n) {
            Ok(n) => Ok(events[..n as usize].iter().map(|e| (e.u64, e.events as i32)).collect()),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }
}
