//! What no server may do to anybody else, whether or not a tracer looks on.
//!
//! A submission runs with the rights of whoever grades it. Under the tracer a guard looks at every signal; a server that runs
//! all by itself has only this: a seccomp filter (seccomp(2)) by which the kernel itself answers `EPERM`, and no capability
//! (capabilities(7)) over other processes, which it would have if root grades. This is against accidents and pranks; whoever
//! expects worse grades in a container or a virtual machine.

#![allow(unsafe_code)]

pub mod network;

use self::network::Network;
use crate::error::HarnessError;
use libc as c;
use nix::{errno::Errno, sys::prctl::set_dumpable, unistd::getpid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// Stands in a filter for the id of the process that it is for, which is known only after the fork. No process has so high an
/// id: there are at most 2^22 (proc(5), `pid_max`).
const OWN: u32 = 0x7fff_fff0;

/// Stands for the highest id that a thread of that process may have: they come shortly behind its own.
const NEARBY: u32 = OWN + (1 << 16);

/// From here on, system call numbers mean another way of calling on x86_64 (x32), for which no rule is written.
const FOREIGN_NUMBERS: u32 = 0x4000_0000;

/// Ways to say who gets the signals of a descriptor, besides `F_SETOWN`: fcntl(2), and ioctls of `asm-generic/sockios.h`.
const F_SETOWN_EX: u32 = 15;
const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;

/// Capabilities over other processes and the machine, with their numbers in `linux/capability.h`: kill, linux_immutable,
/// net_admin, sys_module, sys_rawio, sys_ptrace, sys_admin, sys_boot, sys_resource, sys_time, perfmon, bpf,
/// checkpoint_restore.
const CAPABILITIES: [c::c_ulong; 13] = [5, 9, 12, 16, 17, 19, 21, 22, 24, 25, 38, 39, 40];

/// The walls around a process, made before the fork and put up after it.
#[derive(Debug)]
pub struct Sandbox {
    filter: BpfProgram,
    network: Option<Network>,
}

impl Sandbox {
    /// For a server that a tracer guards; if not, it may also signal and limit nobody but itself. Perhaps with a network of its
    /// own, where that [is possible](network::is_possible).
    ///
    /// # Errors
    ///
    /// On an architecture for which no filter can be written.
    pub fn new(guarded: bool, own_network: bool) -> Result<Self, HarnessError> {
        let broken = |e: &dyn std::fmt::Display| HarnessError::Broken(format!("the sandbox's filter: {e}"));
        let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(|e| broken(&e))?;
        let mut rules = owner_rules();
        if !guarded {
            rules.extend(guarded_rules());
        }
        let refuse = SeccompAction::Errno(c::EPERM as u32);
        let program = SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, refuse, arch)
            .and_then(BpfProgram::try_from)
            .map_err(|e| broken(&e))?;
        Ok(Self {
            filter: no_foreign_numbers().into_iter().chain(program).collect(),
            network: own_network.then(Network::new),
        })
    }

    /// Puts the calling process into it, for good. Async-signal-safe: it makes system calls and nothing else.
    ///
    /// # Errors
    ///
    /// When the kernel does not take the filter, or gives no network.
    pub fn enter(&mut self) -> Result<(), Errno> {
        if let Some(network) = &self.network {
            network.enter()?;
        }
        // What was forked off a harness that shields itself is shielded as well, also from the tracer.
        set_dumpable(true)?;
        for capability in CAPABILITIES {
            // SAFETY: integer arguments only. Refused to whoever is not root, and has none of them anyhow.
            unsafe { c::prctl(c::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        let own = getpid().as_raw() as u32;
        for instruction in &mut self.filter {
            if matches!(instruction.k, OWN | NEARBY) {
                instruction.k = instruction.k - OWN + own;
            }
        }
        apply_filter(&self.filter).map_err(|_| Errno::EPERM)
    }
}

/// Makes the memory of this process unreadable and unwritable to others of the same user, as proc_pid_mem(5) has it for a
/// process that is not dumpable.
///
/// # Errors
///
/// None on a system that has prctl(2).
pub fn shield() -> Result<(), HarnessError> {
    set_dumpable(false)
        .map_err(|e| HarnessError::system("shield the memory of this process", std::io::Error::from(e)))
}

/// A call, and what must be so for it to be refused: one of these rules, and all conditions of that. Without rules: always.
type Refused = (i64, Vec<SeccompRule>);

/// Calls by which a process has the kernel send signals to an owner of its choice.
fn owner_rules() -> Vec<Refused> {
    let to_other = rule(&[is(1, c::F_SETOWN as u32), is_not(2, 0), is_not(2, OWN)]);
    vec![
        (c::SYS_fcntl, vec![to_other, rule(&[is(1, F_SETOWN_EX)])]),
        (c::SYS_ioctl, vec![rule(&[is(1, FIOSETOWN)]), rule(&[is(1, SIOCSPGRP)])]),
    ]
}

/// Calls that a tracer's guard looks at: here they may be aimed at the caller only.
fn guarded_rules() -> Vec<Refused> {
    let other = |at| vec![rule(&[is_not(at, 0), is_not(at, OWN)])];
    vec![
        (c::SYS_kill, other(0)),
        (c::SYS_rt_sigqueueinfo, other(0)),
        (c::SYS_tgkill, other(0)),
        (c::SYS_rt_tgsigqueueinfo, other(0)),
        (c::SYS_tkill, vec![rule(&[compare(0, Compare::Lt, OWN)]), rule(&[compare(0, Compare::Gt, NEARBY)])]),
        (c::SYS_pidfd_send_signal, Vec::new()),
        (c::SYS_setpgid, other(1)),
        (c::SYS_prlimit64, other(0)),
        (c::SYS_ptrace, Vec::new()),
        (c::SYS_process_vm_writev, Vec::new()),
    ]
}

fn is(argument: u8, value: u32) -> SeccompCondition {
    compare(argument, Compare::Eq, value)
}

fn is_not(argument: u8, value: u32) -> SeccompCondition {
    compare(argument, Compare::Ne, value)
}

fn compare(argument: u8, how: Compare, value: u32) -> SeccompCondition {
    // The kernel takes ids and requests as 32 bits; what stands above them means nothing.
    SeccompCondition::new(argument, Length::Dword, how, value.into()).expect("an argument number below 6")
}

fn rule(conditions: &[SeccompCondition]) -> SeccompRule {
    SeccompRule::new(conditions.to_vec()).expect("at least one condition")
}

/// The beginning of the filter: a number of the other way of calling is answered `ENOSYS`, as by a kernel without it.
fn no_foreign_numbers() -> [sock_filter; 3] {
    let statement = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let jump_unless = sock_filter { jf: 1, ..statement(c::BPF_JMP | c::BPF_JGE | c::BPF_K, FOREIGN_NUMBERS) };
    [
        statement(c::BPF_LD | c::BPF_W | c::BPF_ABS, 0),
        jump_unless,
        statement(c::BPF_RET | c::BPF_K, c::SECCOMP_RET_ERRNO | c::ENOSYS as u32),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_its_process_only_when_it_is_entered() {
        for (guarded, places) in [(true, 1), (false, 8)] {
            let sandbox = Sandbox::new(guarded, false).unwrap();
            let own = sandbox.filter.iter().filter(|instruction| instruction.k == OWN).count();
            assert_eq!(own, places, "guarded: {guarded}");
        }
    }
}
