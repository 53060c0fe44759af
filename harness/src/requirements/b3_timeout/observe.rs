//! Holds every worker for longer than the limit, with clients behind them that ask, wait, leave and come.

use super::{
    Client, GRAIN, Observation, Role,
    others::{next, unlimited},
};
use crate::{
    error::Trouble,
    probes::{
        clients::{ClientId, Link},
        session::{Session, Setup},
    },
    requirements::{
        Context,
        common::{ANSWER_DEADLINE, Ended, TIMED_OUT, good, held_before_results, held_without_work, stuck},
    },
};
use std::time::{Duration, Instant};

const WORKERS: usize = 4;

/// A server may look for overdue tasks only now and then: so long it may sleep past the limit.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
pub(super) const LONGEST: Duration = Duration::from_secs(20);

/// A worker that is not held by then is held already, with nothing to do.
const NO_MORE: Duration = Duration::from_millis(500);

/// A server that does nothing for so long looks away from the client that has left.
const NOTICED: Duration = Duration::from_millis(20);

/// So much later than the first the other tasks are taken: after this and the limit of the first, half of theirs is over, but
/// not all of it.
const STAGGER: Duration = Duration::from_millis(30);

/// One of the scenario's clients while it runs.
struct Cast {
    id: ClientId,
    who: &'static str,
    role: Role,
    sent: Instant,
    /// Answers that it had before.
    before: usize,
    /// The number of its last request, whose answer alone is known.
    last: Option<usize>,
    early: Vec<Vec<u8>>,
}

/// `None` if the server refuses the limit.
pub(super) fn observe(context: &Context<'_>, limit: Duration) -> Result<Option<Observation>, Trouble> {
    let setup = Setup { timeout_ms: Some(limit.as_millis() as u32), ..Setup::new(WORKERS, 64) };
    let Some(mut session) = Session::launch_unless_refused(context.program, &setup)? else { return Ok(None) };
    let (fast, alone) = alone(&mut session)?;
    if fast.is_empty() {
        let seen = scene(&mut session, &alone, limit)?;
        // One server at a time.
        drop(session);
        let well = [seen.timeouts, seen.end].iter().all(|end| *end == Ended::Reached);
        if !well || seen.held.0 < WORKERS || seen.workers.1 < seen.workers.0 {
            return Ok(Some(seen));
        }
        let next = next(context)?;
        return Ok(Some(Observation { next, unlimited: unlimited(context)?, ..seen }));
    }
    Ok(Some(unheld(limit, 0, fast)))
}

/// There is nothing to see: the workers could not be held, or the machine is too slow.
fn unheld(limit: Duration, held: usize, fast: Vec<Duration>) -> Observation {
    Observation {
        limit,
        staggered: false,
        fast,
        held: (held, WORKERS),
        timeouts: Ended::Reached,
        doing: String::new(),
        clients: Vec::new(),
        end: Ended::Reached,
        stuck: String::new(),
        workers: (WORKERS, WORKERS),
        next: None,
        unlimited: Some(Vec::new()),
    }
}

/// What each request of the scenario gets alone, and how long those took that were answered with a timeout instead.
type Alone = (Vec<Duration>, Vec<Vec<u8>>);

/// The requests whose answers are compared.
const COMPARED: usize = 8;

fn alone(session: &mut Session) -> Result<Alone, Trouble> {
    let id = session.connect()?;
    let (mut fast, mut answers) = (Vec::new(), Vec::new());
    for number in 0..COMPARED {
        let sent = Instant::now();
        let answer = session.ask(id, &good(number))?.unwrap_or_default();
        if answer == TIMED_OUT {
            fast.push(sent.elapsed());
        }
        answers.push(answer);
    }
    session.clients.close(id);
    session.settle()?;
    Ok((fast, answers))
}

/// Lets time pass: what was armed for an earlier task fires meanwhile.
fn let_pass(session: &mut Session, time: Duration) -> Result<(), Trouble> {
    let begun = session.tracer.now();
    session.until_patiently(LONGEST, LONGEST, |session| session.tracer.now() - begun >= time)?;
    Ok(())
}

/// Waits until one more worker is held; all of this happens before the limit is over, unless the machine is very slow.
fn hold_one_more(session: &mut Session) -> Result<(), Trouble> {
    let held = session.tracer.held().len();
    session.until_patiently(LONGEST, NO_MORE, |session| session.tracer.held().len() > held)?;
    Ok(())
}

/// Closes a client and lets the server notice, if it looks at connections whose task it has not finished.
fn leave(session: &mut Session, id: ClientId) -> Result<(), Trouble> {
    session.clients.close(id);
    session.until_patiently(LONGEST, NOTICED, |session| {
        session.server_side(id).is_none_or(|side| side.open == 0)
    })?;
    Ok(())
}

/// What came behind the first `before` answers.
pub(super) fn answers(session: &Session, id: ClientId, before: usize) -> Vec<Vec<u8>> {
    session.clients.get(id).lines().iter().skip(before).map(|line| line.to_vec()).collect()
}

