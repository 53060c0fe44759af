//! Asks STATS at moments at which the right numbers are known.

use super::{Asked, Between, Observation, Unheld, WAITING, WORKERS, line::Line};
use crate::{
    error::Trouble,
    probes::{
        clients::ClientId,
        machine::stretched,
        session::{Session, Setup},
    },
    requirements::{
        Context,
        common::{
            ANSWER_DEADLINE, LONGEST_LINE, REJECTED, TIMED_OUT, TOO_LONG, bad, good, held_before_results,
            held_tids, held_without_work, is_result, mixed, release_in_order, stuck, wait_for_answers,
            worker_turns,
        },
    },
};
use std::time::Duration;

const CAPACITY: usize = 64;

/// Requests that are not STATS.
const LOOK_ALIKES: [&str; 2] = ["STATSX", "stats"];

/// Workers that have used so much processor time since are in the middle of a `spin`.
const SPINS_BY_NOW: Duration = Duration::from_millis(20);
const SPIN: &[u8] = b"spin 1500\n";

/// The limit with which a timeout is made, where the server takes one.
const LIMIT_MS: u32 = 60;

pub(super) fn observe(context: &Context<'_>) -> Result<Observation, Trouble> {
    let mut o = Observation {
        asked: Vec::new(),
        unheld: None,
        between: None,
        spinning: None,
        look_alike: None,
        spoilt: None,
    };
    let mut session = Session::launch(context.program, &Setup::new(WORKERS, CAPACITY))?;
    let asks = session.connect()?;
    // The request by which it showed that it is ready was its first task.
    let mut count = Line { depth: 0, active: 0, completed: 1, errors: 0 };
    ask(&mut session, asks, "on a fresh server", vec![count], &mut o)?;
    if o.asked[0].answer.as_deref().is_none_or(|answer| !answer.starts_with(b"STATS ")) {
        return Ok(o);
    }
    ask_with(&mut session, asks, b"STATS\r\n", "asked a second time, as `STATS\\r\\n`", vec![count], &mut o)?;
    if o.asked[1].answer.as_deref().is_none_or(|answer| !answer.starts_with(b"STATS ")) {
        return Ok(o);
    }
    if !look_alikes(&mut session, asks, &mut count, &mut o)? {
        return Ok(o);
    }
    if !hold(&mut session, asks, &mut count, &mut o)? {
        return Ok(o);
    }
    leave(&mut session, asks, count, &mut o)?;
    if lags(&o) {
        o.spinning = spin(&mut session, asks)?;
    }
    // One server at a time.
    drop(session);
    time_out(context, &mut o)?;
    Ok(o)
}

/// Text like any other that looks like STATS. False if there is no sense in going on.
fn look_alikes(
    session: &mut Session,
    asks: ClientId,
    count: &mut Line,
    o: &mut Observation,
) -> Result<bool, Trouble> {
    for text in LOOK_ALIKES {
        let Ok(answer) = session.ask(asks, format!("{text}\n").as_bytes())? else {
            o.spoilt = Some(format!("`{text}` was not answered"));
            return Ok(false);
        };
        if answer.starts_with(b"STATS ") {
            o.look_alike = Some(text);
            return Ok(false);
        }
        *if is_result(&answer) { &mut count.completed } else { &mut count.errors } += 1;
    }
    Ok(true)
}

/// A line that is too long never becomes a task.
fn too_long(
    session: &mut Session,
    asks: ClientId,
    right: Vec<Line>,
    o: &mut Observation,
) -> Result<(), Trouble> {
    let long = session.connect()?;
    session.clients.send(long, &[b'x'; LONGEST_LINE + 1]);
    wait_for_answers(session, &[long], 1)?;
    let refused = session.clients.get(long).lines() == [TOO_LONG];
    session.clients.close(long);
    // What else may have come is for H5 to judge.
    if refused {
        ask(session, asks, "after a line that was too long", right, o)?;
    }
    Ok(())
}

