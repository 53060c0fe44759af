//! Clients that shut down their sending side, and how they fare.

use super::{CASES, Case, Observation, Tail, When, judge};
use crate::{
    error::Trouble,
    model::Outcome,
    probes::{
        clients::{ClientId, Link},
        session::{Session, Setup},
        tracer::ledger::ObjectId,
    },
    requirements::{
        Context,
        common::{Ended, good, release_in_order, stuck, wait_for_answers},
        deaf::{ask_until_stuck, come},
        idle::{Rest, rest, sleeps},
        leaving::{closed_by, connection},
    },
};

const WORKERS: usize = 2;

/// What a client that does not read asks in one go: so few that the server still reads when it cannot send any more, and
/// finds the end of the stream.
const FEW: usize = 16;

/// How many requests are asked alone first, to know their answers.
const ALONE: usize = 5;

/// Every case until one is not passed; that one is gone through again without a half-close.
pub(super) fn all(context: &Context<'_>) -> Result<(Vec<Observation>, Option<Observation>), Trouble> {
    let mut seen = Vec::new();
    let mut session = launch(context)?;
    let alone = alone(&mut session)?;
    let mut random = fastrand::Rng::with_seed(context.seed);
    for case in CASES {
        let observation = observe(&mut session, &mut random, case, &alone, true)?;
        let outcome = judge(&observation).outcome;
        seen.push(observation);
        if outcome == Outcome::Fail {
            let mut random = fastrand::Rng::with_seed(context.seed);
            let otherwise = observe(&mut launch(context)?, &mut random, case, &alone, false)?;
            return Ok((seen, Some(otherwise)));
        }
        if outcome != Outcome::Pass {
            break;
        }
    }
    Ok((seen, None))
}

fn launch(context: &Context<'_>) -> Result<Session, Trouble> {
    Session::launch(context.program, &Setup::new(WORKERS, 64))
}

fn alone(session: &mut Session) -> Result<Vec<Vec<u8>>, Trouble> {
    let id = session.connect()?;
    let mut answers = Vec::new();
    for number in 0..ALONE {
        match session.ask(id, &good(number))? {
            Ok(answer) => answers.push(answer),
            Err(_) => break,
        }
    }
    session.clients.close(id);
    session.settle()?;
    Ok(answers)
}

fn observe(
    session: &mut Session,
    random: &mut fastrand::Rng,
    case: &Case,
    alone: &[Vec<u8>],
    half_close: bool,
) -> Result<Observation, Trouble> {
    if case.when == When::Unread {
        return unread(session, half_close);
    }
    let id = session.connect()?;
    let connection = connection(session, id);
    session.settle()?;
    if case.when != When::AtOnce {
        session.tracer.arm_mid_task();
    }
    let mut text: Vec<u8> = (0..case.requests).flat_map(good).collect();
    text.extend(case.tail.bytes());
    session.clients.send(id, &text);
    let mut spins = None;
    if case.when == When::AtOnce {
        finish(session, id, half_close);
    }
    let slept = sleeps(session)?;
    let held = session.tracer.held();
    // What the held workers leave in the queue is for them too.
    session.tracer.disarm();
    let mut order: Vec<i32> = held.iter().map(|(tid, _)| *tid).collect();
    random.shuffle(&mut order);
    match case.when {
        When::AtOnce | When::Unread => {}
        When::MidTask => {
            finish(session, id, half_close);
            if slept && let Rest::Spins(doing) = rest(session)? {
                spins = Some(doing);
            }
            release_in_order(session, &order)?;
        }
        When::JustBeforeResults | When::JustAfterResults => {
            // Somebody comes, and the loop is held with that in its hand.
            session.tracer.arm_main();
            let visitor = session.clients.connect()?;
            session.settle()?;
            if case.when == When::JustBeforeResults {
                finish(session, id, half_close);
                session.settle()?;
            }
            release_in_order(session, &order)?;
            if case.when == When::JustAfterResults {
                finish(session, id, half_close);
                session.settle()?;
            }
            session.tracer.release_all()?;
            session.settle()?;
            session.clients.close(visitor);
        }
    }
    session.tracer.release_all()?;
    let alone = alone.iter().take(case.requests).cloned().collect();
    let before = Observation { held, alone, spins, ..nothing_yet(*case) };
    end(session, id, connection, before)
}

/// A client that does not read at first asks more than fits into the buffers, and shuts down its sending side.
fn unread(session: &mut Session, half_close: bool) -> Result<Observation, Trouble> {
    let text = good(0);
    let id = come(session, &text, FEW)?;
    ask_until_stuck(session, id, &text, FEW)?;
    let connection = connection(session, id);
    let slept = sleeps(session)?;
    finish(session, id, half_close);
    let mut spins = None;
    if slept && let Rest::Spins(doing) = rest(session)? {
        spins = Some(doing);
    }
    session.settle()?;
    let requests = session.clients.get(id).queued() / text.len();
    session.clients.hear(id);
    let case = Case { requests, when: When::Unread, tail: Tail::None };
    end(session, id, connection, Observation { spins, ..nothing_yet(case) })
}

fn nothing_yet(case: Case) -> Observation {
    Observation {
        case,
        held: Vec::new(),
        alone: Vec::new(),
        got: Vec::new(),
        link: Link::Open,
        closed_by: String::new(),
        sent_by: String::new(),
        spins: None,
        end: Ended::Reached,
        stuck: String::new(),
        death: None,
    }
}

/// What the client gets in the end, on top of what was seen before.
fn end(
    session: &mut Session,
    id: ClientId,
    connection: Option<ObjectId>,
    before: Observation,
) -> Result<Observation, Trouble> {
    let answers = before.case.requests + usize::from(before.case.tail.answer().is_some());
    let wait = wait_for_answers(session, &[id], answers)?;
    // A line too many may still come.
    session.settle()?;
    let client = session.clients.get(id);
    let observation = Observation {
        got: client.lines().iter().map(|line| line.to_vec()).collect(),
        link: client.link(),
        closed_by: closed_by(session, connection).unwrap_or_default(),
        sent_by: session.sent_by(id),
        end: Ended::from(&wait),
        stuck: stuck(&wait),
        death: session.death(),
        ..before
    };
    session.clients.close(id);
    session.settle()?;
    Ok(observation)
}

fn finish(session: &mut Session, id: ClientId, half_close: bool) {
    if half_close {
        session.clients.finish(id);
    }
}
