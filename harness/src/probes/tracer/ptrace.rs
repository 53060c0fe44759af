//! ptrace(2) in the terms of this harness: the stops of a seized process, and how a thread goes on from one.
//!
//! nix decodes what it can. Waiting is done here, because a stop by a real-time signal (glibc cancels threads with one)
//! has no name in nix and would be lost.

#![allow(unsafe_code)]

use crate::error::HarnessError;
use nix::{
    errno::Errno,
    sys::{
        ptrace,
        uio::{RemoteIoVec, process_vm_readv},
    },
    unistd::Pid,
};
use std::io::IoSliceMut;

/// Why a thread does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is gone; exit status.
    Exited(i32),
    /// It is gone; the signal that killed it.
    Killed(i32),
    /// About to make a traced call.
    Entry,
    /// A traced call is about to return.
    Exit,
    /// It has made a thread or a process with this id.
    Made(i32),
    /// It has become another program.
    Exec,
    /// It is about to end.
    Ending,
    /// It is new, and has not run yet.
    Fresh,
    /// Job control stopped it.
    JobControl,
    /// This signal is about to be delivered to it.
    Signal(i32),
}

/// How a thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// To the next stop of the filter.
    Free,
    /// To the return of the call at which it stopped.
    ToExit,
    /// With this signal.
    With(i32),
    /// Stays stopped, as job control wants it.
    Stopped,
}

/// Seizes a child that waits to be let go.
pub fn seize(pid: Pid) -> Result<(), HarnessError> {
    use ptrace::Options;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACESECCOMP
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACEEXIT
        // Whatever happens to the harness, SIGKILL included: no server outlives it.
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).map_err(|e| HarnessError::system("trace the server (ptrace)", e))
}

/// The next stop of a tracee of the calling thread, if one is pending.
///
/// Of the calling thread alone: other threads of the harness trace other servers.
pub fn next_stop() -> Result<Option<(i32, Stop)>, HarnessError> {
    let mut status = 0;
    // SAFETY: the kernel writes one int through the pointer, which is to a live local.
    let tid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD) };
    match tid {
        0 => Ok(None),
        -1 => match Errno::last() {
            Errno::ECHILD => Ok(None),
            e => Err(HarnessError::system("wait for the server (waitpid)", e)),
        },
        tid => Ok(Some((tid, decode(tid, status)))),
    }
}

fn decode(tid: i32, status: i32) -> Stop {
    if libc::WIFEXITED(status) {
        return Stop::Exited(libc::WEXITSTATUS(status));
    }
    if libc::WIFSIGNALED(status) {
        return Stop::Killed(libc::WTERMSIG(status));
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        libc::PTRACE_EVENT_SECCOMP => Stop::Entry,
        libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => {
            // A thread killed at this very stop has no message any more; its end will be reported.
            Stop::Made(ptrace::getevent(Pid::from_raw(tid)).map_or(0, |id| id as i32))
        }
        libc::PTRACE_EVENT_EXEC => Stop::Exec,
        libc::PTRACE_EVENT_EXIT => Stop::Ending,
        libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Stop::Fresh,
        libc::PTRACE_EVENT_STOP => Stop::JobControl,
        _ if signal == libc::SIGTRAP | 0x80 => Stop::Exit,
        _ => Stop::Signal(signal),
    }
}

/// Lets a stopped thread go on. One that was killed meanwhile is not an error: its end is reported next.
pub fn resume(tid: i32, how: Resume) -> Result<(), HarnessError> {
    let (request, signal) = match how {
        Resume::Free => (libc::PTRACE_CONT, 0),
        Resume::ToExit => (libc::PTRACE_SYSCALL, 0),
        Resume::With(signal) => (libc::PTRACE_CONT, signal),
        Resume::Stopped => (libc::PTRACE_LISTEN, 0),
    };
    // SAFETY: none of these requests reads or writes memory of this process; the address is ignored.
    let rc = unsafe { libc::ptrace(request, tid, 0usize, signal as usize) };
    match Errno::result(rc) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(HarnessError::system(format!("let thread {tid} go on (ptrace)"), e)),
    }
}

