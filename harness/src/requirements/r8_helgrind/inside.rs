//! Looks inside with the tracer: how the threads synchronise, and what they do with their locks.
//!
//! The situations that lock discipline shows in are forced one after the other: a full queue, a wait that ends for nothing, long
//! tasks, `STATS`, a shutdown. What was seen is judged in `discipline`.

use super::{
    Inside, Synchronisation,
    discipline::{self, Full, SPIN_MS, Seen, Words},
};
use crate::{
    error::Trouble,
    model::Note,
    probes::{
        clients::ClientId,
        interposer::Op,
        locks::History,
        session::{Session, Settled, Setup, signal_name},
        tracer::{
            At, End,
            event::What,
            thread::{Role, Waiting},
        },
    },
    requirements::{
        Context,
        common::{bad, good, is_result, wait_for_answers},
    },
};
use nix::sys::signal::Signal;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const WORKERS: usize = 2;
const CAPACITY: usize = 2;

/// While the workers are held: a task in each hand, a full queue, and one in the hand of a main thread that waits in push.
const FITS: usize = WORKERS + CAPACITY + 1;

/// How long a server may take to end; what it did until then was seen.
const END_DEADLINE: Duration = Duration::from_secs(1);

/// Looks at a few requests under the tracer: which locks do the main thread and the workers share, how many connections
/// may wait to be accepted, and what would a teacher write in the margin?
pub(super) fn look_inside(context: &Context<'_>) -> Result<Inside, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(WORKERS, CAPACITY))?;
    let id = session.connect()?;
    let mut computes = false;
    for number in 0..4 {
        computes |= session.ask(id, &good(number))?.is_ok_and(|answer| is_result(&answer));
    }
    let synchronisation = synchronisation(&session);
    let backlog = session.backlog();
    let notes = match synchronisation {
        Synchronisation::Unseen | Synchronisation::Alone => Vec::new(),
        _ => margin(&mut session)?,
    };
    Ok(Inside { synchronisation, computes, backlog, notes })
}

fn synchronisation(session: &Session) -> Synchronisation {
    let main = session.tracer.main();
    let mut users: BTreeMap<(u64, bool), BTreeSet<bool>> = BTreeMap::new();
    for event in session.tracer.events() {
        if let What::Marker(marker) = &event.what
            && matches!(marker.op, Op::MutexLocked | Op::RwlockLocked | Op::SemTaken | Op::SemPosted)
        {
            users.entry((marker.object, marker.c11)).or_default().insert(event.tid == main);
        }
    }
    let shared = |c11: bool| users.iter().any(|((_, of_c11), by)| *of_c11 == c11 && by.len() == 2);
    // Workers that were never given anything still show what they wait for.
    let waits = session.tracer.alive_workers().any(|t| t.waiting.is_some());
    let began = session.tracer.events().iter().any(|event| matches!(event.what, What::Began));
    let any_c11 = users.keys().any(|(_, c11)| *c11);
    match (shared(true), shared(false)) {
        (true, _) => Synchronisation::C11,
        (false, true) if waits => Synchronisation::Pthread,
        (false, true) => Synchronisation::Partly,
        (false, false) if waits && !any_c11 => Synchronisation::Pthread,
        (false, false) if !began => Synchronisation::Alone,
        (false, false) => Synchronisation::Unseen,
    }
}

/// Forces the situations, and says what is to be said about them.
fn margin(session: &mut Session) -> Result<Vec<Note>, Trouble> {
    let mut seen = Seen { main: session.tracer.main(), fits: FITS, ..Seen::default() };
    drive(session, &mut seen)?;
    let tracer = &session.tracer;
    seen.died = match tracer.end() {
        Some((End::Signal(signal), _)) if signal != libc::SIGTERM => Some(signal_name(signal)),
        _ => None,
    };
    let workers: Vec<i32> =
        tracer.threads().filter(|t| matches!(t.role, Role::Worker(_))).map(|t| t.tid).collect();
    seen.history = History::read(tracer.events(), seen.main, &workers);
    seen.kinds = tracer.ledger().objects().map(|(_, object)| object.kind).collect();
    let words = Words { name: &|tid| tracer.name(tid), place: &|caller| tracer.place(Some(caller)) };
    Ok(discipline::notes(&seen, &words))
}