/// Asks and writes down; true if an answer came.
fn ask(
    session: &mut Session,
    id: ClientId,
    when: &str,
    right: Vec<Line>,
    o: &mut Observation,
) -> Result<bool, Trouble> {
    ask_with(session, id, b"STATS\n", when, right, o)
}

fn ask_with(
    session: &mut Session,
    id: ClientId,
    request: &[u8],
    when: &str,
    right: Vec<Line>,
    o: &mut Observation,
) -> Result<bool, Trouble> {
    // A result that was handed back and not collected yet counts nowhere.
    session.settle()?;
    let answered = session.ask(id, request)?;
    let (answer, doing) = match answered {
        Ok(line) => (Some(line), String::new()),
        Err(wait) => (None, stuck(&wait)),
    };
    let came = answer.is_some();
    o.asked.push(Asked { when: when.to_owned(), answer, doing, right });
    Ok(came)
}

/// All workers held, more tasks waiting; then all let go. False if there is no sense in going on.
fn hold(
    session: &mut Session,
    asks: ClientId,
    count: &mut Line,
    o: &mut Observation,
) -> Result<bool, Trouble> {
    let ids = session.connect_many(WORKERS + WAITING)?;
    session.settle()?;
    let turns = worker_turns(session);
    session.tracer.arm_mid_task();
    for (number, id) in ids.iter().enumerate() {
        session.clients.send(*id, &mixed(number));
    }
    session.settle()?;
    let held = session.tracer.held();
    let pool = session.tracer.alive_workers().count() == WORKERS && worker_turns(session) != turns;
    if held.len() != WORKERS || !held_before_results(&held) || held_without_work(session) {
        o.unheld = Some(if pool { Unheld::Invisible } else { Unheld::NoPool });
        return Ok(false);
    }
    if ids.iter().any(|id| session.clients.get(*id).answers() > 0) {
        o.spoilt = Some("clients were answered while every worker was held".to_owned());
        return Ok(false);
    }
    let busy = Line { depth: WAITING as u64, active: WORKERS as u64, ..*count };
    let when = format!("with {WORKERS} workers held mid-task and {WAITING} tasks waiting");
    if !ask(session, asks, &when, vec![busy], o)? {
        return Ok(false);
    }
    release_in_order(session, &held_tids(session))?;
    wait_for_answers(session, &ids, 1)?;
    session.settle()?;
    for (number, id) in ids.iter().enumerate() {
        let lines = session.clients.get(*id).lines();
        let right =
            lines.len() == 1 && if is_bad(number) { lines[0] == REJECTED } else { is_result(lines[0]) };
        if !right {
            o.spoilt = Some(format!("client {} was not answered as it should be", number + 1));
            return Ok(false);
        }
    }
    let errors = (0..ids.len()).filter(|number| is_bad(*number)).count() as u64;
    count.errors += errors;
    count.completed += ids.len() as u64 - errors;
    for id in ids {
        session.clients.close(id);
    }
    ask(session, asks, "with all of these answered", vec![*count], o)
}

fn is_bad(number: usize) -> bool {
    mixed(number) == bad(number)
}

