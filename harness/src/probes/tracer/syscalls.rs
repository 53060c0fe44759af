//! Which system calls stop a thread, and what kind of call each is.

use crate::probes::interposer::MARKER_CALL;
use libc as c;

/// What a traced call does, as far as a requirement cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Makes a socket.
    Socket,
    /// bind(2).
    Bind,
    /// listen(2).
    Listen,
    /// Takes a connection from a listener.
    Accept,
    /// Reads from a descriptor.
    Receive,
    /// Writes to a descriptor.
    Send,
    /// shutdown(2).
    Shutdown,
    /// Makes an epoll instance.
    EpollCreate,
    /// epoll_ctl(2).
    EpollControl,
    /// Waits on an epoll instance.
    EpollWait,
    /// Waits by the poll or select family.
    Poll,
    /// Makes an eventfd.
    Eventfd,
    /// Makes a signalfd.
    Signalfd,
    /// Makes a timerfd.
    Timerfd,
    /// Makes a pipe or a socket pair.
    Pipe,
    /// Makes another descriptor of the same open file.
    Duplicate,
    /// Closes a descriptor.
    Close,
    /// Sets a timer that will end a sleep by a signal.
    Alarm,
    /// Sets up io_uring, whose I/O no tracer can attribute to a thread.
    Uring,
    /// Leaves a signal handler.
    SignalReturn,
    /// Ends the whole process.
    ExitGroup,
}

/// A traced call.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    /// The kernel's number on this architecture.
    pub number: i64,
    /// Its name, as in section 2 of the manual.
    pub name: &'static str,
    /// What it does.
    pub class: Class,
}

