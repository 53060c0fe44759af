//! SIGTERM, and how the server ended.

use super::{WORKERS, round::idle_clients};
use crate::{
    error::Trouble,
    probes::{
        session::{Session, Wait, signal_name},
        tracer::End,
    },
    requirements::common::good,
};
use nix::sys::signal::Signal;
use std::time::Duration;

/// A server that waits for a time and then ends is slow, not stuck.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// Tasks that wait behind the held workers.
const QUEUED: usize = 4;

/// How a server that got SIGTERM ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited.
    Exited,
    /// It was killed by the SIGTERM, which it did not handle.
    Killed,
    /// It was killed by another signal; its name.
    Crashed(String),
    /// It does not end, also when its clients have gone; what its threads do.
    Never(String),
    /// It was still at work at the harness's deadline; what its threads do.
    NotYet(String),
}

impl Ending {
    /// What was in the way of an end at which something could be looked at.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Crashed(how) => Some(format!("it crashed at SIGTERM ({how})")),
            Self::Never(_) => Some("it does not exit on SIGTERM".to_owned()),
            Self::Exited | Self::Killed | Self::NotYet(_) => None,
        }
    }
}

/// Lets a few clients connect that ask nothing more.
///
/// # Errors
///
/// As [`Session::until`].
pub fn with_clients(session: &mut Session) -> Result<(), Trouble> {
    idle_clients(session)?;
    Ok(())
}

/// Lets clients connect and ask, until tasks are queued behind workers that are held.
///
/// # Errors
///
/// As [`Session::until`].
pub fn tasks_queued(session: &mut Session) -> Result<(), Trouble> {
    let ids = session.connect_many(WORKERS + QUEUED)?;
    session.settle()?;
    session.tracer.arm_mid_task();
    for (number, id) in ids.iter().enumerate() {
        session.clients.send(*id, &good(number));
    }
    session.settle()?;
    // Who is held stays held, but whatever SIGTERM wakes runs free.
    session.tracer.disarm();
    Ok(())
}

/// Sends SIGTERM, lets go who is held, and waits for the end. A server that waits for its clients sees them leave.
///
/// # Errors
///
/// As [`Session::until`].
pub fn end(session: &mut Session) -> Result<Ending, Trouble> {
    let alive = session.tracer.end().is_none();
    session.signal(Signal::SIGTERM)?;
    if !session.tracer.held().is_empty() {
        session.settle()?;
        session.tracer.release_all()?;
    }
    let ended = |session: &mut Session| session.tracer.end().is_some();
    let mut wait = session.until_patiently(END_DEADLINE, END_DEADLINE, ended)?;
    if matches!(wait, Wait::Stalled(_) | Wait::Busy(_)) {
        let ids: Vec<_> = session.clients.iter().map(|(id, _)| id).collect();
        for id in ids {
            session.clients.close(id);
        }
        wait = session.until_patiently(END_DEADLINE, END_DEADLINE, ended)?;
    }
    Ok(match (session.tracer.end(), wait) {
        (Some((End::Status(_), _)), _) if alive => Ending::Exited,
        (Some((End::Signal(signal), _)), _) if alive && signal == Signal::SIGTERM as i32 => Ending::Killed,
        (Some((End::Signal(signal), _)), _) => Ending::Crashed(signal_name(signal).to_owned()),
        (Some((End::Status(status), _)), _) => Ending::Crashed(format!("exit status {status}")),
        (None, Wait::Busy(snapshot)) => Ending::NotYet(snapshot.describe()),
        (None, Wait::Stalled(snapshot)) => Ending::Never(snapshot.describe()),
        (None, _) => Ending::Never(String::new()),
    })
}