/// STATS between two requests on one connection, and a client that leaves, while workers are held.
fn leave(session: &mut Session, asks: ClientId, mut count: Line, o: &mut Observation) -> Result<(), Trouble> {
    let between = session.connect()?;
    let leaves = session.connect()?;
    session.settle()?;
    session.tracer.arm_mid_task();
    session.clients.send(between, &[&good(21)[..], b"STATS\n"].concat());
    session.settle()?;
    let early = session.clients.get(between).answers();
    let held = !session.tracer.held().is_empty() && held_before_results(&session.tracer.held());
    session.clients.send(between, &bad(22));
    session.settle()?;
    session.clients.send(leaves, &good(23));
    session.settle()?;
    session.clients.reset(leaves);
    session.settle()?;
    // In the order in which they were taken: answers that overtake each other are not asked for here.
    release_in_order(session, &held_tids(session))?;
    session.tracer.release_all()?;
    wait_for_answers(session, &[between], 3)?;
    session.settle()?;
    if session.tracer.end().is_some() {
        o.spoilt = Some("the server ended when a client left".to_owned());
        return Ok(());
    }
    let lines: Vec<Vec<u8>> = session.clients.get(between).lines().iter().map(|line| line.to_vec()).collect();
    let answered = lines.len() == 3;
    if held {
        o.between = Some(Between { early, lines });
    }
    if answered {
        count.completed += 1;
        count.errors += 1;
        let counted = Line { completed: count.completed + 1, ..count };
        let right = vec![count, counted];
        if ask(session, asks, "after the task of a client that had left", right.clone(), o)? {
            too_long(session, asks, right, o)?;
        }
    }
    Ok(())
}

/// Fewer workers were told active than were held, and nothing else was wrong.
fn lags(o: &Observation) -> bool {
    o.asked.iter().any(|asked| {
        let told = asked.answer.as_deref().and_then(Line::parse);
        told.is_some_and(|told| told.active < asked.right[0].active)
    })
}

/// Every worker at work for a long time, as far as can be told: how many STATS calls active then, and how many tasks wait.
fn spin(session: &mut Session, asks: ClientId) -> Result<Option<(u64, u64)>, Trouble> {
    let ids = session.connect_many(WORKERS)?;
    session.settle()?;
    let used = |session: &Session| -> Vec<Duration> {
        let snapshot = session.snapshot();
        snapshot.threads.iter().filter(|t| t.tid != session.tracer.main()).map(|t| t.cpu).collect()
    };
    let before = used(session);
    for id in &ids {
        session.clients.send(*id, SPIN);
    }
    let answered = |session: &Session| ids.iter().any(|id| session.clients.get(*id).answers() > 0);
    session.until_patiently(stretched(ANSWER_DEADLINE), ANSWER_DEADLINE, |session| {
        let all_at_work =
            used(session).iter().zip(&before).all(|(now, then)| now.saturating_sub(*then) >= SPINS_BY_NOW);
        all_at_work || answered(session)
    })?;
    let told = session.ask(asks, b"STATS\n")?.ok().as_deref().and_then(Line::parse);
    Ok(told.filter(|_| !answered(session)).map(|told| (told.active, told.depth)))
}

/// Where there is a time limit: a timeout is an error, and the late result counts nowhere.
fn time_out(context: &Context<'_>, o: &mut Observation) -> Result<(), Trouble> {
    let setup = Setup { timeout_ms: Some(LIMIT_MS), ..Setup::new(WORKERS, CAPACITY) };
    let Some(mut session) = Session::launch_unless_refused(context.program, &setup)? else { return Ok(()) };
    let asks = session.connect()?;
    let late = session.connect()?;
    let Ok(first) = session.ask(asks, b"STATS\n")? else { return Ok(()) };
    let Some(fresh) = Line::parse(&first) else { return Ok(()) };
    session.tracer.arm_mid_task();
    session.clients.send(late, &good(31));
    let limit = ANSWER_DEADLINE;
    session
        .until_patiently(limit, Duration::from_secs(3), |session| session.clients.get(late).answers() > 0)?;
    let held = session.tracer.held();
    let timed_out = session.clients.get(late).lines().first().is_some_and(|line| *line == TIMED_OUT);
    if !timed_out || held.is_empty() {
        // For B3 to judge.
        return Ok(());
    }
    let given_up = Line { errors: fresh.errors + 1, ..fresh };
    // Whether a worker is active that has a task which was given up is left open.
    let right = vec![Line { active: 1, ..given_up }, given_up];
    ask(&mut session, asks, "with a task given up that its worker still has", right, o)?;
    session.tracer.release_all()?;
    ask(&mut session, asks, "with the late result dropped", vec![given_up], o)?;
    Ok(())
}