fn scene(session: &mut Session, alone: &[Vec<u8>], limit: Duration) -> Result<Observation, Trouble> {
    let ids = session.connect_many(5)?;
    // A connection's first request is not the only one that may take long.
    let _ = session.ask(ids[0], &good(0))?;
    // A clock that was wound for the first task and never again shows now.
    let_pass(session, limit / 2)?;
    session.settle()?;
    let workers = session.tracer.alive_workers().count();
    session.tracer.arm_mid_task();
    let mut cast = Vec::new();
    let mut enter = |session: &mut Session, id, who, role, request: &[u8], last| -> Result<(), Trouble> {
        let before = session.clients.get(id).answers();
        let sent = Instant::now();
        session.clients.send(id, request);
        if role == Role::Held {
            hold_one_more(session)?;
        }
        cast.push(Cast { id, who, role, sent, before, last, early: Vec::new() });
        Ok(())
    };
    let begun = Instant::now();
    enter(session, ids[0], "the client that goes on after its timeout", Role::Held, &good(40), Some(0))?;
    // Each has a time of its own: when that of the first is over, the others have had a good part of theirs.
    let_pass(session, STAGGER)?;
    enter(session, ids[2], "the client that leaves after its timeout", Role::Held, &good(42), None)?;
    let staggered = begun.elapsed() + GRAIN < limit / 2;
    // The fourth leaves before its time is over, and somebody else gets its number.
    session.clients.send(ids[3], &good(43));
    hold_one_more(session)?;
    leave(session, ids[3])?;
    let newcomer = session.connect()?;
    enter(session, newcomer, "a newcomer who came when one had left mid-task", Role::Stranger, b"", Some(2))?;
    // The last free worker takes the first of the two.
    let two = [good(41), good(1)].concat();
    enter(session, ids[1], "the client that has sent two requests", Role::Held, &two, Some(1))?;
    enter(session, ids[4], "the client whose task waits in the queue", Role::Queued, &good(3), Some(3))?;
    let held = session.tracer.held();
    let held = if held_before_results(&held) && !held_without_work(session) { held.len() } else { 0 };

    if held < WORKERS {
        return Ok(unheld(limit, held, Vec::new()));
    }
    let owed: Vec<(ClientId, usize)> =
        cast.iter().filter(|it| it.role == Role::Held).map(|it| (it.id, it.before)).collect();
    let wait = session.until_patiently(LONGEST, PATIENCE, |session| {
        let over = |(id, before): &(ClientId, usize)| {
            let client = session.clients.get(*id);
            client.answers() > *before || client.link() != Link::Open
        };
        owed.iter().all(over)
    })?;
    if wait.reached() {
        // What waits in the queue is to have been there for longer than the limit, too.
        let waited = cast.last().map_or(limit, |it| it.sent.elapsed());
        let_pass(session, (limit + 3 * GRAIN).saturating_sub(waited))?;
    }
    session.settle()?;
    for it in &mut cast {
        it.early = answers(session, it.id, it.before);
    }
    // Those who were answered: one asks again, one leaves, and again somebody else gets its number.
    let took: Vec<Option<Duration>> =
        cast.iter().map(|it| took(session, it.id, it.before, it.sent)).collect();
    session.clients.send(ids[0], &good(0));
    session.settle()?;
    let leaver_early = answers(session, ids[2], 0);
    let stranger = match wait.reached() {
        true => {
            leave(session, ids[2])?;
            Some(session.connect()?)
        }
        false => None,
    };
    session.settle()?;
    let begun = Instant::now();
    session.tracer.release_all()?;
    session.settle()?;
    let mut strangers = vec![(newcomer, 2)];
    if let Some(id) = stranger {
        strangers.push((id, 4));
        let who = "a newcomer who came when one had left after its timeout";
        cast.push(Cast {
            id,
            who,
            role: Role::Stranger,
            sent: begun,
            before: 0,
            last: Some(4),
            early: answers(session, id, 0),
        });
    }
    // What they got unasked stands before what they ask for.
    for (id, number) in strangers {
        session.clients.send(id, &good(number));
    }
    let asking = cast.iter().filter(|it| it.last.is_some());
    // One answer, and one more for those who were answered while they were held.
    let asking: Vec<(ClientId, usize)> = asking
        .map(|it| (it.id, it.before + 1 + usize::from(it.role == Role::Held && !it.early.is_empty())))
        .collect();
    let end = session.until(ANSWER_DEADLINE, |session| {
        asking.iter().all(|(id, answers)| {
            let client = session.clients.get(*id);
            client.answers() >= *answers || client.link() != Link::Open
        })
    })?;
    session.settle()?;
    let clients = cast
        .into_iter()
        .enumerate()
        .map(|(n, it)| {
            let link = session.clients.get(it.id).link();
            let lines = if it.id == ids[2] && link == Link::Closed {
                leaver_early.clone()
            } else {
                answers(session, it.id, it.before)
            };
            Client {
                who: it.who,
                role: it.role,
                took: took.get(n).copied().flatten(),
                closed: matches!(link, Link::Ended | Link::Reset),
                alone: it.last.map(|number| alone[number].clone()),
                after_release: took_last(session, it.id, begun),
                sent_by: session.sent_by(it.id),
                early: it.early,
                lines,
            }
        })
        .collect();
    Ok(Observation {
        limit,
        staggered,
        fast: Vec::new(),
        held: (held, WORKERS),
        timeouts: Ended::from(&wait),
        doing: stuck(&wait),
        clients,
        end: Ended::from(&end),
        stuck: stuck(&end),
        workers: (workers, session.tracer.alive_workers().count()),
        next: None,
        unlimited: Some(Vec::new()),
    })
}

fn took(session: &Session, id: ClientId, answer: usize, since: Instant) -> Option<Duration> {
    session.clients.get(id).answered_at().get(answer).map(|at| at.saturating_duration_since(since))
}

fn took_last(session: &Session, id: ClientId, since: Instant) -> Option<Duration> {
    session.clients.get(id).answered_at().last().map(|at| at.saturating_duration_since(since))
}
