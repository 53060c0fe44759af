//! Holds every worker, lets them go, and reads from the trace who talked to whom.

use super::{CLIENTS, Eventfd, Observation, WORKERS};
use crate::{
    error::Trouble,
    probes::{
        clients::ClientId,
        session::{Session, Settled, Setup},
        tracer::{
            At,
            event::Call,
            ledger::{Kind, ObjectId},
            syscalls::Class,
            thread::Waiting,
        },
    },
    requirements::{
        Context,
        common::{Ended, epolls_of_main, good, stuck, wait_for_answers, worker_turns},
    },
};
use std::collections::BTreeMap;

pub(super) fn observe(context: &Context<'_>) -> Result<Observation, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(WORKERS, 64))?;
    let ids = session.connect_many(CLIENTS)?;
    session.settle()?;
    let turns = worker_turns(&session);
    let idle: BTreeMap<i32, Waiting> =
        session.tracer.alive_workers().filter_map(|thread| Some((thread.tid, thread.waiting?))).collect();
    let armed = session.tracer.events().len();
    session.tracer.arm_mid_task();
    for (number, id) in ids.iter().enumerate() {
        session.clients.send(*id, &good(number));
    }
    session.settle()?;
    let held = session.tracer.held();
    let workers_slept = worker_turns(&session) == turns;
    let answered =
        |session: &Session| ids.iter().filter(|id| session.clients.get(**id).answers() > 0).count();
    let answered_early = answered(&session);
    let early = ids.iter().find(|id| session.clients.get(**id).answers() > 0);
    let early_sender = early.map(|id| session.sent_by(*id)).unwrap_or_default();
    let silent = release_one_by_one(&mut session, &idle, armed, &ids)?;
    session.tracer.release_all()?;
    let wait = wait_for_answers(&mut session, &ids, 1)?;
    // The last worker may still be about to write its eventfd, and the main thread to read it.
    let at_work = matches!(session.settle()?, Settled::Busy(_));
    Ok(Observation {
        held,
        workers_slept,
        answered_early,
        early_sender,
        answered: answered(&session),
        end: if at_work { Ended::NotYet } else { Ended::from(&wait) },
        stuck: stuck(&wait),
        foreign: foreign_calls(&session),
        eventfds: eventfds(&session),
        silent,
        instead: written_instead(&session),
    })
}

/// Lets the held workers go one at a time; the names of those that finished their task, and wait again for what they waited
/// for when they were `idle`, with nobody writing an eventfd; nor did they themselves since the event number `armed`.
fn release_one_by_one(
    session: &mut Session,
    idle: &BTreeMap<i32, Waiting>,
    armed: usize,
    ids: &[ClientId],
) -> Result<Vec<String>, Trouble> {
    let mut silent = Vec::new();
    for (tid, at) in session.tracer.held() {
        let before = session.tracer.events().len();
        // What it woke for may only have said that there is something to take: with everybody answered it has nothing.
        let owed = ids.iter().any(|id| session.clients.get(*id).answers() == 0);
        session.tracer.release(tid)?;
        let settled = session.settle()?;
        // Who computes under the queue's lock has announced its result when it releases that, and was not held before.
        let rang = session.tracer.events()[armed..]
            .iter()
            .enumerate()
            .filter(|(place, event)| armed + place >= before || event.tid == tid)
            .filter_map(|(_, event)| Some((event.tid, event.call()?)))
            .any(|(tid, call)| is_worker_write(session, tid, call, Kind::Eventfd));
        let waiting = session.tracer.thread(tid).and_then(|thread| thread.waiting);
        let is_done = waiting.is_some() && waiting.as_ref() == idle.get(&tid);
        // Elsewhere than mid-task it may have announced its result before it was held.
        if at == At::Release && matches!(settled, Settled::AtRest(_)) && is_done && owed && !rang {
            silent.push(session.tracer.name(tid));
        }
    }
    Ok(silent)
}

/// The calls that came back, with the thread that made them.
fn calls(session: &Session) -> impl Iterator<Item = (i32, &Call)> {
    session.tracer.events().iter().filter_map(|event| Some((event.tid, event.call()?)))
}

fn kind(session: &Session, call: &Call) -> Option<Kind> {
    call.object.map(|id| session.tracer.ledger().object(id).kind)
}

fn foreign_calls(session: &Session) -> Vec<String> {
    let main = session.tracer.main();
    let socket_call = |call: &Call| {
        let on = [call.object, call.second].into_iter().flatten();
        matches!(call.class, Class::Accept | Class::Receive | Class::Send | Class::Shutdown)
            && on.map(|id| session.tracer.ledger().object(id).kind).any(Kind::is_socket)
    };
    calls(session)
        .filter(|(tid, call)| *tid != main && socket_call(call))
        .map(|(tid, call)| session.tracer.describe_call(tid, call))
        .collect()
}

fn is_worker_write(session: &Session, tid: i32, call: &Call, of: Kind) -> bool {
    tid != session.tracer.main()
        && call.class == Class::Send
        && call.result > 0
        && kind(session, call) == Some(of)
}

fn eventfds(session: &Session) -> Vec<Eventfd> {
    let main = session.tracer.main();
    let ledger = session.tracer.ledger();
    let waited_on = epolls_of_main(session);
    let mut written: Vec<ObjectId> = Vec::new();
    let mut found = Vec::new();
    for (tid, call) in
        calls(session).filter(|(tid, call)| is_worker_write(session, *tid, call, Kind::Eventfd))
    {
        let Some(id) = call.object.filter(|id| !written.contains(id)) else { continue };
        written.push(id);
        let by_worker =
            |(tid, c): &(i32, &Call)| *tid != main && c.class == Class::Receive && c.object == Some(id);
        if calls(session).any(|call| by_worker(&call)) {
            // By this one the workers wake each other.
            continue;
        }
        let watches = &ledger.object(id).watches;
        found.push(Eventfd {
            fd: call.fd(),
            watched: watches.iter().any(|watch| waited_on.contains(&watch.epoll)),
            edge_triggered: watches.iter().any(|watch| watch.mask & libc::EPOLLET as u32 != 0),
            read_by_main: calls(session)
                .filter(|(tid, c)| {
                    *tid == main && c.class == Class::Receive && c.object == Some(id) && c.result > 0
                })
                .count(),
            writer: session.tracer.describe_call(tid, call),
        });
    }
    found
}

fn written_instead(session: &Session) -> Vec<String> {
    calls(session)
        .filter(|(tid, call)| is_worker_write(session, *tid, call, Kind::Pipe))
        .map(|(tid, call)| session.tracer.describe_call(tid, call))
        .collect()
}
