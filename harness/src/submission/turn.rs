//! Taking turns among all harnesses of this machine.

use crate::{
    error::{HarnessError, Trouble},
    interrupt,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    io::{Error, ErrorKind},
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
};

/// Something that only one of all harnesses on this machine may do at a time, for as long as this lives. It is a name that only one
/// socket can have, and that goes away with the process, whatever happens; see unix(7), abstract socket addresses.
#[derive(Debug)]
pub struct Turn {
    _name: UnixListener,
}

impl Turn {
    /// Takes it, unless another has it.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left.
    pub fn take(name: &str) -> Result<Option<Self>, HarnessError> {
        let taken = SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name));
        match taken {
            Ok(listener) => Ok(Some(Self { _name: listener })),
            Err(e) if e.kind() == ErrorKind::AddrInUse => Ok(None),
            Err(e) => Err(HarnessError::system(format!("take {name}"), e)),
        }
    }

    /// Waits for it.
    ///
    /// # Errors
    ///
    /// When the user interrupts, or the system has no descriptor left.
    pub fn wait(name: &str) -> Result<Self, Trouble> {
        let failed = |e: Error| HarnessError::system(format!("wait for {name}"), e);
        let address = SocketAddr::from_abstract_name(name).map_err(failed)?;
        while !interrupt::requested() {
            if let Some(turn) = Self::take(name)? {
                return Ok(turn);
            }
            // Nobody ever accepts this connection: its end says that the name is free.
            if let Ok(end) = UnixStream::connect_addr(&address) {
                let mut ends = [
                    PollFd::new(end.as_fd(), PollFlags::POLLIN),
                    PollFd::new(interrupt::fd()?, PollFlags::POLLIN),
                ];
                // A signal that interrupts it is a reason to look again, too.
                let _ = poll(&mut ends, PollTimeout::NONE);
            }
        }
        Err(Trouble::Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        thread,
    };

    #[test]
    fn one_at_a_time_and_everybody_comes_to_it() {
        let name = format!("quest-test-turn-{}", std::process::id());
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _turn = Turn::wait(&name).unwrap();
                        assert_eq!(inside.fetch_add(1, SeqCst), 0);
                        thread::yield_now();
                        inside.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
    }
}
