//! The seccomp filter under which a traced server runs: the calls that matter stop the thread, all others run free.

use super::{guard, syscalls::stop_numbers};
use crate::error::HarnessError;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch};
use std::collections::BTreeMap;

/// The filter as a program for the kernel; see seccomp(2), `SECCOMP_RET_TRACE`.
///
/// # Errors
///
/// On an architecture for which no filter can be written.
pub fn filter() -> Result<BpfProgram, HarnessError> {
    let rules = stop_numbers().map(|number| (number, Vec::new())).chain(guard::rules()).collect();
    build(rules)
}

/// The filter for a server that is not to be watched but only kept from harming others.
///
/// # Errors
///
/// As [`filter`].
pub fn guard_only() -> Result<BpfProgram, HarnessError> {
    build(guard::rules().into_iter().collect())
}

fn build(rules: BTreeMap<i64, Vec<SeccompRule>>) -> Result<BpfProgram, HarnessError> {
    let arch: TargetArch = std::env::consts::ARCH
        .try_into()
        .map_err(|e| HarnessError::Broken(format!("the tracer does not run on this architecture: {e}")))?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trace(0), arch)
        .and_then(BpfProgram::try_from)
        .map_err(|e| HarnessError::Broken(format!("the seccomp filter: {e}")))
}