/// A call that a thread is about to make.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// Its arguments.
    pub args: [u64; 6],
    /// Where the thread's stack ends.
    pub stack: u64,
}

/// The call at whose entry a thread is stopped. `None` if it was killed there.
pub fn entry(tid: i32) -> Option<Entry> {
    let info = ptrace::syscall_info(Pid::from_raw(tid)).ok()?;
    (info.op == libc::PTRACE_SYSCALL_INFO_SECCOMP).then(|| {
        // SAFETY: `op` says that the kernel filled in this member of the union.
        let entry = unsafe { info.u.seccomp };
        Entry { number: entry.nr, args: entry.args, stack: info.stack_pointer }
    })
}

/// Changes the third argument of the call at whose entry, or return, a thread is stopped; true if that worked. The program
/// expects to find its own value in that register afterwards.
#[cfg(target_arch = "x86_64")]
pub fn set_third_argument(tid: i32, value: u64) -> bool {
    let thread = Pid::from_raw(tid);
    ptrace::getregs(thread).is_ok_and(|mut registers| {
        registers.rdx = value;
        ptrace::setregs(thread, registers).is_ok()
    })
}

/// Elsewhere no argument is changed.
#[cfg(not(target_arch = "x86_64"))]
pub fn set_third_argument(_tid: i32, _value: u64) -> bool {
    false
}

/// The result of the call at whose return a thread is stopped: 0 or more, or minus the error number.
pub fn result(tid: i32) -> Option<i64> {
    let info = ptrace::syscall_info(Pid::from_raw(tid)).ok()?;
    if info.op != libc::PTRACE_SYSCALL_INFO_EXIT {
        return None;
    }
    // SAFETY: `op` says that the kernel filled in this member of the union.
    Some(unsafe { info.u.exit }.sval)
}

/// Refuses the call at whose entry a thread is stopped: it fails with `EPERM` and is never made.
pub fn refuse(tid: i32) {
    if !answer(tid, -i64::from(libc::EPERM) as u64) {
        // Where a call cannot be refused, its maker is.
        let _ = nix::sys::signal::kill(Pid::from_raw(tid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Where a stopped thread is: its instruction, and the end of its stack.
pub fn position(tid: i32) -> Option<(u64, u64)> {
    let info = ptrace::syscall_info(Pid::from_raw(tid)).ok()?;
    Some((info.instruction_pointer, info.stack_pointer))
}

/// Leaves out the call at whose entry a thread is stopped, and gives it this result. False where that cannot be done.
#[cfg(target_arch = "x86_64")]
pub fn answer(tid: i32, result: u64) -> bool {
    const NO_CALL: u64 = u64::MAX;
    let pid = Pid::from_raw(tid);
    let Ok(mut registers) = ptrace::getregs(pid) else { return false };
    registers.orig_rax = NO_CALL;
    registers.rax = result;
    ptrace::setregs(pid, registers).is_ok()
}

/// Elsewhere it cannot be done.
#[cfg(not(target_arch = "x86_64"))]
pub fn answer(_tid: i32, _result: u64) -> bool {
    false
}

/// Puts a thread that is stopped at the return of a call which was left out back to where it is about to make that call. A
/// signal that waits for it comes first, as one does that arrives just before a call. False where that cannot be done.
#[cfg(target_arch = "x86_64")]
pub fn call_again(tid: i32, number: u64) -> bool {
    /// `syscall`, and `int 0x80` as well.
    const INSTRUCTION: u64 = 2;
    let pid = Pid::from_raw(tid);
    let Ok(mut registers) = ptrace::getregs(pid) else { return false };
    registers.rip -= INSTRUCTION;
    registers.rax = number;
    ptrace::setregs(pid, registers).is_ok()
}

/// Elsewhere it cannot be done.
#[cfg(not(target_arch = "x86_64"))]
pub fn call_again(_tid: i32, _number: u64) -> bool {
    false
}

/// Reads `N` bytes of a stopped thread's memory.
pub fn read<const N: usize>(tid: i32, address: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let remote = RemoteIoVec { base: address as usize, len: N };
    let read = process_vm_readv(Pid::from_raw(tid), &mut [IoSliceMut::new(&mut bytes)], &[remote]).ok()?;
    (read == N).then_some(bytes)
}
