//! The rounds of H1, each with its control.

use super::{
    ALSO_OTHERWISE, GOOD, Observation, PLANS, Plan, judge,
    stage::{Leaves, Newcomer, Stage},
};
use crate::{
    error::Trouble,
    model::{Finding, Outcome},
    probes::{clients::Link, session::Wait},
    requirements::{
        Context,
        common::{ANSWER_DEADLINE, held_tids},
        leaving::{Leaving, connection, next_held},
    },
};

/// More newcomers than numbers to be used again, at most: other numbers may be free as well.
const SURPLUS: usize = 8;

/// How often the number has been used again when a late result comes: the usual case, and those in which a count of one bit,
/// of a byte, or of anything between comes round (one number less where zero is left out).
const USES: [usize; 4] = [1, 2, 255, 256];

/// Every round; one that looks wrong is played again with clients that stay, and is the leaving's fault only if it is right
/// then.
pub(super) fn all(context: &Context<'_>) -> Result<Vec<Finding>, Trouble> {
    let mut stage = Stage::new(context)?;
    let mut findings = Vec::new();
    for (number, plan) in PLANS.iter().enumerate() {
        let seed = context.seed.wrapping_add(number as u64);
        let stays = Plan { all_stay: true, ..*plan };
        let seen = judge(&round(&mut stage, plan, seed)?);
        findings.push(confirmed(seen, || round(&mut Stage::new(context)?, &stays, seed))?);
        if findings.iter().any(|finding| finding.outcome == Outcome::Fail) {
            return Ok(findings);
        }
    }
    let seen = judge(&many_uses(&mut stage, false)?);
    findings.push(confirmed(seen, || many_uses(&mut Stage::new(context)?, true))?);
    Ok(findings)
}

/// What fails also when everybody stays is not this requirement's.
fn confirmed(
    seen: Finding,
    control: impl FnOnce() -> Result<Observation, Trouble>,
) -> Result<Finding, Trouble> {
    if seen.outcome != Outcome::Fail || judge(&control()?).outcome != Outcome::Fail {
        return Ok(seen);
    }
    Ok(Finding::pass(seen.expected, ALSO_OTHERWISE))
}

fn round(stage: &mut Stage<'_>, plan: &Plan, seed: u64) -> Result<Observation, Trouble> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut leavers = stage.ask_and_hold(plan.leavers)?;
    let places = stage.session.tracer.held();
    if !plan.all_stay {
        stage.leave(&leavers)?;
    }
    if plan.first_answered {
        for tid in leavers.iter().filter_map(|leaver| leaver.workers.first()) {
            stage.session.tracer.release(*tid)?;
            stage.session.settle()?;
        }
    }
    stage.look(&mut leavers);
    let mut newcomers = newcomers(stage, plan.strangers, &leavers)?;
    for newcomer in newcomers.iter_mut().take(plan.strangers) {
        for _ in 0..plan.in_hand {
            let before = held_tids(&stage.session);
            stage.ask(newcomer);
            next_held(&mut stage.session, &before)?;
        }
    }
    stage.session.settle()?;
    let mut order = held_tids(&stage.session);
    random.shuffle(&mut order);
    for tid in order {
        stage.session.tracer.release(tid)?;
        stage.session.settle()?;
        newcomers.iter_mut().for_each(|newcomer| newcomer.note(&stage.session));
    }
    let wait = stage.question_all(&mut newcomers)?;
    stage.observation(leavers, newcomers, places, &wait)
}

/// Newcomers connect until every number that is free has been used again, or until it will not be.
fn newcomers(stage: &mut Stage<'_>, least: usize, leavers: &[Leaves]) -> Result<Vec<Newcomer>, Trouble> {
    let closed = leavers.iter().filter(|leaver| leaver.seen.closed);
    let wanted: Vec<i32> = closed.flat_map(|leaver| leaver.seen.descriptors.clone()).collect();
    let mut here: Vec<Newcomer> = Vec::new();
    let most = wanted.len() + SURPLUS;
    let has =
        |fd: &i32, here: &[Newcomer]| here.iter().any(|newcomer| newcomer.seen.descriptors.contains(fd));
    while here.len() < least || (here.len() < most && !wanted.iter().all(|fd| has(fd, &here))) {
        here.push(stage.newcomer(here.len(), &wanted)?);
    }
    Ok(here)
}

/// One client leaves four tasks behind, and its number is used again and again, a task coming back now and then.
fn many_uses(stage: &mut Stage<'_>, all_stay: bool) -> Result<Observation, Trouble> {
    let mut leavers = stage.ask_and_hold(&[(&[GOOD; USES.len()], Leaving::Reset)])?;
    let places = stage.session.tracer.held();
    // The newcomers' questions are answered by whoever is free by then.
    stage.session.tracer.disarm();
    if !all_stay {
        stage.leave(&leavers)?;
    }
    stage.look(&mut leavers);
    let mut late = leavers[0].workers.clone().into_iter();
    let mut strangers = Vec::new();
    let mut wait = Wait::Reached;
    // Who keeps the number has no stranger on it; one newcomer is enough to see that.
    let last = if leavers[0].seen.closed { USES[USES.len() - 1] } else { 1 };
    for user in 1..=last {
        if !USES.contains(&user) {
            if pass_through(stage)? {
                continue;
            }
            break;
        }
        let mut newcomer = stage.newcomer(user - 1, &leavers[0].seen.descriptors)?;
        if let Some(tid) = late.next() {
            stage.session.tracer.release(tid)?;
        }
        stage.session.settle()?;
        newcomer.note(&stage.session);
        // As many questions as there are late results: what those left behind may fit one of them only.
        wait = stage.question(&mut newcomer, USES.len())?;
        let is_wrong = newcomer.seen.first_wrong().is_some();
        stage.session.clients.close(newcomer.id);
        strangers.push(newcomer);
        if is_wrong || !wait.reached() {
            break;
        }
        stage.session.settle()?;
    }
    stage.session.tracer.release_all()?;
    stage.observation(leavers, strangers, places, &wait)
}

/// Somebody connects and closes at once; whether the server has closed its side too.
fn pass_through(stage: &mut Stage<'_>) -> Result<bool, Trouble> {
    let id = stage.session.connect()?;
    if stage.session.clients.get(id).link() == Link::Refused {
        return Ok(false);
    }
    let connection = connection(&stage.session, id);
    stage.session.clients.close(id);
    let wait = stage.session.until(ANSWER_DEADLINE, |session| {
        connection.is_some_and(|id| session.tracer.ledger().object(id).open == 0)
    })?;
    Ok(wait.reached())
}
