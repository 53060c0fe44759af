//! How long something took, and what others took of the machine meanwhile.

use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use serde::Serialize;

use crate::children::Child;
use crate::machine::BusyMoment;

/// How long something took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Timed {
    /// Wall time.
    pub seconds: f64,
    /// What other processes took of the processors, as a share of one.
    pub others: f64,
}

impl Timed {
    /// Takes the time of `act`, whose processes all have to end in it.
    pub fn of(act: impl FnOnce() -> Result<()>) -> Result<Timed> {
        let (busy, begin) = (BusyMoment::now(), Instant::now());
        act()?;
        let seconds = begin.elapsed().as_secs_f64();
        let others = BusyMoment::now().others_since(&busy, &[Pid::this()]).as_secs_f64() / seconds;
        Ok(Timed { seconds, others })
    }
}

/// Waits for the end of a process.
pub fn wait(child: &Child) -> Result<()> {
    waitid(Id::Pid(child.pid()), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
        .context("cannot wait for a process")?;
    Ok(())
}