macro_rules! traced {
    ($($(#[$cfg:meta])* $number:ident $name:literal $class:ident;)*) => {
        /// Every traced call of this architecture.
        pub static TRACED: &[Traced] = &[
            $($(#[$cfg])* Traced { number: c::$number as i64, name: $name, class: Class::$class },)*
        ];
    };
}

traced! {
    SYS_socket "socket" Socket;
    SYS_bind "bind" Bind;
    SYS_listen "listen" Listen;
    SYS_accept "accept" Accept;
    SYS_accept4 "accept4" Accept;
    SYS_read "read" Receive;
    SYS_readv "readv" Receive;
    SYS_preadv2 "preadv2" Receive;
    SYS_recvfrom "recvfrom" Receive;
    SYS_recvmsg "recvmsg" Receive;
    SYS_recvmmsg "recvmmsg" Receive;
    SYS_splice "splice" Receive;
    SYS_write "write" Send;
    SYS_writev "writev" Send;
    SYS_pwritev2 "pwritev2" Send;
    SYS_sendto "sendto" Send;
    SYS_sendmsg "sendmsg" Send;
    SYS_sendmmsg "sendmmsg" Send;
    SYS_sendfile "sendfile" Send;
    SYS_shutdown "shutdown" Shutdown;
    #[cfg(target_arch = "x86_64")]
    SYS_epoll_create "epoll_create" EpollCreate;
    SYS_epoll_create1 "epoll_create1" EpollCreate;
    SYS_epoll_ctl "epoll_ctl" EpollControl;
    #[cfg(target_arch = "x86_64")]
    SYS_epoll_wait "epoll_wait" EpollWait;
    SYS_epoll_pwait "epoll_pwait" EpollWait;
    SYS_epoll_pwait2 "epoll_pwait2" EpollWait;
    #[cfg(target_arch = "x86_64")]
    SYS_poll "poll" Poll;
    SYS_ppoll "ppoll" Poll;
    #[cfg(target_arch = "x86_64")]
    SYS_select "select" Poll;
    SYS_pselect6 "pselect6" Poll;
    #[cfg(target_arch = "x86_64")]
    SYS_eventfd "eventfd" Eventfd;
    SYS_eventfd2 "eventfd2" Eventfd;
    #[cfg(target_arch = "x86_64")]
    SYS_signalfd "signalfd" Signalfd;
    SYS_signalfd4 "signalfd4" Signalfd;
    SYS_timerfd_create "timerfd_create" Timerfd;
    #[cfg(target_arch = "x86_64")]
    SYS_pipe "pipe" Pipe;
    SYS_pipe2 "pipe2" Pipe;
    SYS_socketpair "socketpair" Pipe;
    SYS_dup "dup" Duplicate;
    #[cfg(target_arch = "x86_64")]
    SYS_dup2 "dup2" Duplicate;
    SYS_dup3 "dup3" Duplicate;
    SYS_fcntl "fcntl" Duplicate;
    SYS_close "close" Close;
    SYS_close_range "close_range" Close;
    SYS_setitimer "setitimer" Alarm;
    SYS_timer_settime "timer_settime" Alarm;
    #[cfg(target_arch = "x86_64")]
    SYS_alarm "alarm" Alarm;
    SYS_io_uring_setup "io_uring_setup" Uring;
    SYS_rt_sigreturn "rt_sigreturn" SignalReturn;
    SYS_exit_group "exit_group" ExitGroup;
}

/// The traced call with this number.
pub fn traced(number: u64) -> Option<&'static Traced> {
    TRACED.iter().find(|call| call.number as u64 == number)
}

/// Every number at which the kernel stops a thread: the traced calls and the marker.
pub fn stop_numbers() -> impl Iterator<Item = i64> {
    TRACED.iter().map(|call| call.number).chain([MARKER_CALL as i64])
}

/// Whether a thread that is blocked in this call with these arguments wakes by itself after a time.
///
/// Of the calls that a server sleeps in; `number` and `args` as in proc_pid_syscall(5).
pub fn wakes_by_itself(number: i64, args: &[u64; 6]) -> bool {
    const WAIT_FOREVER: i32 = -1;
    match number {
        #[cfg(target_arch = "x86_64")]
        c::SYS_epoll_wait | c::SYS_poll => {
            args[if number == c::SYS_poll { 2 } else { 3 }] as i32 != WAIT_FOREVER
        }
        #[cfg(target_arch = "x86_64")]
        c::SYS_select => args[4] != 0,
        c::SYS_epoll_pwait => args[3] as i32 != WAIT_FOREVER,
        c::SYS_epoll_pwait2 => args[3] != 0,
        c::SYS_ppoll => args[2] != 0,
        c::SYS_pselect6 => args[4] != 0,
        c::SYS_futex => args[3] != 0 && matches!(args[1] as i32 & 0x7f, c::FUTEX_WAIT | c::FUTEX_WAIT_BITSET),
        c::SYS_rt_sigtimedwait => args[2] != 0,
        // A socket may linger (SO_LINGER).
        c::SYS_close => true,
        _ if naps(number) => true,
        _ => false,
    }
}

/// A socket that a thread is blocked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnSocket {
    /// Its descriptor.
    pub fd: i32,
    /// Whether the thread waits for room, rather than for bytes.
    pub sends: bool,
}

/// The socket that a thread is blocked on, which may have a time limit of its own (`SO_RCVTIMEO`, `SO_SNDTIMEO`).
pub fn limited_by(number: i64, args: &[u64; 6]) -> Option<OnSocket> {
    let sends = match number {
        c::SYS_sendto | c::SYS_sendmsg => true,
        c::SYS_recvfrom | c::SYS_recvmsg => false,
        _ => return None,
    };
    Some(OnSocket { fd: args[0] as i32, sends })
}

/// Whether a thread that is blocked in this call sees nothing until its time is over, whatever happens meanwhile.
pub fn naps(number: i64) -> bool {
    matches!(number, c::SYS_nanosleep | c::SYS_clock_nanosleep | c::SYS_restart_syscall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_listed_twice() {
        let mut numbers: Vec<i64> = stop_numbers().collect();
        let listed = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), listed);
    }

    #[test]
    fn a_wait_without_a_deadline_does_not_end_by_itself() {
        let minus_one = u64::from(u32::MAX);
        assert!(!wakes_by_itself(c::SYS_epoll_pwait, &[3, 0, 64, minus_one, 0, 0]));
        assert!(wakes_by_itself(c::SYS_epoll_pwait, &[3, 0, 64, 100, 0, 0]));
        assert!(!wakes_by_itself(c::SYS_futex, &[0, c::FUTEX_WAIT_BITSET as u64 | 128, 0, 0, 0, 0]));
        assert!(wakes_by_itself(c::SYS_futex, &[0, c::FUTEX_WAIT_BITSET as u64 | 128, 0, 0x7ff0, 0, 0]));
        assert!(!wakes_by_itself(c::SYS_read, &[0; 6]));
    }
}
