//! The two smaller servers: one whose worker goes from a task that was given up to the next one, and one without a limit.

use super::{
    Next,
    observe::{LONGEST, PATIENCE, answers},
};
use crate::{
    error::Trouble,
    probes::session::{Session, Setup},
    requirements::{
        Context,
        common::{Ended, TIMED_OUT, good, held_before_results, held_without_work, stuck},
    },
};
use std::time::{Duration, Instant};

/// The limit of the first; the longer ones are for a machine on which a task is given up before its worker is held.
const LIMITS: [Duration; 3] =
    [Duration::from_millis(40), Duration::from_millis(160), Duration::from_millis(640)];

/// Much longer than it takes to see that no timeout comes: [`PATIENCE`], and some seconds of processor time after that.
pub(super) const SPIN: &str = "spin 30000";

/// A server without a limit that sleeps with a deadline of its own may have a limit after all.
const UNLIMITED: Duration = Duration::from_millis(1200);

/// `None` if the first task was not given up, which is judged already, or the worker could not be held.
pub(super) fn next(context: &Context<'_>) -> Result<Option<Next>, Trouble> {
    for limit in LIMITS {
        let next = next_with(context, limit)?;
        if next.is_some() {
            return Ok(next);
        }
    }
    Ok(None)
}

fn next_with(context: &Context<'_>, limit: Duration) -> Result<Option<Next>, Trouble> {
    let setup = Setup { timeout_ms: Some(limit.as_millis() as u32), ..Setup::new(1, 16) };
    let Some(mut session) = Session::launch_unless_refused(context.program, &setup)? else { return Ok(None) };
    let id = session.connect()?;
    session.settle()?;
    session.tracer.arm_mid_task();
    session.clients.send(id, &[&good(6)[..], SPIN.as_bytes(), b"\n"].concat());
    session.until_patiently(LONGEST, PATIENCE, |session| session.clients.get(id).answers() > 0)?;
    let held = session.tracer.held();
    let held = !held.is_empty() && held_before_results(&held) && !held_without_work(&session);
    if !held || answers(&session, id, 0) != [TIMED_OUT] {
        return Ok(None);
    }
    let begun = Instant::now();
    session.tracer.release_all()?;
    let wait = session.until_patiently(LONGEST, PATIENCE, |session| session.clients.get(id).answers() > 1)?;
    let at = session.clients.get(id).answered_at().get(1).copied();
    Ok(Some(Next {
        answer: answers(&session, id, 1).into_iter().next(),
        after: at.unwrap_or_else(Instant::now).saturating_duration_since(begun),
        limit,
        end: Ended::from(&wait),
        doing: stuck(&wait),
    }))
}

/// A worker held with limit 0: what its client got. `None` if the 0 is refused.
pub(super) fn unlimited(context: &Context<'_>) -> Result<Option<Vec<Vec<u8>>>, Trouble> {
    let setup = Setup { timeout_ms: Some(0), ..Setup::new(1, 16) };
    let Some(mut session) = Session::launch_unless_refused(context.program, &setup)? else { return Ok(None) };
    let id = session.connect()?;
    session.settle()?;
    session.tracer.arm_mid_task();
    session.clients.send(id, &good(5));
    // Over at once where nobody sleeps with a deadline.
    session.until_patiently(UNLIMITED, UNLIMITED, |session| session.clients.get(id).answers() > 0)?;
    Ok(Some(answers(&session, id, 0)))
}
