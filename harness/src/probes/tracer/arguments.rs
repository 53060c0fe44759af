//! What the arguments of a call mean: its descriptors, and what it reads or writes in the server's memory.

use super::{Tracer, event::Call, kernel, ledger::Extra, ptrace, syscalls::Class};
use crate::probes::proc;

impl Tracer {
    /// What a call that came back says beside its arguments and its result; some of it stands in the server's memory.
    pub(super) fn extra(&self, tid: i32, call: &Call) -> Extra {
        if call.error().is_some() {
            return Extra::default();
        }
        let peer = || {
            let fd = call.result as i32;
            let copy = self.borrow_fd(fd);
            copy.as_ref().and_then(kernel::peer_port).or_else(|| proc::peer_port(self.main(), fd))
        };
        let pair = |at: usize| {
            let bytes: [u8; 8] = ptrace::read(tid, call.args[at])?;
            let (first, second) = bytes.split_at(4);
            Some([i32::from_ne_bytes(first.try_into().ok()?), i32::from_ne_bytes(second.try_into().ok()?)])
        };
        match call.class {
            Class::Accept => Extra { peer: peer(), ..Extra::default() },
            // struct sockaddr_in and sockaddr_in6 both have the port, in network order, behind the family.
            Class::Bind => Extra {
                bound: ptrace::read(tid, call.args[1] + 2).map(u16::from_be_bytes),
                ..Extra::default()
            },
            Class::Pipe => {
                Extra { pair: pair(if call.name == "socketpair" { 3 } else { 0 }), ..Extra::default() }
            }
            Class::Receive | Class::Send if call.name.ends_with("mmsg") => {
                // An array of struct mmsghdr; see recvmmsg(2).
                const HEADER: u64 = size_of::<libc::mmsghdr>() as u64;
                const LENGTH_AT: u64 = std::mem::offset_of!(libc::mmsghdr, msg_len) as u64;
                let length =
                    |n: u64| ptrace::read(tid, call.args[1] + n * HEADER + LENGTH_AT).map(u32::from_ne_bytes);
                let bytes = (0..call.result as u64).filter_map(length).map(u64::from).sum();
                Extra { bytes: Some(bytes), ..Extra::default() }
            }
            Class::EpollControl => Extra {
                mask: ptrace::read(tid, call.args[3]).map_or(0, u32::from_ne_bytes),
                ..Extra::default()
            },
            _ => Extra::default(),
        }
    }
}

/// The descriptor that a call is about; a number that stands for nothing if it has none.
pub(super) fn descriptor(name: &str, args: &[u64; 6]) -> i32 {
    const NONE: i32 = -1;
    match name {
        "socket" | "socketpair" | "pipe" | "pipe2" | "eventfd" | "eventfd2" | "epoll_create"
        | "epoll_create1" | "timerfd_create" | "setitimer" | "timer_settime" | "alarm" | "poll" | "ppoll"
        | "select" | "pselect6" | "io_uring_setup" | "rt_sigreturn" | "exit_group" | "close_range" => NONE,
        _ => args[0] as i32,
    }
}

/// The descriptor on the other side of a call that moves bytes from one to another; a number that stands for nothing if it
/// has none.
pub(super) fn second_descriptor(name: &str, args: &[u64; 6]) -> i32 {
    const NONE: i32 = -1;
    match name {
        "splice" => args[2] as i32,
        "sendfile" => args[1] as i32,
        _ => NONE,
    }
}
