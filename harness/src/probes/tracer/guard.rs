//! The guard: a server may signal, trace and limit itself and what it started, and nobody else.
//!
//! A submission runs with the rights of whoever grades it, so `kill(getppid(), SIGKILL)` would reach the harness. The calls
//! by which one process lays hands on another stop at the filter, and those that aim at a stranger are refused (`EPERM`).

use super::{
    Tracer,
    ptrace::{self, Entry},
};
use libc as c;
use nix::unistd::{Pid, getpgid};
use seccompiler::{SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition, SeccompRule};

/// A call that laid hands on a process which the server did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trespass {
    /// The call, such as `kill(4711, SIGKILL)`.
    pub what: String,
    /// Who made it, and where.
    pub place: String,
}

/// What a guarded call is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Aim {
    /// Send this signal to a process or a thread, as kill(2) takes them: 0 is the caller's group, below 0 other groups.
    Signal(i64, u64),
    /// Read, change or limit this process.
    Process(i64),
    /// Move a process into this group.
    Group(i64),
    /// Make a thread or process that no tracer sees.
    Hide,
    /// Nothing that concerns others.
    Own,
}

/// The guarded calls and what must be so for them to stop the thread; without rules they always do.
pub(super) fn rules() -> Vec<(i64, Vec<SeccompRule>)> {
    let always = [
        c::SYS_kill,
        c::SYS_tkill,
        c::SYS_tgkill,
        c::SYS_rt_sigqueueinfo,
        c::SYS_rt_tgsigqueueinfo,
        c::SYS_pidfd_send_signal,
        c::SYS_setpgid,
        c::SYS_ptrace,
        c::SYS_process_vm_writev,
        c::SYS_clone3,
    ];
    let when = |condition: Result<SeccompCondition, _>| {
        // The conditions are constants: an argument number below 6 and a comparison that exists.
        let condition = condition.expect("a valid condition");
        vec![SeccompRule::new(vec![condition]).expect("one condition")]
    };
    let untraced = c::CLONE_UNTRACED as u64;
    let hidden = SeccompCondition::new(0, Length::Qword, Compare::MaskedEq(untraced), untraced);
    let foreign = SeccompCondition::new(0, Length::Dword, Compare::Ne, 0);
    let mut rules: Vec<(i64, Vec<SeccompRule>)> =
        always.into_iter().map(|number| (number, Vec::new())).collect();
    rules.push((c::SYS_clone, when(hidden)));
    rules.push((c::SYS_prlimit64, when(foreign)));
    rules
}

/// Whether this is a call that the guard looks at.
pub(super) fn is_guarded(number: u64) -> bool {
    name(number as i64).is_some()
}

fn name(number: i64) -> Option<&'static str> {
    Some(match number {
        c::SYS_kill => "kill",
        c::SYS_tkill => "tkill",
        c::SYS_tgkill => "tgkill",
        c::SYS_rt_sigqueueinfo => "rt_sigqueueinfo",
        c::SYS_rt_tgsigqueueinfo => "rt_tgsigqueueinfo",
        c::SYS_pidfd_send_signal => "pidfd_send_signal",
        c::SYS_setpgid => "setpgid",
        c::SYS_ptrace => "ptrace",
        c::SYS_process_vm_writev => "process_vm_writev",
        c::SYS_prlimit64 => "prlimit64",
        c::SYS_clone => "clone",
        c::SYS_clone3 => "clone3",
        _ => return None,
    })
}

fn aim(entry: &Entry, process_behind: impl Fn(i32) -> i64, flags_at: impl Fn(u64) -> u64) -> Aim {
    let args = &entry.args;
    // Process ids are 32 bits wide; what stands above them means nothing.
    let id = |at: usize| i64::from(args[at] as i32);
    match entry.number as i64 {
        c::SYS_kill | c::SYS_rt_sigqueueinfo | c::SYS_tkill => Aim::Signal(id(0), args[1]),
        c::SYS_tgkill | c::SYS_rt_tgsigqueueinfo => Aim::Signal(id(1), args[2]),
        c::SYS_pidfd_send_signal => Aim::Signal(process_behind(args[0] as i32), args[1]),
        c::SYS_setpgid => Aim::Group(id(1)),
        c::SYS_ptrace if matches!(args[0] as u32, c::PTRACE_ATTACH | c::PTRACE_SEIZE) => Aim::Process(id(1)),
        c::SYS_process_vm_writev => Aim::Process(id(0)),
        c::SYS_prlimit64 if args[2] != 0 => Aim::Process(id(0)),
        c::SYS_clone => Aim::Hide,
        c::SYS_clone3 if flags_at(args[0]) & c::CLONE_UNTRACED as u64 != 0 => Aim::Hide,
        _ => Aim::Own,
    }
}

