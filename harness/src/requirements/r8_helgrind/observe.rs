//! Looks inside once with the tracer, then runs the bare program under Helgrind.

use super::{CLIENTS, Ended, Inside, Observation, ROUNDS, Synchronisation, WORKERS};
use crate::{
    error::Trouble,
    probes::{
        helgrind::{self, Helgrind},
        interposer::Op,
        session::{Session, Setup, signal_name},
        tracer::{End, event::What},
    },
    requirements::{
        Context,
        common::{bad, good, is_result},
    },
    submission::port,
};
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet};

/// Looks at a few requests under the tracer: which locks do the main thread and the workers share, and how many connections
/// may wait to be accepted?
pub(super) fn look_inside(context: &Context<'_>) -> Result<Inside, Trouble> {
    let mut session = Session::launch(context.program, &Setup::new(WORKERS, 64))?;
    let id = session.connect()?;
    let mut computes = false;
    for number in 0..4 {
        computes |= session.ask(id, &good(number))?.is_ok_and(|answer| is_result(&answer));
    }
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
    let synchronisation = match (shared(true), shared(false)) {
        (true, _) => Synchronisation::C11,
        (false, true) if waits => Synchronisation::Pthread,
        (false, true) => Synchronisation::Partly,
        (false, false) if waits && !any_c11 => Synchronisation::Pthread,
        (false, false) if !began => Synchronisation::Alone,
        (false, false) => Synchronisation::Unseen,
    };
    Ok(Inside { synchronisation, computes, backlog: session.backlog() })
}

pub(super) fn observe(context: &Context<'_>, inside: Inside) -> Result<Observation, Trouble> {
    let port = port::pick()?;
    let args = Setup::new(WORKERS, 64).args(port);
    let mut helgrind = Helgrind::launch(context.program, &args, port)?;
    let mut observation = Observation::before(inside);
    if helgrind.server.connect_when_it_listens(helgrind::DEADLINE)?.is_none() {
        observation.ended = before_sigterm(&helgrind, "did not listen");
        return Ok(observation);
    }
    for _ in 0..ROUNDS {
        let server = &mut helgrind.server;
        let ids = server.connect_many(CLIENTS, inside.backlog, helgrind::DEADLINE)?;
        for (number, id) in ids.iter().enumerate() {
            let request = if number % 3 == 2 { bad(number) } else { good(number) };
            server.clients.send(*id, &request);
        }
        let answered = server.until_at_rest(helgrind::DEADLINE, |server| {
            ids.iter().all(|id| server.clients.get(*id).answers() > 0)
        })?;
        let firsts: Vec<&[u8]> =
            ids.iter().filter_map(|id| server.clients.get(*id).lines().first().copied()).collect();
        observation.answered += firsts.len();
        observation.results += firsts.iter().filter(|answer| is_result(answer)).count();
        if answered.is_none() {
            observation.ended = Ended::Late("did not answer everybody");
            return Ok(observation);
        }
        for id in ids {
            server.clients.close(id);
        }
        if server.end().is_some() {
            observation.races = helgrind.races()?;
            observation.ended = before_sigterm(&helgrind, "did not answer everybody");
            return Ok(observation);
        }
    }
    helgrind.server.signal(Signal::SIGTERM)?;
    let ended = helgrind.server.until_at_rest(helgrind::DEADLINE, |server| server.end().is_some())?;
    observation.races = helgrind.races()?;
    observation.ended = match ended {
        Some(true) => match helgrind.server.end() {
            // That SIGTERM kills it is for R3 to say.
            Some(End::Signal(signal)) if signal != libc::SIGTERM => Ended::Killed(signal_name(signal)),
            _ => Ended::Exited,
        },
        Some(false) => Ended::Hangs,
        None => Ended::Late("did not end after SIGTERM"),
    };
    Ok(observation)
}

/// How a server ended that nobody has told to.
fn before_sigterm(helgrind: &Helgrind, otherwise: &'static str) -> Ended {
    match helgrind.server.end() {
        Some(End::Signal(signal)) => Ended::Killed(signal_name(signal)),
        Some(End::Status(_)) => Ended::Early,
        None => Ended::Late(otherwise),
    }
}