/// One situation after the other; whoever does not come out of one is not asked to enter the next.
fn drive(session: &mut Session, seen: &mut Seen) -> Result<(), Trouble> {
    // Of a server that never rests nobody can say that a situation has come about.
    if !matches!(session.settle()?, Settled::AtRest(_)) {
        return Ok(());
    }
    let idle: Vec<(i32, u64)> = session
        .tracer
        .alive_workers()
        .filter_map(|thread| match thread.waiting {
            Some(Waiting::Cond { cond, .. }) => Some((thread.tid, cond)),
            _ => None,
        })
        .collect();
    let clients = session.connect_many(FITS + 3)?;
    let (full, answered) = fill(session, &clients, false)?;
    seen.full = Some(full);
    if !answered {
        return Ok(());
    }
    let (full, answered) = fill(session, &clients, true)?;
    seen.full_again = Some(full);
    if !answered {
        return Ok(());
    }
    let (spin, answered) = spin(session, &clients[..WORKERS], &idle)?;
    seen.spin = Some(spin);
    if !answered {
        return Ok(());
    }
    let _ = session.ask(clients[0], b"STATS\n")?;
    let _ = session.ask(clients[1], &bad(1))?;
    for id in clients {
        session.clients.close(id);
    }
    session.settle()?;
    session.signal(Signal::SIGTERM)?;
    session.until(END_DEADLINE, |session| session.tracer.end().is_some())?;
    Ok(())
}

/// More requests than fit while all workers are held, and whether all are answered afterwards. `spurious`: the first wait of
/// the main thread ends for nothing.
fn fill(session: &mut Session, clients: &[ClientId], spurious: bool) -> Result<(Full, bool), Trouble> {
    session.settle()?;
    let from = session.tracer.events().len();
    let before: Vec<usize> = clients.iter().map(|id| session.clients.get(*id).answers()).collect();
    session.tracer.arm_mid_task();
    let (in_hand, more) = clients.split_at(WORKERS);
    send_mixed(session, in_hand);
    session.settle()?;
    // Only now, when no worker can make room: else there may be some when the wait ends.
    if spurious {
        session.tracer.arm_spurious(session.tracer.main(), None);
    }
    send_mixed(session, more);
    let at_rest = matches!(session.settle()?, Settled::AtRest(_));
    let taken = |id: &&ClientId| {
        let sent = session.clients.get(**id).sent() as u64;
        session.server_side(**id).is_some_and(|object| object.bytes_in >= sent)
    };
    let answered = |(id, before): &(&ClientId, &usize)| session.clients.get(**id).answers() > **before;
    let full = Full {
        from,
        to: session.tracer.events().len(),
        held: held(session),
        taken: clients.iter().filter(taken).count(),
        answered: clients.iter().zip(&before).filter(answered).count(),
    };
    session.tracer.release_all()?;
    // What a server has taken or answered that goes round in circles may not be all.
    if !at_rest {
        return Ok((Full::default(), false));
    }
    let all = wait_for_answers(session, clients, before.first().map_or(1, |before| before + 1))?.reached();
    Ok((full, all))
}

fn send_mixed(session: &mut Session, clients: &[ClientId]) {
    for (number, id) in clients.iter().enumerate() {
        let request = if number % 3 == 2 { bad(number) } else { good(number) };
        session.clients.send(*id, &request);
    }
}

/// The workers that are held mid-task, if none is held elsewhere.
fn held(session: &Session) -> Vec<i32> {
    let held = session.tracer.held();
    match held.iter().all(|(_, at)| *at == At::Release) {
        true => held.into_iter().map(|(tid, _)| tid).collect(),
        false => Vec::new(),
    }
}

/// A long task for each worker, and when it is done a wait that ends for nothing. Only if each has one: then the queue is
/// empty, and nothing else comes. The places in the stream, and whether all were answered.
fn spin(
    session: &mut Session,
    clients: &[ClientId],
    idle: &[(i32, u64)],
) -> Result<((usize, usize), bool), Trouble> {
    session.settle()?;
    let from = session.tracer.events().len();
    let answers = session.clients.get(clients[0]).answers() + 1;
    session.tracer.clock_locks(true);
    session.tracer.arm_mid_task();
    for id in clients {
        session.clients.send(*id, format!("spin {SPIN_MS}\n").as_bytes());
    }
    session.settle()?;
    let each_has_one = held(session).len() == clients.len();
    session.tracer.release_all()?;
    if each_has_one {
        for (tid, cond) in idle {
            session.tracer.arm_spurious(*tid, Some(*cond));
        }
    }
    let all = wait_for_answers(session, clients, answers)?.reached();
    session.settle()?;
    session.tracer.disarm();
    session.tracer.clock_locks(false);
    Ok(((from, session.tracer.events().len()), all && session.tracer.end().is_none()))
}