impl Tracer {
    /// Looks at a guarded call; true if it was refused, so that the thread goes on with `EPERM`.
    pub(super) fn guard(&mut self, tid: i32, entry: &Entry) -> bool {
        let process_behind = |fd: i32| crate::probes::proc::process_of_pidfd(tid, fd).map_or(-1, i64::from);
        let flags_at = |address: u64| ptrace::read(tid, address).map_or(0, u64::from_ne_bytes);
        let aim = aim(entry, process_behind, flags_at);
        let group = || getpgid(Some(Pid::from_raw(tid))).map_or(-1, |group| i64::from(group.as_raw()));
        let is_own = |id: i64| i32::try_from(id).is_ok_and(|id| self.threads.contains_key(&id));
        let signalled = match aim {
            // Only a question whether it exists.
            Aim::Signal(_, 0) | Aim::Own => return false,
            Aim::Signal(0, _) => group(),
            Aim::Signal(id, _) if id < 0 => -id,
            Aim::Signal(id, _) | Aim::Process(id) => id,
            Aim::Group(0) => return false,
            Aim::Group(id) => id,
            Aim::Hide => -1,
        };
        // `kill(-1)` means everybody, and there is no process 1 of the server's.
        if signalled != 1 && is_own(signalled) {
            return false;
        }
        let call = name(entry.number as i64).unwrap_or("a call");
        if let Aim::Signal(id, signal) = aim {
            let signal = crate::probes::session::signal_name(signal as i32);
            let caller = self.origin.as_ref().and_then(|origin| origin.caller(tid, entry.stack));
            self.trespass.get_or_insert(Trespass {
                what: format!("{call}({id}, {signal})"),
                place: format!("{}{}", self.name(tid), self.at_place(caller)),
            });
        }
        ptrace::refuse(tid);
        true
    }

    /// The first signal that the server aimed at a process which it did not start. It was refused.
    pub fn trespass(&self) -> Option<&Trespass> {
        self.trespass.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aimed(number: i64, args: [u64; 6]) -> Aim {
        let entry = Entry { number: number as u64, args, stack: 0 };
        aim(&entry, |fd| i64::from(fd) + 1000, |_| c::CLONE_UNTRACED as u64)
    }

    #[test]
    fn each_call_is_read_by_its_own_arguments() {
        assert_eq!(aimed(c::SYS_kill, [7, 9, 0, 0, 0, 0]), Aim::Signal(7, 9));
        assert_eq!(aimed(c::SYS_kill, [u64::from(u32::MAX), 15, 0, 0, 0, 0]), Aim::Signal(-1, 15));
        assert_eq!(aimed(c::SYS_tgkill, [7, 8, 6, 0, 0, 0]), Aim::Signal(8, 6));
        assert_eq!(aimed(c::SYS_pidfd_send_signal, [4, 9, 0, 0, 0, 0]), Aim::Signal(1004, 9));
        assert_eq!(aimed(c::SYS_setpgid, [0, 55, 0, 0, 0, 0]), Aim::Group(55));
        assert_eq!(aimed(c::SYS_prlimit64, [7, 0, 0, 1, 0, 0]), Aim::Own, "only a question");
        assert_eq!(aimed(c::SYS_prlimit64, [7, 0, 1, 0, 0, 0]), Aim::Process(7));
        assert_eq!(aimed(c::SYS_ptrace, [0, 0, 0, 0, 0, 0]), Aim::Own, "PTRACE_TRACEME");
        assert_eq!(aimed(c::SYS_clone3, [1, 0, 0, 0, 0, 0]), Aim::Hide);
    }

    #[test]
    fn every_rule_is_for_a_call_that_the_guard_knows() {
        assert!(rules().iter().all(|(number, _)| is_guarded(*number as u64)));
    }
}
