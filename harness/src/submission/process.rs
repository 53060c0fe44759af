//! A started process, of which nothing is left when it is dropped, and those that it leaves behind.

use super::captured::Captured;
use crate::error::HarnessError;
use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{ffi::OsStr, os::fd::OwnedFd, path::Path};

/// A started process and what it printed. Dropped, it is killed with its whole group and reaped.
#[derive(Debug)]
pub struct Process {
    pub(super) pid: Pid,
    pub(super) start: Option<OwnedFd>,
    pub(super) reaped: bool,
    /// What it printed on its standard output.
    pub stdout: Captured,
    /// What it printed on its standard error.
    pub stderr: Captured,
}

impl Process {
    /// Its process id, which is also its group's.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets it become the program.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn go(&mut self) -> Result<(), HarnessError> {
        match self.start.take() {
            Some(start) => nix::unistd::write(start, &[1])
                .map(drop)
                .map_err(|e| HarnessError::system("let the server start", e)),
            None => Ok(()),
        }
    }

    /// Somebody else (the tracer) has reaped it.
    pub fn set_reaped(&mut self) {
        self.reaped = true;
    }

    /// Reaps it if it has ended; its status as a shell would say it.
    ///
    /// # Errors
    ///
    /// When it is not a child of the calling thread any more.
    pub fn try_wait(&mut self) -> Result<Option<WaitStatus>, HarnessError> {
        let status = waitpid(self.pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL))
            .map_err(|e| HarnessError::system("wait for the server (waitpid)", e))?;
        if status == WaitStatus::StillAlive {
            return Ok(None);
        }
        self.reaped = true;
        Ok(Some(status))
    }

    /// Kills it and everybody in its group.
    pub fn kill_group(&self) {
        // It may be gone already, which is as good; or it may have left its group.
        let _ = killpg(self.pid, Signal::SIGKILL);
        if !self.reaped {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }
}

impl Process {
    /// Kills it with its whole group and reaps it.
    pub fn end(&mut self) {
        self.start = None;
        self.kill_group();
        while !self.reaped {
            match waitpid(self.pid, Some(WaitPidFlag::__WALL)) {
                // A tracee may stop on its way out; it dies without being asked again.
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => self.reaped = true,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => self.reaped = true,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// From now on whoever loses its parent among the processes that this one started becomes a child of this one, and can be
/// found; see `PR_SET_CHILD_SUBREAPER` in prctl(2).
pub fn inherit_orphans() {
    // It cannot fail on a kernel of this century; if it does, orphans go to init.
    let _ = prctl::set_child_subreaper(true);
}

/// Kills whoever was inherited from a server that ran in this folder: its environment says so.
pub fn end_orphans_of(dir: &Path) {
    let mark = OsStr::new("TMPDIR");
    let is_of_server = |process: &procfs::process::Process| {
        process.stat().is_ok_and(|stat| stat.ppid == std::process::id() as i32)
            && process.environ().is_ok_and(|env| env.get(mark).is_some_and(|folder| folder == dir))
    };
    // Those that an orphan has started come to us when it is gone.
    while let Ok(processes) = procfs::process::all_processes() {
        let orphans: Vec<Pid> =
            processes.flatten().filter(is_of_server).map(|process| Pid::from_raw(process.pid)).collect();
        for orphan in &orphans {
            let _ = kill(*orphan, Signal::SIGKILL);
            let _ = waitpid(*orphan, Some(WaitPidFlag::__WALL));
        }
        if orphans.is_empty() {
            break;
        }
    }
}
