//! A network for one process and what it starts: a loopback of its own, on which every port is free. Network namespaces,
//! network_namespaces(7).

use libc as c;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sched::{CloneFlags, unshare},
    sys::{
        socket::{AddressFamily, SockFlag, SockType, socket},
        stat::Mode,
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, fork, getgid, getuid, write},
};
use std::{os::fd::AsRawFd, sync::OnceLock};

/// What the child of a fork has to know, made beforehand: it may not allocate.
#[derive(Debug)]
pub(super) struct Network {
    /// Who it is, inside and outside: user_namespaces(7), `uid_map`.
    user: String,
    group: String,
}

impl Network {
    pub(super) fn new() -> Self {
        let same = |id: u32| format!("{id} {id} 1");
        Self { user: same(getuid().as_raw()), group: same(getgid().as_raw()) }
    }

    /// Puts the calling process, which has one thread, into a network of its own, for good. Async-signal-safe: it makes system
    /// calls and nothing else.
    ///
    /// # Errors
    ///
    /// When the kernel refuses that; see [`is_possible`].
    pub(super) fn enter(&self) -> Result<(), Errno> {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            // Whoever is not root may have a user namespace, in which it may have a network.
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
            set(c"/proc/self/setgroups", "deny")?;
            set(c"/proc/self/uid_map", &self.user)?;
            set(c"/proc/self/gid_map", &self.group)?;
        }
        loopback_up()
    }
}

fn set(file: &std::ffi::CStr, text: &str) -> Result<(), Errno> {
    let file = open(file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    write(file, text.as_bytes()).map(drop)
}

/// Switches the loopback on, which is off in a new network; netdevice(7).
fn loopback_up() -> Result<(), Errno> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: a structure of plain numbers, for which zero is a value.
    let mut request: c::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as c::c_char;
    request.ifr_name[1] = b'o' as c::c_char;
    request.ifr_ifru.ifru_flags = c::IFF_UP as c::c_short;
    // SAFETY: the kernel reads the structure, which lives until the call returns.
    Errno::result(unsafe { c::ioctl(socket.as_raw_fd(), c::SIOCSIFFLAGS, &raw const request) }).map(drop)
}

/// Whether a process may have a network of its own here. Containers and some distributions refuse that to whoever is not root.
pub fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        let network = Network::new();
        let _guard = crate::submission::launch::nobody_forks();
        // SAFETY: the child makes system calls and ends.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                let status = i32::from(network.enter().is_err());
                // SAFETY: ends the process at once, without running anything of the parent's.
                unsafe { c::_exit(status) }
            }
            Ok(ForkResult::Parent { child }) => waitpid(child, None) == Ok(WaitStatus::Exited(child, 0)),
            Err(_) => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_had_is_a_network_in_which_every_port_is_free() {
        use crate::submission::launch::Launch;
        if !is_possible() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} || exit 3; exit 4");
        for (own_network, status) in [(false, 4), (true, 3)] {
            let launch = Launch {
                program: std::path::Path::new("/bin/bash"),
                args: &["-c".into(), script.clone()],
                env: &[],
                dir: dir.path(),
                filter: None,
                descriptors: None,
                own_network,
            };
            let mut process = launch.spawn().unwrap();
            process.go().unwrap();
            let ended = waitpid(process.pid(), None).unwrap();
            process.set_reaped();
            assert_eq!(ended, WaitStatus::Exited(process.pid(), status), "own network: {own_network}");
        }
    }
}
