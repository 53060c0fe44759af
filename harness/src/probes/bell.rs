//! What wakes a session: a child's stop, a client's socket, the server's output, Ctrl-C.

use crate::{error::HarnessError, interrupt};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
};
use signal_hook::{SigId, consts::SIGCHLD, low_level};
use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

/// Rings at every SIGCHLD of the process. Each session has one of its own, so sessions on several threads do not take each
/// other's; a ring too many costs a look.
#[derive(Debug)]
pub struct Bell {
    hear: UnixStream,
    id: SigId,
}

impl Bell {
    /// A new bell.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left, or the handler is refused.
    pub fn new() -> Result<Self, HarnessError> {
        let make = || {
            let (hear, ring) = UnixStream::pair()?;
            hear.set_nonblocking(true)?;
            Ok::<_, io::Error>(Self { hear, id: low_level::pipe::register(SIGCHLD, ring)? })
        };
        make().map_err(|e| HarnessError::system("listen for SIGCHLD", e))
    }

    /// Waits until the bell rings, a descriptor is ready, the user interrupts, or `longest` is over; true if there was
    /// something before that.
    ///
    /// # Errors
    ///
    /// When the kernel refuses ppoll(2).
    pub fn wait<'a>(
        &'a self,
        clients: impl Iterator<Item = PollFd<'a>>,
        output: impl Iterator<Item = BorrowedFd<'a>>,
        longest: Duration,
    ) -> Result<bool, HarnessError> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![readable(self.hear.as_fd()), readable(interrupt::fd()?)];
        fds.extend(output.map(readable));
        fds.extend(clients);
        let ready = match ppoll(&mut fds, Some(longest.into()), None) {
            Ok(ready) => ready > 0,
            Err(Errno::EINTR) => true,
            Err(e) => return Err(HarnessError::system("wait for the server (ppoll)", e)),
        };
        // Silenced before the owner looks at its children, so that no ring between is lost.
        let mut rings = [0; 256];
        while matches!((&self.hear).read(&mut rings), Ok(n) if n > 0) {}
        Ok(ready)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        low_level::unregister(self.id);
    }
}
